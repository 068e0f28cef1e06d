"""Accuracy, ROC, AUC and confusion of a classifier, with event weights.

Scores are one column per class, or one column alone for two classes; logits or probabilities (see `Kind`). All sums are
float64. Per class means one against the rest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np

from qap.errors import InputError
from qap.metrics.weights import event_weights

Kind = Literal["auto", "logits", "probabilities"]
"""What the scores are. ``'auto'``: probabilities when all lie in [0, 1] and every row adds up to 1 within 0.001 (one
column: when all lie in [0, 1]), else logits. Where the user says ``'probabilities'``, rows may be rounded: within 0.1."""

SUM_AUTO = 1e-3
SUM_ROUNDED = 0.1

Curve = tuple[np.ndarray, np.ndarray]
"""Signal and background efficiency, rising from (0, 0) to (1, 1)."""

ROC_POINTS = 200
ROC_FLOOR = 1e-5
_BLOCK = 4096  # events whose intermediate arrays stay in the cache


def checked_labels(labels: np.ndarray, events: int, classes: int) -> np.ndarray:
    """Return the labels as int64, or refuse what is no class number for each event."""
    values = np.asarray(labels)
    if values.shape != (events,) or events == 0:
        raise InputError(f"labels: expected one class number per event ({events}), received shape {values.shape}")
    if values.dtype.kind not in "biuf":
        raise InputError(f"labels: expected class numbers 0 to {classes - 1}, received {values.tolist()[0]!r}")
    odd = ~np.isfinite(values) | (values != np.rint(values))
    if np.any(odd):
        raise InputError(f"labels: expected class numbers 0 to {classes - 1}, received {values[odd][0]}")
    if values.min() < 0 or values.max() >= classes:
        raise InputError(
            f"labels: expected class numbers 0 to {classes - 1} for the scores' {classes} classes, received "
            f"{values.min()} to {values.max()}"
        )
    return values.astype(np.int64)


def checked_scores(scores: np.ndarray, kind: Kind) -> tuple[np.ndarray, bool]:
    """Return the scores as (events, columns) float64, and whether they are probabilities."""
    values = np.asarray(scores)
    if values.dtype.kind not in "biuf":
        raise InputError(f"scores: expected numbers, received {values.dtype}")
    values = values.astype(np.float64)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or values.shape[1] == 0:
        raise InputError(f"scores: expected (events, classes), received shape {values.shape}")
    if not np.all(np.isfinite(values)):
        bad = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise InputError(f"scores: expected finite numbers, received {values[bad].tolist()} in event {bad}")
    if kind not in ("auto", "logits", "probabilities"):
        raise InputError(f"kind: expected auto, logits or probabilities, received {kind!r}")
    if kind == "logits":
        return values, False
    fits = bool(np.all((values >= 0) & (values <= 1)))
    if fits and values.shape[1] > 1:
        tolerance = SUM_ROUNDED if kind == "probabilities" else SUM_AUTO
        fits = bool(np.all(np.abs(values.sum(axis=1) - 1) < tolerance))
    if kind == "probabilities" and not fits:
        raise InputError("scores: expected probabilities, each row adding up to 1; give logits with kind='logits'")
    return values, fits


def class_scores(scores: np.ndarray, kind: Kind = "auto") -> np.ndarray:
    """Return what the events are ranked by for each class: a monotone function of the softmax probability.

    For logits z this is the log-odds ln p_k/(1 − p_k) = z_k − ln Σ_{j≠k} exp z_j, in float64: the order of the softmax
    probabilities without the ties that rounding makes where p is within 1e-16 of 1. Equal logits in another order give
    equal numbers. Probabilities are returned as they are.

    Parameters
    ----------
    scores : (events, classes), (events, 1) or (events,) array
    kind : {'auto', 'logits', 'probabilities'}, default 'auto'

    Returns
    -------
    (events, classes) float64 array; two columns where the scores have one.

    Raises
    ------
    InputError
        Scores that are not finite numbers in that shape.
    """
    values, probabilities = checked_scores(scores, kind)
    if values.shape[1] == 1:
        return np.hstack([1 - values, values] if probabilities else [-values, values])
    if probabilities:
        return values
    odds = np.empty(values.shape[::-1])
    for start in range(0, len(values), _BLOCK):
        odds[:, start : start + _BLOCK] = _log_odds(values[start : start + _BLOCK])
    return odds.T


def _log_odds(values: np.ndarray) -> np.ndarray:
    """Return z_k − ln Σ_{j≠k} exp z_j of (events, classes) logits as (classes, events)."""
    rows = np.ascontiguousarray(values.T)
    one = 2.0 ** (52 - math.ceil(math.log2(len(rows))))  # powers rounded to 1/one add up exactly: their order does not matter
    first, at = rows.argmax(axis=0), np.arange(len(values))
    top = rows[first, at]
    powers = np.rint(np.exp(rows - top) * one)
    odds = rows - top - np.log(np.maximum(powers.sum(axis=0) - powers, 1.0) / one)
    rows[first, at] = -np.inf
    second = rows.max(axis=0)  # beside the top all others may vanish: the top's own are measured against the second
    rows[first, at] = second
    rest = np.rint(np.exp(rows - second) * one).sum(axis=0) - one
    odds[first, at] = top - second - np.log(rest / one)
    return odds


def predicted(scores: np.ndarray, kind: Kind = "auto") -> np.ndarray:
    """Return the class with the highest score, the first one where scores are equal.

    With one column class 1 is predicted above logit 0 (probability 0.5).

    Parameters
    ----------
    scores : (events, classes), (events, 1) or (events,) array
    kind : {'auto', 'logits', 'probabilities'}, default 'auto'

    Returns
    -------
    (events,) int64 array
    """
    values, probabilities = checked_scores(scores, kind)
    if values.shape[1] == 1:
        return (values[:, 0] > (0.5 if probabilities else 0.0)).astype(np.int64)
    return values.argmax(axis=1)


def accuracy(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None, kind: Kind = "auto") -> float:
    """Return the fraction of events (of the event weight) whose highest score is that of the true class.

    Parameters
    ----------
    labels : (events,) integers from 0
    scores : (events, classes), (events, 1) or (events,) array
        Logits or probabilities.
    weights : (events,) array, optional
        Event weights from 0.
    kind : {'auto', 'logits', 'probabilities'}, default 'auto'

    Returns
    -------
    float in [0, 1]

    Raises
    ------
    InputError
        Arrays that do not fit.
    """
    found = predicted(scores, kind)
    truth = checked_labels(labels, len(found), _classes(scores))
    return float(np.average(found == truth, weights=event_weights(weights, len(found))))


def _classes(scores: np.ndarray) -> int:
    shape = np.shape(scores)
    return 2 if len(shape) == 1 else max(2, shape[1])


def _curve(score: np.ndarray, signal: np.ndarray, weights: np.ndarray) -> Curve:
    """Return signal and background efficiency at every distinct cut on a score, from (0, 0) to (1, 1)."""
    order = np.argsort(-score)
    ranked, weight, true = score[order], weights[order], signal[order]
    cuts = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(order) - 1)
    sums = [np.append(0.0, np.cumsum(side)[cuts]) for side in (weight * true, weight * ~true)]
    return sums[0] / sums[0][-1], sums[1] / sums[1][-1]


def full_roc(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None, kind: Kind = "auto"
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the ROC curve of each class against the rest with a point for every distinct cut, in class order.

    Parameters
    ----------
    labels, scores, weights, kind
        As for `accuracy`.

    Returns
    -------
    list of (signal efficiency, background efficiency)
        Rising float64 arrays from (0, 0) to (1, 1).

    Raises
    ------
    InputError
        Arrays that do not fit, or a class without events.
    """
    ranked, truth, weight = _ranked(labels, scores, weights, kind)
    curves = []
    for k, curve in enumerate(_curves(ranked, truth, weight)):
        if curve is None:
            raise InputError(f"labels: class {k} has {(truth == k).sum()} of {len(truth)} events or no weight: no ROC is defined")
        curves.append(curve)
    return curves


