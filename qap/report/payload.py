"""What the page's script draws from: a report as short JSON, curves thinned to what can be seen."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from qap.candidate import Figure, Parity
from qap.metrics.bootstrap import Interval
from qap.report.data import Curve, FrontEntry, LayerEntry, Quality, Report, Tried
from qap.report.distributions import Distribution
from qap.report.sections import Calibration, PartSection
from qap.report.view import best, near

COSTS = {
    "ebops": "EBOPs",
    "ebops_traced": "EBOPs, traced",
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
AXES = (
    "ebops", "ebops_traced", "LUT", "FF", "DSP", "BRAM_18K", "latency_ns", "latency_bx", "II", "da4ml_cost", "LUT_yosys",
    "latency_cycles_rtl", "weight_memory_bits", "nonzero_weights", "bops", "energy_pJ",
)  # fmt: skip
"""Figures of cost that the front can be drawn against, where there are any."""
SCORES = {
    "accuracy": "accuracy",
    "rmse": "RMSE",
    "auc": "AUC, mean over the classes",
    "auc_worst": "AUC of the worst class",
    "signal_efficiency": "signal efficiency",
    "resolution": "resolution",
}
SMALLER = ("rmse", "resolution")
"""Scores that are better when they are smaller."""
ROC_FLOOR = 1e-3
"""Where the logarithmic axis of the ROC curves begins."""
TRAIN_NOTE = "It is trained again from the float network. As judged here it lies in candidates/, with weights and model."
DECADES = -math.log10(ROC_FLOOR)
SEEN = 0.0025
"""What can be seen of a curve, as part of its drawing."""


def _short(value: float, digits: int = 4) -> float | int:
    """Round to digits after the leading one, whole numbers without a decimal point."""
    found = float(f"{value:.{digits}g}") if abs(value) < 10**digits else round(value)
    return int(found) if float(found).is_integer() else found


def thinned(x: np.ndarray, y: np.ndarray, seen: float = SEEN) -> list[int]:
    """Return which points of a curve to keep so that no other lies further than `seen` from what is drawn.

    The Ramer–Douglas–Peucker algorithm (D. Douglas, T. Peucker, Cartographica 10 (1973) 112).

    Parameters
    ----------
    x, y : (points,) arrays
        In units of the drawing's width and height.
    seen : float, default 0.0025
    """
    kept, open_ = {0, len(x) - 1}, [(0, len(x) - 1)]
    while open_:
        first, last = open_.pop()
        if last - first < 2:
            continue
        along = np.array([x[last] - x[first], y[last] - y[first]])
        off = np.array([x[first + 1 : last] - x[first], y[first + 1 : last] - y[first]])
        length = float(np.hypot(*along))
        away = np.abs(along[0] * off[1] - along[1] * off[0]) / length if length else np.hypot(*off)
        if away.max() > seen:
            middle = first + 1 + int(away.argmax())
            kept.add(middle)
            open_ += [(first, middle), (middle, last)]
    return sorted(kept)


def _roc(curve: Curve) -> list[list[int]]:
    """Return a ROC curve above the floor of its axis, thinned: signal and height on the axis in parts of 10,000."""
    signal, background = np.array(curve.signal), np.array(curve.background)
    shown = background >= ROC_FLOOR
    x, y = signal[shown], 1 + np.log10(background[shown]) / DECADES
    kept = thinned(x, y)
    return [np.rint(10_000 * side[kept]).astype(int).tolist() for side in (x, y)]


def _cuts(curve: Curve) -> list[list[list[int]]]:
    """Return the efficiency of signal and background by cut, thinned: cuts and efficiencies in parts of 1,000."""
    cuts = np.linspace(0.0, 1.0, len(curve.signal))
    sides = [np.array(side) for side in (curve.signal, curve.background)]
    kept = [thinned(cuts, side) for side in sides]
    return [[np.rint(1000 * v[keep]).astype(int).tolist() for v in (cuts, side)] for side, keep in zip(sides, kept, strict=True)]


def _interval(found: Interval) -> list[float]:
    return [_short(value, 6) for value in (found.value, found.low, found.high)]


def scores(model: Quality) -> dict[str, list[float]]:
    """Return the scores of a model on the test split by name: the value, with its interval where there is one."""
    found: dict[str, list[float]] = {}
    for name, interval in (("accuracy", model.accuracy), ("rmse", model.rmse)):
        if interval is not None:
            found[name] = _interval(interval)
    single = {
        "auc": model.auc,
        "auc_worst": min(model.auc_per_class, default=None),
        "signal_efficiency": model.signal_efficiency,
        "resolution": float(np.mean([target.resolution for target in model.targets])) if model.targets else None,
    }
    return found | {name: [_short(value, 6)] for name, value in single.items() if value is not None}


def costs(figures: Mapping[str, Figure]) -> dict[str, list[float]]:
    """Return figures of cost by name in the order of the page: the value, with its band where it has one."""
    names = [name for name in COSTS if name in figures] + [name for name in figures if name not in COSTS]
    found = {}
    for name in names:
        figure = figures[name]
        low, high = (figure.value if bound is None else bound for bound in (figure.low, figure.high))
        band = [] if low == high else [low, high]
        found[name] = [_short(value, 6) for value in (figure.value, *band)]
    return found


def _distribution(found: Distribution | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "ends": [found.low, found.high],
        "range": [found.range_low, found.range_high],
        "step": found.step,
        "clipped": found.clipped,
        "out": found.left_out,
        "heights": [round(999 * count / (max(found.counts) or 1)) for count in found.counts],
    }


def _layer(layer: LayerEntry) -> dict[str, Any]:
    drawn = {"weights": _distribution(layer.weights), "outputs": _distribution(layer.outputs)}
    return {
        "name": layer.name,
        "weight": str(layer.weight),
        "bias": str(layer.bias),
        "activation": None if layer.activation is None else str(layer.activation),
        "bits": [layer.weight.bits, None if layer.activation is None else layer.activation.bits],
        "asked": _short(layer.sparsity_target),
        "mask": _short(layer.sparsity_mask),
        "zero": _short(layer.sparsity),
        **{name: value for name, value in drawn.items() if value is not None},
    }


def _calibration(found: Calibration | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"events": found.events, "confidence": found.confidence, "accuracy": found.accuracy, "ece": found.expected_error}


def quality(model: Quality) -> dict[str, Any]:
    """Return what is drawn of a model's quality."""
    found: dict[str, Any] = {
        "scores": scores(model),
        "auc": [_short(value, 5) for value in model.auc_per_class],
        "roc": [_roc(curve) for curve in model.roc],
        "efficiency": [_cuts(curve) for curve in model.efficiency],
        "calibration": _calibration(model.calibration),
        "confusion": [[_short(value, 6) for value in row] for row in model.confusion],
        "targets": [[_short(value) for value in (t.rmse, t.bias, t.resolution)] for t in model.targets],
    }
    return {name: value for name, value in found.items() if value}


