"""The strategy `ramp`: from the float parent down to the smallest useful circuit, a digit at a time.

A trajectory starts as a circuit of fine grids (see `qap.models.circuit`). Every epoch the digits, activation bits and whole
units go that lose least for what they save (see `qap.compress.coarsen`), until a falling target is met; then the circuit is
trained on, the float parent its teacher, and what it is now is a candidate. The last part of the budget polishes: from
members of the front found, an epoch more each, with a falling learning rate.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from qap.candidate import Candidate
from qap.compress.coarsen import Folded, reduced, tidied
from qap.compress.context import Context, candidate_seed
from qap.compress.regrow import regrown
from qap.config.schema import Study as Config
from qap.errors import InputError, QapError
from qap.metrics.evaluate import evaluate
from qap.models.builders import build, float_logits
from qap.models.circuit import Circuit, layout, of_weights, plain, scaled_largest, traced_ebops
from qap.rtl import tie_free, trace_plan
from qap.rtl.tools import da4ml
from qap.search.polish import drawn
from qap.search.ramp_place import FILE, Now, Place, Snapshot, Standing, load, save
from qap.search.searcher import Searcher
from qap.training.job import Soft, event_order
from qap.training.population.circuits import Moments, Seen, Trainer
from qap.training.population.engine import PopulationEngine, traced_events

FIRST = {"weight": 7, "bias": 8, "activation": 5, "feature": 5}
"""Fractional digits that a circuit begins with."""
QUICK = 0.15, 0.1
"""The first part of a trajectory, and the part of the first circuit's EBOPs at its end: early digits cost next to nothing."""
SLOWEST = 0.012
"""Of a trajectory at most in one epoch: a compilation must not become a leap."""
RATE_FALLS = 0.07
FEWEST_STEPS = 100
"""On few events an epoch is as many passes over them as come nearest to it."""
POLISH = 12
"""Epochs of a polish; in the first half digits go on falling (see `qap.search.polish`)."""
COLLAPSE = 0.05
"""A circuit has collapsed when one that is hardly dearer scores so much better, as a part of that score."""
HARDLY = 1.3
PATIENCE, RETURNS = 3, 8
"""Epochs for which a collapsed circuit is trained on as it is before its trajectory goes back; how often it may do so, each time
to a circuit that is dearer by the factor `HARDLY`."""
CHECKPOINT = 25
"""Epochs between checkpoints."""
MEASURED = 5
"""Epochs between measurements of a cost that takes long."""


