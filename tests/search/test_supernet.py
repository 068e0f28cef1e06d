"""The supernet phase: promising points chosen on shared weights, replayed by a resumed search."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qap.config.load import load_config
from qap.config.schema import Study as Config
from qap.datasets.hold_back import hold_back
from qap.datasets.load import load_dataset
from qap.errors import InputError
from qap.metrics.classification import accuracy
from qap.models.builders import build, set_weights
from qap.search.context import make_context
from qap.search.hybrid import SUPERNET
from qap.search.run import run_search
from qap.search.searcher import Searcher
from qap.search.study import Study
from qap.search.supernet import FOUND, WEIGHTS
from qap.training.keras_engine import logits
from qap.training.population.engine import PopulationEngine
from qap.training.population.masks import pruned

from .conftest import stored_lines

SMALL = [
    "search.strategy=hybrid", "model.hidden=[8,6]", "train.batch=200", "train.parent_epochs=4", "train.epochs=2",
    "prune.frequency=2", "search.space.weight_bits=[2,3,4,5,6]", "search.space.activation_bits=[3,4,5,6]",
    "search.space.sparsity=[0.0,0.5,0.8]", "search.population=6", "data.input.bits=8", "search.trials=20",
    "search.hybrid.supernet_epochs=3", "search.hybrid.supernet_plans=60", "search.hybrid.allocations=0",
]  # fmt: skip
ANCHORS = 10
"""Uniform plans of 2 to 6 bits, at two sparsities."""


def _config(file: Path, *overrides: str) -> Config:
    return load_config(None, [*SMALL, f"data.name={file}", *overrides])


def _points(study: Study) -> list[dict]:
    return json.loads((study.directory / FOUND).read_text())["points"]


def _same(one: dict, other: dict) -> bool:
    return all(np.array_equal(one[key], other[key]) for key in one)


@pytest.fixture(scope="module")
def starts() -> list:
    return []


@pytest.fixture(scope="module")
def whole(file: Path, tmp_path_factory: pytest.TempPathFactory, starts: list) -> Study:
    submit = Searcher.submit

    def noting(self, asked):
        starts.append(list(asked))
        return submit(self, starts[-1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Searcher, "submit", noting)
        return run_search(_config(file), tmp_path_factory.mktemp("supernet") / "study")


def test_promising_plans_follow_the_anchors_and_start_from_the_shared_weights(whole: Study, starts: list) -> None:
    weights, points = dict(np.load(whole.directory / WEIGHTS)), _points(whole)
    assert 1 <= len(points) <= 6
    anchors, second = [batch for batch in starts if batch][:2]
    assert len(anchors) == ANCHORS
    assert {start.epochs for start in anchors} == {None}
    assert {start.epochs for start in second} == {0.5}
    ids = {start.candidate.id for start in (*second[: len(points)], *anchors)}
    assert len(ids) == len(points) + ANCHORS
    for point, start in zip(points, second, strict=False):
        assert start.origin == SUPERNET
        assert start.candidate.plan["fc1"].weight.bits == point["fc1.weight_bits"]
        assert _same(pruned(weights, start.candidate.plan), start.candidate.weights)
    parent = whole.load_parent(second[0].candidate.architecture)
    assert parent is not None
    assert not any(np.array_equal(weights[key], value) for key, value in parent.weights.items())


@pytest.mark.slow
def test_the_plans_proposed_are_the_best_of_those_judged(
    whole: Study, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every plan judged again by QKeras with weights masked anew; no other one is better in both objectives."""
    judged = []
    counted = Searcher.counted

    def noting(self, candidate, rung=0):
        found = counted(self, candidate, rung)
        judged.append(found)
        return found

    monkeypatch.setattr(Searcher, "counted", noting)
    study = run_search(_config(file, "search.trials=1"), tmp_path / "study")
    assert _points(study) == _points(whole), "the phase depends on the seed alone"
    judged = judged[:60]
    assert len({one.id for one in judged}) == 60
    assert study.info["untrained"] == 60
    assert "60 plans evaluated without training" in (study.directory / "log.txt").read_text()
    config, weights = study.config, dict(np.load(study.directory / WEIGHTS))
    split = make_context(config, hold_back(load_dataset(config.data), config.search.holdback, config.seed)[0]).data.validation
    for candidate in judged[::6]:
        model = build(candidate.architecture, candidate.plan)
        set_weights(model, pruned(weights, candidate.plan))
        score = accuracy(split.y, logits(model, split.x), split.weight, kind="logits")
        assert candidate.metrics["accuracy_validation"] == score
    table = {one.id: (one.metrics["accuracy_validation"], one.cost["ebops"]) for one in judged}  # type: ignore[index]
    for point in _points(study):
        identity = [one for one in judged if _is(one, point)]
        assert len(identity) == 1, f"{point}: {len(identity)} candidates"
        score, ebops = table[identity[0].id]
        better = [row for row in table.values() if row[0] >= score and row[1] <= ebops and row != (score, ebops)]
        assert not better, f"{point} ({score}, {ebops}) is dominated by {better[0]}"


def _is(candidate, point: dict) -> bool:
    values = {}
    for name, layer in candidate.plan.items():
        values[f"{name}.weight_bits"], values[f"{name}.sparsity"] = layer.weight.bits, layer.sparsity
        if layer.activation is not None:
            values[f"{name}.activation_bits"] = layer.activation.bits
    return all(values[key] == value for key, value in point.items())


@pytest.mark.slow
def test_a_stopped_search_goes_on_with_the_stored_supernet(
    whole: Study, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StopError(Exception):
        pass

    def stop(progress) -> None:
        if progress.done == 13:
            raise StopError

    with pytest.raises(StopError):
        run_search(_config(file), tmp_path / "study", watch=stop)
    assert len(stored_lines(tmp_path / "study")) == 13

    def refuse(*arguments) -> None:
        raise AssertionError("the supernet was trained again")

    monkeypatch.setattr(PopulationEngine, "train_shared", refuse)
    study = run_search(_config(file), tmp_path / "study", resume=True)
    assert stored_lines(study.directory) == stored_lines(whole.directory)
    (study.directory / FOUND).write_text("{")
    with pytest.raises(InputError, match="damaged"):
        run_search(_config(file, "search.trials=21"), tmp_path / "study", resume=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "reason"),
    [("search.space.units=[4,8]", "several architectures"), ("train.engine=keras", "keras engine trains no shared weights")],
)
def test_where_there_is_no_such_phase_the_log_says_why(file: Path, tmp_path: Path, override: str, reason: str) -> None:
    study = run_search(_config(file, "search.trials=1", override), tmp_path / "study")
    assert reason in (study.directory / "log.txt").read_text()
    assert not (study.directory / FOUND).exists()
