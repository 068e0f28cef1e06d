"""Inline drawings of the page: plain SVG whose colours follow the page's light or dark scheme."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup, escape

from qap.report.data import Curve, FrontEntry, Report
from qap.report.view import inside, window

LEFT, RIGHT, TOP, BOTTOM = 64.0, 14.0, 14.0, 48.0
ROC_FLOOR = 1e-3
COLOURS = 10
"""Classes of the style sheet for curves: k0 to k9."""


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
            steps = (1, 2, 5) if self.high / self.low < 300 else (1,)
            values = [step * 10.0**decade for decade in decades for step in steps]
        else:
            rough = (self.high - self.low) / 5
            unit = 10.0 ** math.floor(math.log10(rough))
            step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
            values = [i * step for i in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return [value for value in values if self.low * (1 - 1e-12) <= value <= self.high * (1 + 1e-12)]


@dataclass(frozen=True)
class Plot:
    """A framed drawing with two axes.

    Parameters
    ----------
    size : (width, height)
        In drawing units.
    x, y : (low, high, logarithmic)
    labels : (x label, y label)
    """

    size: tuple[float, float]
    x_range: tuple[float, float, bool]
    y_range: tuple[float, float, bool]
    labels: tuple[str, str]

    @property
    def x(self) -> Scale:
        return Scale(self.x_range[0], self.x_range[1], LEFT, self.size[0] - RIGHT, self.x_range[2])

    @property
    def y(self) -> Scale:
        return Scale(self.y_range[0], self.y_range[1], self.size[1] - BOTTOM, TOP, self.y_range[2])

    def frame(self, number: Callable[[float], str]) -> str:
        """Draw grid, tick labels, axis labels and the frame."""
        x, y, right, bottom = self.x, self.y, self.size[0] - RIGHT, self.size[1] - BOTTOM
        parts = []
        for value in x.ticks():
            parts.append(f'<line class="grid" x1="{x(value):.1f}" y1="{TOP}" x2="{x(value):.1f}" y2="{bottom}"/>')
            parts.append(f'<text x="{x(value):.1f}" y="{bottom + 18}" text-anchor="middle">{number(value)}</text>')
        for value in y.ticks():
            parts.append(f'<line class="grid" x1="{LEFT}" y1="{y(value):.1f}" x2="{right}" y2="{y(value):.1f}"/>')
            parts.append(f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{number(value)}</text>')
        parts.append(f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{bottom - TOP}"/>')
        text = [str(escape(label)) for label in self.labels]
        parts.append(f'<text class="label" x="{right}" y="{self.size[1] - 8}" text-anchor="end">{text[0]}</text>')
        turned = f"translate(16,{TOP}) rotate(-90)"
        parts.append(f'<text class="label" transform="{turned}" text-anchor="end">{text[1]}</text>')
        return "".join(parts)

    def svg(self, content: str, title: str) -> Markup:
        """Wrap what was drawn."""
        box = f"0 0 {self.size[0]:.0f} {self.size[1]:.0f}"
        return Markup(f'<svg viewBox="{box}" role="img" aria-label="{escape(title)}">{content}</svg>')


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"


def front_svg(report: Report) -> Markup:
    """Draw test score against EBOPs with error bars, all tried candidates faint, the float model as a line with its band.

    Every point of the front links to its candidate; hovering shows its plan.
    """
    view = window(report)
    scale = 100.0 if report.metric == "accuracy" else 1.0
    label = "Accuracy on the test split [%]" if report.metric == "accuracy" else "RMSE on the test split [target units]"
    plot = Plot(
        (760, 450), (*view.ebops, True), (scale * view.score[0], scale * view.score[1], False),
        ("EBOPs per inference [bit operations]", label),
    )  # fmt: skip
    x, y = plot.x, plot.y
    score = report.reference.score
    top, bottom, middle = y(scale * score.high), y(scale * score.low), y(scale * score.value)
    parts = [
        plot.frame(_number),
        f'<rect class="band" x="{LEFT}" y="{top:.1f}" width="{x.end - LEFT}" height="{bottom - top:.1f}"/>',
        f'<line class="float" x1="{LEFT}" x2="{x.end}" y1="{middle:.1f}" y2="{middle:.1f}"/>',
    ]
    parts += [
        f'<circle class="tried" cx="{x(tried.ebops):.1f}" cy="{y(scale * tried.score_validation):.1f}" r="2.5"/>'
        for tried in report.tried
        if inside(tried, view.score)
    ]
    points = [(x(entry.ebops), y(scale * entry.score.value)) for entry in report.front]
    parts.append(f'<polyline class="front" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}"/>')
    for entry, (a, b) in zip(report.front, points, strict=True):
        low, high = y(scale * entry.score.low), y(scale * entry.score.high)
        bar = f"M{a:.1f} {low:.1f}V{high:.1f}M{a - 4:.1f} {low:.1f}h8M{a - 4:.1f} {high:.1f}h8"
        parts.append(
            f'<a href="#c-{escape(entry.id)}"><title>{escape(describe(entry, scale))}</title><path class="error" d="{bar}"/>'
            f'<circle class="touch" cx="{a:.1f}" cy="{b:.1f}" r="14"/>'
            f'<circle class="point" cx="{a:.1f}" cy="{b:.1f}" r="5"/></a>'
        )
    return plot.svg("".join(parts), f"{label} against EBOPs, {len(report.front)} candidates of the front")


def describe(entry: FrontEntry, scale: float) -> str:
    """Return what hovering over a candidate shows: score, cost and plan."""
    score = f"{scale * entry.score.value:.2f} %" if scale > 1 else f"{entry.score.value:.4g}"
    lines = [f"{entry.id}: {score}, {entry.ebops:,.0f} EBOPs"]
    for layer in entry.layers:
        activation = "" if layer.activation is None else f" → {layer.activation}"
        lines.append(f"{layer.name}: {layer.weight}{activation}, {100 * layer.sparsity:.0f} % zero")
    return "\n".join(lines)


def _path(curve: Curve, x: Scale, y: Scale) -> str:
    """Draw a curve to a tenth of a drawing unit, from where it enters the axes; points that would not show are left out."""
    drawn: list[tuple[float, float]] = []
    for signal, background in zip(curve.signal, curve.background, strict=True):
        if background < ROC_FLOOR:
            continue
        point = (round(x(signal), 1), round(y(background), 1))
        if not drawn or math.dist(point, drawn[-1]) >= 1 or background == 1:
            drawn.append(point)
    return " ".join(f"{a:g},{b:g}" for a, b in drawn)


def _roc_plot() -> Plot:
    axes = ("Signal efficiency", "Background efficiency")
    return Plot((560, 500), (0.0, 1.0, False), (ROC_FLOOR, 1.0, True), axes)


def _curves(curves: tuple[Curve, ...], plot: Plot, style: str) -> str:
    return "".join(
        f'<polyline class="{style} k{k % COLOURS}" points="{_path(curve, plot.x, plot.y)}"/>' for k, curve in enumerate(curves)
    )


def roc_background_svg(report: Report) -> Markup:
    """Define once what all ROC drawings share: the frame and the float model's dashed curves (``<use href="#roc">``)."""
    plot = _roc_plot()
    shared = plot.frame(lambda value: f"{value:g}") + _curves(report.reference.roc, plot, "curve dashed")
    return Markup(f'<svg class="defs" aria-hidden="true"><defs><g id="roc">{shared}</g></defs></svg>')


def roc_svg(entry: FrontEntry) -> Markup:
    """Draw each class against the rest: background efficiency (logarithmic) against signal efficiency, float dashed."""
    plot = _roc_plot()
    content = '<use href="#roc"/>' + _curves(entry.roc, plot, "curve")
    return plot.svg(content, f"ROC curve of each class for candidate {entry.id}, the float model dashed")
