"""Compare a QKeras model with the C-simulation of its firmware, bit by bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qap.candidate import Parity
from qap.errors import InputError
from qap.firmware.csim import simulate, trace
from qap.firmware.graph import flatten
from qap.firmware.lowering import Lowered, lower
from qap.firmware.project import Project
from qap.firmware.quantizers import class_name
from qap.firmware.reference import Reference
from qap.precision import Precision

TRACED = 64
"""Events that are traced through the layers to find the first one that differs."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """QKeras against the C-simulation.

    Parameters
    ----------
    parity : Parity
    outputs : tuple of float64 arrays (events, …)
        What the firmware gives, by output.
    reference : tuple of float64 arrays
        What QKeras gives.
    fractions : dict of output name → fraction
        Exact fraction of the events by output.
    layers : dict of layer name → fraction
        Exact fraction of traced events by layer, where a trace was made.
    worst : tuple of int
        Events with the largest differences, the worst first (at most 10); empty when all are exact.
    """

    parity: Parity
    outputs: tuple[np.ndarray, ...]
    reference: tuple[np.ndarray, ...]
    fractions: dict[str, float]
    layers: dict[str, float]
    worst: tuple[int, ...]

    @property
    def logits(self) -> np.ndarray:
        """The firmware's first output."""
        return self.outputs[0]

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form: counts, fractions by layer, both sides of the worst events."""
        return {
            "events": self.parity.events,
            "exact": self.parity.exact,
            "max_difference": self.parity.max_difference,
            "first_layer": self.parity.first_layer,
            "reference": self.parity.reference,
            "outputs": dict(self.fractions),
            "layers": dict(self.layers),
            "worst": [
                {
                    "event": event,
                    "qkeras": [part[event].ravel().tolist() for part in self.reference],
                    "firmware": [part[event].ravel().tolist() for part in self.outputs],
                }
                for event in self.worst
            ],
        }


def lowered(model: Any, project: Project) -> Lowered:
    """Lower a model again as it was lowered for a project."""
    return lower(
        model,
        {port.name: port.kind for port in project.inputs},
        accept=[project.layers[call] for call in project.bounds],
    )


def quantizes_inputs(model: Any, project: Project) -> bool:
    """Tell whether the model itself rounds and saturates every input to the firmware's input type."""
    graph = flatten(model)
    for name, port in zip(graph.inputs, project.inputs, strict=True):
        if port.features:
            return False
        precision = Precision.parse(port.precision)
        for call in graph.calls:
            if name not in call.inputs:
                continue
            quantizer: Any = getattr(call.layer, "quantizer", None)
            kind = "quantized_bits" if precision.signed else "quantized_relu"
            if class_name(quantizer) != kind or (quantizer.bits, quantizer.integer) != (
                precision.bits,
                precision.integer,
            ):
                return False
            if getattr(quantizer, "symmetric", False) or getattr(quantizer, "negative_slope", 0):
                return False
    return True


def check_inputs(model: Any, project: Project, arrays: Sequence[np.ndarray], quantized: Sequence[np.ndarray]) -> None:
    """Refuse inputs that the two sides would read differently.

    Raises
    ------
    InputError
        Values off the grid or out of the range of the input type, unless the model quantizes its inputs itself.
    """
    for port, array, exact in zip(project.inputs, arrays, quantized, strict=True):
        different = (array != exact).any(axis=1)
        if different.any() and not quantizes_inputs(model, project):
            event = int(np.argmax(different))
            element = int(np.argmax(array[event] != exact[event]))
            text = port.features[element % len(port.features)] if port.features else port.precision
            raise InputError(
                f"{port.name}: {float(array[event, element])} in event {event} is not a value of {text}: "
                "quantize the inputs (Precision.quantize), or build the input quantizer into the model "
                "(qap.firmware.with_input_quantizer)"
            )


def compare(model: Any, project: Project, x: Any) -> Comparison:
    """Run both sides on the same inputs and compare every bit of the outputs.

    Parameters
    ----------
    model : keras.Model
        The one that was converted.
    project : Project
        Built.
    x : array (events, …), or one per input
        On the grid of the input type, unless the model quantizes its inputs itself.

    Returns
    -------
    Comparison
        Where events differ, `Parity.first_layer` is the first layer whose output differs.

    Raises
    ------
    InputError
        Inputs that do not fit or that the two sides would read differently.
    QapError
        The C-simulation is not built.
    """
    arrays = project.arrays(x)
    check_inputs(model, project, arrays, project.quantized(arrays))
    reference = Reference(model, lowered(model, project))
    expected = reference.outputs(arrays)
    if project.head == "argmax":
        expected = [np.eye(part.shape[1])[part.argmax(axis=1)] for part in expected]
    received = simulate(project, arrays)
    received = received if isinstance(received, list) else [received]
    events = len(arrays[0])
    difference = np.zeros(events)
    fractions = {}
    for port, one, other in zip(project.outputs, expected, received, strict=True):
        own = np.abs(one - other).reshape(events, -1).max(axis=1)
        fractions[port.name] = float((own == 0).mean())
        difference = np.maximum(difference, own)
    wrong = np.nonzero(~(difference == 0))[0]  # NaN is not exact
    first, layers = None, {}
    if len(wrong):
        layers = by_layer(reference, project, [array[wrong[:TRACED]] for array in arrays])
        first = next((name for name, fraction in layers.items() if fraction < 1), "the outputs")
    worst = wrong[np.argsort(-difference[wrong], kind="stable")][:10]
    parity = Parity(events, events - len(wrong), float(difference.max()), first, reference.arithmetic)
    return Comparison(parity, tuple(received), tuple(expected), fractions, layers, tuple(int(event) for event in worst))


def by_layer(reference: Reference, project: Project, arrays: Sequence[np.ndarray]) -> dict[str, float]:
    """Return the fraction of events in which each layer's output is exact, by layer name in order of evaluation."""
    expected, received = reference.layers(arrays), trace(project, list(arrays))
    fractions: dict[str, float] = {}
    for call, values in expected.items():
        if call in received:
            exact = (values == received[call]).reshape(len(values), -1).all(axis=1)
            name = project.layers[call]
            fractions[name if name not in fractions else call] = float(exact.mean())
    return fractions
