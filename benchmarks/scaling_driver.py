"""The driver of a search under a stopwatch: with real workers, with workers of Dask that train nothing, with simulated ones."""

from __future__ import annotations

import contextlib
import heapq
import importlib
import multiprocessing
import queue
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import psutil

from qap.config.schema import Study as Config
from qap.search.messages import Message, read_start, result_message
from qap.search.run import run_search
from qap.search.searcher import Searcher
from qap.search.work import Done
from qap.search.worker import DONE
from qap.search.workers import SETTINGS, Pool

PARTS = {  # what the driver does → functions that do it, each without what it calls of the others
    "sampler": ["strategies:OptunaStrategy.ask", "strategies:OptunaStrategy.tell"],
    "front": ["hybrid:front"],
    "asking": ["hybrid:Evolution.ask", "hybrid:Evolution.tell", "run:Sampled.ask", "run:Sampled.tell"],
    "counting": ["searcher:Searcher.counted"],
    "messages": ["fleet:start_message", "fleet:read_result", "fleet:Fleet.submit", "fleet:Fleet.collect"],
    "writing": ["study:Study.add", "study:Study.log", "study:Study.weights"],
    "keeping": ["loop:search"],
    "first plans": ["hybrid:_allocated"],
    "float parent": ["searcher:Searcher.parent"],
    "training": ["work:Inline.collect"],
}
HEAVY = "first plans", "float parent", "training", "start"
"""Parts that TensorFlow's threads work for; what other threads do during the others is Dask's."""
DRIVER = "sampler", "front", "asking", "counting", "messages", "writing", "keeping", "first plans", "dask"
"""What a search does besides training, the float parent and the start."""


