"""A network in which every weight and every activation has a grid of its own, and the plain plan and weights that it equals.

In a circuit of adders a weight costs what its digits cost, whatever its neighbours have. So the grids differ weight by weight
and unit by unit while a circuit is made smaller; in the end one quantizer for each layer holds all its weights, and exact
powers of two between the layers (see `qap.models.scaling`) make one activation quantizer serve all units of a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from qap.digits import lowest_digit, significant_bits
from qap.granularity import Granularity
from qap.models.architecture import Architecture
from qap.models.builders import Weights
from qap.plan import InputPlan, LayerPlan, Plan
from qap.precision import Precision

LIMIT = 3
"""Integer bits of a circuit's weights: they are clipped to ±2**LIMIT."""


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the weights of an architecture lie in one array: kernels of all layers, then biases; and its units: features, then
    hidden units.

    Attributes
    ----------
    source, target : (kernel weights,) int arrays
        The unit that a weight multiplies, and the unit or output that it leads to (outputs are counted after the units).
    layer : (kernel weights,) int array
    unit_layer : (units,) int array
        0 for features, l for the units of hidden layer l.
    bias : (units and outputs,) int array
        Place of the bias; −1 for features.
    """

    architecture: Architecture

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Kernel shapes."""
        return [(inputs, units) for inputs, units in self.architecture.shapes.values()]

    @property
    def widths(self) -> list[int]:
        """Features, units of the layers."""
        return [self.architecture.inputs, *(layer.units for layer in self.architecture.layers)]

    @cached_property
    def offsets(self) -> np.ndarray:
        """First unit of each layer, the features first."""
        return np.concatenate([[0], np.cumsum(self.widths)])

    @cached_property
    def kernels(self) -> int:
        """Number of kernel weights."""
        return sum(inputs * units for inputs, units in self.shapes)

    @property
    def size(self) -> int:
        """Number of weights, biases included."""
        return self.kernels + sum(self.widths[1:])

    @property
    def units(self) -> int:
        """Features and hidden units."""
        return sum(self.widths[:-1])

    @cached_property
    def source(self) -> np.ndarray:
        """See the class."""
        return np.concatenate([self.offsets[i] + np.repeat(np.arange(n), m) for i, (n, m) in enumerate(self.shapes)])

    @cached_property
    def target(self) -> np.ndarray:
        """See the class."""
        return np.concatenate([self.offsets[i + 1] + np.tile(np.arange(m), n) for i, (n, m) in enumerate(self.shapes)])

    @cached_property
    def layer(self) -> np.ndarray:
        """See the class."""
        return np.repeat(np.arange(len(self.shapes)), [n * m for n, m in self.shapes])

    @cached_property
    def unit_layer(self) -> np.ndarray:
        """See the class."""
        return np.repeat(np.arange(len(self.shapes)), self.widths[:-1])

    @cached_property
    def bias(self) -> np.ndarray:
        """See the class."""
        return np.concatenate([np.full(self.widths[0], -1), self.kernels + np.arange(sum(self.widths[1:]))])

    def pack(self, weights: Weights) -> np.ndarray:
        """Return weights by name as one array."""
        names = [f"{name}/{part}" for part in ("kernel", "bias") for name in self.architecture.shapes]
        return np.concatenate([np.ravel(weights[name]) for name in names])

    def unpack(self, packed: np.ndarray) -> dict[str, np.ndarray]:
        """Return one array of weights by name."""
        shapes: list[tuple[int, ...]] = [*self.shapes, *((units,) for units in self.widths[1:])]
        parts = np.split(packed, np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1])
        names = [f"{name}/{part}" for part in ("kernel", "bias") for name in self.architecture.shapes]
        return {name: part.reshape(shape).copy() for name, part, shape in zip(names, parts, shapes, strict=True)}


@lru_cache(maxsize=64)
def layout(architecture: Architecture) -> Layout:
    """Return the layout of an architecture."""
    return Layout(architecture.folded)


