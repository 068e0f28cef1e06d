"""The strategy `ramp`: from the float parent down to the smallest useful circuit, a digit at a time.

A trajectory starts as a circuit of fine grids (see `qap.models.circuit`). Every epoch the digits, activation bits and whole
units go that lose least for what they save (see `qap.compress.coarsen`), until a falling target is met; then the circuit is
trained on, the float parent its teacher, and what it is now is a candidate. The last part of the budget polishes: from
members of the front found, an epoch more each, with a falling learning rate.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from qap.candidate import Candidate
from qap.compress.coarsen import Folded, reduced, tidied
from qap.compress.context import candidate_seed
from qap.errors import InputError
from qap.metrics.evaluate import evaluate
from qap.models.architecture import Architecture
from qap.models.builders import build, float_logits
from qap.models.circuit import Circuit, layout, of_weights, plain, traced_ebops
from qap.rtl import trace_plan
from qap.search.searcher import Searcher
from qap.training.job import Soft
from qap.training.population.circuits import Moments, Seen, Trainer
from qap.training.population.engine import PopulationEngine, traced_events

FIRST = {"weight": 7, "bias": 8, "activation": 5, "feature": 5}
"""Fractional digits that a circuit begins with."""
QUICK = 0.15, 0.1
"""The first part of a trajectory, and the part of the first circuit's EBOPs at its end: early digits cost next to nothing."""
SLOWEST = 0.012
"""Of a trajectory at most in one epoch: a compilation must not become a leap."""
RATE_FALLS = 0.1
POLISH = 12
"""Epochs of a polish; in the first half digits go on falling, by up to `POLISH_FALL`."""
POLISH_FALL = (0.0, 0.05, 0.1, 0.2)
CHECKPOINT = 25
"""Epochs between checkpoints."""
MEASURED = 5
"""Epochs between measurements of a cost that takes long."""


