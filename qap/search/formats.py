"""The versions of a study's files, and the way from older ones to the present one.

1. Lines of the store without the order of asking and without what a training started from.
2. ``number``, ``epochs``, ``origin``, ``point`` and a checksum in every line (see `qap.search.record.Record`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qap.errors import InputError

FORMAT = 2

Line = dict[str, Any]


def _from_1(line: Line, place: int) -> Line:
    return {"rung": 0, "error": None, "number": place, "epochs": None, "origin": None, "point": None, **line}


UPGRADES: dict[int, Callable[[Line, int], Line]] = {1: _from_1}
"""Format → what makes a line of the next one, from the line and its place in the store."""


def upgraded(line: Line, place: int, version: int) -> Line:
    """Return a line of the store as the present format has it.

    Parameters
    ----------
    line : dict
    place : int
        Its place in the store, from 0.
    version : int
        Format of the study.
    """
    for older in range(version, FORMAT):
        line = UPGRADES[older](line, place)
    return line


def check_format(version: Any, where: object) -> int:
    """Return a study's format.

    Raises
    ------
    InputError
        It is not a format, or a newer one than this qap reads.
    """
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InputError(f"{where}: expected study format {FORMAT} or older, received {version!r}")
    if version > FORMAT:
        raise InputError(f"{where}: study format {version}, this qap reads {FORMAT} and older: update qap")
    return version
