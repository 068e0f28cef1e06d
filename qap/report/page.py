"""report.html: one self-contained page drawn from report.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from qap.candidate import Figure
from qap.files import write_text
from qap.report.data import Comparison, FrontEntry, LayerEntry, Report
from qap.report.svg import COLOURS, front_svg, roc_background_svg, roc_svg
from qap.report.view import NEAR, best, near, window

COSTS = {
    "ebops": "EBOPs",
    "bops": "BOPs",
    "multiplications": "multiplications",
    "multiplications_zero": "… by zero",
    "multiplications_power_of_two": "… by a power of two",
    "multiplications_general": "… by any other weight",
    "weights": "weights",
    "nonzero_weights": "non-zero weights",
    "sparsity": "zero weights",
    "sparsity_mask": "zero by the mask",
    "weight_memory_bits": "weight memory [bit]",
    "accumulator_bits": "accumulator [bit]",
    "LUT": "LUT, csynth-equivalent",
    "FF": "FF, csynth-equivalent",
    "DSP": "DSP, csynth-equivalent",
    "BRAM_18K": "BRAM_18K, csynth-equivalent",
    "latency_cycles": "latency [cycles]",
    "latency_ns": "latency [ns]",
    "latency_bx": "latency [bunch crossings]",
    "II": "II [cycles]",
    "LUT_post_synthesis": "LUT after synthesis",
    "FF_post_synthesis": "FF after synthesis",
    "DSP_post_synthesis": "DSP after synthesis",
    "BRAM_18K_post_synthesis": "BRAM_18K after synthesis",
    "da4ml_cost": "RTL: da4ml cost",
    "latency_cycles_rtl": "RTL: latency [cycles]",
    "II_rtl": "RTL: II [cycles]",
    "register_bits_rtl": "RTL: register bits",
    "LUT_yosys": "LUT of the RTL, by Yosys",
    "FF_yosys": "FF of the RTL, by Yosys",
    "CARRY4_yosys": "CARRY4 of the RTL, by Yosys",
    "DSP_yosys": "DSP of the RTL, by Yosys",
    "BRAM_18K_yosys": "BRAM_18K of the RTL, by Yosys",
    "logic_levels_yosys": "logic levels of the RTL, by Yosys",
    "energy_pJ": "energy [pJ]",
    "energy_nonzero_pJ": "… zero weights left out",
}
"""Labels of the figures of cost, in the order of the page; others follow under their own names."""
CIRCUIT = {
    "da4ml_cost": "da4ml cost",
    "latency_cycles_rtl": "RTL cycles",
    "LUT": "LUT, csynth-equivalent",
    "LUT_yosys": "LUT of the RTL, Yosys",
    "FF_yosys": "FF of the RTL, Yosys",
}
"""Figures of the RTL route in the table of the front, and beside Yosys's LUTs those of the C synthesis."""
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


def cost_rows(entry: FrontEntry) -> list[dict[str, Any]]:
    """Return label, total, band, the value of each layer and the source, as text, one row per figure of cost."""
    names = [name for name in COSTS if name in entry.cost.figures]
    names += [name for name in entry.cost.figures if name not in COSTS]
    layers: list[Mapping[str, Figure]] = [entry.cost.layers.get(layer.name, {}) for layer in entry.layers]
    rows = []
    for name in names:
        figure, text = entry.cost.figures[name], _share if name.startswith("sparsity") else _number
        row = {"label": COSTS.get(name, name.replace("_", " ")), "total": text(figure.value), "source": figure.source}
        low, high = figure.low, figure.high
        row["band"] = "" if low is None or high is None or low == high else f"({text(low)}–{text(high)})"
        rows.append({**row, "layers": [text(found[name].value) if name in found else "–" for found in layers]})
    return rows


def further(report: Report) -> list[str]:
    """Return the objectives that the table of the front shows beside the score and the EBOPs."""
    return [name for name in report.search.objectives if name not in (report.metric, "auc", "ebops")]


def circuit(report: Report) -> dict[str, str]:
    """Return the figures of the RTL route that the table of the front shows, with their titles."""
    known = {name for entry in report.front for name in entry.cost.figures}
    wanted = known - ({"LUT"} if "LUT_yosys" not in known or "LUT" in further(report) else set())
    return {name: title for name, title in CIRCUIT.items() if name in wanted and report.rtl is not None}


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


def confusion_rows(entry: FrontEntry) -> list[list[float]]:
    """Return the fractions of each true class by predicted class."""
    return [[value / (sum(row) or 1.0) for value in row] for row in entry.confusion]


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``6.4 s``, ``7 min 0 s``, ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:.4g}"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _environment() -> Environment:
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


def render(report: Report) -> str:
    """Return the page as HTML.

    Without a script everything can be read; the inline script only shows one candidate at a time. The page makes no
    request to anywhere and forbids any by its content security policy.

    Parameters
    ----------
    report : Report
    """
    drawn = bool(report.reference.roc) or any(entry.roc for entry in report.front)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            percent=report.metric == "accuracy",
            layer_names=list(dict.fromkeys(layer.name for entry in report.front for layer in entry.layers)),
            front_svg=front_svg(report),
            roc_background=roc_background_svg(report) if drawn else "",
            roc_svg=roc_svg,
            layer_named=layer_named,
            cost_rows=cost_rows,
            further=further(report),
            amount=amount,
            circuit=circuit(report),
            counted=counted,
            gains=gains(report),
            confusion_rows=confusion_rows,
            best=best(report),
            near=near(report),
            margin=NEAR,
            outside=window(report).outside,
            colours=COLOURS,
        )
    )


def write_page(report: Report, path: Path) -> None:
    """Write the page, under a temporary name first."""
    write_text(path, render(report))
