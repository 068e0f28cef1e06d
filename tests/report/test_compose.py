"""The report of a real study: scores of the choice and of the events held back, and neighbours on the same draws."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import numpy as np
import pytest

from qap.commands.search import summary
from qap.config.load import load_config
from qap.datasets.dataset import Dataset, prepare
from qap.report.data import Report
from qap.report.page import render
from qap.report.view import best
from qap.report.write import run_study
from qap.search.study import Study

from ..conftest import INPUT, blobs

SMALL = [
    "model.hidden=[10]", "train.batch=100", "train.parent_epochs=8", "train.epochs=3", "prune.frequency=2", "data.input.bits=8",
    "search.strategy=random", "search.space.sparsity=[0.0,0.5]", "search.trials=24", "firmware.build=false",
    "report.bootstrap=40", "seed=4",
]  # fmt: skip


@pytest.fixture(scope="module")
def few() -> Dataset:
    """Few validation events: the front of the search holds lucky ones."""
    return prepare(blobs(2400, features=4, classes=3), INPUT, split=(0.6, 0.1, 0.3))


@pytest.fixture(scope="module")
def studied(few: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    directory = tmp_path_factory.mktemp("compose") / "study"
    return run_study(load_config(None, SMALL), directory, data=few), directory


@pytest.fixture(scope="module")
def regressed(regression_data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    directory = tmp_path_factory.mktemp("compose") / "study"
    overrides = [*SMALL, "search.objectives=[resolution,ebops]"]
    return run_study(load_config(None, overrides), directory, data=regression_data), directory


def _outputs(directory: Path, name: str) -> np.ndarray:
    with np.load(directory / "candidates" / name / "outputs.npz") as file:
        return file["outputs"]


def _brute_force(score, events: int, seed: int) -> tuple[float, float, float]:
    """Draw the events one replica after another and take the percentiles."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(40):
        found.append(score(generator.integers(0, events, events)))
    return score(np.arange(events)), *np.quantile(found, [0.16, 0.84])


def test_neighbours_are_compared_on_the_same_draws(studied, few: Dataset) -> None:
    report, directory = studied
    assert len(report.front) >= 3
    assert report.left, "the data are meant to make some lucky"
    pairs = [(one.id, two.id) for one, two in itertools.pairwise(report.front)]
    assert [(found.cheaper, found.dearer) for found in report.neighbours] == pairs
    for found in report.neighbours:
        right = [_outputs(directory, name).argmax(axis=1) == few.test.y for name in (found.cheaper, found.dearer)]
        expected = _brute_force(lambda drawn, r=right: r[1][drawn].mean() - r[0][drawn].mean(), len(few.test), 4)
        interval = found.difference
        assert (interval.value, interval.low, interval.high) == pytest.approx(expected, abs=1e-12)
        assert report.better(found) == (expected[1] > 0)
    scores = {entry.id: entry.score.value for entry in report.front}
    for found in report.neighbours:
        assert found.difference.value == pytest.approx(scores[found.dearer] - scores[found.cheaper], abs=1e-12)


def test_neighbours_of_a_regression_with_event_weights(regressed, regression_data: Dataset) -> None:
    report, directory = regressed
    test = regression_data.test
    for found in report.neighbours:
        errors = [(_outputs(directory, name) - test.y).astype(np.float64) ** 2 for name in (found.cheaper, found.dearer)]

        def score(drawn: np.ndarray, errors=errors) -> float:
            means = [np.average(e[drawn], axis=0, weights=test.weight[drawn].astype(np.float64)) for e in errors]
            return float(np.sqrt(means[1]).mean() - np.sqrt(means[0]).mean())

        expected = _brute_force(score, len(test), 4)
        assert (found.difference.value, found.difference.low, found.difference.high) == pytest.approx(expected, rel=1e-5)
        assert report.better(found) == (expected[2] < 0), "a smaller RMSE is better"


