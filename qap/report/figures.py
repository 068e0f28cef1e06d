"""Figures of a report: functions that take the report and return a matplotlib figure in the field's style."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from qap.report.candidate_figures import candidate_figures
from qap.report.data import FrontEntry, LayerEntry, Report
from qap.report.quality import Curve
from qap.report.style import (
    FLOAT_COLOUR,
    FRONT_COLOUR,
    KINDS,
    MARGINS,
    TRIED_COLOUR,
    log_ticks,
    save_figure,
    styled_figure,
)
from qap.report.view import PALETTE, best, inside, tagger, window


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


def drawings(report: Report) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Yield the name of each figure of a report and what draws it.

    Parameters
    ----------
    report : Report

    Yields
    ------
    (str, callable)
        ``front``, ``layers``, ``roc_<id>`` for each candidate with ROC curves, and of the best candidate on the validation
        split ``training_<id>``, ``resources_<id>``, ``distributions_<id>``, ``reliability_<id>``, ``confusion_<id>`` and
        ``residuals_<id>``, as far as the report has what they show.
    """
    yield "front", partial(front, report)
    yield "layers", partial(layers, report)
    for entry in report.front:
        if entry.roc:
            yield f"roc_{entry.id}", partial(roc, report, entry)
    chosen = best(report)
    for name, draw in candidate_figures(report, chosen):
        yield f"{name}_{chosen.id}", draw


def save_figures(report: Report, directory: Path) -> list[Path]:
    """Draw every figure of a report (see `drawings`) and save it as PNG and as PDF.

    Parameters
    ----------
    report : Report
    directory : path
        Made if it is missing.

    Returns
    -------
    list of path
        ``<name>.png`` and ``<name>.pdf`` of each.
    """
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw in drawings(report):
        figure = draw()
        for kind in KINDS:
            paths.append(directory / f"{name}.{kind}")
            save_figure(figure, paths[-1])
    return paths
