"""What runs on a worker: it reads the study's data once, then trains what it is sent."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from qap.backend import stack, versions
from qap.compress.context import Context
from qap.compress.parents import train_float
from qap.compress.pipeline import Chain
from qap.compress.teachers import Teachers
from qap.datasets.dataset import Dataset
from qap.datasets.hold_back import hold_back
from qap.datasets.load import load_dataset
from qap.errors import InputError, QapError
from qap.models.architecture import Architecture
from qap.models.builders import Weights
from qap.search.context import digest, make_context, search_chain
from qap.search.messages import Assignment, Message, read_start, result_message, unpack
from qap.search.work import run

DONE, LATE, NO_MEMORY, REFUSED, BROKEN = "done", "late", "no memory", "refused", "broken"
"""How trainings end on a worker: the one key of what `train` returns."""
TRAINING = "qap training"
"""Name of a thread that trains."""
FAREWELL = 1.0
"""Seconds in which the message of a worker that has given up must have left."""


@dataclass(eq=False)
class Bench:
    """A study's data and methods as one worker has them.

    Parameters
    ----------
    context : Context
    chain : Chain
    parents : dict
        Folded weights of the float networks known here, by architecture and number.
    """

    context: Context
    chain: Chain
    parents: dict[tuple[str, int], Weights] = field(default_factory=dict)

    @classmethod
    def of(cls, assignment: Assignment, data: Dataset | None = None) -> Bench:
        """Read the data and set the methods up.

        Raises
        ------
        InputError
            The versions or the data are not those of the search.
        """
        here = versions()
        for name, wanted in assignment.versions:
            if here.get(name) != wanted:
                raise InputError(f"worker: expected {name} {wanted} as where the search runs, found {here.get(name)}")
        config = assignment.study
        folder = None if assignment.folder is None else Path(assignment.folder)
        data = data or load_dataset(config.data, folder, trust=assignment.trust)
        if digest(data) != assignment.data_sha256:
            raise InputError(f"worker: {config.data.name}: expected the events that the search was begun with, found others")
        searched, _ = hold_back(data, config.search.holdback, config.seed)
        bench = cls(make_context(config, searched, folder), search_chain(config))
        teachers = Teachers(config.distill, config.model, searched, bench.float_weights, folder, assignment.trust)
        bench.context = replace(bench.context, teacher=teachers)
        return bench

    def float_weights(self, architecture: Architecture, number: int) -> Weights:
        """Return a float network for distillation: sent along, else trained here; its seed makes it the same everywhere."""
        key = architecture.folded.id, number
        if key not in self.parents:
            self.parents[key] = train_float(architecture, self.context, number).weights
        return self.parents[key]


@lru_cache(maxsize=1)
def _bench(assignment: Assignment) -> Bench:
    return Bench.of(assignment)


def train(assignment: Message, messages: Sequence[Message]) -> Message:
    """Train starts of one budget; what a search calls on its workers.

    Nothing is raised: an error that cannot be read where it arrives would keep the search waiting for ever.

    Parameters
    ----------
    assignment : mapping
        Of `Assignment.to_dict`.
    messages : sequence of mapping
        Of `qap.search.messages.start_message`.

    Returns
    -------
    mapping
        `DONE`: a list of `qap.search.messages.result_message`. `LATE`: the seconds allowed; this process then ends, for
        nothing else stops a training that hangs. `NO_MEMORY`: the error. `REFUSED`: kind and text of a `QapError`.
        `BROKEN`: any other error.
    """
    found: list[Message] = []
    for thread in threading.enumerate():
        if thread.name == TRAINING:  # this process is about to end: what has come too late dies with it and is sent elsewhere
            thread.join()
    try:
        given = Assignment.from_dict(assignment)
        stack()  # neither loading TensorFlow nor reading the data is training
        _bench(given)
        if given.seconds is None:
            return _attempt(given, messages)
        thread = threading.Thread(target=lambda: found.append(_attempt(given, messages)), name=TRAINING, daemon=True)
        thread.start()
        thread.join(given.seconds * len(messages))
    except Exception as error:
        return _unable(error)
    if not found:
        threading.Timer(FAREWELL, os._exit, [75]).start()
        return {LATE: given.seconds}
    return found[0]


def _attempt(assignment: Assignment, messages: Sequence[Message]) -> Message:
    try:
        return {DONE: _train(assignment, messages)}
    except Exception as error:
        return _unable(error)


def _unable(error: Exception) -> Message:
    if isinstance(error, QapError):
        return {REFUSED: [type(error).__name__, str(error)]}
    name = type(error).__name__
    return {NO_MEMORY if name in ("MemoryError", "ResourceExhaustedError") else BROKEN: f"{name}: {error}"}


def _train(assignment: Assignment, messages: Sequence[Message]) -> list[Message]:
    bench, starts = _bench(assignment), [read_start(message) for message in messages]
    for start, message in zip(starts, messages, strict=True):
        if message["parent"] is not None:
            bench.parents.setdefault((start.candidate.architecture.folded.id, 0), unpack(message["parent"]))
    found, cpu = [], time.process_time()
    for done in run(starts, bench.context, bench.chain):
        found.append(result_message(done.result, time.process_time() - cpu))
        cpu = time.process_time()
    return found