class Ramp:
    """Runs trajectories for a searcher.

    Parameters
    ----------
    searcher : Searcher
    """

    def __init__(self, searcher: Searcher) -> None:
        self._clock = time.perf_counter(), time.process_time()
        self.searcher, self.settings = searcher, searcher.config.search.ramp
        space = searcher.space
        self.architecture = space.architecture({name: values[-1] for name, values in space.knobs.items()})
        self.engine = check(searcher.config, searcher.context)
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

    @property
    def spent(self) -> float:
        """Seconds of the search so far."""
        now = time.process_time() if self.searcher.config.search.clock == "cpu" else time.perf_counter()
        return self.searcher.seconds + now - self._clock[self.searcher.config.search.clock == "cpu"]

    @property
    def exhausted(self) -> bool:
        """True when a budget is used up: a trial is an epoch."""
        search = self.searcher.config.search
        return (search.trials is not None and self.done >= search.trials) or (
            search.seconds is not None and self.spent >= search.seconds
        )

    def step(self, now: Now, name: str, rate: float, target: float | None) -> Now:
        """Reduce a circuit to a target, then train it for an epoch; the candidate that it is goes to the study."""
        folded, moments = now.folded, now.moments
        circuit = folded.circuit
        if target is not None:
            if self.settings.regrow:
                circuit = regrown(circuit, moments, folded.seen(now.seen), self.batch, len(self.data.train), target)
            circuit = reduced(circuit, moments, folded.seen(now.seen), self.batch, target)
        folded = replace(folded, circuit=tidied(circuit))
        folded, moments = folded.narrowed(moments) or (folded, moments)
        rounds = max(round(FEWEST_STEPS / self.searcher.context.epoch), 1)
        seed = candidate_seed(self.searcher.config.seed, f"ramp/{name}")
        order = event_order(len(self.data.train), self.batch, rounds, seed)
        circuit, moments, _ = self.trainer.epoch(folded.circuit, moments, order, np.full(len(order), rate))
        folded = replace(folded, circuit=circuit)
        whole = tidied(folded.spread())
        seen = self.trainer.probe(whole, self.traced)
        self.done += 1
        ebops = traced_ebops(whole, seen.largest)
        self.searcher.report(f"ramp: epoch {self.done}, {circuit.architecture}, {ebops:,.0f} EBOPs")
        score = self._offer(whole, seen, ebops) if whole.working.any() else -np.inf
        return Now(folded, moments, seen, ebops, score)

    def _offer(self, whole: Circuit, seen: Seen, ebops: float) -> float:
        """Return a circuit's score on the validation split; it is stored where nothing found before is as good and as cheap."""
        plan, weights = plain(whole, seen.largest, self.data.input)
        if self.settings.tie_free:
            plan, weights = tie_free(plan, weights, self.data.input)
        outputs = self.engine.evaluate(self.architecture, [plan], [weights], self.data.validation)[0]
        metrics = evaluate(self.data.task, self.data.validation, outputs, self.searcher.context.metrics)
        candidate = Candidate(self.architecture, plan, weights, {f"{name}_validation": value for name, value in metrics.items()})
        score = metrics["accuracy"] if "accuracy" in metrics else -metrics["rmse"]
        one = Snapshot(whole, seen, score, ebops)
        largest = scaled_largest(whole, plan, seen.largest)
        self._measure(candidate, largest, ebops)
        if any(other.ebops <= one.ebops and other.score >= one.score for other in self.front):
            return score
        self.front = [other for other in self.front if other.ebops < one.ebops or other.score > one.score] + [one]
        wall, cpu = time.perf_counter(), time.process_time()
        self.searcher.accept(candidate, largest, wall - self._clock[0], cpu - self._clock[1])
        self._clock = wall, cpu
        return score

    def better(self, now: Now, returns: int) -> Snapshot | None:
        """Return where to go back to for the given time, None where a circuit has not collapsed."""
        near = [one for one in self.front if now.ebops < one.ebops <= HARDLY * now.ebops]
        if not any(one.score - now.score > COLLAPSE * abs(one.score) for one in near):
            return None
        dearer = [one for one in self.front if one.ebops >= now.ebops * HARDLY ** (1 + returns)]
        return min(dearer, key=lambda one: one.ebops, default=near[-1])

    def _measure(self, candidate: Candidate, largest: list[np.ndarray], ebops: float) -> None:
        """Renew what an EBOP costs in the cost that drives the ramp."""
        name = self.settings.cost
        if name == "da4ml":
            if self.done % MEASURED == 1:
                try:
                    self.price = trace_plan(candidate.plan, candidate.weights or {}, self.data.input).cost / max(ebops, 1.0)
                except QapError as error:  # too large for the time given: what an EBOP cost before holds on
                    self.searcher.study.log(f"ramp: da4ml's cost is not known: {error}")
        elif name != "ebops_traced":
            cost = self.searcher.counted(candidate, largest=largest).cost
            self.price = (cost[name] if cost is not None else 0.0) / max(ebops, 1.0)

    def standing(self, place: Place) -> Standing:
        """Return what a file holds of this ramp."""
        return Standing(place, self.front, self.done, self.price, len(self.searcher.seen))

    def resume(self, standing: Standing) -> Place:
        """Go on from what a file holds."""
        self.front, self.done, self.price = standing.front, standing.done, standing.price
        self.searcher.take_known(standing.seen)
        return standing.place

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

    def part(self, ebops: float, first: float) -> float:
        """Return the part of a trajectory's length at which it may have these EBOPs: `target` the other way round."""
        quick, drop = QUICK
        left = ebops * self.price / first
        if left > drop:
            return quick * float(np.log(left) / np.log(drop))
        return quick + (1 - quick) * float(np.log(left / drop) / np.log(self.settings.smallest / drop))


def check(config: Config, context: Context) -> PopulationEngine:
    """Return the engine of a study that the ramp can search.

    Raises
    ------
    InputError
        Another engine than population, a model function of the user's own, an activation other than relu, methods or a last
        training that the ramp has no place for.
    ToolMissingError
        The cost is da4ml's, and da4ml is not installed.
    """
    if config.search.final_epochs or "compress" in config.model_fields_set:
        raise InputError("search.strategy: ramp chooses weights, not plans to train: leave out compress and search.final_epochs")
    if not isinstance(context.engine, PopulationEngine) or context.builder is not build:
        raise InputError("search.strategy: ramp needs train.engine population and no model.function")
    if config.model.activation != "relu" or config.model.layers is not None:
        raise InputError("search.strategy: ramp needs model.hidden with model.activation relu")
    if config.search.ramp.cost == "da4ml":
        da4ml("trace")
    return context.engine


