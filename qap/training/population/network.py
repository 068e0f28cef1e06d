"""Forward and backward pass of a quantized multilayer perceptron, written out: tensors are (lanes, units, events).

Written out, the straight-through gradients need no tape, and the events lie along the last axis, where the processor's
vectors run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qap.backend import stack
from qap.models.architecture import Architecture
from qap.plan import Plan
from qap.training.population.quantizers import signed, unsigned, unsigned_gate

UNSIGNED, SIGNED = "unsigned", "signed"


@dataclass(frozen=True)
class Topology:
    """What of a candidate is fixed when a program is compiled.

    Parameters
    ----------
    architecture : Architecture
    activations : tuple of {'unsigned', 'signed', None}
        By layer: ``quantized_relu``, ``quantized_bits``, or none.
    """

    architecture: Architecture
    activations: tuple[str | None, ...]

    @classmethod
    def of(cls, architecture: Architecture, plan: Plan | None) -> Topology:
        """Return the topology of a plan; a float network (None) has that of a plan without quantized linear outputs."""
        if plan is None:
            return cls(architecture.folded, tuple(UNSIGNED if one.activation == "relu" else None for one in architecture.layers))
        found = []
        for _, layer in plan.items():
            activation = layer.activation
            found.append(None if activation is None else SIGNED if activation.signed else UNSIGNED)
        return cls(architecture.folded, tuple(found))


def forward(topology: Topology, kernels: list[Any], biases: list[Any], grids: Any, x: Any) -> tuple[list[Any], list[Any]]:
    """Run quantized weights on events.

    Parameters
    ----------
    topology : Topology
    kernels : list of (lanes, inputs, units) tensors, quantized
    biases : list of (lanes, units, 1) tensors, quantized
    grids : (lanes, layers, 5) tensor
        Of the activations.
    x : (lanes, features, events) tensor

    Returns
    -------
    values : list of tensors
        The events, then every layer's output.
    sums : list of tensors
        Every layer's sum before its activation.
    """
    tf = stack().tf
    values, sums = [x], []
    for layer, kind in enumerate(topology.activations):
        total = tf.matmul(kernels[layer], values[-1], transpose_a=True) + biases[layer]
        sums.append(total)
        if kind == UNSIGNED:
            total = unsigned(total, grids[:, layer, None, None])
        elif kind == SIGNED:
            total = signed(total, grids[:, layer, None, None])
        values.append(total)
    return values, sums


def backward(
    topology: Topology, kernels: list[Any], grids: Any, values: list[Any], sums: list[Any], gradient: Any
) -> tuple[list[Any], list[Any]]:
    """Return the gradients of kernels and biases from the gradient of the outputs, straight through the quantizers."""
    tf = stack().tf
    of_kernels, of_biases = [], []
    for layer in reversed(range(len(kernels))):
        if topology.activations[layer] == UNSIGNED:
            gradient = tf.where(unsigned_gate(sums[layer], grids[:, layer, None, None]), gradient, 0.0)
        of_kernels.append(tf.matmul(values[layer], gradient, transpose_b=True))
        of_biases.append(tf.reduce_sum(gradient, axis=2, keepdims=True))
        if layer:
            gradient = tf.matmul(kernels[layer], gradient)
    return of_kernels[::-1], of_biases[::-1]
