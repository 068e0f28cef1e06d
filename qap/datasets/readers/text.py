"""CSV and TSV files by pandas."""

from __future__ import annotations

import contextlib
import gzip
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from qap.datasets.readers.source import Column, Source, Values, library, whole
from qap.errors import InputError

LOOK = 1000
"""Lines that tell numbers from text."""
TAIL = 65_536
"""Bytes at the end of a file in which its last line is looked for."""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class TextSource(Source):
    """A table of text with names in its first line, plain or gzipped.

    Parameters
    ----------
    path : path
        ``.tsv`` is divided by tabs, all else by commas. Lines that begin with ``#`` are left out.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pandas = library("pandas", "CSV")
        self._options: dict[str, Any] = {
            "sep": "\t" if ".tsv" in path.suffixes else ",", "comment": "#", "skipinitialspace": True, "low_memory": False,
            "index_col": False,
        }  # fmt: skip
        with whole(path, "CSV"), self._strict(), path.open("rb") as raw:
            head = self._pandas.read_csv(self._opened(raw), nrows=LOOK, **self._options)
        names = [str(name) for name in head.columns]
        if all(map(_is_number, names)):
            raise InputError(
                f"data.name: {path}: expected the names of the columns in the first line, received {', '.join(names[:4])}"
            )
        if head.empty:
            raise InputError(f"data.name: {path}: has no events")
        self._check_end(len(names))
        self._numeric = {name: bool(head[name].dtype.kind in "iufb") for name in names}
        self.columns = {
            name: Column("number" if numeric else "text", (), "number" if numeric else "text")
            for name, numeric in self._numeric.items()
        }  # fmt: skip

    def _check_end(self, columns: int) -> None:
        """Refuse a table that ends in the middle of a line: pandas would fill it up."""
        if self.path.suffix == ".gz":
            return  # its checksum says whether it is whole
        with self.path.open("rb") as raw:
            raw.seek(max(raw.seek(0, os.SEEK_END) - TAIL, 0))
            line = raw.read().rpartition(b"\n")[2]
        found = line.count(self._options["sep"].encode()) + 1
        if line.strip() and not line.lstrip().startswith(b"#") and len(line) < TAIL and found < columns:
            raise InputError(
                f"data.name: {self.path}: ends in the middle of a line ({found} of {columns} columns), it is truncated; write or "
                "copy it again"
            )

    def _opened(self, raw: IO[bytes]) -> IO[bytes] | gzip.GzipFile:
        return gzip.open(raw) if self.path.suffix == ".gz" else raw

    def _values(self, name: str, values: Any, start: int) -> np.ndarray:
        if not self._numeric[name]:
            return np.asarray(values.fillna("").astype(str).to_list(), dtype=str)
        if values.dtype.kind in "iufb":
            return np.asarray(values.to_numpy())
        wrong = int(np.argmin([_is_number(str(one)) for one in values]))
        raise InputError(
            f"data.columns: {self.path}: column '{name}': expected a number in event {start + wrong}, received "
            f"'{values.iloc[wrong]}'"
        )

    @contextlib.contextmanager
    def _strict(self) -> Iterator[None]:
        """Refuse lines with more values than the first line has names, which pandas cuts with a warning."""
        kind = self._pandas.errors.ParserWarning
        with warnings.catch_warnings():
            warnings.simplefilter("error", kind)
            try:
                yield
            except kind:
                raise InputError(
                    f"data.name: {self.path}: lines have more values than the first line has names of columns: name all of them, "
                    "or remove separators at the ends of lines"
                ) from None

    def chunks(self, names: Sequence[str], rows: int) -> Iterator[tuple[float, dict[str, Values]]]:
        """Yield the part that has been read and the columns.

        Raises
        ------
        InputError
            Text in a column of numbers, a truncated file.
        """
        size, start = self.path.stat().st_size, 0
        with whole(self.path, "CSV"), self._strict(), self.path.open("rb") as raw:
            parts = self._pandas.read_csv(self._opened(raw), chunksize=rows, **self._options)  # usecols would hide long lines
            for part in parts:
                yield min(raw.tell() / size, 1.0), {name: self._values(name, part[name], start) for name in names}
                start += len(part)
