"""Regression metrics against scikit-learn and hand-computed cases."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from qap.errors import InputError
from qap.metrics.regression import bias_per_target, resolution_per_target, rmse, rmse_per_target


def test_agrees_with_scikit_learn():
    random = np.random.default_rng(5)
    targets, weights = random.normal(size=(500, 3)), random.uniform(0, 2, 500)
    found = targets + random.normal(0.1, [0.1, 0.5, 2.0], (500, 3))
    for w in (None, weights):
        expected = sk.root_mean_squared_error(targets, found, sample_weight=w, multioutput="raw_values")
        np.testing.assert_allclose(rmse_per_target(targets, found, w), expected, rtol=1e-12)
        assert rmse(targets, found, w) == pytest.approx(expected.mean(), rel=1e-12)


def test_hand_computed():
    targets, found = np.array([0.0, 0.0, 0.0, 0.0]), np.array([1.0, -1.0, 1.0, 3.0])
    assert rmse_per_target(targets, found) == [pytest.approx(np.sqrt(12 / 4))]
    assert bias_per_target(targets, found) == [1.0]
    weights = np.array([1.0, 1.0, 1.0, 0.0])
    assert rmse_per_target(targets, found, weights) == [pytest.approx(1.0)]
    assert bias_per_target(targets, found, weights) == [pytest.approx(1 / 3)]
    assert resolution_per_target(targets, found, weights) == [1.0]


def test_resolution_of_gaussian_errors_is_blind_to_offset_and_tails():
    random = np.random.default_rng(7)
    errors = random.normal(0.0, 2.0, 400_000)
    plain = resolution_per_target(np.zeros_like(errors), errors)[0]
    assert plain == pytest.approx(2.0 * 0.99446, rel=5e-3)
    assert resolution_per_target(np.zeros_like(errors), errors + 5)[0] == pytest.approx(plain, rel=1e-12)
    errors[:100] = 1e6
    assert resolution_per_target(np.zeros_like(errors), errors)[0] == pytest.approx(plain, rel=5e-3)
    assert rmse(np.zeros_like(errors), errors) > 1000


def test_a_weight_of_three_is_the_event_three_times():
    random = np.random.default_rng(11)
    targets, found, counts = random.normal(size=300), random.normal(size=300), random.integers(1, 4, 300)
    for metric in (rmse_per_target, bias_per_target, resolution_per_target):
        repeated = metric(np.repeat(targets, counts), np.repeat(found, counts))
        np.testing.assert_allclose(metric(targets, found, counts), repeated, rtol=1e-12)


@pytest.mark.parametrize(
    ("targets", "found", "weights", "message"),
    [
        ([[1.0, 2]], [[1.0]], None, r"shape of the targets \(1, 2\), received \(1, 1\)"),
        ([1.0, 2], [1.0, np.inf], None, "event 1"),
        ([1.0, 2], [1.0, 2], [1.0], "one per event"),
        ([], [], None, "shape of the targets"),
    ],
)
def test_wrong_input(targets, found, weights, message):
    with pytest.raises(InputError, match=message):
        rmse(np.array(targets), np.array(found), None if weights is None else np.array(weights))
