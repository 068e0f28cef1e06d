"""The strategy `hybrid`: an evolution whose children inherit weights, and whose survivors are trained on."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence

from qap.models.architecture import Architecture
from qap.search.allocation import Measured, allocations, measured
from qap.search.heritage import Heritage
from qap.search.objectives import front, limits
from qap.search.record import Record, training
from qap.search.searcher import Searcher
from qap.search.space import Point
from qap.search.strategies import OptunaStrategy
from qap.search.supernet import prepare
from qap.search.work import Start

SUPERNET = "supernet", 0
"""Origin of trainings that start from the weights of the supernet."""


class Evolution:
    """Source of the trainings of an evolution (see `qap.search.loop.Source`).

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

    def __init__(self, searcher: Searcher, strategy: OptunaStrategy) -> None:
        self._searcher, self._strategy = searcher, strategy
        self._settings, self._size = searcher.config.search.hybrid, searcher.config.search.population
        strategy.suggest(_allocated(searcher))
        self._promising, self._heritage = prepare(searcher), Heritage(searcher.space.knobs)
        if self._promising is not None:
            strategy.suggest(self._promising.points)
        self._anchors = len(searcher.space.anchors()) if searcher.config.search.anchors else 0
        self._untold = 0
        self._generation = 0
        self._left = self._anchors or self._size
        self._promoted: deque[Start] = deque()

    def ask(self, most: int) -> Sequence[Start]:
        """Return survivors to train on, else anchors, else children; none while the anchors are in training."""
        if self._promoted:
            return [self._promoted.popleft() for _ in range(min(most, len(self._promoted)))]
        if self._anchors and self._untold:
            return []
        left = self._searcher.left
        count = self._anchors if left is None else min(self._anchors, left)
        whole = bool(self._anchors) or not self._settings.inherit
        starts = [self._start(point, whole) for point in self._strategy.ask(count or min(most, self._size))]
        self._untold += len(starts)
        return starts

    def tell(self, start: Start, record: Record | None) -> None:
        """Let the sampler and the heirs know of a training; after the last of a generation the survivors are chosen."""
        if start.point is None:
            return
        self._strategy.tell(self._searcher.told(record))
        if record is not None and record.error is None:
            self._heritage.add(start.point, record.candidate)
        self._untold -= 1
        self._left -= 1
        if self._anchors and not self._untold:
            self._anchors = self._left = 0
        if self._left <= 0:
            self._left, self._generation = self._size, self._generation + 1
            if self._generation % self._settings.every == 0:
                self._promote()

    def learn(self, record: Record) -> None:
        """Let the sampler and the heirs know of what another driver has trained."""
        if record.point is not None and record.error is None:
            self._strategy.learn(record.point, self._searcher.told(record))
            if record.point.keys() >= self._searcher.space.knobs.keys():
                self._heritage.add(record.point, record.candidate)

    def _start(self, point: Point, whole: bool) -> Start:
        """Return a point's candidate with the weights it starts from, with the whole budget the float parent's."""
        candidate = self._searcher.from_point(point)
        if whole:
            return Start(candidate, point=point)
        fine_tune = self._settings.fine_tune
        if self._promising is not None and (weights := self._promising.start(point, candidate.plan)) is not None:
            return Start(candidate.with_(weights=weights), fine_tune, point=point, origin=SUPERNET)
        nearest = self._heritage.nearest(point, candidate.architecture.id)
        if nearest is None:  # beside other drivers none of the anchors may have been this one's
            return Start(candidate, fine_tune if self._searcher.meeting is None else None, point=point)
        origin = self._searcher.best[nearest.id]
        weights = self._searcher.study.weights(origin)
        return Start(candidate.with_(weights=weights), fine_tune, point=point, origin=training(origin))

    def _promote(self) -> None:
        """Have the front trained on, the least trained first."""
        searcher = self._searcher
        members = front(list(searcher.best.values()), searcher.config.search.objectives, limits(searcher.config))
        for rung in range(self._settings.rungs):
            for one in [one for one in members if training(one)[1] == rung][: self._size]:
                if (one.id, rung + 1) not in searcher.numbers:
                    weights = searcher.study.weights(one)
                    epochs = self._settings.fine_tune * 2 ** (rung + 1)
                    self._promoted.append(Start(one.with_(weights=weights), epochs, rung + 1, origin=training(one)))


def _allocated(searcher: Searcher) -> list[Point]:
    """Return plans that an integer program finds from what single layers suffer: a front to begin with, in a second."""
    search, space = searcher.config.search, searcher.space
    most = search.hybrid.allocations if search.trials is None else min(search.hybrid.allocations, search.trials // 4)
    if not most or not space.knobs:
        return []

    def measure(architecture: Architecture) -> Measured:
        return measured(space, architecture, searcher.parent(architecture), searcher.context)

    return list(itertools.islice(allocations(space, measure), most))
