"""Parquet files by pyarrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qap.datasets.readers.source import Column, Jagged, Source, Values, library, whole


class ParquetSource(Source):
    """A Parquet file.

    Parameters
    ----------
    path : path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pa = library("pyarrow", "Parquet")
        with whole(path, "Parquet"):
            self._file = library("pyarrow.parquet", "Parquet").ParquetFile(path)
            self.columns = {field.name: self._column(field.type) for field in self._file.schema_arrow}

    def _column(self, kind: Any) -> Column:
        types = self._pa.types
        name = str(kind)
        if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
            return Column("number", (), name)
        if types.is_string(kind) or types.is_large_string(kind) or types.is_dictionary(kind):
            return Column("text", (), name)
        if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
            inner = self._column(kind.value_type)
            if inner.kind == "number" and not inner.shape:
                fixed = types.is_fixed_size_list(kind)
                return Column("number", (kind.list_size,), name) if fixed else Column("jagged", (), name)
        return Column("other", (), name)

    def _values(self, name: str, array: Any) -> Values:
        column = self.columns[name]
        if column.kind == "text":
            return np.asarray(["" if one is None else str(one) for one in array.to_pylist()], dtype=str)
        if column.kind == "jagged":
            lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
            return Jagged(_numbers(array.flatten()), np.concatenate([[0], np.cumsum(lengths)]))
        if column.shape and array.null_count:
            rows = [np.full(column.shape, np.nan) if one is None else np.asarray(one, np.float64) for one in array.to_pylist()]
            return np.stack(rows)
        if column.shape:
            return _numbers(array.flatten()).reshape(-1, *column.shape)
        return _numbers(array)

    def chunks(self, names: Sequence[str], rows: int) -> Iterator[tuple[float, dict[str, Values]]]:
        """Yield the part that has been read and the columns; what is null becomes NaN."""
        events, done = self._file.metadata.num_rows, 0
        with whole(self.path, "Parquet"):
            for batch in self._file.iter_batches(batch_size=rows, columns=list(names)):
                done += batch.num_rows
                yield done / events, {name: self._values(name, batch.column(name)) for name in names}


def _numbers(array: Any) -> np.ndarray:
    """Return an arrow array; flags with nulls become numbers."""
    values = array.to_numpy(zero_copy_only=False)
    return values if values.dtype.kind in "iufb" else np.asarray([np.nan if one is None else one for one in values], np.float64)
