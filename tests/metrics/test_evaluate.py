"""The metrics of a split by name are those of independent computations, event weights included."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, mean_squared_error, roc_auc_score, roc_curve

from qap.datasets.dataset import Split
from qap.metrics import evaluate as module
from qap.metrics.evaluate import Metrics, evaluate


@pytest.fixture
def events() -> tuple[Split, np.ndarray, np.ndarray]:
    """Labels and weights, logits that rank the classes well, their softmax."""
    generator = np.random.default_rng(0)
    labels, weights = generator.integers(0, 3, 4000), generator.uniform(0, 2, 4000)
    logits = generator.normal(0, 1, (4000, 3))
    logits[np.arange(4000), labels] += np.array([1.0, 2.0, 3.0])[labels]
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Split(np.zeros((4000, 1)), labels, weights), logits, shares


def test_classification_against_scikit_learn(events) -> None:
    split, logits, shares = events
    found = evaluate("classification", split, logits, Metrics(background_efficiency=0.05))
    areas, efficiencies = [], []
    for k in range(3):
        areas.append(roc_auc_score(split.y == k, shares[:, k], sample_weight=split.weight))
        false, true, _ = roc_curve(split.y == k, shares[:, k], sample_weight=split.weight, drop_intermediate=False)
        efficiencies.append(true[false <= 0.05].max())
    assert list(found) == ["accuracy", "auc", "auc_worst", "signal_efficiency"]
    assert found["accuracy"] == pytest.approx(accuracy_score(split.y, logits.argmax(axis=1), sample_weight=split.weight))
    assert found["auc"] == pytest.approx(np.mean(areas), abs=1e-12)
    assert found["auc_worst"] == pytest.approx(min(areas), abs=1e-12)
    assert np.ptp(areas) > 0.02, "the classes must differ, else worst and mean cannot be told apart"
    assert found["signal_efficiency"] == pytest.approx(np.mean(efficiencies), abs=1e-12)
    for k in range(3):
        one = evaluate("classification", split, logits, Metrics(("signal_efficiency",), k, 0.05))
        assert one["signal_efficiency"] == pytest.approx(efficiencies[k], abs=1e-12), k


def test_no_event_beyond_the_working_point_passes_the_cut(events) -> None:
    """The efficiency is that of a real cut: brute force over every cut, with ties on a coarse grid."""
    split, logits, _ = events
    coarse = np.rint(logits)
    for most in (1e-4, 0.01, 0.3):
        found = evaluate("classification", split, coarse, Metrics(("signal_efficiency",), 1, most))["signal_efficiency"]
        odds = np.log(np.exp(coarse[:, 1]) / (np.exp(coarse[:, 0]) + np.exp(coarse[:, 2]))).round(9)
        signal = split.y == 1
        best = 0.0
        for cut in np.unique(odds):
            passed = odds >= cut
            if split.weight[passed & ~signal].sum() / split.weight[~signal].sum() <= most:
                best = max(best, split.weight[passed & signal].sum() / split.weight[signal].sum())
        assert found == pytest.approx(best, abs=1e-12), most


def test_regression_with_event_weights() -> None:
    generator = np.random.default_rng(1)
    targets, outputs, weights = generator.normal(size=(300, 2)), generator.normal(size=(300, 2)), generator.uniform(0, 2, 300)
    found = evaluate("regression", Split(np.zeros((300, 1)), targets, weights), outputs)
    halves = []
    for residual in (outputs - targets).T:
        order = np.argsort(residual)
        share = np.cumsum(weights[order]) / weights.sum()
        low, high = (residual[order][np.argmax(share >= level)] for level in (0.16, 0.84))
        halves.append((high - low) / 2)
    squares = [mean_squared_error(targets[:, k], outputs[:, k], sample_weight=weights) for k in range(2)]
    assert list(found) == ["rmse", "resolution"]
    assert found["rmse"] == pytest.approx(np.mean(np.sqrt(squares)))
    assert found["resolution"] == pytest.approx(np.mean(halves), abs=1e-12)


def test_only_what_is_named_is_computed(events, monkeypatch: pytest.MonkeyPatch) -> None:
    split, logits, _ = events
    assert list(evaluate("classification", split, logits, Metrics(("auc_worst",)))) == ["accuracy", "auc_worst"]

    def fail(*arguments, **options):
        raise AssertionError("ROC curves that nobody asked for")

    monkeypatch.setattr(module.classification, "full_roc", fail)
    monkeypatch.setattr(module.regression, "resolution", fail)
    assert list(evaluate("classification", split, logits, Metrics(()))) == ["accuracy"]
    lines = Split(np.zeros((4000, 1)), logits, split.weight)
    assert list(evaluate("regression", lines, logits, Metrics(("accuracy", "auc")))) == ["rmse"]
