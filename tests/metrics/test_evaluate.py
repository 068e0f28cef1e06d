"""The metrics of a split by name are those of the single functions, event weights included."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import accuracy_score, mean_squared_error, roc_auc_score

from qap.datasets.dataset import Split
from qap.metrics.evaluate import evaluate


def test_classification_with_event_weights() -> None:
    generator = np.random.default_rng(0)
    labels, logits, weights = generator.integers(0, 3, 500), generator.normal(0, 2, (500, 3)), generator.uniform(0, 2, 500)
    found = evaluate("classification", Split(np.zeros((500, 1)), labels, weights), logits)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    areas = [roc_auc_score(labels == k, shares[:, k], sample_weight=weights) for k in range(3)]
    assert set(found) == {"accuracy", "auc"}
    assert np.isclose(found["accuracy"], accuracy_score(labels, logits.argmax(axis=1), sample_weight=weights))
    assert abs(found["auc"] - np.mean(areas)) < 5e-3, "ranked by log-odds, which the probability of one class follows"


def test_regression_with_event_weights() -> None:
    generator = np.random.default_rng(1)
    targets, outputs, weights = generator.normal(size=(300, 1)), generator.normal(size=(300, 1)), generator.uniform(0, 2, 300)
    found = evaluate("regression", Split(np.zeros((300, 1)), targets, weights), outputs)
    assert found.keys() == {"rmse"}
    assert np.isclose(found["rmse"], np.sqrt(mean_squared_error(targets, outputs, sample_weight=weights)))
