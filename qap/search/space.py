"""The space of plans: what may be chosen for each layer, and the plan that a choice stands for."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from qap.compress.ranges import Calibration, bias_precision
from qap.config.schema import LayerSpace, Model, Space
from qap.errors import InputError, suggestion
from qap.granularity import Granularity
from qap.models.architecture import OUTPUT, Architecture, layer_names
from qap.plan import LayerPlan, Plan
from qap.precision import Precision

Point = Mapping[str, int | float]
"""One choice for every knob, by the knob's name."""

KINDS = ("weight_bits", "activation_bits", "sparsity", "units")
DEPTH = "depth"


@dataclass(frozen=True, eq=False)
class PlanSpace:
    """The knobs of a search.

    Parameters
    ----------
    space : Space
        The section of the study file.
    model : Model
    features, outputs : int
    inputs : Precision
    """

    space: Space
    model: Model
    features: int
    outputs: int
    inputs: Precision

    def __post_init__(self) -> None:
        if Granularity.parse(self.space.granularity).kind in ("neuron", "filter", "layer"):
            raise InputError(
                f"search.space.granularity: {self.space.granularity} changes the architecture: search its units "
                "(search.space.units), or use qap compare"
            )
        names = [layer.name for layer in self.largest.layers]
        for name, layer in self.space.layers.items():
            if name not in names:
                raise InputError(f"search.space.layers: no layer {name!r}{suggestion(name, names)}")
            for kind in self.space.tie:
                if getattr(layer, kind) is not None:
                    raise InputError(f"search.space: {kind} is tied over all layers and given for {name}: choose one")
        if self.space.depth and max(self.space.depth) > len(self.hidden):
            raise InputError(
                f"search.space.depth: expected at most {len(self.hidden)} (the model's hidden layers), received "
                f"{max(self.space.depth)}"
            )
        output = self.space.layers.get(OUTPUT, LayerSpace())
        if output.units or output.activation_bits:
            raise InputError("search.space.layers.output: the output layer has neither units nor an activation to choose")

    @property
    def hidden(self) -> list[str]:
        """Names of the hidden layers at full depth."""
        return layer_names(self.model)

    def choices(self, name: str, kind: str) -> list[int | float]:
        """Return what may be chosen for one layer: the layer's own list, else the one for all."""
        own = getattr(self.space.layers.get(name, LayerSpace()), kind)
        values = own or getattr(self.space, kind)
        if kind == "units" and values is None:
            values = [self.largest.layers[self.hidden.index(name)].units]
        return sorted(set(values))

    @cached_property
    def largest(self) -> Architecture:
        """The network of the section `model`, at full depth."""
        return Architecture.of(self.model, self.features, self.outputs)

    @cached_property
    def settings(self) -> dict[str, list[int | float]]:
        """Choices by setting: ``weight_bits`` where tied, ``fc1.weight_bits`` where not, and ``depth``."""
        found: dict[str, list[int | float]] = {}
        if self.space.depth:
            found[DEPTH] = sorted(set(self.space.depth))
        for kind in KINDS:
            layers = self.hidden if kind in ("activation_bits", "units") else [*self.hidden, OUTPUT]
            if kind in self.space.tie and (kind != "units" or self.space.units):
                found[kind] = sorted(set(getattr(self.space, kind)))
                continue
            found.update({f"{name}.{kind}": self.choices(name, kind) for name in layers})
        return found

    @cached_property
    def knobs(self) -> dict[str, list[int | float]]:
        """The settings with more than one choice."""
        return {name: values for name, values in self.settings.items() if len(values) > 1}

    @property
    def size(self) -> int:
        """Number of points."""
        return int(np.prod([float(len(values)) for values in self.knobs.values()])) if self.knobs else 1

    def _value(self, point: Point, name: str, kind: str) -> Any:
        for key in (kind, f"{name}.{kind}"):
            if key in self.settings:
                return point.get(key, self.settings[key][0])
        raise InputError(f"search.space: {name} has no {kind}")

    def architecture(self, point: Point) -> Architecture:
        """Return the architecture that a point stands for."""
        depth = int(point.get(DEPTH, self.settings.get(DEPTH, [len(self.hidden)])[0]))
        *hidden, output = self.largest.layers
        layers = [replace(layer, units=int(self._value(point, layer.name, "units"))) for layer in hidden[:depth]]
        return replace(self.largest, layers=(*layers, output))

    def plan(self, point: Point, architecture: Architecture, calibration: Calibration) -> Plan:
        """Return the plan that a point stands for, integer bits from the parent's ranges where they are ``auto``."""
        inputs, layers = self.inputs, []
        for layer in architecture.layers:
            bias = calibration.weights[f"{layer.name}/bias"]
            bits = int(self._value(point, layer.name, "weight_bits"))
            integer = self.space.weight_integer
            weight = Precision(bits, calibration.weight_integer(layer.name, bits) if integer == "auto" else int(integer))
            activation = None
            if layer.name != OUTPUT:
                activation = self._activation(point, layer.name, layer.activation == "linear", calibration)
            layers.append(
                (
                    layer.name,
                    LayerPlan(
                        weight,
                        bias_precision(bias, self.space.bias_bits, weight, inputs),
                        activation,
                        float(self._value(point, layer.name, "sparsity")),
                        Granularity.parse(self.space.granularity),
                    ),
                )
            )
            inputs = activation or inputs
        return Plan(tuple(layers))

    def _activation(self, point: Point, name: str, signed: bool, calibration: Calibration) -> Precision:
        bits = int(self._value(point, name, "activation_bits"))
        integer = self.space.activation_integer
        chosen = calibration.activation_integer(name, bits, signed) if integer == "auto" else int(integer)
        return Precision(bits, chosen, signed)

    def _shapes(self) -> list[dict[str, int | float]]:
        """Return every choice of units and depth."""
        open_ = {key: values for key, values in self.settings.items() if key.endswith("units") or key == DEPTH}
        return [dict(zip(open_, shape, strict=True)) for shape in itertools.product(*open_.values())]

    def _uniform_point(self, shape: Point, bits: int, sparsity: float) -> dict[str, int | float]:
        """Return the point at which every layer takes its own choice nearest to the bits and the sparsity."""
        point = dict(shape)
        for key, values in self.settings.items():
            if key not in point:
                wanted = sparsity if key.endswith("sparsity") else bits
                point[key] = min(values, key=lambda value: abs(value - wanted))
        return point

    def _uniform(self, shapes: Iterable[Point], sparsities: Iterable[float]) -> list[dict[str, int | float]]:
        bits = sorted({*self.space.weight_bits, *self.space.activation_bits})
        points = [self._uniform_point(*choice) for choice in itertools.product(shapes, bits, sparsities)]
        return list({tuple(point.items()): point for point in points}.values())

    def uniform(self) -> list[dict[str, int | float]]:
        """Return the classic sweep: every architecture × uniform bits × uniform sparsity, from coarse to fine."""
        return self._uniform(self._shapes(), sorted(set(self.space.sparsity), reverse=True))

    def anchors(self) -> list[dict[str, int | float]]:
        """Return uniform plans of the largest architecture: every bit width, at the middle and at the lowest sparsity."""
        sparsities = sorted(set(self.space.sparsity))
        return self._uniform(self._shapes()[-1:], dict.fromkeys([sparsities[len(sparsities) // 2], sparsities[0]]))
