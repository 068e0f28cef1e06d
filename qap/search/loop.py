"""The loop of every search: ask, train, tell, in an order that does not depend on who trains.

A source is told of its trainings in the order in which it asked for them. With a window of N the training number n is asked for
when all up to n − N have been told: no generation waits for its last member, and any number of workers, killed or not, gives the
same search.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from qap.search.record import Record
from qap.search.searcher import Searcher
from qap.search.work import Start

REPEATS = 500
"""A source that asks only for what is trained already so often in a row has nothing new to say."""


class Source(Protocol):
    """Where the trainings of a search come from."""

    def ask(self, most: int) -> Sequence[Start]:
        """Return what to train next; nothing where it waits for what it has asked for, or where there is nothing left."""
        ...

    def tell(self, start: Start, record: Record | None) -> None:
        """Take what became of a training, in the order of asking; None where another driver has taken it."""
        ...

    def learn(self, record: Record) -> None:
        """Take what another driver has trained."""
        ...


class Listed:
    """Trainings that are known beforehand.

    Parameters
    ----------
    starts : iterable of Start
        Made one by one as they are asked for.
    """

    def __init__(self, starts: Iterable[Start]) -> None:
        self._starts = iter(starts)

    def ask(self, most: int) -> Sequence[Start]:
        """Return the next ones."""
        return [start for _, start in zip(range(most), self._starts, strict=False)]

    def tell(self, start: Start, record: Record | None) -> None:
        """Nothing is learnt."""

    def learn(self, record: Record) -> None:
        """Nothing is learnt."""


def search(searcher: Searcher, source: Source, size: int, window: int | None = None, *, beyond: bool = False) -> None:
    """Train what a source asks for until it has nothing more to say or the budget is used up.

    Parameters
    ----------
    searcher : Searcher
    source : Source
    size : int
        Trainings that are asked for at once, all told before the next are asked for.
    window : int, optional
        Trainings under way at most, one asked for whenever one is told; takes the place of `size`.
    beyond : bool, default False
        Whatever the budget has left.
    """
    waiting: deque[Start] = deque()
    repeats = 0
    while repeats < REPEATS:
        for record in searcher.pull():
            source.learn(record)
        if not waiting or (window is not None and len(waiting) < window):
            waiting.extend(searcher.submit(_asked(searcher, source, (window or size) - len(waiting), beyond)))
        if not waiting and searcher.settled():
            return
        for _ in range(min(1 if window is not None else len(waiting), len(waiting))):
            before, start = len(searcher.seen), waiting.popleft()
            if searcher.late and not start.final and start.key not in searcher.seen:
                return
            source.tell(start, searcher.result(start))
            repeats = 0 if len(searcher.seen) > before else repeats + 1


def _asked(searcher: Searcher, source: Source, most: int, beyond: bool) -> Sequence[Start]:
    if searcher.exhausted and not beyond:
        return []
    searcher.begin()
    return source.ask(most if searcher.left is None or beyond else min(most, searcher.left))
