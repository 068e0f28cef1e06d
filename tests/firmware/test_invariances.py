"""Changes of a network that change nothing of its function change no bit of its firmware's outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from qap.firmware import Comparison, Project

from .helpers import grid, mlp

Prove = Callable[..., tuple[Project, Comparison]]

INPUT = "quantized_bits(8,2)"
PLAN = {
    "fc1": ("quantized_bits(5,1)", "quantized_bits(8,2)", "quantized_relu(5,2)"),
    "output": ("quantized_bits(5,1)", "quantized_bits(8,2)", None),
}
RESCALED = {
    "fc1": ("quantized_bits(5,2)", "quantized_bits(8,3)", "quantized_relu(5,3)"),
    "output": ("quantized_bits(5,0)", "quantized_bits(8,2)", None),
}


def _weights(model: Any) -> list[np.ndarray]:
    return [weight for name in ("fc1", "output") for weight in model.get_layer(name).get_weights()]


def _outputs(proven: Prove, plan: dict, weights: list[np.ndarray], name: str) -> np.ndarray:
    model = mlp(plan, 6, [8, 3])
    model.get_layer("fc1").set_weights(weights[:2])
    model.get_layer("output").set_weights(weights[2:])
    _, comparison = proven(model, INPUT, grid(INPUT, (6,), 2000), name)
    return comparison.logits


def test_neither_the_order_of_neurons_nor_a_power_of_two_between_layers_changes_a_bit(proven: Prove) -> None:
    kernel, bias, last, offset = _weights(mlp(PLAN, 6, [8, 3]))
    expected = _outputs(proven, PLAN, [kernel, bias, last, offset], "plain")
    order = np.random.default_rng(1).permutation(8)
    permuted = _outputs(proven, PLAN, [kernel[:, order], bias[order], last[order], offset], "permuted")
    rescaled = _outputs(proven, RESCALED, [2 * kernel, 2 * bias, last / 2, offset], "rescaled")
    for name, found in (("permuted", permuted), ("rescaled", rescaled)):
        wrong = np.flatnonzero((found != expected).any(axis=1))
        assert not wrong.size, f"{name}: {wrong.size} of {len(expected)} events differ, the first is {wrong[0]}"
    assert np.unique(expected, axis=0).shape[0] > 500, "the inputs reach few outputs: nothing is tested"
