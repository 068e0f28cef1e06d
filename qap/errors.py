"""The errors that a user may see, each with the exit code of the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def _plain(found: re.Match[str]) -> str:
    return " " if found[0] in "\n\r\t" else found[0].encode("unicode_escape", "surrogatepass").decode()


class QapError(Exception):
    """The work failed on the way; the message says where and what to do (exit code 1).

    A message is one line: names in files of others may hold line breaks, or signs that a terminal obeys.
    """

    exit_code = 1

    def __init__(self, message: object = "") -> None:
        super().__init__(_CONTROL.sub(_plain, str(message)))


class InputError(QapError):
    """What the user gave cannot be used: a key, a value, a file, the environment (exit code 2)."""

    exit_code = 2


class ToolMissingError(QapError):
    """A tool is not installed (exit code 3)."""

    exit_code = 3


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the nearest known word, else the list of known words."""
    names = sorted(known)
    near = get_close_matches(word, names, n=1, cutoff=0.6)
    return f" (did you mean '{near[0]}'?)" if near else f" (known: {', '.join(names)})"
