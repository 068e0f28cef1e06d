"""Masks outside TF-MOT's schedules: by any granularity and criterion, at once or in rounds, fixed in between."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.compress.criteria import scores
from qap.compress.method import Steps
from qap.compress.shrink import shrink_weights
from qap.granularity import WEIGHT, kept_units, mask, mask_sparsity
from qap.models.builders import set_weights
from qap.plan import LayerPlan
from qap.training.job import Pruning, Trained
from qap.training.schedules import schedule

Masks = dict[str, np.ndarray]
SCORED_EVENTS = 4096
"""Training events behind the criteria that look at data."""


SMALLEST = 1e-300


def zeros_kept(candidate: Candidate) -> Masks:
    """Return masks that keep the zeros of a candidate's kernels zero, for the kernels that have any."""
    found = {name: np.asarray((candidate.weights or {})[f"{name}/kernel"]) != 0 for name in candidate.architecture.shapes}
    return {name: kept for name, kept in found.items() if not kept.all()}


def masked(candidate: Candidate, masks: Mapping[str, np.ndarray]) -> Candidate:
    """Return the candidate with the weights zero that the masks remove."""
    weights = dict(candidate.weights or {})
    for name, kept in masks.items():
        weights[f"{name}/kernel"] = (weights[f"{name}/kernel"] * kept).astype(np.float32)
    return candidate.with_(weights=weights)


def cut_off(candidate: Candidate, masks: Masks) -> Masks:
    """Return the masks with what leads on from removed units removed too: a unit that goes must not speak by its bias."""
    found, names = dict(masks), list(candidate.plan)
    for name, following in itertools.pairwise(names):
        if name in masks and candidate.plan[name].granularity.structured:
            candidate.architecture.require_mlp("pruning whole units")
            rows = kept_units(masks[name])[:, None]
            found[following] = found.get(following, np.ones(candidate.architecture.shapes[following], bool)) & rows
    return found


def _importance(candidate: Candidate, context: Context, quantized: bool) -> dict[str, np.ndarray]:
    weights = candidate.weights or {}
    if context.prune.criterion == "magnitude":
        return {name: np.abs(weights[f"{name}/kernel"]) for name in candidate.plan}
    architecture = candidate.architecture if quantized else candidate.architecture.folded
    model = context.builder(architecture, candidate.plan if quantized else None)
    set_weights(model, weights)
    return scores(model, context.data.train.head(SCORED_EVENTS), context.prune.criterion, task=context.data.task)


def choose(candidate: Candidate, context: Context, level: float = 1.0, *, quantized: bool = True) -> Masks:
    """Return the masks of the layers that the plan prunes.

    Parameters
    ----------
    candidate : Candidate
        With the weights to score; what is zero already goes first.
    context : Context
        Criterion, and data for those that need it.
    level : float, default 1.0
        Part of each layer's sparsity: 1 gives exactly the request, or refuses.
    quantized : bool
        Score the quantized network, else the float one.

    Raises
    ------
    InputError
        A granularity that does not fit a layer or cannot give its sparsity.
    """
    importance = _importance(candidate, context, quantized)
    for name, values in importance.items():  # of weights that score nothing, those go first that are gone
        importance[name] = np.where((candidate.weights or {})[f"{name}/kernel"] == 0, -SMALLEST, values)
    found = {}
    for name, layer in candidate.plan.items():
        if layer.sparsity:
            exact = level >= 1.0
            found[name] = mask(importance[name], layer.sparsity * level, layer.granularity, where=name, exact=exact)
    return found


def shrunk(candidate: Candidate) -> Candidate:
    """Return the candidate without the units that its structured granularities have removed: a smaller network.

    Its outputs are those of the masked one.
    """
    weights = candidate.weights or {}
    names = [name for name, layer in candidate.plan.items() if layer.sparsity and layer.granularity.structured]
    if not names:
        return candidate
    keep = {name: kept_units(weights[f"{name}/kernel"] != 0) for name in names}
    architecture, smaller = shrink_weights(candidate.architecture, weights, keep)

    def left(name: str, layer: LayerPlan) -> LayerPlan:
        if name in names or not layer.sparsity:
            return replace(layer, sparsity=0.0, granularity=WEIGHT)
        return replace(layer, sparsity=mask_sparsity(smaller[f"{name}/kernel"] != 0))

    return candidate.with_(architecture=architecture, plan=candidate.plan.map(left), weights=smaller)


def in_rounds(
    candidate: Candidate, context: Context, levels: Sequence[float], ends: Sequence[int], *, quantized: bool, one_decay: bool
) -> Steps:
    """Prune to a level, train, prune on, train on.

    Parameters
    ----------
    candidate : Candidate
    context : Context
    levels : sequence of float
        Part of the sparsity before each piece of training; the last one is 1.
    ends : sequence of int
        Step at which each piece ends, rising.
    quantized : bool
        Train the quantized network, else the float one.
    one_decay : bool
        The learning rate falls once over all pieces, else over each of them.
    """
    choose(candidate, context, quantized=quantized)  # refuses before anything is trained
    start, total = 0, ends[-1]
    for number, (level, end) in enumerate(zip(levels, ends, strict=True)):
        if end > start:
            masks = cut_off(candidate, choose(candidate, context, level, quantized=quantized)) if level else {}
            candidate = masked(candidate, masks)
            window = (start, total) if one_decay else None
            result: Trained = yield context.job(
                candidate, steps=end - start, part=f"/{number}", masks=masks, quantized=quantized, window=window
            )
            candidate, start = masked(candidate.with_(weights=result.weights), masks), end
    return shrunk(candidate)


def by_schedule(candidate: Candidate, context: Context, *, quantized: bool) -> Steps:
    """Prune along the schedule of the study with masks renewed `prune.rounds` times between its begin and its end.

    Layers share the schedule of the section `prune`: their own ones are TF-MOT's business.
    """
    section, steps = context.prune, context.steps
    renewals = np.linspace(section.begin, section.end, section.rounds + 1) if section.rounds > 1 else np.array([section.begin])
    rise = Pruning(section.schedule, 0, max(len(renewals) - 1, 1), 1)
    levels = [float(level) for level in schedule(rise, 1.0, np.arange(len(renewals)))]
    levels[-1] = 1.0
    first = [0.0] if section.begin else []
    starts = [round(part * steps) for part in renewals]
    if starts[-1] >= steps:  # the last renewal needs steps after it, as TF-MOT's has
        starts[-1] = max(steps - context.epoch // 4 - 1, 0)
    return (yield from in_rounds(
        candidate, context, [*first, *levels], [*(starts if first else starts[1:]), steps], quantized=quantized, one_decay=True
    ))  # fmt: skip


def tfmot_prunes(candidate: Candidate, context: Context) -> bool:
    """Tell whether TF-MOT's own rule covers the pruning: magnitudes of single weights."""
    return context.prune.criterion == "magnitude" and all(
        layer.granularity == WEIGHT for _, layer in candidate.plan.items() if layer.sparsity
    )
