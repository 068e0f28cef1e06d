"""Rejections, intervals, turn-on curves and rates against brute force, published intervals and known curves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from qap.errors import InputError
from qap.metrics.classification import efficiency_at, full_roc
from qap.metrics.working_points import (
    accepted_rate,
    background_rejection,
    efficiency,
    equal_edges,
    threshold_for_fraction,
    threshold_for_rate,
    turn_on,
)

from .test_classification import task


def test_rejection_is_that_of_the_tightest_cut_that_keeps_the_signal():
    signal, background = np.array([0, 0.5, 0.6, 1]), np.array([0, 0.0, 0.1, 1])
    assert [background_rejection(signal, background, e) for e in (0.5, 0.55, 0.6, 0.7, 1)] == [math.inf, 10, 10, 1, 1]
    labels, logits, weights = task()
    for curve in full_roc(labels, logits, weights):
        for wanted in (0.3, 0.5, 0.9):
            passing = 1 / background_rejection(*curve, wanted)
            assert efficiency_at(*curve, passing) >= wanted * (1 - 1e-12)
            assert efficiency_at(*curve, passing * (1 - 1e-6)) < wanted


@pytest.mark.parametrize(("passed", "events"), [(0, 10), (10, 10), (1, 1), (0, 1), (7, 10), (81, 263), (990, 1000)])
@pytest.mark.parametrize("coverage", [0.68, 0.95])
def test_intervals_are_those_of_scipy(passed, events, coverage):
    given_events = np.arange(events) < passed
    for method, name in (("clopper-pearson", "exact"), ("wilson", "wilson")):
        found = efficiency(given_events, coverage=coverage, method=method)
        expected = binomtest(passed, events).proportion_ci(coverage, name)
        assert (found.value, found.low, found.high) == pytest.approx((passed / events, *expected), abs=1e-12), method


def test_published_wilson_interval():
    """81 of 263, 95 %: R. G. Newcombe, Statist. Med. 17 (1998) 857, table I."""
    found = efficiency(np.arange(263) < 81, coverage=0.95, method="wilson")
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    found = efficiency(np.arange(263) < 81, coverage=0.95)
    assert (found.low, found.high) == pytest.approx((0.2527, 0.3676), abs=5e-5)


def test_weighted_intervals_cover_as_often_as_they_say():
    random = np.random.default_rng(0)
    covered = {"clopper-pearson": 0, "wilson": 0}
    for _ in range(800):
        passed, weights = random.uniform(size=120) < 0.7, random.exponential(1, 120)
        for method in covered:
            found = efficiency(passed, weights, method=method)
            covered[method] += found.low <= 0.7 <= found.high
    print("of 800 at 0.68", covered)
    assert 0.62 < covered["wilson"] / 800 < 0.74
    assert covered["wilson"] <= covered["clopper-pearson"] < 0.82 * 800
    same = np.arange(50) < 20
    for method in covered:
        assert efficiency(same, np.full(50, 3.0), method=method) == efficiency(same, method=method)


def test_turn_on_of_a_known_curve():
    random = np.random.default_rng(2)
    pt = random.uniform(0, 120, 200_000)
    passed = random.uniform(size=len(pt)) < 0.92 * norm.cdf((pt - 40) / 8)
    weights = random.uniform(0, 2, len(pt))
    for given_weights in (None, weights):
        found = turn_on(pt, passed, np.arange(0, 121, 5.0), given_weights)
        print(found.plateau, found.half)
        assert found.plateau.low - 0.01 < 0.92 < found.plateau.high + 0.01
        assert found.half == pytest.approx(40, abs=0.3)
        inside = sum(
            one.low <= 0.92 * norm.cdf((mean - 40) / 8) <= one.high
            for one, mean in zip(found.efficiency, found.mean, strict=True)
            if one is not None
        )
        assert inside >= 12, f"{inside} of 24 bins at 68 %"
    assert sum(found.events) == 200_000


def test_bins_of_a_turn_on():
    feature = np.array([0.0, 1, 1, 2, 3, 3, 4, 9])
    passed = np.array([0, 0, 1, 0, 1, 1, 1, 1], bool)
    found = turn_on(feature, passed, np.array([0, 1, 2, 2.5, 4, 5]), np.array([1.0, 1, 3, 2, 1, 1, 1, 1]), plateau=0.5)
    assert found.events == (1, 2, 1, 2, 1)  # 9 is outside, 4 in the last bin
    assert [None if one is None else one.value for one in found.efficiency] == [0, 0.75, 0, 1, 1]
    assert found.mean == (0, 1, 2, 3, 4)
    assert found.plateau.value == pytest.approx(3 / 5)  # the upper half of the weight: from 2 on
    assert found.half == pytest.approx(2 + 0.3)  # after the last bin below half: noise under it does not count
    empty = turn_on(feature, passed, np.array([0, 0.5, 0.7, 5]))
    assert (empty.efficiency[1], empty.mean[1]) == (None, None)
    assert turn_on(feature, passed | True, np.array([0, 2, 5])).half is None, "it is on from the start"
    assert turn_on(feature, feature < 2, np.array([0, 2, 5]), plateau=1.0).half is None, "it falls"
    assert turn_on(feature, feature < 0, np.array([0, 2, 5])).plateau.value == 0


def test_equal_edges():
    feature = np.random.default_rng(0).exponential(20, 1000)
    counts = np.histogram(feature, equal_edges(feature))[0]
    assert len(counts) == 10
    assert counts.min() >= 99
    assert len(equal_edges(np.ones(5))) == 2
    assert turn_on(np.ones(5), np.ones(5, bool), equal_edges(np.ones(5))).events == (5,)
    repeated = equal_edges(np.array([0.0, 1, 1, 1]))
    assert (repeated[0], repeated[-1], np.diff(repeated).min() > 0) == (0, 1, True)


def test_rate():
    passed = np.arange(1000) < 3
    found = accepted_rate(passed)
    assert found.value == pytest.approx(120)
    assert found.low < 120 < found.high
    assert accepted_rate(passed, np.where(passed, 0.5, 1.0), input_rate_khz=1000).value == pytest.approx(1000 * 1.5 / 998.5)
    assert accepted_rate(np.zeros(100, bool), input_rate_khz=100.0).high == pytest.approx(100 * (1 - 0.16 ** (1 / 100)))


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.001, 0.01, 0.3, 0.999, 1.0]), st.sampled_from([None, 0.5]))
@settings(max_examples=60, deadline=None)
def test_threshold_is_the_lowest_that_keeps_the_fraction(seed, fraction, step):
    random = np.random.default_rng(seed)
    scores, weights = random.normal(0, 1, 300), random.uniform(0, 2, 300)
    scores = scores if step is None else np.rint(scores / step) * step
    threshold = threshold_for_fraction(scores, fraction, weights)
    assert weights[scores >= threshold].sum() / weights.sum() <= fraction * (1 + 1e-12)
    if fraction == 1:
        assert threshold == -math.inf
    else:
        lower = scores[scores < threshold].max()
        assert weights[scores >= lower].sum() / weights.sum() > fraction
    rate = threshold_for_rate(scores, 40_000 * fraction, weights)
    assert rate == threshold


def test_threshold_agrees_with_the_roc_curve():
    labels, logits, weights = task(step=0.5)
    margin = logits[:, 0] - logits[:, 1:].max(axis=1)
    two = np.stack([np.zeros(len(margin)), margin], axis=1)
    curve = full_roc((labels == 0).astype(int), two, weights, "logits")[1]
    rest = labels != 0
    for fraction in (0.003, 0.01, 0.1):
        passed = margin >= threshold_for_fraction(margin[rest], fraction, weights[rest])
        found = weights[passed & ~rest].sum() / weights[~rest].sum()
        assert found == pytest.approx(efficiency_at(*curve, fraction), abs=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: background_rejection(np.array([0, 1.0]), np.array([0, 1.0]), 0), "signal_efficiency: expected"),
        (lambda: efficiency(np.array([], bool)), "expected events"),
        (lambda: efficiency(np.ones(3, bool), coverage=1.0), "coverage between 0 and 1"),
        (lambda: efficiency(np.ones(3, bool), method="wald"), "received 'wald'"),
        (lambda: turn_on(np.ones(3), np.ones(3, bool), np.array([1.0, 1.0])), "rising numbers"),
        (lambda: turn_on(np.ones(3), np.ones(2, bool), np.array([1.0, 2.0])), "one finite number per event"),
        (lambda: turn_on(np.ones(3), np.ones(3, bool), np.array([5.0, 6.0])), "no event has a feature between 5 and 6"),
        (lambda: turn_on(np.ones(3), np.ones(3, bool), np.array([0.0, 6.0]), plateau=0), "plateau: expected"),
        (lambda: accepted_rate(np.ones(3, bool), input_rate_khz=0), "input_rate_khz: expected"),
        (lambda: threshold_for_fraction(np.ones(3), 1.1), "fraction: expected"),
        (lambda: threshold_for_fraction(np.array([np.nan]), 0.1), "scores: expected"),
        (lambda: threshold_for_rate(np.ones(3), -1.0), "rate: expected"),
    ],
)
def test_wrong_input(call, message):
    with pytest.raises(InputError, match=message):
        call()