def _ranked(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None, kind: Kind
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    ranked = class_scores(scores, kind)
    return ranked, checked_labels(labels, *ranked.shape), event_weights(weights, len(ranked))


def _curves(ranked: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> Iterator[Curve | None]:
    """Yield the curve of each class, None where the class or the rest has no weight."""
    for k in range(ranked.shape[1]):
        signal = truth == k
        both = (weight * signal).sum() > 0 and (weight * ~signal).sum() > 0
        yield _curve(ranked[:, k], signal, weight) if both else None


def defined_curves(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None, kind: Kind = "auto"
) -> list[Curve | None]:
    """Return the curves of `full_roc`, None for a class without events or without others; parameters as for `accuracy`."""
    return list(_curves(*_ranked(labels, scores, weights, kind)))


def area(signal: np.ndarray, background: np.ndarray) -> float:
    """Return the area under a full ROC curve."""
    return float(np.trapezoid(signal, background))


def efficiency_at(signal: np.ndarray, background: np.ndarray, background_efficiency: float) -> float:
    """Return the largest signal efficiency of a full ROC curve whose background efficiency is at most the one given.

    No value between two cuts is made up: where the loosest cut that keeps the background leaves no signal, it is 0.

    Raises
    ------
    InputError
        A background efficiency outside (0, 1).
    """
    if not 0 < background_efficiency < 1:
        raise InputError(f"background_efficiency: expected a number between 0 and 1, received {background_efficiency}")
    return float(signal[np.searchsorted(background, background_efficiency * (1 + 1e-12), side="right") - 1])


def auc_per_class(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None, kind: Kind = "auto") -> list[float]:
    """Return the area under the ROC curve of each class against the rest, in class order.

    The curve is that of the softmax probability, in the stable float64 form of `class_scores`; equal scores count half
    (the Mann–Whitney statistic).

    Parameters
    ----------
    labels, scores, weights, kind
        As for `accuracy`.

    Returns
    -------
    list of float in [0, 1]

    Raises
    ------
    InputError
        Arrays that do not fit, or a class without events.
    """
    return [area(*curve) for curve in full_roc(labels, scores, weights, kind)]


def auc(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None, kind: Kind = "auto") -> float:
    """Return the mean of `auc_per_class` over the classes (macro, one-vs-rest)."""
    return float(np.mean(auc_per_class(labels, scores, weights, kind)))


def _corners(signal: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Find the points where a curve turns; those between lie on a horizontal or vertical line."""
    still = np.diff(signal) == 0, np.diff(background) == 0
    straight = (still[0][1:] & still[0][:-1]) | (still[1][1:] & still[1][:-1])
    return np.flatnonzero(np.concatenate([[True], ~straight, [True]]))


def _thin(signal: np.ndarray, background: np.ndarray, points: int) -> np.ndarray:
    """Choose points of a curve that are evenly spread in log background and in signal efficiency."""
    if len(signal) <= points:
        return np.arange(len(signal))
    half = (points - 3) // 2
    last_pure = int(np.searchsorted(background, 0.0, side="right")) - 1
    floor = max(background[last_pure + 1], ROC_FLOOR)
    chosen = np.concatenate(
        [
            [0, last_pure, len(signal) - 1],
            np.searchsorted(background, np.geomspace(floor, 1.0, half)),
            np.searchsorted(signal, np.linspace(0.0, 1.0, half)),
        ]
    )
    return np.unique(np.minimum(chosen, len(signal) - 1))


def roc(
    labels: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray | None = None,
    kind: Kind = "auto",
    points: int = ROC_POINTS,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the ROC curve of each class against the rest, in class order.

    Parameters
    ----------
    labels, scores, weights, kind
        As for `accuracy`.
    points : int, default 200
        At most so many points a curve, from 10. All are corners of the full curve, chosen so that its shape stays on a
        logarithmic background axis down to 1e-5.

    Returns
    -------
    list of (signal efficiency, background efficiency)
        Rising float64 arrays from (0, 0) to (1, 1).

    Raises
    ------
    InputError
        Arrays that do not fit, or a class without events.
    """
    if points < 10:
        raise InputError(f"points: expected 10 or more points a curve, received {points}")
    curves = []
    for signal, background in full_roc(labels, scores, weights, kind):
        chosen = _corners(signal, background)
        chosen = chosen[_thin(signal[chosen], background[chosen], points)]
        curves.append((signal[chosen], background[chosen]))
    return curves


def confusion(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None, kind: Kind = "auto") -> np.ndarray:
    """Return the events (their weight) by true class (rows) and predicted class (columns).

    Parameters
    ----------
    labels, scores, weights, kind
        As for `accuracy`.

    Returns
    -------
    (classes, classes) float64 array
    """
    found, classes = predicted(scores, kind), _classes(scores)
    truth = checked_labels(labels, len(found), classes)
    weight = event_weights(weights, len(found))
    return np.bincount(truth * classes + found, weight, classes * classes).reshape(classes, classes)
