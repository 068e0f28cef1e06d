"""Making a circuit smaller: the digits, whole units and activation bits go first that lose least for what they save.

The loss of a change Δ of one value is estimated to second order as ½·F·Δ², F the diagonal of Fisher's matrix: of a weight from
the running mean of its squared gradients, times the batch (LeCun, Denker and Solla, "Optimal brain damage", NIPS 1989, with F
for the second derivatives); of an activation or feature from the probe, its Δ² being what a step twice as large adds to the
variance of rounding, 3·step²/12. What is saved are EBOPs with traced input widths.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qap.digits import coarser, lowest_digit, significant_bits
from qap.models.architecture import Architecture
from qap.models.circuit import Circuit, layout, padded, traced_ebops, widths_seen
from qap.training.population.circuits import Moments, Seen

CAUTION = 10.0
"""Activations count for more than their estimate says: their bits are shared by many weights, and errors add up along a path."""
FEWEST_BITS = 1
"""Of activations and features: below it they do not lose bits but their weights."""
LEAST = 0.1
"""Of Δ² counts at least, where a weight's latent value lies on the way to the coarser one."""
ROUNDS = 8
WORTH = 0.3
"""A smaller program is compiled when it multiplies no more than this part of the weights."""


@dataclass(frozen=True, eq=False)
class Prices:
    """What each change loses and saves: arrays of the kernel weights, then of the units.

    Parameters
    ----------
    loss, saving : arrays
    towards : (kernels,) array
        What each weight would become.
    """

    loss: np.ndarray
    saving: np.ndarray
    towards: np.ndarray

    @property
    def each(self) -> np.ndarray:
        """Loss per EBOP saved, infinite where nothing is saved."""
        return np.where(self.saving > 0, self.loss / np.maximum(self.saving, 1e-9), np.inf)

    @property
    def order(self) -> np.ndarray:
        """Places of the changes that save something, the cheapest first."""
        order = np.argsort(self.each, kind="stable")
        return order[np.isfinite(self.each[order])]


def curvature(circuit: Circuit, moments: Moments, batch: int) -> np.ndarray:
    """Return F of each kernel weight, (kernels,), above 0."""
    return moments.second[: circuit.layout.kernels].astype(np.float64) * batch + 1e-9


def loss_of_bits(seen: Seen, steps: np.ndarray) -> np.ndarray:
    """Return what features and units that are rounded to multiples of 2**−step lose with their last bit, (units,)."""
    return 0.5 * seen.sensitivity * 3 * np.ldexp(1.0, -2 * steps) / 12 * CAUTION


def prices(circuit: Circuit, moments: Moments, seen: Seen, batch: int) -> Prices:
    """Return the prices of the lowest digit of every weight, and of the last bit of every feature and activation."""
    here, bits, widths = circuit.layout, circuit.bits, widths_seen(circuit, seen.largest)
    value, latent = circuit.quantized[: here.kernels], circuit.weights[: here.kernels].astype(np.float64)
    towards = coarser(value, latent)
    squared = np.maximum((towards - latent) ** 2 - (value - latent) ** 2, LEAST * (towards - value) ** 2)
    saving = (bits - significant_bits(towards)) * widths[here.source] * circuit.working
    of_weights = 0.5 * curvature(circuit, moments, batch) * squared
    used = np.where(widths > FEWEST_BITS, circuit.multiplied, 0)
    return Prices(np.concatenate([of_weights, loss_of_bits(seen, circuit.steps)]), np.concatenate([saving, used]), towards)


