"""One trained candidate as a line of the store, with a checksum."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qap.candidate import Candidate
from qap.errors import InputError
from qap.search.formats import FORMAT, upgraded

RUNG = "rung"
"""Metric of a candidate that was trained on: how often."""
Key = tuple[str, int]
"""A training: the candidate's id and its rung."""
CHECKSUM = "crc32"
DAMAGE = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, OverflowError, InputError, ValidationError)


class _Line(BaseModel):
    """What a line holds besides the candidate."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    id: str
    seconds: float = Field(ge=0)
    cpu_seconds: float = Field(ge=0)
    error: str | None
    rung: int = Field(ge=0)
    number: int = Field(ge=0)
    epochs: float | None = Field(gt=0)
    origin: list[str | int] | None
    point: dict[str, int | float] | None


@dataclass(frozen=True, eq=False)
class Record:
    """One trained candidate as stored.

    Parameters
    ----------
    candidate : Candidate
        Without weights; `Study.weights` reads them.
    seconds, cpu_seconds : float
        What its training took, the parent's included where it was the first of its architecture.
    error : str or None
        Why it could not be trained.
    rung : int
        How often it had been trained before.
    number : int
        Its place in the order in which the search asked for trainings.
    epochs : float, optional
        Its budget (None: ``train.epochs``).
    origin : (str, int), optional
        Candidate and rung whose weights it started from (None: the float parent's).
    point : mapping, optional
        Choices by knob that the search made.
    """

    candidate: Candidate
    seconds: float
    cpu_seconds: float
    error: str | None = None
    rung: int = 0
    number: int = 0
    epochs: float | None = None
    origin: Key | None = None
    point: Mapping[str, int | float] | None = None

    @property
    def bare(self) -> Record:
        """The record without weights."""
        return replace(self, candidate=self.candidate.with_(weights=None))

    @property
    def key(self) -> Key:
        """Candidate and rung."""
        return self.candidate.id, self.rung

    def line(self) -> str:
        """Return the line of the store."""
        seconds = {"seconds": round(self.seconds, 3), "cpu_seconds": round(self.cpu_seconds, 3)}
        origin = None if self.origin is None else list(self.origin)
        point = None if self.point is None else dict(self.point)
        how = {"number": self.number, "epochs": self.epochs, "origin": origin, "point": point}
        values = {**self.candidate.to_dict(), **seconds, "error": self.error, "rung": self.rung, **how}
        return json.dumps({**values, CHECKSUM: _checksum(values)})

    @classmethod
    def read(cls, line: str, place: int = 0, version: int = FORMAT) -> Record:
        """Read a line of the store.

        Parameters
        ----------
        line : str
        place : int, default 0
            Its place in the store, from 0.
        version : int, optional
            Format of the study (default: the present one).

        Raises
        ------
        InputError
            The line is cut or changed.
        """
        try:
            values = json.loads(line)
            noted = values.pop(CHECKSUM, None)
            if version >= FORMAT and noted != _checksum(values):
                raise InputError(f"expected the checksum {_checksum(values)}, received {noted}")
            return cls._from(upgraded(values, place, version))
        except DAMAGE as error:
            raise InputError(f"line {line[:40]!r} of the store is damaged: {str(error).splitlines()[0]}") from None

    @classmethod
    def _from(cls, values: Mapping[str, Any]) -> Record:
        own = _Line.model_validate({name: values[name] for name in _Line.model_fields})
        candidate = Candidate.from_dict(values)
        if candidate.id != own.id:
            raise InputError(f"expected candidate {own.id}, found architecture and plan of {candidate.id}")
        return cls(
            candidate.with_(metrics={**candidate.metrics, RUNG: own.rung}) if own.rung else candidate,
            own.seconds, own.cpu_seconds, own.error, own.rung, own.number, own.epochs,
            None if own.origin is None else (str(own.origin[0]), int(own.origin[1])), own.point,
        )  # fmt: skip


def _checksum(values: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(values).encode()):08x}"


def training(candidate: Candidate) -> Key:
    """Return which training a candidate's weights are of."""
    return candidate.id, int(candidate.metrics.get(RUNG, 0))