@dataclass(frozen=True, eq=False)
class Circuit:
    """Weights and grids.

    Parameters
    ----------
    architecture : Architecture
        Without BatchNormalization; hidden layers have relu.
    weights : (size,) float32 array
        Latent, packed as `Layout` says.
    fractions : (size,) int array
        Each weight's grid has the step 2**−fraction.
    alive : (size,) bool array
        Weights that have not been removed.
    steps : (units,) int array
        Features and activations are rounded to multiples of 2**−step.
    """

    architecture: Architecture
    weights: np.ndarray
    fractions: np.ndarray
    alive: np.ndarray
    steps: np.ndarray

    @property
    def layout(self) -> Layout:
        """Where everything lies."""
        return layout(self.architecture)

    @property
    def copies(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Weights, fractions, alive and steps, free to be changed."""
        return self.weights.copy(), self.fractions.copy(), self.alive.copy(), self.steps.copy()

    @property
    def multiplied(self) -> np.ndarray:
        """Bits of the working weights that each feature or unit multiplies, (units,)."""
        return np.bincount(self.layout.source, self.bits * self.working, self.layout.units)

    def with_(self, **changes: Any) -> Circuit:
        """Return a copy with other arrays."""
        return replace(self, **changes)

    @cached_property
    def quantized(self) -> np.ndarray:
        """The weights on their grids, (size,) float64."""
        rounded = np.ldexp(np.rint(np.ldexp(self.weights.astype(np.float64), self.fractions)), -self.fractions)
        most = 2.0**LIMIT
        return np.where(self.alive, np.clip(rounded, -most, most - np.ldexp(1.0, -self.fractions)), 0.0)

    @cached_property
    def bits(self) -> np.ndarray:
        """Significant bits of each kernel weight, (kernels,)."""
        return significant_bits(self.quantized[: self.layout.kernels])

    @cached_property
    def heard(self) -> np.ndarray:
        """Units that lead to an output, outputs included: (units and outputs,) bool."""
        here, nonzero = self.layout, self.bits > 0
        found = np.arange(len(here.bias)) >= here.units
        for number in reversed(range(len(here.shapes))):
            used = (here.layer == number) & nonzero & found[here.target]
            found[here.source[used]] = True
        return found

    @cached_property
    def fed(self) -> np.ndarray:
        """Units that a feature leads to, features included: (units and outputs,) bool. The others are constant."""
        here, nonzero = self.layout, self.bits > 0
        found = np.arange(len(here.bias)) < here.widths[0]
        for number in range(len(here.shapes)):
            used = (here.layer == number) & nonzero & found[here.source]
            found[here.target[used]] = True
        return found

    @property
    def working(self) -> np.ndarray:
        """Kernel weights between a fed and a heard unit: (kernels,) bool. The others need no multiplication."""
        return self.fed[self.layout.source] & self.heard[self.layout.target] & (self.bits > 0)


def widths_seen(circuit: Circuit, largest: np.ndarray) -> np.ndarray:
    """Return b(x) of each unit, traced: the digits between the largest magnitude seen and the unit's step, sign left out.

    Parameters
    ----------
    circuit : Circuit
    largest : (units,) array
        Largest magnitude of each feature and activation over the events, after rounding.
    """
    exponent = np.floor(np.log2(np.maximum(largest, 1e-9))).astype(np.int64) + 1
    return np.where(largest > 0, np.maximum(exponent + circuit.steps, 0), 0)


def traced_ebops(circuit: Circuit, largest: np.ndarray) -> float:
    """Return EBOPs with traced input widths, units that nothing leads to or that lead nowhere left out.

    Parameters
    ----------
    circuit, largest
        As for `widths_seen`.
    """
    return float((circuit.bits * widths_seen(circuit, largest)[circuit.layout.source] * circuit.working).sum())


def of_weights(architecture: Architecture, weights: Weights, *, weight: int, bias: int, activation: int, feature: int) -> Circuit:
    """Return a circuit that begins with the same grids everywhere.

    Parameters
    ----------
    architecture : Architecture
    weights : mapping
        Folded float weights.
    weight, bias, activation, feature : int
        Fractional digits of kernels, biases, hidden activations and features.
    """
    here = layout(architecture)
    fractions = np.where(np.arange(here.size) < here.kernels, weight, bias)
    steps = np.where(here.unit_layer == 0, feature, activation)
    packed = here.pack(weights).astype(np.float32)
    return Circuit(architecture.folded, packed, fractions, np.ones(here.size, bool), steps)


def _range(values: np.ndarray) -> int:
    """Return the fewest integer bits whose signed range holds the values."""
    largest = float(np.abs(values).max(initial=0.0))
    return max(int(np.floor(np.log2(largest))) + 1, 0) if largest else 0


def _holding(values: np.ndarray) -> Precision:
    """Return the narrowest signed type that holds values exactly."""
    nonzero = values[values != 0]
    fractional = max(int(lowest_digit(nonzero).max(initial=0)), 0)
    integer = _range(nonzero)
    return Precision(max(1 + integer + fractional, 2), integer)


def plain(circuit: Circuit, largest: np.ndarray, inputs: Precision) -> tuple[Plan, dict[str, np.ndarray]]:
    """Return the plan and the weights of a plain QKeras model that computes what a circuit computes.

    Equal for all events whose activations stay within the largest magnitudes; beyond them a unit saturates.

    Parameters
    ----------
    circuit : Circuit
    largest : (units,) array
        As for `widths_seen`.
    inputs : Precision
        Type of the data.

    Returns
    -------
    Plan
        With exponents; its sparsities are the digits removed, of those that the layer's weights can have.
    dict
        Weights in the plan's scale, on its grids.
    """
    here, seen = circuit.layout, widths_seen(circuit, largest)
    named = here.unpack(circuit.quantized)
    alive = circuit.heard[: here.units] & (circuit.fed[: here.units])
    before, entering = _inputs(circuit, alive, inputs)
    layers, weights = [], {}
    for number, name in enumerate(circuit.architecture.shapes):
        kernel, bias = named[f"{name}/kernel"], named[f"{name}/bias"]
        last = number == len(here.shapes) - 1
        units = slice(here.offsets[number + 1], here.offsets[number + 2])
        after, activation = np.zeros(kernel.shape[1], np.int64), None
        if not last:
            after, activation = _activation(circuit.steps[units], seen[units], alive[units])
            kernel, bias = kernel * alive[units], bias * alive[units]
        kernel, bias = np.ldexp(kernel, before[:, None] - after), np.ldexp(bias, -after)
        weight = _holding(kernel)
        removed = 1 - significant_bits(kernel).sum() / (kernel.size * (weight.bits - 1))
        exponents = tuple(map(int, after))
        layers.append((name, LayerPlan(weight, _holding(bias), activation, float(removed), Granularity("digit"), exponents)))
        weights[f"{name}/kernel"], weights[f"{name}/bias"] = kernel.astype(np.float32), bias.astype(np.float32)
        before = after
    return Plan(tuple(layers), entering), weights


def scaled_largest(circuit: Circuit, plan: Plan, largest: np.ndarray) -> list[np.ndarray]:
    """Return the largest magnitudes of a circuit's features and units in the scale of its plan, by layer."""
    parts = np.split(largest, circuit.layout.offsets[1:-2])
    exponents = [plan.inputs.exponents if plan.inputs is not None else (), *(layer.exponents for _, layer in plan.items())]
    return [np.ldexp(part, -np.array(some or [0] * len(part))) for part, some in zip(parts, exponents[:-1], strict=True)]


def _inputs(circuit: Circuit, alive: np.ndarray, inputs: Precision) -> tuple[np.ndarray, InputPlan]:
    steps, used = circuit.steps[: circuit.layout.widths[0]], alive[: circuit.layout.widths[0]]
    finest = min(max(int(steps[used].max(initial=0)), 0), inputs.fractional)
    exponents = np.where(used, finest - steps, 0)
    return exponents, InputPlan(Precision(1 + inputs.integer + finest, inputs.integer), tuple(map(int, exponents)))


def _activation(steps: np.ndarray, seen: np.ndarray, alive: np.ndarray) -> tuple[np.ndarray, Precision]:
    """Return the exponents of a layer's units and the one type that serves them all."""
    bits = max(int(seen[alive].max(initial=1)), 1)
    fractional = int(np.clip(np.rint(np.median(steps[alive])), 0, bits)) if alive.any() else 0
    exponents = np.where(alive, fractional - steps, 0)
    return exponents, Precision(bits, bits - fractional, signed=False)


def padded(widths: Sequence[int], used: Sequence[int]) -> tuple[int, ...]:
    """Return widths of a smaller network that the units in use fit into, from a short ladder: few shapes are compiled."""
    ladder = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
    rungs = [next((step for step in ladder if step >= max(count, 1)), count) for count in used]
    return tuple(min(pair) for pair in zip(rungs, widths, strict=True))
