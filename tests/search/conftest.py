"""The events of small studies, and what a study has stored."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

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
    return [{key: value for key, value in line.items() if not key.endswith("seconds")} for line in lines]
