"""The state of a running search: float parents, what has been trained, and what the budget leaves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.compress.parents import train_float
from qap.compress.pipeline import Chain, compress
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
from qap.search.objectives import DROP, limits, values, violations
from qap.search.space import PlanSpace, Point
from qap.search.strategies import Told
from qap.search.study import RUNG, Parent, Record, Study, better
from qap.training.job import Engine, Failed
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


Watch = Callable[[Progress], None]
Key = tuple[str, int]


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
    """

    study: Study
    context: Context
    space: PlanSpace
    watch: Watch
    known: dict[Key, Record]
    model: Model
    chain: Chain
    seen: dict[Key, Record] = field(default_factory=dict)
    best: dict[str, Candidate] = field(default_factory=dict)
    seconds: float = 0.0
    calibrations: dict[str, Calibration] = field(default_factory=dict)
    floats: dict[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def config(self) -> Config:
        """The study's configuration."""
        return self.study.config

    @property
    def left(self) -> int | None:
        """Trainings that the budget leaves; None without such a budget."""
        trials = self.config.search.trials
        return None if trials is None else max(trials - len(self.seen), 0)

    @property
    def exhausted(self) -> bool:
        """True when a budget is used up."""
        search = self.config.search
        return self.left == 0 or (search.seconds is not None and self.seconds >= search.seconds)

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

    def evaluate(
        self, candidates: Iterable[Candidate], *, epochs: float | None = None, rung: int = 0, engine: Engine | None = None
    ) -> list[Record]:
        """Train and count candidates, or read them from the store, until a budget is used up.

        Parameters
        ----------
        candidates : iterable of Candidate
            With the weights to start from; a float parent may be trained on the way.
        epochs : float, optional
            Budget of each (None: ``train.epochs``).
        rung : int, default 0
            How often they have been trained on before.
        engine : Engine, optional
            Trains in place of the study's, whatever the budget has left.

        Returns
        -------
        list of Record
            In order, fewer than the candidates where the budget has ended.
        """
        started, cpu = time.perf_counter(), time.process_time()
        batch = list(candidates)
        fresh = {one.id: one for one in batch if (one.id, rung) not in self.seen and (one.id, rung) not in self.known}
        context = replace(self.context, epochs=epochs, engine=engine or self.context.engine)
        results = zip(fresh, compress(fresh.values(), context, self.chain), strict=True)
        records = []
        for candidate in batch:
            key = candidate.id, rung
            if key not in self.seen:
                if engine is None and self.exhausted:
                    break
                record = self.known.get(key)
                if record is None:
                    self.report(f"training {candidate.id}")
                    _, result = next(results)
                    now, cpu_now = time.perf_counter(), time.process_time()
                    record = self._store(candidate, result, rung, now - started, cpu_now - cpu)
                    started, cpu = now, cpu_now
                self._note(key, record)
            records.append(self.seen[key])
        return records

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
            record = Record(self.counted(candidate, rung, largest), seconds, cpu, None, rung)
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

    def _store(self, candidate: Candidate, result: Candidate | Failed, rung: int, seconds: float, cpu: float) -> Record:
        if isinstance(result, Failed):
            record = Record(candidate, seconds, cpu, result.reason, rung)
            self.study.log(f"candidate {candidate.id} dropped: {result.reason}")
        else:
            record = Record(self.counted(result, rung), seconds, cpu, None, rung)
        self.study.add(record)
        return record

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
        self.seen[key] = Record(
            record.candidate.with_(weights=None), record.seconds, record.cpu_seconds, record.error, record.rung
        )
        self.seconds += record.cpu_seconds if self.config.search.clock == "cpu" else record.seconds
        if record.error is None:
            found = self.seen[key].candidate
            self.best[found.id] = better(self.best.get(found.id), found)
        self.report(f"trained {record.candidate.id}")

    def told(self, record: Record) -> Told:
        """Return what a strategy is told of a record."""
        allowed = limits(self.config)
        if record.error is not None:
            return Told(None, [1.0] * len(allowed))
        return Told(values(record.candidate, self.config.search.objectives), violations(record.candidate, allowed))
