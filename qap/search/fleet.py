"""Workers beside the search: processes of this machine, a Dask cluster, or the jobs of a batch system.

The search asks, counts and writes; workers train. They may come and go: a training whose worker has died is sent again, alone
when it was one of several, for what kills a worker may be their number.
"""

from __future__ import annotations

import contextlib
import math
import queue
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from qap.errors import InputError, QapError, ToolMissingError
from qap.models.builders import Weights
from qap.search.messages import Assignment, Message, read_result, start_message
from qap.search.work import Done, Start, alike
from qap.search.worker import BROKEN, DONE, LATE, NO_MEMORY, REFUSED, train
from qap.search.workers import Pool
from qap.training.job import Failed

DEATHS = 12
"""Workers that may die of one training before it is dropped: kills by chance must not cost a candidate."""
TOGETHER = 8
"""Trainings in one message at most."""
RETRY_SECONDS, PATIENCE_SECONDS = 2.0, 120.0
"""A scheduler that is lost is looked for so often and for so long."""
DEATH, CANCELLED = ("KilledWorker", "CommClosedError"), ("FutureCancelledError", "CancelledError")
"""Errors of Dask for a training whose worker has died, and for one that the scheduler does not know any more."""
LOOK_SECONDS = 2.0
"""Workers are counted so often."""
HEAL_SECONDS = 5.0
"""Without a result for so long, workers that have ended are looked for."""

ERRORS = {kind.__name__: kind for kind in (QapError, InputError, ToolMissingError)}

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class _Task:
    """Trainings in one message, and how many workers have died of it."""

    starts: tuple[Start, ...]
    deaths: int = 0


@dataclass(eq=False)
class Fleet:
    """An executor whose trainings run on the workers of a Dask cluster.

    Parameters
    ----------
    pool : Pool
        Asked for a client again when its scheduler is lost.
    assignment : Assignment
    say : callable
        Told of workers that have died, and of a scheduler that is lost.
    parent : callable, optional
        Architecture → folded weights of its float parent, for methods with a teacher.
    """

    pool: Pool
    assignment: Assignment
    say: Say
    parent: Callable[[Start], Weights] | None = None
    _queue: deque[Start] = field(default_factory=deque)
    _futures: dict[Any, _Task] = field(default_factory=dict)
    _finished: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)
    _seen: tuple[float, int] = (-math.inf, 0)

    def __post_init__(self) -> None:
        self._client = self.pool.connect()

    def submit(self, starts: Sequence[Start]) -> None:
        """Queue trainings; they leave together at the next `collect`."""
        self._queue.extend(starts)

    def collect(self) -> Sequence[Done]:
        """Send what is queued, and wait until a message is done.

        Raises
        ------
        InputError, QapError
            What a worker has refused, or the scheduler is lost for good.
        """
        self._send()
        while self._futures:
            try:
                future = self._finished.get(timeout=HEAL_SECONDS)
            except queue.Empty:
                self.pool.heal()
                continue
            task = self._futures.pop(future, None)
            if task is not None and (found := self._read(future, task)):
                return found
        return []

    def close(self) -> None:
        """Take back what is not done."""
        with contextlib.suppress(Exception):  # the scheduler may be gone already
            self._client.cancel(list(self._futures), reason="the search has ended")
            self._client.close(timeout=5)
        self._futures.clear()

    def _send(self) -> None:
        """Send what is queued: several trainings in a message, fewer only where a worker would wait."""
        if not self._queue:
            return
        workers = self._workers
        flying = sum(len(task.starts) for task in self._futures.values())
        each = min(max((flying + len(self._queue)) // (2 * workers), 1), TOGETHER)
        while self._queue:
            starts = tuple(start for _, start in zip(range(each), alike(self._queue), strict=False))
            if len(starts) == len(self._queue) < each and len(self._futures) >= 2 * workers:
                return
            for _ in starts:
                self._queue.popleft()
            self._give(_Task(starts))

    @property
    def _workers(self) -> int:
        """Workers at the last look; asking the scheduler for every training would take longer than sending it."""
        now, (then, count) = time.monotonic(), self._seen
        if now > then + LOOK_SECONDS:
            count = int(self._client.scheduler_info(n_workers=0)["n_workers"])
            self._seen = now, count
        return max(count, 1)

    def _give(self, task: _Task) -> None:
        messages = [start_message(one, None if self.parent is None else self.parent(one)) for one in task.starts]
        future = self._client.submit(train, self.assignment.to_dict(), messages, pure=False)
        self._futures[future] = task
        future.add_done_callback(self._finished.put)

    def _read(self, future: Any, task: _Task) -> list[Done]:
        """Return what a message has brought; what its worker has not done is sent again."""
        if future.status not in ("finished", "error"):
            self._reconnect(task)
            return []
        try:
            message = future.result()  # lies on the worker, which may have died meanwhile
        except Exception as error:
            return self._lost(error, task)
        return self._outcome(message, task)

    def _outcome(self, message: Message, task: _Task) -> list[Done]:
        if DONE in message:
            return [read_result(one, start) for one, start in zip(message[DONE], task.starts, strict=True)]
        if LATE in message:
            return self._late(task)
        if NO_MEMORY in message:
            return self._again(message[NO_MEMORY], task)
        if REFUSED in message:
            kind, text = message[REFUSED]
            raise ERRORS[kind](text)
        raise QapError(f"worker: {message[BROKEN]}")

    def _late(self, task: _Task) -> list[Done]:
        if len(task.starts) > 1:
            self._split(task, 0)
            return []
        (start,) = task.starts
        return [Done(start, Failed(f"its training took longer than search.candidate_seconds ({self.assignment.seconds:g} s)"))]

    def _lost(self, error: Exception, task: _Task) -> list[Done]:
        if type(error).__name__ in CANCELLED:
            self._reconnect(task)
            return []
        if type(error).__name__ not in DEATH:
            raise QapError(f"worker: {type(error).__name__}: {error}") from error
        return self._again(type(error).__name__, task)

    def _again(self, reason: str, task: _Task) -> list[Done]:
        """Send trainings again that a worker died of, each alone, until they have cost too many workers."""
        ids = ", ".join(start.candidate.id for start in task.starts)
        self.say(f"a worker was lost while it trained {ids} ({reason}): sent again")
        if len(task.starts) > 1 or task.deaths + 1 < DEATHS:
            self._split(task, task.deaths + 1)
            return []
        return [Done(task.starts[0], Failed(f"{DEATHS} workers have died of its training: too little memory for it?"))]

    def _split(self, task: _Task, deaths: int) -> None:
        for start in task.starts:
            self._give(_Task((start,), deaths))

    def _reconnect(self, task: _Task) -> None:
        """Look for the scheduler, and send everything again that was under way."""
        lost = [task, *self._futures.values()]
        self._futures.clear()
        self._finished = queue.SimpleQueue()
        self.say("the scheduler is lost: looking for it")
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            with contextlib.suppress(Exception):
                self._client.close(timeout=1)
            try:
                self._client = self.pool.connect()
                break
            except (OSError, TimeoutError) as error:
                if time.monotonic() > until:
                    raise QapError(f"the scheduler is lost ({error}): what is trained is kept, go on with --resume") from None
                time.sleep(RETRY_SECONDS)
        for one in lost:
            self._give(one)
