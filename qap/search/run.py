"""The search: plan → compress → cost, again and again, every result on disk before the next begins."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qap.candidate import Candidate
from qap.compress.qap import Context, candidate_seed, check, compress
from qap.config.schema import Study as Config
from qap.cost.candidate_cost import candidate_cost
from qap.cost.model import Model
from qap.datasets.dataset import Dataset
from qap.datasets.load import load_dataset
from qap.errors import QapError
from qap.metrics.evaluate import evaluate
from qap.models.architecture import OUTPUT, Architecture
from qap.models.builders import build, float_logits, user_builder
from qap.plan import Plan, Precision
from qap.search.estimates import cost_model, keep_reports
from qap.search.objectives import DROP, check_objectives, front, limits, nothing_left, values, violations
from qap.search.space import Calibration, PlanSpace, Point
from qap.search.strategies import Strategy, make_strategy
from qap.search.study import Parent, Record, Study
from qap.training.job import Failed, Job
from qap.training.keras_engine import KerasEngine

CALIBRATION_EVENTS = 4096
REPEATS = 500  # a sampler that proposes only known plans so often in a row has nothing new to say


@dataclass(frozen=True)
class Progress:
    """Where a search stands.

    Parameters
    ----------
    done : int
        Candidates trained, or read from the store by a resumed study.
    seconds : float
        Spent on them.
    candidates : sequence of Candidate
        Those that could be trained.
    message : str
        What happens now.
    """

    done: int
    seconds: float
    candidates: Sequence[Candidate]
    message: str = ""


Watch = Callable[[Progress], None]


def _ignore(progress: Progress) -> None:
    """Watch nothing."""


def digest(data: Dataset) -> str:
    """Return the SHA-256 of the events, in all three splits."""
    total = hashlib.sha256()
    for split in (data.train, data.validation, data.test):
        for array in (split.x, split.y, split.weight):
            total.update(array.tobytes())
    return total.hexdigest()


@dataclass(eq=False)
class _Searcher:
    """The state of one running search."""

    study: Study
    context: Context
    space: PlanSpace
    watch: Watch
    known: dict[str, Record]
    model: Model
    seen: dict[str, Record] = field(default_factory=dict)
    calibrations: dict[str, Calibration] = field(default_factory=dict)
    floats: dict[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def config(self) -> Config:
        return self.study.config

    @property
    def seconds(self) -> float:
        return sum(record.seconds for record in self.seen.values())

    @property
    def exhausted(self) -> bool:
        """True when a budget is used up."""
        search = self.config.search
        if search.trials is not None and len(self.seen) >= search.trials:
            return True
        return search.seconds is not None and self.seconds >= search.seconds

    def report(self, message: str) -> None:
        good = [record.candidate for record in self.seen.values() if record.error is None]
        self.watch(Progress(len(self.seen), self.seconds, good, message))

    def parent(self, architecture: Architecture) -> Calibration:
        """Return the float parent's weights and ranges, trained when it is needed first."""
        if architecture.id in self.calibrations:
            return self.calibrations[architecture.id]
        parent = self.study.load_parent(architecture)
        if parent is None:
            self.report(f"training the float parent {architecture}")
            train = self.config.train
            job = Job(
                architecture, None, None, train.parent_epochs, train.batch, train.learning_rate, train.decay,
                candidate_seed(self.config.seed, f"parent {architecture.id}"), builder=self.context.builder,
            )  # fmt: skip
            data = self.context.data
            trained = next(iter(self.context.engine.train([job], data)))
            if isinstance(trained, Failed):
                raise QapError(f"float parent {architecture}: {trained.reason}")
            metrics = evaluate(data.task, data.validation, trained.validation)
            parent = Parent(architecture, trained.weights, {f"{k}_validation": v for k, v in metrics.items()})
            self.study.save_parent(parent, trained.model)
            self.study.log(f"float parent {architecture}: {dict(parent.metrics)}")
        sample = self.context.data.train.x[:CALIBRATION_EVENTS]
        calibration = Calibration(parent.weights, float_logits(architecture, parent.weights, sample))
        self.calibrations[architecture.id] = calibration
        self.floats[architecture.id] = parent.metrics
        return calibration

    def evaluate(self, make: Callable[[], Candidate]) -> Record:
        """Train and count a candidate, or read it from the store; `make` may train a parent first."""
        started, cpu = time.perf_counter(), time.process_time()
        candidate = make()
        if candidate.id in self.seen:
            return self.seen[candidate.id]
        record = self.known.get(candidate.id)
        if record is None:
            self.report(f"training {candidate.id}")
            error = None
            result = next(iter(compress([candidate], self.context)))
            if isinstance(result, Failed):
                error = result.reason
                self.study.log(f"candidate {candidate.id} dropped: {error}")
            else:
                candidate = self.judged(result)
            record = Record(candidate, time.perf_counter() - started, time.process_time() - cpu, error)
            self.study.add(record)
        self.seen[candidate.id] = Record(record.candidate.with_(weights=None), record.seconds, record.cpu_seconds, record.error)
        self.report(f"trained {candidate.id}")
        return self.seen[candidate.id]

    def judged(self, candidate: Candidate) -> Candidate:
        """Add the cost, and how far the accuracy lies below the float parent's."""
        config, metrics = self.config, dict(candidate.metrics)
        if "accuracy_validation" in metrics:
            metrics[DROP] = self.floats[candidate.architecture.id]["accuracy_validation"] - metrics["accuracy_validation"]
        cost = candidate_cost(candidate, self.context.data.input, config.firmware, config.timing, self.model)
        return candidate.with_(metrics=metrics, cost=cost)

    def tell(self, strategy: Strategy, record: Record) -> None:
        """Tell a strategy what became of its point."""
        if record.error is not None:
            strategy.tell(None, [1.0] * len(limits(self.config)))
            return
        found = values(record.candidate, self.config.search.objectives)
        strategy.tell(found, violations(record.candidate, limits(self.config)))

    def from_plan(self, architecture: Architecture, plan: Plan) -> Candidate:
        architecture.check(plan)
        return Candidate(architecture, plan, self.parent(architecture).weights)

    def from_point(self, point: Point) -> Candidate:
        architecture = self.space.architecture(point)
        calibration = self.parent(architecture)
        return Candidate(architecture, self.space.plan(point, architecture, calibration), calibration.weights)


