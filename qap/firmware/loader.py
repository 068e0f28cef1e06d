"""Load a firmware emulator and run it; needs NumPy only. A copy of this file, emulator.py, goes with every emulator.

``python emulator.py [FOLDER]`` runs the test vectors and ends with exit code 1 where a bit differs.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


class Emulator:
    """An emulator, opened by name and version.

    Parameters
    ----------
    folder : path
        Where ``NAME_VERSION.so`` lies.
    name, version : str, optional
        By default those of ``emulator.json`` in the folder.

    Attributes
    ----------
    inputs, outputs : int
        Numbers per event.

    Raises
    ------
    FileNotFoundError
        No such library.
    ValueError
        The library is another version.
    """

    def __init__(self, folder: str | Path, name: str | None = None, version: str | None = None) -> None:
        folder = Path(folder)
        if name is None or version is None:
            record = json.loads((folder / "emulator.json").read_text())
            name, version = name or str(record["name"]), version or str(record["version"])
        path = (folder / f"{name}_{version}.so").absolute()
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such emulator: build it with make, or ask for another name or version")
        library = ctypes.CDLL(str(path))
        self.name, self.version = name, version
        self.inputs: int = self._call(library, "input_size", ctypes.c_size_t)()
        self.outputs: int = self._call(library, "output_size", ctypes.c_size_t)()
        found = self._call(library, "version", ctypes.c_char_p)().decode()
        if found != version:
            raise ValueError(f"{path}: expected version {version}, the library is {found}")
        self._run = self._call(library, "run_batch", ctypes.c_int)
        pointer = ctypes.POINTER(ctypes.c_double)
        self._run.argtypes = [pointer, pointer, ctypes.c_size_t]

    def _call(self, library: ctypes.CDLL, function: str, result: Any) -> Any:
        call = getattr(library, f"{self.name}_emulator_{function}")
        call.restype = result
        return call

    def __call__(self, x: Any) -> np.ndarray:
        """Run events.

        Parameters
        ----------
        x : array (events, inputs), or with more axes that multiply to the number of inputs

        Returns
        -------
        float64 array (events, outputs)

        Raises
        ------
        ValueError
            Another number of inputs, NaN or infinity.
        """
        values = np.ascontiguousarray(x, np.float64)
        if values.ndim < 2 or values[0:1].size not in (0, self.inputs):
            raise ValueError(f"{self.name}: expected an array (events, {self.inputs}), received {values.shape}")
        results = np.empty((len(values), self.outputs))
        pointer = ctypes.POINTER(ctypes.c_double)
        if self._run(values.ctypes.data_as(pointer), results.ctypes.data_as(pointer), len(values)):
            raise ValueError(f"{self.name}: an input is NaN or infinite")
        return results


def check(folder: str | Path) -> tuple[int, int]:
    """Run the test vectors of an emulator and return how many events are bit-exact, and how many there are."""
    folder = Path(folder)
    inputs, expected = (np.loadtxt(folder / "vectors" / f"{name}.txt", ndmin=2) for name in ("inputs", "expected"))
    outputs = Emulator(folder)(inputs)
    if outputs.shape != expected.shape:
        raise ValueError(f"{folder}: expected outputs {outputs.shape}, expected.txt holds {expected.shape}")
    return int((outputs == expected).all(axis=1).sum()), len(expected)


if __name__ == "__main__":
    exact, events = check(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    print(f"{exact} of {events} events bit-exact")
    sys.exit(exact != events)
