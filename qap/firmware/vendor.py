"""Vitis HLS, Vivado HLS and Vivado on a generated project, where they are installed.

The steps themselves stand in ``templates/flow.sh``, which ``firmware/Makefile`` uses too, without Python.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

from qap.candidate import Cost
from qap.errors import InputError, QapError, ToolMissingError
from qap.firmware.reports import project_settings, read_reports

STAGES = ("csim", "csynth", "cosim", "export", "vsynth", "impl")
TOOLS = ("vitis_hls", "vitis-run", "v++", "vivado_hls", "vivado")
FLOW = Path(__file__).parent / "templates" / "flow.sh"
GRACE = 10.0
"""Seconds between asking a tool to stop and killing it."""


def find_tools() -> dict[str, Path]:
    """Return the vendor tools on PATH by name, those that are missing left out."""
    found = {name: shutil.which(name) for name in TOOLS}
    return {name: Path(path) for name, path in found.items() if path is not None}


def _raise(code: int, message: str, log: Path | None = None) -> None:
    """Turn the exit code of flow.sh into the error of the same meaning."""
    if code == 0:
        return
    if code == InputError.exit_code:
        raise InputError(message)
    if code == ToolMissingError.exit_code:
        raise ToolMissingError(message)
    raise QapError(f"{message} (log: {log})")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a stage with all that it started: the tools run Java, compilers and simulators of their own."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    process.wait()


def run_stage(directory: Path, stage: str, *, log: Path | None = None, timeout: float | None = None) -> Path:
    """Run one stage of the vendor flow.

    Parameters
    ----------
    directory : path
        An hls4ml project for Vitis or Vivado.
    stage : {'csim', 'csynth', 'cosim', 'export', 'vsynth', 'impl'}
        ``vsynth`` and ``impl`` are synthesis and place and route in Vivado, out of context.
    log : path, optional
        Where the tool's output goes; by default ``qap_STAGE.log`` in the project.
    timeout : float, optional
        Seconds; by default none. A large network may take hours.

    Returns
    -------
    Path
        The log. The reports stay in the project: see `qap.firmware.reports.read_reports`.

    Raises
    ------
    InputError
        No project, a path that the tools cannot take, a stage that needs an earlier one.
    ToolMissingError
        The tool of the stage is not on PATH.
    QapError
        The tool failed, left no report or took too long.
    """
    directory = Path(directory)
    if stage not in STAGES:
        raise InputError(f"stage: expected one of {', '.join(STAGES)}, received {stage!r}")
    project_settings(directory)
    check = subprocess.run(["sh", str(FLOW), "check", str(directory)], capture_output=True, text=True, check=False)
    _raise(check.returncode, " ".join(check.stderr.split()))
    log = directory / f"qap_{stage}.log" if log is None else Path(log)
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["sh", str(FLOW), stage, str(directory)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            _stop(process)
            raise QapError(
                f"{stage}: not finished after {timeout:g} s in {directory}: stopped; give it more time (log: {log})"
            ) from None
        except BaseException:
            _stop(process)
            raise
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), f"{stage}: ended with exit code {code}")
    _raise(code, last, log)
    return log


def run_stages(directory: Path, stages: Iterable[str] = STAGES, *, timeout: float | None = None) -> dict[str, Cost]:
    """Run several stages in their order and read the reports.

    Parameters
    ----------
    directory : path
        An hls4ml project for Vitis or Vivado.
    stages : iterable of str
        By default all.
    timeout : float, optional
        Seconds for each stage.

    Returns
    -------
    dict
        As `qap.firmware.reports.read_reports`: cost by stage, earlier runs included.

    Raises
    ------
    InputError, ToolMissingError, QapError
        As `run_stage` and `read_reports`; the stages after the one that failed are not run.
    """
    wanted = tuple(stages)
    unknown = sorted(set(wanted) - set(STAGES))
    if unknown:
        raise InputError(f"stages: expected some of {', '.join(STAGES)}, received {', '.join(unknown)}")
    for stage in (stage for stage in STAGES if stage in wanted):
        run_stage(directory, stage, timeout=timeout)
    return read_reports(directory)
