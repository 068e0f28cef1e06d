"""Forward and backward pass of a quantized multilayer perceptron, written out: tensors are (lanes, units, events).

Written out, the straight-through gradients need no tape, and the events lie along the last axis, where the processor's
vectors run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from qap.backend import stack
from qap.models.architecture import Architecture
from qap.plan import Plan
from qap.training.population.quantizers import signed, unsigned, unsigned_gate

UNSIGNED, SIGNED = "unsigned", "signed"


class Grids(NamedTuple):
    """Rows of `quantizers.grid` that broadcast against values: (lanes, units or 1, 1, 5) tensors.

    Parameters
    ----------
    inputs : tensor
        Of the features, where the topology rounds them.
    layers : list of tensors
        Of the activations.
    """

    inputs: Any
    layers: list[Any]


@dataclass(frozen=True)
class Topology:
    """What of a candidate is fixed when a program is compiled.

    Parameters
    ----------
    architecture : Architecture
    activations : tuple of {'unsigned', 'signed', None}
        By layer: ``quantized_relu``, ``quantized_bits``, or none.
    rounded : bool, default False
        The inputs are quantized.
    """

    architecture: Architecture
    activations: tuple[str | None, ...]
    rounded: bool = False

    @classmethod
    def of(cls, architecture: Architecture, plan: Plan | None) -> Topology:
        """Return the topology of a plan; a float network (None) has that of a plan without quantized linear outputs."""
        if plan is None:
            return cls(architecture.folded, tuple(UNSIGNED if one.activation == "relu" else None for one in architecture.layers))
        found = []
        for _, layer in plan.items():
            activation = layer.activation
            found.append(None if activation is None else SIGNED if activation.signed else UNSIGNED)
        return cls(architecture.folded, tuple(found), plan.inputs is not None)


def forward(
    topology: Topology, kernels: list[Any], biases: list[Any], grids: Grids, x: Any
) -> tuple[list[Any], list[Any]]:
    """Run quantized weights on events.

    Parameters
    ----------
    topology : Topology
    kernels : list of (lanes, inputs, units) tensors, quantized
    biases : list of (lanes, units, 1) tensors, quantized
    grids : Grids
    x : (lanes, features, events) tensor

    Returns
    -------
    values : list of tensors
        The events as the first layer takes them, then every layer's output.
    sums : list of tensors
        Every layer's sum before its activation.
    """
    tf = stack().tf
    values, sums = [unsigned(x, grids.inputs) if topology.rounded else x], []
    for layer, kind in enumerate(topology.activations):
        total = tf.matmul(kernels[layer], values[-1], transpose_a=True) + biases[layer]
        sums.append(total)
        if kind == UNSIGNED:
            total = unsigned(total, grids.layers[layer])
        elif kind == SIGNED:
            total = signed(total, grids.layers[layer])
        values.append(total)
    return values, sums


def backward(
    topology: Topology, kernels: list[Any], grids: Grids, values: list[Any], sums: list[Any], gradient: Any
) -> tuple[list[Any], list[Any], list[Any]]:
    """Return the gradients of kernels and biases from that of the outputs, straight through the quantizers.

    Third come the gradients of what the layers are given.
    """
    tf = stack().tf
    of_kernels, of_biases, of_values = [], [], []
    for layer in reversed(range(len(kernels))):
        if topology.activations[layer] == UNSIGNED:
            gradient = tf.where(unsigned_gate(sums[layer], grids.layers[layer]), gradient, 0.0)
        of_kernels.append(tf.matmul(values[layer], gradient, transpose_b=True))
        of_biases.append(tf.reduce_sum(gradient, axis=2, keepdims=True))
        gradient = tf.matmul(kernels[layer], gradient)  # the compiler leaves out what nobody asks for
        of_values.append(gradient)
    return of_kernels[::-1], of_biases[::-1], of_values[::-1]