def test_the_flattering_is_that_of_the_searchs_front(studied) -> None:
    report, directory = studied
    noted = {record.candidate.id: record.candidate.metrics["accuracy_validation"] for record in Study.open(directory).records()}
    chosen = [*report.front, *report.left]
    assert all(entry.accuracy_selection == noted[entry.id] for entry in chosen)
    gains = [entry.accuracy_selection - entry.accuracy_validation for entry in chosen]
    assert report.search.flattering == pytest.approx(np.mean(gains), abs=1e-12)
    assert (report.data.n_validation, report.data.n_held_back) == (240, 120)
    assert report.reference.accuracy_selection != report.reference.accuracy_validation
    text = " ".join(render(report).split())
    assert "120 of the 240 validation events were held back" in text
    by, way = round(abs(100 * report.search.flattering), 2), "better" if report.search.flattering > 0 else "worse"
    assert f"its front scores {by} points of accuracy {way} on average than on those held back" in text
    for one in report.left:
        assert f"<code>{one.id}</code>" in text


def test_the_table_holds_both_scores_and_rises_strictly(studied) -> None:
    report, directory = studied
    rows = list(csv.DictReader((directory / "front.csv").open()))
    assert list(rows[0])[:3] == ["id", "accuracy_selection", "accuracy_validation"]
    pairs = [(float(row["ebops"]), float(row["accuracy_validation"])) for row in rows]
    assert all(a < b and x < y for (a, x), (b, y) in itertools.pairwise(pairs)), pairs
    assert [float(row["accuracy_selection"]) for row in rows] == [entry.accuracy_selection for entry in report.front]
    assert Report.load(directory / "report.json") == report


def test_an_objective_beside_the_score_is_shown_where_the_front_is(regressed) -> None:
    report, directory = regressed
    rows = list(csv.DictReader((directory / "front.csv").open()))
    for entry, row in zip(report.front, rows, strict=True):
        mean = np.mean([target.resolution for target in entry.targets])
        assert float(row["resolution"]) == pytest.approx(mean, rel=1e-12)
        assert float(row["resolution_validation"]) == entry.validation["resolution"]
    resolutions = [entry.validation["resolution"] for entry in report.front]
    assert resolutions == sorted(resolutions, reverse=True)
    text = summary(report, directory)
    header, *lines = text.splitlines()
    assert header.split() == ["candidate", "rmse", "68", "%", "interval", "resolution", "EBOPs", "zeros", "bit-exact"]
    assert f"{np.mean([target.resolution for target in report.front[0].targets]):.4f}" in lines[0]
    assert "<th>resolution</th>" in render(report)


def test_nothing_held_back_is_not_spoken_of(few: Dataset, tmp_path: Path) -> None:
    report = run_study(load_config(None, [*SMALL, "search.holdback=0", "search.trials=3"]), tmp_path / "study", data=few)
    assert report.search.flattering is None
    assert all(entry.score_selection is None for entry in report.front)
    text = render(report)
    assert "held back" not in text
    assert "at the choice" not in text
    assert "accuracy_selection" not in (tmp_path / "study" / "front.csv").read_text()


def test_the_table_at_the_end_shows_the_objectives_alone(few: Dataset, tmp_path: Path) -> None:
    """EBOPs are no objective here: memory and signal efficiency are what the study is about."""
    signal = ["search.objectives=[signal_efficiency,weight_memory_bits]", "search.signal={class: c1, background_efficiency: 0.2}"]
    report = run_study(load_config(None, [*SMALL, *signal, "search.trials=4"]), tmp_path / "study", data=few)
    header, *lines = summary(report, tmp_path).splitlines()
    assert "EBOPs" not in header
    assert header.split()[:8] == ["candidate", "accuracy", "68", "%", "interval", "signal", "eff.", "weight"]
    entry = report.front[0]
    outputs = _outputs(tmp_path / "study", entry.id)
    odds = (outputs[:, 1] - np.log(np.exp(outputs[:, [0, 2]]).sum(axis=1))).round(9)
    passed = [odds >= cut for cut in np.unique(odds)]
    true = few.test.y == 1
    best = max((p[true].mean() for p in passed if p[~true].mean() <= 0.2 + 1e-9), default=0.0)
    assert entry.signal_efficiency == pytest.approx(best, abs=1e-9)
    assert f"{best:.4f}" in lines[0]
    assert f"{entry.cost['weight_memory_bits']:,.0f}" in lines[0]
    assert "of c1 at a background efficiency of 0.2" in render(report)


