"""Bits by integer programming: what layers suffer one by one, summed, against what their multiplications cost.

The cost is EBOPs by declared bits: every layer with N weights of which the fraction 1 − s stays counts
N·(1 − s)·b(w)·b(x), b the bits without the sign, x the layer's input, s the plan's sparsity. The digits of actual weights
are no more than their declared bits, so the counted EBOPs of the compressed network stay below it, as long as its masks have
the plan's sparsities. Bits of weights and inputs are chosen jointly, so that the product is linear in the choice. After
Yao et al., "HAWQ-V3: dyadic neural network quantization", arXiv:2011.10680.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.compress.method import Method, instant
from qap.compress.ptq import calibration_events, fitted, quantized
from qap.compress.sensitivity import SCALE, Sensitivities, sensitivities
from qap.errors import InputError, QapError
from qap.models.architecture import Architecture
from qap.models.builders import float_logits
from qap.plan import LayerPlan, Plan
from qap.precision import Precision

BITS = range(2, 9)
"""Choices of the method, and what the plan has itself."""


@dataclass(frozen=True)
class Option:
    """What one layer may choose.

    Parameters
    ----------
    values : mapping of setting → value
        Layers that name the same setting must choose the same value.
    loss : float
        Increase of the loss.
    cost : int
        EBOPs by declared bits.
    """

    values: Mapping[str, int | float]
    loss: float
    cost: int


def magnitude_bits(precision: Precision) -> int:
    """Return the bits of a precision, sign left out (at least 1)."""
    return max(precision.bits - precision.sign_bits, 1)


def kept_products(architecture: Architecture, name: str, sparsity: float) -> int:
    """Return how many multiplications of a layer stay: one for each weight and position."""
    size = int(np.prod(architecture.shapes[name]))
    return max(round(size * (1 - sparsity)), 1) * architecture.positions[name]


def declared_ebops(architecture: Architecture, plan: Plan, inputs: Precision) -> int:
    """Return the EBOPs of a plan by its declared bits and sparsities; `inputs` is the type of the network's inputs."""
    total = 0
    for name, layer in plan.items():
        total += kept_products(architecture, name, layer.sparsity) * magnitude_bits(layer.weight) * magnitude_bits(inputs)
        inputs = layer.activation or inputs
    return total


def least(options: Sequence[Sequence[Option]], most: int) -> dict[str, int | float] | None:
    """Choose one option for each layer: the least sum of losses whose costs add up to no more than a budget (HiGHS).

    Parameters
    ----------
    options : sequence of sequence of Option
        By layer.
    most : int
        The budget.

    Returns
    -------
    dict or None
        Settings with their values; None where nothing is that cheap.
    """
    flat = [(layer, option) for layer, some in enumerate(options) for option in some]
    losses = np.array([option.loss for _, option in flat])
    rows = [np.array([float(i == layer) for i, _ in flat]) for layer in range(len(options))]
    constraints = [
        LinearConstraint(np.array(rows), 1, 1),
        LinearConstraint(np.array([[float(option.cost) for _, option in flat]]), -np.inf, most),
    ]
    if (ties := _ties(flat)) is not None:
        constraints.append(LinearConstraint(ties, 0, 0))
    found = milp(
        losses * (SCALE / max(float(np.abs(losses).max()), 1e-300)), integrality=np.ones(len(flat)), bounds=Bounds(0, 1),
        constraints=constraints, options={"mip_rel_gap": 0.0},
    )  # fmt: skip
    if found.status == 2:
        return None
    if found.x is None:
        raise QapError(f"allocate: the integer program was not solved: {found.message}")
    chosen: dict[str, int | float] = {}
    for row in rows:
        chosen.update(flat[int(np.argmax(np.where(row > 0, found.x, -1)))][1].values)
    return chosen


def _ties(flat: Sequence[tuple[int, Option]]) -> np.ndarray | None:
    """Return the equations that hold a setting of several layers to one value."""
    layers: dict[str, list[int]] = {}
    for layer, option in flat:
        for name in option.values:
            if layer not in layers.setdefault(name, []):
                layers[name].append(layer)
    rows = []
    for name, members in layers.items():
        for first, other in itertools.pairwise(members):
            for value in dict.fromkeys(option.values[name] for layer, option in flat if layer in (first, other)):
                same = [option.values.get(name) == value for _, option in flat]
                sign = [(layer == first) - (layer == other) for layer, _ in flat]
                rows.append(np.array(same, float) * np.array(sign, float))
    return np.array(rows) if rows else None


