"""Fixtures of the firmware tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qap.config.schema import Firmware
from qap.firmware import Comparison, Project, build, compare, convert
from qap.precision import Precision


@pytest.fixture
def proven(tmp_path: Path) -> Callable[..., tuple[Project, Comparison]]:
    """Return a function that converts, builds and compares a model, and fails with counts and worst cases."""

    def prove(model: Any, precision: str, x: Any, name: str = "project", **settings: Any) -> tuple[Project, Comparison]:
        project = convert(model, Precision.parse(precision), tmp_path / name, Firmware(**settings))
        build(project)
        comparison = compare(model, project, x)
        assert comparison.parity.proven, comparison.to_dict()
        return project, comparison

    return prove
