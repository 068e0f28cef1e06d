"""HDF5 files by h5py: one dataset for each column, datasets of two dimensions, and structured ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qap.datasets.readers.source import Column, Jagged, Source, Values, library, near, whole
from qap.errors import InputError
from qap.rehearsal import LostError, rehearse, seconds_for


class Hdf5Source(Source):
    """A group or a dataset of an HDF5 file.

    Parameters
    ----------
    path : path
    tree : str, optional
        Group or dataset (default: the whole file). A dataset of a compound type gives its fields as columns, named
        ``dataset.field`` where they are read from the group above it.
    rehearsed : bool, default False
        This is the process that reads the file first, so that one which HDF5 never comes back from, or dies of, is refused.
    """

    def __init__(self, path: Path, tree: str | None, rehearsed: bool = False) -> None:
        self.path, self._tree, self._rehearsed = path, tree, rehearsed
        self._h5py = library("h5py", "HDF5")
        with whole(path, "HDF5"):
            self._rehearse((), 1)
            self._file = self._h5py.File(path, "r")
            known: list[str] = []
            self._file.visit(known.append)
            if tree is not None and tree.strip("/") not in known:
                raise InputError(f"data.tree: {path}: no group or dataset '{tree}'{near(tree, known)}")
            self._where: dict[str, tuple[Any, str | None]] = {}
            self.columns: dict[str, Column] = {}
            self._add("", self._file[tree] if tree else self._file)

    def _rehearse(self, names: Sequence[str], rows: int) -> None:
        if self._rehearsed:
            return
        try:
            rehearse(_first, str(self.path), self._tree, names, rows, seconds=seconds_for(self.path))
        except LostError:
            raise InputError(
                f"data.name: {self.path}: HDF5 gets lost in it, it is truncated or damaged; write or copy it again"
            ) from None

    def _add(self, name: str, node: Any) -> None:
        if isinstance(node, self._h5py.Group):
            for key in node:
                if node.get(key) is not None:  # a link into a file that is not there
                    self._add(f"{name}/{key}" if name else str(key), node[key])
        elif isinstance(node, self._h5py.Dataset) and node.shape:
            for part in node.dtype.names or [None]:
                title = name or node.name.rpartition("/")[2] if part is None else f"{name}.{part}" if name else str(part)
                self._where[title] = (node, part)
                self.columns[title] = self._column(node.dtype if part is None else node.dtype[part], node.shape[1:])

    def _column(self, dtype: np.dtype, shape: tuple[int, ...]) -> Column:
        shape, base = (*shape, *dtype.shape), dtype.base
        if self._h5py.check_string_dtype(base) is not None:
            return Column("other" if shape else "text", (), "text")
        inner = self._h5py.check_vlen_dtype(base)
        if inner is not None:
            return Column("other" if shape or np.dtype(inner).kind not in "iufb" else "jagged", (), f"variable length {inner}")
        name = f"{base}{list(shape)}" if shape else str(base)
        return Column("number", shape, name) if base.kind in "iufb" else Column("other", (), name)

    def _values(self, name: str, start: int, stop: int) -> Values:
        dataset, part = self._where[name]
        values = dataset[start:stop] if part is None else dataset.fields(part)[start:stop]
        if self.columns[name].kind == "text":
            return np.asarray([one.decode() if isinstance(one, bytes) else str(one) for one in values], dtype=str)
        return Jagged.of(values) if self.columns[name].kind == "jagged" else values

    def chunks(self, names: Sequence[str], rows: int) -> Iterator[tuple[float, dict[str, Values]]]:
        """Yield the part that has been read and the columns.

        Raises
        ------
        InputError
            Columns of different lengths, a truncated file.
        """
        self._rehearse(names, rows)
        lengths = {name: len(self._where[name][0]) for name in names}
        first, events = next(iter(lengths.items()))
        for name, length in lengths.items():
            if length != events:
                raise InputError(
                    f"data.columns: {self.path}: '{name}' has {length} events and '{first}' {events}: name columns of one length"
                )
        with whole(self.path, "HDF5"):
            for start in range(0, events, rows):
                stop = min(start + rows, events)
                yield stop / events, {name: self._values(name, start, stop) for name in names}


def _first(path: str, tree: str | None, names: Sequence[str], rows: int) -> None:
    """Read columns, and leave them."""
    source = Hdf5Source(Path(path), tree, rehearsed=True)
    for _ in source.chunks(names, rows) if names else ():
        pass
