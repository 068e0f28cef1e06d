"""The short supernet phase of the hybrid search: many plans judged on shared weights, the promising ones proposed to train."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from qap.candidate import Candidate
from qap.compress.context import candidate_seed
from qap.errors import InputError
from qap.files import write_arrays, write_text
from qap.metrics.evaluate import evaluate
from qap.models.builders import Weights
from qap.plan import Plan
from qap.search.objectives import OBJECTIVES, front, limits
from qap.search.searcher import Searcher
from qap.search.space import DEPTH, PlanSpace, Point
from qap.search.study import Study, read_arrays
from qap.training.job import Job, steps_per_epoch
from qap.training.population.engine import PopulationEngine, unsupported
from qap.training.population.masks import pruned

WIDTH = 4
"""Plans of a training step: the finest one, which the others learn with, and random ones."""
ROUNDS = 4
"""How often the front of what has been judged is varied."""
Key = frozenset[tuple[str, int | float]]
WEIGHTS, FOUND = "supernet.npz", "supernet.json"


@dataclass(frozen=True, eq=False)
class Promising:
    """What the phase hands to the evolution.

    Parameters
    ----------
    points : sequence of Point
        To train first, cheapest first.
    weights : mapping
        Shared, dense.
    evaluated : int
        Plans that were judged without training.
    seconds : float
        Spent.
    """

    points: Sequence[Point]
    weights: Weights
    evaluated: int
    seconds: float
    _places: frozenset[Key] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_places", frozenset(_key(point) for point in self.points))

    def start(self, point: Point, plan: Plan) -> dict[str, np.ndarray] | None:
        """Return the shared weights pruned as the plan asks, None for a point that was not proposed."""
        return pruned(self.weights, plan) if _key(point) in self._places else None


def _key(point: Point) -> Key:
    return frozenset(point.items())


def why_not(searcher: Searcher) -> str | None:
    """Return why a study has no supernet phase, None when it can have one."""
    space, context = searcher.space, searcher.context
    if not isinstance(context.engine, PopulationEngine):
        return f"the {context.engine.name} engine trains no shared weights"
    if any(name == DEPTH or name.endswith("units") for name in space.knobs):
        return "the space has several architectures"
    if not space.knobs:
        return "the space has one plan"
    one = searcher.from_point(space.anchors()[-1])
    job = Job(one.architecture, one.plan, one.weights, 1, 1, 1.0, "constant", 0, builder=context.builder)
    return unsupported(job)


def prepare(searcher: Searcher) -> Promising | None:
    """Train the supernet, or read it from the study, and choose promising points; None where there is no such phase."""
    settings = searcher.config.search.hybrid
    if not settings.supernet_epochs or searcher.exhausted:
        return None
    if (reason := why_not(searcher)) is not None:
        searcher.study.log(f"no supernet: {reason}")
        return None
    found = _read(searcher.study) or _search(searcher)
    if found is not None:
        searcher.seconds += found.seconds
    return found


def _search(searcher: Searcher) -> Promising | None:
    """Train, judge, store."""
    started = time.perf_counter()
    generator = np.random.default_rng(candidate_seed(searcher.config.seed, "supernet"))
    searcher.report("training the supernet")
    weights = _train(searcher, generator)
    trained = time.perf_counter() - started
    if not all(np.isfinite(values).all() for values in weights.values()):
        searcher.study.log(
            f"no supernet: its training diverged: lower train.learning_rate (now {searcher.config.train.learning_rate})"
        )
        return None
    searcher.report("judging plans on the supernet")
    judged = _judge_rounds(searcher, weights, generator)
    points = _chosen(searcher, judged)
    seconds = time.perf_counter() - started
    found = Promising(points, weights, len(judged), seconds)
    _write(searcher.study, found)
    searcher.study.log(
        f"supernet: trained for {searcher.config.search.hybrid.supernet_epochs:g} epochs in {trained:.1f} s, "
        f"{len(judged)} plans evaluated without training in {seconds - trained:.1f} s, {len(points)} of them proposed"
    )
    return found


def _train(searcher: Searcher, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Train the shared weights from the float parent, every step with the finest plan and random ones."""
    train, data, space = searcher.config.train, searcher.context.data, searcher.space
    finest = searcher.from_point(space.anchors()[-1])
    steps = max(round(searcher.config.search.hybrid.supernet_epochs * steps_per_epoch(len(data.train), train.batch)), 1)
    rows = [[finest.plan, *(searcher.from_point(_random(space, generator)).plan for _ in range(WIDTH - 1))] for _ in range(steps)]
    seed = candidate_seed(searcher.config.seed, "supernet")
    job = Job(finest.architecture, None, finest.weights, 1, train.batch, train.learning_rate, train.decay, seed)
    engine = searcher.context.engine
    if not isinstance(engine, PopulationEngine):
        raise InputError(f"supernet: {why_not(searcher)}")
    return engine.train_shared(job, rows, data)[0]


def _random(space: PlanSpace, generator: np.random.Generator) -> Point:
    return {name: values[int(generator.integers(len(values)))] for name, values in space.knobs.items()}


