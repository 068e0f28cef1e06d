"""Agreement of two models and the gate, against NumPy, scikit-learn and hand-computed cases."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from qap.errors import InputError
from qap.metrics.agreement import agreement, gate
from qap.metrics.bootstrap import paired_difference
from qap.metrics.classification import accuracy

from .test_classification import softmax, task


def test_by_hand():
    reference = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]])
    scores = np.array([[0.8, 0.2], [0.7, 0.3], [0.5, 0.5]])
    found = agreement(reference, scores)
    assert found.same_class == pytest.approx(2 / 3)
    assert found.mean_difference == pytest.approx(0.4 / 3)
    assert found.max_difference == pytest.approx(0.3)
    assert found.correlation == pytest.approx(np.corrcoef(reference.ravel(), scores.ravel())[0, 1])
    weighted = agreement(reference, scores, np.array([3.0, 0, 1]))
    assert (weighted.same_class, weighted.max_difference) == (1.0, pytest.approx(0.1))
    assert weighted.mean_difference == pytest.approx(0.075)


@pytest.mark.parametrize("weighted", [False, True])
def test_against_numpy(weighted):
    _, logits, weights = task(classes=4)
    other = logits + np.random.default_rng(0).normal(0, 0.4, logits.shape)
    found = agreement(logits, other, weights if weighted else None)
    pair = softmax(logits), softmax(other)
    factor = weights if weighted else np.ones(len(logits))
    assert found.same_class == pytest.approx(accuracy_score(logits.argmax(1), other.argmax(1), sample_weight=factor))
    assert found.mean_difference == pytest.approx(np.average(np.abs(pair[0] - pair[1]).mean(axis=1), weights=factor))
    expected = np.cov(pair[0].ravel(), pair[1].ravel(), aweights=np.repeat(factor, 4))
    assert found.correlation == pytest.approx(expected[0, 1] / np.sqrt(expected[0, 0] * expected[1, 1]), abs=1e-9)
    assert agreement(pair[0], other, factor) == agreement(pair[0], other, factor, "logits", "probabilities")


def test_a_model_agrees_with_itself():
    _, logits, weights = task()
    for other in (logits, softmax(logits)):
        found = agreement(logits, other, weights)
        assert found.same_class == 1
        assert found.max_difference < 1e-14
        assert found.correlation == pytest.approx(1)
    assert agreement(np.zeros((5, 3)), logits[:5, :3], kind="logits").correlation is None
    column = logits[:, 0]
    assert agreement(column, np.stack([0 * column, column], axis=1)).max_difference < 1e-12


def test_gate_on_known_accuracies():
    """97 of 100 against 96 of 100: the drop is 0.01, a little more in float64."""
    labels = np.zeros(100, int)
    right, wrong = [1.0, -1.0], [-1.0, 1.0]
    reference = np.array([wrong] * 3 + [right] * 97)
    scores = np.array([wrong] * 4 + [right] * 96)
    assert 0.97 - 0.96 > 0.01
    found = gate(labels, reference, scores, 0.01)
    assert (found.passed, found.drop, found.delta) == (True, pytest.approx(0.01), 0.01)
    assert found.low <= found.drop <= found.high
    assert not gate(labels, reference, scores, 0.009).passed
    gain = gate(labels, scores, reference, 0.0)
    assert (gain.passed, gain.drop) == (True, pytest.approx(-0.01))
    same = gate(labels, scores, scores, 0.0)
    assert (same.passed, same.drop, same.low, same.high) == (True, 0.0, 0.0, 0.0)
    ones = np.where(np.arange(100) == 3, 50.0, 1.0)  # the event that is lost weighs 50
    assert gate(labels, reference, scores, 0.3, ones).drop == pytest.approx(50 / 149)


def test_interval_is_the_paired_bootstrap():
    labels, logits, weights = task(events=2000)
    other = logits + np.random.default_rng(1).normal(0, 0.6, logits.shape)
    found = gate(labels, logits, other, 0.02, weights, seed=3, coverage=0.9)
    expected = paired_difference(
        partial(accuracy, labels, logits), partial(accuracy, labels, other), 2000, weights=weights, seed=3, coverage=0.9
    )
    assert (found.drop, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high), abs=1e-12)
    assert found.low < found.drop < found.high
    few = np.where(np.arange(2000) == 5, 1.0, 0.0)
    assert gate(labels, logits, other, 0.0, few).drop in (-1.0, 0.0, 1.0), "one event with weight"


@pytest.mark.parametrize(
    ("delta", "cut", "message"),
    [
        (-0.1, (slice(None),), "delta: expected a drop"),
        (float("nan"), (slice(None),), "delta: expected a drop"),
        (0.1, (slice(5),), r"reference: expected the events and classes of the scores \(4000, 5\), received \(5, 5\)"),
        (0.1, (slice(None), slice(4)), r"received \(4000, 4\)"),
    ],
)
def test_wrong_input(delta, cut, message):
    labels, logits, _ = task()
    with pytest.raises(InputError, match=message):
        gate(labels, logits[cut], logits, delta)
    if cut != (slice(None),):
        with pytest.raises(InputError, match=message):
            agreement(logits[cut], logits)
