"""Fits against other solvers, bands against numbers worked out by hand and against simulated new groups."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from qap.cost.fit import COVERAGE, MANY_GROUPS, Fit, bounds, fit, residual_band

NAMES = ("a", "b", "useless")


def _rows(count: int, groups: int, noise: float, seed: int) -> tuple[list[dict[str, float]], np.ndarray, np.ndarray]:
    """Rows of the law 3a + 0.5b, with a factor exp(noise · normal) of each group and a tenth of it of each row."""
    generator = np.random.default_rng(seed)
    values = generator.uniform([10, 100, 0], [100, 5000, 1000], (count, 3))
    labels = np.arange(count) % groups
    factor = np.exp(noise * generator.normal(size=groups))[labels] * np.exp(noise / 10 * generator.normal(size=count))
    truth = (values @ [3, 0.5, 0]) * factor
    return [dict(zip(NAMES, row, strict=True)) for row in values.tolist()], truth, labels.astype(str)


def _brute(matrix: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Non-negative least squares of the relative error by another solver."""
    weight = 1 / np.maximum(truth, 1)
    return lsq_linear(matrix * weight[:, None], truth * weight, bounds=(0, np.inf), tol=1e-14).x


def test_coefficients_are_recovered() -> None:
    rows, truth, groups = _rows(200, 25, 0.02, seed=1)
    found = dict(zip(NAMES, fit(rows, truth, groups, NAMES).coefficients, strict=True))
    assert found["a"] == pytest.approx(3, rel=0.03)
    assert found["b"] == pytest.approx(0.5, rel=0.01)
    assert 0 <= found["useless"] < 0.03


@pytest.mark.parametrize("absolute", [False, True])
def test_errors_and_band_are_those_of_groups_left_out(absolute: bool) -> None:
    rows, truth, groups = _rows(40, 6, 0.2, seed=2)
    made = fit(rows, truth, groups, NAMES, absolute=absolute)
    matrix = np.array([[row[name] for name in NAMES] for row in rows])
    estimate = np.empty(len(truth))
    for name in set(groups):
        out = groups == name
        estimate[out] = matrix[out] @ _brute(matrix[~out], truth[~out])
    relative = np.abs(estimate - truth) / truth
    error = made.error
    assert (error.rows, error.groups) == (40, 6)
    assert error.median == pytest.approx(np.median(relative), rel=1e-4)
    assert error.p90 == pytest.approx(np.quantile(relative, 0.9), rel=1e-4)
    assert error.largest == pytest.approx(relative.max(), rel=1e-4)
    assert made.coefficients == pytest.approx(_brute(matrix, truth), rel=1e-4, abs=1e-6)
    residuals = truth - estimate if absolute else np.log((truth + 1) / (estimate + 1))
    squares = [np.mean(residuals[groups == name] ** 2) for name in sorted(set(groups))]
    half = 2.015048 * math.sqrt(np.mean(squares) * 7 / 6)  # Student's t, 5 degrees of freedom, 95 %
    assert made.band == pytest.approx((half, half), rel=1e-4)
    inside = []
    for name in sorted(set(groups)):  # bands made without the group
        rest = [np.mean(residuals[groups == other] ** 2) for other in sorted(set(groups)) if other != name]
        limit = 2.131847 * math.sqrt(np.mean(rest) * 6 / 5)
        inside.extend(np.abs(residuals[groups == name]) <= limit)
    assert error.covered == pytest.approx(np.mean(inside))


def test_band_of_few_groups_by_hand() -> None:
    residuals, groups = np.array([0.1, -0.1, 0.2, 0.0]), np.array(["a", "a", "b", "c"])
    # mean squares 0.01, 0.04, 0; their mean 1/60; × (1 + 1/3) = 1/45; root 0.149071; t(2, 95 %) = 2.919986
    assert residual_band(residuals, groups) == pytest.approx((0.435285, 0.435285), abs=1e-6)
    assert residual_band(np.zeros(4), groups) == (0, 0)


def test_band_of_many_groups_by_hand() -> None:
    residuals = np.arange(-30, 69) / 100  # 99 values, 100 intervals: the band leaves out the outer five on either side
    assert residual_band(residuals, np.arange(99)) == pytest.approx((0.26, 0.64))
    assert residual_band(np.arange(1, 100) / 100, np.arange(99))[0] == 0  # all above: nothing is taken away


@pytest.mark.parametrize("count", [3, 5, 12, MANY_GROUPS, 60])
def test_nine_of_ten_new_groups_lie_in_the_band(count: int) -> None:
    generator, trials = np.random.default_rng(7), 4000
    inside = 0
    for _ in range(trials):
        low, high = residual_band(generator.normal(0, 0.3, count), np.arange(count))
        inside += -low <= generator.normal(0, 0.3) <= high
    assert COVERAGE - 0.02 <= inside / trials <= 0.96, (count, inside / trials)


def test_a_rule_is_measured_and_not_changed() -> None:
    rows = [{"a": float(value), "b": 0.0} for value in range(1, 7)]
    made = fit(rows, np.array([2, 4, 6, 8, 10, 13]), np.array(list("aabbcc")), ("a", "b"), fixed=(2.0, 9.0), absolute=True)
    assert made.coefficients == (2.0, 9.0)
    assert made.error.median == 0
    assert made.error.largest == pytest.approx(1 / 13)
    assert made.value({"a": 4.0, "b": 1.0}) == 17
    exact = fit(rows, np.arange(2, 14, 2), np.array(list("aabbcc")), ("a",), fixed=(2.0,), absolute=True)
    assert exact.band == (0, 0)
    assert exact.bounds(8.0) == (8.0, 8.0)
    assert exact.error.covered == 1


def test_reports_of_zero_count_as_one() -> None:
    made = fit([{"a": 1.0}] * 4, np.array([0, 0, 0, 3]), np.array(list("abcd")), ("a",), fixed=(1.0,))
    assert (made.error.median, made.error.largest) == (1, 1)


@given(
    st.floats(0, 1e6), st.tuples(st.floats(0, 3), st.floats(0, 3)), st.booleans(),
)  # fmt: skip
def test_a_value_lies_in_its_band(value: float, band: tuple[float, float], absolute: bool) -> None:
    low, high = bounds(value, band, absolute)
    assert 0 <= low <= value + 1e-9 * (value + 1)
    assert high >= value - 1e-9 * (value + 1)


def test_the_plain_form_is_complete() -> None:
    rows, truth, groups = _rows(20, 4, 0.1, seed=3)
    made = fit(rows, truth, groups, NAMES)
    assert Fit.from_dict(json.loads(json.dumps(made.to_dict()))) == made
