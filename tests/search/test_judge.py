"""The front that a search has found, scored again on the events that it never saw."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from qap.candidate import Candidate
from qap.config.load import load_config
from qap.config.schema import Study as Config
from qap.datasets.dataset import Dataset, Split, prepare
from qap.datasets.hold_back import hold_back
from qap.errors import QapError
from qap.models.builders import quantize_weights
from qap.search import rescore
from qap.search.context import make_context
from qap.search.judge import Verdict, judge
from qap.search.run import run_search, trained
from qap.search.study import LOG, Study

from ..conftest import INPUT, blobs

SMALL = [
    "model.hidden=[8]", "train.batch=200", "train.parent_epochs=3", "train.epochs=2", "prune.frequency=2", "data.input.bits=8",
    "search.strategy=random", "search.space.sparsity=[0.0,0.5]", "search.trials=16", "search.holdback=0.5",
    "firmware.build=false",
]  # fmt: skip


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Few validation events: the front of the search holds lucky ones."""
    return prepare(blobs(2400, features=4, classes=3), INPUT, split=(0.6, 0.1, 0.3))


def _config(*overrides: str) -> Config:
    return load_config(None, [*SMALL, *overrides])


def _study(config: Config, data: Dataset, directory: Path) -> Study:
    return run_search(config, directory, data=data)


