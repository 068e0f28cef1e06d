"""What benchmarks/scaling.py has measured, as tables and a figure; its extrapolation."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from qap.files import write_bytes, write_text

FIGURE = Path("docs/figures/scaling.png")
SPREAD = 0.3
"""Standard deviation of the logarithm of a simulated training's time."""
BEGIN, END = "<!-- table {} -->", "<!-- end {} -->"
STORED = 1000, 10000
"""Candidates in the store, of the extrapolation."""
Run = Mapping[str, Any]

PARTS = {
    "sampler": "Optuna's sampler", "front": "fronts for the survivors", "asking": "plans, and whose weights they start from",
    "counting": "counting costs", "messages": "messages",
    "writing": "reading and writing", "keeping": "keeping the order", "dask": "Dask, its idling with it",
    "first plans": "first plans (once a search)",
}  # fmt: skip


def filled(workers: int, window: int, spread: float = SPREAD, rounds: int = 20) -> float:
    """Return the part of the time that workers train where the driver costs nothing, told in the order of asking.

    Parameters
    ----------
    workers : int
    window : int
        Trainings under way at most, those with it that wait to be told.
    spread : float
        Standard deviation of the logarithm of a training's time.
    rounds : int
        Trainings for each worker.
    """
    took = np.exp(np.random.default_rng(1).normal(0, spread, workers * rounds))
    free, told = np.zeros(workers), np.zeros(len(took))
    for number, one in enumerate(took):
        asked = told[number - window] if number >= window else 0.0
        place = int(np.argmin(free))
        free[place] = max(free[place], asked) + one
        told[number] = max(free[place], told[number - 1] if number else 0.0)
    return float(took.sum() / workers / told[-1])


def sustained(workers: float, seconds: float, cost: float, busy: float = 1.0) -> tuple[float, float]:
    """Return candidates per hour, and what part of a core the driver needs for them.

    Parameters
    ----------
    workers : float
    seconds : float
        Of a training.
    cost : float
        Seconds of the driver for a candidate.
    busy : float
        Part of the time in which a worker trains, if the driver keeps up.
    """
    wanted, most = workers * busy / seconds, 1 / cost
    return 3600 * min(wanted, most), min(wanted / most, 1.0)


