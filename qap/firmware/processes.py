"""Commands that end with all that they started: on time-out and on Ctrl-C, alone or side by side."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from qap.errors import QapError

Run = Callable[[Sequence[str], Path, float], "subprocess.CompletedProcess[str]"]
"""Runs a command: `run_command`, or `Processes.run` for commands that shall end together."""


class Processes:
    """Commands that run side by side, one in each thread; leaving the block on an exception ends them.

    A thread cannot be interrupted. On Ctrl-C it is its command that ends, and then the thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._ended = False

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self.end()

    def end(self) -> None:
        """End every command that runs; none begins any more."""
        with self._lock:
            self._ended = True
            for process in self._running:
                _kill(process)

    def run(self, command: Sequence[str], folder: Path, timeout: float) -> subprocess.CompletedProcess[str]:
        """Run a command in a session of its own; on time-out or interrupt all processes that it started end with it.

        Parameters
        ----------
        command : sequence of str
        folder : Path
            Where it runs.
        timeout : float
            Seconds.

        Raises
        ------
        subprocess.TimeoutExpired
        QapError
            `end` was called.
        """
        with self._lock:
            if self._ended:
                raise QapError(f"{command[0]}: not started, the run was stopped")
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._running.add(process)
        with process:
            try:
                output, errors = process.communicate(timeout=timeout)
            except BaseException:
                _kill(process)
                raise
            finally:
                with self._lock:
                    self._running.discard(process)
        if self._ended:
            raise QapError(f"{command[0]}: ended, the run was stopped")
        return subprocess.CompletedProcess(command, process.returncode, output, errors)


def _kill(process: subprocess.Popen[str]) -> None:
    if process.returncode is None:  # else its number may be another one's by now
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def run_command(command: Sequence[str], folder: Path, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run one command, as `Processes.run` does."""
    return Processes().run(command, folder, timeout)
