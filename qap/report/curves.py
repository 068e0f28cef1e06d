"""Curves and histograms as the page draws them: thinned, and rounded to parts of a pixel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qap.report.axes import short
from qap.report.distributions import Distribution
from qap.report.quality import Curve, Residuals
from qap.report.sections import Calibration
from qap.report.view import logarithmic, shown_losses

SEEN = 0.0025
"""What can be seen of a curve, as part of its drawing: about a pixel."""
PARTS = 1000
"""Coordinates are whole numbers from 0 to this."""
TALL = 99
"""The highest bar of a histogram."""
ROC_FLOOR = 1e-3
"""Where the logarithmic axis of the ROC curves begins."""
DECADES = -math.log10(ROC_FLOOR)


def thinned(x: Sequence[float], y: Sequence[float], seen: float = SEEN) -> list[int]:
    """Return which points of a curve to keep so that no other lies further than `seen` from what is drawn.

    From each point that is kept the line goes as far as it passes all points between at that distance at most; a wedge that
    each of them narrows says how far (J. Sklansky, V. Gonzalez, Pattern Recognition 12 (1980) 327).

    Parameters
    ----------
    x, y : sequences of float
        In units of the drawing's width and height; x does not fall.
    seen : float, default 0.0025
    """
    kept = [0]
    while kept[-1] < len(x) - 1:
        kept.append(_reach(x, y, kept[-1], seen))
    return kept


def _reach(x: Sequence[float], y: Sequence[float], start: int, seen: float) -> int:
    """Return the last point to which a straight line may go from one."""
    low, high, farthest, end = -math.inf, math.inf, 0.0, start + 1
    for i in range(start + 1, len(x)):
        across, up = x[i] - x[start], y[i] - y[start]
        away, angle = math.hypot(across, up), math.atan2(up, across)
        if low > high:
            break
        if away >= farthest and low <= angle <= high:
            end = i
        farthest = max(farthest, away)
        if away > seen:
            half = math.asin(seen / away)
            low, high = max(low, angle - half), min(high, angle + half)
    return end


def _line(x: np.ndarray, y: np.ndarray, seen: float, parts: int = PARTS) -> list[list[int]]:
    """Return a curve in whole numbers, each as the difference to the one before: short in JSON."""
    kept = thinned(x.tolist(), y.tolist(), seen)
    return [np.diff(np.rint(values), prepend=0).astype(int).tolist() for values in (parts * x[kept], PARTS * y[kept])]


def roc(curve: Curve, seen: float = SEEN) -> list[list[int]]:
    """Return a ROC curve above the floor of its axis: steps in signal and in height on the axis."""
    signal, background = np.array(curve.signal), np.array(curve.background)
    shown = background >= ROC_FLOOR
    return _line(signal[shown], 1 + np.log10(background[shown]) / DECADES, seen)


def cuts(curve: Curve, seen: float = SEEN) -> list[list[list[int]]]:
    """Return the efficiency of signal and of background by cut: steps in the number of the cut and in the efficiency."""
    last = len(curve.signal) - 1
    return [_line(np.linspace(0.0, 1.0, last + 1), np.array(side), seen, last) for side in (curve.signal, curve.background)]


def losses(found: Mapping[str, Sequence[float]], seen: float = SEEN) -> dict[str, list[list[float]]]:
    """Return losses by name: epochs and losses."""
    drawn: dict[str, list[list[float]]] = {}
    shown = shown_losses(found)
    values = {name: np.array(line) for name, line in shown.items()}
    if logarithmic([value for line in shown.values() for value in line]):
        values = {name: np.log10(line) for name, line in values.items()}
    least = min((line.min() for line in values.values()), default=0.0)
    height = max((line.max() for line in values.values()), default=1.0) - least or 1.0
    for name, line in values.items():
        kept = thinned(np.linspace(0, 1, len(line)).tolist(), ((line - least) / height).tolist(), seen)
        drawn[name] = [[k + 1 for k in kept], [short(shown[name][k]) for k in kept]]
    return drawn


def _heights(values: Sequence[float]) -> list[int]:
    """Return bars of a histogram; what is not empty is seen."""
    return [math.ceil(TALL * value / (max(values) or 1)) for value in values]


def residuals(found: Residuals) -> dict[str, Any]:
    """Return a histogram of residuals: bars, and the share of the events in the highest."""
    return {
        "end": found.end,
        "heights": _heights(found.shares),
        "peak": short(max(found.shares)),
        "out": [short(found.below), short(found.above)],
    }


def distribution(found: Distribution | None) -> dict[str, Any] | None:
    """Return a histogram of weights or activations with the range of their quantizer."""
    if found is None:
        return None
    return {
        "ends": [found.low, found.high],
        "range": [found.range_low, found.range_high],
        "step": found.step,
        "clipped": found.clipped,
        "out": found.left_out,
        "heights": _heights(found.counts),
    }


def calibration(found: Calibration | None) -> dict[str, Any] | None:
    """Return a reliability diagram."""
    if found is None:
        return None
    sides = {
        name: [None if value is None else round(value, 4) for value in values]
        for name, values in (("confidence", found.confidence), ("accuracy", found.accuracy))
    }
    return {"events": found.events, **sides, "ece": short(found.expected_error)}
