"""The user's own files: columns become features, labels, weights; what no network can learn from is refused, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from qap.config.data import Data
from qap.datasets.classes import from_one_hot, from_values, parts
from qap.datasets.cut import Cut, parse_cut
from qap.datasets.readers.read import Chunk, open_source, read_chunks
from qap.datasets.readers.source import Column, Element, Roles, Source, near, numbers, resolve, resolve_one
from qap.datasets.table import Table
from qap.errors import InputError

FILE_KEYS = ("tree", "columns", "cut", "label", "labels", "targets", "weight", "lsb", "split_column")
"""Settings that need the columns of a file."""
NARROW = (np.bool_, np.int8, np.uint8, np.int16, np.uint16, np.float16, np.float32)
"""Exact as float32; all else is kept as float64."""


@dataclass(frozen=True)
class Reading:
    """How far the reading of files has come.

    Parameters
    ----------
    file : str
    share : float
        Of the bytes of all files.
    events : int
        Kept so far.
    """

    file: str
    share: float
    events: int


@dataclass(frozen=True)
class Wanted:
    """What is read from one file, each element by its role."""

    features: tuple[Element, ...]
    label: tuple[Element, ...]
    targets: tuple[Element, ...]
    weight: tuple[Element, ...]
    part: tuple[Element, ...]
    cut: dict[str, Element]
    lsb: np.ndarray
    roles: Roles

    @property
    def elements(self) -> tuple[Element, ...]:
        """All of them."""
        found = (*self.features, *self.label, *self.targets, *self.weight, *self.part, *self.cut.values())
        return tuple(dict.fromkeys(found))


def _features(data: Data, source: Source, taken: dict[str, str], cut: Sequence[Element]) -> tuple[Element, ...]:
    """Return the features; a pattern leaves out the columns that have a role, a name does not."""
    where = f"data.columns: {source.path}"
    if data.columns is None and source.roles.features:
        return tuple(element for name in source.roles.features for element in resolve(name, source.columns, where))
    if data.columns is None:
        bases = {element.base for element in cut} | set(taken)
        for name, column in source.columns.items():
            if column.kind != "number" and name not in bases:
                what = "is jagged" if column.kind == "jagged" else f"holds {column.type_name or column.kind}"
                raise InputError(f"{where}: column '{name}' {what}: name the features to take in data.columns")
        return tuple(element for element in numbers(source.columns) if element.name not in taken)
    found: dict[str, Element] = {}
    for text in data.columns:
        pattern = text not in source.columns and ("*" in text or "?" in text)
        for element in resolve(text, source.columns, where):
            if element.name in taken and not pattern:
                raise InputError(
                    f"{where}: '{element.name}' is both a feature and data.{taken[element.name]}: a network that sees its answer "
                    "learns nothing; take it out of data.columns"
                )
            if element.name not in taken:
                found[element.name] = element
            if source.columns[element.base].kind == "text":
                raise InputError(f"{where}: column '{text}' holds text, a feature must be a number: leave it out")
    return tuple(found.values())


def _lsb(data: Data, features: Sequence[Element], where: str) -> np.ndarray:
    """Return each feature's LSB, NaN where it has none."""
    found = np.full(len(features), np.nan)
    columns = {element.name: Column("number") for element in features}
    for text, value in data.lsb.items():
        of_array = {element.name for element in features if element.base == text}
        matched = of_array or {element.name for element in resolve(text, columns, f"data.lsb: {where}")}
        for index, element in enumerate(features):
            if element.name in matched:
                found[index] = value
    return found


def _answers(data: Data, roles: Roles) -> tuple[Sequence[str], Sequence[str], str | None]:
    """Return the columns of labels, targets and weights: the user's, else the file's own."""
    label = [data.label] if data.label is not None else [str(one) for one in (data.labels or {}).values()]
    targets = data.targets or []
    if not label and not targets and data.files is None:
        label = [roles.label] if roles.label else []
        targets = [] if label else list(roles.targets)
    return label, targets, data.weight or roles.weight


