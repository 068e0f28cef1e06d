"""Anomaly triggers: thresholds, efficiencies, rates and areas against plain NumPy, SciPy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from qap.errors import InputError
from qap.metrics.anomaly import Scores, anomaly_points, anomaly_score, fractions_for, separation


def _scores(events: int, seed: int, shift: float = 0.0, *, steps: float = 0.0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(shift, 1, events)
    return np.round(values / steps) * steps if steps else values


def test_an_autoencoder_is_scored_by_its_error_and_a_student_by_its_output() -> None:
    x = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    y = x + np.float32(0.5)
    assert anomaly_score(x, y) == pytest.approx(
        [sum((b - a) ** 2 for a, b in zip(r, s, strict=True)) / 6 for r, s in zip(x, y, strict=True)]
    )
    assert (anomaly_score(x, y[:, :1]) == y[:, 0]).all()
    with pytest.raises(InputError, match="expected 6 \\(an autoencoder\\) or 1 \\(a student\\)"):
        anomaly_score(x, y[:, :2])
    with pytest.raises(InputError, match="finite"):
        anomaly_score(x, np.full((50, 1), np.inf))


@pytest.mark.parametrize("steps", [0.0, 0.25], ids=["distinct scores", "equal scores"])
def test_efficiencies_rates_and_intervals_of_unweighted_events(steps: float) -> None:
    background, signal = _scores(4000, 1, steps=steps), _scores(700, 2, 1.5, steps=steps)
    points = anomaly_points(Scores(background), {"s": Scores(signal)}, [0.1, 0.01], crossing_rate_khz=31_000)
    for point in points:
        candidates = [t for t in np.unique(background) if (background >= t).mean() <= point.fraction]
        loosest = min(candidates)  # between it and the next lower score lies the threshold
        passing, kept = int((background >= loosest).sum()), int((signal >= point.threshold).sum())
        below = background[background < loosest].max()
        assert below < point.threshold <= loosest
        assert point.accepted.value == passing / 4000
        found = point.efficiency["s"]
        exact = stats.binomtest(kept, 700).proportion_ci(0.68, "exact")
        assert (found.value, found.low, found.high) == pytest.approx((kept / 700, exact.low, exact.high), rel=1e-9)
        exact = stats.binomtest(passing, 4000).proportion_ci(0.68, "exact")
        assert point.rate_khz is not None
        rate = (point.rate_khz.value, point.rate_khz.low, point.rate_khz.high)
        assert rate == pytest.approx(tuple(31_000 * value for value in (passing / 4000, exact.low, exact.high)), rel=1e-9)


@given(seed=st.integers(0, 10_000), fraction=st.floats(0.01, 0.9))
@settings(max_examples=60, deadline=None)
def test_no_looser_threshold_keeps_the_weighted_fraction(seed: int, fraction: float) -> None:
    generator = np.random.default_rng(seed)
    background, weights = _scores(200, seed, steps=0.2), generator.choice([0.001, 1.0, 4.0], 200)
    (point,) = anomaly_points(Scores(background, weights), {"s": Scores(background, weights)}, [fraction])
    share = weights[background >= point.threshold].sum() / weights.sum()
    assert share <= fraction * (1 + 1e-9)
    failing = background[background < point.threshold]
    looser = weights[background >= failing.max()].sum() / weights.sum() if len(failing) else 2.0
    assert looser > fraction
    assert point.accepted.value == pytest.approx(share)
    assert point.efficiency["s"] == point.accepted
    assert point.rate_khz is None


@pytest.mark.parametrize("steps", [0.0, 0.5])
def test_the_area_is_scikit_learns(steps: float) -> None:
    background, signal = _scores(900, 3, steps=steps), _scores(300, 4, 0.7, steps=steps)
    weights = np.random.default_rng(5).uniform(0, 3, 900)
    truth, scores = np.repeat([0, 1], [900, 300]), np.concatenate([background, signal])
    for one, each in ((None, np.ones(1200)), (weights, np.concatenate([weights, np.ones(300)]))):
        expected = sk.roc_auc_score(truth, scores, sample_weight=each)
        assert separation(Scores(background, one), Scores(signal)) == pytest.approx(expected, abs=1e-12)


def test_fractions_end_where_ten_events_of_equal_weight_are_left() -> None:
    assert fractions_for(Scores(np.zeros(10_000))) == (1e-1, 1e-2, 1e-3)
    assert fractions_for(Scores(np.zeros(9_999))) == (1e-1, 1e-2)
    assert fractions_for(Scores(np.zeros(99))) == ()
    mixed = np.repeat([4.0, 1e-3], [1000, 99_000])
    assert Scores(np.zeros(100_000), mixed).events == pytest.approx(mixed.sum() ** 2 / (mixed**2).sum())
    assert fractions_for(Scores(np.zeros(100_000), mixed)) == (1e-1, 1e-2)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_fractions_outside_the_open_interval_are_refused(fraction: float) -> None:
    with pytest.raises(InputError, match="fraction: expected a number between 0 and 1"):
        anomaly_points(Scores(np.arange(10.0)), {}, [fraction])


def test_scores_that_are_not_finite_and_negative_weights_are_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        anomaly_points(Scores(np.array([0.0, np.nan])), {}, [0.5])
    with pytest.raises(InputError, match="weights"):
        anomaly_points(Scores(np.arange(2.0), np.array([1.0, -1.0])), {}, [0.5])
