"""What a search asks to be trained, what comes back, and who trains it: this process, or workers elsewhere."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Protocol

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.compress.pipeline import Chain, compress
from qap.search.record import Key
from qap.search.space import Point
from qap.training.job import Failed
from qap.training.keras_engine import KerasEngine

FINAL = 1000
"""Rung of the last training, above all others."""


@dataclass(frozen=True, eq=False)
class Start:
    """A training that a search asks for.

    Parameters
    ----------
    candidate : Candidate
        With the weights to start from.
    epochs : float, optional
        Its budget (None: ``train.epochs``).
    rung : int, default 0
        How often the candidate has been trained before.
    point : mapping, optional
        Choices by knob that the candidate stands for.
    origin : (str, int), optional
        The training whose weights it starts from (None: the float parent's, ``("supernet", 0)``: the supernet's).
    final : bool, default False
        Train by the keras engine, whatever the study's engine.
    """

    candidate: Candidate
    epochs: float | None = None
    rung: int = 0
    point: Point | None = None
    origin: Key | None = None
    final: bool = False

    @property
    def key(self) -> Key:
        """Candidate and rung."""
        return self.candidate.id, self.rung


@dataclass(frozen=True, eq=False)
class Done:
    """What became of a start.

    Parameters
    ----------
    start : Start
    result : Candidate or Failed
        With weights and metrics on the validation split.
    cpu_seconds : float, default 0.0
        That its training took in another process.
    """

    start: Start
    result: Candidate | Failed
    cpu_seconds: float = 0.0


class Executor(Protocol):
    """Trains what it is given, in any order."""

    def submit(self, starts: Sequence[Start]) -> None:
        """Take trainings; returns at once."""
        ...

    def collect(self) -> Sequence[Done]:
        """Wait until something is done."""
        ...

    def close(self) -> None:
        """Stop; what is not done is lost."""
        ...


def run(starts: Sequence[Start], context: Context, chain: Chain) -> Iterator[Done]:
    """Train starts of one budget side by side.

    Parameters
    ----------
    starts : sequence of Start
        Of equal `epochs` and `final`.
    context : Context
    chain : Chain

    Yields
    ------
    Done
        In order, each as soon as it and those before it are done.
    """
    first = starts[0]
    engine = KerasEngine() if first.final else context.engine
    context = replace(context, epochs=first.epochs, engine=engine)
    for start, result in zip(starts, compress((one.candidate for one in starts), context, chain), strict=True):
        yield Done(start, result)


class Inline:
    """Trains in this process, in order; what was submitted together runs side by side.

    Parameters
    ----------
    context : callable
        Returns the context: a search completes it after its executor is made.
    chain : Chain
    """

    def __init__(self, context: Callable[[], Context], chain: Chain) -> None:
        self._context, self._chain = context, chain
        self._queue: deque[Start] = deque()
        self._running: Iterator[Done] = iter(())

    def submit(self, starts: Sequence[Start]) -> None:
        """Queue trainings."""
        self._queue.extend(starts)

    def collect(self) -> Sequence[Done]:
        """Train the next one, nothing where nothing is queued."""
        for done in self._running:
            return [done]
        batch = list(alike(self._queue))
        if not batch:
            return []
        for _ in batch:
            self._queue.popleft()
        self._running = run(batch, self._context(), self._chain)
        return self.collect()

    def close(self) -> None:
        """Forget what is queued."""
        self._queue.clear()
        self._running = iter(())


def alike(starts: Sequence[Start] | deque[Start]) -> Iterator[Start]:
    """Return the first starts that have one budget and one engine."""
    return takewhile(lambda one: (one.epochs, one.final) == (starts[0].epochs, starts[0].final), starts)
