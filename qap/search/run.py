"""The search: plan → compress → cost, again and again, every result on disk before the next begins."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.compress.qap import check
from qap.compress.teachers import Teachers
from qap.config.schema import Study as Config
from qap.datasets.dataset import Dataset
from qap.datasets.hold_back import hold_back
from qap.datasets.load import load_dataset
from qap.errors import InputError, QapError
from qap.models.architecture import OUTPUT
from qap.models.builders import Weights
from qap.plan import Plan
from qap.precision import Precision
from qap.search.allocation import measured
from qap.search.context import digest, make_context, search_chain
from qap.search.estimates import cost_model, keep_reports
from qap.search.fleet import Fleet
from qap.search.front import Front
from qap.search.hybrid import Evolution
from qap.search.loop import Listed
from qap.search.loop import search as train_all
from qap.search.meeting import Meeting
from qap.search.messages import Assignment
from qap.search.objectives import check_objectives, front, limits, nothing_left
from qap.search.ramp import check as check_ramp
from qap.search.ramp import descend
from qap.search.record import Record, training
from qap.search.replay import Replay, recorded
from qap.search.searcher import Progress, Searcher, Watch
from qap.search.space import PlanSpace, Point
from qap.search.strategies import OptunaStrategy, Strategy, make_strategy
from qap.search.study import Study, better
from qap.search.upkeep import locked, mend
from qap.search.work import FINAL, Start
from qap.search.workers import Workers


def _ignore(progress: Progress) -> None:
    """Watch nothing."""


class Sampled:
    """Source of trainings that a strategy proposes, each from the float parent.

    Parameters
    ----------
    searcher : Searcher
    strategy : Strategy
    """

    def __init__(self, searcher: Searcher, strategy: Strategy) -> None:
        self._searcher, self._strategy = searcher, strategy

    def ask(self, most: int) -> list[Start]:
        """Return the strategy's next points."""
        return [Start(self._searcher.from_point(point), point=point) for point in self._strategy.ask(most)]

    def tell(self, start: Start, record: Record | None) -> None:
        """Let the strategy know."""
        self._strategy.tell(self._searcher.told(record))

    def learn(self, record: Record) -> None:
        """Let the strategy know of what others have trained."""
        if record.point is not None:
            self._strategy.learn(record.point, self._searcher.told(record))


