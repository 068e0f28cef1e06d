"""Ranges and grids against brute force in exact integers."""

from __future__ import annotations

from fractions import Fraction
from itertools import product as combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qap.firmware.quantizers import Cast
from qap.firmware.values import Grid, Values, integers, lowest_bit, product, union
from qap.precision import Precision


@given(st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=6), st.integers(-40, 20))
def test_a_grid_holds_its_constants_exactly(numbers: list[int], exponent: int) -> None:
    constants = np.ldexp(np.array(numbers, np.float64), exponent)
    grid = Grid.of(constants)
    assert [Fraction(int(value)) * Fraction(2) ** grid.lsb for value in grid.values] == list(map(Fraction, constants))
    if any(numbers):
        assert any(value % 2 for value in grid.values), "the grid is coarser than it need be"


@pytest.mark.parametrize(
    ("low", "high", "lsb", "expected"),
    [(0, 63, -4, "ufixed<6,2>"), (-32, 31, -5, "fixed<6,1>"), (-33, 0, 0, "fixed<7,7>"), (0, 0, 3, "ufixed<1,4>"),
     (-1, 0, -2, "fixed<1,-1>"), (0, 64, 2, "ufixed<7,9>")],
)  # fmt: skip
def test_the_type_is_the_narrowest_that_holds_the_range(low: int, high: int, lsb: int, expected: str) -> None:
    assert Values(lsb, integers([low]), integers([high])).type == expected


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 3), st.integers(-4, 2), st.integers(-4, 2), st.booleans())
def test_a_sum_of_products_stays_within_its_range_and_reaches_it(
    seed: int, terms: int, units: int, x_lsb: int, w_lsb: int, biased: bool
) -> None:
    rng = np.random.default_rng(seed)
    low, high = -rng.integers(0, 4, terms), rng.integers(0, 4, terms)
    kernel = Grid(integers(rng.integers(-3, 4, (terms, units))), w_lsb)
    bias = Grid(integers(rng.integers(-9, 10, units)), int(rng.integers(-5, 3))) if biased else None
    values, bits = product(Values(x_lsb, integers(low), integers(high)), kernel, bias)
    sums = []
    for x in combinations(*(range(a, b + 1) for a, b in zip(low, high, strict=True))):
        total = [
            sum(Fraction(int(a) * int(w)) * Fraction(2) ** (x_lsb + w_lsb) for a, w in zip(x, kernel.values[:, u], strict=True))
            + (Fraction(int(bias.values[u])) * Fraction(2) ** bias.lsb if bias else 0)
            for u in range(units)
        ]  # fmt: skip
        sums.append(total)
    step = Fraction(2) ** values.lsb
    for unit in range(units):
        column = [total[unit] / step for total in sums]
        assert all(value.denominator == 1 for value in column), "a sum is off the grid"
        assert (min(column), max(column)) == (values.low[unit], values.high[unit])
    assert max(abs(values.low).max(), abs(values.high).max()) < 2**bits


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 6), st.integers(0, 3), st.booleans(), st.integers(-6, 2), st.integers(-200, 200), st.integers(1, 7))
def test_a_cast_rounds_as_the_precision_does(bits: int, integer: int, signed: bool, lsb: int, value: int, divisor: int) -> None:
    integer = min(integer, bits - 1)
    cast = Cast(bits, integer, signed)
    out = cast.values(Values(lsb, integers([value]), integers([value]), divisor))
    exact = Fraction(value) * Fraction(2) ** lsb / divisor / Fraction(2) ** cast.lsb
    rounded = round(exact)  # Python rounds fractions half to even
    kind = Precision(bits, integer, signed)
    low, high = (round(Fraction(bound) / Fraction(2) ** cast.lsb) for bound in (kind.low, kind.high))
    assert out.low[0] == out.high[0] == min(max(rounded, low), high)
    assert out.lsb == -kind.fractional


def test_union_and_zero_padding() -> None:
    first, second = Values(-2, integers([1, -3]), integers([5, -1])), Values(0, integers([2, 2]), integers([3, 4]))
    joined = union(first, second)
    assert (joined.lsb, list(joined.low), list(joined.high)) == (-2, [1, -3], [12, 16])
    padded = first.with_zero()
    assert (list(padded.low), list(padded.high)) == ([0, -3], [5, 0])


def test_no_overflow_beyond_64_bits() -> None:
    wide = Values(-31, integers([-(2**40)] * 100), integers([2**40] * 100))
    values, bits = product(wide, Grid(integers(np.full((100, 1), 2**31 - 1)), -31), None)
    assert values.high[0] == 100 * 2**40 * (2**31 - 1)
    assert bits == 78
    assert lowest_bit(np.array([0.0])) == 0