def test_what_the_page_draws_is_that_of_the_stored_models(studied, few: Dataset) -> None:
    """Calibration, efficiency by cut and the distributions, from the stored outputs and weights alone."""
    report, directory = studied
    study = Study.open(directory)
    stored = {record.candidate.id: record.candidate for record in study.records()}
    for entry in report.front:
        odds = np.exp(_outputs(directory, entry.id).astype(np.float64))
        found = odds / odds.sum(axis=1, keepdims=True)
        named, truth = found.argmax(axis=1), few.test.y
        gaps = 0.0
        for i, events in enumerate(entry.calibration.events):
            inside = (found.max(axis=1) > i / 15) & (found.max(axis=1) <= (i + 1) / 15)
            assert events == inside.sum()
            if events:
                assert entry.calibration.accuracy[i] == pytest.approx((named == truth)[inside].mean(), abs=1e-5)
                gaps += abs(found.max(axis=1)[inside].sum() - (named == truth)[inside].sum())
        assert entry.calibration.expected_error == pytest.approx(gaps / len(truth), abs=1e-6)
        for k, curve in enumerate(entry.efficiency):
            for cut, signal, background in zip(np.linspace(0, 1, 41), curve.signal, curve.background, strict=True):
                kept = found[:, k] >= cut - 1e-9
                assert (signal, background) == pytest.approx((kept[truth == k].mean(), kept[truth != k].mean()), abs=1e-3)
        weights = study.weights(stored[entry.id])
        for layer in entry.layers:
            kernel = weights[f"{layer.name}/kernel"]
            assert sum(layer.weights.counts) == np.count_nonzero(kernel)
            assert (layer.weights.range_low, layer.weights.range_high) == (layer.weight.low, layer.weight.high)
            assert (layer.outputs is None) == (layer.activation is None)
            if layer.outputs is not None:
                assert sum(layer.outputs.counts) <= kernel.shape[-1] * len(few.validation)


def test_training_curves_are_those_of_the_store(studied) -> None:
    report, directory = studied
    stored = {record.candidate.id: record.candidate.losses for record in Study.open(directory).records()}
    for entry in report.front:
        assert dict(entry.losses) == stored[entry.id]
        assert len(entry.losses["hard"]) == 3, "one for each epoch"
    assert (directory / "figures" / f"training_{best(report).id}.pdf").stat().st_size > 5000


def test_residuals_are_those_of_the_stored_outputs(regressed, regression_data: Dataset) -> None:
    report, directory = regressed
    test = regression_data.test
    for entry in report.front:
        found = (_outputs(directory, entry.id).astype(np.float64) - test.y).T
        for values, target in zip(found, entry.targets, strict=True):
            histogram = target.residuals
            bins = np.floor((values + histogram.end) / (2 * histogram.end) * len(histogram.shares)).astype(int)
            for k in (0, 11, 20, 33):
                assert histogram.shares[k] == pytest.approx(test.weight[bins == k].sum() / test.weight.sum(), abs=2e-3)
            assert histogram.below == pytest.approx(np.average(values < -histogram.end, weights=test.weight), abs=1e-6)


def test_every_candidate_tried_keeps_its_plan_and_its_cost(studied) -> None:
    report, directory = studied
    stored = {record.candidate.id: record.candidate for record in Study.open(directory).records()}
    assert len(report.tried) == len(stored)
    for one in report.tried:
        candidate = stored[one.id]
        assert [layer.name for layer in one.plan] == list(candidate.plan)
        assert all(layer.weight == candidate.plan[layer.name].weight for layer in one.plan)
        assert one.cost["weight_memory_bits"] == candidate.cost["weight_memory_bits"]
        assert one.score_validation == candidate.metrics["accuracy_validation"]
    assert report.timing.bunch_crossing_ns == 25.0
    assert report.part.name == "xcvu13p"
