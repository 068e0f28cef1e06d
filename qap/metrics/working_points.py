"""What a cut keeps: rejection, rate, and efficiency against a feature, with the errors of counting.

References: C. J. Clopper and E. S. Pearson, Biometrika 26 (1934) 404; E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209.
Signal efficiency at fixed background efficiency: `qap.metrics.classification.efficiency_at`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import betaincinv, ndtri

from qap.errors import InputError
from qap.metrics.bootstrap import Interval
from qap.metrics.weights import event_weights

BUNCH_CROSSINGS_KHZ = 40_000.0
Method = Literal["clopper-pearson", "wilson"]


def background_rejection(signal: np.ndarray, background: np.ndarray, signal_efficiency: float) -> float:
    """Return 1 / background efficiency of the tightest cut that keeps at least the signal efficiency given.

    Parameters
    ----------
    signal, background : arrays
        A full ROC curve (`qap.metrics.classification.full_roc`).
    signal_efficiency : float
        Above 0, at most 1.

    Returns
    -------
    float from 1, infinite where no background event passes
    """
    if not 0 < signal_efficiency <= 1:
        raise InputError(f"signal_efficiency: expected a number above 0, at most 1, received {signal_efficiency}")
    at = min(int(np.searchsorted(signal, signal_efficiency * (1 - 1e-12), side="left")), len(signal) - 1)
    return 1 / float(background[at]) if background[at] > 0 else math.inf


def efficiency(
    passed: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    coverage: float = 0.68,
    method: Method = "clopper-pearson",
) -> Interval:
    """Return the fraction of events (of the event weight) that passes, with its binomial interval.

    Weighted events count as n = (Σw)² / Σw² equal ones; without weights both intervals are the textbook's.

    Parameters
    ----------
    passed : (events,) booleans
    weights : (events,) array, optional
        Event weights from 0.
    coverage : float, default 0.68
    method : {'clopper-pearson', 'wilson'}, default 'clopper-pearson'
        Clopper and Pearson's interval covers at least so often; Wilson's is shorter and covers so often on average.

    Raises
    ------
    InputError
        No events, or a coverage outside (0, 1).
    """
    passes = np.asarray(passed, bool)
    if passes.ndim != 1 or not len(passes) or not 0 < coverage < 1:
        raise InputError(f"efficiency: expected events and a coverage between 0 and 1, received {passes.shape} and {coverage}")
    if method not in ("clopper-pearson", "wilson"):
        raise InputError(f"method: expected clopper-pearson or wilson, received {method!r}")
    weight = event_weights(weights, len(passes))
    value = float(np.average(passes, weights=weight))
    trials = float(weight.sum() ** 2 / (weight**2).sum())
    return Interval(value, *(_wilson if method == "wilson" else _clopper_pearson)(value, trials, coverage))


def _clopper_pearson(value: float, trials: float, coverage: float) -> tuple[float, float]:
    tail, hits = (1 - coverage) / 2, value * trials
    misses = trials - hits
    low = 0.0 if value == 0 else float(betaincinv(hits, misses + 1, tail))
    return low, 1.0 if value == 1 else float(betaincinv(hits + 1, misses, 1 - tail))


def _wilson(value: float, trials: float, coverage: float) -> tuple[float, float]:
    z2 = float(ndtri((1 + coverage) / 2)) ** 2
    middle = (value + z2 / (2 * trials)) / (1 + z2 / trials)
    half = math.sqrt(z2 * (value * (1 - value) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return 0.0 if value == 0 else low, 1.0 if value == 1 else high


@dataclass(frozen=True, slots=True)
class TurnOn:
    """Efficiency against a feature.

    Parameters
    ----------
    edges : tuple of float
        Bin i holds [edges[i], edges[i + 1]), the last one its upper edge as well.
    events : tuple of int
    mean : tuple of float or None
        Mean of the feature in each bin; None where a bin has no weight.
    efficiency : tuple of Interval or None
        Per bin; None where it has no weight.
    plateau : Interval
        Efficiency of the events in the upper part of the feature (see `turn_on`).
    half : float or None
        Value of the feature at half of the plateau: between the means of the last bin below it and the next one, linearly.
        None where no bin is below.
    """

    edges: tuple[float, ...]
    events: tuple[int, ...]
    mean: tuple[float | None, ...]
    efficiency: tuple[Interval | None, ...]
    plateau: Interval
    half: float | None


def equal_edges(feature: np.ndarray, bins: int = 10) -> np.ndarray:
    """Return the edges of bins with equally many events; where values repeat, fewer bins and unequal ones."""
    edges = np.unique(np.quantile(np.asarray(feature, np.float64), np.linspace(0, 1, bins + 1)))
    return edges if len(edges) > 1 else np.array([edges[0], np.nextafter(edges[0], np.inf)])


def checked_edges(edges: np.ndarray) -> np.ndarray:
    """Return bin edges as float64, or refuse what are not two or more rising numbers."""
    bounds = np.asarray(edges, np.float64)
    if bounds.ndim != 1 or len(bounds) < 2 or not np.all(np.isfinite(bounds)) or not np.all(np.diff(bounds) > 0):
        raise InputError(f"edges: expected two or more rising numbers, received {bounds.tolist()}")
    return bounds


def turn_on(
    feature: np.ndarray,
    passed: np.ndarray,
    edges: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    plateau: float = 0.2,
    coverage: float = 0.68,
    method: Method = "clopper-pearson",
) -> TurnOn:
    """Return the efficiency of a cut against a feature, such as the transverse momentum.

    Parameters
    ----------
    feature : (events,) array
        Of the signal events.
    passed : (events,) booleans
    edges : (bins + 1,) array
        Rising. Events outside are left out.
    weights : (events,) array, optional
        Event weights from 0.
    plateau : float, default 0.2
        The events highest in the feature that make up this fraction of the weight are the plateau. It is right where the
        curve is flat there.
    coverage, method
        As for `efficiency`.

    Raises
    ------
    InputError
        Arrays that do not fit, edges that do not rise, or no weight between them.
    """
    bounds, values = checked_edges(edges), np.asarray(feature, np.float64)
    passes, weight = np.asarray(passed, bool), event_weights(weights, len(values))
    if values.shape != passes.shape or values.ndim != 1 or not np.all(np.isfinite(values)):
        raise InputError(f"feature: expected one finite number per event {passes.shape}, received shape {values.shape}")
    if not 0 < plateau <= 1:
        raise InputError(f"plateau: expected a fraction above 0, at most 1, received {plateau}")
    inside = (values >= bounds[0]) & (values <= bounds[-1]) & (weight > 0)
    if not inside.any():
        raise InputError(f"edges: no event has a feature between {bounds[0]:g} and {bounds[-1]:g}")
    values, passes, weight = values[inside], passes[inside], weight[inside]
    at = np.minimum(np.searchsorted(bounds, values, side="right") - 1, len(bounds) - 2)
    chosen = [at == i for i in range(len(bounds) - 1)]
    bins = tuple(efficiency(passes[c], weight[c], coverage=coverage, method=method) if c.any() else None for c in chosen)
    means = tuple(float(np.average(values[c], weights=weight[c])) if c.any() else None for c in chosen)
    upper = values >= -np.quantile(-values, plateau, method="inverted_cdf", weights=weight)
    top = efficiency(passes[upper], weight[upper], coverage=coverage, method=method)
    events = tuple(int(c.sum()) for c in chosen)
    points = [(mean, one.value) for mean, one in zip(means, bins, strict=True) if mean is not None and one is not None]
    return TurnOn(tuple(bounds.tolist()), events, means, bins, top, _crossing(points, top.value / 2))


def _crossing(points: list[tuple[float, float]], level: float) -> float | None:
    """Return where the points rise through a level for good, linearly between two of them."""
    below = [i for i, (_, value) in enumerate(points) if value < level]
    if not below or below[-1] == len(points) - 1:
        return None
    (x0, y0), (x1, y1) = points[below[-1]], points[below[-1] + 1]
    return x0 + (x1 - x0) * (level - y0) / (y1 - y0)


def accepted_rate(
    passed: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    input_rate_khz: float = BUNCH_CROSSINGS_KHZ,
    coverage: float = 0.68,
) -> Interval:
    """Return the rate in kHz at which a cut accepts: the input rate × the fraction of a zero-bias or background sample.

    Parameters
    ----------
    passed : (events,) booleans
        Of a sample that stands for what comes in.
    weights : (events,) array, optional
        Event weights from 0.
    input_rate_khz : float, default 40000
        The LHC's 40 MHz of bunch crossings.
    coverage : float, default 0.68
        Of the Clopper–Pearson interval.
    """
    if not 0 < input_rate_khz < math.inf:
        raise InputError(f"input_rate_khz: expected a rate above 0, received {input_rate_khz}")
    found = efficiency(passed, weights, coverage=coverage)
    return Interval(found.value * input_rate_khz, found.low * input_rate_khz, found.high * input_rate_khz)


def threshold_for_fraction(scores: np.ndarray, fraction: float, weights: np.ndarray | None = None) -> float:
    """Return the lowest threshold at which at most a fraction of the events has score ≥ threshold.

    Equal scores pass or fail together.

    Parameters
    ----------
    scores : (events,) array
        Of the background.
    fraction : float
        0 to 1.
    weights : (events,) array, optional
        Event weights from 0.

    Returns
    -------
    float
        The next float64 above the highest score that must fail; −infinity where all may pass.
    """
    values = np.asarray(scores, np.float64)
    if values.ndim != 1 or not len(values) or not np.all(np.isfinite(values)):
        raise InputError(f"scores: expected one finite number per event, received shape {values.shape}")
    if not 0 <= fraction <= 1:
        raise InputError(f"fraction: expected a number from 0 to 1, received {fraction}")
    weight = event_weights(weights, len(values))
    distinct, at = np.unique(values, return_inverse=True)
    passing = np.cumsum(np.bincount(at, weight)[::-1])[::-1] / weight.sum()
    failing = np.flatnonzero(passing > fraction * (1 + 1e-12))
    return float(np.nextafter(distinct[failing[-1]], np.inf)) if len(failing) else -math.inf


def threshold_for_rate(
    scores: np.ndarray,
    rate_khz: float,
    weights: np.ndarray | None = None,
    *,
    input_rate_khz: float = BUNCH_CROSSINGS_KHZ,
) -> float:
    """Return the lowest threshold whose accepted rate is at most the one wanted; scores as for `threshold_for_fraction`."""
    if not 0 <= rate_khz < math.inf or not 0 < input_rate_khz < math.inf:
        raise InputError(f"rate: expected 0 or more of an input rate above 0 kHz, received {rate_khz} of {input_rate_khz}")
    return threshold_for_fraction(scores, min(1.0, rate_khz / input_rate_khz), weights)
