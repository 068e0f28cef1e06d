"""The space of plans: knobs, fixed and tied choices, integer bits from the parent, the classic sweep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qap.compress.ranges import Calibration, best_integer, bias_precision
from qap.config.schema import LayerSpace, Model, Space
from qap.errors import InputError
from qap.models.builders import float_logits
from qap.precision import Precision
from qap.search.space import PlanSpace

INPUT = Precision(8, 2)
MODEL = Model(hidden=[10, 8, 6], batchnorm=False)


def _space(**changes: object) -> PlanSpace:
    return PlanSpace(Space(**changes), MODEL, 6, 3, INPUT)  # type: ignore[arg-type]


def _calibration(space: PlanSpace) -> Calibration:
    generator = np.random.default_rng(0)
    architecture = space.architecture({})
    weights = {}
    for name, shape in architecture.shapes.items():
        weights[f"{name}/kernel"] = generator.normal(0, 0.5, shape)
        weights[f"{name}/bias"] = generator.normal(0, 0.5, shape[1])
    return Calibration(weights, float_logits(architecture, weights, generator.normal(0, 1, (300, 6))))


def test_every_layer_has_its_own_knobs() -> None:
    knobs = _space().knobs
    assert [name for name in knobs if name.endswith("weight_bits")] == [
        f"{n}.weight_bits" for n in ("fc1", "fc2", "fc3", "output")
    ]
    assert "output.activation_bits" not in knobs
    assert _space().size == 7**4 * 7**3 * 6**4


def test_a_single_value_fixes_and_a_tie_joins() -> None:
    space = _space(weight_bits=6, tie=["activation_bits"], layers={"fc1": LayerSpace(sparsity=[0.5])})
    assert set(space.knobs) == {"activation_bits", "fc2.sparsity", "fc3.sparsity", "output.sparsity"}
    point = {"activation_bits": 4, "fc2.sparsity": 0.8, "fc3.sparsity": 0.0, "output.sparsity": 0.3}
    plan = space.plan(point, space.architecture(point), _calibration(space))
    assert [layer.weight.bits for _, layer in plan.items()] == [6] * 4
    assert [layer.sparsity for _, layer in plan.items()] == [0.5, 0.8, 0.0, 0.3]
    assert [layer.activation.bits for _, layer in plan.items() if layer.activation] == [4] * 3


def test_widths_and_depth_open_when_the_user_opens_them() -> None:
    space = _space(units=[4, 8], depth=[1, 2, 3])
    assert {"depth", "fc1.units", "fc2.units", "fc3.units"} <= set(space.knobs)
    assert str(space.architecture({"depth": 2, "fc1.units": 8, "fc2.units": 4})) == "6-8-4-3"
    assert str(_space(units=[4, 8], tie=["units"]).architecture({"units": 4})) == "6-4-4-4-3"


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_point_is_a_plan_that_fits_its_architecture(data: st.DataObject) -> None:
    space = _space(units=[4, 8], depth=[3])
    point = {name: data.draw(st.sampled_from(values)) for name, values in space.knobs.items() if not name.endswith("units")}
    architecture = space.architecture(point)
    plan = space.plan(point, architecture, _calibration(space))
    architecture.check(plan)
    for name, layer in plan.items():
        assert layer.weight.bits == point[f"{name}.weight_bits"]
        assert layer.sparsity == point[f"{name}.sparsity"]


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("scale", [0.1, 1.0, 6.0])
def test_integer_bits_are_those_of_the_smallest_error(bits: int, scale: float) -> None:
    values = np.random.default_rng(1).normal(0, scale, 500)
    found = best_integer(values, bits, True)
    errors = {i: np.mean((Precision(bits, i).quantize(values) - values) ** 2) for i in range(bits)}
    assert errors[found] == min(errors.values()), errors


def test_an_automatic_bias_lies_on_the_accumulators_grid() -> None:
    weight, inputs = Precision(6, 1), Precision(5, 2, signed=False)
    bias = bias_precision(np.array([0.3, -2.7]), "auto", weight, inputs)
    assert bias.fractional == weight.fractional + inputs.fractional
    assert bias.high > 2.7 > -bias.low / 4
    assert bias_precision(np.array([0.3, -2.7]), 8, weight, inputs) == Precision(8, 3)


def test_the_sweep_is_uniform_bits_times_sparsity() -> None:
    points = _space(weight_bits=[2, 4], activation_bits=[2, 4], sparsity=[0.0, 0.5]).uniform()
    assert len(points) == 4
    for point in points:
        assert len({value for name, value in point.items() if name.endswith("bits")}) == 1
        assert len({value for name, value in point.items() if name.endswith("sparsity")}) == 1


def test_anchors_hold_every_width_at_two_sparsities() -> None:
    anchors = _space().anchors()
    assert len(anchors) == 14
    assert {point["fc1.weight_bits"] for point in anchors} == set(range(2, 9))
    assert {point["fc2.sparsity"] for point in anchors} == {0.0, 0.7}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": {"fc7": LayerSpace(weight_bits=4)}}, "no layer 'fc7' .did you mean"),
        (
            {"tie": ["weight_bits"], "layers": {"fc1": LayerSpace(weight_bits=4)}},
            "tied over all layers and given for fc1",
        ),
        ({"depth": [5]}, "at most 3"),
        ({"layers": {"output": LayerSpace(activation_bits=4)}}, "the output layer has neither"),
    ],
)
def test_contradictions_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _space(**changes)
