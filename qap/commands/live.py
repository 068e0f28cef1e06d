"""What a running search shows: a bar with the time left, and the front so far."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from qap.candidate import Candidate
from qap.config.schema import Study
from qap.search.objectives import front, limits, values
from qap.search.searcher import Progress as Standing


def front_rows(candidates: list[Candidate], objectives: list[str], allowed: Mapping[str, float] | None = None) -> Table:
    """Return the front of what has been tried as a table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("candidate")
    for name in objectives:
        table.add_column(name, justify="right")
    table.add_column("weight bits", justify="right")
    table.add_column("activation bits", justify="right")
    table.add_column("zero weights", justify="right")
    for candidate in front(candidates, objectives, allowed):
        layers = [layer for _, layer in candidate.plan.items()]
        table.add_row(
            candidate.id,
            *(f"{value:,.0f}" if value > 10 else f"{value:.4f}" for value in values(candidate, objectives)),
            " ".join(str(layer.weight.bits) for layer in layers),
            " ".join(str(layer.activation.bits) for layer in layers if layer.activation),
            "" if candidate.cost is None else f"{100 * candidate.cost['sparsity']:.0f} %",
        )
    return table


def time_left(seconds: float) -> str:
    """Write the time left, to be put behind what is done."""
    return f", about {seconds / 60:.0f} min left" if seconds >= 90 else f", about {seconds:.0f} s left"


class SearchView:
    """A live view on a terminal; one line a candidate elsewhere; nothing when quiet."""

    def __init__(self, config: Study, *, quiet: bool) -> None:
        self._search, self._allowed = config.search, limits(config)
        self._console = Console(stderr=True, quiet=quiet)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[state]}"), TimeElapsedColumn(),
            console=self._console,
        )  # fmt: skip
        self._task: TaskID = self._bar.add_task("starting", total=1.0, state="")
        self._live = Live(self._bar, console=self._console, refresh_per_second=4, transient=True)
        self._started = time.monotonic()
        self._fresh: tuple[int, float] | None = None

    def __enter__(self) -> SearchView:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def _share(self, standing: Standing) -> float:
        shares = [0.0]
        if self._search.trials:
            shares.append(standing.done / self._search.trials)
        if self._search.seconds:
            shares.append(standing.seconds / self._search.seconds)
        return min(max(shares), 1.0)

    def _left(self, share: float) -> str:
        """Return the time left, from the progress made since this process began."""
        now = time.monotonic()
        if self._fresh is None:
            self._fresh = (0, share)
            self._started = now
        gained = share - self._fresh[1]
        if gained <= 0:
            return ""
        seconds = (now - self._started) * (1 - share) / gained
        return time_left(seconds)

    def update(self, standing: Standing) -> None:
        """Show where the search stands."""
        share = self._share(standing)
        total = f" of {self._search.trials}" if self._search.trials else ""
        state = f"{standing.done}{total} candidates{self._left(share)}"
        if self._console.is_terminal:
            self._bar.update(self._task, completed=share, description=standing.message, state=state)
            table = front_rows(list(standing.candidates), list(self._search.objectives), self._allowed)
            self._live.update(Group(self._bar, table) if standing.candidates else self._bar)
        elif not standing.message.startswith("training "):
            self._line(f"{standing.message}: {state}")

    def say(self, message: str) -> None:
        """Show what happens after the search."""
        if self._console.is_terminal:
            self._bar.update(self._task, description=message, state="", completed=1.0)
            self._live.update(self._bar)
        else:
            self._line(message)

    def _line(self, text: str) -> None:
        """Print a line as it is: brackets are no markup, a file has no width."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
