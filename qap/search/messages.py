"""What goes between a search and its workers: plain values and compressed arrays, nothing that runs."""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qap.backend import versions
from qap.candidate import Candidate
from qap.config.schema import Study
from qap.models.architecture import Architecture
from qap.models.builders import Weights
from qap.plan import Plan
from qap.search.work import Done, Start
from qap.training.job import Failed

Message = dict[str, Any]


@dataclass(frozen=True)
class Assignment:
    """What all trainings of a search have in common: a worker that has read it once needs only the starts.

    Parameters
    ----------
    config : str
        The resolved study file as JSON.
    folder : str or None
        Where relative names in it start; the same path on every worker.
    data_sha256 : str
        Digest of the events: a worker that reads others refuses.
    versions : sequence of (str, str)
        Of the libraries that results depend on.
    seconds : float or None
        The most that the training of one candidate may take.
    trust : bool
        Load model files that hold code.
    """

    config: str
    folder: str | None
    data_sha256: str
    versions: tuple[tuple[str, str], ...]
    seconds: float | None = None
    trust: bool = False

    @classmethod
    def of(cls, config: Study, folder: Path | None, data_sha256: str, trust: bool = False) -> Assignment:
        """Return what workers are told of a study."""
        where, known = None if folder is None else str(folder.resolve()), tuple(versions().items())
        return cls(config.model_dump_json(), where, data_sha256, known, config.search.candidate_seconds, trust)

    @property
    def study(self) -> Study:
        """The study file."""
        return Study.model_validate_json(self.config)

    def to_dict(self) -> Message:
        """Return the plain form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, message: Message) -> Assignment:
        """Read the plain form."""
        return cls(**{**message, "versions": tuple((name, version) for name, version in message["versions"])})


def pack(weights: Weights) -> bytes:
    """Return weights compressed, names and shapes before the values: what is pruned takes next to nothing.

    Raises
    ------
    ValueError
        An array of Python objects.
    """
    arrays = [(name, np.asarray(values)) for name, values in weights.items()]
    if any(values.dtype.hasobject for _, values in arrays):
        raise ValueError("weights: expected numbers, received an array of Python objects")
    names = json.dumps([(name, values.dtype.str, values.shape) for name, values in arrays])
    return zlib.compress(b"\n".join([names.encode(), b"".join(values.tobytes() for _, values in arrays)]), 1)


def unpack(data: bytes) -> dict[str, np.ndarray]:
    """Return the weights of `pack`; nothing in them can run.

    Raises
    ------
    ValueError, zlib.error
        Something else.
    """
    names, _, values = zlib.decompress(data).partition(b"\n")
    found, start = {}, 0
    for name, kind, shape in json.loads(names):
        array = np.frombuffer(values, kind, math.prod(shape), start)
        found[name], start = array.reshape(shape).copy(), start + array.nbytes
    return found


def start_message(start: Start, parent: Weights | None = None) -> Message:
    """Return a start as a message.

    Parameters
    ----------
    start : Start
    parent : mapping, optional
        Folded weights of its float parent, where a worker needs them besides: for a teacher.
    """
    one = start.candidate
    return {
        "architecture": one.architecture.to_dict(), "plan": one.plan.to_dict(), "weights": pack(one.weights or {}),
        "epochs": start.epochs, "rung": start.rung, "final": start.final, "parent": None if parent is None else pack(parent),
    }  # fmt: skip


def read_start(message: Message) -> Start:
    """Return the start of a message."""
    architecture, plan = Architecture.from_dict(message["architecture"]), Plan.from_dict(message["plan"])
    candidate = Candidate(architecture, plan, unpack(message["weights"]))
    return Start(candidate, message["epochs"], message["rung"], final=message["final"])


def result_message(result: Candidate | Failed, cpu_seconds: float) -> Message:
    """Return what became of a training as a message."""
    if isinstance(result, Failed):
        return {"failed": result.reason, "cpu_seconds": cpu_seconds}
    return {"candidate": result.to_dict(), "weights": pack(result.weights or {}), "cpu_seconds": cpu_seconds}


def read_result(message: Message, start: Start) -> Done:
    """Return what became of a start."""
    if "failed" in message:
        return Done(start, Failed(message["failed"]), message["cpu_seconds"])
    candidate = Candidate.from_dict(message["candidate"]).with_(weights=unpack(message["weights"]))
    return Done(start, candidate, message["cpu_seconds"])