def descend(searcher: Searcher) -> None:
    """Run the trajectories and the polish until the budget is used up.

    Parameters
    ----------
    searcher : Searcher

    Raises
    ------
    InputError
        A study that `check` refuses.
    """
    ramp = Ramp(searcher)
    path = searcher.study.directory / FILE
    place = ramp.resume(load(path, ramp.architecture)) if path.is_file() else Place()
    while place.trajectory < ramp.settings.trajectories and not ramp.exhausted:
        place = _trajectory(ramp, place, path)
    _polish(ramp, place, path)
    searcher.study.log(f"ramp: {ramp.done} epochs, {len(ramp.front)} circuits on the front")


def _next_part(ramp: Ramp, place: Place, took: float) -> float:
    """Return how far the trajectory is to be after its next epoch, as its share of the budget gives."""
    search, part = ramp.searcher.config.search, place.part
    share = (1 - ramp.settings.polish) / ramp.settings.trajectories
    if search.trials is not None and place.number:
        part += (1 - part) / max((place.trajectory + 1) * share * search.trials - ramp.done, 1)
    if search.seconds is not None and place.number:
        left = (place.trajectory + 1) * share * search.seconds - ramp.spent
        part = max(part, place.part + min((1 - place.part) * took / max(left, took, 1e-3), SLOWEST))
    return min(part, 1.0)


def _trajectory(ramp: Ramp, place: Place, path: Path) -> Place:
    """Run a trajectory to its end, and return the beginning of the next one."""
    took, before = 0.0, ramp.spent
    while place.part < 1 and not ramp.exhausted:
        part, now = _next_part(ramp, place, took), place.now or ramp.first()
        target = ramp.target(part, place.first) if place.number and not place.waited else None
        rate = ramp.settings.learning_rate * RATE_FALLS**part
        now = ramp.step(now, f"{place.trajectory}/{place.number}", rate, target)
        first = place.first or traced_ebops(now.folded.circuit, now.folded.seen(now.seen).largest) * ramp.price
        place = _watched(ramp, replace(place, number=place.number + 1, part=part, first=first, now=now))
        took, before = ramp.spent - before, ramp.spent
        if place.number % CHECKPOINT == 0:
            save(ramp.standing(place), path)
    return Place(place.trajectory + 1)


def _watched(ramp: Ramp, place: Place) -> Place:
    """Return where a trajectory goes on: from an earlier circuit where it has collapsed and training on has not helped."""
    better = ramp.better(place.now, place.returns) if place.now is not None else None
    if better is None or place.returns == RETURNS:
        return replace(place, waited=0)
    if place.waited < PATIENCE:
        return replace(place, waited=place.waited + 1)
    folded = Folded.of(better.circuit)
    now = Now(folded, Moments.zeros(folded.circuit.layout.size), better.seen, better.ebops, better.score)
    part = min(place.part, max(ramp.part(better.ebops, place.first), 0.0))
    return replace(place, now=now, part=part, waited=-1, returns=place.returns + 1)


def _polish(ramp: Ramp, place: Place, path: Path) -> None:
    """Train members of the front on until the budget is used up."""
    while not ramp.exhausted and ramp.front:
        save(ramp.standing(place), path)
        generator = np.random.default_rng(candidate_seed(ramp.searcher.config.seed, f"polish/{place.polish}"))
        chosen, fall = drawn(ramp.front, generator)
        folded = Folded.of(chosen.circuit)
        now = Now(folded, Moments.zeros(folded.circuit.layout.size), chosen.seen)
        for epoch in range(POLISH):
            if ramp.exhausted:
                return
            rate = ramp.settings.learning_rate * (0.6 * (1 - epoch / POLISH) + 0.02)
            target = chosen.ebops * (1 - fall * epoch / (POLISH // 2)) if 0 < epoch <= POLISH // 2 else None
            now = ramp.step(now, f"polish/{place.polish}/{epoch}", rate, target)
        place = replace(place, polish=place.polish + 1)