def told(parity: Parity | None, what: str, how: str, missing: str) -> dict[str, Any]:
    """Return what is proven of a firmware: a verdict, a sentence, and the events."""
    if parity is None:
        return {"good": False, "verdict": missing}
    counted = {"events": parity.events, "exact": parity.exact}
    if parity.proven:
        said = f"on all {parity.events:,} test events: {how} against {parity.reference} QKeras."
        return {"good": True, "verdict": f"{what} is bit-exact", "said": said, **counted}
    said = f"{parity.events - parity.exact:,} of {parity.events:,} test events differ, by up to {parity.max_difference:.6g}"
    if parity.first_layer:
        said += f"; the first layer that differs is {parity.first_layer}"
    return {"good": False, "verdict": f"{what} is not bit-exact:", "said": f"{said}.", **counted}


def _parities(entry: FrontEntry, rtl: bool) -> list[dict[str, Any]]:
    nothing = "No firmware was built" + (": nothing is proven." if entry.parity_rtl is None else ".")
    found = [told(entry.parity, "The firmware", "C-simulation", nothing)]
    if rtl:
        lacking = "No RTL was made." if entry.rtl is None else "The RTL was not simulated."
        found.append(told(entry.parity_rtl, "The RTL", "Verilog, clock by clock,", lacking))
    return found


def _candidate(entry: FrontEntry, sources: Mapping[str, str], remarks: Sequence[str], rtl: bool) -> dict[str, Any]:
    figures = costs(entry.cost.figures)
    layers = [entry.cost.layers.get(layer.name, {}) for layer in entry.layers]
    parts = {
        name: [_short(layer[name].value, 6) if name in layer else None for layer in layers]
        for name in figures
        if any(name in layer for layer in layers)
    }
    other = {name: entry.cost.figures[name].source for name in figures if entry.cost.figures[name].source != sources[name]}
    found = {
        "id": entry.id,
        "architecture": entry.architecture,
        **quality(entry),
        "validation": _short(entry.score_validation, 6),
        "cost": figures,
        "parts": parts,
        "sources": other,
        "layers": [_layer(layer) for layer in entry.layers],
        "parities": _parities(entry, rtl),
        "remarks": [remarks.index(remark) for remark in entry.remarks],
        "firmware": entry.firmware,
        "rtl": entry.rtl,
    }
    return {name: value for name, value in found.items() if value not in (None, {}, (), [])}


