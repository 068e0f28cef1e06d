"""Writing files so that a reader never meets half of one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np


def write_text(path: Path, text: str) -> None:
    """Write text to a temporary name in the same folder, then rename it."""
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes to a temporary name in the same folder, then rename it."""
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an .npz file to a temporary name in the same folder, then rename it."""
    temporary = path.with_name(f".{path.stem}.part.npz")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def append_line(path: Path, text: str) -> None:
    """Append one line and wait until it is on the disk."""
    with path.open("a", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