def _without_units(circuit: Circuit, moments: Moments, seen: Seen, batch: int, price: float, excess: float) -> Circuit | None:
    """Remove whole hidden units that are cheaper than a price, at most half of them and no more than the excess; None: none."""
    here = circuit.layout
    each = circuit.bits * widths_seen(circuit, seen.largest)[here.source] * circuit.working
    saved = np.bincount(here.source, each, here.units) + np.bincount(here.target, each, len(here.bias))[: here.units]
    damage = 0.5 * curvature(circuit, moments, batch) * circuit.quantized[: here.kernels] ** 2
    lost = np.bincount(here.source, damage, here.units)
    cost = np.where((saved > 0) & (here.unit_layer > 0), lost / np.maximum(saved, 1e-9), np.inf)
    cheap = np.nonzero(cost < price)[0]
    cheap = cheap[np.argsort(cost[cheap])][: max(len(cheap) // 2, 1)]
    before = np.concatenate([[0.0], np.cumsum(saved[cheap])[:-1]]) if len(cheap) else np.zeros(0)
    gone = cheap[before <= excess]
    if not len(gone):
        return None
    alive = circuit.alive.copy()
    alive[: here.kernels] &= ~(np.isin(here.source, gone) | np.isin(here.target, gone))
    return circuit.with_(alive=alive)


def reduced(circuit: Circuit, moments: Moments, seen: Seen, batch: int, target: float) -> Circuit:
    """Return a circuit that costs no more than a target.

    Parameters
    ----------
    circuit : Circuit
    moments : Moments
        Of its training.
    seen : Seen
        Of a probe.
    batch : int
        Events of a training step.
    target : float
        Traced EBOPs. What single changes save is added up as if they were independent; what is missed then goes in a further
        round.
    """
    for number in range(ROUNDS):
        excess = traced_ebops(circuit, seen.largest) - target
        if excess <= 0:
            return circuit
        found = prices(circuit, moments, seen, batch)
        order = found.order
        if not len(order):
            return circuit
        count = min(int(np.searchsorted(np.cumsum(found.saving[order]), excess)) + 1, len(order))
        fewer = None
        if number == 0:
            fewer = _without_units(circuit, moments, seen, batch, found.each[order[count - 1]], excess)
        circuit = _changed(circuit, order[:count], found) if fewer is None else fewer
    return circuit


def _changed(circuit: Circuit, chosen: np.ndarray, found: Prices) -> Circuit:
    here = circuit.layout
    weights, units = chosen[chosen < here.kernels], chosen[chosen >= here.kernels] - here.kernels
    values, fractions, alive, steps = circuit.copies
    lowest = lowest_digit(circuit.quantized[weights])
    values[weights] = found.towards[weights]
    fractions[weights] = np.minimum(fractions[weights], lowest - 1)
    alive[weights[found.towards[weights] == 0]] = False
    steps[units] -= 1
    return circuit.with_(weights=values, fractions=fractions, alive=alive, steps=steps)


def tidied(circuit: Circuit) -> Circuit:
    """Return a circuit without what cannot matter: constant units become part of the next biases, unheard ones go.

    The biases are rounded to their own grids, so that a constant may change by half a step.
    """
    here = circuit.layout
    weights = circuit.weights.copy()
    constant = np.nonzero(circuit.heard[: here.units] & ~circuit.fed[: here.units])[0]
    for unit in constant:  # in the order of the layers: a constant may feed the next one
        bias = np.rint(np.ldexp(float(weights[here.bias[unit]]), circuit.steps[unit]))
        value = max(np.ldexp(bias, -circuit.steps[unit]), 0.0)
        leads = np.nonzero((here.source == unit) & (circuit.bits > 0))[0]
        weights[here.bias[here.target[leads]]] += (circuit.quantized[leads] * value).astype(np.float32)
    alive = circuit.alive.copy()
    alive[: here.kernels] &= circuit.working | (circuit.fed[here.source] & circuit.heard[here.target])
    weights[~alive] = 0
    return circuit.with_(weights=weights, alive=alive)


@dataclass(frozen=True, eq=False)
class Folded:
    """A circuit of a smaller architecture, for quicker training, and where its arrays lie in the whole one's.

    Parameters
    ----------
    whole : Architecture
    circuit : Circuit
        Its widths are padded with units that nothing leads to.
    places, units : int arrays
        By weight and by unit of the smaller circuit: the place in the whole one, −1 for padding.
    """

    whole: Architecture
    circuit: Circuit
    places: np.ndarray
    units: np.ndarray

    @classmethod
    def of(cls, circuit: Circuit) -> Folded:
        """Return a circuit as it is."""
        here = circuit.layout
        return cls(circuit.architecture, circuit, np.arange(here.size), np.arange(here.units))

    def spread(self) -> Circuit:
        """Return the circuit in the whole architecture."""
        here, circuit = layout(self.whole), self.circuit
        inside, units = self.places >= 0, self.units >= 0

        def back(values: np.ndarray, size: int, places: np.ndarray, which: np.ndarray) -> np.ndarray:
            found = np.zeros(size, values.dtype)
            found[places[which]] = values[which]
            return found

        weights, fractions, alive = (
            back(part, here.size, self.places, inside) for part in (circuit.weights, circuit.fractions, circuit.alive)
        )
        return Circuit(self.whole, weights, fractions, alive, back(circuit.steps, here.units, self.units, units))

    def seen(self, whole: Seen) -> Seen:
        """Return what a probe of the whole circuit tells of the smaller one."""
        inside = self.units >= 0
        return Seen(np.where(inside, whole.largest[self.units], 0), np.where(inside, whole.sensitivity[self.units], 0))

    def narrowed(self, moments: Moments) -> tuple[Folded, Moments] | None:
        """Return the same in a smaller architecture, None where that is not worth a compilation."""
        circuit, here = self.circuit, self.circuit.layout
        live = circuit.heard & circuit.fed
        live[: here.widths[0]] = True
        live[here.units :] = True
        kept = [np.nonzero(live[first:last])[0] for first, last in zip(here.offsets[:-1], here.offsets[1:], strict=True)]
        hidden = padded(here.widths[1:-1], [len(part) for part in kept[1:-1]])
        layers = [replace(layer, units=width) for layer, width in zip(circuit.architecture.layers[:-1], hidden, strict=True)]
        smaller = replace(circuit.architecture, layers=(*layers, circuit.architecture.layers[-1]))
        there = layout(smaller)
        if there.kernels > WORTH * here.kernels:
            return None
        units = np.full(there.units + there.widths[-1], -1)
        for number, part in enumerate(kept):
            units[there.offsets[number] : there.offsets[number] + len(part)] = here.offsets[number] + part
        places = _places(here.architecture, smaller, units)

        def cut(values: np.ndarray, at: np.ndarray) -> np.ndarray:
            return np.where(at >= 0, values[at], np.zeros(1, values.dtype))

        weights, fractions, alive = (cut(part, places) for part in (circuit.weights, circuit.fractions, circuit.alive))
        inner = units[: there.units]
        found = Circuit(smaller, weights, fractions, alive, cut(circuit.steps, inner))
        folded = Folded(self.whole, found, cut(self.places + 1, places) - 1, cut(self.units + 1, inner) - 1)
        moved = Moments(cut(moments.first, places), cut(moments.second, places), cut(moments.slope, places), moments.steps)
        return folded, moved


def _places(whole: Architecture, smaller: Architecture, units: np.ndarray) -> np.ndarray:
    """Return where each weight of the smaller architecture lies in the whole one, −1 for padding."""
    here, there = layout(whole), layout(smaller)
    source, target = units[there.source], units[there.target]
    first = np.concatenate([[0], np.cumsum([n * m for n, m in here.shapes])])
    number = there.layer
    width = np.array([m for _, m in here.shapes])[number]
    inside = (source >= 0) & (target >= 0)
    kernel = first[number] + (source - here.offsets[number]) * width + target - here.offsets[number + 1]
    kernels = np.where(inside, kernel, -1)
    ends = units[there.widths[0] :]
    biases = np.where(ends >= 0, here.bias[np.maximum(ends, 0)], -1)
    return np.concatenate([kernels, biases])
