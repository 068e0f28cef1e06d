"""How much each layer suffers from coarser bits or from pruning, measured without training; sparsities that follow from it.

One tensor alone is quantized, or one kernel alone pruned by magnitude, all others stay as good as float, and the loss on
training events says what that costs. The first scan of this kind is that of Han et al., "Learning both weights and connections
for efficient neural networks", arXiv:1506.02626; summed as if layers did not see each other it is the objective of mixed
precision by integer programming (Hubara et al., "Improving post training neural quantization", arXiv:2006.10518).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.compress.masking import SCORED_EVENTS, cut_off, masked
from qap.compress.method import Method, instant
from qap.compress.ranges import holding_integer
from qap.datasets.dataset import Split
from qap.errors import InputError, QapError
from qap.granularity import groups, mask
from qap.metrics.calibration import nll
from qap.metrics.regression import rmse
from qap.models.architecture import Architecture
from qap.models.builders import Weights, float_logits, set_weights
from qap.plan import LayerPlan, Plan
from qap.precision import Precision
from qap.training.job import Job
from qap.training.keras_engine import logits
from qap.training.population.engine import PopulationEngine, unsupported

FINE_BITS = 20
"""Of the tensors that are left alone: every engine runs them, and their rounding is below that of what is asked for."""
LEVELS = (*np.linspace(0, 0.95, 20), 0.975, 1.0)
"""Sparsities at which pruning is measured, each moved to what the layer can have; in between the loss is a straight line."""
FIXED = ("N:M", "layer")
"""Granularities with one sparsity only."""
SCALE = 1000.0
"""Largest cost that the solver sees: its absolute tolerances then do not matter."""
Table = Mapping[str, Mapping[float, float]]
"""Layer → bits or sparsity → increase of the loss."""


@dataclass(frozen=True)
class Sensitivities:
    """What single layers cost.

    Parameters
    ----------
    reference : float
        Loss with nothing made coarser: cross entropy in nats, or mean squared error.
    weight, activation : mapping of layer → bits → increase of the loss
    sparsity : mapping of layer → sparsity → increase of the loss
        Increases may be slightly negative: rounding can help.
    """

    reference: float
    weight: Table = field(default_factory=dict)
    activation: Table = field(default_factory=dict)
    sparsity: Table = field(default_factory=dict)


def fine_plan(architecture: Architecture, weights: Weights, x: np.ndarray) -> Plan:
    """Return the plan of the reference: `FINE_BITS` everywhere, in ranges that hold the weights and what the events give."""
    outputs = float_logits(architecture, weights, x)
    layers = []
    for layer in architecture.layers:
        kernel, bias = (
            Precision(FINE_BITS, holding_integer(weights[f"{layer.name}/{part}"], FINE_BITS, True, 100.0))
            for part in ("kernel", "bias")
        )
        activation = None
        if layer is not architecture.layers[-1]:
            signed = layer.activation == "linear"
            activation = Precision(FINE_BITS, holding_integer(outputs[layer.name], FINE_BITS, signed, 100.0), signed)
        layers.append((layer.name, LayerPlan(kernel, bias, activation)))
    return Plan(tuple(layers))


def _with(plan: Plan, only: str, **changes: Any) -> Plan:
    """Return the plan with one layer's precisions changed."""
    return plan.map(lambda name, layer: replace(layer, **changes) if name == only else layer)


def _outputs(
    candidate: Candidate, context: Context, plans: Sequence[Plan], weights: Sequence[Weights], split: Split
) -> list[np.ndarray]:
    """Return the outputs of each plan with its weights, by QKeras where the population engine does not cover them."""
    architecture = candidate.architecture
    job = Job(architecture, plans[0], weights[0], 1, 1, 1.0, "constant", 0, builder=context.builder)
    if unsupported(job) is None:
        engine = context.engine if isinstance(context.engine, PopulationEngine) else PopulationEngine()
        return engine.evaluate(architecture, plans, weights, split)
    found, before, model = [], None, None
    for plan, values in zip(plans, weights, strict=True):
        if plan is not before:
            before, model = plan, context.builder(architecture, plan)
        set_weights(model, values)
        found.append(logits(model, split.x))
    return found


