"""The state of a running search: float parents, what has been trained, and what the budget leaves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.compress.parents import train_float
from qap.compress.pipeline import Chain
from qap.compress.ranges import Calibration
from qap.config.schema import Study as Config
from qap.cost.candidate_cost import candidate_cost
from qap.cost.model import Model
from qap.errors import InputError
from qap.metrics.evaluate import evaluate
from qap.models.architecture import Architecture
from qap.models.builders import Weights
from qap.models.scaling import scaled
from qap.plan import Plan
from qap.search.meeting import Meeting
from qap.search.objectives import DROP, limits, values, violations
from qap.search.record import RUNG, Key, Record
from qap.search.space import PlanSpace, Point
from qap.search.strategies import Told
from qap.search.study import Parent, Study, better
from qap.search.work import Done, Executor, Inline, Start
from qap.training.job import Failed
from qap.training.population.engine import PopulationEngine


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


WAIT_SECONDS = 1.0
"""Between two looks at what other drivers still train."""

Watch = Callable[[Progress], None]


@dataclass(eq=False)
class Searcher:
    """Trains and counts candidates, or reads them from the store.

    Parameters
    ----------
    study : Study
    context : Context
    space : PlanSpace
    watch : Watch
    known : dict
        Records in the store by candidate and rung.
    model : Model
        For the csynth-equivalent figures.
    chain : Chain
        Methods that every candidate goes through.
    executor : Executor, optional
        Trains them (None: this process).
    meeting : Meeting, optional
        Where other drivers of the same study meet this one (see `share`).

    Attributes
    ----------
    seen : dict
        Records that the strategy was told of, by candidate and rung.
    numbers : dict
        Place of each training in the order of asking; `flying` are those that are not done.
    """

    study: Study
    context: Context
    space: PlanSpace
    watch: Watch
    known: dict[Key, Record]
    model: Model
    chain: Chain
    executor: Executor = None  # type: ignore[assignment]  # never None after __post_init__
    seen: dict[Key, Record] = field(default_factory=dict)
    best: dict[str, Candidate] = field(default_factory=dict)
    numbers: dict[Key, int] = field(default_factory=dict)
    flying: set[Key] = field(default_factory=set)
    seconds: float = 0.0
    calibrations: dict[str, Calibration] = field(default_factory=dict)
    floats: dict[str, Mapping[str, float]] = field(default_factory=dict)
    meeting: Meeting | None = None
    _clock: tuple[float, float] = (0.0, 0.0)
    _taken: int = 0

    def __post_init__(self) -> None:
        if self.executor is None:
            self.executor = Inline(lambda: self.context, self.chain)
        self.begin()

    @property
    def config(self) -> Config:
        """The study's configuration."""
        return self.study.config

    @property
    def left(self) -> int | None:
        """Trainings that the budget leaves; None without such a budget."""
        trials = self.config.search.trials
        taken = len(self.numbers) if self.meeting is None else max(len(self.numbers), self._taken)
        return None if trials is None else max(trials - taken, 0)

    @property
    def exhausted(self) -> bool:
        """True when a budget is used up, by what is in training too."""
        return self.left == 0 or self.late

    @property
    def late(self) -> bool:
        """True when a budget in seconds is used up."""
        seconds = self.config.search.seconds
        return seconds is not None and self.seconds >= seconds

    def report(self, message: str) -> None:
        """Tell the watcher where the search stands."""
        self.watch(Progress(len(self.seen), self.seconds, list(self.best.values()), message))

    def parent(self, architecture: Architecture) -> Calibration:
        """Return the float parent's weights and ranges, trained when it is needed first."""
        if architecture.id in self.calibrations:
            return self.calibrations[architecture.id]
        parent = self.study.load_parent(architecture)
        if parent is None:
            self.report(f"training the float network {architecture}")
            parent = self._train_parent(architecture)
        calibration = Calibration.of(architecture, parent.weights, self.context.data.train.x)
        self.calibrations[architecture.id] = calibration
        self.floats[architecture.id] = parent.metrics
        return calibration

    def _train_parent(self, architecture: Architecture) -> Parent:
        data, trained = self.context.data, train_float(architecture, self.context)
        metrics = evaluate(data.task, data.validation, trained.validation)
        parent = Parent(architecture, trained.weights, {f"{k}_validation": v for k, v in metrics.items()})
        self.study.save_parent(parent, trained.model)
        self.study.log(f"float parent {architecture}: {dict(parent.metrics)}")
        return parent

    def float_weights(self, architecture: Architecture, number: int) -> Weights:
        """Return the folded weights of a float network: 0 is the parent, others are trained for distillation."""
        return train_float(architecture, self.context, number).weights if number else self.parent(architecture).weights

    def from_plan(self, architecture: Architecture, plan: Plan) -> Candidate:
        """Return a candidate that starts from the float parent."""
        architecture.check(plan)
        return Candidate(architecture, plan, scaled(plan, self.parent(architecture).weights))

    def from_point(self, point: Point) -> Candidate:
        """Return the candidate that a point stands for, with the float parent's weights."""
        architecture = self.space.architecture(point)
        calibration = self.parent(architecture)
        return Candidate(architecture, self.space.plan(point, architecture, calibration), calibration.weights)

    def begin(self) -> None:
        """Start the clock where nothing is in training: from here on time counts for the next candidate."""
        if not self.flying:
            self._clock = time.perf_counter(), time.process_time()

    def submit(self, starts: Iterable[Start]) -> list[Start]:
        """Hand trainings that are not in the store to the executor.

        Parameters
        ----------
        starts : iterable of Start

        Returns
        -------
        list of Start
            Those that the budget in trainings allows, trained ones among them; ask `result` for each.
        """
        taken: list[Start] = []
        fresh: list[Start] = []
        for start in starts:
            key, claims = start.key, 0 if self.meeting is None else len(fresh)
            if key not in self.numbers:
                if not start.final and self.left is not None and self.left <= claims:
                    break
                if key in self.known:
                    self.numbers[key] = self.known[key].number
                elif self.meeting is None:
                    self.numbers[key] = len(self.numbers)
                    fresh.append(start)
                elif key not in {one.key for one in fresh}:
                    fresh.append(start)
            taken.append(start)
        if self.meeting is not None:
            fresh = self._claimed(fresh, self.meeting)
        self.flying.update(start.key for start in fresh)
        self.executor.submit(fresh)
        return taken

    def _claimed(self, starts: list[Start], meeting: Meeting) -> list[Start]:
        """Return the trainings that no other driver has taken, numbered."""
        most = None if any(start.final for start in starts) else self.config.search.trials
        mine = meeting.claim([start.key for start in starts], most)
        self.numbers.update(mine)
        return [start for start in starts if start.key in mine]

    def result(self, start: Start) -> Record | None:
        """Return what became of a training that was submitted; None where another driver has taken it.

        Whatever the executor has done meanwhile is in the store first.
        """
        key = start.key
        if key in self.seen:
            return self.seen[key]
        if key not in self.flying and key not in self.known:
            return None
        if key in self.flying:
            self.report(f"training {start.candidate.id}")
        while key in self.flying:
            for done in self.executor.collect():
                self._store(done)
        self._note(key, self.known[key])
        return self.seen[key]

    def pull(self) -> list[Record]:
        """Take what other drivers have trained into the store, and return it."""
        if self.meeting is None:
            return []
        found = []
        for record, weights in self.meeting.pull():
            key = record.key
            if key not in self.known:
                self.parent(record.candidate.architecture)  # the front compares with it
                self.study.add(replace(record, candidate=record.candidate.with_(weights=weights)))
                self.known[key] = record.bare
                self.numbers[key] = record.number
                self._note(key, record)
                found.append(record)
        self._taken = self.meeting.taken()
        return found

    def settled(self) -> bool:
        """Tell whether nothing is left to wait for: no other driver trains for this study."""
        if self.meeting is None or self.late or not self.meeting.others_train():
            return True
        self.report("waiting for other drivers")
        time.sleep(WAIT_SECONDS)
        return False

    def share(self, meeting: Meeting) -> None:
        """Train together with other drivers from now on; what is in the store is theirs too."""
        self.meeting, there = meeting, meeting.finished()
        for key in self.known.keys() - there:
            record = self.known[key]
            meeting.publish(record, None if record.error is not None else self.study.weights(record.candidate))

    def accept(self, candidate: Candidate, largest: list[np.ndarray], seconds: float, cpu: float) -> Record:
        """Take a candidate that was trained elsewhere, its metrics on the validation split with it.

        Of several trainings of one plan the later ones are further rungs.

        Parameters
        ----------
        candidate : Candidate
        largest : list of arrays
            As `qap.training.population.engine.PopulationEngine.largest` returns.
        seconds, cpu : float
            What it took.
        """
        rung = sum(name == candidate.id for name, _ in self.seen)
        key = candidate.id, rung
        record = self.known.get(key)
        if record is None:
            record = Record(self.counted(candidate, rung, largest), seconds, cpu, None, rung, len(self.numbers))
            self.study.add(record)
        self._note(key, record)
        return record

    def take_known(self, count: int) -> None:
        """Take the first records of the store as trained."""
        for key in list(self.known)[: max(count - len(self.seen), 0)]:
            self._note(key, self.known[key])

    def _largest(self, candidate: Candidate) -> list[np.ndarray] | None:
        """Return what traced EBOPs need, None where nobody asks for them."""
        search, engine = self.config.search, self.context.engine
        if "ebops_traced" not in (*search.objectives, *search.constraints):
            return None
        candidate.architecture.require_mlp("ebops_traced")
        if not isinstance(engine, PopulationEngine):
            raise InputError(f"ebops_traced: counted by the population engine only, train.engine is {engine.name}")
        return engine.largest(candidate.architecture, candidate.plan, candidate.weights or {}, self.context.data)

    def _store(self, done: Done) -> None:
        """Write what the executor has done to the disk, before anybody is told."""
        start, result, key = done.start, done.result, done.start.key
        wall, cpu = time.perf_counter(), time.process_time()
        took = wall - self._clock[0], cpu - self._clock[1] + done.cpu_seconds
        self._clock = wall, cpu
        if isinstance(result, Failed):
            candidate, error = start.candidate.with_(weights=None), result.reason
            self.study.log(f"candidate {candidate.id} dropped: {error}")
        else:
            candidate, error = self.counted(result, start.rung), None
        record = Record(
            candidate, *took, error, start.rung, self.numbers[key], epochs=start.epochs, origin=start.origin, point=start.point
        )
        self.study.add(record)
        if self.meeting is not None:
            self.meeting.publish(record, candidate.weights)
        self.known[key] = record.bare
        self.flying.discard(key)

    def counted(self, candidate: Candidate, rung: int = 0, largest: list[np.ndarray] | None = None) -> Candidate:
        """Return a candidate that has weights and metrics with its cost, and how far its accuracy lies below the parent's."""
        config, metrics = self.config, {**candidate.metrics, **({RUNG: rung} if rung else {})}
        if "accuracy_validation" in metrics:
            metrics[DROP] = self.floats[candidate.architecture.id]["accuracy_validation"] - metrics["accuracy_validation"]
        data, largest = self.context.data, largest or self._largest(candidate)
        cost = candidate_cost(candidate, data.input, config.firmware, config.timing, self.model, largest)
        return candidate.with_(metrics=metrics, cost=cost)

    def _note(self, key: Key, record: Record) -> None:
        """Take a record that was trained or read."""
        self.numbers.setdefault(key, len(self.numbers))
        self.seen[key] = record.bare
        self.seconds += record.cpu_seconds if self.config.search.clock == "cpu" else record.seconds
        if record.error is None:
            found = self.seen[key].candidate
            self.best[found.id] = better(self.best.get(found.id), found)
        self.report(f"trained {record.candidate.id}")

    def told(self, record: Record | None) -> Told:
        """Return what a strategy is told of a record, or of a training that another driver has taken."""
        allowed = limits(self.config)
        if record is None or record.error is not None:
            return Told(None, [1.0] * len(allowed))
        return Told(values(record.candidate, self.config.search.objectives), violations(record.candidate, allowed))
