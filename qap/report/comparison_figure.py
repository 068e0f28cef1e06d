"""The figure of a comparison: scores of every seed, and EBOPs, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from qap.report.comparison import Line, Method, score_name
from qap.report.style import FLOAT_COLOUR, FRONT_COLOUR, KINDS, TRIED_COLOUR, save_figure, styled_figure


def comparison(rows: Sequence[Method], lines: Sequence[Line], data: str, events: int) -> Figure:
    """Draw the rows of a comparison.

    Parameters
    ----------
    rows : sequence of Method
    lines : sequence of mapping
        Results by row and seed.
    data : str
        The data's name.
    events : int
        Of the test split.

    Returns
    -------
    matplotlib.figure.Figure
        Left: score on the test split, a faint point for each seed, mean and standard deviation over the seeds; the line is the
        row ``float``, where there is one. Right: EBOPs, mean over the seeds, for rows with firmware.
    """
    score = score_name(lines)
    scale = 100 if score == "accuracy" else 1
    shown = [row for row in rows if score in row.figures]
    places = {row.name: len(shown) - 1 - index for index, row in enumerate(shown)}
    with styled_figure(11.5, 1.6 + 0.42 * len(shown)) as figure:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.6, 1))
        for line in lines:
            if score in line and line["method"] in places:
                left.plot(scale * line[score], places[line["method"]], "o", color=TRIED_COLOUR, markersize=5, zorder=1)
        for row in shown:
            found = row.figures[score]
            left.errorbar(
                scale * found.mean, places[row.name], xerr=scale * (found.deviation or 0.0),
                color=FRONT_COLOUR, marker="o", markersize=6, capsize=3, zorder=3,
            )  # fmt: skip
            if row.name == "float":
                left.axvline(scale * found.mean, color=FLOAT_COLOUR, linestyle="--", linewidth=1.2, zorder=0)
        built = [row for row in shown if "ebops" in row.figures]
        right.barh([places[row.name] for row in built], [row.figures["ebops"].mean for row in built], 0.6, color=FRONT_COLOUR)
        left.set_yticks(list(places.values()), list(places), fontsize=12.5)
        left.tick_params(axis="y", which="minor", left=False, right=False)
        right.tick_params(axis="y", which="minor", left=False, right=False)
        left.set_ylim(-0.7, len(shown) - 0.3)
        left.set_xlabel("Accuracy on the test split [%]" if scale == 100 else "RMSE on the test split [target units]")
        right.set_xlabel("EBOPs per inference [bit operations]")
        right.set_xlim(left=0)
        seeds = len({line["seed"] for line in lines})
        left.set_title(f"{data}, {events:,} test events, {seeds} seed{'s' if seeds > 1 else ''}", pad=8)
        right.xaxis.set_major_locator(MaxNLocator(4))
        right.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    return figure


def save_comparison(figure: Figure, folder: Path) -> list[Path]:
    """Save the figure as compare.png and compare.pdf; return both paths."""
    paths = [folder / f"compare.{kind}" for kind in KINDS]
    for path in paths:
        save_figure(figure, path)
    return paths
