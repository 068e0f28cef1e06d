"""LayerPlan and Plan: files there and back, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qap.backend import stack
from qap.errors import InputError
from qap.plan import LayerPlan, Plan
from qap.precision import Precision

from .conftest import uniform_plan
from .test_precision import fixed, precisions


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    names = draw(st.lists(st.from_regex(r"[a-z]\w{0,8}", fullmatch=True), min_size=1, max_size=5, unique=True))
    weights = fixed().filter(lambda precision: precision.signed)
    layers = [
        (name, LayerPlan(draw(weights), draw(weights), draw(st.none() | precisions()), draw(st.floats(0, 0.99))))
        for name in names
    ]
    return Plan(tuple(layers))


@given(plans())
def test_plan_there_and_back(plan: Plan) -> None:
    again = Plan.from_dict(plan.to_dict())
    assert again == plan
    assert hash(again) == hash(plan)
    assert again.id == plan.id


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