def _varied(space: PlanSpace, one: Point, other: Point, generator: np.random.Generator) -> Point:
    """Cross two points, then draw about one knob anew."""
    child = {name: (one if generator.random() < 0.5 else other)[name] for name in space.knobs}
    for name in space.knobs:
        if generator.random() < 1 / len(space.knobs):
            child[name] = space.knobs[name][int(generator.integers(len(space.knobs[name])))]
    return child


def _judge(searcher: Searcher, weights: Weights, points: Sequence[Point]) -> list[tuple[Point, Candidate]]:
    """Return points with their candidates on the shared weights: metrics on the validation split, and cost."""
    context, engine = searcher.context, searcher.context.engine
    if not isinstance(engine, PopulationEngine):
        raise InputError(f"supernet: {why_not(searcher)}")
    if not points:
        return []
    bare = [searcher.from_point(point) for point in points]
    candidates = [one.with_(weights=pruned(weights, one.plan)) for one in bare]
    plans, starts, split = [one.plan for one in bare], [one.weights or {} for one in candidates], context.data.validation
    found = []
    outputs = engine.evaluate(bare[0].architecture, plans, starts, split)
    for point, candidate, scores in zip(points, candidates, outputs, strict=True):
        metrics = evaluate(context.data.task, split, scores, context.metrics)
        named = {f"{name}_validation": value for name, value in metrics.items()}
        found.append((point, searcher.counted(candidate.with_(metrics=named)).with_(weights=None)))
    return found


def _best(searcher: Searcher, judged: Sequence[tuple[Point, Candidate]]) -> list[tuple[Point, Candidate]]:
    """Return the non-dominated points, cheapest first, of those within the limits where there are any."""
    candidates, names = [candidate for _, candidate in judged], searcher.config.search.objectives
    members = front(candidates, names, limits(searcher.config)) or front(candidates, names)
    points = {id(candidate): point for point, candidate in judged}
    return [(points[id(candidate)], candidate) for candidate in members]


def _judge_rounds(searcher: Searcher, weights: Weights, generator: np.random.Generator) -> list[tuple[Point, Candidate]]:
    """Judge the anchors and random points with half of the plans, then in rounds what varies the best."""
    space, most = searcher.space, min(searcher.config.search.hybrid.supernet_plans, searcher.space.size)
    known: set[Key] = set()

    def fresh(points: Iterable[Point], count: int) -> list[Point]:
        chosen: list[Point] = []
        for point in points:
            if len(chosen) == count:
                break
            if _key(point) not in known:
                known.add(_key(point))
                chosen.append(point)
        return chosen

    anchors = [{name: point[name] for name in space.knobs} for point in space.anchors()]
    # drawing again what is known already must end, in a small space too
    drawn = (_random(space, generator) for _ in range(4 * most))
    half = max(most // 2, 1)
    first = fresh(anchors, half)
    judged = _judge(searcher, weights, [*first, *fresh(drawn, half - len(first))])
    for left in range(ROUNDS, 0, -1):
        best = [point for point, _ in _best(searcher, judged)]
        pairs = (generator.integers(len(best), size=2) for _ in range(4 * most))
        children = (_varied(space, best[one], best[other], generator) for one, other in pairs)
        judged += _judge(searcher, weights, fresh(children, -(-(most - len(judged)) // left)))
    return judged


def _chosen(searcher: Searcher, judged: Sequence[tuple[Point, Candidate]]) -> list[Point]:
    """Return the front without the anchors, thinned to the population, evenly in the logarithm of the cost."""
    search = searcher.config.search
    anchors = {_key({name: point[name] for name in searcher.space.knobs}) for point in searcher.space.anchors()}
    best = [(point, one) for point, one in _best(searcher, judged) if not search.anchors or _key(point) not in anchors]
    costs = [name for name in search.objectives if OBJECTIVES[name].metric is None]
    if len(best) <= search.population:
        return [point for point, _ in best]
    places = np.arange(len(best), dtype=float)
    if costs:
        places = np.log2(1 + np.array([float(one.cost[costs[0]]) if one.cost is not None else 0.0 for _, one in best]))
    left: set[int] = set(range(len(best)))
    chosen: set[int] = set()
    for target in np.linspace(places[0], places[-1], search.population):
        nearest = min(left, key=lambda number: (abs(places[number] - target), number))
        left.remove(nearest)
        chosen.add(nearest)
    return [best[number][0] for number in sorted(chosen)]


def _write(study: Study, found: Promising) -> None:
    """Store the phase, so that a resumed search goes on from the same; the points last."""
    write_arrays(study.directory / WEIGHTS, dict(found.weights))
    values = {"evaluated": found.evaluated, "seconds": round(found.seconds, 3), "points": [dict(one) for one in found.points]}
    study.note(untrained=found.evaluated)
    write_text(study.directory / FOUND, json.dumps(values, indent=1) + "\n")


def _read(study: Study) -> Promising | None:
    path = study.directory / FOUND
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text())
        points, evaluated, seconds = list(values["points"]), int(values["evaluated"]), float(values["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path}: damaged: remove it and resume, and the supernet is trained again") from None
    return Promising(points, read_arrays(study.directory / WEIGHTS), evaluated, seconds)
