"""Figure of an anomaly trigger: signal efficiency against the fraction of background that is let through."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from qap.metrics.anomaly import AnomalyPoint
from qap.report.style import styled_figure
from qap.report.view import PALETTE

COLUMNS = 2
LOWEST = 1e-3
"""Efficiency at which the axis ends at the latest."""


def anomaly_figure(
    curves: Mapping[str, Sequence[AnomalyPoint]], data: str, background: str, crossing_rate_khz: float | None = None
) -> Figure:
    """Draw a panel for each signal, with a curve and its 68 % band for each model.

    Parameters
    ----------
    curves : mapping of str to sequence of AnomalyPoint
        By model; all have the same signals.
    data : str
        The data's name.
    background : str
        What the accepted fraction is of.
    crossing_rate_khz : float, optional
        Adds an axis with the rate.

    Returns
    -------
    matplotlib.figure.Figure
    """
    signals = list(next(iter(curves.values()))[0].efficiency)
    columns = min(COLUMNS, len(signals))
    rows = math.ceil(len(signals) / columns)
    least = min(point.efficiency[name].value for points in curves.values() for point in points for name in signals)
    with styled_figure(5.6 * columns + 0.4, 4.6 * rows + 0.6) as figure:
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes in panels.flat[len(signals) :]:
            axes.set_visible(False)
        for axes, name in zip(panels.flat, signals, strict=False):
            for (model, points), colour in zip(curves.items(), _colours(len(curves)), strict=True):
                x = [point.fraction for point in points]
                found = [point.efficiency[name] for point in points]
                axes.fill_between(
                    x, [one.low for one in found], [one.high for one in found], color=colour, alpha=0.18, linewidth=0
                )
                axes.plot(x, [one.value for one in found], color=colour, linewidth=1.8, label=model)
            axes.plot([1e-6, 1], [1e-6, 1], color="0.5", linestyle=":", linewidth=1.2)
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xlim(min(point.fraction for points in curves.values() for point in points), 1)
            axes.set_ylim(min(0.1, max(LOWEST, least / 1.5)), 1.2)
            axes.set_title(f"{data}: {name}")
            if crossing_rate_khz is not None and axes in panels[0]:
                rate = axes.secondary_xaxis(
                    "top", functions=(lambda fraction: fraction * crossing_rate_khz, lambda khz: khz / crossing_rate_khz)
                )
                rate.set_xlabel("Rate [kHz]")
                _plain_ticks(rate.xaxis)
                axes.set_title(f"{data}: {name}", y=1.11)
            _plain_ticks(axes.xaxis)
            _plain_ticks(axes.yaxis)
        for axes in panels[-1]:
            axes.set_xlabel(f"Accepted fraction of {background}")
        for axes in panels[:, 0]:
            axes.set_ylabel("Signal efficiency")
        panels[0, 0].legend(loc="lower right")
    return figure


def _plain_ticks(axis: Axis) -> None:
    """Label powers of ten as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1.0,)))
    axis.set_minor_locator(LogLocator(subs=tuple(range(1, 10)), numticks=50))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def _colours(count: int) -> list[str]:
    return [PALETTE[index % len(PALETTE)] for index in range(count)]
