"""Calibration against scikit-learn, hand-computed cases and events whose calibration is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn import metrics as sk

from qap.errors import InputError
from qap.metrics.calibration import brier, ece, mce, nll, probabilities, reliability, temperature
from qap.metrics.classification import accuracy

from .test_classification import softmax, task


@pytest.mark.parametrize("classes", [2, 3, 5, 10])
@pytest.mark.parametrize("weighted", [False, True])
def test_agrees_with_scikit_learn(classes, weighted):
    labels, logits, weights = task(classes=classes)
    chosen = weights if weighted else None
    p = softmax(logits)
    np.testing.assert_allclose(probabilities(logits), p, rtol=0, atol=1e-15)
    for scores in (logits, p):
        expected = sk.log_loss(labels, p, sample_weight=chosen, labels=range(classes))
        assert nll(labels, scores, chosen) == pytest.approx(expected, abs=1e-12)
        expected = sk.brier_score_loss(labels, p if classes > 2 else p[:, 1], sample_weight=chosen, labels=range(classes))
        assert brier(labels, scores, chosen) == pytest.approx(expected, abs=1e-12)


def test_expected_calibration_error_by_hand():
    labels = np.array([0, 1, 0, 1, 1])
    p = np.array([[0.9, 0.1], [0.7, 0.3], [0.62, 0.38], [0.2, 0.8], [0.5, 0.5]])
    # five bins of 0.2: (0.4, 0.6] has 0.5 (named 0, wrong); (0.6, 0.8] has 0.7 wrong, 0.62 right and 0.8 right, on its edge;
    # (0.8, 1] has 0.9 right
    found = reliability(labels, p, bins=5)
    np.testing.assert_array_equal(found.events, [0, 0, 1, 3, 1])
    np.testing.assert_allclose(found.confidence[2:], [0.5, 2.12 / 3, 0.9], atol=1e-15)
    np.testing.assert_allclose(found.accuracy[2:], [0, 2 / 3, 1])
    assert np.isnan(found.confidence[:2]).all()
    assert np.isnan(found.accuracy[:2]).all()
    expected = (1 * 0.5 + 3 * (2.12 / 3 - 2 / 3) + 1 * 0.1) / 5
    assert ece(labels, p, bins=5) == pytest.approx(expected, abs=1e-15)
    assert mce(labels, p, bins=5) == 0.5
    weights = np.array([1.0, 0, 2, 2, 5])  # (0.6, 0.8]: 0.62 and 0.8, both right
    expected = (5 * 0.5 + 4 * (1 - 0.71) + 1 * 0.1) / 10
    assert ece(labels, p, weights, bins=5) == pytest.approx(expected, abs=1e-15)
    assert ece(labels, p, bins=1) == pytest.approx(abs((0.9 + 0.7 + 0.62 + 0.8 + 0.5) / 5 - 3 / 5))


def test_edges_belong_to_the_bin_below():
    confidences = np.linspace(0, 1, 11)[6:]  # 0.6 … 1 as the edges have them
    p = np.stack([confidences, 1 - confidences], axis=1)
    found = reliability(np.zeros(5, int), p, kind="probabilities", bins=10)
    np.testing.assert_array_equal(found.events, [0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    above = np.nextafter(confidences[:-1], 1)
    found = reliability(np.zeros(4, int), np.stack([above, 1 - above], axis=1), kind="probabilities", bins=10)
    np.testing.assert_array_equal(found.events, [0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
    zeros = np.zeros((3, 25))  # a confidence of 0 has no bin below it
    zeros[:, 0] = 0.96
    assert reliability(np.ones(3, int), zeros, kind="probabilities").events[-1] == 3


def plain_ece(labels, p, weights, bins):
    """The loop of the paper, one bin after the other."""
    total = 0.0
    for low, high in zip(np.linspace(0, 1, bins + 1)[:-1], np.linspace(0, 1, bins + 1)[1:], strict=True):
        inside = (p.max(axis=1) > low) & (p.max(axis=1) <= high)
        if weights[inside].sum() > 0:
            gap = np.average(p.argmax(axis=1)[inside] == labels[inside], weights=weights[inside])
            gap -= np.average(p.max(axis=1)[inside], weights=weights[inside])
            total += abs(gap) * weights[inside].sum()
    return total / weights.sum()


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(1, 30), st.sampled_from([None, 0.5]))
@settings(max_examples=40, deadline=None)
def test_properties(seed, classes, bins, step):
    labels, logits, weights = task(events=150, classes=classes, seed=seed, step=step)
    p = softmax(logits)
    value = ece(labels, p, weights, bins=bins)
    assert value == pytest.approx(plain_ece(labels, p, weights, bins), abs=1e-12)
    order = np.random.default_rng(seed).permutation(150)
    counts = np.random.default_rng(seed).integers(1, 4, 150)
    for function in (ece, mce, brier, nll):
        found = function(labels, p, weights)
        assert found >= 0
        assert function(labels[order], p[order], weights[order]) == pytest.approx(found, abs=1e-12)
        assert function(labels, p, 7 * weights) == pytest.approx(found, abs=1e-12)
        repeated = [np.repeat(x, counts, axis=0) for x in (labels, p)]
        assert function(*repeated) == pytest.approx(function(labels, p, counts), abs=1e-12)
    assert value - 1e-12 <= mce(labels, p, weights, bins=bins) <= 1
    assert ece(labels, p, weights, bins=1) <= value + 1e-12  # finer bins never hide a gap
    assert nll(labels, logits + 100.0, weights) == pytest.approx(nll(labels, logits, weights), abs=1e-9)
    classes_moved = np.random.default_rng(seed).permutation(classes)
    moved = np.argsort(classes_moved)[labels], logits[:, classes_moved]
    for function in (brier, nll):
        assert function(*moved, weights) == pytest.approx(function(labels, logits, weights), abs=1e-12)


def test_calibrated_events_have_no_calibration_error():
    random = np.random.default_rng(0)
    p = softmax(random.normal(0, 1.5, (200_000, 4)))
    labels = (random.uniform(size=(len(p), 1)) > np.cumsum(p, axis=1)[:, :-1]).sum(axis=1)
    assert ece(labels, p) < 0.006
    assert ece(labels, softmax(2 * np.log(p))) > 0.1, "twice the logits are too sure"


def test_one_column_is_the_probability_of_class_1():
    labels, logits, weights = task(classes=2)
    one = logits[:, 1] - logits[:, 0]
    p = 1 / (1 + np.exp(-one))
    for column in (one, one[:, None], p, p[:, None]):
        for function in (ece, mce, brier, nll):
            expected = function(labels, logits, weights)
            assert function(labels, column, weights) == pytest.approx(expected, abs=1e-12), function.__name__
    np.testing.assert_array_equal(probabilities(np.array([0.25, 1.0])), [[0.75, 0.25], [0, 1]])
    np.testing.assert_allclose(probabilities(np.array([0.0, -800.0])), [[0.5, 0.5], [1, 0]])


def test_saturated_logits_and_exact_zeros():
    logits = np.array([[1e4, -1e4, -1e4], [-1e4, 1e4, -1e4]])
    assert nll(np.array([0, 1]), logits) == 0
    assert nll(np.array([1, 1]), logits) == 1e4  # one event of two at 2e4: no probability is rounded to 0
    assert nll(np.array([1, 0]), np.array([1e4, 1e4])) == 5e3
    p = np.array([[1.0, 0, 0], [0, 1, 0]])
    assert nll(np.array([1, 1]), p) == pytest.approx(-math.log(np.finfo(float).eps) / 2)
    assert (brier(np.array([1, 1]), p), ece(np.array([1, 1]), p)) == (1.0, 0.5)


def test_rounded_probabilities_are_taken_as_they_are():
    labels, logits, _ = task(events=500)
    p = softmax(logits)
    for rounded in (p.round(2), p.astype(np.float16), p.astype(np.float32)):
        as_given = np.asarray(rounded, np.float64)
        np.testing.assert_array_equal(probabilities(rounded, "probabilities"), as_given)
        assert ece(labels, rounded, kind="probabilities") == pytest.approx(plain_ece(labels, as_given, np.ones(500), 15))


@pytest.mark.parametrize("truth", [0.4, 1.0, 2.5, 30.0])
@pytest.mark.parametrize("columns", [1, 4])
def test_temperature_finds_the_factor_that_was_put_in(truth, columns):
    random = np.random.default_rng(1)
    logits = random.normal(0, 2, (40_000, columns))
    p = probabilities(logits, "logits")
    labels = (random.uniform(size=(len(p), 1)) > np.cumsum(p, axis=1)[:, :-1]).sum(axis=1)
    weights = random.uniform(0, 2, len(p))
    found = temperature(labels, truth * logits, weights, kind="logits")
    assert found == pytest.approx(truth, rel=0.03)
    at = minimize_scalar(lambda t: nll(labels, truth * logits / math.exp(t), weights, "logits"), bounds=(-3, 5), method="bounded")
    assert found == pytest.approx(math.exp(at.x), rel=1e-4)
    scaled = truth * logits / found
    assert nll(labels, scaled, weights, "logits") <= nll(labels, truth * logits, weights, "logits")
    assert accuracy(labels, scaled, kind="logits") == accuracy(labels, logits, kind="logits")
    assert ece(labels, scaled, weights, "logits") < 0.02


def test_temperature_of_large_and_small_logits():
    labels, logits, _ = task()
    plain = temperature(labels, logits)
    for size in (1e-3, 1e4, 1e8):
        assert temperature(labels, size * logits) == pytest.approx(size * plain, rel=1e-8)


def test_temperature_refuses_what_it_cannot_calibrate():
    labels, logits, _ = task(events=200)
    with pytest.raises(InputError, match="expected logits, received probabilities"):
        temperature(labels, softmax(logits))
    with pytest.raises(InputError, match="every event is right"):
        temperature(logits.argmax(axis=1), logits)
    for hopeless in (logits.argmin(axis=1), labels):
        with pytest.raises(InputError, match="no finite T"):
            temperature(hopeless, logits if hopeless is not labels else np.full((200, 5), 3.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], [[1.0, 2], [3, 4]], None, "auto", 0), "bins: expected 1 or more, received 0"),
        (([0, 2], [[1.0, 2], [3, 4]]), "class numbers 0 to 1"),
        (([0, 1], [[1.0, 2], [3, np.inf]]), "event 1"),
        (([0, 1], [[1.0, 2], [3, 4]], [1.0]), "weights: expected one per event"),
        (([0, 1], [[0.5, 0.3], [0.5, 0.5]], None, "probabilities"), "adding up to 1"),
    ],
)
def test_wrong_input(arguments, message):
    arrays = [np.array(value) if isinstance(value, list) else value for value in arguments]
    with pytest.raises(InputError, match=message):
        reliability(*arrays)
