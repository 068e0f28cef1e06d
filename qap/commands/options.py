"""What all verbs share: options, numbers on the command line, how a wrong word is answered."""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from qap.errors import InputError, suggestion

EXIT_CODES = "exit codes: 0 done, 1 failed on the way, 2 wrong input, 3 a tool is missing"
_MISSING = "the following arguments are required: "
_CHOICE = re.compile(r"argument (?P<option>\S+): invalid choice: '(?P<word>.*)' \(choose from (?P<known>.*)\)")


class Parser(argparse.ArgumentParser):
    """argparse that answers a wrong word in two lines, whatever the number of options."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where help is; leave with exit code 2."""
        if message.startswith(_MISSING):  # key=value may be left out, whatever argparse says
            words = [word for word in message.removeprefix(_MISSING).split(", ") if word != "key=value"]
            message = f"expected {' and '.join(self._verbs() if word == 'VERB' else word for word in words)}"
        elif (choice := _CHOICE.fullmatch(message)) is not None:
            known = [word.strip(" '") for word in choice["known"].split(",")]
            near = suggestion(choice["word"], known)
            near = near if "did you mean" in near else ""
            message = f"{choice['option']}: expected one of {', '.join(known)}, received '{choice['word']}'{near}"
        message = message.removeprefix("argument ")
        self.exit(2, f"{self.prog}: {message}\nusage: {self.prog} {self._words()}; more: {self.prog} --help\n")

    def _verbs(self) -> str:
        verbs = [name for action in self._actions if isinstance(action.choices, dict) for name in action.choices]
        return f"a verb: {', '.join(verbs)}"

    def _words(self) -> str:
        """Return what must stand on the command line."""
        if self._subparsers is not None:
            return "VERB …"
        needed = [action for action in self._actions if action.required or not action.option_strings]
        words = [
            f"{action.option_strings[0]} {action.metavar}" if action.option_strings else f"[{action.metavar} …]"
            if action.nargs == "*" else str(action.metavar or action.dest.upper())
            for action in needed
        ]  # fmt: skip
        return " ".join([*words, "[options]"])

    def refuse(self, words: list[str]) -> NoReturn:
        """Refuse words that are neither options nor values, with the nearest option."""
        word = words[0].partition("=")[0]
        if word.startswith("-"):
            near = suggestion(word, self._option_string_actions)
            self.error(f"unknown option {word}{near if 'did you mean' in near else ''}")
        self.error(f"one word too many: {words[0]!r}")


def add_study(parser: argparse.ArgumentParser, text: str = "study file (YAML)") -> None:
    """Declare the study file and its overrides."""
    parser.add_argument("study", type=Path, metavar="STUDY.yaml", help=text)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that take the place of the file's")
    add_trust(parser)


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Declare that code of others may run."""
    parser.add_argument(
        "--trust", action="store_true", help="run the code that the model files or the study bring along (see docs/trust.md)"
    )


def check_function(function: str | None, given: Iterable[str], trust: bool) -> None:
    """Refuse to run the Python file that a study names in ``model.function``, unless the user has named or trusted it.

    Parameters
    ----------
    function : str or None
        The setting.
    given : iterable of str
        Overrides on the command line.
    trust : bool
        The option ``--trust``.

    Raises
    ------
    InputError
    """
    if function and not trust and not any(text.startswith("model.function=") for text in given):
        raise InputError(
            f"model.function: {function} is Python code that comes with the study: read it, then add --trust to run it"
        )


def add_shown(parser: argparse.ArgumentParser, text: str | None = "print the result as JSON") -> None:
    """Declare what is shown: everything, errors only, or JSON."""
    if text is not None:
        parser.add_argument("--json", action="store_true", help=text)
    parser.add_argument("--quiet", action="store_true", help="show errors only")


def number(text: str) -> float:
    """Read a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"expected a number, received {text!r}")
    return value


def positive(text: str) -> float:
    """Read a number above 0."""
    value = number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, received {text}")
    return value


def fraction(text: str) -> float:
    """Read a number between 0 and 1."""
    value = number(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, received {text}")
    return value


def whole(most: int | None = None) -> Callable[[str], int]:
    """Return what reads a whole number from 1."""

    def read(text: str) -> int:
        value = int(text) if text.isdecimal() else 0
        if value < 1 or (most is not None and value > most):
            raise argparse.ArgumentTypeError(f"expected {f'1 to {most}' if most else '1 or more'}, received {text}")
        return value

    return read


def new_directory(path: Path, resume: bool = False) -> None:
    """Refuse a directory for results that is not new or empty.

    Raises
    ------
    InputError
    """
    if path.exists() and not resume and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path}: not empty: choose another --output")


def print_lines(text: str) -> None:
    """Print a result; a reader such as head may have seen enough before the end."""
    try:
        print(text, flush=True)
    except BrokenPipeError:  # nothing is left to flush at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_json(value: Any) -> None:
    """Print a result as JSON."""
    print_lines(json.dumps(value, indent=1, ensure_ascii=False))


def columns(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return rows as lines with columns one below the other."""
    found = [tuple(row) for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*found, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in found]
