"""Tie-free biases: QKeras, the RTL and cutting off after half a step give the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("da4ml")

from qap.errors import InputError
from qap.models.architecture import Architecture
from qap.models.builders import build, quantize_weights, set_weights
from qap.plan import LayerPlan, Plan
from qap.precision import Precision
from qap.rtl.tie_free import tie_free
from qap.rtl.trace import Traced

INPUT = Precision(6, 2)


def network(
    bits: int, activation: Precision, weight: Precision | None = None
) -> tuple[Architecture, Plan, dict[str, np.ndarray]]:
    architecture = Architecture.mlp(5, (6, 6), 3)
    layers = [
        (layer.name, LayerPlan(weight or Precision(bits), Precision(bits, 1), activation if layer.activation == "relu" else None))
        for layer in architecture.layers
    ]
    rng = np.random.default_rng(bits)
    weights = {}
    for name, shape in architecture.shapes.items():
        weights[f"{name}/kernel"], weights[f"{name}/bias"] = rng.normal(0, 0.4, shape), rng.normal(0, 0.6, shape[1])
    return architecture, Plan(tuple(layers)), weights


def model_of(architecture: Architecture, plan: Plan, weights: dict[str, np.ndarray]) -> Any:
    model = build(architecture, plan)
    set_weights(model, weights)
    return model


def floor_network(architecture: Architecture, plan: Plan, weights: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """The network in float64 with every activation cut off, half a step added to the bias before: no rounding anywhere."""
    quantized = quantize_weights(plan, weights)
    for layer in architecture.layers:
        x = x @ quantized[f"{layer.name}/kernel"] + quantized[f"{layer.name}/bias"]
        kind = plan[layer.name].activation
        if kind is not None:
            x = np.clip(np.floor((x + kind.step / 2) / kind.step) * kind.step, kind.low, kind.high)
    return x


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_no_cast_needs_to_send_ties_to_even(traced: Callable[..., Traced], bits: int) -> None:
    architecture, plan, weights = network(bits, Precision(bits, 1, signed=False))
    assert traced(model_of(architecture, plan, weights), INPUT).ties > 0
    changed, biased = tie_free(plan, weights, INPUT)
    model = model_of(architecture, changed, biased)
    assert traced(model, INPUT).ties == 0
    x = INPUT.quantize(np.random.default_rng(1).normal(0, 2, (5000, 5)))
    assert np.array_equal(model.predict(x, verbose=0), floor_network(architecture, changed, biased, x)), "QKeras itself"
    for name in ("fc1", "fc2"):
        moved = np.abs(biased[f"{name}/bias"] - plan[name].bias.quantize(weights[f"{name}/bias"]))
        assert moved.max() <= 2.0 ** -(changed[name].bias.fractional - 1)
        assert np.array_equal(changed[name].bias.quantize(biased[f"{name}/bias"]), biased[f"{name}/bias"])
        assert (np.ldexp(biased[f"{name}/bias"], changed[name].bias.fractional) % 2 == 1).all()


def test_layers_that_drop_no_bits_are_left_as_they_are() -> None:
    architecture, plan, weights = network(3, Precision(12, 2, signed=False))
    changed, biased = tie_free(plan, weights, INPUT)
    assert changed["fc1"] == plan["fc1"], "6 + 2 fractional bits fit into 10"
    assert changed["fc2"] != plan["fc2"]
    assert changed["output"] == plan["output"]
    assert biased["output/bias"] is weights["output/bias"]
    assert list(changed) == [layer.name for layer in architecture.layers]


def test_what_has_no_tie_free_bias_is_refused() -> None:
    _, plan, weights = network(4, Precision(4, 1, signed=False), Precision(4, kind="po2"))
    with pytest.raises(InputError, match=r"^fc1: quantized_po2\(4\) has no common grid"):
        tie_free(plan, weights, INPUT)
    _, plan, weights = network(4, Precision(4, 1, signed=False), Precision(30))
    with pytest.raises(InputError, match="^fc1: a tie-free bias needs 35 bits, at most 32"):
        tie_free(plan, weights, INPUT)
