"""Binary digits of fixed-point values: how many a value needs, and the nearest value that needs fewer."""

from __future__ import annotations

import numpy as np

FINEST = 24
"""Fractional digits that a value may have at most: float32 holds no more."""


def lowest_digit(values: np.ndarray) -> np.ndarray:
    """Return f by value, so that 2**−f is its lowest non-zero digit; 0 for 0.

    Parameters
    ----------
    values : array
        Multiples of 2**−`FINEST`.
    """
    integers = np.abs(np.rint(np.ldexp(values, FINEST))).astype(np.int64)
    lowest = np.maximum(integers & -integers, 1)
    return np.where(integers > 0, FINEST - np.rint(np.log2(lowest)).astype(np.int64), 0)


def significant_bits(values: np.ndarray, fractional: int = FINEST) -> np.ndarray:
    """Return the binary digits of |value| between its highest and its lowest set bit, both included; 0 for 0.

    Parameters
    ----------
    values : array
        On a grid of step 2**-fractional.
    fractional : int, default `FINEST`

    Returns
    -------
    int64 array of the same shape.

    Examples
    --------
    >>> import numpy as np
    >>> from qap.digits import significant_bits
    >>> significant_bits(np.array([0.5, 0.75, -1.25, 0.0])).tolist()
    [1, 2, 3, 0]
    """
    integers = np.abs(np.rint(np.ldexp(values, fractional))).astype(np.int64)
    lowest = integers & -integers
    odd = integers // np.where(lowest == 0, 1, lowest)
    return np.ceil(np.log2(odd + 1.0)).astype(np.int64)


def signed_digits(integers: np.ndarray) -> np.ndarray:
    """Return the number of non-zero digits of each integer from 0 in canonical signed form (−1, 0, 1, no two neighbours).

    It is the fewest powers of two that the integer is a sum or difference of. Avizienis, IRE Trans. EC-10 (1961) 389.

    Examples
    --------
    >>> import numpy as np
    >>> from qap.digits import signed_digits
    >>> signed_digits(np.array([0, 7, 8, 11])).tolist()
    [0, 2, 1, 3]
    """
    return np.bitwise_count(integers ^ 3 * integers).astype(np.int64)


def coarser(values: np.ndarray, towards: np.ndarray | None = None) -> np.ndarray:
    """Return the nearest values without the lowest digit: multiples of twice as much as it.

    Both neighbours are equally near; the one with fewer significant bits is taken, of equal ones that on the side of
    `towards`, else the smaller one in magnitude. Taking away a canonical signed digit is the same, where it leaves fewer bits:
    7 = 8 − 1 becomes 8.

    Parameters
    ----------
    values : array
    towards : array, optional
        What the values were rounded from.
    """
    step = np.ldexp(2.0, -lowest_digit(values))
    magnitude, sign = np.abs(values), np.sign(values)
    below, above = np.floor(magnitude / step) * step, np.ceil(magnitude / step) * step
    few, many = significant_bits(below), significant_bits(above)
    up = many < few
    if towards is not None:
        up |= (many == few) & (sign * towards > magnitude)
    return sign * np.where(up, above, below)