def layer_options(
    architecture: Architecture,
    table: Sensitivities,
    precisions: Mapping[str, Mapping[int, Precision]],
    kept: Mapping[str, int],
    inputs: Precision,
    setting: Mapping[tuple[str, str], str],
) -> list[list[Option]]:
    """Return the joint choices of each layer's weights and inputs.

    Parameters
    ----------
    architecture : Architecture
    table : Sensitivities
        Of weights and activations, by bits.
    precisions : mapping of layer → bits → Precision
        Of the activations.
    kept : mapping of layer → multiplications that stay
    inputs : Precision
        Type of the network's inputs; it is not chosen.
    setting : mapping of (layer, 'weight_bits' or 'activation_bits') → name
    """
    found, before = [], ""
    for layer in architecture.layers:
        name, some = layer.name, []
        entries: list[tuple[dict[str, int | float], float, Precision]] = [({}, 0.0, inputs)]
        if before:
            of = setting[before, "activation_bits"]
            entries = [({of: int(b)}, loss, precisions[before][int(b)]) for b, loss in table.activation[before].items()]
        for (bits, loss), (values, more, x) in itertools.product(table.weight[name].items(), entries):
            weight = magnitude_bits(Precision(int(bits)))
            chosen = {setting[name, "weight_bits"]: int(bits), **values}
            some.append(Option(chosen, loss + more, kept[name] * weight * magnitude_bits(x)))
        found.append(some)
        before = name
    return found


def _fixed(plan: Plan) -> None:
    for name, layer in plan.items():
        for precision in (layer.weight, layer.activation):
            if precision is not None and precision.kind != "fixed":
                raise InputError(
                    f"allocate: {name}: {precision} has no bits to choose; use fixed point, such as quantized_bits(6,0)"
                )


def allocated(candidate: Candidate, context: Context) -> Candidate:
    """Return the candidate with bits by layer that sum up to the least suffering, at no more EBOPs than its plan has.

    The integer bits, and the biases' grids, are fitted as post-training quantization does it.

    Raises
    ------
    InputError
        A plan that is not all fixed point.
    """
    plan, architecture, weights = candidate.plan, candidate.architecture, candidate.weights or {}
    _fixed(plan)
    outputs = float_logits(architecture, weights, calibration_events(context))
    kernels: dict[str, list[Precision]] = {}
    activations: dict[str, dict[int, Precision]] = {}
    for name, layer in plan.items():
        bits = sorted({*BITS, layer.weight.bits})
        kernels[name] = [fitted(weights[f"{name}/kernel"], Precision(b), context) for b in bits]
        if layer.activation is not None and name != architecture.layers[-1].name:
            signed, bits = layer.activation.signed, sorted({*BITS, layer.activation.bits})
            activations[name] = {b: fitted(outputs[name], Precision(b, 0, signed), context) for b in bits}
    table = sensitivities(
        candidate, context, weights=kernels, activations={name: list(some.values()) for name, some in activations.items()}
    )
    inputs = context.data.input
    kept = {name: kept_products(architecture, name, layer.sparsity) for name, layer in plan.items()}
    setting = {(name, kind): f"{name}.{kind}" for name in plan for kind in ("weight_bits", "activation_bits")}
    options = layer_options(architecture, table, activations, kept, inputs, setting)
    chosen = least(options, declared_ebops(architecture, plan, inputs))
    if chosen is None:
        raise QapError("allocate: the integer program found nothing within the plan's own EBOPs")

    def with_bits(name: str, layer: LayerPlan) -> LayerPlan:
        weight = Precision(int(chosen[f"{name}.weight_bits"]))
        activation = layer.activation
        if name in activations and activation is not None:
            activation = Precision(int(chosen[f"{name}.activation_bits"]), 0, activation.signed)
        return replace(layer, weight=weight, activation=activation)

    return quantized(candidate.with_(plan=plan.map(with_bits)), context)


METHOD = Method(
    instant(allocated), "bits by layer from an integer program over what each layer suffers", trains=False, keeps_plan=False
)
