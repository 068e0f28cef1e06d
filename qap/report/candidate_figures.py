"""Figures of one candidate, drawn from plain data: how it was trained, what it uses, and where it is right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from qap.candidate import Figure as Amount
from qap.report.data import FrontEntry, LayerEntry, Report
from qap.report.distributions import Distribution
from qap.report.quality import Residuals
from qap.report.sections import Calibration, PartSection
from qap.report.style import FLOAT_COLOUR, FRONT_COLOUR, MARGINS, log_ticks, styled_figure
from qap.report.view import PALETTE, logarithmic, part_of, shown_losses

LINES = ((FRONT_COLOUR, "-", 1.8), (FLOAT_COLOUR, "--", 1.2), (PALETTE[1], ":", 1.5), (PALETTE[3], "-.", 1.5))
"""Colour, style and width: the candidate, the float model, further ones."""
RANGE_COLOUR, LIMIT_COLOUR = PALETTE[4], PALETTE[1]
TARGETS = 12
"""Panels of a figure of residuals at most."""
NAMED = 12
"""Classes whose share is written into the cells of a confusion matrix at most."""
RESOURCES = ("LUT", "FF", "DSP", "BRAM_18K")
LOSSES = {
    "total": ("minimised", PALETTE[7], "-"),
    "hard": ("on labels or targets", FRONT_COLOUR, "-"),
    "soft": ("against the teacher", PALETTE[1], "--"),
}
"""Label, colour and style."""


def training_curves(losses: Mapping[str, Sequence[float]], *, title: str = "", unit: str = "") -> Figure:
    """Draw the losses of a candidate's training over its epochs.

    Parameters
    ----------
    losses : mapping of str to sequence of float
        ``total``, ``hard`` and, with a teacher, ``soft``, as in `qap.candidate.Candidate`. The total is left out where it is
        the loss on labels or targets.
    title, unit : str, default ''

    Returns
    -------
    matplotlib.figure.Figure
        Logarithmic where the losses differ by more than a factor of 10; else the axis spans a fifth of the largest at least.
    """
    shown = shown_losses(losses)
    values = [value for line in shown.values() for value in line]
    with styled_figure(8.4, 6.0, MARGINS) as figure:
        axes = figure.add_subplot()
        for name, line in shown.items():
            label, colour, style = LOSSES[name]
            marker = "o" if len(line) < 30 else ""
            epochs = np.arange(1, len(line) + 1)
            axes.plot(epochs, line, style, color=colour, linewidth=1.8, marker=marker, markersize=4, label=label)
        if logarithmic(values):
            low, high = min(values) / 1.2, 1.2 * max(values)
            axes.set_yscale("log")
            axes.set_ylim(low, high)
            log_ticks(axes.yaxis, low, high)
        else:
            axes.set_ylim(0.97 * min(*values, 0.8 * max(values)), 1.04 * max(values) or 1)
        last = max(map(len, shown.values()))
        axes.set_xlim(1 - 0.02 * last, 1.02 * last)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.tick_params(axis="x", which="minor", length=0)
        axes.set_xlabel("Epoch")
        axes.set_ylabel("Mean loss of the training batches" + (f" [{unit}]" if unit else ""))
        axes.set_title(title, pad=8)
        axes.legend()
    return figure


def resources(figures: Mapping[str, Amount], part: PartSection, *, title: str = "") -> Figure:
    """Draw the estimated resources of a design as shares of an FPGA, with their bands.

    Parameters
    ----------
    figures : mapping of str to qap.candidate.Figure
        Of these ``LUT``, ``FF``, ``DSP``, ``BRAM_18K`` and the same with ``_post_synthesis`` are drawn, as far as there are any.
    part : PartSection
        What the FPGA holds.
    title : str, default ''

    Returns
    -------
    matplotlib.figure.Figure
        One bar for each, from 0; light: after synthesis. A red line marks the whole part where the axis reaches it.
    """
    rows = [
        (name, kind, figures[f"{name}{kind}"], part.resources[name])
        for name in RESOURCES
        for kind in ("", "_post_synthesis")
        if f"{name}{kind}" in figures and part.resources.get(name)
    ]
    with styled_figure(8.4, 1.7 + 0.55 * len(rows), {"left": 0.185, "right": 0.97}) as figure:
        figure.subplots_adjust(bottom=0.85 / figure.get_figheight(), top=1 - 0.42 / figure.get_figheight())
        axes = figure.add_subplot()
        ends = []
        for place, (_, kind, found, held) in enumerate(rows):
            value, low, high = (100 * (end or 0.0) / held for end in (found.value, found.low, found.high))
            axes.barh(place, value, 0.62, color=FRONT_COLOUR, alpha=0.45 if kind else 1.0)
            error = [[max(value - low, 0)], [max(high - value, 0)]]
            axes.errorbar(value, place, xerr=error, color=FLOAT_COLOUR, capsize=4, linewidth=1.4)
            ends.append(max(value, high))
        end = 1.2 * max([0.001, *ends])
        for place, (_, _, found, _) in enumerate(rows):
            axes.text(ends[place] + 0.015 * end, place, f"{found.value:,.0f}", va="center", fontsize=12.5)
        if end > 100:
            axes.axvline(100, color=LIMIT_COLOUR, linewidth=2)
        axes.set_xlim(0, end)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_yticks(range(len(rows)), ["after synthesis" if kind else name for name, kind, _, _ in rows])
        axes.tick_params(axis="y", which="both", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlabel(f"Share of {part.name} [%]")
        axes.set_title(title, pad=8)
    return figure


def reliability(found: Mapping[str, Calibration], *, title: str = "") -> Figure:
    """Draw how often the predicted class is right against the probability that the model gives it.

    Parameters
    ----------
    found : mapping of str to Calibration
        By the name to be shown; the first is drawn with points, its events below.
    title : str, default ''
    """
    with styled_figure(7.6, 7.6, {"left": 0.12, "right": 0.97, "bottom": 0.1, "top": 0.945, "hspace": 0.06}) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.plot([0, 1], [0, 1], color="0.6", linewidth=1.2)
        for place, ((name, one), (colour, style, width)) in enumerate(zip(found.items(), cycle(LINES), strict=False)):
            pairs = [
                (x, y) for x, y in zip(one.confidence, one.accuracy, strict=True) if x is not None and y is not None
            ]  # bins without events have neither
            x, y = np.array(pairs).reshape(-1, 2).T
            label = f"{name}: expected error {100 * one.expected_error:.1f} %"
            above.plot(x, y, style, color=colour, linewidth=width, marker="" if place else "o", markersize=6, label=label)
        first = next(iter(found.values()))
        bins = len(first.events)
        below.bar((np.arange(bins) + 0.5) / bins, first.events, 0.92 / bins, color=FRONT_COLOUR)
        above.set_xlim(0, 1)
        above.set_ylim(0, 1)
        above.set_ylabel("Fraction right")
        above.set_title(title, pad=8)
        above.legend(loc="upper left")
        below.set_ylabel("Events")
        below.set_xlabel("Probability of the predicted class")
        below.yaxis.set_major_locator(MaxNLocator(3, integer=True))
        below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    return figure


def confusion(events: Sequence[Sequence[float]], classes: Sequence[str], *, title: str = "") -> Figure:
    """Draw which class is taken for which, in per cent of the true class.

    Parameters
    ----------
    events : (classes, classes) numbers
        By true class (rows) and predicted class (columns).
    classes : sequence of str
    title : str, default ''
    """
    counts = np.asarray(events, np.float64)
    whole = counts.sum(axis=1, keepdims=True)
    shares = 100 * np.divide(counts, whole, out=np.zeros_like(counts), where=whole > 0)
    size = min(max(5.0, 2.4 + 0.75 * len(classes)), 12.0)
    with styled_figure(size + 1.4, size) as figure:
        axes = figure.add_subplot()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        if len(classes) <= NAMED:
            for (i, j), share in np.ndenumerate(shares):
                text = f"{share:.1f}" if whole[i] > 0 else "–"
                axes.text(j, i, text, ha="center", va="center", color="white" if share > 55 else "black", fontsize=13)
        places = range(len(classes))
        longest = max(map(len, classes), default=0)
        axes.set_xticks(places, classes, rotation=45 if longest > 4 else 0, ha="right" if longest > 4 else "center")
        axes.set_yticks(places, classes)
        axes.tick_params(which="both", length=0)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("Predicted class")
        axes.set_ylabel("True class")
        axes.set_title(title, pad=8)
        figure.colorbar(image, ax=axes, label="Share of the true class [%]", fraction=0.045, pad=0.02)
    return figure


def distributions(layers: Sequence[LayerEntry], *, title: str = "") -> Figure:
    """Draw where weights and activations lie in the ranges of their quantizers, layer by layer.

    Parameters
    ----------
    layers : sequence of LayerEntry
        With the distribution of their weights.
    title : str, default ''

    Returns
    -------
    matplotlib.figure.Figure
        A row for each layer: weights on the left, activations on the right, as they are before they are quantized.
        Green: the range that the plan has chosen.
    """
    drawn = [layer for layer in layers if layer.weights is not None]
    height = 1.3 + 1.95 * len(drawn)
    margins = {
        "left": 0.09, "right": 0.98, "wspace": 0.2, "hspace": 0.7, "bottom": 0.75 / height, "top": 1 - 0.75 / height,
    }  # fmt: skip
    with styled_figure(11.5, height, margins) as figure:
        panels = figure.subplots(len(drawn), 2, squeeze=False)
        for (left, right), layer in zip(panels, drawn, strict=True):
            _distribution(left, layer.weights, f"{layer.name}, weights: {layer.weight}")
            _distribution(right, layer.outputs, f"{layer.name}, activations: {layer.activation}")
        for column in panels.T:
            [*_, last] = [axes for axes in column if axes.axison] or [column[-1]]
            last.set_xlabel("Value before it is quantized")
        figure.supylabel("Share of the values", x=0.008, fontsize=15)
        figure.suptitle(title, x=margins["left"], y=1 - 0.12 / height, ha="left", va="top", fontsize=13)
    return figure


def _distribution(axes: Axes, found: Distribution | None, label: str) -> None:
    if found is None:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no quantizer", ha="center", va="center", color="0.4", transform=axes.transAxes)
        return
    edges = np.linspace(found.low, found.high, len(found.counts) + 1)
    shares = np.array(found.counts) / max(sum(found.counts), 1)
    axes.axvspan(found.range_low, found.range_high, color=RANGE_COLOUR, alpha=0.15, linewidth=0)
    axes.stairs(shares, edges, fill=True, color=FRONT_COLOUR)
    room = 0.04 * (found.high - found.low)
    axes.set_xlim(found.low - room, found.high + room)
    axes.set_ylim(0, 1.1 * max(shares.max(), 1e-9))
    clipped = f", {100 * found.clipped:.2g} % clipped" if found.clipped else ""
    axes.set_title(f"{label}{clipped}", fontsize=11, pad=5)
    axes.tick_params(labelsize=11)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_locator(MaxNLocator(3))
    axes.minorticks_off()


def residuals(found: Mapping[str, Mapping[str, Residuals]], *, title: str = "", unit: str = "target units") -> Figure:
    """Draw the distribution of prediction − target, a panel for each target.

    Parameters
    ----------
    found : mapping of str to (mapping of str to Residuals)
        By target, then by the name of the model.
    title : str, default ''
    unit : str, default 'target units'
    """
    columns = min(len(found), 3)
    rows = -(-len(found) // columns)
    width, height = max(7.6, 4.4 * columns), 0.8 + (5.2 if rows == 1 else 3.6 * rows)
    margins = {
        "left": 0.85 / width, "right": 1 - 0.3 / width, "bottom": 0.75 / height, "top": 1 - 0.4 / height,
        "wspace": 0.25, "hspace": 0.3,
    }  # fmt: skip
    with styled_figure(width, height, margins) as figure:
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (target, models) in zip(panels, found.items(), strict=False):
            for (name, one), (colour, style, width) in zip(models.items(), cycle(LINES), strict=False):
                edges = np.linspace(-one.end, one.end, len(one.shares) + 1)
                density = np.array(one.shares) / (edges[1] - edges[0])
                outside = f"{name}, {100 * (one.below + one.above):.1f} % outside"
                axes.stairs(density, edges, color=colour, linestyle=style, linewidth=width, label=outside)
            axes.axvline(0, color="0.6", linewidth=1)
            end = max(one.end for one in models.values())
            axes.set_xlim(-end, end)
            axes.set_ylim(0, 1.35 * axes.dataLim.y1)
            axes.set_xlabel(f"{target}: prediction − target [{unit}]")
            axes.xaxis.set_major_locator(MaxNLocator(5, symmetric=True))
            axes.legend(loc="upper left", fontsize=11)
        for axes in panels[len(found) :]:
            axes.set_axis_off()
        panels[0].set_ylabel("Fraction of events per unit")
        panels[0].set_title(title, pad=8)
    return figure


def candidate_figures(report: Report, entry: FrontEntry) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """Yield the name of each figure of a candidate that the report has data for, and what draws it.

    Parameters
    ----------
    report : Report
    entry : FrontEntry
        A candidate of its front.
    """
    name = f"{report.data.name}, candidate {entry.id}"
    judged = f"{name}, {report.data.n_test:,} test events"
    models = {"candidate": entry, f"float {report.reference.architecture}": report.reference}
    if entry.losses:
        yield "training", partial(training_curves, entry.losses, title=name, unit=loss_unit(report))
    part = part_of(report)
    if part is not None and any(resource in entry.cost.figures for resource in RESOURCES):
        yield (
            "resources",
            partial(resources, entry.cost.figures, part, title=f"{name}, csynth-equivalent estimates with bands"),
        )
    if any(layer.weights is not None for layer in entry.layers):
        yield (
            "distributions",
            partial(distributions, entry.layers, title=f"{name}; green: chosen range; left out: zeros and what a ReLU cuts off"),
        )
    calibrations = {label: model.calibration for label, model in models.items() if model.calibration is not None}
    if entry.calibration is not None:
        yield "reliability", partial(reliability, calibrations, title=judged)
    if entry.confusion:
        yield "confusion", partial(confusion, entry.confusion, report.data.classes, title=judged)
    found: dict[str, dict[str, Residuals]] = {}
    for label, model in models.items():
        for target in model.targets:
            if target.residuals is not None:
                found.setdefault(target.name, {})[label] = target.residuals
    if found:
        some = dict(list(found.items())[:TARGETS])
        left = f", the first {TARGETS} of {len(found)} targets" if len(found) > TARGETS else ""
        yield "residuals", partial(residuals, some, title=judged + left)


def loss_unit(report: Report) -> str:
    """Return the unit of the losses: cross-entropies are in nat, squared errors in the square of the target's unit."""
    return "nat" if report.metric == "accuracy" else "target units²"
