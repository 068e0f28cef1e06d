"""The directory of a comparison: configuration, float networks, one line for each row and seed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qap.candidate import Candidate
from qap.compare.judge import Result
from qap.config.load import dump_config, load_config
from qap.config.schema import Study as Config
from qap.datasets.dataset import Dataset
from qap.errors import InputError, suggestion
from qap.files import append_line, write_arrays, write_text
from qap.metrics.paired import Paired, paired
from qap.metrics.scores import Scores
from qap.models.architecture import Architecture
from qap.plan import Plan
from qap.search.study import read_arrays

CONFIG, RESULTS, NETWORK = "config.yaml", "results.jsonl", "architecture.json"


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

    @property
    def config(self) -> Config:
        """What the comparison was made with."""
        return load_config(self.directory / CONFIG)

    @property
    def seeds(self) -> list[int]:
        """Seeds that have results."""
        return sorted({line["seed"] for line in self.results()})

    def candidate(self, seed: int, row: str) -> Candidate:
        """Return the network of a row, with weights and with its figures as metrics; of a float network the plan says nothing.

        Parameters
        ----------
        seed : int
        row : str

        Raises
        ------
        InputError
            No such row or seed, a row that was refused, or a comparison of an earlier version.
        """
        folder = self._folder(seed, row)
        path = folder / NETWORK
        if not path.is_file():
            raise InputError(f"{path}: missing: the comparison was made by an earlier version; make it again for its networks")
        architecture = Architecture.from_dict(json.loads(path.read_text(encoding="utf-8")))
        (line,) = (line for line in self._lines() if (line["method"], line["seed"]) == (row, seed))
        metrics = {name: value for name, value in line.items() if isinstance(value, float) and name != "seconds"}
        return Candidate(architecture, Plan.load(folder / "plan.yaml"), read_arrays(folder / "weights.npz"), metrics)

    def scores(self, seed: int, row: str) -> np.ndarray:
        """Return a row's outputs on the test split, (events, outputs) float32: the firmware's, where it has one.

        Raises
        ------
        InputError
            No such row or seed, or a row that was refused.
        """
        return read_arrays(self._folder(seed, row) / "scores.npz")["scores"]

    def paired(self, first: str, second: str, data: Dataset, metric: str | None = None) -> Paired:
        """Compare two rows on the same test events, seed by seed.

        Parameters
        ----------
        first, second : str
            Rows.
        data : Dataset
            What the comparison was made with.
        metric : str, optional
            As in `qap.metrics.scores.Scores.interval` (None: accuracy or RMSE).
        """
        one, other = (
            [Scores(row, data.task, data.test, self.scores(seed, row)) for seed in self.seeds] for row in (first, second)
        )
        return paired(one, other, metric)

    def _folder(self, seed: int, row: str) -> Path:
        """Return where the model of a row lies."""
        folder = self.directory / "models" / str(seed) / row
        if not (folder / "scores.npz").is_file():
            known = {line["method"] for line in self._lines() if line["seed"] == seed}
            said = f"seed {seed} was refused or is not done" if row in known else f"seed {seed}: no such row"
            near = "" if row in known else suggestion(row, sorted(known))
            raise InputError(f"{self.directory}: {row} with {said}{near}")
        return folder

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
            write_text(folder / NETWORK, json.dumps(candidate.architecture.to_dict()) + "\n")
        append_line(self.directory / RESULTS, json.dumps(values))
        return values
