"""What QKeras quantizers do, said in fixed point: constants of weights, types and ranges of activations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qap.backend import float32, float64, stack
from qap.errors import InputError
from qap.firmware.values import Grid, Values

FLOAT32_BITS = 24
FLOAT64_BITS = 53
MAX_WEIGHT_BITS = 32
MAX_UNQUANTIZED_BITS = 18


@dataclass(frozen=True, eq=False)
class Cast:
    """A conversion to a fixed-point type: round half to even, then saturate.

    Parameters
    ----------
    bits, integer : int
        Width, and integer bits without the sign.
    signed : bool
    symmetric : bool
        Saturate at -(2**integer - step) instead of -2**integer.
    """

    bits: int
    integer: int
    signed: bool
    symmetric: bool = False

    @property
    def lsb(self) -> int:
        """Exponent of the step."""
        return self.integer + self.signed - self.bits

    @property
    def type(self) -> str:
        """hls4ml's spelling."""
        overflow = "SAT_SYM" if self.symmetric else "SAT"
        return f"{'' if self.signed else 'u'}fixed<{self.bits},{self.integer + self.signed},RND_CONV,{overflow}>"

    def values(self, source: Values) -> Values:
        """Return the values that come out for the values that go in."""
        highest = (1 << (self.bits - self.signed)) - 1
        lowest = -highest - (not self.symmetric) if self.signed else 0

        def move(bound: int) -> int:
            shift = self.lsb - source.lsb
            scaled = _round_half_even(bound << max(-shift, 0), source.divisor << max(shift, 0))
            return min(max(scaled, lowest), highest)

        convert = np.frompyfunc(move, 1, 1)
        return Values(self.lsb, convert(source.low), convert(source.high))

    def float_bits(self, source: Values) -> int:
        """Return the mantissa bits that QKeras's straight-through form ``x + (q - x)`` needs for exact results."""
        lsb = min(self.lsb, source.lsb)
        if source.divisor != 1:  # a rounded quotient must stay on its side of every rounding boundary
            lsb = min(self.lsb - 1, source.lsb) - source.divisor.bit_length() - 1
        out = self.values(source)
        largest = (max(map(abs, source.low.tolist() + source.high.tolist())) << (source.lsb - lsb)) // source.divisor
        return (largest + (max(map(abs, out.low.tolist() + out.high.tolist())) << (out.lsb - lsb))).bit_length()


def _round_half_even(numerator: int, denominator: int) -> int:
    quotient, remainder = divmod(numerator, denominator)
    twice = 2 * remainder
    return quotient + (twice > denominator or (twice == denominator and quotient % 2 == 1))


def class_name(quantizer: Any) -> str:
    """Return the quantizer's class, or the function's name."""
    return getattr(quantizer, "__name__", type(quantizer).__name__)


def constants(layer: str, what: str, quantizer: Any, latent: np.ndarray) -> Grid:
    """Quantize a weight tensor with the layer's own quantizer and write it on its exact grid.

    Quantizers wider than float32's mantissa are evaluated in float64.

    Parameters
    ----------
    layer, what : str
        For the error message, for example ``'fc1'``, ``'kernel'``.
    quantizer : QKeras quantizer or None
    latent : float array

    Raises
    ------
    InputError
        No quantizer on values that no 24-bit grid holds, or a scale that is not a power of two.
    """
    if not np.isfinite(latent).all():
        raise InputError(f"{layer}: {what}: the weights hold NaN or infinity: the training has diverged")
    if quantizer is None:
        return _unquantized(layer, what, latent)
    check_scale(layer, what, quantizer)
    tf = stack().tf
    if getattr(quantizer, "bits", 1) > FLOAT32_BITS:
        with float64():
            quantized = np.asarray(quantizer(tf.constant(latent, tf.float64)), np.float64)
    else:
        with float32():
            quantized = np.asarray(quantizer(tf.constant(latent, tf.float32)), np.float64)
    grid = Grid.of(quantized)
    if grid.bits > MAX_WEIGHT_BITS:
        raise InputError(
            f"{layer}: {what}: {class_name(quantizer)} leaves values that need {grid.bits} bits together (at most "
            f"{MAX_WEIGHT_BITS}): set alpha=1, or fewer bits"
        )
    return grid


def check_scale(layer: str, what: str, quantizer: Any) -> None:
    """Refuse a quantizer whose scale is not a power of two, or that mixes in the float value.

    Raises
    ------
    InputError
    """
    alpha = getattr(quantizer, "alpha", None)
    if isinstance(alpha, str):
        exact = alpha == "auto_po2"
    else:
        exact = alpha is None or bool(np.all(np.frexp(np.asarray(alpha, np.float64))[0] == 0.5))
    if not exact:
        raise InputError(
            f"{layer}: {what}: {class_name(quantizer)} with alpha={alpha!r} scales by numbers that are no powers of "
            "two, "
            "which fixed point does not hold exactly: set alpha=1 or 'auto_po2'"
        )
    noise = getattr(quantizer, "qnoise_factor", 1.0)
    if float(noise) != 1.0:
        raise InputError(f"{layer}: {what}: qnoise_factor is {float(noise)}, part of the float value stays: set it to 1")


def _unquantized(layer: str, what: str, latent: np.ndarray) -> Grid:
    grid = Grid.of(latent)
    if grid.bits > MAX_UNQUANTIZED_BITS:
        cure = ", or round it with qap.firmware.prepare(model)" if what == "bias" else ""
        raise InputError(
            f"{layer}: {what}: no quantizer, and the float values need {grid.bits} bits: give it a {what}_quantizer{cure}"
        )
    return grid
