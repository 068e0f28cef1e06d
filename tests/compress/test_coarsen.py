"""Prices of digits, and what a reduction does to a circuit."""

from __future__ import annotations

import numpy as np
import pytest

from qap.compress.coarsen import Folded, prices, reduced, tidied
from qap.digits import significant_bits
from qap.models.circuit import traced_ebops
from qap.training.population.circuits import Moments, Seen

from ..models.test_circuit import MLP, random_circuit, run

BATCH = 100


def _seen(circuit, x: np.ndarray, seed: int = 0) -> Seen:
    generator = np.random.default_rng(seed)
    return Seen(run(circuit, x)[1], generator.uniform(0, 1, circuit.layout.units))


def _moments(size: int, seed: int = 0) -> Moments:
    generator = np.random.default_rng(seed)
    second, slope = generator.uniform(0, 1e-3, size), generator.normal(0, 1e-2, size)
    return Moments(np.zeros(size, np.float32), second.astype(np.float32), slope.astype(np.float32), 10)


def test_a_digit_is_priced_by_what_it_loses_and_saves(data) -> None:
    circuit = random_circuit(1, 0.2)
    circuit = circuit.with_(weights=circuit.quantized.astype(np.float32))  # latent values on the grid
    seen, moments, here = _seen(circuit, data.train.x[:500]), _moments(circuit.layout.size), circuit.layout
    found = prices(circuit, moments, seen, BATCH)
    for i in np.nonzero(circuit.working)[0][:60]:
        changed = circuit.quantized.copy()
        changed[i] = found.towards[i]
        fewer = circuit.with_(weights=changed.astype(np.float32), fractions=np.full(here.size, 12))
        difference = found.towards[i] - circuit.quantized[i]
        curvature = moments.second[i] * BATCH + 1e-9
        assert found.loss[i] == pytest.approx(0.5 * curvature * difference**2)
        widths = np.maximum(np.floor(np.log2(np.maximum(seen.largest, 1e-9))) + 1 + circuit.steps, 0) * (seen.largest > 0)
        saved = (circuit.bits[i] - significant_bits(fewer.quantized[[i]])[0]) * widths[here.source[i]]
        assert found.saving[i] == saved, f"weight {i}: {circuit.quantized[i]} to {found.towards[i]}"


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
def test_a_target_is_met_and_only_cheap_things_go(share: float, data) -> None:
    circuit = tidied(random_circuit(2, 0.1))
    seen, moments = _seen(circuit, data.train.x[:500]), _moments(circuit.layout.size)
    before = traced_ebops(circuit, seen.largest)
    found = reduced(circuit, moments, seen, BATCH, share * before)
    assert traced_ebops(found, seen.largest) <= share * before
    assert not (found.alive & ~circuit.alive).any(), "what is gone stays gone"
    assert (found.fractions <= circuit.fractions).all()
    assert (found.steps <= circuit.steps).all()
    assert reduced(circuit, moments, seen, BATCH, before) is circuit, "a target that is met changes nothing"


def test_constants_move_into_the_next_biases(data) -> None:
    circuit = random_circuit(3, 0.4)
    here = circuit.layout
    alive = circuit.alive.copy()
    alive[: here.kernels][here.target == here.offsets[1] + 2] = False  # nothing leads to the third unit of fc1
    weights = circuit.weights.copy()
    weights[here.bias[here.offsets[1] + 2]] = 1.5
    circuit = circuit.with_(alive=alive, weights=weights, fractions=np.where(np.arange(here.size) < here.kernels, 3, 12))
    tidy = tidied(circuit)
    x = data.train.x[:500]
    assert not (tidy.bits[here.source == here.offsets[1] + 2]).any()
    assert np.array_equal(run(circuit, x)[0], run(tidy, x)[0])


def test_a_smaller_architecture_computes_the_same_and_comes_back(data) -> None:
    from qap.models.architecture import Architecture
    from qap.models.circuit import Circuit, layout

    wide = Architecture.mlp(6, [40, 30], 3)
    here = layout(wide)
    generator = np.random.default_rng(5)
    alive = generator.random(here.size) < 0.4
    for unit in [*range(here.offsets[1] + 7, here.offsets[2]), *range(here.offsets[2] + 5, here.offsets[3])]:
        alive[: here.kernels][(here.source == unit) | (here.target == unit)] = False
    alive[here.kernels :] = True
    weights = generator.normal(0, 1, here.size).astype(np.float32)
    fractions, steps = generator.integers(0, 4, here.size), generator.integers(1, 4, here.units)
    circuit = tidied(Circuit(wide, weights, fractions, alive, steps))
    moments = _moments(here.size)
    narrowed = Folded.of(circuit).narrowed(moments)
    assert narrowed is not None
    folded, fewer = narrowed
    first, second, last = (layer.units for layer in folded.circuit.architecture.layers)
    assert {first, second} <= {4, 8}
    assert last == 3
    back = folded.spread()
    kept = circuit.working
    assert np.array_equal(back.quantized[: here.kernels][kept], circuit.quantized[: here.kernels][kept])
    assert int(back.working.sum()) == int(kept.sum())
    seen = Seen(generator.uniform(0, 3, here.units), generator.uniform(0, 1, here.units))
    assert traced_ebops(back, seen.largest) == traced_ebops(circuit, seen.largest)
    assert traced_ebops(folded.circuit, folded.seen(seen).largest) == traced_ebops(circuit, seen.largest)
    inside = folded.places >= 0
    assert np.array_equal(fewer.second[inside], moments.second[folded.places[inside]])
    assert folded.narrowed(fewer) is None
    assert MLP.inputs == folded.circuit.architecture.inputs
