"""What a tensor can hold: a fixed-point grid and the range of each channel, in exact integers.

The types of the firmware follow from these ranges: an accumulator is as wide as the worst case of its weights and
inputs, so that nothing can overflow or be cut off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qap.precision import Precision


def integers(values: Any) -> np.ndarray:
    """Return an array of Python integers, which never overflow."""
    array = np.asarray(values)
    return np.frompyfunc(int, 1, 1)(array) if array.shape else np.array(int(array), object)


def lowest_bit(values: np.ndarray) -> int:
    """Return the exponent of the coarsest power-of-two grid that holds every value (0 when all are zero)."""
    mantissas, exponents = np.frexp(np.asarray(values, np.float64).ravel())
    nonzero = mantissas != 0
    if not nonzero.any():
        return 0
    whole = np.ldexp(np.abs(mantissas[nonzero]), 53).astype(np.int64)
    trailing = np.log2((whole & -whole).astype(np.float64)).astype(int)
    return int((exponents[nonzero] - 53 + trailing).min())


@dataclass(frozen=True, eq=False)
class Grid:
    """Constants written as integers times a power of two.

    Parameters
    ----------
    values : object array
        Python integers.
    lsb : int
        Exponent: constant = value * 2**lsb.
    """

    values: np.ndarray
    lsb: int

    @classmethod
    def of(cls, constants: Any) -> Grid:
        """Write constants on the coarsest grid that holds them exactly."""
        array = np.asarray(constants, np.float64)
        lsb = lowest_bit(array)
        return cls(integers(np.ldexp(array, -lsb)), lsb)

    def at(self, lsb: int) -> np.ndarray:
        """Return the integers on a finer grid."""
        return self.values * (1 << (self.lsb - lsb))

    @property
    def bits(self) -> int:
        """Bits of the largest magnitude."""
        return max((abs(value).bit_length() for value in self.values.ravel()), default=0)

    @property
    def type(self) -> str:
        """The narrowest hls4ml type that holds the constants."""
        flat = self.values.ravel()
        return Values(self.lsb, integers([min(flat, default=0)]), integers([max(flat, default=0)])).type


@dataclass(frozen=True, eq=False)
class Values:
    """A tensor's grid and ranges.

    Parameters
    ----------
    lsb : int
        Every value is a multiple of 2**lsb.
    low, high : object arrays of Python integers, shape (channels,)
        Smallest and largest value of each channel of the last axis, in units of 2**lsb.
    divisor : int, default 1
        Values are integers times 2**lsb / divisor: an average whose division has not been rounded yet. Only a
        quantizer may take such a tensor.
    """

    lsb: int
    low: np.ndarray
    high: np.ndarray
    divisor: int = 1

    @classmethod
    def of(cls, precision: Precision, channels: int) -> Values:
        """Return the values that a fixed-point precision has."""
        low = integers(np.full(channels, np.ldexp(precision.low, precision.fractional)))
        high = integers(np.full(channels, np.ldexp(precision.high, precision.fractional)))
        return cls(-precision.fractional, low, high)

    @property
    def channels(self) -> int:
        """Length of the last axis."""
        return len(self.low)

    @property
    def bits(self) -> int:
        """Bits of the largest magnitude, sign left out: the mantissa that a float needs to hold every value."""
        return max(max(abs(low), abs(high)).bit_length() for low, high in zip(self.low, self.high, strict=True))

    @property
    def type(self) -> str:
        """The narrowest hls4ml type that holds every value."""
        low, high = min(self.low), max(self.high)
        magnitude = max(max(high, 0).bit_length(), (-low - 1).bit_length() if low < 0 else 0)
        width = max(1, magnitude + (low < 0))
        return f"{'' if low < 0 else 'u'}fixed<{width},{width + self.lsb}>"

    def at(self, lsb: int) -> Values:
        """Return the same ranges on a finer grid."""
        factor = 1 << (self.lsb - lsb)
        return Values(lsb, self.low * factor, self.high * factor, self.divisor)

    def scaled(self, exponent: int) -> Values:
        """Return the values times 2**exponent."""
        return Values(self.lsb + exponent, self.low, self.high, self.divisor)

    def with_zero(self) -> Values:
        """Widen the ranges to hold 0 (zero padding)."""
        return Values(self.lsb, np.minimum(self.low, 0), np.maximum(self.high, 0), self.divisor)

    def tiled(self, times: int) -> Values:
        """Repeat the channels: flattening positions into channels."""
        return Values(self.lsb, np.tile(self.low, times), np.tile(self.high, times), self.divisor)

    def collapsed(self, channels: int) -> Values:
        """Forget the channels: every channel gets the widest range."""
        low, high = min(self.low), max(self.high)
        return Values(self.lsb, integers([low] * channels), integers([high] * channels), self.divisor)


def union(*values: Values) -> Values:
    """Return the grid and ranges that hold all of several tensors with the same channels."""
    lsb = min(value.lsb for value in values)
    fine = [value.at(lsb) for value in values]
    return Values(lsb, np.minimum.reduce([v.low for v in fine]), np.maximum.reduce([v.high for v in fine]))


def product(values: Values, kernel: Grid, bias: Grid | None) -> tuple[Values, int]:
    """Return what ``values @ kernel + bias`` can hold, and the mantissa bits of its worst partial sum.

    The type of the final sum is wide enough for the accumulator: partial sums that pass its range wrap around and come
    back, as two's complement does.

    Parameters
    ----------
    values : Values with n channels
    kernel : Grid of shape (n, units)
    bias : Grid of shape (units,) or None
    """
    lsb = values.lsb + kernel.lsb
    if bias is not None and bias.values.any():
        lsb = min(lsb, bias.lsb)
    weights = kernel.values * (1 << (values.lsb + kernel.lsb - lsb))
    positive, negative = np.maximum(weights, 0), np.minimum(weights, 0)
    low = values.low @ positive + values.high @ negative
    high = values.high @ positive + values.low @ negative
    largest = np.maximum(abs(values.low), abs(values.high)) @ abs(weights)
    if bias is not None and bias.values.any():
        offsets = bias.at(lsb)
        low, high, largest = low + offsets, high + offsets, largest + abs(offsets)
    return Values(lsb, low, high), max(largest).bit_length()
