"""A circuit and the plain QKeras model that it equals."""

from __future__ import annotations

import numpy as np
import pytest

from qap.cost.counts import count, traced_ebops
from qap.models import circuit as circuits
from qap.models.architecture import Architecture
from qap.models.builders import build, set_weights
from qap.models.circuit import Circuit, layout, of_weights, plain, scaled_largest
from qap.training.keras_engine import logits

MLP = Architecture.mlp(6, [8, 5], 3)


def random_circuit(seed: int, dead: float = 0.5) -> Circuit:
    """Random weights, every one on its own grid, some removed; every unit with its own step."""
    generator = np.random.default_rng(seed)
    here = layout(MLP)
    weights = generator.normal(0, 0.7, here.size).astype(np.float32)
    fractions = generator.integers(-1, 6, here.size)
    fractions[here.kernels :] = 6
    alive = generator.random(here.size) >= dead
    alive[here.kernels :] = True
    return Circuit(MLP, weights, fractions, alive, generator.integers(0, 5, here.units))


def run(circuit: Circuit, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Run a circuit in float64 NumPy; return the outputs and the largest magnitude of each feature and unit."""
    here, named = circuit.layout, circuit.layout.unpack(circuit.quantized)
    h, largest = x.astype(np.float64), []
    for number, name in enumerate(MLP.shapes):
        step = np.ldexp(1.0, -circuit.steps[here.offsets[number] : here.offsets[number + 1]])
        h = np.rint(h / step) * step
        largest.append(np.abs(h).max(axis=0))
        h = h @ named[f"{name}/kernel"] + named[f"{name}/bias"]
        h = h if number == len(MLP.shapes) - 1 else np.maximum(h, 0)
    return h, np.concatenate(largest)


def test_weights_come_back_from_one_array() -> None:
    here = layout(MLP)
    packed = np.arange(here.size, dtype=np.float32)
    assert np.array_equal(here.pack(here.unpack(packed)), packed)
    for i in range(here.kernels):
        layer = int(here.layer[i])
        kernel = here.unpack(packed)[f"{list(MLP.shapes)[layer]}/kernel"]
        row, column = here.source[i] - here.offsets[layer], here.target[i] - here.offsets[layer + 1]
        assert kernel[row, column] == i


@pytest.mark.parametrize("seed", range(6))
def test_the_plain_model_computes_what_the_circuit_computes(seed: int, data) -> None:
    from qap.compress.coarsen import tidied

    circuit = tidied(random_circuit(seed, 0.3 + 0.1 * seed))
    x = data.train.x[:1500]
    wanted, largest = run(circuit, x)
    plan, weights = plain(circuit, largest, data.input)
    MLP.check(plan)
    for name, layer in plan.items():
        assert np.array_equal(layer.weight.quantize(weights[f"{name}/kernel"]), weights[f"{name}/kernel"]), name
    model = build(MLP, plan)
    set_weights(model, weights)
    found = logits(model, x)
    assert np.array_equal(found, wanted), f"{int((found != wanted).any(axis=1).sum())} of {len(x)} events differ"
    traced = circuits.traced_ebops(circuit, largest)
    assert traced == traced_ebops(plan, weights, data.input, scaled_largest(circuit, plan, largest))
    assert traced <= count(MLP, plan, weights, data.input)["ebops"]


def test_units_that_lead_nowhere_or_come_from_nowhere_cost_nothing() -> None:
    weights = {f"{name}/kernel": np.ones(shape, np.float32) for name, shape in MLP.shapes.items()}
    weights |= {f"{name}/bias": np.zeros(shape[1], np.float32) for name, shape in MLP.shapes.items()}
    weights["fc2/kernel"][:, 0] = 0  # nothing leads to the first unit of fc2
    weights["fc2/kernel"][3] = 0  # the fourth unit of fc1 leads nowhere
    circuit = of_weights(MLP, weights, weight=4, bias=4, activation=3, feature=3)
    assert not circuit.heard[circuit.layout.offsets[1] + 3]
    assert not circuit.fed[circuit.layout.offsets[2]]
    wide = np.full(circuit.layout.units, 1.0)  # four digits at a step of 1/8
    assert circuits.traced_ebops(circuit, wide) == 4 * (6 * 7 + 7 * 4 + 4 * 3)
