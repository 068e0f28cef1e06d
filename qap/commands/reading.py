"""What a command shows while it reads the user's files: a bar with the time left."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from qap.commands.live import time_left
from qap.datasets.files import Reading

EVERY = 10.0
"""Seconds between lines where there is no terminal."""


class ReadingView:
    """A bar on a terminal, a line now and then elsewhere, nothing when quiet or done at once."""

    def __init__(self, *, quiet: bool) -> None:
        self._console = Console(stderr=True, quiet=quiet)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[state]}", markup=False),
            console=self._console, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("reading", total=1.0, state="")
        self._started = self._said = time.monotonic()

    def __enter__(self) -> ReadingView:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def update(self, reading: Reading) -> None:
        """Show how far the reading has come."""
        now = time.monotonic()
        left = time_left((now - self._started) * (1 - reading.share) / reading.share) if 0 < reading.share < 1 else ""
        state = f"{reading.share:.0%}, {reading.events:,} events{left}"
        if self._console.is_terminal:
            self._bar.start()
            self._bar.update(self._task, completed=reading.share, description=f"reading {reading.file}", state=state)
        elif now - self._said >= EVERY:
            self._said = now
            self.say(f"reading {reading.file}: {state}")

    def say(self, message: str) -> None:
        """Print a line as it is."""
        self._console.print(message, highlight=False, markup=False, soft_wrap=True)