def _tried(one: Tried, metric: str) -> dict[str, Any]:
    plan = [
        f"{layer.name}: {layer.weight}"
        + (f" → {layer.activation}" if layer.activation is not None else "")
        + f", {100 * layer.sparsity:.0f} % pruned"
        for layer in one.plan
    ]
    found: dict[str, Any] = {
        "id": one.id,
        "scores": {name: _short(value, 5) for name, value in {metric: one.score_validation, **one.validation}.items()},
        "cost": {name: _short(value, 6) for name, value in {"ebops": one.ebops, **one.cost}.items() if name in AXES},
        "architecture": one.architecture,
        "plan": plan,
    }
    return {name: value for name, value in found.items() if value}


def axes(reports: Sequence[Report]) -> dict[str, list[dict[str, Any]]]:
    """Return the scores and the figures of cost that fronts can be drawn in: name and label.

    Parameters
    ----------
    reports : sequence of Report
        Of one task.
    """
    report = reports[0]
    entries = [entry for one in reports for entry in one.front]
    known = {name for entry in entries for name, value in costs(entry.cost.figures).items() if any(value)}
    traced = "ebops_traced" in known
    labels = {**COSTS, "ebops": "EBOPs, declared" if traced else "EBOPs"}
    x = [{"name": name, "label": labels[name]} for name in AXES if name in known]
    present = {name for entry in entries for name in scores(entry)}
    y = [{"name": name, "label": SCORES[name], "smaller": name in SMALLER} for name in SCORES if name in present]
    for axis in y:
        if axis["name"] == "signal_efficiency" and report.search.background_efficiency is not None:
            of = f"signal efficiency of {report.search.signal}" if report.search.signal else "mean signal efficiency"
            axis["label"] = f"{of} at background {report.search.background_efficiency:g}"
    return {"x": x, "y": y}


def part_of(report: Report) -> PartSection | None:
    """Return what the part holds; a report of an earlier version names it only."""
    return report.part or PartSection.of(str(report.firmware.get("Part", "")))


def payload(report: Report) -> dict[str, Any]:
    """Return what the script of the page draws from.

    Parameters
    ----------
    report : Report
    """
    sources: dict[str, str] = {}
    for entry in report.front:
        for name, figure in entry.cost.figures.items():
            sources.setdefault(name, figure.source)
    remarks = list(dict.fromkeys(remark for entry in report.front for remark in entry.remarks))
    shown = near(report) or best(report)
    part = part_of(report)
    return {
        "metric": report.metric,
        "percent": report.metric == "accuracy",
        "classes": report.data.classes,
        "targets": report.data.targets,
        "testEvents": report.data.n_test,
        "model": report.model.architecture,
        "reference": {"architecture": report.reference.architecture, **quality(report.reference)},
        "axes": axes([report]),
        "labels": {name: COSTS.get(name, name.replace("_", " ")) for name in sources},
        "sources": sources,
        "remarks": remarks,
        "part": None if part is None else part.model_dump(),
        "timing": None if report.timing is None else report.timing.model_dump(),
        "shown": shown.id,
        "trainNote": TRAIN_NOTE,
        "front": [_candidate(entry, sources, remarks, report.rtl is not None) for entry in report.front],
        "tried": [_tried(one, report.metric) for one in report.tried],
    }


def embedded(values: Any) -> Markup:
    """Return JSON that nothing in an HTML page can mistake for markup: no ``<``, ``>`` or ``&`` stays as it is."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def studies_payload(named: Iterable[tuple[str, Report]]) -> dict[str, Any]:
    """Return what the script draws of several studies' fronts.

    Parameters
    ----------
    named : iterable of (str, Report)
        Address of each study's page, relative to the one that is made; reports of one task.
    """
    pairs = list(named)
    reports = [report for _, report in pairs]
    return {
        "percent": reports[0].metric == "accuracy",
        "axes": axes(reports),
        "studies": [
            {
                "name": report.name,
                "data": report.data.name,
                "page": page,
                "reference": scores(report.reference),
                "front": [
                    {
                        "id": entry.id,
                        "architecture": entry.architecture,
                        "scores": scores(entry),
                        "cost": {name: value for name, value in costs(entry.cost.figures).items() if name in AXES},
                        "plan": [
                            f"{layer.name}: {layer.weight}"
                            + (f" → {layer.activation}" if layer.activation is not None else "")
                            + f", {100 * layer.sparsity:.0f} % zero"
                            for layer in entry.layers
                        ],
                    }
                    for entry in report.front
                ],
            }
            for page, report in pairs
        ],
    }