def _loss(context: Context, split: Split, outputs: np.ndarray) -> float:
    if context.data.task == "classification":
        return float(nll(split.y, outputs, split.weight, kind="logits"))
    return float(rmse(split.y, outputs, split.weight)) ** 2


def pruned_alone(candidate: Candidate, name: str, sparsity: float) -> Weights:
    """Return the candidate's weights with one layer pruned by magnitude at once."""
    granularity = candidate.plan[name].granularity
    kernel = (candidate.weights or {})[f"{name}/kernel"]
    masks = {name: mask(np.abs(kernel), sparsity, granularity, where=name)}
    return masked(candidate, cut_off(candidate, masks)).weights or {}


def sensitivities(
    candidate: Candidate,
    context: Context,
    *,
    weights: Mapping[str, Sequence[Precision]] | None = None,
    activations: Mapping[str, Sequence[Precision]] | None = None,
    sparsities: Mapping[str, Sequence[float]] | None = None,
) -> Sensitivities:
    """Measure what layers cost one by one, on the first training events; nothing is trained and nothing is random.

    Parameters
    ----------
    candidate : Candidate
        With trained weights; of its plan only the granularities count.
    context : Context
        Of its data only `SCORED_EVENTS` training events are read.
    weights, activations : mapping of layer to precisions, optional
        What a layer's kernel, or output, is quantized to.
    sparsities : mapping of layer to sparsities, optional
        What its kernel is pruned to; sparsities that its granularity can have.

    Raises
    ------
    InputError
        A sparsity that a layer cannot have, an output layer's activation, or a loss that is not finite.
    """
    split, start = context.data.train.head(SCORED_EVENTS), candidate.weights or {}
    fine = fine_plan(candidate.architecture, start, split.x)
    probes: list[tuple[str, str, float, Plan, Weights]] = []
    for name, grids in (weights or {}).items():
        probes += [("weight", name, grid.bits, _with(fine, name, weight=grid), start) for grid in grids]
    for name, grids in (activations or {}).items():
        if fine[name].activation is None:
            raise InputError(f"{name}: the output layer has no activation to quantize")
        probes += [("activation", name, grid.bits, _with(fine, name, activation=grid), start) for grid in grids]
    for name, levels in (sparsities or {}).items():
        probes += [("sparsity", name, level, fine, pruned_alone(candidate, name, level)) for level in levels]
    plans, values = [fine, *(probe[3] for probe in probes)], [start, *(probe[4] for probe in probes)]
    losses = [_loss(context, split, outputs) for outputs in _outputs(candidate, context, plans, values, split)]
    if not np.isfinite(losses).all():
        raise InputError(f"{candidate.id}: the loss on training events is {losses[0]}: sensitivities need a trained network")
    tables: dict[str, dict[str, dict[float, float]]] = {"weight": {}, "activation": {}, "sparsity": {}}
    for (kind, name, level, _, _), loss in zip(probes, losses[1:], strict=True):
        tables[kind].setdefault(name, {})[level] = loss - losses[0]
    return Sensitivities(losses[0], tables["weight"], tables["activation"], tables["sparsity"])


def reachable(candidate: Candidate, name: str) -> np.ndarray:
    """Return the numbers of weights that a layer's granularity can remove, rising from 0, one group left over."""
    kernel = np.asarray((candidate.weights or {})[f"{name}/kernel"])
    number = groups(kernel.shape, candidate.plan[name].granularity, where=name).ravel()
    order = np.argsort(np.bincount(number, weights=np.abs(kernel).ravel().astype(np.float64)), kind="stable")
    return np.concatenate([[0], np.cumsum(np.bincount(number)[order])])[:-1]


def _nearest(choices: np.ndarray, wanted: float) -> int:
    return int(choices[np.argmin(np.abs(choices - wanted))])


