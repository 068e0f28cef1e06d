"""QKeras's fixed-point quantizers with the precision as a tensor, so that one compiled program serves every plan.

The values are those of ``quantized_bits(bits, integer, alpha=1)`` and ``quantized_relu(bits, integer)``, bit for bit: all
scales are powers of two, so that neither the order of the products nor a fused multiply-add changes a result.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from qap.backend import stack
from qap.precision import Precision

GRID = 5
"""Numbers that describe a precision: steps per unit, lowest and highest number of steps, step, limit of latent weights."""
MAX_UNSIGNED_BITS = 24
"""Above it QKeras's own float32 arithmetic for `quantized_relu` leaves the grid."""


@lru_cache(maxsize=4096)
def grid(precision: Precision) -> np.ndarray:
    """Return (scale, low, high, step, limit) of a fixed-point precision as float32, low and high in steps.

    With 26 bits or more QKeras rounds the highest number of steps to float32; so does this.
    """
    steps = np.float32(np.ldexp(1.0, precision.bits - precision.sign_bits))
    step = np.float32(precision.step)
    low = -steps if precision.signed else np.float32(0)
    return np.array([1 / step, low, steps - np.float32(1), step, limit(precision)], np.float32)


def limit(precision: Precision) -> float:
    """Return the bound that QKeras clips latent weights of this precision to after every step."""
    return max(1.0, float(np.ldexp(1.0, precision.integer)))


def identity(*, signed: bool) -> np.ndarray:
    """Return the row of `grid` that rounds no float32 value below 2**26: a grid finer than any, unsigned with the cut at 0."""
    return np.array([2.0**100, -(2.0**126) if signed else 0.0, 2.0**126, 2.0**-100, np.inf], np.float32)


def signed(values: Any, grids: Any) -> Any:
    """Return what ``quantized_bits`` returns. Its gradient is 1 everywhere.

    QKeras adds the difference to the value instead of taking the quantized value: far outside the range (latent weights
    before their first clipping) the sum is rounded, and off the grid.

    Parameters
    ----------
    values : float32 tensor
    grids : float32 tensor
        Its last axis holds `grid`; the others broadcast against the values.
    """
    tf = stack().tf
    scale, low, high, step = (grids[..., part] for part in range(4))
    return values + (tf.clip_by_value(tf.round(values * scale), low, high) * step - values)


def unsigned(values: Any, grids: Any) -> Any:
    """Return what ``quantized_relu`` returns for up to 24 bits."""
    tf = stack().tf
    scale, low, high, step = (grids[..., part] for part in range(4))
    return tf.clip_by_value(tf.round(values * scale), low, high) * step


def unsigned_gate(values: Any, grids: Any) -> Any:
    """Return where the gradient of ``quantized_relu`` is 1: above 0 and not above the highest value."""
    return (values > 0) & (values <= grids[..., 2] * grids[..., 3])
