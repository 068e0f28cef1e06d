"""The directory of a comparison: configuration, float networks, one line for each row and seed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qap.compare.judge import Result
from qap.config.load import dump_config, load_config
from qap.config.schema import Study as Config
from qap.errors import InputError
from qap.files import append_line, write_arrays, write_text
from qap.search.study import read_arrays

CONFIG, RESULTS = "config.yaml", "results.jsonl"


def _cut_off(path: Path) -> None:
    """Remove what a kill has left of a line: the next one must not be glued to it."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if text and not text.endswith("\n"):
        write_text(path, text[: text.rfind("\n") + 1])


@dataclass(frozen=True)
class Store:
    """A comparison on disk, append-only.

    Parameters
    ----------
    directory : Path
    """

    directory: Path

    @classmethod
    def open(cls, directory: Path, config: Config, *, resume: bool) -> Store:
        """Create a directory, or go on in one.

        Raises
        ------
        InputError
            Not empty without `resume`; or, with it, of another configuration.
        """
        directory = Path(directory)
        filled = directory.exists() and (not directory.is_dir() or any(directory.iterdir()))
        if filled and not resume:
            raise InputError(f"{directory}: not empty: add --resume to go on with that comparison, or choose another --output")
        if not filled:
            directory.mkdir(parents=True, exist_ok=True)
            write_text(directory / CONFIG, dump_config(config))
        elif not (directory / CONFIG).is_file():
            raise InputError(f"{directory}: holds no comparison: {CONFIG} is missing")
        elif load_config(directory / CONFIG) != config:
            raise InputError(f"{directory}: made with another study file or other settings: choose another --output")
        _cut_off(directory / RESULTS)
        return cls(directory)

    def weights(self, seed: int, name: str) -> dict[str, np.ndarray] | None:
        """Return a float network's folded weights, None where it has not been trained."""
        path = self.directory / "parents" / f"{seed}-{name}.npz"
        return read_arrays(path) if path.is_file() else None

    def keep_weights(self, seed: int, name: str, weights: Mapping[str, np.ndarray]) -> None:
        """Store a float network's folded weights."""
        folder = self.directory / "parents"
        folder.mkdir(exist_ok=True)
        write_arrays(folder / f"{seed}-{name}.npz", weights)

    def results(self) -> list[dict[str, Any]]:
        """Return the lines that are complete; one that a kill has cut off is left out."""
        return list(self._lines())

    def _lines(self) -> Iterator[dict[str, Any]]:
        path = self.directory / RESULTS
        if not path.is_file():
            return
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                values = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(values, dict) and {"method", "seed"} <= set(values):
                yield values

    def add(self, result: Result, seed: int, seconds: float) -> dict[str, Any]:
        """Store a result: its model and scores first, its line last."""
        candidate = result.candidate
        values: dict[str, Any] = {
            "method": result.row.name,
            "seed": seed,
            "compress": [*result.row.entry.compress],
            "granularity": result.row.entry.granularity if result.row.prunes else None,
            "criterion": result.row.entry.criterion,
            "architecture": None if candidate is None else str(candidate.architecture),
            **result.values,
            "remark": result.remark,
            "seconds": round(seconds, 3),
        }
        if candidate is not None and result.scores is not None:
            folder = self.directory / "models" / str(seed) / result.row.name
            folder.mkdir(parents=True, exist_ok=True)
            write_arrays(folder / "weights.npz", candidate.weights or {})
            write_arrays(folder / "scores.npz", {"scores": result.scores.astype(np.float32)})
            candidate.plan.save(folder / "plan.yaml")
        append_line(self.directory / RESULTS, json.dumps(values))
        return values
