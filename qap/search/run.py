"""The search: plan → compress → cost, again and again, every result on disk before the next begins."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.compress.pipeline import Chain, parse_chain, quantizes
from qap.compress.qap import check
from qap.compress.teachers import Teachers
from qap.config.schema import Study as Config
from qap.datasets.dataset import Dataset
from qap.datasets.hold_back import hold_back
from qap.datasets.load import load_dataset
from qap.errors import InputError, QapError
from qap.models.architecture import OUTPUT
from qap.models.builders import builder_of
from qap.plan import Plan
from qap.precision import Precision
from qap.search.allocation import measured
from qap.search.estimates import cost_model, keep_reports
from qap.search.front import Front
from qap.search.hybrid import REPEATS, evolve
from qap.search.objectives import check_objectives, front, limits, nothing_left, wanted_metrics
from qap.search.ramp import check as check_ramp
from qap.search.ramp import descend
from qap.search.searcher import Progress, Searcher, Watch
from qap.search.space import PlanSpace, Point
from qap.search.strategies import OptunaStrategy, Strategy, make_strategy
from qap.search.study import Study, better
from qap.training.job import Engine
from qap.training.keras_engine import KerasEngine
from qap.training.population.engine import PopulationEngine

FINAL = 1000
"""Rung of the last training, above all others."""


def _ignore(progress: Progress) -> None:
    """Watch nothing."""


def digest(data: Dataset) -> str:
    """Return the SHA-256 of the events, in all three splits."""
    total = hashlib.sha256()
    for split in (data.train, data.validation, data.test):
        for array in (split.x, split.y, split.weight):
            total.update(array.tobytes())
    return total.hexdigest()


def _first(searcher: Searcher, plans: Sequence[Plan]) -> None:
    """Train the user's own plans."""
    searcher.evaluate(searcher.from_plan(searcher.space.largest, plan) for plan in plans)


def _loop(searcher: Searcher, strategy: Strategy, batch: int) -> None:
    """Ask, train, tell."""
    repeats = 0
    while not searcher.exhausted and repeats < REPEATS:
        points = strategy.ask(min(batch, searcher.left or batch))
        if not points:
            return
        before = len(searcher.seen)
        records = searcher.evaluate(searcher.from_point(point) for point in points)
        strategy.tell([searcher.told(record) for record in records])
        repeats = 0 if len(searcher.seen) > before else repeats + len(points)


def _finish(searcher: Searcher) -> None:
    """Train the front once more by the keras engine, where that is asked for."""
    search = searcher.config.search
    if search.final_epochs:
        members = front(list(searcher.best.values()), search.objectives, limits(searcher.config))
        starts = [one.with_(weights=searcher.study.weights(one)) for one in members]
        searcher.evaluate(starts, epochs=search.final_epochs, rung=FINAL, engine=KerasEngine())


def make_context(
    config: Config, data: Dataset, folder: Path | None = None, say: Callable[[str], None] = lambda message: None
) -> Context:
    """Return what the compression methods of a study work with; `say` is told what the engine hands over to another."""
    builder = builder_of(config.model.function, folder)
    engine: Engine = PopulationEngine(say=say) if config.train.engine == "population" else KerasEngine()
    metrics = wanted_metrics(config, data.class_names or ())
    return Context(
        data, engine, config.train, config.prune, config.seed, builder, metrics=metrics,
        ptq=config.ptq, low_rank=config.low_rank, cluster=config.cluster,
    )  # fmt: skip


def search_chain(config: Config) -> Chain:
    """Return the methods that a search sends every plan through.

    Raises
    ------
    InputError
        A chain that ends in a float network, or changes the plan that the search has chosen.
    """
    chain = parse_chain(config.compress)
    if not quantizes(chain):
        raise InputError(f"compress: {config.compress} ends in a float network; a search needs a quantized one: add qat or qap")
    for link in chain:
        if not link.method.keeps_plan:
            raise InputError(f"compress: {link.name} changes the plan that a search has chosen; use it in qap compare")
    return chain


