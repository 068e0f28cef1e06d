"""The events of small studies, and what a study has stored."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from qap.config.load import load_config
from qap.config.schema import Study as Config
from qap.search.record import CHECKSUM
from qap.search.run import run_search
from qap.search.study import STORE

from ..conftest import blobs


@pytest.fixture(scope="package")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "blobs.npz"
    table = blobs()
    np.savez(path, features=table.features, labels=table.labels)
    return path


def stored_lines(directory: Path) -> list[dict]:
    """The stored trainings without their times."""
    lines = [json.loads(line) for line in (directory / STORE).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != CHECKSUM and not key.endswith("seconds")} for line in lines]


SMALL = [
    "model.hidden=[8]", "train.batch=200", "train.parent_epochs=3", "train.epochs=1", "prune.frequency=2",
    "search.space.weight_bits=[2,4,6]", "search.space.activation_bits=[3,5]", "search.space.sparsity=[0.0,0.5]",
    "search.population=4", "search.strategy=nsga2", "data.input.bits=8", "firmware.build=false", "report.bootstrap=20",
]  # fmt: skip
"""Of searches that take a second."""


def small(file: Path, *overrides: str) -> Config:
    """The study file of a small search."""
    return load_config(None, [*SMALL, f"data.name={file}", *overrides])


def searching(folder: Path, file: Path, output: Path, *words: str) -> list[str]:
    """The command line of a small search."""
    (folder / "study.yaml").write_text("{}\n")
    return [
        sys.executable, "-m", "qap.search", str(folder / "study.yaml"), *SMALL, f"data.name={file}",
        "--output", str(output), "--quiet", *words,
    ]  # fmt: skip


def in_order(directory: Path) -> list[dict]:
    """The stored trainings without their times, in the order of asking."""
    return sorted(stored_lines(directory), key=lambda line: line["number"])


def same_search(one: Path, other: Path) -> bool:
    """Whether two studies hold the same trainings with the same weights."""
    same = in_order(one) == in_order(other)
    for path in sorted(one.glob("candidates/*/weights*.npz")):
        with np.load(path) as first, np.load(other / path.relative_to(one)) as second:
            same = same and all(first[name].tobytes() == second[name].tobytes() for name in first.files)
    return same


@pytest.fixture(scope="package")
def whole_search(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight trainings in this process; copy it before you change it."""
    directory = tmp_path_factory.mktemp("whole") / "study"
    run_search(small(file, "search.trials=8"), directory)
    return directory


@pytest.fixture
def copied(whole_search: Path, tmp_path: Path) -> Path:
    """A copy of the eight trainings."""
    return Path(shutil.copytree(whole_search, tmp_path / "study"))
