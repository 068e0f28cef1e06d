"""What every reader gives: the columns of a file, and their values chunk by chunk."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np

from qap.errors import InputError, QapError, ToolMissingError, suggestion

MOST_ELEMENTS = 4096


@dataclass(frozen=True)
class Column:
    """A column of a file: ``number``, ``text``, ``jagged`` numbers, or what cannot be read (``other``).

    Parameters
    ----------
    kind : str
    shape : tuple of int
        Shape of one event's array; () for one number.
    type_name : str
        As the file calls it.
    """

    kind: Literal["number", "text", "jagged", "other"]
    shape: tuple[int, ...] = ()
    type_name: str = ""


@dataclass(frozen=True, eq=False)
class Jagged:
    """Arrays of different lengths: event i has ``values[offsets[i]:offsets[i + 1]]``."""

    values: np.ndarray
    offsets: np.ndarray

    @staticmethod
    def of(arrays: Sequence[Any]) -> Jagged:
        """Return the arrays, one for each event, as one."""
        lengths = np.fromiter(map(len, arrays), np.int64, len(arrays))
        values = np.concatenate([np.asarray(one) for one in arrays]) if lengths.sum() else np.zeros(0, np.float32)
        return Jagged(values, np.concatenate([[0], np.cumsum(lengths)]))

    def element(self, index: int, padding: float) -> np.ndarray:
        """Return the element of that index of each event, or the padding."""
        has = np.diff(self.offsets) > index
        found = np.full(len(has), padding, np.result_type(self.values.dtype, np.float32))
        found[has] = self.values[self.offsets[:-1][has] + index]
        return found


Values = np.ndarray | Jagged


@dataclass(frozen=True)
class Roles:
    """What a file of qap's own format says of its columns."""

    features: tuple[str, ...] = ()
    label: str | None = None
    targets: tuple[str, ...] = ()
    weight: str | None = None
    class_names: tuple[str, ...] = ()


class Source(ABC):
    """An open file of events."""

    path: Path
    columns: dict[str, Column]
    roles = Roles()

    @abstractmethod
    def chunks(self, names: Sequence[str], rows: int) -> Iterator[tuple[float, dict[str, Values]]]:
        """Yield what part of the file has been read, and the columns of about so many events."""


@dataclass(frozen=True)
class Element:
    """One number of each event: a column, or an element of an array in it."""

    name: str
    base: str
    index: tuple[int, ...] = field(default=())

    def of(self, values: Values, padding: float) -> np.ndarray:
        """Return the element from the column's values."""
        if isinstance(values, Jagged):
            return values.element(self.index[0], padding)
        at: tuple[Any, ...] = (slice(None), *self.index)
        return np.asarray(values[at])


def library(name: str, kind: str) -> Any:
    """Import the library that reads a kind of file.

    Raises
    ------
    ToolMissingError
        It is not installed.
    """
    try:
        return import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise ToolMissingError(f"reading {kind} files needs {package}: pip install 'qap[readers]'") from None


@contextmanager
def whole(path: Path, kind: str) -> Iterator[None]:
    """Say of a file that a library stumbles over that it is truncated or damaged.

    Raises
    ------
    InputError
    """
    try:
        yield
    except QapError:
        raise
    except Exception as error:  # each library has a dozen for a damaged file, assertions among them
        why = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(" ,:;")
        raise InputError(
            f"data.name: {path}: not a whole {kind} file, it is truncated or damaged; write or copy it again ({why})"
        ) from None


def near(word: str, names: Iterable[str]) -> str:
    """Suggest a name; of many that are all far from it tell the number."""
    names = list(names)
    text = suggestion(word, names)
    return text if "did you mean" in text or len(names) <= 20 else f" (the file has {len(names)} columns)"


def _elements(name: str, column: Column) -> list[Element]:
    """Return a column's numbers, all elements of an array of fixed shape."""
    if reduce(lambda a, b: a * b, column.shape, 1) > MOST_ELEMENTS:
        raise InputError(f"data.columns: '{name}' has {column.shape} elements for each event: name those that you need")
    return [Element(name + "".join(f"[{i}]" for i in at), name, at) for at in product(*map(range, column.shape))]


