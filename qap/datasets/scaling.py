"""From features to inputs: what is subtracted, what they are divided by, and the input grid.

A million events have to fit into memory beside their inputs: float64 is made of a few columns or events at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np

from qap.datasets.table import Table
from qap.errors import InputError, suggestion
from qap.precision import Precision

Scale = str | float | Sequence[float] | Mapping[str, float]
"""How features become inputs: ``'standard'``, ``'unit'``, or what they are divided by, all, one by one or by name."""
MOST_SATURATED = 0.01
"""Fraction of the training values that a divisor from the user may put outside the grid."""


COLUMNS = 8
"""Features that are float64 at a time."""
EVENTS = 65_536
"""Events that are float64 at a time."""


def _blocks(features: np.ndarray, events: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the events, some columns at a time, as float64."""
    count = features.shape[1]
    for columns in np.array_split(np.arange(count), math.ceil(count / COLUMNS)):
        yield features[:, columns[0] : columns[-1] + 1][events].astype(np.float64)


def standard(table: Table, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of the features.

    Parameters
    ----------
    table : Table
    train : (events,) integer array
        The training part.

    Raises
    ------
    InputError
        A constant feature.
    """
    found = [(block.mean(axis=0), block.std(axis=0)) for block in _blocks(table.features, train)]
    mean, scale = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if (scale == 0).any():
        column = int(np.argmax(scale == 0))
        raise InputError(
            f"{table.where}: feature '{table.feature_names[column]}' is constant in the training part: leave it out, or set "
            "data.scale to unit"
        )
    return mean, scale


def _shifts(table: Table, input: Precision) -> np.ndarray:
    """Return divisors that put every hardware integer on the grid exactly: its LSB times a power of two."""
    lsb = np.full(len(table.feature_names), np.nan) if table.lsb is None else table.lsb
    if not np.isfinite(lsb).all():
        name = table.feature_names[int(np.argmin(np.isfinite(lsb)))]
        raise InputError(f"{table.where}: data.scale: lsb needs the LSB of every feature, '{name}' has none in data.lsb")
    every = np.arange(len(table.features))
    ends = [(block.min(axis=0), block.max(axis=0)) for block in _blocks(table.features, every)]
    low, high = (np.rint(np.concatenate(parts) / lsb) for parts in zip(*ends, strict=True))
    bits = np.array([max(int(top), -int(bottom) - 1, 0).bit_length() for bottom, top in zip(low, high, strict=True)])
    widest = int(np.argmax(bits))
    if not input.signed or bits[widest] + 1 > input.bits:
        raise InputError(
            f"{table.where}: data.input: the integers of '{table.feature_names[widest]}' go from {low[widest]:.0f} to "
            f"{high[widest]:.0f}, the grid {input.ap_fixed} does not hold them: set "
            f"data.input={{bits: {bits[widest] + 1}, integer: 0}}"
        )
    return lsb * 2.0 ** (bits - input.integer)


def _by_name(table: Table, scale: Mapping[str, float]) -> list[float]:
    """Return each feature's divisor: that of the first name or pattern that fits."""
    names = [str(name) for name in table.feature_names]
    for pattern in scale:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InputError(f"{table.where}: data.scale: no feature fits '{pattern}'{suggestion(pattern, names)}")
    found = [next((value for pattern, value in scale.items() if fnmatchcase(name, pattern)), None) for name in names]
    if None in found:
        raise InputError(f"{table.where}: data.scale: '{names[found.index(None)]}' has no divisor: name it, or add a pattern '*'")
    return [float(value) for value in found if value is not None]


def divisors(table: Table, train: np.ndarray, scale: Scale, input: Precision) -> tuple[np.ndarray, np.ndarray]:
    """Return zeros and what the features are divided by.

    Parameters
    ----------
    table : Table
    train : (events,) integer array
        The training part.
    scale : 'unit', 'lsb', number, numbers, or numbers by feature name or pattern
    input : Precision

    Raises
    ------
    InputError
        No number above 0, a feature without one, too many values outside the grid or nothing left on it, integers that the
        grid does not hold.
    """
    count = table.features.shape[1]
    if scale == "lsb":
        return np.zeros(count), _shifts(table, input)
    if scale == "unit":
        largest = max(float(np.abs(block).max()) for block in _blocks(table.features, train))
        if not largest:
            raise InputError(f"{table.where}: data.scale: every feature of the training part is 0")
        scale = math.ldexp(1.0, math.frexp(largest)[1])
    values = np.asarray(_by_name(table, scale) if isinstance(scale, Mapping) else scale, np.float64)
    if values.shape not in ((), (count,)) or not (np.isfinite(values) & (values > 0)).all():
        raise InputError(f"{table.where}: data.scale: expected a number above 0, or {count} of them, received {scale!r}")
    values = np.broadcast_to(values, (count,)).copy()
    outside, varies, first = 0, False, 0
    for block in _blocks(table.features, train):
        scaled = block / values[first : first + block.shape[1]]
        outside += int(((scaled < input.low - input.step) | (scaled > input.high + input.step)).sum())
        varies |= bool(np.ptp(input.quantize(scaled), axis=0).any())
        first += block.shape[1]
    if outside > MOST_SATURATED * len(train) * count:
        raise InputError(
            f"{table.where}: data.scale: divided by {scale}, {outside / len(train) / count:.1%} of the training values lie "
            f"outside the grid {input.ap_fixed} ({input.low:g} to {input.high:g}): divide by more, or give "
            "data.input more integer bits"
        )
    if not varies:
        raise InputError(f"{table.where}: data.scale: divided by {scale}, every feature is constant on the grid {input.ap_fixed}")
    return np.zeros(count), values


def on_grid(features: np.ndarray, events: np.ndarray, mean: np.ndarray, divisor: np.ndarray, input: Precision) -> np.ndarray:
    """Return (features − mean) / divisor of some events, rounded to the grid, as float32.

    Parameters
    ----------
    features : (all events, features) array
    events : (events,) integer array
    mean, divisor : (features,) arrays
    input : Precision
    """
    found = np.empty((len(events), features.shape[1]), np.float32)
    for start in range(0, len(events), EVENTS):
        some = events[start : start + EVENTS]
        found[start : start + EVENTS] = input.quantize((features[some].astype(np.float64) - mean) / divisor)
    return found