@dataclass(frozen=True, eq=False)
class Now:
    """Where a trajectory stands."""

    folded: Folded
    moments: Moments
    seen: Seen


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A circuit on the front so far: its score (higher is better) and traced EBOPs."""

    circuit: Circuit
    seen: Seen
    score: float
    ebops: float


class Ramp:
    """Runs trajectories for a searcher.

    Parameters
    ----------
    searcher : Searcher
    """

    def __init__(self, searcher: Searcher) -> None:
        self.searcher, self.settings = searcher, searcher.config.search.ramp
        space = searcher.space
        self.architecture = space.architecture({name: values[-1] for name, values in space.knobs.items()})
        self.engine = _engine(searcher, self.architecture)
        data = searcher.context.data
        self.data, self.batch = data, searcher.context.train.batch
        weights = searcher.parent(self.architecture).weights
        logits = float_logits(self.architecture.folded, weights, data.train.x)[self.architecture.layers[-1].name]
        alpha = self.settings.distill
        teacher = Soft(logits.astype(np.float32), self.settings.temperature, alpha) if alpha else None
        self.trainer: Trainer = self.engine.trainer(data, teacher)
        self.start = of_weights(self.architecture, weights, **FIRST)
        self.traced = traced_events(data)
        self.front: list[Snapshot] = []
        self.done = 0
        self.price = 1.0
        self._clock = time.perf_counter(), time.process_time()

    @property
    def spent(self) -> float:
        """Seconds of the search so far."""
        return self.searcher.seconds + time.perf_counter() - self._clock[0]

    @property
    def exhausted(self) -> bool:
        """True when a budget is used up: a trial is an epoch."""
        search = self.searcher.config.search
        return (search.trials is not None and self.done >= search.trials) or (
            search.seconds is not None and self.spent >= search.seconds
        )

    def step(self, now: Now, number: int, rate: float, target: float | None) -> Now:
        """Reduce a circuit to a target, then train it for an epoch; the candidate that it is goes to the study."""
        folded, moments, seen = now.folded, now.moments, now.seen
        circuit = folded.circuit if target is None else reduced(folded.circuit, moments, seen, self.batch, target)
        folded = replace(folded, circuit=tidied(circuit))
        smaller = folded.narrowed(moments, seen)
        if smaller is not None:
            folded, moments, seen = smaller
        order = np.random.default_rng(candidate_seed(self.searcher.config.seed, f"ramp/{number}"))
        steps = self.searcher.context.epoch
        events = order.permutation(len(self.data.train))[: steps * self.batch].reshape(steps, self.batch).astype(np.int32)
        circuit, moments, _ = self.trainer.epoch(folded.circuit, moments, events, np.full(steps, rate))
        folded = replace(folded, circuit=circuit)
        now = Now(folded, moments, self.trainer.probe(circuit, self.traced))
        self._offer(now)
        return now

    def _offer(self, now: Now) -> None:
        """Judge a circuit on the validation split, and store it where nothing found before is as good and as cheap."""
        whole, seen = tidied(now.folded.spread()), now.folded.spread_seen(now.seen)
        self.done += 1
        self.searcher.report(f"ramp: epoch {self.done}, {now.folded.circuit.architecture}")
        if not whole.working.any():
            return
        plan, weights = plain(whole, seen.largest, self.data.input)
        outputs = self.engine.evaluate(self.architecture, [plan], [weights], self.data.validation)[0]
        metrics = evaluate(self.data.task, self.data.validation, outputs, self.searcher.context.metrics)
        candidate = Candidate(self.architecture, plan, weights, {f"{name}_validation": value for name, value in metrics.items()})
        score = metrics["accuracy"] if "accuracy" in metrics else -metrics["rmse"]
        one = Snapshot(whole, seen, score, traced_ebops(whole, seen.largest))
        self._measure(candidate, one.ebops)
        if any(other.ebops <= one.ebops and other.score >= one.score for other in self.front):
            return
        self.front = [other for other in self.front if other.ebops < one.ebops or other.score > one.score] + [one]
        wall, cpu = time.perf_counter(), time.process_time()
        self.searcher.accept(candidate, wall - self._clock[0], cpu - self._clock[1])
        self._clock = wall, cpu

    def _measure(self, candidate: Candidate, ebops: float) -> None:
        """Renew what an EBOP costs in the cost that drives the ramp."""
        name = self.settings.cost
        if name == "da4ml":
            if self.done % MEASURED == 1:
                self.price = trace_plan(candidate.plan, candidate.weights or {}, self.data.input).cost / max(ebops, 1.0)
        elif name != "ebops_traced":
            cost = self.searcher.counted(candidate).cost
            self.price = (cost[name] if cost is not None else 0.0) / max(ebops, 1.0)

    def first(self) -> Now:
        """Return the start of a trajectory."""
        folded = Folded.of(self.start)
        return Now(folded, Moments.zeros(layout(self.architecture).size), self.trainer.probe(folded.circuit, self.traced))

    def target(self, part: float, first: float) -> float:
        """Return the EBOPs that a trajectory may have after a part of its length, 0 to 1, having begun with a cost."""
        quick, drop = QUICK
        if part < quick:
            cost = first * drop ** (part / quick)
        else:
            cost = first * drop * (self.settings.smallest / drop) ** ((part - quick) / (1 - quick))
        return float(cost / self.price)


def _engine(searcher: Searcher, architecture: Architecture) -> PopulationEngine:
    engine = searcher.context.engine
    if not isinstance(engine, PopulationEngine) or searcher.context.builder is not build:
        raise InputError("search.strategy: ramp needs train.engine population and no model.function")
    if any(layer.activation != "relu" for layer in architecture.layers[:-1]):
        raise InputError("search.strategy: ramp needs model.activation relu")
    return engine


def descend(searcher: Searcher) -> None:
    """Run the trajectories and the polish until the budget is used up.

    Parameters
    ----------
    searcher : Searcher

    Raises
    ------
    InputError
        Another engine than population, a model function of the user's own, or an activation other than relu.
    """
    ramp = Ramp(searcher)
    share = (1 - ramp.settings.polish) / ramp.settings.trajectories
    for trajectory in range(ramp.settings.trajectories):
        _trajectory(ramp, trajectory, share)
    _polish(ramp)
    searcher.study.log(f"ramp: {ramp.done} epochs, {len(ramp.front)} circuits on the front")


def _parts(ramp: Ramp, share: float) -> Iterator[float]:
    """Yield how far a trajectory is to be after each epoch, 0 to 1, as its share of the budget gives."""
    search, done, begun = ramp.searcher.config.search, ramp.done, ramp.spent
    part, took, before = 0.0, 0.0, begun
    while part < 1 and not ramp.exhausted:
        if search.seconds is not None:
            left = begun + share * search.seconds - ramp.spent
            part += min((1 - part) * took / max(left, took, 1e-3), SLOWEST) if took else 0.0
        if search.trials is not None:
            part = max(part, (ramp.done - done) / (share * search.trials))
        yield min(part, 1.0)
        took, before = ramp.spent - before, ramp.spent


def _trajectory(ramp: Ramp, trajectory: int, share: float) -> None:
    first: float | None = None
    now: Now | None = None
    for number, part in enumerate(_parts(ramp, share)):
        now = now or ramp.first()
        rate = ramp.settings.learning_rate * RATE_FALLS**part
        target = None if first is None else ramp.target(part, first)
        now = ramp.step(now, trajectory * 10**6 + number, rate, target)
        first = first or traced_ebops(now.folded.circuit, now.seen.largest) * ramp.price


def _polish(ramp: Ramp) -> None:
    """Train members of the front on until the budget is used up."""
    generator = np.random.default_rng(candidate_seed(ramp.searcher.config.seed, "polish"))
    number = 10**9
    while not ramp.exhausted and ramp.front:
        places = np.log10([max(one.ebops, 1.0) for one in ramp.front])
        chosen = ramp.front[int(np.abs(places - generator.uniform(places.min(), min(places.max(), 4.5))).argmin())]
        fall, folded = float(generator.choice(POLISH_FALL)), Folded.of(chosen.circuit)
        now = Now(folded, Moments.zeros(folded.circuit.layout.size), chosen.seen)
        for epoch in range(POLISH):
            if ramp.exhausted:
                return
            rate = ramp.settings.learning_rate * (0.6 * (1 - epoch / POLISH) + 0.02)
            target = chosen.ebops * (1 - fall * epoch / (POLISH // 2)) if 0 < epoch <= POLISH // 2 else None
            now, number = ramp.step(now, number, rate, target), number + 1
