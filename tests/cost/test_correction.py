"""Corrections by one's own reports: shrinkage by hand, the choice between methods, bands that hold new shapes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qap.cost.correction import Correction, Sample, choose


def _sample(value: float, truth: float, group: str = "a", width: float = 0.5, **terms: float) -> Sample:
    low, high = (value + 1) * math.exp(-width) - 1, (value + 1) * math.exp(width) - 1
    return Sample(value, max(low, 0.0), high, truth, group, terms)


def test_one_shape_is_half_believed_and_keeps_the_band() -> None:
    made = choose([_sample(99, 199), _sample(199, 399)])
    assert made.shift == pytest.approx(math.log(2) / 2)
    assert made.band is None
    value, low, high = made.apply(99, 49, 199, {})
    assert (value, low, high) == pytest.approx((100 * 2**0.5 - 1, 50 * 2**0.5 - 1, 200 * 2**0.5 - 1))


def test_one_shape_far_outside_widens_the_band() -> None:
    sample = _sample(99, 999, width=0.1)
    made = choose([sample])
    assert made.shift == pytest.approx(math.log(10) / 2)
    assert sample.held(made)
    assert made.band == pytest.approx((math.log(10) / 2, math.log(10) / 2))


def test_shapes_count_and_not_reports() -> None:
    many = [_sample(99, 199, "a")] * 9 + [_sample(99, 99 * 4 + 3, "b"), _sample(99, 199, "c")]
    made = choose(many)
    assert made.shift == pytest.approx(math.log(2 * 4 * 2) / 4)  # mean of three logarithms, times 3 / 4


def test_errors_without_a_direction_are_left_alone() -> None:
    made = choose([_sample(99, 199, "a"), _sample(99, 49, "b"), _sample(99, 199, "c"), _sample(99, 49, "d")])
    assert (made.shift, made.terms) == (0, ())


def test_what_is_exact_stays_exact() -> None:
    exact = [Sample(float(value), float(value), float(value), float(value), str(value), {}) for value in (1, 4, 9)]
    made = choose(exact)
    assert made.apply(25, 25, 25, {}) == (25, 25, 25)


def test_zero_stays_zero_until_a_report_says_otherwise() -> None:
    zeros = [Sample(0, 0, 0, 0, str(shape), {}) for shape in range(3)]
    assert choose(zeros) == Correction()
    made = choose([*zeros, _sample(99, 199, "x"), _sample(49, 99, "y")])
    assert made.shift == pytest.approx(math.log(2) * 2 / 3)  # the zeros say nothing about the factor
    assert made.apply(0, 0, 0, {}) == (0, 0, 0)
    other = choose([*zeros, Sample(0, 0, 0, 40, "x", {}), Sample(0, 0, 0, 50, "y", {})])
    assert other.apply(0, 0, 0, {})[2] > 40


def test_a_fit_needs_two_shapes_more_than_terms() -> None:
    samples = [_sample(100, 7 * bits + 30, str(bits), bits=float(bits), one=1.0) for bits in (3, 50, 9, 120, 70)]
    names = ("bits", "one")
    made = choose(samples[:4], names)
    assert made.terms == names
    assert made.coefficients == pytest.approx((7, 30))
    assert choose(samples[:3], names).terms == ()
    assert choose(samples).terms == ()
    assert made.apply(100, 90, 110, {"bits": 70.0, "one": 1.0}) == pytest.approx(
        (520, 521 * math.exp(-0.1) - 1, 521 * math.exp(0.1) - 1)
    )


def test_new_shapes_lie_in_the_band() -> None:
    """Reports 1.4 × the estimate, 15 % apart from shape to shape: nine of ten new shapes inside, in a narrower band."""
    generator = np.random.default_rng(3)
    inside, widths = [], []
    for _ in range(600):
        ratios = 1.4 * np.exp(0.15 * generator.normal(size=7))
        samples = [_sample(999, 1000 * ratio - 1, str(index), width=1.0) for index, ratio in enumerate(ratios)]
        made = choose(samples[:-1])
        inside.append(samples[-1].held(made))
        _, low, high = samples[-1].corrected(made)
        widths.append(math.log((high + 1) / (low + 1)))
    assert 0.87 <= np.mean(inside) <= 0.98, np.mean(inside)
    assert np.median(widths) < 1.2  # the estimate's own band is 2 wide


@given(
    st.lists(
        st.tuples(st.integers(0, 5000), st.integers(0, 5000), st.sampled_from("abcd"), st.floats(0, 1)), min_size=1, max_size=12
    )
)  # fmt: skip
def test_the_corrected_value_lies_in_its_band(rows: list[tuple[int, int, str, float]]) -> None:
    samples = [_sample(value, truth, group, width) for value, truth, group, width in rows]
    made = choose(samples)
    for sample in samples:
        value, low, high = sample.corrected(made)
        assert 0 <= low <= value + 1e-6 * (value + 1)
        assert high >= value - 1e-6 * (value + 1)
