"""What it costs that HDF5 files are read by another process first: milliseconds with and without, for files that are good.

python benchmarks/rehearsal.py
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import h5py
import numpy as np

from qap.backend import stack
from qap.datasets.readers.read import open_source, read_chunks
from qap.datasets.readers.source import numbers
from qap.firmware.model_file import load_model
from qap.rehearsal import rehearse

TIMES = 5
COLUMNS = 16


def _table(path: Path, events: int, packed: bool) -> Path:
    rng = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        for number in range(COLUMNS):
            values = rng.normal(size=events).astype(np.float32)
            file.create_dataset(f"x{number}", data=values, compression="gzip" if packed else None)
    return path


def _read(path: Path) -> int:
    source = open_source(path)
    return sum(len(chunk) for chunk in read_chunks(source, numbers(source.columns)))


def _model(path: Path, units: int) -> Path:
    layers = stack().keras.layers
    inputs = layers.Input((16,))
    stack().keras.Model(inputs, layers.Dense(5)(layers.Dense(units)(layers.Dense(units)(inputs)))).save(path)
    return path


def _cases(folder: Path) -> Iterator[tuple[str, Path, Callable[[Path], Any]]]:
    for units in (32, 2000):
        for suffix in (".keras", ".h5"):
            yield f"model `{suffix}`, {units} nodes", _model(folder / f"m{units}{suffix}", units), load_model
    for events, packed in ((1000, False), (1_000_000, False), (1_000_000, True)):
        name = f"table, {events:,} events{', gzip' * packed}"
        yield name, _table(folder / f"t{events}{packed}.h5", events, packed), _read


def _milliseconds(read: Callable[[Path], Any], path: Path) -> float:
    """Return the least of some, after one that warms up."""
    took = []
    for _ in range(TIMES + 1):
        start = time.perf_counter()
        read(path)
        took.append(time.perf_counter() - start)
    return 1000 * min(took[1:])


def _without(read: Callable[..., Any], path: str, *given: Any, seconds: float) -> Any:
    """Stand in for `qap.rehearsal.rehearse`: nothing is read but the configuration that a model in HDF5 needs."""
    if read.__name__ != "_saved":
        return None
    with h5py.File(path, "r") as file:
        return {"config": file.attrs["model_config"]}


def main() -> None:
    """Print the table."""
    start = time.perf_counter()
    rehearse(os.getpid, seconds=5)
    print(f"The start of the process: {1000 * (time.perf_counter() - start):.0f} ms\n")
    print("| file | MB | with, ms | without, ms |\n|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as temporary:
        for name, path, read in _cases(Path(temporary)):
            first = _milliseconds(read, path)
            with patch("qap.archive.rehearse", _without), patch("qap.datasets.readers.hdf5.rehearse", _without):
                alone = _milliseconds(read, path)
            print(f"| {name} | {path.stat().st_size / 1e6:.2f} | {first:.0f} | {alone:.0f} |", flush=True)


if __name__ == "__main__":
    main()