@pytest.fixture(scope="module")
def study(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return _study(_config(), data, tmp_path_factory.mktemp("judge") / "study")


def _judged(study: Study, data: Dataset) -> Verdict:
    return judge(study, make_context(study.config, data))


def _outputs(study: Study, candidate: Candidate, split: Split) -> np.ndarray:
    """The network in NumPy, from the stored weights."""
    h = split.x.astype(np.float64)
    quantized = quantize_weights(candidate.plan, study.weights(candidate))
    for name, layer in candidate.plan.items():
        h = h @ quantized[f"{name}/kernel"] + quantized[f"{name}/bias"]
        h = h if layer.activation is None else layer.activation.quantize(h)
    return h


def _accuracy(study: Study, candidate: Candidate, split: Split) -> float:
    return float(np.mean(_outputs(study, candidate, split).argmax(axis=1) == split.y))


def _front(points: dict[str, tuple[float, float]]) -> set[str]:
    """Pair by pair: the names that no other one beats (accuracy up, cost down)."""
    beaten = {one for one, (a, c) in points.items() for b, d in points.values() if b >= a and d <= c and (b, d) != (a, c)}
    return set(points) - beaten


def test_the_front_is_that_of_the_held_back_events_among_the_searchs_own(study: Study, data: Dataset) -> None:
    searched, held = hold_back(data, 0.5, study.config.seed)
    ebops = {c.id: c.cost["ebops"] for c in trained(study) if c.cost}
    seen = {c.id: (_accuracy(study, c, searched.validation), ebops[c.id]) for c in trained(study)}
    for candidate in trained(study):
        assert candidate.metrics["accuracy_validation"] == pytest.approx(seen[candidate.id][0], abs=1e-12)
    chosen = _front(seen)
    again = {c.id: (_accuracy(study, c, held), ebops[c.id]) for c in trained(study) if c.id in chosen}
    verdict = _judged(study, data)
    kept = [one.candidate for one in verdict.judged]
    print(f"{len(chosen)} on the search's front, {len(kept)} kept, {[c.id for c in verdict.left]} left")
    assert {c.id for c in kept} | {c.id for c in verdict.left} <= chosen
    assert {again[c.id] for c in kept} == {again[name] for name in _front(again)}, "of equal ones one stays"
    for candidate in [*kept, *verdict.left]:
        assert candidate.metrics["accuracy_selection"] == pytest.approx(seen[candidate.id][0], abs=1e-12)
        assert candidate.metrics["accuracy_validation"] == pytest.approx(again[candidate.id][0], abs=1e-12)
    scores = [(c.cost["ebops"], c.metrics["accuracy_validation"]) for c in kept if c.cost]
    assert all(a < b and x < y for (a, x), (b, y) in itertools.pairwise(scores)), scores
    log = (study.directory / LOG).read_text()
    assert verdict.left, "the data are meant to make some lucky"
    for candidate in verdict.left:
        assert f"candidate {candidate.id} left the front: on the events held back others are as good or better" in log


def test_judged_again_nothing_is_rebuilt_and_nothing_changes(
    study: Study, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _judged(study, data)

    def fail(*arguments: object) -> None:
        raise AssertionError("rebuilt again")

    monkeypatch.setattr(rescore, "rebuild", fail)
    second = _judged(study, data)
    for one, two in zip(first.judged, second.judged, strict=True):
        assert one.candidate.metrics == two.candidate.metrics
        np.testing.assert_array_equal(one.outputs, two.outputs)
    assert [c.metrics for c in first.left] == [c.metrics for c in second.left]


def test_what_was_scored_before_another_training_is_scored_again(study: Study, data: Dataset) -> None:
    verdict = _judged(study, data)
    one = verdict.judged[0].candidate
    path = study.candidate_directory(one) / rescore.STORED
    noted = json.loads(path.read_text())
    noted["search"]["loss_train"] += 1
    noted["held_back"]["accuracy"] = 0.123
    path.write_text(json.dumps(noted))
    again = _judged(study, data).judged[0].candidate
    assert again.metrics == one.metrics
    assert json.loads(path.read_text())["held_back"]["accuracy"] == one.metrics["accuracy_validation"]


def test_nothing_held_back_leaves_the_searchs_front(data: Dataset, tmp_path: Path) -> None:
    study = _study(_config("search.holdback=0", "search.trials=4"), data, tmp_path / "study")
    verdict = _judged(study, data)
    assert not verdict.left
    for one in verdict.judged:
        assert not [name for name in one.candidate.metrics if name.endswith("_selection")]
        expected = _accuracy(study, one.candidate, data.validation)
        assert one.candidate.metrics["accuracy_validation"] == pytest.approx(expected, abs=1e-12)


def test_a_drop_in_accuracy_counts_on_the_held_back_events(data: Dataset, tmp_path: Path) -> None:
    study = _study(_config("search.constraints={accuracy_drop: 0.2}"), data, tmp_path / "study")
    _, held = hold_back(data, 0.5, study.config.seed)
    verdict = _judged(study, data)
    for candidate in [*(one.candidate for one in verdict.judged), *verdict.left]:
        parent = study.load_parent(candidate.architecture)
        assert parent is not None
        h = held.x.astype(np.float64)
        for name in ("fc1", "output"):
            h = h @ parent.weights[f"{name}/kernel"] + parent.weights[f"{name}/bias"]
            h = np.maximum(h, 0) if name != "output" else h
        drop = float(np.mean(h.argmax(axis=1) == held.y)) - _accuracy(study, candidate, held)
        assert candidate.metrics["accuracy_drop"] == pytest.approx(drop, abs=1e-9)
    assert all(one.candidate.metrics["accuracy_drop"] <= 0.2 for one in verdict.judged)
    strict = Study(study.directory, _config("search.constraints={accuracy_drop: 0.2, ebops: 1}"))
    with pytest.raises(QapError, match="none of .* candidates keeps the constraints"):
        _judged(strict, data)


@pytest.mark.parametrize("objectives", ["[auc_worst,ebops]", "[signal_efficiency,auc,weight_memory_bits]"])
def test_any_score_may_be_the_objective(data: Dataset, tmp_path: Path, objectives: str) -> None:
    signal = "search.signal={class: 1, background_efficiency: 0.1}"
    config = _config(f"search.objectives={objectives}", signal, "search.trials=6")
    study = _study(config, data, tmp_path / "study")
    names = [name for name in config.search.objectives if name in ("auc", "auc_worst", "signal_efficiency")]
    _, held = hold_back(data, 0.5, config.seed)
    for one in _judged(study, data).judged:
        h = _outputs(study, one.candidate, held)
        odds = [h[:, k] - np.log(np.exp(np.delete(h, k, axis=1)).sum(axis=1)) for k in range(3)]
        areas = []
        for k in range(3):
            signal_odds, other = odds[k][held.y == k][:, None].round(9), odds[k][held.y != k].round(9)
            areas.append(np.mean((signal_odds > other) + 0.5 * (signal_odds == other)))
        cuts = np.unique(odds[1].round(9))
        passed = [(odds[1].round(9) >= cut) for cut in cuts]
        efficiency = max((np.mean(p[held.y == 1]) for p in passed if np.mean(p[held.y != 1]) <= 0.1 + 1e-9), default=0.0)
        expected = {"auc": np.mean(areas), "auc_worst": min(areas), "signal_efficiency": efficiency}
        for name in names:
            assert one.candidate.metrics[f"{name}_validation"] == pytest.approx(expected[name], abs=1e-9), name


def test_a_regression_on_its_resolution(regression_data: Dataset, tmp_path: Path) -> None:
    study = _study(_config("search.objectives=[resolution,ebops]", "search.trials=5"), regression_data, tmp_path / "study")
    _, held = hold_back(regression_data, 0.5, study.config.seed)
    verdict = _judged(study, regression_data)
    for one in verdict.judged:
        residuals = _outputs(study, one.candidate, held) - held.y
        halves = []
        for residual in residuals.T:
            order = np.argsort(residual)
            share = np.cumsum(held.weight[order].astype(np.float64)) / held.weight.sum(dtype=np.float64)
            low, high = (residual[order][np.argmax(share >= level)] for level in (0.16, 0.84))
            halves.append((high - low) / 2)
        assert one.candidate.metrics["resolution_validation"] == pytest.approx(np.mean(halves), rel=1e-5)
        assert one.candidate.metrics["resolution_selection"] > 0