def straight(laps: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the cost of a candidate in an empty store, and by how much it grows with each one stored, by least squares."""
    slope, start = np.polyfit(*zip(*laps, strict=True), 1)
    return float(start), float(slope)


def share(run: Run) -> float:
    """Return the driver's part of all CPU time; imports and float parent count as the whole's, not as the driver's."""
    return float(run["driver"] / (sum(run["cpu"].values()) + run["imports"] + run["workers"]))


def steady(run: Run) -> float:
    """Return the driver's part of the CPU time of driver and trainings alone, without what happens once a search."""
    driver = run["driver"] - run["cpu"].get("first plans", 0.0)
    return float(driver / (driver + trained(run)))


def trained(run: Run) -> float:
    """Return the CPU seconds of the trainings."""
    return float(run["trained"] if run["count"] else run["cpu"]["training"])


def each(run: Run, part: str | None = None) -> float:
    """Return the driver's CPU ms for a candidate: of a part, or of all but the first plans."""
    seconds = run["driver"] - run["cpu"].get("first plans", 0.0) if part is None else run["cpu"].get(part, 0.0)
    return float(1e3 * seconds / run["trials"])


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table."""
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in [header, ["---"] * len(header), *rows])


def _real(runs: Sequence[Run]) -> str:
    header = (
        "strategy",
        "workers",
        "candidates",
        "per hour",
        "a training, CPU ms",
        "driver, CPU ms each",
        "part of all CPU",
        "steady",
    )
    rows = []
    for run in runs:
        rate = 3600 * (run["trials"] - 1) / run["seconds"]
        cpu = f"{1e3 * trained(run) / run['trials']:.0f}", f"{1e3 * run['driver'] / run['trials']:.0f}"
        parts = f"{share(run):.1%}", f"{steady(run):.1%}"
        rows.append((run["strategy"], run["count"] or "none", run["trials"], f"{rate:,.0f}", *cpu, *parts))
    return markdown(header, rows)


def _parts(runs: Sequence[Run]) -> str:
    names = [f"{run['strategy']}, {run['count'] or 'no'} workers" for run in runs]
    rows = [(text, *(f"{each(run, part):.1f}" for run in runs)) for part, text in PARTS.items()]
    return markdown(("CPU ms for a candidate", *names), rows)


def _start(runs: Sequence[Run]) -> str:
    names = [f"{run['strategy']}, {run['count']} workers" for run in runs]
    rows = [
        ("driver: imports", *(f"{run['imports']:.0f}" for run in runs)),
        ("driver: float parent", *(f"{run['cpu']['float parent']:.0f}" for run in runs)),
        ("workers: imports, data, programs", *(f"{run['workers'] - run['trained']:.0f}" for run in runs)),
    ]
    return markdown(("CPU s, once a search", *names), rows)


def _messages(found: Sequence[Mapping[str, Any]]) -> str:
    keys = "start", "result 0", "result 0.5", "result 0.9", "assignment"
    header = ("network", "weights", "start", "result, dense", "half zeros", "nine tenths zeros", "assignment")
    rows = [(row["network"], f"{row['weights']:,}", *(f"{row[key] / 1e3:.1f} kB" for key in keys)) for row in found]
    return markdown(header, rows)


def _growth(grown: Run, samplers: Mapping[str, Any]) -> str:
    stored = [count for count, _ in grown["blocks"]]
    rows: list[Sequence[str]] = [
        (text, *(f"{1e3 * parts[part]:.1f}" for _, parts in grown["blocks"]))
        for part, text in PARTS.items()
        if part not in ("dask", "first plans")
    ]
    rows.append(("**together**", *(f"**{1e3 * total(parts):.0f}**" for _, parts in grown["blocks"])))
    for name, known in samplers.items():
        times = {count: f"{1e3 * seconds:.1f}" for count, seconds in known}
        rows.append((f"the sampler of `{name}` instead", *(times.get(count, "–") for count in stored)))
    return markdown(("CPU ms for a candidate", *(f"up to {count:,}" for count in stored)), rows)


def _farms(farms: Sequence[Run]) -> str:
    header = ("workers", "training", "window", "busy, driver without cost", "busy", "candidates per hour", "driver, CPU ms each")
    rows = []
    for run in farms:
        ideal, busy = filled(run["count"], run["window"]), run["rate"] * run["training"] / 3600 / run["count"]
        cells = f"{run['training']:g} s", run["window"], f"{ideal:.0%}", f"{busy:.0%}", f"{run['rate']:,.0f}", f"{each(run):.0f}"
        rows.append((run["count"], *cells))
    return markdown(header, rows)


def _light(light: Sequence[Run]) -> str:
    header = ("workers that train nothing", "candidates per second", "main thread, CPU ms each", "Dask's threads, CPU ms each")
    rows = [
        (
            run["count"],
            f"{run['trials'] / run['seconds']:.0f}",
            f"{each(run) - each(run, 'dask'):.0f}",
            f"{each(run, 'dask'):.0f}",
        )
        for run in light
    ]
    return markdown(header, rows)


def tables(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the tables of docs/scaling.md by name."""
    runs = [*found["real"], *found["whole"]]
    return {
        "real": _real(runs), "parts": _parts(runs), "start": _start([run for run in runs if run["count"]]),
        "messages": _messages(found["messages"]), "growth": _growth(found["grown"], found["samplers"]),
        "farm": _farms(found["farms"]), "light": _light(found["light"]), "far": far(found),
    }  # fmt: skip


def total(parts: Mapping[str, float]) -> float:
    """Return what the main thread takes for a candidate."""
    return sum(seconds for part, seconds in parts.items() if part not in ("dask", "first plans"))


def cost(found: Mapping[str, Any], stored: int) -> float:
    """Return the driver's seconds for a candidate with so many stored, Dask and the disk with it."""
    run = found["grown"]
    begun = [0, *(count for count, _ in run["blocks"])]
    laps = [((begin + count) / 2, total(parts)) for begin, (count, parts) in zip(begun, run["blocks"], strict=False)]
    start, slope = straight(laps)
    return start + slope * stored + found["each"] + run["fsync"] / run["trials"]


def far(found: Mapping[str, Any]) -> str:
    """Return the extrapolation."""
    rows = []
    for workers in (100, 1000):
        for seconds in (1.0, 10.0, 60.0):
            row: list[str] = [f"{workers:,}", f"{seconds:g}"]
            for stored in STORED:
                rate, load = sustained(workers, seconds, cost(found, stored), filled(min(workers, 300), 2 * min(workers, 300)))
                row.append(f"{rate:,.0f} ({load:.0%})")
            rows.append(row)
    return markdown(("workers", "training, s", *(f"{stored:,} stored" for stored in STORED)), rows)


def draw(found: Mapping[str, Any], path: Path) -> None:
    """Draw candidates per hour against workers."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes, counts = figure.subplots(), np.geomspace(1, 1000, 60)
    for place, seconds in enumerate((1.0, 10.0, 60.0)):
        colour = f"C{place}"
        rates = [sustained(count, seconds, cost(found, 1000), filled(100, 200))[0] for count in counts]
        axes.plot(counts, rates, colour, label=f"formula, {seconds:g} s for a training")
        simulated = [run for run in found["farms"] if run["training"] == seconds and run["window"] == 2 * run["count"]]
        axes.plot([run["count"] for run in simulated], [run["rate"] for run in simulated], "o", color=colour)
    for stored in STORED:
        axes.axhline(3600 / cost(found, stored), color="0.5", ls=":", lw=1)
        axes.text(1, 3600 / cost(found, stored), f"driver, {stored:,} stored", va="bottom", color="0.3", fontsize=8)
    axes.plot([], [], "o", color="0.3", label="real driver, simulated workers")
    axes.set(xscale="log", yscale="log", xlabel="workers", ylabel="candidates per hour")
    axes.legend(fontsize=8, loc="lower right", frameon=False)
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    write_bytes(path, buffer.getvalue())


def fill(path: Path, found: Mapping[str, str]) -> None:
    """Replace the tables between their marks."""
    text = path.read_text()
    for name, table in found.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, after = text.index(begin) + len(begin), text.index(end)
        text = f"{text[:before]}\n\n{table}\n\n{text[after:]}"
    write_text(path, text)
