"""What ``qap init`` sees in the user's files: events, ranges, integers, different values, column by column."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from qap.datasets.classes import MOST_CLASSES
from qap.datasets.cut import Cut, parse_cut
from qap.datasets.files import Reading
from qap.datasets.readers.read import ROWS, open_source
from qap.datasets.readers.source import Column, Element, Jagged, Roles, Source, Values, numbers, resolve_one
from qap.errors import InputError

SAMPLE = 4096
"""Values of each chunk that are kept for the shape of a distribution."""
MOST_OF_JAGGED = 8
"""Elements of an array of changing length that are looked at, and taken."""
SHARE_OF_JAGGED = 0.9
"""So many events have no more elements than are taken."""
NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Seen:
    """A column, or an element of an array, over all events.

    Parameters
    ----------
    name, base : str
        Of the element and of its column.
    text : bool
    bad : int
        Values that are NaN or infinite.
    low, high : float
        Of the others; NaN for text.
    whole : bool
        Integers only.
    counter : bool
        Each event has one more than the event before it.
    values : mapping of value to events, or None
        None: more than 256 different ones.
    sample : (some,) array
        Finite values, spread evenly over the events.
    odd : tuple of str
        Of a column of text that holds mostly numbers: what is none.
    """

    name: str
    base: str
    text: bool
    bad: int
    low: float
    high: float
    whole: bool
    counter: bool
    values: Mapping[str | float, int] | None
    sample: np.ndarray
    odd: tuple[str, ...] = ()

    @property
    def constant(self) -> bool:
        """One value in all events."""
        return not self.text and self.low == self.high

    @property
    def binary(self) -> bool:
        """0 and 1, and both."""
        return not self.text and not self.bad and self.values is not None and set(self.values) == {0.0, 1.0}


@dataclass(frozen=True, eq=False)
class Look:
    """Everything seen.

    Parameters
    ----------
    files : tuple of Path
    events : int
        Of those that the cut keeps.
    read : int
    counts : tuple of int
        Events of each file.
    seen : mapping of name to Seen
    lengths : mapping of jagged column to how many of its elements are taken
    unread : mapping of column to why it is not looked at
    roles : Roles
        What a file of qap's own format says.
    """

    files: tuple[Path, ...]
    events: int
    read: int
    counts: tuple[int, ...]
    seen: Mapping[str, Seen]
    lengths: Mapping[str, int]
    unread: Mapping[str, str]
    roles: Roles


@dataclass(eq=False)
class _Numbers:
    """A column of numbers while it is read."""

    element: Element
    bad: int = 0
    low: float = np.inf
    high: float = -np.inf
    whole: bool = True
    counter: bool = True
    last: float | None = None
    values: dict[str | float, int] | None = field(default_factory=dict)
    sample: list[np.ndarray] = field(default_factory=list)

    def add(self, values: np.ndarray) -> None:
        """Take the values of some events."""
        values = np.asarray(values, np.float64)
        good = values[np.isfinite(values)]
        self.bad += len(values) - len(good)
        if not len(good):
            return
        self.low, self.high = min(self.low, float(good.min())), max(self.high, float(good.max()))
        self.whole = self.whole and bool((good == np.rint(good)).all())
        if self.counter:
            chain = values if self.last is None else np.concatenate([[self.last], values])
            self.counter, self.last = bool((np.diff(chain) == 1).all()), float(values[-1])
        _count(self, good)
        self.sample.append(good[np.linspace(0, len(good) - 1, min(SAMPLE, len(good))).astype(int)])

    def seen(self) -> Seen:
        """Return what was found."""
        sample = np.concatenate(self.sample) if self.sample else np.zeros(0)
        whole, counter = self.whole and bool(self.sample), self.counter and self.values is None
        return Seen(
            self.element.name, self.element.base, False, self.bad, self.low, self.high, whole, counter, self.values, sample
        )  # fmt: skip


@dataclass(eq=False)
class _Texts:
    """A column of text while it is read."""

    element: Element
    values: dict[str | float, int] | None = field(default_factory=dict)
    odd: tuple[str, ...] | None = None

    def add(self, values: np.ndarray) -> None:
        """Take the values of some events."""
        if self.odd is None:
            self.odd = _odd(values)
        _count(self, values)

    def seen(self) -> Seen:
        """Return what was found."""
        nan, odd = float("nan"), self.odd or ()
        return Seen(self.element.name, self.element.base, True, 0, nan, nan, False, False, self.values, np.zeros(0), odd)


def _odd(values: np.ndarray) -> tuple[str, ...]:
    """Return what is no number in a column of text that holds mostly numbers."""
    words = [str(value) for value in values if not NUMBER.fullmatch(str(value).strip())]
    return tuple(dict.fromkeys(words)) if 2 * len(words) < len(values) else ()


def _count(column: _Numbers | _Texts, values: np.ndarray) -> None:
    """Count the different values until there are too many to be classes."""
    if column.values is None:
        return
    found, counts = np.unique(values, return_counts=True)
    if len(found) <= MOST_CLASSES:
        for value, count in zip(found.tolist(), counts.tolist(), strict=True):
            column.values[value] = column.values.get(value, 0) + count
    if len(found) > MOST_CLASSES or len(column.values) > MOST_CLASSES:
        column.values = None


def _known(columns: Mapping[str, Column]) -> tuple[dict[str, list[Element]], dict[str, str]]:
    """Return what is looked at of each column, and why others are not."""
    taken: dict[str, list[Element]] = {}
    unread: dict[str, str] = {}
    for name, column in columns.items():
        if column.kind == "number":
            try:
                taken[name] = numbers({name: column})
            except InputError:
                unread[name] = f"has {column.shape} numbers for each event: name those that you need"
        elif column.kind == "jagged":
            taken[name] = [Element(f"{name}[{index}]", name, (index,)) for index in range(MOST_OF_JAGGED)]
        elif column.kind == "text":
            taken[name] = [Element(name, name)]
        else:
            unread[name] = f"holds {column.type_name or 'objects'}, no numbers"
    return taken, unread


@dataclass(eq=False)
class _Looking:
    """The columns of all files while they are read."""

    taken: dict[str, list[Element]]
    columns: Mapping[str, Column]
    found: dict[str, _Numbers | _Texts] = field(default_factory=dict)
    lengths: dict[str, np.ndarray] = field(default_factory=dict)
    read: int = 0
    events: int = 0

    def add(self, values: Mapping[str, Values], keep: np.ndarray) -> None:
        """Take the events of a chunk that the cut keeps."""
        self.read, self.events = self.read + len(keep), self.events + int(keep.sum())
        if not keep.any():
            return
        for name, elements in self.taken.items():
            column, text = values[name], self.columns[name].kind == "text"
            if isinstance(column, Jagged):
                counts = np.bincount(np.diff(column.offsets)[keep], minlength=len(self.lengths.get(name, ())))
                counts[: len(self.lengths.get(name, ()))] += self.lengths.get(name, np.zeros(0, int))
                self.lengths[name] = counts
            for element in elements:
                one = self.found.setdefault(element.name, _Texts(element) if text else _Numbers(element))
                one.add(element.of(column, 0.0)[keep])


def _check_names(path: Path, names: Sequence[str]) -> None:
    """Refuse a table of text whose first line does not hold the names of its columns, separated as they should be.

    Raises
    ------
    InputError
    """
    sign = "\t" if ".tsv" in path.suffixes else ","
    other = next((one for one in ";\t, " if len(names) == 1 and one in names[0].strip()), None)
    if other is not None:
        called = {"\t": "tabs", ",": "commas", " ": "spaces", ";": "semicolons"}
        raise InputError(
            f"{path}: expected columns separated by {called[sign]}, received {called[other]} ({names[0][:30]!r}): write it with "
            "commas (and points in numbers) as .csv, or with tabs as .tsv"
        )
    numbers = [name for name in names if NUMBER.fullmatch(name)]
    if len(numbers) > len(names) / 2 and not set(numbers) <= {str(number) for number in range(len(names) + 1)}:
        raise InputError(f"{path}: expected the names of the columns in the first line, received {', '.join(names[:4])}")


def _elements_taken(counts: np.ndarray) -> int:
    """Return how many elements of a jagged column are features: enough for most events."""
    share = np.cumsum(counts) / counts.sum()
    return int(np.clip(np.searchsorted(share, SHARE_OF_JAGGED), 1, MOST_OF_JAGGED))


Kept = tuple[float, dict[str, Values], np.ndarray]
"""The part of a file that has been read, its columns, and which of the events the cut keeps."""


def _chunks(source: Source, names: Sequence[str], cut: Cut | None) -> Iterator[Kept]:
    """Yield the columns of a file in chunks."""
    where = f"--cut: {source.path}"
    cuts = {} if cut is None else {name: resolve_one(name, source.columns, where) for name in cut.names}
    for share, values in source.chunks(list(dict.fromkeys([*names, *(one.base for one in cuts.values())])), ROWS):
        keep = np.ones(_length(values), bool)
        if cut is not None:
            keep = cut({name: one.of(values[one.base], 0.0) for name, one in cuts.items()})
        yield share, values, keep


def look(
    files: Sequence[Path], tree: str | None = None, cut: str | None = None, watch: Callable[[Reading], None] | None = None
) -> Look:
    """Read all events of files that have the same columns.

    Parameters
    ----------
    files : sequence of Path
    tree : str, optional
        As `data.tree`.
    cut : str, optional
        As `data.cut`: only the events that it keeps are looked at.
    watch : callable, optional
        Called with a `Reading` after each chunk.

    Raises
    ------
    InputError
        A file that is missing, empty or damaged, or has other columns than the first; no event is left.
    ToolMissingError
        The library for a file's type is not installed.
    """
    parsed = None if cut is None else parse_cut(cut)
    sizes = [path.stat().st_size if path.is_file() else 0 for path in files]
    looking, roles = _Looking({}, {}), Roles()
    unread: dict[str, str] = {}
    counts: list[int] = []
    for number, path in enumerate(files):
        source = open_source(path, tree)
        if not number:
            if {".csv", ".tsv"} & set(path.suffixes):
                _check_names(path, list(source.columns))
            taken, unread = _known(source.columns)
            looking, roles = _Looking(taken, source.columns), source.roles
            if not taken:
                raise InputError(f"{path}: has no column of numbers")
        elif set(source.columns) != set(looking.columns):
            other = sorted(set(source.columns) ^ set(looking.columns))
            raise InputError(f"{path}: has other columns than {files[0]}: {', '.join(other[:4])}")
        before = looking.events
        for share, values, keep in _chunks(source, list(looking.taken), parsed):
            looking.add(values, keep)
            if watch is not None:
                done = sum(sizes[:number]) + share * sizes[number]
                watch(Reading(path.name, done / max(sum(sizes), 1), looking.events))
        counts.append(looking.events - before)
    if not looking.events:
        raise InputError(f"--cut: {cut!r} removes all {looking.read} events" if cut else f"{files[0]}: has no events")
    lengths = {name: _elements_taken(found) for name, found in looking.lengths.items()}
    seen = {name: one.seen() for name, one in looking.found.items()}
    seen = {name: one for name, one in seen.items() if int(_index(one, lengths)) < lengths.get(one.base, MOST_OF_JAGGED)}
    return Look(tuple(files), looking.events, looking.read, tuple(counts), seen, lengths, unread, roles)


def _index(one: Seen, lengths: Mapping[str, int]) -> int:
    """Return the place of an element in its jagged array, 0 for all else."""
    return int(one.name.removeprefix(one.base)[1:-1]) if one.base in lengths else 0


def _length(values: Mapping[str, Values]) -> int:
    first = next(iter(values.values()))
    return len(first.offsets) - 1 if isinstance(first, Jagged) else len(first)


def one_hot(files: Sequence[Path], tree: str | None, cut: str | None, groups: Sequence[Sequence[str]]) -> Sequence[str] | None:
    """Return the first group of columns of which in each event one is 1 and the others are 0, None where there is none.

    Parameters
    ----------
    files, tree, cut
        As `look`.
    groups : sequence of groups of column names
        Of 0 and 1.
    """
    parsed, left = None if cut is None else parse_cut(cut), [tuple(group) for group in groups]
    for path in files:
        source = open_source(path, tree)
        elements = {name: resolve_one(name, source.columns, str(path)) for group in groups for name in group}
        for _, values, keep in _chunks(source, [one.base for one in elements.values()], parsed):
            columns = {name: np.asarray(one.of(values[one.base], 0.0), np.float64)[keep] for name, one in elements.items()}
            left = [group for group in left if bool(np.all(sum(columns[name] for name in group) == 1))]
            if not left:
                return None
    return left[0] if left else None