def run_search(
    config: Config,
    output: Path | str,
    *,
    resume: bool = False,
    folder: Path | None = None,
    sampler: Any = None,
    plans: Sequence[Plan] = (),
    points: Sequence[Point] = (),
    watch: Watch = _ignore,
    data: Dataset | None = None,
) -> Study:
    """Search plans until the budget is used up.

    Parameters
    ----------
    config : Config
        The study file, from `qap.load_config`.
    output : path
        Directory of the study.
    resume : bool, default False
        Go on with the study in `output`: what is trained is not trained again, and the result is that of a search that was
        never stopped.
    folder : path, optional
        Where relative names in the configuration start (the study file's folder).
    sampler : optuna.samplers.BaseSampler, optional
        Takes the place of ``search.strategy``. For a reproducible search give it a seed.
    plans : sequence of Plan, optional
        Trained first, on the architecture of the section `model`; they need not lie in the search space and the sampler does not
        learn from them.
    points : sequence of mapping, optional
        Choices by knob (as in Optuna's ``enqueue_trial``) that the sampler proposes first.
    watch : callable, optional
        Called with a `Progress` whenever something has happened.
    data : Dataset, optional
        Instead of loading ``config.data``.

    Returns
    -------
    Study
        With every candidate stored; `search_front` reads its front.

    Raises
    ------
    InputError
        A configuration, data or plans that do not fit together.
    KeyboardInterrupt
        Ctrl-C; what is trained is stored.
    """
    chain = search_chain(config)
    data = data or load_dataset(config.data, folder)
    check_objectives(config, data.task)
    space = PlanSpace(
        config.search.space,
        config.model,
        len(data.feature_names),
        data.outputs,
        Precision(data.input.bits, data.input.integer),
    )
    searched, _ = hold_back(data, config.search.holdback, config.seed)
    context = make_context(config, searched, folder, say=lambda message: study.log(message))
    fine_tune = config.search.hybrid.fine_tune if config.search.strategy == "hybrid" else None
    for epochs in (None, fine_tune, config.search.final_epochs or None):
        check(replace(context, epochs=epochs), [*space.hidden, OUTPUT])
    ramp = config.search.strategy == "ramp"
    if ramp:
        check_ramp(config, context)
        if sampler is not None or points or plans:
            raise InputError("search.strategy: ramp chooses weights, not points of a space: leave out plans, points and samplers")
    if config.search.hybrid.supernet_epochs and config.search.strategy == "hybrid":
        space.largest.require_mlp("search.hybrid.supernet_epochs")
    if config.search.hybrid.supernet_epochs and config.search.space.granularity != "weight":
        raise InputError("search.hybrid.supernet_epochs: judges plans by single weights; set it to 0 for another granularity")
    strategy = None if ramp else make_strategy(
        config.search, space, config.seed, sampler, points, constrained=bool(limits(config)),
        measure=lambda architecture: measured(space, architecture, searcher.parent(architecture), searcher.context),
    )  # fmt: skip
    study = Study.open(Path(output), config) if resume else Study.create(Path(output), config)
    study.bind_data(digest(data))
    keep_reports(study, folder)
    known = {(record.candidate.id, record.rung): record for record in study.records()}
    searcher = Searcher(study, context, space, watch, known, cost_model(study), chain)
    teachers = Teachers(config.distill, config.model, searched, searcher.float_weights, folder)
    searcher.context = replace(context, teacher=teachers)
    study.log(f"search {config.search.strategy}: {len(known)} candidates in the store, space of {space.size:.3g} plans")
    _first(searcher, plans)
    if strategy is None:
        descend(searcher)
    elif config.search.strategy == "hybrid" and sampler is None and isinstance(strategy, OptunaStrategy):
        evolve(searcher, strategy)
    else:
        _loop(searcher, strategy, config.search.population if context.engine.name == "population" else 1)
    _finish(searcher)
    study.log(f"search done: {len(searcher.seen)} candidates, {searcher.seconds:.0f} s of training")
    return study


def trained(study: Study) -> Iterator[Candidate]:
    """Yield the candidates of a study that could be trained, in order, without weights; of several trainings the best."""
    found: dict[str, Candidate] = {}
    for record in study.records():
        if record.error is None:
            found[record.candidate.id] = better(found.get(record.candidate.id), record.candidate)
    yield from found.values()


def search_front(study: Study) -> Front:
    """Return the front that the search sees, before events held back are scored, cheapest first, with weights.

    Raises
    ------
    QapError
        Nothing has been trained, or nothing that keeps the constraints.
    """
    candidates, allowed = list(trained(study)), limits(study.config)
    if not candidates:
        raise QapError(f"{study.directory}: no candidate could be trained; see {study.directory / 'log.txt'}")
    found = Front.of(candidates, study.config.search.objectives, allowed)
    if not found:
        raise QapError(f"{study.directory}: {nothing_left(candidates, allowed)}")
    return Front(tuple(candidate.with_(weights=study.weights(candidate)) for candidate in found), found.objectives)
