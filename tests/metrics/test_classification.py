"""Classification metrics against scikit-learn, brute force and hand-computed cases."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from qap.errors import InputError
from qap.metrics.classification import accuracy, auc, auc_per_class, class_scores, confusion, efficiency_at, predicted, roc


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def task(events: int = 4000, classes: int = 5, seed: int = 3, step: float | None = None):
    """Gaussian logits around the true class; on a fixed-point grid when a step is given, so that ties occur."""
    random = np.random.default_rng(seed)
    labels = np.arange(events) % classes
    logits = random.normal(0.0, 1.5, (events, classes))
    logits[np.arange(events), labels] += 2.0
    if step is not None:
        logits = np.rint(logits / step) * step
    return labels, logits, random.uniform(0.0, 3.0, events)


def brute_auc(score: np.ndarray, signal: np.ndarray, weights: np.ndarray) -> float:
    """Weighted Mann–Whitney statistic, pair by pair."""
    wins = (score[signal][:, None] > score[~signal]) + 0.5 * (score[signal][:, None] == score[~signal])
    pairs = weights[signal][:, None] * weights[~signal]
    return float((wins * pairs).sum() / pairs.sum())


@pytest.mark.parametrize("classes", [2, 3, 5, 10])
@pytest.mark.parametrize("weighted", [False, True])
def test_agrees_with_scikit_learn(classes, weighted):
    labels, logits, weights = task(classes=classes)
    given_weights = weights if weighted else None
    p = softmax(logits)
    assert accuracy(labels, logits, given_weights) == pytest.approx(
        sk.accuracy_score(labels, p.argmax(1), sample_weight=given_weights), abs=1e-14
    )
    expected = [sk.roc_auc_score(labels == k, p[:, k], sample_weight=given_weights) for k in range(classes)]
    np.testing.assert_allclose(auc_per_class(labels, logits, given_weights), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(auc_per_class(labels, p, given_weights), expected, rtol=0, atol=1e-12)
    assert auc(labels, logits, given_weights) == pytest.approx(np.mean(expected), abs=1e-12)
    np.testing.assert_allclose(
        confusion(labels, logits, given_weights),
        sk.confusion_matrix(labels, p.argmax(1), sample_weight=given_weights),
        rtol=1e-12,
    )


def test_hand_computed():
    labels = np.array([0, 0, 1, 1])
    scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4], [0.2, 0.8]])
    assert accuracy(labels, scores) == 0.5
    assert accuracy(labels, scores, np.array([3.0, 1.0, 1.0, 1.0])) == pytest.approx(4 / 6)
    # of the pairs (signal, background) for class 1, .4>.1, .8>.1 and .8>.6 are won, .4<.6 is lost
    assert auc_per_class(labels, scores) == [0.75, 0.75]
    # the lost pair weighs 2·5 of (1 + 2)·(5 + 7)... signal weights 5 (.4) and 7 (.8), background 1 (.1) and 2 (.6)
    assert auc_per_class(labels, scores, np.array([1.0, 2.0, 5.0, 7.0]))[1] == pytest.approx(1 - 10 / 36)
    np.testing.assert_array_equal(confusion(labels, scores), [[1, 1], [1, 1]])
    signal, background = roc(labels, scores)[1]
    np.testing.assert_array_equal(signal, [0, 0.5, 0.5, 1, 1])
    np.testing.assert_array_equal(background, [0, 0, 0.5, 0.5, 1])


def test_one_logit_column_is_a_binary_classifier():
    labels, logits, weights = task(classes=2)
    one = (logits[:, 1] - logits[:, 0])[:, None]
    p = 1 / (1 + np.exp(-one))
    for column in (one, one[:, 0], p, p[:, 0]):
        assert accuracy(labels, column, weights) == pytest.approx(accuracy(labels, logits, weights), abs=1e-14)
        expected = auc_per_class(labels, logits, weights)
        np.testing.assert_allclose(auc_per_class(labels, column, weights), expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(confusion(labels, column), confusion(labels, logits))
    np.testing.assert_array_equal(predicted(np.array([-1.0, 0.0, 0.25, 7.0])), [0, 0, 1, 1])
    np.testing.assert_array_equal(predicted(np.array([0.0, 0.25, 0.75])), [0, 0, 1])
    np.testing.assert_array_equal(predicted(np.array([0.0, 0.25, 0.75]), kind="logits"), [0, 1, 1])


def test_coarse_logits_with_ties_agree_with_brute_force():
    labels, logits, weights = task(events=600, step=1.0)
    p = softmax(logits).round(12)
    expected = [brute_auc(p[:, k], labels == k, weights) for k in range(5)]
    found = auc_per_class(labels, logits, weights)
    print("worst difference", np.max(np.abs(np.subtract(expected, found))))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_saturated_logits_keep_their_order():
    """float64 softmax is 1 for every one of these events; the ranks are still known."""
    labels = np.array([1, 1, 0, 0])
    logits = np.array([[0.0, 60, -9], [0, 55, -9], [0, 50, -9], [0, 45, -9]])
    assert np.all(softmax(logits)[:, 1] == 1.0)
    np.testing.assert_array_equal(np.argsort(class_scores(logits)[:, 1]), [3, 2, 1, 0])
    assert brute_auc(class_scores(logits)[:, 1], labels == 1, np.ones(4)) == 1.0


def test_same_logits_in_another_order_tie():
    rows = np.array([[0.5, *tail] for tail in itertools.permutations([0.1, 1.7, -2.3, 3.1])])
    assert len(np.unique(class_scores(rows)[:, 0])) == 1


@pytest.mark.parametrize(("events", "step"), [(40_000, None), (40_000, 0.25), (300, None)])
def test_thinned_roc_keeps_its_shape(events, step):
    labels, logits, weights = task(events=events, step=step)
    p = softmax(logits)
    worst = 0.0
    for k, (signal, background) in enumerate(roc(labels, logits, weights)):
        full_b, full_s, _ = sk.roc_curve(labels == k, p[:, k].round(12), sample_weight=weights, drop_intermediate=False)
        assert len(signal) <= 200
        assert (signal[0], background[0], signal[-1], background[-1]) == (0, 0, 1, 1)
        assert np.all(np.diff(signal) >= 0)
        assert np.all(np.diff(background) >= 0)
        assert np.trapezoid(signal, background) == pytest.approx(np.trapezoid(full_s, full_b), abs=2e-3)
        at = np.geomspace(1.1e-4, 0.999, 500)  # where figures draw, on no step of the curve
        difference = np.interp(at, background, signal) - np.interp(at, full_b, full_s)
        worst = max(worst, np.abs(difference).max())
    print("largest difference in signal efficiency", worst)
    assert worst < (1e-9 if events == 300 else 0.012)


def test_roc_points_are_points_of_the_full_curve():
    labels, logits, _ = task(events=9000)
    thin, full = roc(labels, logits, points=50)[2], roc(labels, logits, points=10**6)[2]
    points = set(zip(*map(np.ndarray.tolist, full), strict=True))
    assert len(thin[0]) <= 50
    assert all(point in points for point in zip(*map(np.ndarray.tolist, thin), strict=True))


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.sampled_from([None, 0.5]))
@settings(max_examples=40, deadline=None)
def test_properties(seed, classes, step):
    labels, logits, weights = task(events=120, classes=classes, seed=seed, step=step)
    areas = np.array(auc_per_class(labels, logits, weights))
    assert np.all((areas >= 0) & (areas <= 1))
    np.testing.assert_allclose(auc_per_class(labels, logits + 4.0, weights), areas, atol=1e-9)  # no offset in softmax
    np.testing.assert_allclose(auc_per_class(labels, logits, 7 * weights), areas, atol=1e-12)
    twice = [np.concatenate([x, x]) for x in (labels, logits)]
    np.testing.assert_allclose(auc_per_class(*twice), auc_per_class(labels, logits), atol=1e-12)
    counts = np.random.default_rng(seed).integers(1, 4, 120)  # a weight of 3 is the event three times
    repeated = [np.repeat(x, counts, axis=0) for x in (labels, logits)]
    np.testing.assert_allclose(auc_per_class(*repeated), auc_per_class(labels, logits, counts), atol=1e-12)
    assert accuracy(*repeated) == pytest.approx(accuracy(labels, logits, counts), abs=1e-12)
    matrix = confusion(labels, logits, weights)
    assert np.trace(matrix) / matrix.sum() == pytest.approx(accuracy(labels, logits, weights), abs=1e-12)
    if classes == 2:
        assert areas[0] == pytest.approx(areas[1], abs=1e-12)


@pytest.mark.parametrize(
    ("labels", "scores", "weights", "kind", "message"),
    [
        ([0, 1, 2], [[1.0, 2], [3, 4], [5, 6]], None, "auto", "class numbers 0 to 1"),
        ([0, 1], [[1.0, 2], [3, 4], [5, 6]], None, "auto", r"one class number per event \(3\)"),
        ([0, 1], [[1.0, np.nan], [3, 4]], None, "auto", "event 0"),
        ([0, 0.5], [[1.0, 2], [3, 4]], None, "auto", "received 0.5"),
        (["g", "q"], [[1.0, 2], [3, 4]], None, "auto", "received 'g'"),
        ([0, 0], [[1.0, 2], [3, 4]], None, "auto", "class 0 has 2 of 2 events"),
        ([0, 1], [[1.0, 2], [3, 4]], [1.0], "auto", "weights: expected one per event"),
        ([0, 1], [[1.0, 2], [3, 4]], [1.0, -1.0], "auto", "finite numbers from 0"),
        ([0, 1], [[1.0, 2], [3, 4]], None, "probabilities", "adding up to 1"),
        ([0, 1], [[1.0, 2], [3, 4]], None, "odds", "received 'odds'"),
        ([0, 1], [["a", "b"], ["c", "d"]], None, "auto", "expected numbers"),
    ],
)
def test_wrong_input(labels, scores, weights, kind, message):
    with pytest.raises(InputError, match=message):
        auc_per_class(np.array(labels), np.array(scores), None if weights is None else np.array(weights), kind)


def test_too_few_roc_points():
    with pytest.raises(InputError, match="received 3"):
        roc(np.array([0, 1]), np.array([[1.0, 2], [3, 4]]), points=3)


def direct_odds(logits: np.ndarray) -> np.ndarray:
    """The log-odds one class at a time, the others in ascending order."""
    odds = np.empty_like(logits)
    for k in range(logits.shape[1]):
        others = np.sort(np.delete(logits, k, axis=1), axis=1)
        top = others[:, -1]
        odds[:, k] = logits[:, k] - top - np.log(np.exp(others - top[:, None]).sum(axis=1))
    return odds


@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.sampled_from([0.01, 1.0, 30.0, 3000.0]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_log_odds_of_any_size(seed, classes, size, grid):
    logits = np.random.default_rng(seed).normal(0, size, (300, classes))
    logits = np.rint(logits) if grid else logits
    expected, found = direct_odds(logits), class_scores(logits, "logits")
    worst = float(np.max(np.abs(found - expected) / np.maximum(1, np.abs(expected))))
    assert worst < 1e-12, worst
    order = np.random.default_rng(seed + 1).permutation(classes)
    np.testing.assert_array_equal(class_scores(logits[:, order], "logits"), found[:, order])


@pytest.mark.parametrize("events", [0, 1, 4095, 4096, 4097, 10_000])
def test_log_odds_over_the_blocks(events):
    logits = np.random.default_rng(events).normal(0, 2, (events, 4))
    assert class_scores(logits, "logits").shape == (events, 4)
    np.testing.assert_allclose(class_scores(logits, "logits"), direct_odds(logits), rtol=0, atol=1e-12)


def test_efficiency_at_a_working_point():
    signal, background = np.array([0, 0.5, 0.6, 1]), np.array([0, 0.0, 0.1, 1])
    assert [efficiency_at(signal, background, cut) for cut in (0.05, 0.1, 0.5)] == [0.5, 0.6, 0.6]
    assert efficiency_at(np.array([0, 1.0]), np.array([0, 1.0]), 0.9) == 0, "all events share one score: no cut keeps it"
    for wrong in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="background_efficiency: expected a number between 0 and 1"):
            efficiency_at(signal, background, wrong)