def numbers(columns: Mapping[str, Column]) -> list[Element]:
    """Return everything in a file that is one number for each event."""
    return [one for name, column in columns.items() if column.kind == "number" for one in _elements(name, column)]


def _matching(pattern: str, names: Iterable[str]) -> set[str]:
    """Return the names that a pattern of ``*`` and ``?`` matches; brackets stand for themselves."""
    regular = "".join(".*" if sign == "*" else "." if sign == "?" else re.escape(sign) for sign in pattern)
    return {name for name in names if re.fullmatch(regular, name)}


def _range(text: str, where: str) -> list[Element] | None:
    """Return the elements that ``name[a:b]`` stands for."""
    found = re.fullmatch(r"(.+)\[(\d*):(\d+)\]", text)
    if not found:
        return None
    first, last = int(found[2] or 0), int(found[3])
    if not first < last <= MOST_ELEMENTS:
        raise InputError(f"{where}: '{text}': expected a range such as {found[1]}[:4]")
    return [Element(f"{found[1]}[{i}]", found[1], (i,)) for i in range(first, last)]


def _indexed(text: str) -> Element | None:
    found = re.fullmatch(r"(.+?)((?:\[\d+\])+)", text)
    return None if not found else Element(text, found[1], tuple(int(i) for i in re.findall(r"\d+", found[2])))


def resolve(text: str, columns: Mapping[str, Column], where: str) -> list[Element]:
    """Return what a name, a pattern or an element of an array stands for.

    Parameters
    ----------
    text : str
        ``jet_pt``, ``jet_*``, ``jet_pt[0]``, ``jet_pt[:4]``; an array of fixed shape stands for all its elements.
    columns : mapping
        Of the file.
    where : str
        File and key, for messages.

    Raises
    ------
    InputError
        No such column, a jagged column as a whole, an element that an array does not have, a type that is no number.
    """
    pattern = text not in columns and ("*" in text or "?" in text)
    for name in sorted(_matching(text, columns)) if pattern else [text] if text in columns else []:
        if columns[name].kind == "jagged":
            raise InputError(
                f"{where}: column '{name}' is jagged ({columns[name].type_name}), its length changes from event to event: name "
                f"the elements to take, such as '{name}[0]' or '{name}[:4]' (data.padding fills what is missing)"
            )
    if text in columns:
        column = columns[text]
        if column.kind == "other":
            raise InputError(f"{where}: column '{text}' is of type {column.type_name}, which is no number: leave it out")
        return [Element(text, text)] if column.kind == "text" else _elements(text, column)
    wanted = _range(text, where) or [one for one in [_indexed(text)] if one]
    if wanted and wanted[0].base in columns:
        for one in wanted:
            column = columns[one.base]
            fits = len(one.index) == len(column.shape) and all(i < n for i, n in zip(one.index, column.shape, strict=False))
            if not (fits if column.kind == "number" else column.kind == "jagged" and len(one.index) == 1):
                raise InputError(f"{where}: '{one.base}' is {column.type_name or 'a number'}, it has no element '{one.name}'")
        return wanted
    known = numbers(columns)
    if pattern:
        matched = _matching(text, [one.name for one in known])
        if not matched:
            raise InputError(f"{where}: no column of numbers matches '{text}'{near(text, columns)}")
        return [one for one in known if one.name in matched]
    raise InputError(f"{where}: no column '{text}'{near(text, columns)}")


def resolve_one(text: str, columns: Mapping[str, Column], where: str) -> Element:
    """Return the one number or text for each event that a name stands for.

    Raises
    ------
    InputError
        As `resolve`; several.
    """
    found = resolve(text, columns, where)
    if len(found) != 1:
        raise InputError(f"{where}: '{text}' stands for {len(found)} columns, expected one")
    return found[0]
