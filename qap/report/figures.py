"""Figures of a report: functions that take the report and return a matplotlib figure in the field's style."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.style
import mplhep
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from qap.report.data import Curve, FrontEntry, LayerEntry, Report
from qap.report.view import PALETTE, inside, tagger, window

STYLE = [
    mplhep.style.ROOT,
    {
        "font.family": ["TeX Gyre Heros", "DejaVu Sans"],  # by name: a figure saved later, outside the style, keeps it
        "font.size": 15, "axes.linewidth": 1.2, "xtick.major.size": 8, "xtick.minor.size": 4, "ytick.major.size": 8,
        "ytick.minor.size": 4, "legend.fontsize": 12.5, "axes.titlesize": 13, "axes.titlelocation": "left",
        "axes.prop_cycle": cycler(color=PALETTE), "text.parse_math": False,  # a $ in a class name is a $
    },
]  # fmt: skip
DPI = 130
KINDS = ("png", "pdf")
MARGINS = {"left": 0.115, "right": 0.975, "bottom": 0.105, "top": 0.935}
FRONT_COLOUR, FLOAT_COLOUR, TRIED_COLOUR = PALETTE[0], "black", "0.72"


@contextmanager
def styled_figure(width: float, height: float, margins: Mapping[str, float] | None = None) -> Iterator[Figure]:
    """Give a styled figure; ticks and layout are made before the style is left, so that saving later keeps them.

    Margins, where they are known, spare the search for a layout, which takes most of the time.
    """
    with matplotlib.style.context(STYLE):
        figure = Figure(figsize=(width, height), layout=None if margins else "constrained")
        if margins:
            figure.subplots_adjust(**margins)
        yield figure
        figure.draw_without_rendering()
        figure.set_layout_engine("none")


def log_ticks(axis: Axis, low: float, high: float) -> None:
    """Label a logarithmic axis with plain numbers: powers of ten, with 2 and 5 between them where there is room."""
    axis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 300 else (1.0, 2.0, 5.0)))
    axis.set_minor_locator(LogLocator(subs=tuple(range(1, 10)), numticks=50))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}" if value < 1e6 else f"{value:.0e}"))
    axis.set_minor_formatter(NullFormatter())


def _score_label(report: Report) -> str:
    return "Accuracy on the test split [%]" if report.metric == "accuracy" else "RMSE on the test split [target units]"


def _heading(axes: Axes, report: Report, text: str) -> None:
    axes.set_title(f"{report.data.name}, {text}", pad=8)


def front(report: Report) -> Figure:
    """Draw the test score of the front against EBOPs, with the float model and all candidates tried.

    Parameters
    ----------
    report : Report

    Returns
    -------
    matplotlib.figure.Figure
        Front: test split, bootstrap error bars. Faint points: validation score of every candidate tried. Band: float
        model on the test split.
    """
    scale = 100.0 if report.metric == "accuracy" else 1.0
    view, reference = window(report), report.reference.score
    with styled_figure(8.4, 6.4, MARGINS) as figure:
        axes = figure.add_subplot()
        tried = [candidate for candidate in report.tried if inside(candidate, view.score)]
        outside = f", {view.outside} outside" if view.outside else ""
        axes.scatter(
            [candidate.ebops for candidate in tried],
            [scale * candidate.score_validation for candidate in tried],
            s=16, color=TRIED_COLOUR, linewidths=0, zorder=1,
            label=f"{len(report.tried)} tried, validation split{outside}",
        )  # fmt: skip
        axes.axhspan(scale * reference.low, scale * reference.high, color=FLOAT_COLOUR, alpha=0.10, linewidth=0)
        axes.axhline(
            scale * reference.value, color=FLOAT_COLOUR, linestyle="--", linewidth=1.5,
            label=f"float {report.reference.architecture}: {scale * reference.value:.4g}" + (" %" if scale > 1 else ""),
        )  # fmt: skip
        scores = [entry.score for entry in report.front]
        values = np.array([[score.value, score.low, score.high] for score in scores]).reshape(-1, 3)
        axes.errorbar(
            [entry.ebops for entry in report.front],
            scale * values[:, 0],
            yerr=scale * np.maximum([values[:, 0] - values[:, 1], values[:, 2] - values[:, 0]], 0),
            color=FRONT_COLOUR, marker="o", markersize=6, linewidth=1, capsize=3, zorder=3,
            label=f"front, {len(report.front)} candidates ({100 * report.bootstrap.coverage:.0f} % bootstrap)",
        )  # fmt: skip
        axes.set_xscale("log")
        axes.set_xlim(view.ebops)
        log_ticks(axes.xaxis, *view.ebops)
        axes.set_ylim(scale * view.score[0], scale * view.score[1])
        axes.set_xlabel("EBOPs per inference [bit operations]")
        axes.set_ylabel(_score_label(report))
        _heading(axes, report, f"{report.data.n_test:,} test events")
        axes.legend(loc="lower right" if report.metric == "accuracy" else "upper right")
    return figure


def _draw(axes: Axes, curve: Curve, **style: Any) -> None:
    """Draw a ROC curve from its first point that a logarithmic axis can show."""
    background = np.array(curve.background)
    axes.plot(np.array(curve.signal)[background > 0], background[background > 0], **style)


def roc(report: Report, entry: FrontEntry) -> Figure:
    """Draw a candidate's ROC curve of each class, with the float model's dashed.

    Parameters
    ----------
    report : Report
        Of a classification.
    entry : FrontEntry
        With ROC curves.

    Returns
    -------
    matplotlib.figure.Figure
        Signal efficiency against background efficiency of each class against the rest, on the test split.
    """
    with styled_figure(7.6, 7.0, MARGINS) as figure:
        axes = figure.add_subplot()
        lines = []
        for k, curve in enumerate(entry.roc):
            colour = PALETTE[k % len(PALETTE)]
            _draw(axes, curve, color=colour, linewidth=1.8)
            if report.reference.roc:
                _draw(axes, report.reference.roc[k], color=colour, linewidth=1.0, linestyle="--")
            lines.append(Line2D([], [], color=colour, linewidth=1.8, label=tagger(report, entry, k)))
        label = f"candidate {entry.id}, {entry.ebops:,.0f} EBOPs"
        lines.append(Line2D([], [], color="black", linewidth=1.8, label=label))
        if report.reference.roc:
            label = f"float {report.reference.architecture}"
            lines.append(Line2D([], [], color="black", linewidth=1.0, linestyle="--", label=label))
        axes.set_yscale("log")
        axes.set_xlim(0, 1)
        axes.set_ylim(1e-3, 1)
        log_ticks(axes.yaxis, 1e-3, 1)
        axes.set_xlabel("Signal efficiency")
        axes.set_ylabel("Background efficiency")
        _heading(axes, report, f"{report.data.n_test:,} test events, each class against the rest")
        axes.legend(handles=lines, loc="upper left")
    return figure


def layers(report: Report) -> Figure:
    """Draw weight bits, activation bits and sparsity of each layer for every candidate of the front.

    Parameters
    ----------
    report : Report

    Returns
    -------
    matplotlib.figure.Figure
        Three rows of bars grouped by candidate, from few EBOPs to many; in the lowest the mask's share is marked.
    """
    names = list(dict.fromkeys(layer.name for entry in report.front for layer in entry.layers))
    rows: list[tuple[str, Callable[[LayerEntry], float]]] = [
        ("Weight bits", lambda layer: layer.weight.bits),
        ("Activation bits", lambda layer: 0 if layer.activation is None else layer.activation.bits),
        ("Sparsity [%]", lambda layer: 100 * layer.sparsity),
    ]
    groups, width = np.arange(len(report.front)), 0.84 / max(len(names), 1)
    with styled_figure(max(8.4, 1.5 + 0.22 * len(groups) * (len(names) + 1)), 8.0) as figure:
        panels = figure.subplots(3, 1, sharex=True)
        for axes, (label, value) in zip(panels, rows, strict=True):
            for i, name in enumerate(names):
                found = [{layer.name: layer for layer in entry.layers}.get(name) for entry in report.front]
                at = groups + (i - (len(names) - 1) / 2) * width
                heights = [0 if layer is None else value(layer) for layer in found]
                axes.bar(at, heights, 0.9 * width, color=PALETTE[i % len(PALETTE)], label=name)
                if label.startswith("Sparsity"):
                    mask = [np.nan if layer is None else 100 * layer.sparsity_mask for layer in found]
                    axes.hlines(mask, at - 0.45 * width, at + 0.45 * width, color="black", linewidth=1.4)
            axes.set_ylabel(label)
            axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.tick_params(axis="x", which="both", length=0)
        panels[2].plot([], [], color="black", linewidth=1.4, label="share of the mask")
        panels[2].set_ylim(0, 100)
        panels[2].set_xticks(groups, [f"{entry.ebops:,.0f}" for entry in report.front], rotation=45, ha="right")
        panels[2].set_xlabel("EBOPs of the candidate")
        bare = any(layer.activation is None for entry in report.front for layer in entry.layers)
        note = "; no activation bar: logits without a quantizer" if bare else ""
        _heading(panels[0], report, f"{len(report.front)} candidates of the front{note}")
        handles, labels = panels[2].get_legend_handles_labels()
        figure.legend([*handles[1:], handles[0]], [*labels[1:], labels[0]], loc="outside upper right", ncols=7)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Save a figure in the format of the file's name, under a temporary name first; the same figure gives the same file."""
    temporary = path.with_name(f".{path.stem}.part{path.suffix}")
    figure.savefig(temporary, dpi=DPI, metadata={"CreationDate": None} if path.suffix == ".pdf" else None)
    temporary.replace(path)


def save_figures(report: Report, directory: Path) -> list[Path]:
    """Draw every figure of a report and save it as PNG and as PDF.

    Parameters
    ----------
    report : Report
    directory : path
        Made if it is missing.

    Returns
    -------
    list of path
        ``front``, ``layers``, and ``roc_<id>`` for each candidate with ROC curves, each ``.png`` and ``.pdf``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    drawn = [("front", partial(front, report)), ("layers", partial(layers, report))]
    drawn += [(f"roc_{entry.id}", partial(roc, report, entry)) for entry in report.front if entry.roc]
    paths = []
    for name, draw in drawn:
        figure = draw()
        for kind in KINDS:
            paths.append(directory / f"{name}.{kind}")
            save_figure(figure, paths[-1])
    return paths
