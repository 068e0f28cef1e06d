"""Every cast, on every value of its input, against integer arithmetic."""

from __future__ import annotations

from decimal import localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("da4ml")

from qap.rtl.element import Element, Target, cast, element, total
from qap.rtl.tools import da4ml


def variable(low: int, high: int, fraction: int) -> Any:
    module = da4ml("trace.fixed_variable")
    step = 2.0**-fraction
    return module.FixedVariable(low * step, high * step, step, hwconf=module.HWConfig(1, -1, -1))


def run(port: Any, result: Element, x: np.ndarray) -> np.ndarray:
    logic = da4ml("trace").comb_trace([port], [total(result, port)], keep_dead_inputs=True)
    return logic.predict(x[:, None], n_threads=1)[:, 0]


def expected(values: np.ndarray, target: Target) -> np.ndarray:
    """The same in NumPy, which rounds half to even."""
    scaled = np.ldexp(values, -target.lsb)
    whole = {"RND_CONV": np.rint, "TRN": np.floor, "RND": lambda v: np.floor(v + 0.5)}[target.rounding](scaled)
    top = 2 ** (target.bits - target.signed)
    bottom = (-top + target.symmetric) if target.signed else 0
    return np.ldexp(np.clip(whole, bottom, top - 1), target.lsb)


targets = st.builds(
    lambda bits, integer, signed, rounding, symmetric: Target(
        bits + signed, integer, signed, rounding, symmetric and signed
    ),
    st.integers(1, 6), st.integers(-2, 5), st.booleans(), st.sampled_from(["RND_CONV", "RND_CONV", "RND", "TRN"]), st.booleans(),
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    st.tuples(st.integers(-300, 300), st.integers(1, 500)), st.integers(-1, 6), st.sampled_from([1, 2, -1, -4]),
    st.integers(-200, 200), st.integers(0, 8), targets,
)  # fmt: skip
def test_a_cast_gives_what_numpy_gives(
    interval: tuple[int, int], fraction: int, factor: int, number: int, finer: int, target: Target
) -> None:
    low, high = interval[0], sum(interval)
    with localcontext(prec=400):
        port = variable(low, high, fraction)
        offset = Fraction(number, 2**finer)
        value = Element(element(port).times(Fraction(factor)).variable, offset)
        result = cast(value, target)
        x = np.ldexp(np.arange(low, high + 1.0), -fraction)
        received = np.full(len(x), float(result.offset)) if result.variable is None else run(port, result, x)
    wanted = expected(x * factor + float(offset), target)
    wrong = received != wanted
    assert not wrong.any(), f"{wrong.sum()} of {len(x)}: {x[wrong][:5]} give {received[wrong][:5]}, not {wanted[wrong][:5]}"
    assert float(result.low) <= wanted.min()
    assert wanted.max() <= float(result.high)


@pytest.mark.parametrize("rounding", ["RND_CONV", "RND", "TRN"])
@pytest.mark.parametrize("fraction", [0, 3, 6])
def test_a_constant_is_cast_without_logic(rounding: str, fraction: int) -> None:
    target = Target(5, 2, True, rounding)
    for number in range(-80, 80):
        value = Fraction(number, 2**fraction)
        result = cast(Element(None, value), target)
        assert result.variable is None
        assert float(result.offset) == expected(np.array([float(value)]), target)[0]


def _ops(value: Element, target: Target, port: Any) -> list[int]:
    with localcontext(prec=400):
        logic = da4ml("trace").comb_trace([port], [total(cast(value, target), port)], keep_dead_inputs=True)
    return [op.opcode for op in logic.ops]


def test_saturation_and_ties_take_logic_only_where_they_can_happen() -> None:
    port = variable(-100, 100, 4)  # -6.25 to 6.25 in steps of 1/16
    eighths = Target(7, 3, True)
    assert 6 in _ops(Element(port, Fraction(0)), eighths, port), "ties need a multiplexer"
    assert 6 not in _ops(Element(port, Fraction(1, 32)), eighths, port), "half a step below, no tie is left"
    assert 6 not in _ops(Element(port, Fraction(0)), Target(8, 3, True), port), "nothing to round"
    assert 6 not in _ops(Element(port, Fraction(0)), Target(7, 3, True, "TRN"), port), "nothing to saturate"
    assert 6 in _ops(Element(port, Fraction(0)), Target(6, 2, True, "TRN"), port), "6.25 is beyond 4"


def test_half_a_step_that_the_offset_holds_costs_no_adder() -> None:
    port = variable(-100, 100, 4)
    target = Target(7, 3, True)
    assert _ops(Element(port, Fraction(-1, 16) + Fraction(1, 32)), target, port).count(4) == 0, "the offset cancels the half step"
    assert _ops(Element(port, Fraction(1, 4) + Fraction(1, 32)), target, port).count(4) == 1


def test_a_negated_variable_is_subtracted_from_its_constant() -> None:
    port = variable(-100, 100, 4)
    negated = Element(element(port).times(Fraction(-1)).variable, Fraction(3))
    with localcontext(prec=400):
        logic = da4ml("trace").comb_trace([port], [total(negated, port)], keep_dead_inputs=True)
    assert [op.opcode for op in logic.ops].count(1) == 1
    x = np.ldexp(np.arange(-100, 101.0), -4)
    assert np.array_equal(logic.predict(x[:, None], n_threads=1)[:, 0], 3 - x)
