"""Architecture: the float topology of a network, its layers, their shapes and connections, no precision."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from qap.config.model import Model
from qap.errors import InputError, suggestion
from qap.models.layer import Layer, Shape
from qap.plan import Plan
from qap.tables import Table

OUTPUT = "output"


def layer_names(model: Model) -> list[str]:
    """Return the names of the hidden layers of the section `model`."""
    if model.layers is None:
        return [f"fc{number}" for number in range(1, len(model.hidden) + 1)]
    return [_layer(model, number).name for number in range(len(model.layers))]


def _layer(model: Model, number: int) -> Layer:
    """Return a layer of the section `model`."""
    layers = model.layers or []
    section = layers[number]
    kind = "conv" if section.kernel_size else "fc"
    place = sum(bool(one.kernel_size) == bool(section.kernel_size) for one in layers[: number + 1])
    return Layer(
        section.name or f"{kind}{place}",
        section.filters or section.units or 0,
        section.activation or model.activation,
        model.batchnorm if section.batchnorm is None else section.batchnorm,
        tuple(section.kernel_size or ()), tuple(section.strides or ()), section.padding, section.pool, section.add,
    )  # fmt: skip


@dataclass(frozen=True)
class Architecture:
    """A network whose layers follow each other, with residual connections where layers ask for them.

    Parameters
    ----------
    inputs : int
        Number of features.
    layers : tuple of Layer
        From the first hidden layer to the output layer.
    shape : tuple of int, default ()
        In which the features stand, channels last: (28, 28, 1) for an image. Empty: one row.

    Raises
    ------
    InputError
        Shapes that do not fit together, names that occur twice, a residual connection to a layer that is not there.

    Examples
    --------
    >>> import qap
    >>> network = qap.Architecture.mlp(16, [64, 32, 32], 5)
    >>> print(network)
    16-64-32-32-5
    >>> network.shapes["fc2"]
    (64, 32)
    >>> layers = "model.layers=[{filters: 8, kernel_size: [3, 3], pool: max(2)}, {units: 32}]"
    >>> model = qap.load_config(None, ["model.shape=[8, 8, 1]", layers]).model
    >>> print(qap.Architecture.of(model, 64, 10))
    8×8×1-conv(3×3,8)-max(2)-32-10
    """

    inputs: int
    layers: tuple[Layer, ...]
    shape: Shape = ()

    def __post_init__(self) -> None:
        if self.inputs < 1 or not self.layers:
            raise InputError(f"architecture: expected inputs and layers, received {self.inputs} and {len(self.layers)}")
        names = [layer.name for layer in self.layers]
        if len(set(names)) != len(names):
            raise InputError(f"architecture: expected distinct layer names, received {names}")
        object.__setattr__(self, "shape", tuple(self.shape))
        if self.shape and math.prod(self.shape) != self.inputs:
            raise InputError(
                f"model.shape: expected a shape of {self.inputs} numbers (the features of an event), received {list(self.shape)}"
            )
        self._check_additions()

    def _check_additions(self) -> None:
        sums = self.sums
        for number, layer in enumerate(self.layers):
            if not layer.add:
                continue
            earlier = [one.name for one in self.layers[:number]]
            if layer.add not in earlier:
                raise InputError(f"{layer.name}: add: no earlier layer {layer.add!r}{suggestion(layer.add, earlier)}")
            if self.given[layer.add] != sums[layer.name]:
                raise InputError(
                    f"{layer.name}: add: expected a layer with the shape {sums[layer.name]} of its own sums, {layer.add} has "
                    f"{self.given[layer.add]}"
                )

    @classmethod
    def mlp(
        cls, inputs: int, hidden: Sequence[int], outputs: int, *, activation: str = "relu", batchnorm: bool = False
    ) -> Architecture:
        """Build the MLP family with the layer names that hls4ml users know: fc1, fc2, …, output.

        Parameters
        ----------
        inputs, outputs : int
        hidden : sequence of int
            Units of the hidden layers.
        activation : {'relu', 'linear'}, default 'relu'
        batchnorm : bool, default False
            BatchNormalization between each hidden Dense layer and its activation.
        """
        layers = [Layer(f"fc{i}", units, activation, batchnorm) for i, units in enumerate(hidden, 1)]
        return cls(inputs, (*layers, Layer(OUTPUT, outputs, "linear")))

    @classmethod
    def of(cls, model: Model, inputs: int, outputs: int) -> Architecture:
        """Build what the section `model` of a study file describes, with an output layer.

        Parameters
        ----------
        model : Model
        inputs, outputs : int

        Raises
        ------
        InputError
            Layers that do not fit together or to the number of features.
        """
        if model.layers is None:
            return cls.mlp(inputs, model.hidden, outputs, activation=model.activation, batchnorm=model.batchnorm)
        hidden = [_layer(model, number) for number in range(len(model.layers))]
        try:
            return cls(inputs, (*hidden, Layer(OUTPUT, outputs, "linear")), tuple(model.shape or ()))
        except InputError as error:
            raise InputError(str(error) if str(error).startswith("model.") else f"model.layers: {error}") from None

    @property
    def outputs(self) -> int:
        """Units of the last layer."""
        return self.layers[-1].units

    @property
    def folded(self) -> Architecture:
        """The same without BatchNormalization: what the weights describe once it is folded into them."""
        return replace(self, layers=tuple(replace(layer, batchnorm=False) for layer in self.layers))

    @property
    def is_mlp(self) -> bool:
        """True for Dense layers one behind the other: what the population engine trains."""
        return not self.shape and not any(layer.kernel or layer.add for layer in self.layers)

    def require_mlp(self, what: str) -> None:
        """Refuse what only multilayer perceptrons have.

        Raises
        ------
        InputError
            This is none.
        """
        if not self.is_mlp:
            raise InputError(f"{what}: treats Dense layers one behind the other only, the network is {self}")

    @cached_property
    def entering(self) -> dict[str, Shape]:
        """By layer name the shape that comes in."""
        return dict(zip(self.given, [self.shape or (self.inputs,), *self.given.values()], strict=False))

    @cached_property
    def given(self) -> dict[str, Shape]:
        """By layer name the shape that goes on to the next layer."""
        found, shape = {}, self.shape or (self.inputs,)
        for layer in self.layers:
            found[layer.name] = shape = layer.given_on(shape)
        return found

    @cached_property
    def sums(self) -> dict[str, Shape]:
        """By layer name the shape of its sums of products."""
        return {layer.name: layer.summed(self.entering[layer.name]) for layer in self.layers}

    @cached_property
    def positions(self) -> dict[str, int]:
        """By layer name how often its kernel is applied to an event: 1 for Dense."""
        return {name: math.prod(shape[:-1]) for name, shape in self.sums.items()}

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """Kernel shape by layer name: (inputs, units), of a convolution (window, …, inputs, units)."""
        entering = self.entering
        return {layer.name: layer.weight_shape(entering[layer.name]) for layer in self.layers}

    @cached_property
    def id(self) -> str:
        """8 hexadecimal digits that name this architecture."""
        return hashlib.sha256(json.dumps(self.to_dict()).encode()).hexdigest()[:8]

    def check(self, plan: Plan) -> None:
        """Refuse a plan that does not describe this architecture.

        Raises
        ------
        InputError
            Other layer names, or an activation precision that the layer's activation cannot have.
        """
        names = [layer.name for layer in self.layers]
        if list(plan) != names:
            raise InputError(f"plan: expected the layers {', '.join(names)}, received {', '.join(plan)}")
        if not self.is_mlp and (plan.inputs is not None or any(layer.exponents for _, layer in plan.items())):
            raise InputError("plan: rounded inputs and exponents are for Dense layers one behind the other only")
        if plan.inputs is not None and plan.inputs.exponents and len(plan.inputs.exponents) != self.inputs:
            raise InputError(f"plan: inputs: expected {self.inputs} exponents, received {len(plan.inputs.exponents)}")
        for layer in self.layers:
            precision, exponents = plan[layer.name].activation, plan[layer.name].exponents
            if exponents and (len(exponents) != layer.units or layer is self.layers[-1]):
                wanted = "no" if layer is self.layers[-1] else f"{layer.units}"
                raise InputError(f"plan: {layer.name}: expected {wanted} exponents, received {len(exponents)}")
            if layer.activation == "relu" and (precision is None or precision.signed):
                raise InputError(
                    f"plan: {layer.name}: a relu needs an unsigned activation such as quantized_relu(6,2), received {precision}"
                )
            if precision is None and layer is not self.layers[-1]:
                raise InputError(f"plan: {layer.name}: a hidden layer needs an activation such as quantized_bits(8,2)")
            if layer.activation == "linear" and precision is not None and not precision.signed:
                raise InputError(
                    f"plan: {layer.name}: a linear output needs a signed activation such as quantized_bits(16,5) or "
                    f"none, received {precision}"
                )

    def __str__(self) -> str:
        start = "×".join(map(str, self.shape)) if self.shape else str(self.inputs)
        return "-".join([start, *map(str, self.layers)])

    @property
    def table(self) -> Table:
        """Layer by layer: kind, kernel, weights, what follows, shape of the output."""
        rows = []
        for layer in self.layers:
            kernel, after = self.shapes[layer.name], [layer.activation] if layer.activation != "linear" else []
            after = [*(["BatchNormalization"] if layer.batchnorm else []), *([f"+ {layer.add}"] if layer.add else []), *after]
            rows.append((
                layer.name, f"Conv{len(layer.kernel)}D" if layer.kernel else "Dense", "×".join(map(str, kernel)),
                f"{math.prod(kernel):,}", ", ".join([*after, *([layer.pool] if layer.pool else [])]),
                "×".join(map(str, self.given[layer.name])),
            ))  # fmt: skip
        return Table.of(("layer", "kind", "kernel", "weights", "then", "output"), rows, str(self))

    def __repr__(self) -> str:
        return f"Architecture({self})"

    def _repr_html_(self) -> str:
        return self.table._repr_html_()

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form; the shape only where there is one."""
        found: dict[str, Any] = {"inputs": self.inputs, "layers": [layer.to_dict() for layer in self.layers]}
        return {**found, "shape": list(self.shape)} if self.shape else found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Architecture:
        """Read the plain form."""
        return cls(values["inputs"], tuple(map(Layer.from_dict, values["layers"])), tuple(values.get("shape", ())))
