"""Quantization-aware pruning: TF-MOT's masks renewed in the same training pass that quantizes.

The layers are QKeras's, wrapped in TF-MOT's ``prune_low_magnitude``; the training starts from the float parent. After
Hawks et al., "Ps and Qs: Quantization-aware pruning for efficient low latency neural network inference", Front. Artif.
Intell. 4 (2021) 676564, arXiv:2102.11289.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from qap.candidate import Candidate
from qap.config.schema import Prune, Train
from qap.datasets.dataset import Dataset
from qap.errors import InputError, suggestion
from qap.metrics.evaluate import ALL, Metrics, evaluate
from qap.models.builders import Builder, build
from qap.training.job import Engine, Failed, Job, Pruning, Trained, steps_per_epoch

FEWEST_STEPS = 8
"""Of a budget in parts of epochs: on few events a schedule still needs steps to act in."""


@dataclass(frozen=True, eq=False)
class Context:
    """What a compression method works with.

    Parameters
    ----------
    data : Dataset
    engine : Engine
    train : Train
        Budget and optimiser (section `train` of the study file).
    prune : Prune
        Schedules (section `prune`).
    seed : int
        Seed of the study; every candidate derives its own from it.
    builder : Builder
    epochs : float, optional
        Budget of a candidate, parts of an epoch too (None: ``train.epochs``).
    metrics : Metrics, optional
        Computed for every candidate on the validation split (default: all).
    """

    data: Dataset
    engine: Engine
    train: Train
    prune: Prune
    seed: int
    builder: Builder = build
    epochs: float | None = None
    metrics: Metrics = ALL

    @property
    def steps(self) -> int:
        """Training steps of a candidate."""
        epoch = steps_per_epoch(len(self.data.train), self.train.batch)
        return self.train.epochs * epoch if self.epochs is None else max(round(self.epochs * epoch), FEWEST_STEPS)


def candidate_seed(study_seed: int, candidate_id: str) -> int:
    """Return a seed that depends only on the study's seed and the candidate: the order of trials does not matter."""
    return int.from_bytes(hashlib.sha256(f"{study_seed}/{candidate_id}".encode()).digest()[:4], "big")


def _pruning(name: str, context: Context) -> Pruning:
    section = context.prune.layers.get(name, context.prune)
    return Pruning.from_fractions(section.schedule, section.begin, section.end, section.frequency, context.steps)


def check(context: Context, layers: Sequence[str]) -> None:
    """Refuse a budget or a schedule that cannot be kept, before anything is trained.

    Parameters
    ----------
    context : Context
    layers : sequence of str
        Every layer that an architecture of the study may have.

    Raises
    ------
    InputError
        ``prune.layers`` names a layer that does not exist, no step lies between begin and end, or a batch is larger than
        the training split.
    """
    for name in context.prune.layers:
        if name not in layers:
            raise InputError(f"prune.layers: no layer {name!r}{suggestion(name, layers)}")
    for name in layers:
        _pruning(name, context)


def schedules(candidate: Candidate, context: Context) -> dict[str, Pruning]:
    """Return the pruning schedule of each layer that the plan prunes."""
    return {name: _pruning(name, context) for name, layer in candidate.plan.items() if layer.sparsity}


def job(candidate: Candidate, context: Context) -> Job:
    """Return the training that quantization-aware pruning of a candidate is; its weights are the start."""
    train, steps = context.train, context.steps
    return Job(
        candidate.architecture,
        candidate.plan,
        candidate.weights,
        math.ceil(steps / steps_per_epoch(len(context.data.train), train.batch)),
        train.batch,
        train.learning_rate,
        train.decay,
        candidate_seed(context.seed, candidate.id),
        schedules(candidate, context),
        context.builder,
        steps,
    )


def trained(candidate: Candidate, context: Context, result: Trained) -> Candidate:
    """Return the candidate with its trained weights and its metrics on the validation split."""
    metrics = evaluate(context.data.task, context.data.validation, result.validation, context.metrics)
    named = {f"{name}_validation": value for name, value in metrics.items()}
    return candidate.with_(weights=result.weights, metrics={**candidate.metrics, **named, "loss_train": result.loss})


def compress(candidates: Iterable[Candidate], context: Context) -> Iterator[Candidate | Failed]:
    """Train candidates by quantization-aware pruning.

    Parameters
    ----------
    candidates : iterable of Candidate
        With start weights (the float parent's, BatchNormalization folded).
    context : Context

    Yields
    ------
    Candidate or Failed
        Trained, in the same order, with the context's metrics on the validation split (``accuracy_validation`` or
        ``rmse_validation`` at least); failed where the loss was not finite.
    """
    batch = list(candidates)
    results = context.engine.train([job(candidate, context) for candidate in batch], context.data)
    for candidate, result in zip(batch, results, strict=True):
        yield result if isinstance(result, Failed) else trained(candidate, context, result)
