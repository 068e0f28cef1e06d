"""QTools' energy against the sum that its paper describes, by hand."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np
import pytest

from qap.backend import stack
from qap.cost.energy import energy
from qap.errors import InputError

from ..firmware.helpers import P, mlp


def _add(bits: float) -> float:
    return 0.003125 * bits


def _multiply(x: int, w: int) -> float:
    """√(x·w) bits; Horowitz's 8- and 32-bit multiplications."""
    return 0.002994791667 * x * w + 0.001041666667 * math.sqrt(x * w)


def _fixed(x: int, w: int, products: int, outputs: int) -> float:
    return products * outputs * (_multiply(x, w) + _add(x + w + math.ceil(math.log2(products + 1))))


@pytest.mark.parametrize("bits", [4, 8, 13])
def test_fixed_point(bits: int) -> None:
    plan = {
        "fc1": ("quantized_bits(6,0)", "quantized_bits(8,1)", "quantized_relu(7,2)"),
        "output": ("quantized_bits(3,1)", "quantized_bits(8,1)", None),
    }
    model = mlp(plan, 16, [20, 5], seed=1, sparsity=0.3)
    cost = energy(model, P(f"quantized_bits({bits},1)"))
    expected = {"fc1": _fixed(bits, 6, 16, 20), "output": _fixed(7, 3, 20, 5)}
    for name, value in expected.items():
        assert cost.layers[name]["energy_pJ"].value == pytest.approx(value, abs=0.01)
        layer = model.get_layer(name)
        share = np.mean(np.asarray(layer.kernel_quantizer_internal(layer.kernel)) != 0)
        assert 0.3 < share < 0.75
        assert cost.layers[name]["energy_nonzero_pJ"].value == pytest.approx(share * value, abs=0.01)
    assert cost["energy_pJ"] == pytest.approx(sum(expected.values()), abs=0.02)
    figure = cost.figures["energy_pJ"]
    assert (figure.unit, figure.low, figure.high) == ("pJ", figure.value, figure.value)
    assert "Horowitz" in figure.source
    assert "no FPGA" in figure.source


@pytest.mark.parametrize(("weight", "share"), [("binary()", 0.3), ("ternary()", 0.6)])
def test_multiplexers(weight: str, share: float) -> None:
    plan = {
        "fc1": (weight, "quantized_bits(8,1)", "quantized_relu(7,2)"),
        "output": (weight, "quantized_bits(8,1)", None),
    }
    cost = energy(mlp(plan, 16, [20, 5]), P("quantized_bits(8,1)"))
    signed = 16 * 20 * (share * _add(8) + _add(8 + 5))
    unsigned = 20 * 5 * (share * _add(7) + _add(7 + 1 + 5))
    assert cost.layers["fc1"]["energy_pJ"].value == pytest.approx(signed, abs=0.01)
    assert cost.layers["output"]["energy_pJ"].value == pytest.approx(unsigned, abs=0.01)


def test_convolution() -> None:
    q, layers = stack().qkeras, stack().keras.layers
    start = layers.Input((6, 6, 2))
    kernel, bias = "quantized_bits(5,0,alpha=1)", "quantized_bits(6,0,alpha=1)"
    tensor = q.QConv2D(3, 3, kernel_quantizer=kernel, bias_quantizer=bias, activation="quantized_relu(4,1)", name="conv")(start)
    tensor = layers.Flatten()(layers.MaxPooling2D()(tensor))
    model = stack().keras.Model(start, q.QDense(2, kernel_quantizer=kernel, bias_quantizer=bias, name="out")(tensor))
    cost = energy(model, P("quantized_relu(9,1)"))
    assert cost.layers["conv"]["energy_pJ"].value == pytest.approx(16 * _fixed(9, 5, 18, 3), abs=0.01)
    assert cost.layers["out"]["energy_pJ"].value == pytest.approx(_fixed(4, 5, 12, 2), abs=0.01)
    assert set(cost.layers) == {"conv", "out"}


def test_settings_of_qtools_stay() -> None:
    stack()
    settings = importlib.import_module("qkeras.qtools.settings")
    before = dict(vars(settings.cfg))
    energy(mlp({"output": ("quantized_bits(6,0)", "quantized_bits(8,1)", None)}, 4, [2]), P("quantized_bits(8,1)"))
    assert vars(settings.cfg) == before


def test_as_many_precisions_as_inputs() -> None:
    model = mlp({"output": ("quantized_bits(6,0)", "quantized_bits(8,1)", None)}, 4, [2])
    with pytest.raises(InputError, match="1 inputs, received 2"):
        energy(model, [P("quantized_bits(8,1)")] * 2)


def _after(layer: Any) -> Any:
    q, layers = stack().qkeras, stack().keras.layers
    start = layers.Input((4, 3))
    dense = q.QDense(2, kernel_quantizer="quantized_bits(5,0,alpha=1)", bias_quantizer="quantized_bits(5,0,alpha=1)")
    return stack().keras.Model(start, layer(dense(layers.Flatten()(start)) if layer.name != "recurrent" else start))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda q, layers: layers.Dense(2, name="plain"), "plain.*Dense"),
        (lambda q, layers: q.QDense(2, name="float"), "float.*expected a quantized kernel"),
        (lambda q, layers: q.QBatchNormalization(name="norm"), "norm.*QBatchNormalization"),
        (lambda q, layers: layers.Activation("relu", name="act"), "act.*Activation"),
        (lambda q, layers: layers.LSTM(2, name="recurrent"), "recurrent.*LSTM"),
        (
            lambda q, layers: q.QDense(2, kernel_quantizer="quantized_bits(4,0,alpha=1)", activation="relu", name="half"),
            "half.*quantizer as activation",
        ),
    ],
)
def test_what_qtools_would_guess_is_refused(make: Any, words: str) -> None:
    model = _after(make(stack().qkeras, stack().keras.layers))
    with pytest.raises(InputError, match=words):
        energy(model, P("quantized_bits(8,1)"))
