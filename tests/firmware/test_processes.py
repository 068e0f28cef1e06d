"""A command ends with all that it started: on time-out, on Ctrl-C, and with the others that run beside it."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pytest

from qap.errors import QapError
from qap.firmware import csim
from qap.firmware.processes import Processes, run_command

from ..interrupts import ended, interrupted, sleeper


def _command(pids: Path) -> list[str]:
    return [sys.executable, "-c", sleeper(pids)]


def test_a_command_says_what_it_said(tmp_path: Path) -> None:
    done = run_command([sys.executable, "-c", "import sys; print('out'); sys.exit('bad \u2192')"], tmp_path, 60.0)
    assert (done.returncode, done.stdout, done.stderr) == (1, "out\n", "bad \u2192\n")


def test_a_command_ends_with_all_that_it_started(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        run_command(_command(tmp_path / "pids"), tmp_path, 1.0)
    assert len(ended(tmp_path / "pids")) == 1


def test_ctrl_c_ends_one_command(tmp_path: Path) -> None:
    interrupted(lambda: run_command(_command(tmp_path / "pids"), tmp_path, 600.0), tmp_path / "pids")


def test_ctrl_c_ends_commands_in_threads(tmp_path: Path) -> None:
    errors: list[str] = []

    def run_many() -> None:
        with ThreadPoolExecutor(2) as pool, Processes() as processes:

            def run() -> None:
                try:
                    processes.run(_command(tmp_path / "pids"), tmp_path, 600.0)
                except QapError as error:
                    errors.append(str(error))

            for job in as_completed([pool.submit(run) for _ in range(4)]):
                job.result()

    begun = interrupted(run_many, tmp_path / "pids")
    assert 1 <= len(begun) <= 2
    assert sum("ended, the run was stopped" in error for error in errors) >= len(begun), errors


def test_after_the_end_none_begins(tmp_path: Path) -> None:
    processes = Processes()
    processes.end()
    with pytest.raises(QapError, match="not started, the run was stopped"):
        processes.run(_command(tmp_path / "pids"), tmp_path, 600.0)
    assert not (tmp_path / "pids").exists()


def test_ctrl_c_ends_the_builds_of_all_projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(project: Any, *, run: Any, **options: Any) -> Path:
        run(_command(tmp_path / "pids"), tmp_path, 600.0)
        return tmp_path

    monkeypatch.setattr(csim, "build", build)
    projects: Any = ["a", "b", "c"]
    assert len(interrupted(lambda: csim.build_all(projects, jobs=2), tmp_path / "pids")) <= 2
