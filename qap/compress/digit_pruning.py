"""Digits of single weights, whole units and bits of single activations go at one price while the network is trained.

The plan's types are the grids that everything begins on, its sparsity the part of the traced EBOPs that goes, along the
schedule of the section `prune`. The result is a plain QKeras network (see `qap.models.circuit`) with a plan of its own:
exponents by unit, and a type for each layer that holds all its weights.
"""

from __future__ import annotations

import numpy as np

from qap.candidate import Candidate
from qap.compress.coarsen import reduced, tidied
from qap.compress.context import Context, candidate_seed
from qap.compress.method import Method, instant
from qap.errors import InputError
from qap.models.architecture import Architecture
from qap.models.circuit import Circuit, layout, plain, traced_ebops, widths_seen
from qap.plan import Plan
from qap.precision import Precision
from qap.training.job import Pruning, epoch_orders
from qap.training.population.circuits import Moments
from qap.training.population.engine import PopulationEngine, traced_events
from qap.training.population.tensors import learning_rates
from qap.training.schedules import schedule

PIECES = 40
"""Reductions along a training at most."""


def start(candidate: Candidate, inputs: Precision) -> Circuit:
    """Return the circuit on the grids of a candidate's plan.

    Parameters
    ----------
    candidate : Candidate
        With weights, its plan fixed point and without exponents.
    inputs : Precision
        Type of the data.

    Raises
    ------
    InputError
        A plan with other weights than fixed point, or an activation other than relu.
    """
    architecture, plan = candidate.architecture.folded, candidate.plan
    _check(architecture, plan)
    here, layers = layout(architecture), [layer for _, layer in plan.items()]
    kernels = [np.full(n * m, layer.weight.fractional) for (n, m), layer in zip(here.shapes, layers, strict=True)]
    biases = [np.full(units, layer.bias.fractional) for units, layer in zip(here.widths[1:], layers, strict=True)]
    steps = [inputs.fractional, *(layer.activation.fractional for layer in layers[:-1] if layer.activation)]
    packed = here.pack(candidate.weights or {}).astype(np.float32)
    by_unit = np.repeat(steps, here.widths[:-1])
    return Circuit(architecture, packed, np.concatenate(kernels + biases), np.ones(here.size, bool), by_unit)


def _check(architecture: Architecture, plan: Plan) -> None:
    architecture.require_mlp("digits")
    for layer in architecture.layers[:-1]:
        if layer.activation != "relu":
            raise InputError(f"digits: {layer.name}: expected the activation relu, received {layer.activation}")
    for name, part in plan.items():
        if part.weight.kind != "fixed":
            raise InputError(f"digits: {name}: expected a fixed-point weight, received {part.weight}")


def part_left(circuit: Circuit, largest: np.ndarray, plan: Plan) -> float:
    """Return the part of a circuit's traced EBOPs that the sparsities of a plan leave."""
    here = circuit.layout
    each = circuit.bits * widths_seen(circuit, largest)[here.source] * circuit.working
    by_layer = np.bincount(here.layer, each, len(here.shapes))
    left = np.array([1 - layer.sparsity for _, layer in plan.items()])
    return float((by_layer * left).sum() / max(by_layer.sum(), 1.0))


def without_digits(candidate: Candidate, context: Context) -> Candidate:
    """Return a candidate of which the plan's sparsity has gone in digits, with the plan that it then has.

    Parameters
    ----------
    candidate : Candidate
    context : Context
        Its teacher teaches; its steps are spent in up to `PIECES` pieces, after the reduction of each.

    Raises
    ------
    InputError
        See `start`; or nothing is left.
    """
    data, batch = context.data, context.train.batch
    engine = context.engine if isinstance(context.engine, PopulationEngine) else PopulationEngine()
    trainer = engine.trainer(data, None if context.teacher is None else context.teacher(candidate.architecture))
    circuit, traced, steps = start(candidate, data.input), traced_events(data), context.steps
    seen, moments = trainer.probe(circuit, traced), Moments.zeros(circuit.layout.size)
    first, left = traced_ebops(circuit, seen.largest), part_left(circuit, seen.largest, candidate.plan)
    prune = context.prune
    pruning = Pruning.from_fractions(prune.schedule, prune.begin, prune.end, 1, steps)
    rates = learning_rates(context.train.learning_rate, context.train.decay, 0, steps, steps)
    orders = epoch_orders(len(data.train), batch, candidate_seed(context.seed, candidate.id + "/digits"))
    piece = max(steps // PIECES, 1)
    for done in range(0, steps - piece + 1, piece):
        if done:
            gone = float(schedule(pruning, 1 - left, np.array([done]))[0])
            circuit = tidied(reduced(circuit, moments, seen, batch, first * (1 - gone)))
        order = np.concatenate([next(orders) for _ in range(-(-piece // context.epoch))])[:piece]
        circuit, moments, _ = trainer.epoch(circuit, moments, order, rates[done : done + piece])
        seen = trainer.probe(circuit, traced)
    circuit = tidied(reduced(circuit, moments, seen, batch, first * left))
    if not circuit.working.any():
        raise InputError("digits: nothing is left of the network: ask for a lower sparsity or train longer")
    plan, weights = plain(circuit, trainer.probe(circuit, traced).largest, data.input)
    return candidate.with_(plan=plan, weights=weights)


METHOD = Method(instant(without_digits), "signed digits of single weights go while training", keeps_plan=False, prunes=True)
