"""Inline drawings of the page: plain SVG whose colours follow the page's light or dark scheme."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from qap.report.data import Curve, FrontEntry, Quality, Report
from qap.report.view import inside, window

WIDTH, HEIGHT = 760.0, 430.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 14.0, 14.0, 48.0
ROC_FLOOR = 1e-3


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic axis from data to drawing units."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the position of a value, kept inside the axis."""
        value = min(max(value, self.low), self.high)
        low, high = (math.log10(self.low), math.log10(self.high)) if self.log else (self.low, self.high)
        share = ((math.log10(value) if self.log else value) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return tick values: 1, 2, 5 per decade on a short logarithmic axis, else round numbers."""
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = (1, 2, 5) if len(decades) <= 4 else (1,)
            values = [step * 10.0**decade for decade in decades for step in steps]
        else:
            rough = (self.high - self.low) / 5
            unit = 10.0 ** math.floor(math.log10(rough))
            step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
            values = [i * step for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return [value for value in values if self.low <= value <= self.high * (1 + 1e-12)]


def _frame(x: Scale, y: Scale, labels: tuple[str, str], names: tuple[Callable[[float], str], Callable[[float], str]]) -> str:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for value in x.ticks():
        parts.append(f'<line class="grid" x1="{x(value):.1f}" y1="{TOP}" x2="{x(value):.1f}" y2="{bottom}"/>')
        parts.append(f'<text x="{x(value):.1f}" y="{bottom + 18}" text-anchor="middle">{names[0](value)}</text>')
    for value in y.ticks():
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y(value):.1f}" x2="{right}" y2="{y(value):.1f}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{names[1](value)}</text>')
    parts.append(f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{bottom - TOP}"/>')
    parts.append(f'<text class="label" x="{right}" y="{HEIGHT - 8}" text-anchor="end">{escape(labels[0])}</text>')
    parts.append(f'<text class="label" transform="translate(16,{TOP}) rotate(-90)" text-anchor="end">{escape(labels[1])}</text>')
    return "".join(parts)


def _svg(content: str, title: str) -> Markup:
    return Markup(f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{escape(title)}">{content}</svg>')


def _plain(value: float) -> str:
    return f"{value:,.0f}"


def front_svg(report: Report) -> Markup:
    """Draw test score against EBOPs with error bars, all tried candidates faint, the float model as a line with its band.

    Every point of the front links to its candidate; hovering shows its plan.
    """
    ranges = window(report)
    percent = 100.0 if report.metric == "accuracy" else 1.0
    x = Scale(*ranges.ebops, LEFT, WIDTH - RIGHT, log=True)
    y = Scale(ranges.score[0] * percent, ranges.score[1] * percent, HEIGHT - BOTTOM, TOP)
    label = "Accuracy on the test split [%]" if report.metric == "accuracy" else "RMSE on the test split [target units]"
    parts = [_frame(x, y, ("EBOPs per inference [bit operations]", label), (_plain, lambda value: f"{value:g}"))]
    score = report.reference.score
    top, bottom = y(score.high * percent), y(score.low * percent)
    parts.append(f'<rect class="band" x="{LEFT}" y="{top:.1f}" width="{WIDTH - RIGHT - LEFT}" height="{bottom - top:.1f}"/>')
    parts.append(
        f'<line class="float" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(score.value * percent):.1f}" '
        f'y2="{y(score.value * percent):.1f}"/>'
    )
    for tried in report.tried:
        if inside(tried, ranges.score):
            parts.append(
                f'<circle class="tried" cx="{x(tried.ebops):.1f}" cy="{y(tried.score_validation * percent):.1f}" r="2.5"/>'
            )
    points = [(x(entry.ebops), y(entry.score.value * percent)) for entry in report.front]
    parts.append(f'<polyline class="front" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}"/>')
    for entry, (a, b) in zip(report.front, points, strict=True):
        low, high = y(entry.score.low * percent), y(entry.score.high * percent)
        parts.append(
            f'<a href="#c-{escape(entry.id)}"><line class="error" x1="{a:.1f}" x2="{a:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
            f'<circle class="point" cx="{a:.1f}" cy="{b:.1f}" r="5"><title>{escape(describe(entry, percent))}</title></circle></a>'
        )
    return _svg("".join(parts), f"{label} against EBOPs")


def describe(entry: FrontEntry, percent: float) -> str:
    """Return what hovering over a candidate shows."""
    lines = [f"{entry.id}: {percent * entry.score.value:.2f}{' %' if percent > 1 else ''}, {entry.ebops:,.0f} EBOPs"]
    for layer in entry.layers:
        activation = "" if layer.activation is None else f" → {layer.activation}"
        lines.append(f"{layer.name}: {layer.weight}{activation}, {100 * layer.sparsity:.0f} % zero")
    return "\n".join(lines)


def _path(curve: Curve, x: Scale, y: Scale) -> str:
    pairs: Sequence[tuple[float, float]] = [
        (x(signal), y(background)) for signal, background in zip(curve.signal, curve.background, strict=True)
        if background >= ROC_FLOOR
    ]  # fmt: skip
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in pairs)


def roc_svg(report: Report, model: Quality) -> Markup:
    """Draw each class against the rest: background efficiency (logarithmic) against signal efficiency, float dashed."""
    x = Scale(0.0, 1.0, LEFT, WIDTH - RIGHT)
    y = Scale(ROC_FLOOR, 1.0, HEIGHT - BOTTOM, TOP, log=True)
    parts = [_frame(x, y, ("Signal efficiency", "Background efficiency"), (lambda v: f"{v:g}", lambda v: f"{v:g}"))]
    for k in range(len(report.data.classes)):
        if report.reference.roc:
            parts.append(f'<polyline class="curve dashed k{k % 10}" points="{_path(report.reference.roc[k], x, y)}"/>')
        parts.append(f'<polyline class="curve k{k % 10}" points="{_path(model.roc[k], x, y)}"/>')
    return _svg("".join(parts), "ROC curve of each class, the float model dashed")
