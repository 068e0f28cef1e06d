"""What a running search shows: a bar with the time left, and the front so far."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType

import rich.table
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from qap.candidate import Candidate
from qap.config.schema import Study
from qap.search.front import Front
from qap.search.objectives import limits
from qap.search.searcher import Progress as Standing

WINDOW = 40
"""Steps that the pace is taken from: children that inherit weights train faster than the first generation."""
ENOUGH, ENOUGH_SECONDS = 4, 5.0
"""Steps or seconds before a time is given."""
LINE_SECONDS, LINE_SHARE, LEAST_SECONDS = 60.0, 0.1, 5.0
"""Where there is no terminal, a line comes after so long or so much of the budget, but no sooner than the last says."""
REDRAW_SECONDS = 0.25
FURNITURE = 5
"""Lines of a terminal that the front cannot have."""

Clock = Callable[[], float]


def time_left(seconds: float) -> str:
    """Write the time left, to be put behind what is done."""
    return f", about {seconds / 60:.0f} min left" if seconds >= 90 else f", about {max(seconds, 1):.0f} s left"


class Pace:
    """How fast a share of the work grows.

    The first step is where the clock starts and says nothing itself: it has paid for the float network and the compilation.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._steps: deque[tuple[float, float]] = deque(maxlen=WINDOW)

    def step(self, share: float) -> None:
        """Note that a step is done, and the share of the work that is done with it."""
        self._steps.append((self._clock(), share))

    @property
    def per_second(self) -> float | None:
        """Steps in a second; None as long as too few are known."""
        if len(self._steps) < 2:
            return None
        seconds = self._steps[-1][0] - self._steps[0][0]
        known = len(self._steps) >= ENOUGH or seconds >= ENOUGH_SECONDS
        return (len(self._steps) - 1) / seconds if known and seconds > 0 else None

    @property
    def left(self) -> float | None:
        """Seconds until the share is 1; None as long as too few steps are known."""
        rate = self.per_second
        if rate is None:
            return None
        gained = (self._steps[-1][1] - self._steps[0][1]) / (len(self._steps) - 1)
        now = self._clock() - self._steps[-1][0]
        return max((1 - self._steps[-1][1]) / (gained * rate) - now, 0.0) if gained > 0 else None


def front_table(found: Front, rows: int) -> rich.table.Table:
    """Return a front in so many rows: of a longer one the ends and what lies evenly between them."""
    table = rich.table.Table(box=None, pad_edge=False, header_style="bold")
    for place, title in enumerate(found.table.titles):
        table.add_column(title, justify="right" if place else "left")
    lines = found.table.rows
    shown = min(rows, len(lines))
    for place in sorted({round(k * (len(lines) - 1) / max(shown - 1, 1)) for k in range(shown)}):
        table.add_row(*map(Text, lines[place]))
    return table


class SearchView:
    """A live view on a terminal; a line now and then elsewhere; nothing when quiet.

    Parameters
    ----------
    config : Study
    quiet : bool
    clock : callable, optional
        Seconds.
    """

    def __init__(self, config: Study, *, quiet: bool, clock: Clock = time.monotonic) -> None:
        self._search, self._allowed, self._clock = config.search, limits(config), clock
        self._console = Console(stderr=True, quiet=quiet)
        self._bar = Progress(
            BarColumn(), TextColumn("{task.fields[state]}", markup=False), TimeElapsedColumn(), console=self._console
        )
        self._task: TaskID = self._bar.add_task("", total=1.0, state="")
        self._live = Live(self._bar, console=self._console, refresh_per_second=4, transient=True)
        self._pace = Pace(clock)
        self._message = ""
        self._drawn = -REDRAW_SECONDS
        self._table: rich.table.Table | None = None
        self._said = (clock(), 0.0)

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

    def _state(self, standing: Standing, share: float) -> str:
        """Say how many are done, how fast it goes and how long it takes."""
        total = f" of {self._search.trials}" if self._search.trials else ""
        state, left, rate = f"{standing.done}{total} candidates", self._pace.left, self._pace.per_second
        if share >= 1:
            return state
        if rate is not None:
            state += f", {rate:.2g} a second" if rate >= 1 else f", {60 * rate:.2g} a minute"
        return state + (", estimating the time" if left is None else time_left(left))

    def update(self, standing: Standing) -> None:
        """Show where the search stands."""
        share, message = self._share(standing), standing.message
        if message.startswith("trained ") and self._message and not self._message.startswith("trained "):
            self._pace.step(share)  # one after the other without a training between: they come from the store
        self._message = message
        state = self._state(standing, share)
        if self._console.is_terminal:
            self._draw(standing.candidates, message, share, state)
        elif not message.startswith(("training ", "trained ")) or message.startswith("training the "):
            self._line(f"{message}: {state}")
        elif message.startswith("trained ") and self._due(share):
            found = self._front(standing.candidates)
            self._line(f"{state}; {len(found)} on the front{_range(found)}")

    def _due(self, share: float) -> bool:
        """Tell whether a line is due where there is no terminal."""
        before, done = self._said
        waited = self._clock() - before
        if share < 1 and (waited < LEAST_SECONDS or (waited < LINE_SECONDS and share - done < LINE_SHARE)):
            return False
        self._said = self._clock(), share
        return True

    def _front(self, candidates: Sequence[Candidate]) -> Front:
        return Front.of(list(candidates), self._search.objectives, self._allowed)

    def _draw(self, candidates: Sequence[Candidate], message: str, share: float, state: str) -> None:
        self._bar.update(self._task, completed=share, state=state)
        if candidates and (self._clock() - self._drawn >= REDRAW_SECONDS or share >= 1):
            self._drawn = self._clock()
            found = self._front(candidates)
            self._table = front_table(found, max(self._console.height - FURNITURE, 3)) if found else None
        head = (Text(message), self._bar)
        self._live.update(Group(*head, Text(), self._table) if self._table else Group(*head))

    def say(self, message: str) -> None:
        """Show what happens after the search."""
        if self._console.is_terminal:
            self._bar.update(self._task, total=None, state="")  # how long it takes nobody knows
            self._live.update(Group(Text(message), self._bar))
        else:
            self._line(message)

    def _line(self, text: str) -> None:
        """Print a line as it is: brackets are no markup, a file has no width."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def _range(found: Front) -> str:
    """Say from where to where a front goes, by its first objective."""
    if not found:
        return ""
    column = [row[1] for row in found.table.rows]
    return f", {found.objectives[0]} {column[0]} to {column[-1]}" if len(column) > 1 else f", {found.objectives[0]} {column[0]}"
