"""Strategies: where the next points come from. Each asks and is told, in turn; none knows what a plan costs to train."""

from __future__ import annotations

import itertools
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # in a notebook tqdm, which Optuna loads, advises on widgets
    import optuna

from qap.config.schema import Search
from qap.errors import InputError, suggestion
from qap.search.allocation import Measure, allocations
from qap.search.objectives import OBJECTIVES
from qap.search.space import PlanSpace, Point

VIOLATIONS = "violations"
"""User attribute of the trials: how far each limit is exceeded, as Optuna's constraints_func takes it."""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a point.

    Parameters
    ----------
    values : sequence of float or None
        Objective values; None: it could not be trained.
    violations : sequence of float
        How far it exceeds each limit.
    """

    values: Sequence[float] | None
    violations: Sequence[float] = ()


class Strategy(Protocol):
    """Proposes points, several at a time, and learns from their values."""

    def ask(self, count: int) -> list[Point]:
        """Return the next points, at most so many; none when there is none left."""
        ...

    def tell(self, told: Told) -> None:
        """Take what became of a point, in the order of asking; points at the end may stay untold."""
        ...

    def learn(self, point: Point, told: Told) -> None:
        """Take what became of a point that this strategy has not asked for."""
        ...


class Grid:
    """The classic sweep: a fixed list of points."""

    def __init__(self, points: Iterable[Point]) -> None:
        self._points: Iterator[Point] = iter(points)

    def ask(self, count: int) -> list[Point]:
        """Return the next points of the list."""
        return list(itertools.islice(self._points, count))

    def tell(self, told: Told) -> None:
        """Nothing is learnt from a sweep."""

    def learn(self, point: Point, told: Told) -> None:
        """Nothing is learnt from a sweep."""


class OptunaStrategy:
    """Any Optuna sampler, the study kept in memory: a resumed search asks and tells it again from the start.

    Parameters
    ----------
    knobs : mapping
        Choices by knob.
    sampler : optuna.samplers.BaseSampler
    objectives : sequence of str
    first : iterable of Point
        Points to begin with.
    """

    def __init__(
        self,
        knobs: Mapping[str, Sequence[int | float]],
        sampler: Any,
        objectives: Sequence[str],
        first: Iterable[Point],
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._distributions = {name: _distribution(values) for name, values in knobs.items()}
        directions = [OBJECTIVES[name].direction for name in objectives]
        self._study = optuna.create_study(directions=directions, sampler=sampler)
        self._untold: deque[optuna.Trial] = deque()
        self.suggest(first)

    def suggest(self, points: Iterable[Point]) -> None:
        """Propose points before the sampler's own, after those suggested earlier; knobs that a point leaves out are sampled."""
        for point in points:
            self._study.enqueue_trial({name: point[name] for name in self._distributions if name in point})

    def ask(self, count: int) -> list[Point]:
        """Let the sampler choose."""
        trials = [self._study.ask(self._distributions) for _ in range(count)]
        self._untold.extend(trials)
        return [dict(trial.params) for trial in trials]

    def tell(self, told: Told) -> None:
        """Give the values to the sampler, which prefers points within the limits."""
        trial = self._untold.popleft()
        trial.set_user_attr(VIOLATIONS, list(told.violations))
        if told.values is None:
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(trial, list(told.values))

    def learn(self, point: Point, told: Told) -> None:
        """Give a point of another driver to the sampler."""
        if told.values is not None and point.keys() >= self._distributions.keys():
            known = {name: point[name] for name in self._distributions}
            attributes = {VIOLATIONS: list(told.violations)}
            self._study.add_trial(
                optuna.trial.create_trial(
                    params=known, distributions=self._distributions, values=list(told.values), user_attrs=attributes
                )
            )


def _distribution(values: Sequence[int | float]) -> Any:
    """Return ordered integers where the choices are consecutive ones, else a list of choices."""
    if all(isinstance(value, int) for value in values) and list(values) == list(range(int(values[0]), int(values[-1]) + 1)):
        return optuna.distributions.IntDistribution(int(values[0]), int(values[-1]))
    return optuna.distributions.CategoricalDistribution(list(values))


def _violations(trial: Any) -> Sequence[float]:
    return trial.user_attrs[VIOLATIONS]


def _sampler(search: Search, seed: int, constrained: bool) -> Any:
    constraints = _violations if constrained else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna marks some of its options as experimental
        if search.strategy in ("nsga2", "hybrid"):
            return optuna.samplers.NSGAIISampler(population_size=search.population, seed=seed, constraints_func=constraints)
        if search.strategy == "tpe":
            return optuna.samplers.TPESampler(seed=seed, multivariate=True, constraints_func=constraints)
        return optuna.samplers.RandomSampler(seed=seed)


def _check_points(points: Sequence[Point], space: PlanSpace) -> None:
    for point in points:
        for name, value in point.items():
            if name not in space.knobs:
                raise InputError(f"points: no knob {name!r}{suggestion(name, space.knobs)}")
            if value not in space.knobs[name]:
                raise InputError(f"points: {name}: expected one of {space.knobs[name]}, received {value!r}")


def make_strategy(
    search: Search,
    space: PlanSpace,
    seed: int,
    sampler: Any = None,
    points: Sequence[Point] = (),
    *,
    constrained: bool = False,
    measure: Measure | None = None,
) -> Strategy:
    """Return the strategy of a study file, or one around the user's own Optuna sampler.

    Parameters
    ----------
    search : Search
    space : PlanSpace
    seed : int
    sampler : optuna.samplers.BaseSampler, optional
        Takes the place of ``search.strategy``.
    points : sequence of mapping, optional
        Proposed first.
    constrained : bool, default False
        Whether there are limits that the sampler should keep; a user's own sampler finds the excesses in the user attribute
        ``violations`` of the trials.
    measure : callable, optional
        Architecture → what its layers suffer, and types of its activations: what the strategy ``allocation`` rests on.

    Raises
    ------
    InputError
        The sampler is not one of Optuna's, a point lies outside the space, or there is nothing for ``allocation`` to rest on.
    """
    _check_points(points, space)
    if sampler is not None and not isinstance(sampler, optuna.samplers.BaseSampler):
        raise InputError(f"sampler: expected an Optuna sampler, received {type(sampler).__name__}")
    if sampler is None and search.strategy == "grid":
        return Grid([*points, *space.uniform()])
    if sampler is None and search.strategy == "allocation":
        if measure is None:
            raise InputError("search.strategy: allocation needs a measurement of what layers suffer, received none")
        return Grid(allocations(space, measure, points))
    adaptive = sampler is not None or search.strategy in ("hybrid", "nsga2", "tpe")
    first = space.anchors() if adaptive and search.anchors else []
    return OptunaStrategy(space.knobs, sampler or _sampler(search, seed, constrained), search.objectives, [*points, *first])
