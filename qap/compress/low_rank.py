"""Low-rank factorization: a Dense kernel as the product of two thinner ones, by singular values.

W ≈ (U √Σ)(√Σ Vᵀ), cut at the rank of the section `low_rank`, is the best approximation of that rank (Eckart and Young, 1936;
for networks Denton et al., arXiv:1404.0736). The first factor becomes a linear layer of its own; the outputs need training
afterwards, for example [low_rank, qat].
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.compress.method import Method, instant
from qap.compress.ptq import calibration_events
from qap.compress.ranges import best_integer, bias_precision
from qap.errors import InputError
from qap.models.builders import float_logits
from qap.models.layer import Layer
from qap.plan import LayerPlan, Plan
from qap.precision import Precision


def factors(kernel: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two float32 matrices (inputs, rank) and (rank, units) whose product is nearest to the kernel."""
    left, values, right = np.linalg.svd(kernel.astype(np.float64), full_matrices=False)
    root = np.sqrt(values[:rank])
    return (left[:, :rank] * root).astype(np.float32), (root[:, None] * right[:rank]).astype(np.float32)


def factorized(candidate: Candidate, context: Context) -> Candidate:
    """Return the candidate with each hidden layer's kernel factorized that gets smaller by it.

    The output layer stays: its rank bounds what the outputs can tell apart.

    Raises
    ------
    InputError
        No kernel gets smaller at this rank.
    """
    architecture, weights = candidate.architecture, dict(candidate.weights or {})
    architecture.require_mlp("low_rank")
    layers: list[Layer] = []
    last = architecture.layers[-1].name
    for layer in architecture.folded.layers:
        inputs, units = architecture.shapes[layer.name]
        rank = max(round(context.low_rank.rank * min(inputs, units)), 1)
        if layer.name != last and rank * (inputs + units) < inputs * units:
            first = f"{layer.name}_factor"
            weights[f"{first}/kernel"], weights[f"{layer.name}/kernel"] = factors(weights[f"{layer.name}/kernel"], rank)
            weights[f"{first}/bias"] = np.zeros(rank, np.float32)
            layers.append(Layer(first, rank, "linear"))
        layers.append(layer)
    if len(layers) == len(architecture.layers):
        raise InputError(
            f"low_rank.rank: no layer of {architecture} gets smaller at {context.low_rank.rank}: choose a smaller fraction"
        )
    smaller = replace(architecture, layers=tuple(layers))
    return candidate.with_(architecture=smaller, weights=weights, plan=_plan(candidate, smaller.layers, weights, context))


def _plan(candidate: Candidate, layers: tuple[Layer, ...], weights: dict[str, np.ndarray], context: Context) -> Plan:
    """Give a first factor the bits of its layer, and integer bits of its own."""
    outputs = float_logits(replace(candidate.architecture, layers=layers), weights, calibration_events(context))
    found: list[tuple[str, LayerPlan]] = []
    inputs = context.data.input
    widest = max((layer.activation.bits for _, layer in candidate.plan.items() if layer.activation), default=inputs.bits)
    for layer in layers:
        own = candidate.plan[layer.name.removesuffix("_factor")]
        kernel = weights[f"{layer.name}/kernel"]
        weight = own.weight
        if weight.kind == "fixed":
            weight = Precision(weight.bits, best_integer(kernel, weight.bits, True))
        activation = own.activation
        if layer.name not in candidate.plan:
            activation = Precision(widest, best_integer(outputs[layer.name], widest, True))
        bias = bias_precision(weights[f"{layer.name}/bias"], "auto", weight, inputs)
        found.append((layer.name, LayerPlan(weight, bias, activation, own.sparsity, own.granularity)))
        inputs = activation or inputs
    return Plan(tuple(found))


METHOD = Method(
    instant(factorized), "kernels as products of two thinner ones", trains=False, quantized=False, keeps_plan=False
)
