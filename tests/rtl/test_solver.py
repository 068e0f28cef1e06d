"""da4ml's search in a process of its own gives the same circuit, ends in time and at Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("da4ml")

from qap.errors import QapError
from qap.precision import Precision
from qap.rtl import da4ml_cost, solver, write_design
from qap.rtl.solver import Solver
from qap.rtl.tools import da4ml
from qap.rtl.trace import trace
from tests.firmware.helpers import mlp

from ..interrupts import interrupted, sleeper

INPUT = Precision(6, 2)
LAYER = ("quantized_bits(4,0)", "quantized_bits(6,1)", "quantized_relu(4,1)")


def small() -> Any:
    return mlp({"fc1": LAYER, "output": (*LAYER[:2], None)}, 5, [6, 3])


def ports(number: int) -> np.ndarray:
    module = da4ml("trace.fixed_variable")
    found = np.empty(number, object)
    found[:] = [module.FixedVariable(-4.0, 3.875, 0.125, hwconf=module.HWConfig(1, -1, -1)) for _ in range(number)]
    return found


@pytest.mark.parametrize("options", [{"hard_dc": 2}, {"hard_dc": -1, "method0": "mc", "search_all_decompose_dc": False}])
def test_a_search_apart_finds_the_same_circuit(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    here = trace(small(), INPUT, solver=options)
    apart: list[int] = []
    run = solver.run_command

    def counted(command: Any, folder: Path, timeout: float) -> Any:
        apart.append(1)
        return run(command, folder, timeout)

    monkeypatch.setattr(solver, "run_command", counted)
    assert trace(small(), INPUT, solver=options).logic == here.logic
    assert not apart, "small matrices are searched here"
    monkeypatch.setattr(solver, "SMALL", 0)
    assert trace(small(), INPUT, solver=options).logic == here.logic
    assert len(apart) == 2, "one for each layer"


def test_a_dense_layer_is_ended_after_its_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """64 times 64 weights of 8 bits take da4ml more than ten seconds."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kernel = np.random.default_rng(0).integers(-128, 128, (64, 64)).astype(float)
    with pytest.raises(QapError, match=r"^fc1: da4ml has not found a circuit after 2 s: .* too large for that time \(1[0-9],"):
        Solver(timeout=2.0).matmul("fc1", ports(64), kernel)
    assert not list(tmp_path.iterdir())


def test_the_time_is_that_of_all_layers_together(tmp_path: Path) -> None:
    for call in (trace, da4ml_cost):
        with pytest.raises(QapError, match="^fc1: da4ml has not found a circuit after 0 s"):
            call(small(), INPUT, timeout=0.0)
    with pytest.raises(QapError, match="^fc1: da4ml has not found a circuit after 0 s"):
        write_design(small(), INPUT, tmp_path / "design", timeout=0.0)
    assert not (tmp_path / "design").exists()


def test_a_search_that_fails_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver, "SMALL", 0)
    with pytest.raises(QapError, match="^fc1: da4ml failed: .*unknown"):
        trace(small(), INPUT, solver={"unknown": 1})


def test_ctrl_c_ends_a_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver, "SMALL", 0)
    monkeypatch.setattr(solver, "_SOLVE", sleeper(tmp_path / "pids"))
    assert len(interrupted(lambda: Solver().matmul("fc1", ports(2), np.eye(2)), tmp_path / "pids")) == 1
