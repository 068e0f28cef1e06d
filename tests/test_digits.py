"""Digits of fixed-point values against Python's own integers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qap.digits import coarser, lowest_digit, signed_digits, significant_bits

WHOLE = arrays(np.int64, st.integers(1, 20), elements=st.integers(-1023, 1023))


def _signed(value: int) -> int:
    """Count the digits of the canonical signed form one by one."""
    value, count = abs(value), 0
    while value:
        if value % 2:
            value -= 2 - value % 4
            count += 1
        value //= 2
    return count


@given(WHOLE, st.integers(0, 8))
def test_the_lowest_digit_divides_the_value_and_leaves_an_odd_number(values: np.ndarray, fractional: int) -> None:
    found = lowest_digit(values / 2**fractional)
    for value, digit in zip(values.tolist(), found.tolist(), strict=True):
        if value:
            assert (value * 2.0 ** (digit - fractional)) % 2 == 1, (value, digit)


@given(WHOLE)
def test_signed_digits_are_counted_as_by_hand(values: np.ndarray) -> None:
    assert signed_digits(np.abs(values)).tolist() == [_signed(value) for value in values.tolist()]


@given(WHOLE, arrays(np.float64, 20, elements=st.floats(-0.4, 0.4)))
def test_coarser_values_are_the_nearest_without_the_lowest_digit(values: np.ndarray, away: np.ndarray) -> None:
    for towards in (None, values + away[: len(values)]):
        found = coarser(values.astype(np.float64), towards)
        for i, (value, one) in enumerate(zip(values.tolist(), found.tolist(), strict=True)):
            lowest = abs(value) & -abs(value)
            assert abs(one - value) == lowest, f"{value} became {one}"
            assert one == 0 or one % (2 * lowest) == 0, f"{value} became {one}"
            choices = {value - lowest, value + lowest}
            bits = {int(choice): int(significant_bits(np.array([float(choice)]), 0)[0]) for choice in choices}
            assert bits[int(one)] == min(bits.values()), f"{value} became {one}, bits {bits}"
            if towards is not None and len(set(bits.values())) == 1 and towards[i] != value:
                assert abs(one - towards[i]) <= min(abs(choice - towards[i]) for choice in choices), f"{value}, {towards[i]}"


def test_seven_becomes_eight() -> None:
    assert coarser(np.array([7.0, -7.0, 5.0, 1.0, 0.0, 0.75])).tolist() == [8.0, -8.0, 4.0, 0.0, 0.0, 0.5]
