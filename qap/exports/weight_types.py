"""The fixed-point types of quantized weights: as declared where the values lie in that type, else the narrowest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qap.firmware.quantizers import class_name
from qap.firmware.values import Grid, lowest_bit


@dataclass(frozen=True, slots=True)
class FixedType:
    """A fixed-point type.

    Parameters
    ----------
    bits : int
        Width, the sign included.
    fractional : int
        Bits right of the binary point, may be negative: value = integer · 2**-fractional.
    signed : bool
    narrow : bool
        The most negative integer is left out.
    """

    bits: int
    fractional: int
    signed: bool = True
    narrow: bool = False

    @property
    def low(self) -> int:
        """Smallest integer."""
        return self.narrow - (1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """Largest integer."""
        return (1 << (self.bits - self.signed)) - 1

    @property
    def ap_fixed(self) -> str:
        """hls4ml's spelling, integer bits including the sign."""
        return f"ap_{'' if self.signed else 'u'}fixed<{self.bits},{self.bits - self.fractional}>"

    def holds(self, grid: Grid) -> bool:
        """Tell whether every constant is a value of this type."""
        if not any(grid.values.ravel()):
            return True
        if grid.lsb < -self.fractional:
            return False
        flat = grid.at(-self.fractional).ravel()
        return self.low <= min(flat) and max(flat) <= self.high


def declared(quantizer: Any) -> FixedType | None:
    """Return the type that a weight quantizer declares; None where it declares no plain fixed-point type."""
    kind = class_name(quantizer)
    if kind == "ternary":
        return FixedType(2, 0, narrow=True)
    if kind == "binary":
        return FixedType(1, 0, signed=False) if getattr(quantizer, "use_01", False) else FixedType(2, 0, narrow=True)
    if kind != "quantized_bits":
        return None
    bits, integer, signed = int(quantizer.bits), int(quantizer.integer), bool(quantizer.keep_negative)
    if signed and bits == 1:
        return FixedType(2, 0, narrow=True)
    return FixedType(bits, bits - signed - integer, signed, narrow=bool(quantizer.symmetric) and signed)


def narrowest(grid: Grid) -> FixedType:
    """Return the narrowest type that holds constants."""
    flat = grid.values.ravel()
    low, high = min(flat, default=0), max(flat, default=0)
    magnitude = max(max(high, 0).bit_length(), (-low - 1).bit_length() if low < 0 else 0)
    return FixedType(max(1, magnitude + (low < 0)), -grid.lsb, bool(low < 0))


def weight_type(quantizer: Any, grid: Grid) -> FixedType:
    """Return the type of one weight tensor.

    Parameters
    ----------
    quantizer : QKeras quantizer or None
    grid : Grid
        What it makes of the weights.
    """
    kind = declared(quantizer)
    return kind if kind is not None and kind.holds(grid) else narrowest(grid)


def channel_types(quantizer: Any, values: np.ndarray, axis: int = -1) -> tuple[FixedType, np.ndarray] | None:
    """Return a type and exponents per channel that bring it onto the weights (``alpha='auto_po2'``).

    Parameters
    ----------
    quantizer : QKeras quantizer
    values : float64 array
        Quantized weights.
    axis : int, default -1
        Of the channels.

    Returns
    -------
    (FixedType with no fractional bits, int array (channels,)) or None
        value = integer · 2**exponent; None where the declared bits do not hold the integers.
    """
    kind = declared(quantizer)
    if kind is None:
        return None
    channels = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
    exponents = np.array([lowest_bit(channel) for channel in channels])
    whole = FixedType(kind.bits, 0, kind.signed, kind.narrow)
    fits = all(
        whole.low <= scaled.min() and scaled.max() <= whole.high
        for scaled in (np.ldexp(channel, -exponent) for channel, exponent in zip(channels, exponents, strict=True))
    )
    return (whole, exponents) if fits else None