def _wanted(data: Data, source: Source, cut: Cut | None) -> Wanted:
    path, columns = source.path, source.columns
    labels, targets, weight = _answers(data, source.roles)
    if not labels and not targets and data.files is None and not data.self_supervised:
        raise InputError(
            f"data.label: {path}: which column holds the class? Set data.label, data.labels (one column for each class), "
            f"data.files (one file for each class) or data.targets{near('label', columns)}"
        )
    key = "label" if data.label is not None or not data.labels else "labels"
    label = tuple(resolve_one(text, columns, f"data.{key}: {path}") for text in labels)
    target = tuple(one for text in targets for one in resolve(text, columns, f"data.targets: {path}"))
    weights = () if weight is None else (resolve_one(weight, columns, f"data.weight: {path}"),)
    part = () if data.split_column is None else (resolve_one(data.split_column, columns, f"data.split_column: {path}"),)
    for role, elements in (("targets", target), ("weight", weights), ("labels", label if data.labels and not data.label else ())):
        for element in elements:
            if columns[element.base].kind == "text":
                raise InputError(f"data.{role}: {path}: column '{element.name}' holds text, expected numbers")
    roles = {"weight": weights, "split_column": part, key: label, "targets": target}
    taken = {element.name: role for role, elements in roles.items() for element in elements}
    cuts = {} if cut is None else {name: resolve_one(name, columns, f"data.cut: {path}") for name in cut.names}
    features = _features(data, source, taken, list(cuts.values()))
    if not features:
        raise InputError(f"data.columns: {path}: no column is left for the features")
    return Wanted(features, label, target, weights, part, cuts, _lsb(data, features, str(path)), source.roles)


@dataclass
class _Collected:
    """What has been read so far, and what is wrong with it."""

    blocks: list[np.ndarray] = field(default_factory=list)
    others: dict[str, list[np.ndarray]] = field(default_factory=dict)
    classes: list[np.ndarray] = field(default_factory=list)
    read: int = 0
    kept: int = 0
    bad: dict[str, tuple[int, Path, int]] = field(default_factory=dict)

    def add(self, chunk: Chunk, wanted: Wanted, cut: Cut | None, number: int, path: Path) -> None:
        """Take the events of a chunk that the cut keeps."""
        count = len(chunk)
        keep = np.ones(count, bool) if cut is None else cut({name: chunk.columns[e.name] for name, e in wanted.cut.items()})
        rows = chunk.start + np.flatnonzero(keep)
        self.read, self.kept = self.read + count, self.kept + len(rows)
        columns = [chunk.columns[element.name][keep] for element in wanted.features]
        for element, values, lsb in zip(wanted.features, columns, wanted.lsb, strict=True):
            self._look(element.name, values, rows, path)
            if np.isfinite(lsb):
                _check_integers(element.name, values, rows, path)
        kind = np.float32 if all(values.dtype.type in NARROW for values in columns) else np.float64
        block = np.empty((len(rows), len(columns)), kind)
        for index, (values, lsb) in enumerate(zip(columns, wanted.lsb, strict=True)):
            block[:, index] = values * lsb if np.isfinite(lsb) else values
        self.blocks.append(block)
        for element in (*wanted.label, *wanted.targets, *wanted.weight, *wanted.part):
            values = chunk.columns[element.name][keep]
            self._look(element.name, values, rows, path)
            self.others.setdefault(element.name, []).append(values)
        self.classes.append(np.full(len(rows), number, np.int32))

    def _look(self, name: str, values: np.ndarray, rows: np.ndarray, path: Path) -> None:
        if values.dtype.kind == "f":
            wrong = ~np.isfinite(values)
            if wrong.any():
                count, file, row = self.bad.get(name, (0, path, int(rows[np.argmax(wrong)])))
                self.bad[name] = (count + int(wrong.sum()), file, row)

    def column(self, element: Element) -> np.ndarray:
        """Return a column that is no feature."""
        return np.concatenate(self.others[element.name])


def _check_integers(name: str, values: np.ndarray, rows: np.ndarray, path: Path) -> None:
    wrong = np.isfinite(values) & (values != np.rint(values)) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InputError(
            f"data.lsb: {path}: column '{name}' has an LSB, but event {rows[first]} has {values[first]}: hardware columns hold "
            "integers"
        )


def _matching(pattern: Path) -> list[Path]:
    return sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))


def _paths(names: Sequence[str], folder: Path) -> list[Path]:
    """Return the files that names and patterns stand for, those of a pattern sorted."""
    found: list[Path] = []
    for name in names:
        path = folder / Path(name).expanduser()
        matched = [path] if path.exists() or not set("*?") & set(name) else _matching(path)
        if not matched:
            raise InputError(f"data.name: {path}: no file matches")
        found += matched
    return found


