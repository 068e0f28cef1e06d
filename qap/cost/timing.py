"""The timing budget of a trigger: cycles in nanoseconds and bunch crossings, and how often an event may come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qap.candidate import Figure

BUNCH_CROSSING = 25.0
"""Nanoseconds between the bunch crossings of the LHC."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a trigger grants.

    Parameters
    ----------
    clock_ns : float
        Period of the firmware's clock.
    time_multiplexing : int, default 1
        Of so many copies of the firmware each takes every so-manieth event.
    bunch_crossing_ns : float, default 25
    latency_ns : float, optional
        The longest latency.
    """

    clock_ns: float
    time_multiplexing: int = 1
    bunch_crossing_ns: float = BUNCH_CROSSING
    latency_ns: float | None = None

    @property
    def longest_interval(self) -> int:
        """The largest initiation interval in cycles: clock / collision rate × time multiplexing, rounded down."""
        return int(self.bunch_crossing_ns / self.clock_ns * self.time_multiplexing + 1e-9)


def _scaled(figure: Figure, by: float, unit: str) -> Figure:
    low, high = (figure.value if bound is None else bound for bound in (figure.low, figure.high))
    digits = 2 if low == high else 0 if high * by >= 20 else 1
    value, low, high = (round(one * by, digits) for one in (figure.value, low, high))
    return Figure(value, figure.source, unit, low, high)


def timing_figures(figures: Mapping[str, Figure], budget: Budget) -> dict[str, Figure]:
    """Return the latency in ns and in bunch crossings, where there is one in cycles.

    Parameters
    ----------
    figures : mapping
        With ``latency_cycles``.
    budget : Budget
    """
    if "latency_cycles" not in figures:
        return {}
    cycles = figures["latency_cycles"]
    return {
        "latency_ns": _scaled(cycles, budget.clock_ns, "ns"),
        "latency_bx": _scaled(cycles, budget.clock_ns / budget.bunch_crossing_ns, "bunch crossings"),
    }


def keeps(figures: Mapping[str, Figure], budget: Budget) -> dict[str, bool]:
    """Say whether interval and latency keep the budget, as far as they are known.

    Parameters
    ----------
    figures : mapping
        With ``II`` and ``latency_ns`` where known.
    budget : Budget

    Returns
    -------
    dict
        ``II`` and ``latency_ns``, by their values, the bands left aside.
    """
    kept = {}
    if "II" in figures:
        kept["II"] = figures["II"].value <= budget.longest_interval
    if "latency_ns" in figures and budget.latency_ns is not None:
        kept["latency_ns"] = figures["latency_ns"].value <= budget.latency_ns
    return kept


def sentence(figures: Mapping[str, Figure], budget: Budget) -> str:
    """Return the budget as a line of text.

    Parameters
    ----------
    figures : mapping
        Of one design, `timing_figures` included.
    budget : Budget
    """
    said, kept = [], keeps(figures, budget)
    if "latency_ns" in figures:
        cycles, nanoseconds, crossings = (figures[name] for name in ("latency_cycles", "latency_ns", "latency_bx"))
        in_time = f"{_band(nanoseconds)} ns = {_band(crossings)} bunch crossings"
        said.append(f"latency {_band(cycles)} cycles of {budget.clock_ns:g} ns = {in_time}")
        if "latency_ns" in kept:
            said.append(f"{'within' if kept['latency_ns'] else 'ABOVE'} the budget of {budget.latency_ns:g} ns")
    if "II" in figures:
        verdict = "keeps up with" if kept["II"] else "is TOO SLOW for"
        events = f"every {budget.time_multiplexing} bunch crossings" if budget.time_multiplexing > 1 else "every bunch crossing"
        said.append(
            f"II {_band(figures['II'])} {verdict} an event {events} ({budget.bunch_crossing_ns * budget.time_multiplexing:g} ns, "
            f"at most {budget.longest_interval} cycles)"
        )
    return "; ".join(said)


def _band(figure: Figure) -> str:
    if figure.low == figure.high:
        return f"{figure.value:g}"
    return f"{figure.value:g} ({figure.low:g}–{figure.high:g})"