def redistribute(counts: Sequence[np.ndarray], losses: Sequence[np.ndarray], total: int) -> list[int]:
    """Return how many weights each layer gives, so that all give a total with the least sum of losses.

    The loss of a layer is a straight line between the counts at which it is known. Which piece of its line each layer lies
    on is an integer program (HiGHS); within the pieces those with the smallest slopes give first. So the result is the
    optimum over all integers.

    Parameters
    ----------
    counts : sequence of integer arrays
        By layer, rising from 0.
    losses : sequence of arrays
        At these counts.
    total : int

    Raises
    ------
    InputError
        More than all layers can give.
    """
    if not 0 <= total <= sum(int(one[-1]) for one in counts):
        raise InputError(f"sensitivity: {sum(int(one[-1]) for one in counts)} weights can go, {total} were asked for")
    pieces = [(layer, piece) for layer, one in enumerate(counts) for piece in range(max(len(one) - 1, 1))]
    lengths = np.array([counts[i][p + 1] - counts[i][p] if len(counts[i]) > 1 else 0 for i, p in pieces], float)
    rises = np.array([losses[i][p + 1] - losses[i][p] if len(counts[i]) > 1 else 0.0 for i, p in pieces])
    starts, levels = (np.array([float(values[i][p]) for i, p in pieces]) for values in (counts, losses))
    one_piece = np.array([[float(i == layer) for i, _ in pieces] for layer in range(len(counts))])
    size, zero = len(pieces), np.zeros_like(one_piece)
    scale = SCALE / max(float(np.abs(levels).max()), float(np.abs(rises).max()), 1e-300)
    found = milp(  # a piece is taken or not, then a part of it
        np.concatenate([levels, rises]) * scale,
        integrality=np.repeat([1, 0], size),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(np.hstack([one_piece, zero]), 1, 1),
            LinearConstraint(np.hstack([-np.eye(size), np.eye(size)]), -np.inf, 0),
            LinearConstraint(np.concatenate([starts, lengths])[None], total, total),
        ],
        options={"mip_rel_gap": 0.0},
    )
    if found.x is None:
        raise QapError(f"sensitivity: the integer program was not solved: {found.message}")
    chosen = [int(np.argmax(np.where(one_piece[layer] > 0, found.x[:size], -1))) for layer in range(len(counts))]
    given = [int(starts[piece]) for piece in chosen]
    left = total - sum(given)
    slopes = [rises[piece] / max(lengths[piece], 1.0) for piece in chosen]
    for layer in sorted(range(len(counts)), key=lambda layer: slopes[layer]):
        part = min(left, int(lengths[chosen[layer]]))
        given[layer] += part
        left -= part
    return given


def redistributed(candidate: Candidate, context: Context) -> Candidate:
    """Return the candidate with the sparsities of its plan moved to the layers that suffer less.

    As many weights go as before: exactly for single weights, to half a group for groups. Layers with N:M keep theirs.

    Raises
    ------
    InputError
        Fewer than two layers whose sparsity may change.
    """
    sizes = {name: int(np.prod(shape)) for name, shape in candidate.architecture.shapes.items()}
    names = [name for name, layer in candidate.plan.items() if layer.sparsity and layer.granularity.kind not in FIXED]
    if len(names) < 2:
        raise InputError(
            f"sensitivity: expected two layers or more to move sparsity between, received {', '.join(names) or 'none'} "
            "(N:M and layer have one sparsity only)"
        )
    choices = {name: reachable(candidate, name) for name in names}
    counts = {name: np.unique([_nearest(choices[name], level * sizes[name]) for level in LEVELS]) for name in names}
    table = sensitivities(
        candidate, context, sparsities={name: [count / sizes[name] for count in found] for name, found in counts.items()}
    ).sparsity
    total = sum(_nearest(choices[name], candidate.plan[name].sparsity * sizes[name]) for name in names)
    given = redistribute(list(counts.values()), [np.array(list(table[name].values())) for name in names], total)
    sparsities = {name: _nearest(choices[name], count) / sizes[name] for name, count in zip(names, given, strict=True)}
    plan = candidate.plan.map(lambda name, layer: replace(layer, sparsity=sparsities.get(name, layer.sparsity)))
    return candidate.with_(plan=plan)


METHOD = Method(
    instant(redistributed), "move sparsity to the layers that suffer less, without training", trains=False,
    quantized=False, keeps_plan=False,
)  # fmt: skip
