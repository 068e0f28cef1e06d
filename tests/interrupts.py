"""Ctrl-C while a tool runs: a stand-in that sleeps, and what must be left of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PATIENCE = 60.0
"""Seconds in which the stand-in must have begun, and in which it must have ended: it sleeps for ten minutes."""


def sleeper(pids: Path) -> str:
    """Return Python code that appends its process and a child's to a file, a line each, and sleeps."""
    return f"""
import os, subprocess, time
child = subprocess.Popen(["sleep", "600"])
with open({str(pids)!r}, "a") as file:
    file.write(f"{{os.getpid()}} {{child.pid}}\\n")
time.sleep(600)
"""


def interrupted(call: Callable[[], object], pids: Path) -> list[str]:
    """Call, send this process Ctrl-C once a stand-in runs, and expect that it and its child have ended.

    Returns
    -------
    list of str
        A line for each stand-in that began.
    """

    def send() -> None:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and not (pids.is_file() and pids.read_text().endswith("\n")):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            call()
    finally:
        thread.join()
    return ended(pids)


def ended(pids: Path) -> list[str]:
    """Expect that all stand-ins and their children have ended; return a line for each of them."""
    lines = pids.read_text().splitlines()
    assert lines, "no stand-in began"
    running = {int(pid) for line in lines for pid in line.split()}
    until = time.monotonic() + PATIENCE
    while running and time.monotonic() < until:
        running = {pid for pid in running if _runs(pid)}
        time.sleep(0.02)
    for pid in running:
        os.kill(pid, signal.SIGKILL)
    assert not running, f"{len(running)} of {2 * len(lines)} processes still run"
    return lines


def _runs(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    try:
        return state.read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
