"""The traced logic gives QKeras's outputs bit for bit, for every layer and plan that is taken, and refuses the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qap.backend import stack
from qap.errors import InputError, QapError, ToolMissingError
from qap.models.architecture import Architecture
from qap.models.builders import build, set_weights
from qap.plan import InputPlan, LayerPlan, Plan
from qap.precision import Precision
from qap.rtl.trace import Traced, da4ml_cost, predict, trace, trace_plan
from tests.firmware.helpers import mlp

INPUT = Precision(6, 2)
Prove = Callable[..., Traced]


def two_layers(weight: str = "quantized_bits(4,0)", relu: str = "quantized_relu(4,1)", **options: Any) -> Any:
    plan = {"fc1": (weight, "quantized_bits(6,1)", relu), "output": (weight, "quantized_bits(6,1)", None)}
    return mlp(plan, 5, [6, 3], **options)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8])
def test_all_activation_widths(traced: Prove, bits: int) -> None:
    for integer in {0, bits // 2, bits}:
        traced(two_layers(relu=f"quantized_relu({bits},{integer})", seed=bits), INPUT)


@pytest.mark.parametrize("bits", range(2, 9))
def test_all_weight_widths(traced: Prove, bits: int) -> None:
    traced(two_layers(f"quantized_bits({bits},{bits // 4})", seed=bits), INPUT)


@pytest.mark.parametrize("weight", ["binary()", "ternary()", "quantized_po2(4)"])
def test_other_weights(traced: Prove, weight: str) -> None:
    traced(two_layers(weight), INPUT)


@pytest.mark.parametrize("inputs", [Precision(4, 1, signed=False), Precision(2, 0), Precision(12, 3), Precision(3, 2)])
def test_input_types(traced: Prove, inputs: Precision) -> None:
    traced(two_layers(), inputs)


def test_one_type_per_input(traced: Prove) -> None:
    kinds = (Precision(4, 1), Precision(6, 0, signed=False), Precision(3, 2), Precision(8, 2), Precision(2, 1))
    found = traced(two_layers(), kinds)
    assert found.inputs == kinds


@pytest.mark.parametrize("bits", [2, 3, 5, 8])
def test_signed_activations(traced: Prove, bits: int) -> None:
    keras, qkeras = stack().keras, stack().qkeras
    x = inputs = keras.layers.Input((5,))
    for at, symmetric in enumerate((False, True)):
        x = qkeras.QDense(4, kernel_quantizer="quantized_bits(5,1,alpha=1)", bias_quantizer="quantized_bits(6,1,alpha=1)")(x)
        quantizer = qkeras.quantized_bits(bits, bits // 3, alpha=1, symmetric=symmetric)
        x = qkeras.QActivation(quantizer, name=f"a{at}")(x)
    traced(keras.Model(inputs, x), INPUT)


def test_an_input_quantizer_in_front(traced: Prove) -> None:
    keras, qkeras = stack().keras, stack().qkeras
    inputs = keras.layers.Input((4,))
    x = qkeras.QActivation("quantized_bits(4,1,alpha=1)")(inputs)
    x = qkeras.QDense(3, kernel_quantizer="quantized_bits(4,0,alpha=1)", bias_quantizer="quantized_bits(4,0,alpha=1)")(x)
    traced(keras.Model(inputs, x), Precision(8, 3))


def test_weights_that_are_wide_but_sparse(traced: Prove) -> None:
    """Every neuron on a grid of its own, as plans with a power of two per neuron have them: few digits in a wide type."""
    model = two_layers("quantized_bits(20,3)", "quantized_relu(6,2)")
    rng = np.random.default_rng(1)
    for name in ("fc1", "output"):
        kernel, bias = model.get_layer(name).get_weights()
        exponents = rng.integers(-14, 2, (1, kernel.shape[1]))
        kernel = np.ldexp(rng.choice([-3, -1, 0, 0, 0, 1, 5], kernel.shape).astype(float), exponents)
        model.get_layer(name).set_weights([kernel, bias])
    traced(model, INPUT)


def test_dead_parts_leave_no_logic(traced: Prove) -> None:
    model = two_layers()
    kernel, bias = model.get_layer("fc1").get_weights()
    model.get_layer("fc1").set_weights([np.zeros_like(kernel), bias])
    found = traced(model, INPUT)
    assert found.cost == 0
    assert len(found.logic.inp_qint) == 5
    kernel, bias = model.get_layer("output").get_weights()
    model.get_layer("output").set_weights([np.zeros_like(kernel), np.array([0.5, 0, -1.25])])
    traced(model, INPUT)
    model.get_layer("output").set_weights([np.zeros_like(kernel), np.zeros_like(bias)])
    with pytest.raises(InputError, match="every output is 0 whatever comes in"):
        trace(model, INPUT)


def test_a_unit_without_weights_and_an_output_that_passes_an_input(traced: Prove) -> None:
    model = two_layers("quantized_bits(3,1)")
    kernel, bias = model.get_layer("fc1").get_weights()
    kernel[:, 0] = 0
    kernel[:, 1] = [0, -1, 0, 0, 0]
    kernel[2] = 0
    model.get_layer("fc1").set_weights([kernel, 0 * bias])
    kernel, bias = model.get_layer("output").get_weights()
    kernel[:] = 0
    kernel[1, 0], kernel[2, 1] = 1, -1
    model.get_layer("output").set_weights([kernel, 0 * bias])
    traced(model, INPUT)


def test_layers_beside_dense(traced: Prove) -> None:
    keras, qkeras = stack().keras, stack().qkeras
    layers = keras.layers

    def dense(units: int) -> Any:
        return qkeras.QDense(units, kernel_quantizer="quantized_bits(4,0,alpha=1)", bias_quantizer="quantized_bits(4,0,alpha=1)")

    inputs = layers.Input((2, 3))
    x = qkeras.QActivation("quantized_relu(4,1)")(dense(3)(inputs))
    x = layers.Add()([x, inputs])
    x = layers.Flatten()(layers.Dropout(0.5)(x))
    norm = layers.BatchNormalization(epsilon=2.0**-10)
    x = layers.Activation("linear")(norm(x))
    norm.set_weights([np.array([1, 2, 0.5, 1, -1, 4]), np.arange(6) / 8, np.zeros(6), np.full(6, 1 - 2.0**-10)])
    x = qkeras.QActivation("quantized_bits(5,2,alpha=1)")(x)
    y = layers.Activation("relu")(dense(4)(x))
    y = layers.Subtract()([y, dense(4)(x)])
    x = dense(2)(layers.Concatenate()([x, y]))
    traced(keras.Model(inputs, layers.Reshape((2, 1))(x)), Precision(4, 1))


def test_layers_without_an_rtl_form_are_named() -> None:
    keras = stack().keras
    inputs = keras.layers.Input((6, 6, 1))
    x = keras.layers.MaxPooling2D(name="pool")(inputs)
    with pytest.raises(InputError, match="^pool: the RTL route does not build MaxPooling2D: it builds dense networks of QDense"):
        trace(keras.Model(inputs, keras.layers.Flatten()(x)), INPUT)
    with pytest.raises(InputError, match="^conv: the RTL route does not build QConv2D"):
        trace(keras.Model(inputs, stack().qkeras.QConv2D(2, 3, name="conv")(inputs)), INPUT)
    flat = keras.layers.Input((4,))
    with pytest.raises(InputError, match="^fc: kernel: no quantizer"):
        trace(keras.Model(flat, keras.layers.Dense(2, name="fc")(flat)), INPUT)
    with pytest.raises(InputError, match="softmax"):
        trace(keras.Model(flat, keras.layers.Activation("softmax", name="soft")(flat)), INPUT)
    other = keras.layers.Input((4,))
    with pytest.raises(InputError, match="one input and one output, received 2 and 1"):
        trace(keras.Model([flat, other], keras.layers.Add()([flat, other])), INPUT)


def test_what_is_too_large_is_refused() -> None:
    with pytest.raises(QapError, match="^fc1: [0-9]+ signed digits are more than the 10 that da4ml searches"):
        trace(two_layers(), INPUT, digits=10)
    with pytest.raises(InputError, match="fc1: its weights need 2[0-9] bits together, the RTL route takes 24"):
        trace(two_layers("quantized_bits(28,1)"), INPUT)


def test_the_number_of_signed_digits_is_that_of_the_canonical_form() -> None:
    """0.875 = 1 - 1/8 has two digits; a layer of it passes with a limit of exactly that many."""
    model = two_layers()
    for name, units in (("fc1", 6), ("output", 3)):
        kernel, bias = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([np.full_like(kernel, 0.875), bias])
        assert kernel.shape[1] == units
    trace(model, INPUT, digits=2 * 30)
    with pytest.raises(QapError, match="fc1: 60 signed digits"):
        trace(model, INPUT, digits=59)


ROUNDED = InputPlan(Precision(4, 1), (0, 1, -1, 2, 0))


@pytest.mark.parametrize(
    ("weight", "inputs"), [("quantized_bits(5,0)", None), ("ternary()", None), ("quantized_bits(4,0)", ROUNDED)]
)
def test_a_plan_gives_the_logic_of_its_model(weight: str, inputs: InputPlan | None) -> None:
    architecture = Architecture.mlp(5, (6,), 3)
    layer = LayerPlan(Precision.parse(weight), Precision(6, 1), Precision(4, 1, signed=False))
    plan = Plan((("fc1", layer), ("output", replace(layer, activation=Precision(7, 2)))), inputs)
    rng = np.random.default_rng(4)
    weights = {f"{name}/kernel": rng.normal(0, 0.4, shape) for name, shape in architecture.shapes.items()}
    weights |= {f"{name}/bias": rng.normal(0, 0.4, shape[1]) for name, shape in architecture.shapes.items()}
    model = build(architecture, plan)
    set_weights(model, weights)
    found, logic = trace(model, INPUT), trace_plan(plan, weights, INPUT)
    assert (logic.cost, logic.latency) == (found.logic.cost, found.logic.latency)
    x = INPUT.quantize(rng.normal(0, 2, (1000, 5)))
    assert np.array_equal(logic.predict(x, n_threads=1), predict(found, x))


def test_solver_options_reach_da4ml() -> None:
    model = two_layers("quantized_bits(8,0)")
    assert da4ml_cost(model, INPUT, solver={"hard_dc": -1}) <= da4ml_cost(model, INPUT, solver={"method0": "dummy"})
    assert trace(model, INPUT, solver={"hard_dc": 0}).logic.latency[1] <= trace(model, INPUT).logic.latency[1]


def test_without_da4ml_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    model = two_layers()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ToolMissingError, match="da4ml is missing: .*pip install 'qap\\[rtl\\]'"):
        trace(model, INPUT)
