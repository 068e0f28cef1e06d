"""The verdict on a firmware: exact, bounded by tables that the user accepted, or not exact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qap.firmware.graph import flatten
from qap.firmware.parity import Comparison, by_layer, compare, lowered
from qap.firmware.project import Project
from qap.firmware.reference import Reference

EXACT, BOUNDED, INEXACT = "exact", "bounded", "not exact"
TRACED = 256
"""Events of each set that are traced through all layers; with accepted tables all are."""

Say = Callable[[str], None]
Sets = Mapping[str, Sequence[np.ndarray]]
"""Set of events → arrays (events, …), one per input."""


@dataclass(frozen=True, eq=False)
class Proof:
    """QKeras against the C-simulation on several sets of events.

    Parameters
    ----------
    project : Project
    sets : mapping of set → inputs, float64 arrays (events, elements), one per input
    comparisons : mapping of set → Comparison
    layers : mapping of set → mapping of layer → number of exact events among the traced ones
    traced : mapping of set → events that were traced
    behind : frozenset of layers whose output may differ, because an accepted table stands before or in them
    """

    project: Project
    sets: Sets
    comparisons: Mapping[str, Comparison]
    layers: Mapping[str, Mapping[str, int]]
    traced: Mapping[str, int]
    behind: frozenset[str]

    @property
    def events(self) -> int:
        """Events compared, all sets together."""
        return sum(comparison.parity.events for comparison in self.comparisons.values())

    @property
    def exact(self) -> int:
        """Events whose outputs agree in every bit."""
        return sum(comparison.parity.exact for comparison in self.comparisons.values())

    @property
    def max_difference(self) -> float:
        """Largest difference at any output."""
        return max(comparison.parity.max_difference for comparison in self.comparisons.values())

    @property
    def offender(self) -> tuple[str, str] | None:
        """The first set and layer that differ where they must not."""
        for name, counts in self.layers.items():
            for layer, exact in counts.items():
                if exact < self.traced[name] and layer not in self.behind:
                    return name, layer
        for name, comparison in self.comparisons.items():
            first = comparison.parity.first_layer
            if first is not None and not self.behind:
                return name, first
        return None

    @property
    def verdict(self) -> str:
        """``exact``, ``bounded`` or ``not exact``."""
        if self.offender is not None:
            return INEXACT
        return BOUNDED if self.project.bounds else EXACT

    def agreement(self) -> dict[str, dict[str, float]]:
        """Return, by output, the largest difference and how often the largest element is the same."""
        found = {}
        for i, port in enumerate(self.project.outputs):
            pairs = [(one.reference[i], one.outputs[i]) for one in self.comparisons.values()]
            item = {"max_difference": max(float(np.abs(one - other).max()) for one, other in pairs)}
            if len(port.shape) == 1 and port.size > 1:
                same = sum(int((one.argmax(axis=1) == other.argmax(axis=1)).sum()) for one, other in pairs)
                item["same_argmax"] = same / self.events
            found[port.name] = item
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form: counts by set, output and layer, the worst events with both sides."""
        offender = self.offender
        return {
            "verdict": self.verdict,
            "reference": self.project.reference,
            "events": self.events,
            "exact": self.exact,
            "max_difference": self.max_difference,
            "first_layer": None if offender is None else offender[1],
            "bounds": {self.project.layers[call]: text for call, text in self.project.bounds.items()},
            "outputs": self.agreement(),
            "sets": {name: self._set(name) for name in self.comparisons},
        }

    def _set(self, name: str) -> dict[str, Any]:
        comparison = self.comparisons[name]
        outputs = {}
        for port, one, other in zip(self.project.outputs, comparison.reference, comparison.outputs, strict=True):
            difference = np.abs(one - other).reshape(len(one), -1).max(axis=1)
            outputs[port.name] = {"exact": int((difference == 0).sum()), "max_difference": float(difference.max())}
        worst = comparison.to_dict()["worst"]
        for item in worst:
            item["inputs"] = [array[item["event"]].ravel().tolist() for array in self.sets[name]]
        return {
            "events": comparison.parity.events,
            "exact": comparison.parity.exact,
            "max_difference": comparison.parity.max_difference,
            "outputs": outputs,
            "traced_events": self.traced[name],
            "layers": dict(self.layers[name]),
            "worst": worst,
        }


def prove(model: Any, project: Project, sets: Sets, say: Say = lambda message: None) -> Proof:
    """Compare a model with its firmware on every event of every set, at the outputs, and layer by layer.

    Parameters
    ----------
    model : keras.Model
        The one that was converted.
    project : Project
        Built.
    sets : mapping of set → arrays (events, …), one per input
        On the grid of the input types, unless the model quantizes its inputs itself.
    say : callable, optional
        Called with a line of text after each set.

    Returns
    -------
    Proof

    Raises
    ------
    InputError, QapError
        As `qap.firmware.compare`.
    """
    reference = Reference(model, lowered(model, project))
    comparisons, layers, traced = {}, {}, {}
    arrays = {name: project.arrays(list(parts)) for name, parts in sets.items() if len(parts[0])}
    for name, parts in arrays.items():
        comparisons[name] = one = compare(model, project, parts)
        wrong = np.nonzero([(a != b).reshape(len(a), -1).any(axis=1) for a, b in zip(one.reference, one.outputs, strict=True)])[1]
        # the events that differ come first, so that the layer where they begin to differ is among the traced
        order = np.concatenate([np.unique(wrong), np.setdiff1d(np.arange(one.parity.events), wrong)])
        order = order[: one.parity.events if project.bounds else TRACED]
        layers[name], traced[name] = _exact(reference, project, [part[order] for part in parts]), len(order)
        say(f"{name}: {one.parity.exact:,} of {one.parity.events:,} events bit-exact")
    return Proof(project, arrays, comparisons, layers, traced, _behind(model, project))


def _exact(reference: Reference, project: Project, arrays: Sequence[np.ndarray]) -> dict[str, int]:
    """Return how many events are exact in each layer, a batch at a time."""
    counts: dict[str, int] = {}
    for start in range(0, len(arrays[0]), TRACED):
        batch = [array[start : start + TRACED] for array in arrays]
        for layer, fraction in by_layer(reference, project, batch).items():
            counts[layer] = counts.get(layer, 0) + round(fraction * len(batch[0]))
    return counts


def _behind(model: Any, project: Project) -> frozenset[str]:
    """Return the names of the accepted tables' layers and of all layers after them."""
    calls: set[str] = set(project.bounds)
    for call in flatten(model).calls:
        if calls.intersection(call.inputs):
            calls.add(call.name)
    return frozenset(calls | {project.layers[call] for call in calls})
