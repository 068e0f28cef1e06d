"""Precision: values against QKeras, texts there and back, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qap.backend import stack
from qap.errors import InputError
from qap.precision import Precision


@st.composite
def fixed(draw: st.DrawFn, max_bits: int = 32) -> Precision:
    signed = draw(st.booleans())
    bits = draw(st.integers(2 if signed else 1, max_bits))
    return Precision(bits, draw(st.integers(0, bits - int(signed))), signed)


@st.composite
def precisions(draw: st.DrawFn) -> Precision:
    return draw(st.one_of(fixed(), st.sampled_from([Precision(1, kind="binary"), Precision(2, kind="ternary")])))


@settings(max_examples=60, deadline=None)
@given(fixed(max_bits=12), st.lists(st.floats(-40, 40, width=32), min_size=1, max_size=40))
def test_quantize_gives_the_values_of_qkeras(precision: Precision, values: list[float]) -> None:
    x = np.array(values, np.float32)
    quantizer = stack().qkeras.get_quantizer(precision.quantizer)
    expected = np.asarray(quantizer(stack().tf.constant(x)))
    received = precision.quantize(x)
    wrong = np.flatnonzero(received != expected)
    assert not wrong.size, (
        f"{wrong.size} of {x.size}, {precision}: x {x[wrong[:3]]}, {received[wrong[:3]]}, {expected[wrong[:3]]}"
    )


@settings(max_examples=100, deadline=None)
@given(fixed(), st.lists(st.floats(-1e5, 1e5), min_size=1, max_size=20))
def test_quantized_values_lie_on_the_grid_between_low_and_high(precision: Precision, values: list[float]) -> None:
    quantized = precision.quantize(np.array(values))
    steps = quantized / precision.step
    assert (steps == np.rint(steps)).all()
    assert quantized.min() >= precision.low
    assert quantized.max() <= precision.high
    assert (precision.quantize(quantized) == quantized).all()


@given(precisions())
def test_text_form_there_and_back(precision: Precision) -> None:
    assert Precision.parse(str(precision)) == precision
    assert Precision.parse(precision.quantizer) == precision


def test_ap_fixed_counts_the_sign_as_an_integer_bit() -> None:
    assert Precision(10, 2).ap_fixed == "ap_fixed<10,3>"
    assert Precision(6, 2, signed=False).ap_fixed == "ap_ufixed<6,2>"


@pytest.mark.parametrize(
    ("bits", "integer", "signed", "message"),
    [
        (0, 0, True, "bits from 1 to 32, received 0"),
        (40, 0, True, "bits from 1 to 32, received 40"),
        (True, 0, True, "received True"),
        (6.0, 0, True, "received 6.0"),
        (6, 6, True, "integer bits from 0 to 5"),
        (6, -1, True, "received -1"),
        (6, 7, False, "integer bits from 0 to 6"),
        (1, 0, True, r"write binary\(\)"),
    ],
)
def test_impossible_widths_are_refused(bits: int, integer: int, signed: bool, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Precision(bits, integer, signed)


@pytest.mark.parametrize(
    "text", ["", "quantized_bits", "quantized_bits()", "quantized_bits(a)", "quantized_bits(4,1,1,1)", "binary(3)",
             "quantized_bits(6,0,alpha='auto')", "__import__('os')", "quantized_bits(6,0);x", "quantized_bits(40,0)"],
)  # fmt: skip
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="precision"):
        Precision.parse(text)