def _checked(found: _Collected, data: Data, wanted: Wanted, where: str) -> np.ndarray:
    """Return the features of all files, or refuse them."""
    if found.bad:
        name, (count, path, row) = next(iter(found.bad.items()))
        more = f"; {len(found.bad) - 1} more columns have some" if len(found.bad) > 1 else ""
        raise InputError(
            f"{path}: column '{name}': {count} values are NaN or infinite, the first in event {row}{more}: remove these events "
            f"by data.cut (isfinite({name})), or leave the column out of data.columns"
        )
    if not found.kept:
        if not found.read:
            raise InputError(f"data.name: {where}: has no events")
        raise InputError(f"data.cut: {where}: {data.cut!r} removes all {found.read} events: loosen it")
    features = np.concatenate(found.blocks)
    found.blocks.clear()
    constant = [index for index in range(features.shape[1]) if not np.ptp(features[:, index])] if data.scale == "standard" else []
    if constant:
        name = wanted.features[constant[0]].name
        raise InputError(
            f"{where}: column '{name}' is constant ({features[0, constant[0]]:g} in all {len(features)} events): leave it out of "
            "data.columns, or set data.scale to unit"
        )
    return features


def _labels(found: _Collected, data: Data, wanted: Wanted, where: str) -> tuple[np.ndarray | None, tuple[str, ...]]:
    if data.files is not None:
        labels = np.concatenate(found.classes)
        empty = [name for number, name in enumerate(data.files) if not (labels == number).any()]
        if empty:
            raise InputError(f"data.files: {where}: no event of class '{empty[0]}' is left: two classes or more are needed")
        return labels, tuple(data.files)
    if data.labels is not None and data.label is None:
        columns = {element.name: found.column(element) for element in wanted.label}
        return from_one_hot(columns, where), tuple(data.labels)
    if not wanted.label:
        return None, ()
    column = wanted.label[0]
    return from_values(found.column(column), column.name, where, data.labels, wanted.roles.class_names)


def _read(
    files: Sequence[tuple[int, Path]], data: Data, cut: Cut | None, watch: Callable[[Reading], None] | None
) -> tuple[_Collected, Wanted]:
    """Read all files, the first of which says which columns there are."""
    found, first = _Collected(), None
    for _, path in files:
        if not path.is_file():
            open_source(path)  # says why
    sizes = [path.stat().st_size for _, path in files]
    for index, (number, path) in enumerate(files):
        source = open_source(path, data.tree)
        wanted = _wanted(data, source, cut)
        first = first or wanted
        if [one.name for one in wanted.features] != [one.name for one in first.features]:
            names = {one.name for one in first.features} ^ {one.name for one in wanted.features}
            raise InputError(f"data.columns: {path}: has other columns than {files[0][1]}: {', '.join(sorted(names)[:4])}")
        for chunk in read_chunks(source, wanted.elements, padding=data.padding):
            found.add(chunk, wanted, cut, number, path)
            if watch is not None:
                done = sum(sizes[:index]) + chunk.share * sizes[index]
                watch(Reading(path.name, done / max(sum(sizes), 1), found.kept))
    if first is None:
        raise InputError("data.files: expected files, received none")
    return found, first


def read_table(data: Data, folder: Path | None = None, watch: Callable[[Reading], None] | None = None) -> Table:
    """Read the files of a study file's section `data`.

    Parameters
    ----------
    data : Data
        ``name`` or ``files`` name files of one of the types of `qap.datasets.readers.read`.
    folder : path, optional
        Where relative names start.
    watch : callable, optional
        Called with a `Reading` after each chunk.

    Returns
    -------
    Table
        Events in the order of the files. float32 where every feature's type is exact in it, else float64.

    Raises
    ------
    InputError
        A missing, empty or damaged file; a column that is missing, jagged, text, constant, or both feature and label; NaN or
        infinite values; one class only; a cut that is none, or that removes all events.
    ToolMissingError
        The library for a file's type is not installed.
    """
    cut = None if data.cut is None else parse_cut(data.cut)
    base = folder or Path()
    groups = list(data.files.values()) if data.files is not None else [[data.name]]
    files = [(number, path) for number, names in enumerate(groups) for path in _paths(names, base)]
    found, wanted = _read(files, data, cut, watch)
    where = str(files[0][1]) + (f" and {len(files) - 1} more" if len(files) > 1 else "")
    features = _checked(found, data, wanted, where)
    labels, class_names = _labels(found, data, wanted, where)
    part = parts(found.column(wanted.part[0]), wanted.part[0].name, where) if wanted.part else None
    return Table(
        data.name if data.files is not None else Path(data.name).stem,
        features,
        tuple(element.name for element in wanted.features),
        labels,
        np.column_stack([found.column(one) for one in wanted.targets]) if wanted.targets else None,
        found.column(wanted.weight[0]) if wanted.weight else None,
        class_names,
        part,
        wanted.lsb if np.isfinite(wanted.lsb).any() else None,
        where,
    )
