"""NumPy archives: an array for each column, or qap's own format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qap.archive import check_text, check_zip
from qap.datasets.readers.source import Column, Roles, Source, Values, whole
from qap.errors import InputError

OBJECTS = "object (jagged arrays, or other Python objects)"


class NpzSource(Source):
    """An .npz file.

    Parameters
    ----------
    path : path
        Arrays of one length. Where the file has ``features`` (events, features), its columns have the names in
        ``feature_names`` (default ``x0``, ``x1``, …) and its ``labels``, ``targets`` and ``weights`` their roles.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with whole(path, ".npz"):
            check_zip(path, f"data.name: {path}")
        with whole(path, ".npz"), np.load(path, allow_pickle=False) as file:
            kinds = {name: _header(file, name) for name in file.files}
            arrays = {name: file[name] for name, kind in kinds.items() if not kind.hasobject}
        for name, array in arrays.items():
            check_text(array, f"data.name: {path}: {name}")
        self.roles, self._arrays = Roles(), arrays
        features = arrays.get("features")
        if features is not None and features.ndim == 2:
            self._own(arrays, features)
        self.columns = {name: _column(array) for name, array in self._arrays.items() if array.ndim}
        self.columns |= {name: Column("other", (), OBJECTS) for name, kind in kinds.items() if kind.hasobject}

    def _own(self, arrays: dict[str, np.ndarray], features: np.ndarray) -> None:
        names = tuple(map(str, arrays.get("feature_names", [f"x{i}" for i in range(features.shape[1])])))
        if len(names) != features.shape[1] or len(set(names)) != len(names):
            raise InputError(
                f"data.name: {self.path}: feature_names: expected {features.shape[1]} different names, received "
                f"{', '.join(names[:4])}"
            )
        if "lsb" in arrays and arrays["lsb"].shape == features.shape[1:]:
            features = features * arrays["lsb"]
        used = {"features", "feature_names", "class_names", "lsb", *names}
        others = {name: array for name, array in arrays.items() if name not in used}
        self._arrays = {**dict(zip(names, features.T, strict=True)), **others}
        targets = arrays.get("targets")
        count = targets.shape[1] if targets is not None and targets.ndim == 2 else 0
        self.roles = Roles(
            names,
            "labels" if "labels" in arrays else None,
            tuple(f"targets[{i}]" for i in range(count)) or (("targets",) if targets is not None else ()),
            "weights" if "weights" in arrays else None,
            tuple(map(str, arrays.get("class_names", ()))),
        )

    def chunks(self, names: Sequence[str], rows: int) -> Iterator[tuple[float, dict[str, Values]]]:
        """Yield the part that has been read and the columns.

        Raises
        ------
        InputError
            Columns of different lengths.
        """
        events = len(self._arrays[names[0]])
        for name in names:
            if len(self._arrays[name]) != events:
                raise InputError(
                    f"data.columns: {self.path}: '{name}' has {len(self._arrays[name])} events and '{names[0]}' {events}: name "
                    "columns of one length"
                )
        for start in range(0, events, rows):
            stop = min(start + rows, events)
            yield stop / events, {name: self._arrays[name][start:stop] for name in names}


def _header(file: Any, name: str) -> np.dtype:
    """Return the type of an array without reading it: Python objects are never unpickled."""
    entry = next(one for one in (f"{name}.npy", name) if one in file.zip.namelist())
    with file.zip.open(entry) as raw:
        version = np.lib.format.read_magic(raw)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        dtype: np.dtype = read(raw)[2]
    return dtype


def _column(array: np.ndarray) -> Column:
    name = f"{array.dtype}{list(array.shape[1:])}" if array.ndim > 1 else str(array.dtype)
    if array.dtype.kind in "iufb":
        return Column("number", array.shape[1:], name)
    return Column("text" if array.dtype.kind == "U" and array.ndim == 1 else "other", (), name)
