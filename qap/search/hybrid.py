"""The strategy `hybrid`: an evolution whose children inherit weights, and whose survivors are trained on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from qap.candidate import Candidate
from qap.models.architecture import Architecture
from qap.search.allocation import Measured, allocations, measured
from qap.search.heritage import Heritage
from qap.search.objectives import front, limits
from qap.search.searcher import Searcher
from qap.search.space import Point
from qap.search.strategies import OptunaStrategy
from qap.search.study import RUNG
from qap.search.supernet import Promising, prepare

REPEATS = 500  # a sampler that proposes only known plans so often in a row has nothing new to say


def evolve(searcher: Searcher, strategy: OptunaStrategy) -> None:
    """Search until the budget is used up.

    The anchors are trained from the float parent with the whole budget of a candidate; every later plan starts from the
    weights of the nearest trained one and is fine-tuned for a part of it; every few generations the members of the front
    are trained on, each time twice as long. Plans by integer programming (see `qap.search.allocation`) come right after the
    anchors. With a supernet (see `qap.search.supernet`) the plans that look best on its weights follow and start from those
    weights.

    Parameters
    ----------
    searcher : Searcher
    strategy : OptunaStrategy
        Proposes the plans, the anchors first.
    """
    settings, size = searcher.config.search.hybrid, searcher.config.search.population
    strategy.suggest(_allocated(searcher))
    promising, heritage = prepare(searcher), Heritage(searcher.space.knobs)
    if promising is not None:
        strategy.suggest(promising.points)
    anchors = len(searcher.space.anchors()) if searcher.config.search.anchors else 0
    generation = repeats = 0
    while not searcher.exhausted and repeats < REPEATS:
        points = strategy.ask(min(anchors or size, searcher.left or size))
        if not points:
            return
        before = len(searcher.seen)
        whole = bool(anchors) or not settings.inherit
        starts = [_start(searcher, None if whole else heritage, promising, point) for point in points]
        records = searcher.evaluate(starts, epochs=None if whole else settings.fine_tune)
        strategy.tell([searcher.told(record) for record in records])
        for point, record in zip(points, records, strict=False):
            if record.error is None:
                heritage.add(point, record.candidate)
        repeats = 0 if len(searcher.seen) > before else repeats + len(points)
        anchors, generation = 0, generation + 1
        if generation % settings.every == 0:
            _promote(searcher, size)


def _allocated(searcher: Searcher) -> list[Point]:
    """Return plans that an integer program finds from what single layers suffer: a front to begin with, in a second."""
    search, space = searcher.config.search, searcher.space
    most = search.hybrid.allocations if search.trials is None else min(search.hybrid.allocations, search.trials // 4)
    if not most or not space.knobs:
        return []

    def measure(architecture: Architecture) -> Measured:
        return measured(space, architecture, searcher.parent(architecture), searcher.context)

    return list(itertools.islice(allocations(space, measure), most))


def _start(searcher: Searcher, heritage: Heritage | None, promising: Promising | None, point: Point) -> Candidate:
    """Return a point's candidate with the weights it starts from, without a heritage the float parent's."""
    candidate = searcher.from_point(point)
    if heritage is None:
        return candidate
    if promising is not None and (weights := promising.start(point, candidate.plan)) is not None:
        return candidate.with_(weights=weights)
    nearest = heritage.nearest(point, candidate.architecture.id)
    return candidate if nearest is None else candidate.with_(weights=searcher.study.weights(searcher.best[nearest.id]))


def _promote(searcher: Searcher, size: int) -> None:
    """Train the front on, the least trained first."""
    search = searcher.config.search
    members = front(list(searcher.best.values()), search.objectives, limits(searcher.config))
    for rung in range(search.hybrid.rungs):
        chosen: Sequence[Candidate] = [one for one in members if int(one.metrics.get(RUNG, 0)) == rung][:size]
        chosen = [one for one in chosen if (one.id, rung + 1) not in searcher.seen]
        if chosen and not searcher.exhausted:
            starts = [one.with_(weights=searcher.study.weights(one)) for one in chosen]
            searcher.evaluate(starts, epochs=search.hybrid.fine_tune * 2 ** (rung + 1), rung=rung + 1)
