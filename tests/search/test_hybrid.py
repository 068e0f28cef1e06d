"""The hybrid search: inherited weights, survivors trained on, resumed as if never stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qap.config.load import load_config
from qap.config.schema import Study as Config
from qap.errors import InputError
from qap.search.objectives import front
from qap.search.record import RUNG
from qap.search.run import run_search, search_front, trained
from qap.search.searcher import Searcher
from qap.search.study import LOG, Study, better
from qap.search.work import FINAL
from qap.training.keras_engine import KerasEngine

from ..conftest import blobs
from .conftest import stored_lines

SMALL = [
    "search.strategy=hybrid", "model.hidden=[8,6]", "train.batch=200", "train.parent_epochs=4", "train.epochs=2",
    "prune.frequency=2", "search.space.weight_bits=[2,3,4,5,6]", "search.space.activation_bits=[3,4,5,6]",
    "search.space.sparsity=[0.0,0.5,0.8]", "search.population=6", "search.hybrid.every=2", "data.input.bits=8",
    "search.trials=40",
]  # fmt: skip


def _config(file: Path, *overrides: str) -> Config:
    return load_config(None, [*SMALL, f"data.name={file}", *overrides])


@pytest.fixture(scope="module")
def whole(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return run_search(_config(file), tmp_path_factory.mktemp("hybrid") / "study")


def test_anchors_come_first_and_survivors_are_trained_on(whole: Study) -> None:
    records = list(whole.records())
    assert len(records) == 40
    rungs = [record.rung for record in records]
    assert max(rungs) >= 1, rungs
    assert "a float network: trained by the keras engine" in (whole.directory / LOG).read_text(), "who trained the parent is said"
    anchors = [tuple(layer.weight.bits for _, layer in record.candidate.plan.items()) for record in records[:6]]
    assert all(len(set(bits)) == 1 for bits in anchors), anchors
    first = {record.candidate.id for record in records if not record.rung}
    for record in records:
        if record.rung:
            assert record.candidate.id in first
            assert record.candidate.metrics[RUNG] == record.rung


def test_plans_of_the_integer_program_follow_the_anchors(whole: Study, file: Path, tmp_path: Path) -> None:
    """They are those that the strategy `allocation` proposes first; anchors among them are not trained twice."""
    settings = ("search.strategy=allocation", "search.trials=10")
    proposed = [record.candidate.id for record in run_search(_config(file, *settings), tmp_path / "study").records()]
    ids = [record.candidate.id for record in whole.records() if not record.rung]
    anchors = 10  # five widths at two sparsities
    expected = [one for one in proposed if one not in ids[:anchors]]
    assert ids[anchors : anchors + len(expected)] == expected


def test_the_better_training_of_a_plan_is_kept_with_its_weights(whole: Study) -> None:
    scores: dict[str, list[float]] = {}
    for record in whole.records():
        scores.setdefault(record.candidate.id, []).append(record.candidate.metrics["accuracy_validation"])
    for candidate in trained(whole):
        assert candidate.metrics["accuracy_validation"] == max(scores[candidate.id])
    for candidate in search_front(whole):
        name = f"weights_{int(candidate.metrics[RUNG])}.npz" if RUNG in candidate.metrics else "weights.npz"
        with np.load(whole.candidate_directory(candidate) / name) as file:
            assert all(np.array_equal(file[key], value) for key, value in (candidate.weights or {}).items())


def test_children_start_from_the_nearest_trained_plan(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = []
    submit = Searcher.submit

    def noting(self, starts):
        batches.append(list(starts))
        return submit(self, batches[-1])

    monkeypatch.setattr(Searcher, "submit", noting)
    study = run_search(_config(file, "search.trials=24"), tmp_path / "study")
    known = [study.weights(record.candidate) for record in study.records() if not record.rung]
    parent = study.load_parent(next(trained(study)).architecture)
    assert parent is not None

    def same(a: dict, b: dict) -> bool:
        return all(np.array_equal(a[key], b[key]) for key in a)

    anchors, children = [batch for batch in batches if batch][:2]
    assert all(start.epochs is None and start.origin is None for start in anchors)
    assert all(same(start.candidate.weights, parent.weights) for start in anchors), "anchors start from the float parent"
    assert all((start.epochs, start.rung) == (0.5, 0) for start in children)
    assert all(any(same(start.candidate.weights, other) for other in known) for start in children), "from trained candidates"
    noted = {(record.candidate.id, record.rung): record for record in study.records()}
    for start in children:
        if start.key in {anchor.key for anchor in anchors}:
            continue  # not trained again
        record = noted[start.key]
        assert (record.origin, record.epochs, record.point) == (start.origin, 0.5, start.point)


def test_a_stopped_search_goes_on_to_the_same_store(whole: Study, file: Path, tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(progress) -> None:
        if progress.done == 23:
            raise StopError

    with pytest.raises(StopError):
        run_search(_config(file), tmp_path / "study", watch=stop)
    assert len(stored_lines(tmp_path / "study")) == 23
    study = run_search(_config(file), tmp_path / "study", resume=True)
    assert stored_lines(study.directory) == stored_lines(whole.directory)
    for one, other in zip(search_front(study), search_front(whole), strict=True):
        assert all(np.array_equal((one.weights or {})[key], value) for key, value in (other.weights or {}).items())


def test_pieces_can_be_switched_off(file: Path, tmp_path: Path) -> None:
    study = run_search(
        _config(file, "search.hybrid.rungs=0", "search.hybrid.inherit=false", "search.anchors=false", "search.trials=14"),
        tmp_path / "study",
    )
    assert {record.rung for record in study.records()} == {0}
    bits = [{layer.weight.bits for _, layer in record.candidate.plan.items()} for record in list(study.records())[:6]]
    assert any(len(one) > 1 for one in bits), bits


def test_better_prefers_the_score_then_the_later(whole: Study) -> None:
    one = next(trained(whole))
    low, high = (one.with_(metrics={"accuracy_validation": value}) for value in (0.5, 0.6))
    assert better(None, low) is low
    assert better(high, low) is high
    assert better(low, high) is high
    again = high.with_(metrics={"accuracy_validation": 0.6})
    assert better(high, again) is again
    down, up = (one.with_(metrics={"rmse_validation": value}) for value in (0.1, 0.2))
    assert better(down, up) is down


@pytest.mark.slow
def test_the_front_is_trained_once_more_by_the_keras_engine(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained_by_keras = []
    train = KerasEngine._train

    def noting(self, job, data):
        trained_by_keras.append(job)
        return train(self, job, data)

    monkeypatch.setattr(KerasEngine, "_train", noting)
    study = run_search(_config(file, "search.trials=14", "search.final_epochs=1.5"), tmp_path / "study")
    finals = [record for record in study.records() if record.rung == FINAL]
    others = [record.candidate for record in study.records() if record.rung != FINAL]
    assert {record.candidate.id for record in finals} == {one.id for one in front(others, ["accuracy", "ebops"])}
    jobs = [job for job in trained_by_keras if job.plan is not None]
    assert len(jobs) == len(finals)
    assert {job.steps for job in jobs} == {round(1.5 * (2100 // 200))}


def test_few_events_leave_a_fine_tuning_its_steps(tmp_path: Path) -> None:
    """Half an epoch of two steps would leave pruning no step to act in."""
    table = blobs(400)
    np.savez(tmp_path / "few.npz", features=table.features, labels=table.labels)
    overrides = ["train.batch=100", "search.trials=16", "search.hybrid.fine_tune=0.1"]
    study = run_search(_config(tmp_path / "few.npz", *overrides), tmp_path / "study")
    records = list(study.records())
    assert len(records) == 16
    assert [record.error for record in records if record.error] == []


def test_a_schedule_without_a_step_in_the_fine_tuning_is_refused_at_once(file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no step lies between begin 0.5 and end 0.51"):
        run_search(_config(file, "prune.begin=0.5", "prune.end=0.51", "train.epochs=40"), tmp_path / "study")
    assert not (tmp_path / "study").exists()
