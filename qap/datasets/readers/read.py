"""Named columns of a file, chunk by chunk, whatever the file's type."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qap.datasets.readers.hdf5 import Hdf5Source
from qap.datasets.readers.npz import NpzSource
from qap.datasets.readers.parquet import ParquetSource
from qap.datasets.readers.root import RootSource
from qap.datasets.readers.source import Element, Source, whole
from qap.datasets.readers.text import TextSource
from qap.errors import InputError, suggestion

TREES: dict[str, Callable[[Path, str | None], Source]] = {
    ".root": RootSource, ".h5": Hdf5Source, ".hdf5": Hdf5Source, ".hdf": Hdf5Source,
}  # fmt: skip
PLAIN: dict[str, Callable[[Path], Source]] = {
    ".parquet": ParquetSource, ".pq": ParquetSource, ".npz": NpzSource, ".csv": TextSource, ".tsv": TextSource,
    ".csv.gz": TextSource, ".tsv.gz": TextSource,
}  # fmt: skip
ROWS = 65_536
"""Events of a chunk."""


@dataclass(frozen=True)
class Chunk:
    """Some events of a file.

    Parameters
    ----------
    start : int
        Number of the first one in the file.
    columns : dict of (events,) arrays
    share : float
        Part of the file that has been read.
    """

    start: int
    columns: dict[str, np.ndarray]
    share: float

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def file_type(name: str) -> str | None:
    """Return the ending that says how a file is read, or None."""
    lower = name.lower()
    return next((ending for ending in (*TREES, *PLAIN) if lower.endswith(ending)), None)


def open_source(path: Path, tree: str | None = None) -> Source:
    """Open a file of events by its ending.

    Parameters
    ----------
    path : path
    tree : str, optional
        The TTree or RNTuple, the HDF5 group or dataset (default: the only one, the whole file).

    Raises
    ------
    InputError
        No such file, an unknown ending, an empty or damaged file, a tree that is not there.
    ToolMissingError
        The library for the file's type is not installed.
    """
    kind = file_type(path.name)
    if kind is None:
        raise InputError(f"data.name: {path}: unknown type of file{suggestion(''.join(path.suffixes), [*TREES, *PLAIN])}")
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"data.name: {path}: {'no such file' if not path.exists() else error.strerror}") from None
    if path.is_dir() or not size:
        raise InputError(f"data.name: {path}: {'is a folder: name its files' if path.is_dir() else 'is empty (0 bytes)'}")
    if kind in TREES:
        return TREES[kind](path, tree)
    if tree is not None:
        raise InputError(f"data.tree: {path}: only ROOT and HDF5 files have trees: leave data.tree out")
    return PLAIN[kind](path)


def read_chunks(
    source: Source,
    elements: Sequence[Element],
    *,
    padding: float = 0.0,
    rows: int = ROWS,
    watch: Callable[[float], None] | None = None,
) -> Iterator[Chunk]:
    """Read columns of a file in chunks.

    Parameters
    ----------
    source : Source
        From `open_source`.
    elements : sequence of Element
        From `qap.datasets.readers.source.resolve`.
    padding : float, default 0
        What an element has that a jagged array is too short for.
    rows : int, default 65,536
        Events of a chunk, about.
    watch : callable, optional
        Called after each chunk with the part of the file that has been read.

    Yields
    ------
    Chunk

    Raises
    ------
    InputError
        A truncated or damaged file; columns of different lengths.
    """
    bases = list(dict.fromkeys(element.base for element in elements))
    start = 0
    for share, values in source.chunks(bases, rows):
        with whole(source.path, "table"):
            chunk = Chunk(start, {one.name: one.of(values[one.base], padding) for one in elements}, share)
        lengths = {len(column) for column in chunk.columns.values()}
        if len(lengths) > 1:
            raise InputError(f"data.name: {source.path}: columns of {sorted(lengths)} events: damaged; write or copy it again")
        if watch is not None:
            watch(share)
        yield chunk
        start += len(chunk)