def _final(searcher: Searcher) -> Iterator[Start]:
    """Yield the last training of each member of the front by the keras engine, where that is asked for."""
    search = searcher.config.search
    if search.final_epochs:
        for one in front(list(searcher.best.values()), search.objectives, limits(searcher.config)):
            weights = searcher.study.weights(one)
            yield Start(one.with_(weights=weights), search.final_epochs, FINAL, origin=training(one), final=True)


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
    workers: Workers | None = None,
    share: str | None = None,
    replay: Path | None = None,
    trust: bool = False,
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
        Instead of loading ``config.data``; workers read it from there all the same, and refuse other events.
    workers : Workers, optional
        Train the candidates (None: this process). The result is the same, whatever their number.
    share : str, optional
        Database in which several drivers of this study meet, each with an output of its own: ``sqlite:///FILE`` on one machine,
        ``postgresql://user@host/database``. The budget in trainings is that of all together.
    replay : path, optional
        A study of the same configuration whose trainings are made again, in their order and from the same weights: what several
        drivers or a budget in seconds have led to is reproduced, and the log says what came out differently.
    trust : bool, default False
        Load model files that the configuration names even where they hold code.

    Returns
    -------
    Study
        With every candidate stored; `search_front` reads its front.

    Raises
    ------
    InputError
        A configuration, data or plans that do not fit together, or another search in the same directory.
    ToolMissingError
        What workers need is not installed.
    KeyboardInterrupt
        Ctrl-C; what is trained is stored.
    """
    data = data or load_dataset(config.data, folder, trust=trust)
    check_objectives(config, data.task)
    features = Precision(data.input.bits, data.input.integer)
    space = PlanSpace(config.search.space, config.model, len(data.feature_names), data.outputs, features)
    searched, _ = hold_back(data, config.search.holdback, config.seed)
    context = make_context(config, searched, folder, say=lambda message: study.log(message))
    _check(config, context, space)
    own = sampler is not None or bool(points) or bool(plans)
    records = None if replay is None else recorded(replay, config)
    _check_ramp(config, context, own, workers, share)
    if workers is not None:
        workers.check()
    sha = digest(data)
    with _met(share, config, sha, lambda message: study.log(message)) as meeting:
        seed = config.seed + (0 if meeting is None else meeting.place)  # drivers propose different plans
        strategy = None if config.search.strategy == "ramp" else make_strategy(
            config.search, space, seed, sampler, points, constrained=bool(limits(config)),
            measure=lambda architecture: measured(space, architecture, searcher.parent(architecture), searcher.context),
        )  # fmt: skip
        study = Study.open(Path(output), config) if resume else Study.create(Path(output), config)
        with locked(study):
            searcher = _searcher(study, context, space, sha, watch, folder, trust)
            if meeting is not None:
                searcher.share(meeting)
            with _executor(searcher, workers, Assignment.of(config, folder, sha, trust)):
                if records is not None:
                    _replay(searcher, records)
                elif strategy is None:
                    descend(searcher)
                else:
                    _train(searcher, strategy, plans, hybrid=config.search.strategy == "hybrid" and sampler is None)
            study.log(f"search done: {len(searcher.seen)} candidates, {searcher.seconds:.0f} s of training")
    return study


def _searcher(
    study: Study, context: Context, space: PlanSpace, data_sha256: str, watch: Watch, folder: Path | None, trust: bool
) -> Searcher:
    """Return what searches in a study, which is mended first."""
    config = study.config
    study.bind_data(data_sha256)
    mend(study)
    keep_reports(study, folder)
    known = {record.key: record for record in study.records()}
    searcher = Searcher(study, context, space, watch, known, cost_model(study), search_chain(config))
    teachers = Teachers(config.distill, config.model, context.data, searcher.float_weights, folder, trust)
    searcher.context = replace(context, teacher=teachers)
    study.log(f"search {config.search.strategy}: {len(known)} candidates in the store, space of {space.size:.3g} plans")
    return searcher


def _check(config: Config, context: Context, space: PlanSpace) -> None:
    """Refuse what cannot be trained, before anything is written."""
    search_chain(config)
    hybrid = config.search.strategy == "hybrid"
    fine_tune = config.search.hybrid.fine_tune if hybrid else None
    for epochs in (None, fine_tune, config.search.final_epochs or None):
        check(replace(context, epochs=epochs), [*space.hidden, OUTPUT])
    if config.search.hybrid.supernet_epochs and hybrid:
        space.largest.require_mlp("search.hybrid.supernet_epochs")
    if config.search.hybrid.supernet_epochs and config.search.space.granularity != "weight":
        raise InputError("search.hybrid.supernet_epochs: judges plans by single weights; set it to 0 for another granularity")


def _check_ramp(config: Config, context: Context, own: bool, workers: Workers | None, share: str | None) -> None:
    if config.search.strategy == "ramp":
        check_ramp(config, context)
        if own:
            raise InputError("search.strategy: ramp chooses weights, not points of a space: leave out plans, points and samplers")
        if workers is not None or share is not None or config.search.window is not None:
            raise InputError("search.strategy: ramp trains one circuit after another: leave out workers, share and search.window")
    elif workers is not None and context.engine.name == "keras" and config.search.window is None:
        raise InputError(
            "search.window: the keras engine trains one plan after another, so workers would wait: set it to twice their number"
        )


@contextlib.contextmanager
def _met(share: str | None, config: Config, data_sha256: str, say: Callable[[str], None]) -> Iterator[Meeting | None]:
    """Meet other drivers, where there are any."""
    if share is None:
        yield None
        return
    with contextlib.closing(Meeting(share, config, data_sha256, say)) as meeting:
        yield meeting


@contextlib.contextmanager
def _executor(searcher: Searcher, workers: Workers | None, assignment: Assignment) -> Iterator[None]:
    """Let workers train for a searcher, where there are any."""
    if workers is None:
        yield
        return

    def parent(start: Start) -> Weights:
        return searcher.parent(start.candidate.architecture).weights

    taught = any(link.distilled for link in searcher.chain)
    with workers.open() as pool:
        searcher.executor = Fleet(pool, assignment, searcher.study.log, parent if taught else None)
        try:
            yield
        finally:
            searcher.executor.close()


def _replay(searcher: Searcher, records: Sequence[Record]) -> None:
    source = Replay(searcher, records)
    train_all(searcher, source, searcher.config.search.population, searcher.config.search.window, beyond=True)
    found = f"{len(source.different)} of {len(records)} trainings came out differently"
    searcher.study.log(f"replay: {found}: {', '.join(source.different[:5])}" if source.different else f"replay: {found}")


def _train(searcher: Searcher, strategy: Strategy, plans: Sequence[Plan], *, hybrid: bool) -> None:
    """Train the user's plans, then what the strategy proposes, then the front once more where that is asked for."""
    search = searcher.config.search
    size = search.population if searcher.context.engine.name == "population" else 1
    train_all(searcher, Listed(Start(searcher.from_plan(searcher.space.largest, plan)) for plan in plans), size)
    if hybrid and isinstance(strategy, OptunaStrategy):
        train_all(searcher, Evolution(searcher, strategy), search.population, search.window)
    else:
        train_all(searcher, Sampled(searcher, strategy), size, search.window)
    train_all(searcher, Listed(list(_final(searcher))), size, beyond=True)


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
