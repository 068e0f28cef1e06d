"""Figures of what a notebook holds in its hands: fronts, plans, schedules and losses, without a report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from qap.candidate import Candidate
from qap.errors import InputError
from qap.metrics.scores import LOWER_IS_BETTER, Scores
from qap.report.style import FLOAT_COLOUR, MARGINS, log_ticks, styled_figure
from qap.report.view import PALETTE
from qap.training.job import Losses

MARKERS = ("o-", "s--", "^:", "D-.")


def fronts(
    members: Mapping[str, Sequence[Candidate]],
    scores: Mapping[str, Sequence[Scores]],
    *,
    title: str = "",
    reference: tuple[str, float] | None = None,
    cost: str = "ebops",
) -> Figure:
    """Draw fronts: score against cost, with the errors of the bootstrap.

    Parameters
    ----------
    members : mapping of str to sequence of Candidate
        By the name of the search, as `qap.search_front` gives them.
    scores : mapping of str to sequence of Scores
        Of the same candidates, as `qap.evaluate` gives them. Their errors are common to all points in large part.
    title : str, default ''
        The data and the number of events.
    reference : (str, float), optional
        Name and score of the float network.
    cost : str, default 'ebops'
        A figure of cost.

    Raises
    ------
    InputError
        Other names or another number of scores than of candidates.
    """
    if list(members) != list(scores) or any(len(members[name]) != len(scores[name]) for name in members):
        raise InputError("fronts: expected the scores of the same candidates under the same names")
    first = next(iter(scores.values()))[0]
    lower = first.metric() in LOWER_IS_BETTER
    scale, what = (1.0, f"{first.metric().upper()} [target units]") if lower else (100.0, "Accuracy [%]")
    with styled_figure(8.4, 6.4, MARGINS) as figure:
        axes = figure.add_subplot()
        costs = []
        for (name, some), marker, colour in zip(members.items(), cycle(MARKERS), cycle(PALETTE), strict=False):
            found = [one.interval() for one in scores[name]]
            x, y = [_cost(one, cost) for one in some], np.array([one.value for one in found])
            errors = np.maximum([y - [one.low for one in found], [one.high for one in found] - y], 0)
            axes.errorbar(
                x, scale * y, scale * errors, fmt=marker, color=colour, markersize=6, linewidth=1.3, capsize=2,
                label=f"{name}, {len(some)} candidates",
            )  # fmt: skip
            costs += x
        if reference is not None:
            label = f"{reference[0]}: {scale * reference[1]:.4g}" + ("" if lower else " %")
            axes.axhline(scale * reference[1], color=FLOAT_COLOUR, linestyle="--", linewidth=1.2, label=label)
        axes.set_xscale("log")
        low, high = 0.8 * min(costs), 1.25 * max(costs)
        axes.set_xlim(low, high)
        log_ticks(axes.xaxis, low, high)
        axes.set_xlabel("EBOPs per inference [bit operations]" if cost == "ebops" else cost)
        axes.set_ylabel(what)
        axes.set_title(title, pad=8)
        axes.legend(loc="upper right" if lower else "lower right")
    return figure


def _cost(candidate: Candidate, name: str) -> float:
    if candidate.cost is None or name not in candidate.cost.figures:
        raise InputError(f"{name}: candidate {candidate.id} has no such figure of cost")
    return candidate.cost[name]


def plans(candidates: Mapping[str, Candidate]) -> Figure:
    """Draw the plans of candidates layer by layer, side by side: bits, zero weights and EBOPs.

    Parameters
    ----------
    candidates : mapping of str to Candidate
        By the name to be shown, with cost, all of the same layers. A layer without an activation bar has no quantizer there.
    """
    names = list(next(iter(candidates.values())).plan)
    rows: dict[str, Callable[[Candidate, str], float]] = {
        "Weight bits": lambda one, name: one.plan[name].weight.bits,
        "Activation bits": lambda one, name: np.nan if (found := one.plan[name].activation) is None else found.bits,
        "Zero weights [%]": lambda one, name: 100 * _layer_cost(one, name, "sparsity"),
        "EBOPs": lambda one, name: _layer_cost(one, name, "ebops"),
    }
    width = 0.8 / len(candidates)
    with styled_figure(11.5, 3.8) as figure:
        panels = figure.subplots(1, len(rows))
        for axes, (label, value) in zip(panels, rows.items(), strict=True):
            for number, ((name, one), colour) in enumerate(zip(candidates.items(), cycle(PALETTE), strict=False)):
                at = np.arange(len(names)) + (number - (len(candidates) - 1) / 2) * width
                axes.bar(at, [value(one, layer) for layer in names], 0.95 * width, color=colour, label=name)
            axes.set_xlim(-0.6, len(names) - 0.4)
            axes.set_xticks(range(len(names)), names)
            axes.tick_params(axis="x", which="both", length=0)
            axes.set_title(label, pad=8)
            _counts(axes)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(candidates))
    return figure


def _layer_cost(candidate: Candidate, layer: str, name: str) -> float:
    if candidate.cost is None or name not in candidate.cost.layers.get(layer, {}):
        raise InputError(f"{name}: candidate {candidate.id} has no such figure of cost for {layer}")
    return candidate.cost.layers[layer][name].value


def _counts(axes: Axes) -> None:
    """Label the axis with a few whole numbers."""
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def schedules(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], *, title: str = "") -> Figure:
    """Draw pruning schedules.

    Parameters
    ----------
    curves : mapping of str to (steps, sparsity)
        By the name to be shown, as `qap.pruning_steps` gives them.
    title : str, default ''
    """
    with styled_figure(8.2, 4.6) as figure:
        axes = figure.add_subplot()
        for (name, (steps, sparsity)), style in zip(curves.items(), cycle(("-", "--", ":", "-.")), strict=False):
            axes.step(steps, 100 * sparsity, style, where="post", linewidth=2, label=name)
        last = max(float(steps[-1]) for steps, _ in curves.values())
        fixed = max(float(steps[-2]) for steps, _ in curves.values())
        if fixed < last:
            axes.axvline(fixed, color="0.6", linewidth=1)
            side, shift = ("left", 0.015) if fixed < 0.6 * last else ("right", -0.015)
            axes.text(fixed + shift * last, 4, "masks fixed from here on", color="0.4", fontsize=12.5, ha=side)
        axes.set_xlim(0, last)
        axes.set_ylim(0, 100)
        axes.set_xlabel("Training step")
        axes.set_ylabel("Pruned weights [%]")
        axes.set_title(title, pad=8)
        axes.legend(loc="center right")
    return figure


def losses(histories: Mapping[str, Sequence[Losses]], *, title: str = "", pruning: tuple[float, float] | None = None) -> Figure:
    """Draw the losses of trainings over their epochs; with a teacher the soft loss in a panel of its own.

    Parameters
    ----------
    histories : mapping of str to sequence of Losses
        By the name to be shown, as `qap.train` gives them.
    title : str, default ''
    pruning : (float, float), optional
        Fractions of the training between which masks are renewed, for a grey band.
    """
    taught = any(one.soft is not None for history in histories.values() for one in history)
    kinds: dict[str, Callable[[Losses], float | None]] = {"Loss on labels or targets": lambda one: one.hard}
    if taught:
        kinds["Loss against the teacher"] = lambda one: one.soft
    epochs = max(map(len, histories.values()))
    with styled_figure(5.75 * len(kinds) + (2.0 if len(kinds) == 1 else 0.0), 4.4) as figure:
        panels = np.atleast_1d(figure.subplots(1, len(kinds)))
        for axes, (label, value) in zip(panels, kinds.items(), strict=True):
            for (name, history), style in zip(histories.items(), cycle(("-", "--", ":", "-.")), strict=False):
                found = [np.nan if (loss := value(one)) is None else loss for one in history]
                axes.plot(np.arange(1, len(history) + 1), found, style, linewidth=2, label=name)
            if pruning is not None:
                axes.axvspan(pruning[0] * epochs, pruning[1] * epochs, color="0.93", label="pruning")
            axes.set_xlim(1, max(epochs, 2))
            axes.set_xlabel("Epoch")
            axes.set_ylabel(label)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.tick_params(axis="x", which="minor", length=0)
        panels[0].set_title(title, pad=8)
        panels[0].legend()
    return figure
