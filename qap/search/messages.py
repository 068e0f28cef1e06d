"""What goes between a search and its workers: plain values and compressed arrays, nothing that runs."""

from __future__ import annotations

import io
import zipfile
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
    """Return weights as a compressed .npz file: what is pruned takes next to nothing."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, values in weights.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, np.asarray(values), allow_pickle=False)
            file.writestr(f"{name}.npy", part.getvalue())
    return buffer.getvalue()


def unpack(data: bytes) -> dict[str, np.ndarray]:
    """Return the weights of `pack`."""
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return dict(file)


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
