"""Exponents in a plan: the function stays, in NumPy and in QKeras, and wrong ones are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qap.errors import InputError
from qap.models.architecture import Architecture
from qap.models.builders import build, float_logits, quantize_weights, set_weights
from qap.models.scaling import rounded_inputs, scaled
from qap.plan import InputPlan, Plan
from qap.precision import Precision
from qap.training.keras_engine import logits
from qap.training.population.engine import PopulationEngine
from qap.training.population.exact import sums_are_exact

from ..conftest import uniform_plan

MLP = Architecture.mlp(6, [8, 5], 3)
EXPONENTS = ((1, -2, 0, 3, 0, 1), (0, 1, -1, 2, 0, 0, -3, 1), (2, 0, 0, -1, 1))


def _plan() -> Plan:
    plan = uniform_plan(list(MLP.shapes), 10, integer=4)
    named = dict(zip(("fc1", "fc2"), EXPONENTS[1:], strict=True))
    plan = plan.map(lambda name, layer: replace(layer, exponents=named.get(name, ())))
    return replace(plan, inputs=InputPlan(Precision(7, 2), EXPONENTS[0]))


def _weights(seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    shapes = {f"{name}/kernel": shape for name, shape in MLP.shapes.items()}
    shapes |= {f"{name}/bias": shape[1:] for name, shape in MLP.shapes.items()}
    return {name: generator.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}


def test_the_function_is_unchanged_bit_for_bit() -> None:
    weights, plan = _weights(), _plan()
    x = np.random.default_rng(1).normal(0, 1, (200, 6)).astype(np.float32)
    before = float_logits(MLP, weights, x)["output"]
    after = float_logits(MLP, scaled(plan, weights), np.ldexp(x, -np.array(EXPONENTS[0])))["output"]
    assert np.array_equal(before, after), f"{int((before != after).sum())} of {before.size} differ"


def test_qkeras_the_engine_and_numpy_agree_on_scaled_and_rounded_inputs(data) -> None:
    plan = _plan()
    weights = scaled(plan, _weights(2))
    model = build(MLP, plan)
    set_weights(model, weights)
    of_qkeras = logits(model, data.validation.x)
    of_engine = PopulationEngine().evaluate(MLP, [plan], [weights], data.validation)[0]
    quantized, h = quantize_weights(plan, weights), rounded_inputs(plan.inputs, data.validation.x)
    for name, layer in plan.items():
        h = h @ quantized[f"{name}/kernel"] + quantized[f"{name}/bias"]
        h = h if layer.activation is None else layer.activation.quantize(np.maximum(h, 0))
    assert sums_are_exact(MLP, plan, weights, data.input)
    for label, found in (("QKeras", of_qkeras), ("engine", of_engine)):
        assert np.array_equal(found, h), f"{label}: {int((found != h).any(axis=1).sum())} of {len(h)} events differ"


def test_a_plan_with_exponents_comes_back_from_its_file(tmp_path: Path) -> None:
    plan = _plan()
    plan.save(tmp_path / "plan.yaml")
    assert Plan.load(tmp_path / "plan.yaml") == plan
    assert plan.id != replace(plan, inputs=None).id
    bare = uniform_plan(["fc1", "output"])
    assert "inputs" not in bare.to_dict()
    assert "exponents" not in bare.to_dict()["fc1"]
    assert replace(bare["fc1"], exponents=(0, 0)) == bare["fc1"], "exponents that are all 0 are none"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plan: replace(plan, inputs=InputPlan(Precision(6, 2), (1, 2))), "inputs: expected 6 exponents, received 2"),
        (lambda plan: plan.map(lambda name, layer: replace(layer, exponents=(1, 2))), "fc1: expected 8 exponents, received 2"),
        (
            lambda plan: plan.map(lambda name, layer: replace(layer, exponents=(1,) * MLP.shapes[name][1])),
            "output: expected no exponents, received 3",
        ),
    ],
)
def test_exponents_that_do_not_fit_are_refused(change, message: str) -> None:
    with pytest.raises(InputError, match=message):
        MLP.check(change(uniform_plan(list(MLP.shapes))))


@pytest.mark.parametrize("text", ["[1, two]", "[99]", "3"])
def test_a_plan_file_with_wrong_exponents_names_the_layer(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(f"fc1: {{weight: 'quantized_bits(6,0)', bias: 'quantized_bits(6,0)', exponents: {text}}}\n")
    with pytest.raises(InputError, match=r"plan.yaml: plan: fc1: exponents: expected whole numbers"):
        Plan.load(path)
    layer = "fc1: {weight: 'quantized_bits(6,0)', bias: 'quantized_bits(6,0)'}\n"
    path.write_text(f"inputs: {{precision: 'quantized_relu(6,2)'}}\n{layer}")
    with pytest.raises(InputError, match=r"plan: inputs: inputs: expected a signed precision"):
        Plan.load(path)
