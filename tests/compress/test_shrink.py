"""Shrunk networks give what the masked ones give."""

from __future__ import annotations

import numpy as np
import pytest

from qap.compress.shrink import shrink_weights
from qap.errors import InputError
from qap.granularity import Granularity, kept_units, mask
from qap.models.architecture import Architecture
from qap.models.builders import build, float_logits, set_weights

from ..conftest import uniform_plan


def random_weights(architecture: Architecture, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    weights = {}
    for name, shape in architecture.shapes.items():
        weights[f"{name}/kernel"] = generator.normal(0, 0.4, shape).astype(np.float32)
        weights[f"{name}/bias"] = generator.normal(0, 0.4, shape[1:]).astype(np.float32)
    return weights


def masked_weights(weights: dict[str, np.ndarray], keep: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = dict(weights)
    for name, kept in keep.items():
        found[f"{name}/kernel"], found[f"{name}/bias"] = weights[f"{name}/kernel"] * kept, weights[f"{name}/bias"] * kept
    return found


MLP = Architecture.mlp(6, [16, 12, 8], 3)


def mlp_keep(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    neuron = Granularity.parse("neuron")
    return {name: kept_units(mask(np.abs(weights[f"{name}/kernel"]), 0.5, neuron, where=name)) for name in ("fc1", "fc2", "fc3")}


def test_a_smaller_mlp_gives_what_the_masked_one_gives() -> None:
    weights = random_weights(MLP)
    keep = mlp_keep(weights)
    architecture, smaller = shrink_weights(MLP, weights, keep)
    assert str(architecture) == "6-8-6-4-3"
    assert {name: values.shape for name, values in smaller.items() if name.endswith("kernel")} == {
        f"{name}/kernel": shape for name, shape in architecture.shapes.items()
    }
    x = np.random.default_rng(1).normal(0, 1, (500, 6))
    expected = float_logits(MLP, masked_weights(weights, keep), x)["output"]
    received = float_logits(architecture, smaller, x)["output"]
    assert np.abs(received - expected).max() < 1e-12
    assert np.abs(expected - float_logits(MLP, weights, x)["output"]).max() > 0.1, "the mask changed nothing"


def test_a_smaller_qkeras_mlp_is_equal_in_every_bit() -> None:
    weights = random_weights(MLP)
    keep = mlp_keep(weights)
    architecture, smaller = shrink_weights(MLP, weights, keep)
    plan = uniform_plan(["fc1", "fc2", "fc3", "output"])
    large, small = build(MLP, plan), build(architecture, plan)
    set_weights(large, masked_weights(weights, keep))
    set_weights(small, smaller)
    x = np.random.default_rng(1).integers(-128, 128, (1000, 6)).astype(np.float32) / 32
    differ = np.asarray(large(x)) != np.asarray(small(x))
    assert not differ.any(), f"{differ.sum()} of {differ.size}"


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ({"output": np.array([True, False, True])}, "output: a layer that cannot be pruned"),
        ({"fc9": np.ones(8, bool)}, "fc9: no such hidden layer"),
        ({"fc1": np.ones(8, bool)}, r"fc1: expected 16 truth values, one a unit, received bool of shape \(8,\)"),
        ({"fc1": np.ones(16)}, "received float64"),
        ({"fc1": np.zeros(16, bool)}, "fc1: no unit would stay"),
    ],
)
def test_what_cannot_be_removed_is_refused(keep: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        shrink_weights(MLP, random_weights(MLP), keep)
