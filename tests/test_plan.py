"""Precision, LayerPlan, Plan: values against QKeras, files there and back, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qap.backend import stack
from qap.errors import InputError
from qap.plan import LayerPlan, Plan
from qap.precision import Precision

from .conftest import uniform_plan


@st.composite
def fixed(draw: st.DrawFn, max_bits: int = 32) -> Precision:
    signed = draw(st.booleans())
    bits = draw(st.integers(2 if signed else 1, max_bits))
    return Precision(bits, draw(st.integers(0, bits - int(signed))), signed)


@st.composite
def precisions(draw: st.DrawFn) -> Precision:
    return draw(st.one_of(fixed(), st.sampled_from([Precision(1, kind="binary"), Precision(2, kind="ternary")])))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    names = draw(st.lists(st.from_regex(r"[a-z]\w{0,8}", fullmatch=True), min_size=1, max_size=5, unique=True))
    weights = fixed().filter(lambda precision: precision.signed)
    layers = [
        (name, LayerPlan(draw(weights), draw(weights), draw(st.none() | precisions()), draw(st.floats(0, 0.99))))
        for name in names
    ]
    return Plan(tuple(layers))


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


@given(plans())
def test_plan_there_and_back(plan: Plan) -> None:
    again = Plan.from_dict(plan.to_dict())
    assert again == plan
    assert hash(again) == hash(plan)
    assert again.id == plan.id


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


@pytest.mark.parametrize("kind", ["binary", "po2"])
def test_pruning_that_quantization_would_undo_is_refused(kind: str) -> None:
    weight = Precision(4, 0, True, kind)
    with pytest.raises(InputError, match="would come back"):
        LayerPlan(weight, Precision(8), None, 0.5)
    assert LayerPlan(weight, Precision(8)).sparsity == 0
    zero = stack().qkeras.get_quantizer(weight.quantizer)(stack().tf.zeros(3))
    assert (np.asarray(zero) != 0).all(), "QKeras gives a zero after all: the refusal is out of date"


@pytest.mark.parametrize("sparsity", [1.0, -0.1, True, "half", float("nan")])
def test_sparsity_outside_the_range_is_refused(sparsity: float) -> None:
    with pytest.raises(InputError, match="sparsity"):
        LayerPlan(Precision(6), Precision(6), None, sparsity)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "expected layers by name"),
        ([1], "expected layers by name"),
        ({"fc1": {"wieght": "quantized_bits(6,0)"}}, "fc1: unknown key 'wieght' .did you mean 'weight'"),
        ({"fc1": {"weight": "quantized_bits(6,0)"}}, "fc1: bias: expected a precision"),
        ({"fc1": 3}, "fc1: expected the keys"),
        ({"fc1": {"weight": 6, "bias": "quantized_bits(6,0)"}}, "fc1: precision: expected for example"),
    ],
)
def test_errors_of_a_plan_name_the_layer(values: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Plan.from_dict(values)


def test_plan_file_there_and_back_and_its_errors(tmp_path) -> None:
    plan = uniform_plan(["fc1", "output"], sparsity=0.5)
    plan.save(tmp_path / "plan.yaml")
    assert Plan.load(tmp_path / "plan.yaml") == plan
    (tmp_path / "bad.yaml").write_text("fc1: [")
    for name in ("bad.yaml", "missing.yaml"):
        with pytest.raises(InputError, match=name):
            Plan.load(tmp_path / name)
    with pytest.raises(InputError, match="no layer 'fc2' .did you mean 'fc1'"):
        plan["fc2"]
