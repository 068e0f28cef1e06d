"""How figures look, in the field's style, and how they are saved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import matplotlib.style
import mplhep
from cycler import cycler
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from qap.report.view import PALETTE

STYLE = [
    mplhep.style.ROOT,
    {
        "font.family": ["TeX Gyre Heros", "DejaVu Sans"],  # by name: a figure saved later, outside the style, keeps it
        "font.size": 15, "axes.linewidth": 1.2, "xtick.major.size": 8, "xtick.minor.size": 4, "ytick.major.size": 8,
        "ytick.minor.size": 4, "legend.fontsize": 12.5, "axes.titlesize": 13, "axes.titlelocation": "left",
        "axes.titley": 1.0,  # else every drawing measures all ticks to place the title
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


def save_figure(figure: Figure, path: Path) -> None:
    """Save a figure in the format of the file's name, under a temporary name first; the same figure gives the same file."""
    temporary = path.with_name(f".{path.stem}.part{path.suffix}")
    figure.savefig(temporary, dpi=DPI, metadata={"CreationDate": None} if path.suffix == ".pdf" else None)
    temporary.replace(path)