class Stopwatch:
    """CPU seconds by part, each without the parts inside it.

    Attributes
    ----------
    cpu : Counter
        By part; ``dask`` is what other threads took while the main one was not training.
    laps : list of Counter
        The same when each training was stored, noted by `lap`.
    fsync : list of float
        Seconds of waiting for the disk.
    """

    def __init__(self) -> None:
        self.cpu: Counter[str] = Counter()
        self.laps: list[Counter[str]] = []
        self.fsync: list[float] = []
        self._parts = ["start"]
        self._mark = time.thread_time(), time.process_time()

    def charge(self) -> None:
        """Give the time since the last call to the part that runs."""
        thread, process = time.thread_time(), time.process_time()
        own, whole = thread - self._mark[0], process - self._mark[1]
        self._mark = thread, process
        heavy = self._parts[-1] in HEAVY
        self.cpu[self._parts[-1]] += whole if heavy else own
        self.cpu["dask"] += 0.0 if heavy else whole - own

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Run a part."""
        self.charge()
        self._parts.append(name)
        try:
            yield
        finally:
            self.charge()
            self._parts.pop()

    def timed(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose time is that of a part."""

        def run(*values: Any, **named: Any) -> Any:
            with self.part(name):
                return work(*values, **named)

        return run

    def lap(self, note: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that also notes where the clock stands."""

        def run(*values: Any) -> Any:
            self.charge()
            self.laps.append(Counter(self.cpu))
            return note(*values)

        return run

    def waited(self, fsync: Callable[[int], None]) -> Callable[[int], None]:
        """Return ``os.fsync`` with a clock."""

        def run(descriptor: int) -> None:
            begun = time.perf_counter()
            fsync(descriptor)
            self.fsync.append(time.perf_counter() - begun)

        return run

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Let every part run under this clock."""
        with ExitStack() as stack:
            for part, names in PARTS.items():
                for name in names:
                    owner, attribute = _found(name)
                    stack.enter_context(patch.object(owner, attribute, self.timed(part, getattr(owner, attribute))))
            run, searcher = (importlib.import_module(f"qap.search.{name}") for name in ("run", "searcher"))
            stack.enter_context(patch.object(run, "train_all", self.timed("keeping", run.train_all)))
            stack.enter_context(patch.object(searcher.Searcher, "_store", self.lap(searcher.Searcher._store)))
            files = importlib.import_module("qap.files")
            stack.enter_context(patch.object(files.os, "fsync", self.waited(files.os.fsync)))
            yield

    @property
    def driver(self) -> float:
        """CPU seconds of the driver but for start, float parent and training."""
        return sum(self.cpu[name] for name in DRIVER)


def _found(name: str) -> tuple[Any, str]:
    module, _, path = name.partition(":")
    owner = importlib.import_module(f"qap.search.{module}")
    *classes, attribute = path.split(".")
    for one in classes:
        owner = getattr(owner, one)
    return owner, attribute


def stand_in(assignment: Message, messages: Sequence[Message]) -> Message:
    """Answer as a worker does, without training: the smallest weights become zero, an accuracy is drawn from the plan's bits."""
    found = []
    for message in messages:
        one = read_start(message).candidate
        bits = sum(layer.weight.bits * (1 - layer.sparsity) for _, layer in one.plan.items())
        noise = np.random.default_rng(int(one.id, 16) + message["rung"]).normal()
        metrics = {"accuracy_validation": float(0.75 - 0.5 * np.exp(-bits / 5) + 0.002 * noise), "loss_train": 1.0}
        weights = dict(one.weights or {})
        for name, layer in one.plan.items():
            kernel = weights[f"{name}/kernel"]
            weights[f"{name}/kernel"] = np.where(np.abs(kernel) >= np.quantile(np.abs(kernel), layer.sparsity), kernel, 0)
        found.append(result_message(one.with_(weights=weights, metrics=metrics), 0.0))
    return {DONE: found}


@dataclass(eq=False)
class _Future:
    """A message in training on a simulated worker."""

    found: Message
    status: str = "finished"

    def result(self) -> Message:
        return self.found

    def add_done_callback(self, call: Callable[[Any], None]) -> None:
        call(self)


@dataclass(eq=False)
class Farm:
    """Simulated workers: client and queue of the real `qap.search.fleet.Fleet`, on a clock of their own.

    The clock runs with the CPU time and the waits for the disk that the driver takes, and jumps to the next result whenever the
    driver has nothing to do: an hour of a thousand workers takes as long as the driver works in it.

    Parameters
    ----------
    watch : Stopwatch
    count : int
        Workers.
    seconds : float
        Mean time of a training.
    spread : float
        Standard deviation of its logarithm.
    each : float
        Seconds that Dask needs for a message, added to the driver's.

    Attributes
    ----------
    busy : float
        Seconds in which workers have trained, summed.
    """

    watch: Stopwatch
    count: int
    seconds: float
    spread: float = 0.3
    each: float = 0.0
    busy: float = 0.0
    ends: list[float] = field(default_factory=list)
    _idle: float = 0.0
    _begun: float | None = None
    _messages: int = 0
    _free: list[float] = field(default_factory=list)
    _flying: list[tuple[float, int, _Future]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._draw = np.random.default_rng(1)
        self._free = [0.0] * self.count

    @property
    def now(self) -> float:
        """Seconds since the first message."""
        self.watch.charge()
        worked = self.watch.driver - self.watch.cpu["dask"] - self.watch.cpu["first plans"] + sum(self.watch.fsync)
        self._begun = worked if self._begun is None else self._begun
        return worked - self._begun + self._idle + self.each * self._messages

    def submit(self, train: Any, assignment: Message, messages: Sequence[Message], pure: bool) -> _Future:
        """Give a message to the worker that is free first."""
        with self.watch.part("stand-in"):
            future = _Future(stand_in(assignment, messages))
        self._messages += 1
        took = float(self.seconds * np.exp(self._draw.normal(-(self.spread**2) / 2, self.spread, len(messages))).sum())
        end = max(heapq.heappop(self._free), self.now) + took
        heapq.heappush(self._free, end)
        self.busy += took
        heapq.heappush(self._flying, (end, self._messages, future))
        return future

    def put(self, future: _Future) -> None:
        """Results come when their time has come."""

    def get(self, timeout: float) -> _Future:
        """Return the next result; the clock jumps to it."""
        if not self._flying:
            raise queue.Empty
        end, _, future = heapq.heappop(self._flying)
        self._idle += max(end - self.now, 0.0)
        self.ends.append(self.now)
        return future

    def scheduler_info(self, n_workers: int = -1) -> dict[str, Any]:
        """Say how many workers there are."""
        return {"n_workers": self.count, "workers": dict.fromkeys(range(self.count))}

    def cancel(self, futures: Any, reason: str) -> None:
        """Nothing runs."""

    def close(self, timeout: float = 0) -> None:
        """Nothing is open."""

    def check(self) -> None:
        """Simulated workers are always there."""

    @contextlib.contextmanager
    def open(self) -> Iterator[Pool]:
        """Stand for `qap.search.workers.Workers`."""
        yield Pool(lambda: self)


def _light(address: str, count: int, security: Any) -> None:
    """Run many workers of Dask in this process."""
    import asyncio
    import logging

    from distributed import Worker

    logging.getLogger("distributed").setLevel(logging.CRITICAL)

    async def main() -> None:
        some = [Worker(address, nthreads=1, security=security, name=str(number)) for number in range(count)]
        await asyncio.gather(*some)
        await asyncio.gather(*(one.finished() for one in some))

    asyncio.run(main())


@dataclass(frozen=True)
class Light:
    """Workers of Dask that train nothing, all in one process: stand for `qap.search.workers.Workers`.

    Parameters
    ----------
    count : int
    """

    count: int

    def check(self) -> None:
        """Nothing can be missing."""

    @contextlib.contextmanager
    def open(self) -> Iterator[Pool]:
        """Start scheduler and workers as `Workers` does, encrypted."""
        import dask
        import distributed

        security = distributed.Security.temporary()
        with dask.config.set(SETTINGS), distributed.LocalCluster(
            n_workers=0, processes=True, host="127.0.0.1", dashboard_address=None, security=security
        ) as cluster:  # fmt: skip
            process = multiprocessing.get_context("spawn").Process(
                target=_light, args=(cluster.scheduler_address, self.count, security), daemon=True
            )
            process.start()
            with distributed.Client(cluster, set_as_default=False) as client:
                client.wait_for_workers(self.count)
            try:
                yield Pool(lambda: distributed.Client(cluster, set_as_default=False))
            finally:
                process.kill()


@dataclass(frozen=True)
class Run:
    """What a search took.

    Parameters
    ----------
    cpu : Counter
        Seconds of the driver by part.
    laps : list of Counter
        The same after each training.
    workers : float
        CPU seconds of the worker processes, their start with it.
    trained : float
        CPU seconds of the trainings alone, as the workers say.
    seconds : float
        From the first training to the last.
    fsync : float
        Seconds of waiting for the disk.
    trials : int
        Trainings.
    """

    cpu: Counter[str]
    laps: list[Counter[str]]
    workers: float
    trained: float
    seconds: float
    fsync: float
    trials: int

    @property
    def driver(self) -> float:
        """CPU seconds of the driver but for start, float parent and training."""
        return sum(self.cpu[name] for name in DRIVER)


def children() -> float:
    """Return the CPU seconds of the processes that this one has started."""
    total = 0.0
    for one in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            times = one.cpu_times()
            total += times.user + times.system
    return total


def driven(config: Config, output: Path, workers: Any = None, watch: Stopwatch | None = None, *, train: bool = True) -> Run:
    """Run a search under a stopwatch.

    Parameters
    ----------
    config : Config
    output : path
    workers : Workers, Light or Farm, optional
    watch : Stopwatch, optional
    train : bool, default True
        False: Dask's workers run `stand_in`.
    """
    from qap.search import fleet, run

    watch, ends, spent, took = watch or Stopwatch(), [], [], []

    def note(progress: Any) -> None:
        ends.append(time.perf_counter())

    with ExitStack() as stack:
        stack.enter_context(watch.watching())
        if isinstance(workers, Farm):
            stack.enter_context(patch.object(run, "Fleet", partial(fleet.Fleet, _finished=workers)))
        if not train:
            stack.enter_context(patch.object(fleet, "train", stand_in))
        close, store = fleet.Fleet.close, Searcher._store

        def closed(one: Any) -> None:
            spent.append(children())
            close(one)

        def stored(one: Searcher, done: Done) -> None:
            took.append(done.cpu_seconds)
            store(one, done)

        stack.enter_context(patch.object(fleet.Fleet, "close", closed))
        stack.enter_context(patch.object(Searcher, "_store", stored))
        study = run_search(config, output, workers=workers, watch=note, resume=(output / "config.yaml").is_file())
        watch.charge()
    if workers is None:  # nobody but TensorFlow has threads
        watch.cpu["training"] += watch.cpu.pop("dask", 0.0)
    trials = sum(1 for _ in study.records())
    return Run(watch.cpu, watch.laps, sum(spent), sum(took), ends[-1] - ends[0], sum(watch.fsync), trials)
