"""Counts against a plain loop over every multiplication, on integers."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qap.cost.counts import count
from qap.digits import significant_bits
from qap.models.architecture import Architecture
from qap.models.builders import build
from qap.plan import LayerPlan, Plan
from qap.precision import Precision

from ..conftest import uniform_plan
from ..models.networks import NETWORKS, plan_of, weights_of

MLP = Architecture.mlp(4, [5, 3], 2)
NAMES = ["fc1", "fc2", "output"]
INPUT = Precision(8, 2)


def _weights(seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    weights = {}
    for name, shape in MLP.shapes.items():
        kernel = generator.normal(0, 0.5, shape).astype(np.float32)
        kernel[generator.random(shape) < 0.4] = 0
        weights[f"{name}/kernel"], weights[f"{name}/bias"] = kernel, generator.normal(0, 1, shape[1]).astype(np.float32)
    return weights


def _digits(value: float, fractional: int) -> int:
    """Digits between the highest and the lowest set bit, from the text of the binary number."""
    return len(bin(abs(round(value * 2**fractional)))[2:].strip("0"))


@given(hnp.arrays(np.int64, st.integers(1, 30), elements=st.integers(-(2**31), 2**31)))
def test_significant_bits_are_those_of_the_binary_text(values: np.ndarray) -> None:
    assert significant_bits(values / 8, 3).tolist() == [_digits(value / 8, 3) for value in values.tolist()]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("bits", "activation"), [(2, 3), (4, 4), (8, 6)])
def test_counts_are_those_of_a_loop_over_all_multiplications(bits: int, activation: int, seed: int) -> None:
    plan, weights = uniform_plan(NAMES, bits, activation=activation), _weights(seed)
    cost = count(MLP, plan, weights, INPUT)
    ebops = bops = zeros = powers = general = memory = 0
    for name in plan:
        x_bits = 7 if name == "fc1" else activation
        kernel = weights[f"{name}/kernel"]
        nonzero = 0
        for value in kernel.ravel():
            quantized = min(max(round(float(value) * 2 ** (bits - 1)), -(2 ** (bits - 1))), 2 ** (bits - 1) - 1)
            digits = _digits(quantized, 0)
            ebops += digits * x_bits
            zeros += digits == 0
            powers += digits == 1
            general += digits > 1
            nonzero += digits > 0
        n, m = kernel.shape
        declared = 8 if name == "fc1" else activation
        bops += n * m * (nonzero / (n * m) * bits * declared + bits + declared + math.log2(n))
        memory += n * m * bits + m * 12
    assert cost["ebops"] == ebops
    assert cost["bops"] == pytest.approx(bops, rel=1e-12)
    assert [cost[f"multiplications_{kind}"] for kind in ("zero", "power_of_two", "general")] == [zeros, powers, general]
    assert cost["weight_memory_bits"] == memory
    assert cost["nonzero_weights"] == powers + general
    assert cost["sparsity"] == pytest.approx(zeros / 41)
    assert cost["sparsity_mask"] == pytest.approx(sum(np.count_nonzero(weights[f"{n}/kernel"] == 0) for n in NAMES) / 41)
    assert cost["sparsity"] >= cost["sparsity_mask"]
    for name in ("ebops", "bops", "nonzero_weights", "weight_memory_bits"):
        assert sum(layer[name].value for layer in cost.layers.values()) == pytest.approx(cost[name])


def test_every_figure_has_a_source() -> None:
    cost = count(MLP, uniform_plan(NAMES), _weights(0), INPUT)
    for figures in (cost.figures, *cost.layers.values()):
        assert all(figure.source for figure in figures.values())
        assert all(figure.low == figure.value == figure.high for figure in figures.values())


@pytest.mark.parametrize("seed", range(6))
def test_the_accumulator_is_as_wide_as_the_extreme_inputs_need(seed: int) -> None:
    """All corners of a small input space, summed in Python integers."""
    generator = np.random.default_rng(seed)
    architecture = Architecture.mlp(4, [], 2)
    layer = LayerPlan(Precision(4, 1), Precision(6, 2))
    weights = {
        "output/kernel": generator.normal(0, 1, (4, 2)).astype(np.float32),
        "output/bias": generator.normal(0, 1, 2).astype(np.float32),
    }
    inputs = Precision(3, 1)
    kernel, bias = layer.weight.quantize(weights["output/kernel"]), layer.bias.quantize(weights["output/bias"])
    step = 2.0 ** -max(2 + 1, 3)
    sums = [
        round(float(np.dot(corner, kernel[:, unit]) + bias[unit]) / step)
        for corner in itertools.product([inputs.low, inputs.high], repeat=4)
        for unit in range(2)
    ]
    needed = next(bits for bits in range(1, 64) if all(-(2 ** (bits - 1)) <= value < 2 ** (bits - 1) for value in sums))
    cost = count(architecture, Plan((("output", layer),)), weights, inputs)
    assert cost["accumulator_bits"] == needed, (min(sums), max(sums))


@pytest.mark.parametrize("name", ["cnn_2d", "cnn_1d", "residual"])
def test_operations_of_a_convolution_count_at_every_position_its_weights_once(name: str) -> None:
    architecture, inputs = NETWORKS[name], INPUT
    plan, weights = plan_of(architecture), weights_of(architecture)
    cost, ebops, stored = count(architecture, plan, weights, inputs), 0, 0
    model = build(architecture)
    for layer in architecture.layers:
        kernel = weights[f"{layer.name}/kernel"]
        x_bits = inputs.bits - inputs.signed
        places = math.prod(model.get_layer(layer.name).output.shape[1:-1])
        for value in kernel.ravel().tolist():
            ebops += places * x_bits * _digits(min(max(round(value * 16), -16), 15), 0)
        stored += kernel.size * 5 + kernel.shape[-1] * 10
        inputs = plan[layer.name].activation or inputs
    assert cost["ebops"] == ebops
    assert cost["weight_memory_bits"] == stored
    assert cost["weights"] == sum(weights[f"{layer.name}/kernel"].size for layer in architecture.layers)
