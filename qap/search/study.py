"""A study on disk: configuration, parents and every trained candidate, append-only, readable with common tools."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qap import archive
from qap.backend import read_model
from qap.candidate import Candidate
from qap.config.load import dump_config, load_config
from qap.config.schema import Study as Config
from qap.errors import InputError, suggestion
from qap.files import append_line, write_arrays, write_text
from qap.models.architecture import Architecture
from qap.models.builders import Weights, builder_of, get_weights, set_weights
from qap.search.formats import FORMAT, check_format
from qap.search.record import Record, training

CONFIG, INFO, STORE, LOG = "config.yaml", "study.json", "candidates.jsonl", "log.txt"
MAY_CHANGE = (  # budgets may be extended by a resumed study, and its front may go through the RTL route afterwards
    "search.trials", "search.seconds", "search.candidate_seconds", "report.bootstrap",
    "firmware.rtl", "firmware.adders_per_stage", "firmware.synthesis", "firmware.synthesis_seconds",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Parent:
    """A trained float parent.

    Parameters
    ----------
    architecture : Architecture
    weights : mapping
        BatchNormalization folded.
    metrics : mapping
        On the validation split.
    """

    architecture: Architecture
    weights: Weights
    metrics: Mapping[str, float]


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value})
    return flat


def first_difference(old: Config, new: Config) -> str | None:
    """Return in words the first key that a study that goes on may not change, None where there is none."""
    before, after = _flat(old.model_dump(mode="json")), _flat(new.model_dump(mode="json"))
    for key in [*before, *after]:
        if key not in MAY_CHANGE and before.get(key) != after.get(key):
            return f"{key}: {before.get(key)!r} before, {after.get(key)!r} now"
    return None


@dataclass(frozen=True)
class Study:
    """One run directory.

    Parameters
    ----------
    directory : path
    config : Config
        The resolved study file.
    """

    directory: Path
    config: Config

    @classmethod
    def create(cls, directory: Path, config: Config) -> Study:
        """Start a study in a new or empty directory.

        Raises
        ------
        InputError
            The directory is not empty, is a file, or cannot be written.
        """
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise InputError(
                f"{directory}: expected a new or empty directory; go on with that study by --resume, or choose another --output"
            )
        try:
            (directory / "candidates").mkdir(parents=True, exist_ok=True)
            (directory / "parents").mkdir(exist_ok=True)
            write_text(directory / CONFIG, dump_config(config))
        except OSError as error:
            raise InputError(f"{directory}: cannot be written: {error.strerror}") from None
        return cls(directory, config)

    @classmethod
    def open(cls, directory: Path | str, config: Config | None = None) -> Study:
        """Open a study; with a configuration, go on with it.

        Raises
        ------
        InputError
            No study there, or another configuration than the study was begun with (budgets may change).
        """
        directory = Path(directory)
        if not (directory / CONFIG).is_file():
            raise InputError(f"{directory}: no study here (no {CONFIG}): leave --resume out to start one")
        begun = load_config(directory / CONFIG)
        if config is None:
            return cls(directory, begun)
        if (difference := first_difference(begun, config)) is not None:
            raise InputError(
                f"{directory}: the study was begun with another configuration: {difference}. Choose another --output"
            )
        write_text(directory / CONFIG, dump_config(config))
        return cls(directory, config)

    def bind_data(self, digest: str) -> None:
        """Note which events the study is trained on; refuse others when it goes on.

        Raises
        ------
        InputError
            The data have changed since the study was begun.
        """
        path = self.directory / INFO
        if not path.exists():
            info = {
                "format": FORMAT,
                "data_sha256": digest,
                "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
            write_text(path, json.dumps(info, indent=1) + "\n")
        elif self.info["data_sha256"] != digest:
            raise InputError(f"{self.directory}: the data have changed since the study was begun: choose another --output")

    @property
    def info(self) -> dict[str, Any]:
        """Format, digest of the data, time of creation.

        Raises
        ------
        InputError
            The file is damaged or of another format.
        """
        path = self.directory / INFO
        try:
            info = json.loads(path.read_text())
            version, whole = info["format"], isinstance(info["data_sha256"], str)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            whole = False
        if not whole:
            raise InputError(f"{path}: damaged: expected format, data_sha256 and created as JSON")
        check_format(version, path)
        return info

    @property
    def format(self) -> int:
        """Version of the study's files (see `qap.search.formats`)."""
        return int(self.info["format"]) if (self.directory / INFO).exists() else FORMAT

    def note(self, **values: int) -> None:
        """Add figures to study.json."""
        write_text(self.directory / INFO, json.dumps({**self.info, **values}, indent=1) + "\n")

    def log(self, message: str) -> None:
        """Append a line with the time to log.txt."""
        append_line(self.directory / LOG, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message}")

    def candidate_directory(self, candidate: Candidate) -> Path:
        """Return where a candidate's files lie."""
        return self.directory / "candidates" / candidate.id

    def add(self, record: Record) -> None:
        """Store a candidate: its weights first, then its line, so that a line always has weights."""
        candidate = record.candidate
        if candidate.weights is not None and record.error is None:
            folder = self.candidate_directory(candidate)
            folder.mkdir(exist_ok=True)
            write_arrays(folder / weights_file(record.rung), candidate.weights)
            candidate.plan.save(folder / "plan.yaml")
        append_line(self.directory / STORE, record.line())

    def records(self) -> Iterator[Record]:
        """Yield the stored candidates in the order in which the search asked for them, whatever order they were done in.

        A line that is damaged is left out: it may be one that a running search writes (see `qap.search.upkeep.mend`).
        """
        good, _ = self.read()
        yield from sorted((record for _, record in good), key=lambda record: record.number)

    def read(self) -> tuple[list[tuple[str, Record]], list[str]]:
        """Return the readable lines of the store with their records, and the damaged lines."""
        path, version = self.directory / STORE, self.format
        good, damaged = [], []
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
        for place, line in enumerate(line for line in lines if line):
            try:
                good.append((line, Record.read(line, place, version)))
            except InputError:
                damaged.append(line)
        return good, damaged

    def weights(self, candidate: Candidate) -> dict[str, np.ndarray]:
        """Read a candidate's latent weights.

        Raises
        ------
        InputError
            The file is missing or damaged.
        """
        return read_arrays(self.candidate_directory(candidate) / weights_file(training(candidate)[1]))

    def candidate(self, name: str) -> Candidate:
        """Return a trained candidate with its weights, of several trainings the best.

        Parameters
        ----------
        name : str
            Its id, or the beginning of it.

        Raises
        ------
        InputError
            None, or more than one, begins so.
        """
        found: dict[str, Candidate] = {}
        known = set()
        for record in self.records():
            one = record.candidate
            if record.error is None:
                known.add(one.id)
                if one.id.startswith(name):
                    found[one.id] = better(found.get(one.id), one)
        if len(found) != 1:
            near = suggestion(name, known)
            none = f"there is none{near if 'did you mean' in near else ''}"  # hundreds of ids help nobody
            said = f"{len(found)} begin so: give more of it" if found else none
            raise InputError(f"candidate {name!r} of {self.directory}: {said}")
        (one,) = found.values()
        return one.with_(weights=self.weights(one))

    def model(self, candidate: Candidate | str, folder: Path | None = None) -> Any:
        """Return a candidate's QKeras model: from its ``model.keras`` where there is one, else built from its weights.

        Parameters
        ----------
        candidate : Candidate or str
            Or its id.
        folder : path, optional
            Where the user's model function lies (``model.function``).
        """
        one = self.candidate(candidate) if isinstance(candidate, str) else candidate
        weights, path = self.weights(one), self.candidate_directory(one) / "model.keras"
        if path.is_file():
            model = read_model(path, trust=self.config.model.function is not None)
            kept = get_weights(model, one.architecture)
            if all(np.array_equal(values, weights[name]) for name, values in kept.items()):
                return model
        model = builder_of(self.config.model.function, folder)(one.architecture, one.plan)
        set_weights(model, weights)
        return model

    def save_parent(self, parent: Parent, model: Any) -> None:
        """Store a float parent: the Keras model, its folded weights, its metrics last."""
        folder = self.directory / "parents" / parent.architecture.id
        folder.mkdir(parents=True, exist_ok=True)
        model.save(folder / "model.keras")
        write_arrays(folder / "weights.npz", parent.weights)
        write_text(folder / "metrics.json", json.dumps(dict(parent.metrics), indent=1) + "\n")

    def load_parent(self, architecture: Architecture) -> Parent | None:
        """Read a float parent, None when it has not been trained yet."""
        folder = self.directory / "parents" / architecture.id
        if not (folder / "metrics.json").exists():
            return None
        return Parent(architecture, read_arrays(folder / "weights.npz"), json.loads((folder / "metrics.json").read_text()))

    def parent_model(self, architecture: Architecture) -> Any:
        """Load the float parent's Keras model."""
        path = self.directory / "parents" / architecture.id / "model.keras"
        return read_model(path, trust=self.config.model.function is not None)


def better(old: Candidate | None, new: Candidate) -> Candidate:
    """Return the better one of two trainings of the same plan: by accuracy or RMSE on the validation split, else the later."""
    if old is None:
        return new
    if "rmse_validation" in new.metrics:
        return old if old.metrics["rmse_validation"] < new.metrics["rmse_validation"] else new
    return old if old.metrics["accuracy_validation"] > new.metrics["accuracy_validation"] else new


def weights_file(rung: int) -> str:
    """Name the weights of a training: a resumed search starts its children from the same ones."""
    return f"weights_{rung}.npz" if rung else "weights.npz"


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read an .npz file of a study.

    Raises
    ------
    InputError
        It is missing or damaged.
    """
    try:
        return archive.read_arrays(path, str(path))
    except InputError as error:
        why = str(error).removeprefix(f"{path}: ")
        raise InputError(f"{path}: missing or damaged ({why}): remove its folder and resume") from None
