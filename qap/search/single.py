"""One training and one look at trained candidates, without a study: what a notebook needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from qap.candidate import Candidate
from qap.compress.parents import train_float
from qap.compress.pipeline import compress, outputs, parse_chain, quantizes
from qap.compress.qap import check
from qap.compress.teachers import Teachers
from qap.config.schema import Study as Config
from qap.cost.candidate_cost import candidate_cost
from qap.datasets.dataset import Dataset
from qap.errors import InputError, QapError
from qap.metrics.scores import Scores
from qap.models.architecture import Architecture
from qap.models.builders import Builder, Weights, build
from qap.models.scaling import scaled
from qap.plan import Plan
from qap.search.context import make_context
from qap.search.estimates import named_model
from qap.training.job import Engine, Failed, Job, Losses, Soft, Trained
from qap.training.population.engine import PopulationEngine, unsupported
from qap.training.population.exact import sums_are_exact

FEW = 4
"""From so many candidates on it pays to compile the population engine's program."""


class Training(NamedTuple):
    """What came out of a training.

    Parameters
    ----------
    candidate : Candidate
        With weights, its metrics on the validation split and its cost.
    history : tuple of Losses
        Mean losses of each epoch, of all trainings of the chain one behind the other.
    """

    candidate: Candidate
    history: tuple[Losses, ...]


@dataclass(eq=False)
class _Recorder:
    """An engine that keeps the losses of what it has trained."""

    engine: Engine
    name: str
    history: list[Losses] = field(default_factory=list)

    def train(self, jobs: Sequence[Job], data: Dataset) -> Iterator[Trained | Failed]:
        for result in self.engine.train(jobs, data):
            if isinstance(result, Trained):
                self.history.extend(result.history)
            yield result


def train(
    start: Plan | Candidate,
    config: Config,
    data: Dataset,
    *,
    folder: Path | None = None,
    engine: Engine | None = None,
    teacher: Soft | None = None,
    trust: bool = False,
) -> Training:
    """Train one plan by the methods of the study file (`compress`), ``train.epochs`` long, and count it.

    Nothing is written. `qap.run_study` with ``plans=[plan]`` makes the same with firmware, proof and report.

    Parameters
    ----------
    start : Plan or Candidate
        A candidate with weights starts from them; else a float network is trained first, ``train.parent_epochs`` long.
    config : Config
    data : Dataset
    folder : path, optional
        Where relative names in the configuration start.
    engine : Engine, optional
        Instead of the one that ``train.engine`` names: a population engine that is kept need not compile again.
    teacher : Soft, optional
        Soft targets of the methods with ``distill``, instead of those of the section `distill`.
    trust : bool, default False
        Load teachers from files even where these hold code.

    Returns
    -------
    Training
        ``candidate, history = qap.train(...)``.

    Raises
    ------
    InputError
        Plan, settings and data that do not fit together.
    QapError
        The loss was not finite.
    """
    chain, context = parse_chain(config.compress), make_context(config, data, folder)
    context = replace(context, engine=engine or context.engine)
    found: dict[tuple[str, int], Weights] = {}

    def float_weights(architecture: Architecture, number: int) -> Weights:
        key = architecture.id, number
        if key not in found:
            found[key] = train_float(architecture, context, number).weights
        return found[key]

    candidate = start if isinstance(start, Candidate) else Candidate(_architecture(config, data), start)
    candidate.architecture.check(candidate.plan)
    check(context, [layer.name for layer in candidate.architecture.layers])
    if candidate.weights is None:
        candidate = candidate.with_(weights=scaled(candidate.plan, float_weights(candidate.architecture, 0)))
    recorder = _Recorder(context.engine, context.engine.name)
    soft = Teachers(config.distill, config.model, data, float_weights, folder, trust) if teacher is None else lambda _: teacher
    result = next(compress([candidate], replace(context, engine=recorder, teacher=soft), chain))
    if isinstance(result, Failed):
        raise QapError(f"{candidate.id}: {result.reason}")
    if quantizes(chain):
        cost = candidate_cost(result, data.input, config.firmware, config.timing, named_model(config, folder))
        result = result.with_(cost=cost)
    return Training(result, tuple(recorder.history))


def _architecture(config: Config, data: Dataset) -> Architecture:
    return Architecture.of(config.model, len(data.feature_names), data.outputs)


def evaluate(
    candidates: Sequence[Candidate] | Candidate,
    data: Dataset,
    *,
    split: Literal["train", "validation", "test"] = "test",
    builder: Builder = build,
    engine: PopulationEngine | None = None,
) -> list[Scores]:
    """Run candidates on a split; the outputs are those of their QKeras models, bit for bit.

    Parameters
    ----------
    candidates : sequence of Candidate, or one
        With weights, as `qap.search_front` gives them.
    data : Dataset
    split : {'train', 'validation', 'test'}, default 'test'
        A search reads no test events: look at them when nothing is chosen any more.
    builder : Builder, optional
        The user's model function, where the study has one (``model.function``).
    engine : PopulationEngine, optional
        One that is kept need not compile again.

    Returns
    -------
    list of Scores
        ``scores.value()`` and ``scores.interval()`` of each: accuracy or RMSE; other metrics by name.

    Raises
    ------
    InputError
        A candidate without weights, or no such split.
    """
    if split not in ("train", "validation", "test"):
        raise InputError(f"split: expected train, validation or test, received {split!r}")
    some = [candidates] if isinstance(candidates, Candidate) else list(candidates)
    for one in some:
        if one.weights is None:
            raise InputError(f"{one.id}: has no weights: take candidates of qap.search_front, or study.candidate(id)")
    events = getattr(data, split)
    fast = [number for number, one in enumerate(some) if _covered(one, data, builder)]
    found: dict[int, np.ndarray] = {}
    if len(fast) >= FEW or engine is not None:
        engine = engine or PopulationEngine()
        for architecture in {some[number].architecture.id: some[number].architecture for number in fast}.values():
            group = [number for number in fast if some[number].architecture == architecture]
            logits = engine.evaluate(architecture, [some[n].plan for n in group], [some[n].weights or {} for n in group], events)
            found.update(zip(group, logits, strict=True))
    return [
        Scores(one.id, data.task, events, found[number] if number in found else outputs(one, events.x, builder=builder))
        for number, one in enumerate(some)
    ]


def _covered(candidate: Candidate, data: Dataset, builder: Builder) -> bool:
    """Tell whether the population engine gives the outputs of QKeras."""
    architecture, plan, weights = candidate.architecture, candidate.plan, candidate.weights or {}
    job = Job(architecture, plan, weights, 1, 1, 1.0, "constant", 0, builder=builder)
    return unsupported(job) is None and sums_are_exact(architecture, plan, weights, data.input)
