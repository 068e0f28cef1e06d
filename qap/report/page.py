"""report.html: one self-contained page drawn from report.json."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from qap.files import write_text
from qap.report.curves import SEEN
from qap.report.data import Comparison, FrontEntry, LayerEntry, Report
from qap.report.payload import embedded, payload
from qap.report.view import NEAR, best, near

COLOURS = 10
"""Classes of the style sheet for curves: k0 to k9."""
ROOM = 4_000_000
"""Characters for what the page draws from; of very many curves, coarser ones are drawn where they do not fit."""

CIRCUIT = {
    "da4ml_cost": "da4ml cost",
    "latency_cycles_rtl": "RTL cycles",
    "LUT": "LUT, csynth-equivalent",
    "LUT_yosys": "LUT of the RTL, Yosys",
    "FF_yosys": "FF of the RTL, Yosys",
}
"""Figures of cost in the table of the front: LUTs, and what the RTL route has found."""
ENGLISH = {
    "ebops": "EBOPs",
    "bops": "BOPs",
    "auc": "AUC",
    "auc_worst": "worst AUC",
    "signal_efficiency": "signal efficiency",
    "rmse": "RMSE",
    "weight_memory_bits": "weight memory",
}


def layer_named(entry: FrontEntry, name: str) -> LayerEntry | None:
    """Return a layer by name; candidates of another depth may lack it."""
    return next((layer for layer in entry.layers if layer.name == name), None)


def further(report: Report) -> list[str]:
    """Return the objectives that the table of the front shows beside the score and the EBOPs."""
    return [name for name in report.search.objectives if name not in (report.metric, "auc", "ebops")]


def circuit(report: Report) -> dict[str, str]:
    """Return the figures of the RTL route that the table of the front shows, with their titles."""
    known = {name for entry in report.front for name in entry.cost.figures}
    wanted = known if report.rtl is not None else known & {"LUT"}
    return {name: title for name, title in CIRCUIT.items() if name in wanted and name not in further(report)}


def counted(entry: FrontEntry, name: str) -> str:
    """Return a figure of cost as text, a dash where there is none."""
    figure = entry.cost.figures.get(name)
    return "–" if figure is None else _number(figure.value)


def amount(entry: FrontEntry, name: str) -> str:
    """Return the value of an objective as text."""
    value = entry.objective(name)
    if value is None:
        return "–"
    return f"{100 * value:.2f} %" if name in ("auc_worst", "signal_efficiency") else _number(value)


def gains(report: Report) -> dict[str, Comparison]:
    """Return the comparison of each candidate with the next cheaper one, by its id."""
    return {comparison.dearer: comparison for comparison in report.neighbours}


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``6.4 s``, ``7 min 0 s``, ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:.4g}"


def environment() -> Environment:
    found = Environment(
        loader=PackageLoader("qap.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    filters: dict[str, Any] = {
        "percent": lambda value, digits=2: f"{100 * value:.{digits}f}",
        "count": lambda value: f"{value:,.0f}",
        "number": _number,
        "duration": duration,
        "english": lambda name: ENGLISH.get(name, name),
    }
    found.filters.update(filters)
    return found


def script(found: Environment, *names: str) -> tuple[Markup, str]:
    """Return the script of a page from its template files, and the hash by which the page's security policy admits it alone."""
    sources = [found.loader.get_source(found, name)[0] for name in names] if found.loader is not None else []
    text = '"use strict";\n(() => {\n' + "\n".join(sources) + "})();\n"
    return Markup(text), "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def fitted(report: Report) -> Markup:
    """Return what the page draws from, its curves as fine as a pixel or, where that is too much, up to four times coarser."""
    for seen in (SEEN, 2 * SEEN, 4 * SEEN):
        found = embedded(payload(report, seen))
        if len(found) < ROOM:
            break
    return found


def render(report: Report) -> str:
    """Return the page as HTML.

    Table and facts can be read without a script; the page's own script, the only one that its content security policy lets
    run, draws the front and the chosen candidate from JSON within the page. Nothing is requested from anywhere.

    Parameters
    ----------
    report : Report
    """
    found = environment()
    text, digest = script(found, "dom.js", "plot.js", "front.js", "candidate.js", "report.js")
    return found.get_template("report.html.j2").render(
        report=report,
        percent=report.metric == "accuracy",
        layer_names=list(dict.fromkeys(layer.name for entry in report.front for layer in entry.layers)),
        layer_named=layer_named,
        further=further(report),
        amount=amount,
        circuit=circuit(report),
        counted=counted,
        gains=gains(report),
        best=best(report),
        near=near(report),
        margin=NEAR,
        colours=COLOURS,
        data=fitted(report),
        script=text,
        script_hash=digest,
    )


def write_page(report: Report, path: Path) -> None:
    """Write the page, under a temporary name first."""
    write_text(path, render(report))
