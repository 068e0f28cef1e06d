"""Architecture: the float topology of a network, its layers and their widths, no precision."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from qap.errors import InputError
from qap.plan import Plan

ACTIVATIONS = ("relu", "linear")
OUTPUT = "output"


@dataclass(frozen=True, slots=True)
class Layer:
    """A Dense layer with what follows it: BatchNormalization (folded before quantization), then an activation.

    Parameters
    ----------
    name : str
    units : int
    activation : {'relu', 'linear'}
    batchnorm : bool
    """

    name: str
    units: int
    activation: str = "relu"
    batchnorm: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.units, bool) or not isinstance(self.units, int) or self.units < 1:
            raise InputError(f"{self.name}: expected a number of units from 1, received {self.units!r}")
        if self.activation not in ACTIVATIONS:
            raise InputError(f"{self.name}: expected an activation of {', '.join(ACTIVATIONS)}, received {self.activation!r}")


@dataclass(frozen=True, slots=True)
class Architecture:
    """A multilayer perceptron.

    Parameters
    ----------
    inputs : int
        Number of features.
    layers : tuple of Layer
        From the first hidden layer to the output layer.
    """

    inputs: int
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if self.inputs < 1 or not self.layers:
            raise InputError(f"architecture: expected inputs and layers, received {self.inputs} and {len(self.layers)}")
        names = [layer.name for layer in self.layers]
        if len(set(names)) != len(names):
            raise InputError(f"architecture: expected distinct layer names, received {names}")

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

    @property
    def outputs(self) -> int:
        """Units of the last layer."""
        return self.layers[-1].units

    @property
    def folded(self) -> Architecture:
        """The same without BatchNormalization: what the weights describe once it is folded into them."""
        return replace(self, layers=tuple(replace(layer, batchnorm=False) for layer in self.layers))

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Kernel shape (inputs, units) by layer name."""
        widths = [self.inputs, *(layer.units for layer in self.layers)]
        return {layer.name: (widths[i], widths[i + 1]) for i, layer in enumerate(self.layers)}

    @property
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
        return "-".join(str(width) for width in (self.inputs, *(layer.units for layer in self.layers)))

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form."""
        return {"inputs": self.inputs, "layers": [asdict(layer) for layer in self.layers]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Architecture:
        """Read the plain form."""
        return cls(values["inputs"], tuple(Layer(**layer) for layer in values["layers"]))
