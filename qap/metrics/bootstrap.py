"""Errors of any statistic by the bootstrap over events.

Reference: B. Efron, Bootstrap methods: another look at the jackknife, Ann. Statist. 7 (1979) 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from qap.errors import InputError
from qap.metrics.weights import event_weights

Statistic = Callable[[np.ndarray], float]
"""A number from event weights, for example ``functools.partial(accuracy, labels, scores)``."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value measured on all events, and the bounds of its central interval over the replicas."""

    value: float
    low: float
    high: float


def _replicas(events: int, replicas: int, seed: int) -> Iterator[np.ndarray]:
    """Yield how often each event is drawn, one array per replica; the same seed gives the same draws."""
    generator = np.random.default_rng(seed)
    for _ in range(replicas):
        yield np.bincount(generator.integers(0, events, events), minlength=events).astype(np.float64)


def bootstrap(
    statistic: Statistic,
    events: int,
    *,
    weights: np.ndarray | None = None,
    replicas: int = 200,
    seed: int = 0,
    coverage: float = 0.68,
) -> Interval:
    """Return a statistic with its percentile interval over events drawn with replacement.

    Parameters
    ----------
    statistic : callable
        Takes (events,) event weights, returns a number. A replica reaches it as weights: the event weight times the
        number of times the event was drawn.
    events : int
        Number of events.
    weights : (events,) array, optional
        Event weights.
    replicas : int, default 200
    seed : int, default 0
        The same seed draws the same events, so intervals of candidates on the same events share their fluctuations.
    coverage : float, default 0.68
        Fraction of the replicas inside the interval.

    Returns
    -------
    Interval

    Raises
    ------
    InputError
        No events, fewer than 2 replicas, a coverage outside (0, 1), or weights of another length.
    """
    if events < 1 or replicas < 2 or not 0 < coverage < 1:
        raise InputError(
            "bootstrap: expected events, at least 2 replicas and a coverage between 0 and 1, received "
            f"{events}, {replicas} and {coverage}"
        )
    weight = event_weights(weights, events)
    values = [statistic(weight * counts) for counts in _replicas(events, replicas, seed)]
    low, high = np.quantile(values, [(1 - coverage) / 2, (1 + coverage) / 2])
    return Interval(float(statistic(weight)), float(low), float(high))


def paired_difference(
    first: Statistic,
    second: Statistic,
    events: int,
    *,
    weights: np.ndarray | None = None,
    replicas: int = 200,
    seed: int = 0,
    coverage: float = 0.68,
) -> Interval:
    """Return first − second, both taken on the same drawn events; parameters as for `bootstrap`.

    The fluctuations that two candidates share on the same events cancel, so the interval is narrower than the two
    intervals suggest.
    """
    return bootstrap(
        lambda weight: first(weight) - second(weight),
        events,
        weights=weights,
        replicas=replicas,
        seed=seed,
        coverage=coverage,
    )
