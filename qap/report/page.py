"""report.html: one self-contained page drawn from report.json."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from qap.files import write_text
from qap.report.data import Report
from qap.report.svg import front_svg, roc_svg
from qap.report.view import NEAR, PALETTE, best, near, tagger, window

COSTS = {
    "ebops": "EBOPs",
    "bops": "BOPs",
    "nonzero_weights": "non-zero weights",
    "multiplications_zero": "multiplications by zero",
    "multiplications_power_of_two": "by a power of two",
    "multiplications_general": "by any other weight",
    "weight_memory_bits": "weight memory [bit]",
    "accumulator_bits": "widest accumulator [bit]",
}
"""The figures of cost that the page shows, with their labels."""


def render(report: Report) -> str:
    """Return the page as HTML: no script, no request to anywhere, light and dark, readable on paper.

    Parameters
    ----------
    report : Report
    """
    environment = Environment(loader=PackageLoader("qap.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["percent"] = lambda value, digits=2: f"{100 * value:.{digits}f}"
    environment.filters["count"] = lambda value: f"{value:,.0f}"
    return environment.get_template("report.html.j2").render(
        report=report,
        front_svg=front_svg(report),
        rocs={entry.id: roc_svg(report, entry) for entry in report.front if entry.roc},
        taggers={entry.id: [tagger(report, entry, k) for k in range(len(report.data.classes))] for entry in report.front},
        costs=COSTS,
        best=best(report),
        near=near(report),
        margin=NEAR,
        outside=window(report).outside,
        palette=PALETTE,
    )


def write_page(report: Report, path: Path) -> None:
    """Write the page, under a temporary name first."""
    write_text(path, render(report))