def _loop(searcher: _Searcher, strategy: Strategy, plans: Sequence[Plan]) -> None:
    largest = Architecture.mlp(
        searcher.space.features, searcher.config.model.hidden, searcher.space.outputs,
        activation=searcher.config.model.activation, batchnorm=searcher.config.model.batchnorm,
    )  # fmt: skip
    for plan in plans:
        if searcher.exhausted:
            return
        searcher.evaluate(lambda plan=plan: searcher.from_plan(largest, plan))  # type: ignore[misc]
    repeats = 0
    while not searcher.exhausted and repeats < REPEATS:
        point = strategy.ask()
        if point is None:
            return
        before = len(searcher.seen)
        record = searcher.evaluate(lambda point=point: searcher.from_point(point))  # type: ignore[misc]
        repeats = 0 if len(searcher.seen) > before else repeats + 1
        searcher.tell(strategy, record)


def make_context(config: Config, data: Dataset, folder: Path | None = None) -> Context:
    """Return what the compression methods of a study work with."""
    builder = user_builder(config.model.function, folder) if config.model.function else build
    return Context(data, KerasEngine(), config.train, config.prune, config.seed, builder)


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
        Trained first, on the architecture of ``model.hidden``; they need not lie in the search space and the sampler does not
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
    data = data or load_dataset(config.data, folder)
    check_objectives(config, data.task)
    space = PlanSpace(
        config.search.space,
        config.model,
        len(data.feature_names),
        data.outputs,
        Precision(data.input.bits, data.input.integer),
    )
    context = make_context(config, data, folder)
    check(context, [*space.hidden, OUTPUT])
    strategy = make_strategy(config.search, space, config.seed, sampler, points, constrained=bool(limits(config)))
    study = Study.open(Path(output), config) if resume else Study.create(Path(output), config)
    study.bind_data(digest(data))
    keep_reports(study, folder)
    known = {record.candidate.id: record for record in study.records()}
    searcher = _Searcher(study, context, space, watch, known, cost_model(study))
    study.log(f"search {config.search.strategy}: {len(known)} candidates in the store, space of {space.size:.3g} plans")
    _loop(searcher, strategy, plans)
    study.log(f"search done: {len(searcher.seen)} candidates, {searcher.seconds:.0f} s of training")
    return study


def trained(study: Study) -> Iterator[Candidate]:
    """Yield the candidates of a study that could be trained, in order, without weights."""
    for record in study.records():
        if record.error is None:
            yield record.candidate


def search_front(study: Study) -> list[Candidate]:
    """Return the front of a study on the validation split, cheapest first, with weights.

    Raises
    ------
    QapError
        Nothing has been trained, or nothing that keeps the constraints.
    """
    candidates, allowed = list(trained(study)), limits(study.config)
    if not candidates:
        raise QapError(f"{study.directory}: no candidate could be trained; see {study.directory / 'log.txt'}")
    members = front(candidates, study.config.search.objectives, allowed)
    if not members:
        raise QapError(f"{study.directory}: {nothing_left(candidates, allowed)}")
    return [candidate.with_(weights=study.weights(candidate)) for candidate in members]
