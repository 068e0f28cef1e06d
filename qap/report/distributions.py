"""Where weights and activations lie in the ranges that a plan has chosen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from qap.backend import stack
from qap.models.architecture import Architecture
from qap.models.builders import Weights, activation_name, shaped
from qap.plan import Plan
from qap.precision import Precision
from qap.report.sections import Section

BINS = 32
EVENTS = 1000
WIDEST = 3.0
"""The axis ends at so many times the largest value where the range goes further."""


class Distribution(Section):
    """A histogram of values before they are quantized, and the quantizer's range."""

    low: float
    high: float
    """Ends of the histogram; its bins have equal width."""
    counts: tuple[int, ...]
    range_low: float
    range_high: float
    """Smallest and largest number of the quantizer."""
    step: float
    """Between neighbouring numbers of the quantizer; of power-of-two weights the smallest one."""
    clipped: float
    """Fraction of the values more than half a step beyond the range; of a ReLU's those above."""
    left_out: float
    """Fraction that the histogram leaves out: weights that are exactly zero, sums that a ReLU cuts off."""

    @classmethod
    def of(cls, values: np.ndarray, precision: Precision) -> Self:
        """Bin values; with a quantizer without sign those above zero, else those that are not exactly zero.

        Parameters
        ----------
        values : array
        precision : Precision
        """
        whole = np.asarray(values, np.float64).ravel()
        kept = whole[whole != 0] if precision.signed else whole[whole > 0]
        largest = float(np.abs(kept).max(initial=0.0)) or float(precision.high) or 1.0
        low = max(min(float(kept.min(initial=0.0)), precision.low), -WIDEST * largest)
        high = min(max(float(kept.max(initial=0.0)), precision.high), WIDEST * largest)
        bins, high = _bins(kept, low, high)
        counts, _ = np.histogram(kept, bins, (low, high))
        half = precision.step / 2
        beyond = (kept > precision.high + half) | (kept < precision.low - half)
        return cls(
            low=_short(low), high=_short(high), counts=tuple(counts.tolist()),
            range_low=precision.low, range_high=precision.high, step=precision.step,
            clipped=round(float(beyond.sum()) / max(whole.size, 1), 6),
            left_out=round(1 - kept.size / max(whole.size, 1), 6),
        )  # fmt: skip


def _bins(values: np.ndarray, low: float, high: float) -> tuple[int, float]:
    """Return how many bins, and where they end: of values on a coarse grid each bin holds equally many."""
    found = np.unique(values)
    if not 1 < len(found) <= 4 * BINS:
        return BINS, high
    gaps = np.diff(found)
    grid = float(gaps.min())
    if (high - low) / grid > 4 * BINS or np.abs(gaps / grid - np.rint(gaps / grid)).max() > 1e-3:
        return BINS, high
    width = grid * math.ceil((high - low) / grid / BINS)
    bins = math.floor((high - low) / width) + 1
    return bins, low + bins * width


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _sums(model: Any, architecture: Architecture, plan: Plan, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return what enters the quantizer behind each layer; a user's model whose quantizers have other names gives nothing."""
    present = {layer.name for layer in model.layers}
    names = {layer.name: activation_name(layer) for layer in architecture.layers if plan[layer.name].activation is not None}
    names = {layer: name for layer, name in names.items() if name in present}
    if not names:
        return {}
    taps = stack().keras.Model(model.input, [model.get_layer(name).input for name in names.values()])
    found = taps(shaped(model, x), training=False)
    return dict(zip(names, map(np.asarray, found if isinstance(found, list) else [found]), strict=True))


def distributions(
    model: Any, architecture: Architecture, plan: Plan, weights: Weights, x: np.ndarray
) -> Mapping[str, tuple[Distribution, Distribution | None]]:
    """Return by layer the distribution of its weights, and of its sums where a quantizer follows.

    Parameters
    ----------
    model : keras.Model
        Of QKeras, with the weights set.
    architecture : Architecture
    plan : Plan
    weights : mapping
        Latent weights by ``layer/kernel``.
    x : (events, features) array
        Of which the first 1000 run through the model.
    """
    sums = _sums(model, architecture, plan, x[:EVENTS])
    found: dict[str, tuple[Distribution, Distribution | None]] = {}
    for name, layer in plan.items():
        drawn = None
        if name in sums and layer.activation is not None:
            drawn = Distribution.of(sums[name], layer.activation)
        found[name] = Distribution.of(weights[f"{name}/kernel"], layer.weight), drawn
    return found
