"""What the page's script draws from: a report as short JSON, curves thinned to what can be seen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from qap.candidate import Parity
from qap.report import curves
from qap.report.axes import AXES, COSTS, axes, costs, scores, short
from qap.report.curves import SEEN
from qap.report.data import FrontEntry, LayerEntry, Report, Tried
from qap.report.quality import Quality
from qap.report.view import best, near, part_of

TRAIN_NOTE = "It is trained again from the float network. As judged here it lies in candidates/, with weights and model."


def _layer(layer: LayerEntry) -> dict[str, Any]:
    drawn = {"weights": curves.distribution(layer.weights), "outputs": curves.distribution(layer.outputs)}
    return {
        "name": layer.name,
        "weight": str(layer.weight),
        "bias": str(layer.bias),
        "activation": None if layer.activation is None else str(layer.activation),
        "bits": [layer.weight.bits, None if layer.activation is None else layer.activation.bits],
        "asked": short(layer.sparsity_target),
        "mask": short(layer.sparsity_mask),
        "zero": short(layer.sparsity),
        **{name: value for name, value in drawn.items() if value is not None},
    }


def quality(model: Quality, seen: float = SEEN) -> dict[str, Any]:
    """Return what is drawn of a model's quality, its curves thinned to what is `seen`."""
    found: dict[str, Any] = {
        "scores": scores(model),
        "auc": [short(value, 5) for value in model.auc_per_class],
        "roc": [curves.roc(curve, seen) for curve in model.roc],
        "efficiency": [curves.cuts(curve, seen) for curve in model.efficiency],
        "calibration": curves.calibration(model.calibration),
        "confusion": [[short(value, 6) for value in row] for row in model.confusion],
        "targets": [[short(value) for value in (t.rmse, t.bias, t.resolution)] for t in model.targets],
        "residuals": [curves.residuals(t.residuals) for t in model.targets if t.residuals is not None],
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


def _candidate(entry: FrontEntry, sources: Mapping[str, str], remarks: Sequence[str], rtl: bool, seen: float) -> dict[str, Any]:
    figures = costs(entry.cost.figures)
    layers = [entry.cost.layers.get(layer.name, {}) for layer in entry.layers]
    parts = {
        name: [short(layer[name].value, 6) if name in layer else None for layer in layers]
        for name in figures
        if any(name in layer for layer in layers)
    }
    other = {name: entry.cost.figures[name].source for name in figures if entry.cost.figures[name].source != sources[name]}
    found = {
        "id": entry.id,
        "architecture": entry.architecture,
        **quality(entry, seen),
        "validation": short(entry.score_validation, 6),
        "cost": figures,
        "parts": parts,
        "sources": other,
        "losses": curves.losses(entry.losses, seen),
        "layers": [_layer(layer) for layer in entry.layers],
        "parities": _parities(entry, rtl),
        "remarks": [remarks.index(remark) for remark in entry.remarks],
        "firmware": entry.firmware,
        "rtl": entry.rtl,
    }
    return {name: value for name, value in found.items() if value not in (None, {}, (), [])}


def _tried(one: Tried, metric: str, front: bool) -> dict[str, Any]:
    """Return what is drawn of a candidate tried; of one on the front the page knows the plan."""
    plan = [
        f"{layer.name}: {layer.weight}"
        + (f" → {layer.activation}" if layer.activation is not None else "")
        + f", {100 * layer.sparsity:.0f} % pruned"
        for layer in one.plan
    ]
    found: dict[str, Any] = {
        "id": one.id,
        "scores": {name: short(value, 5) for name, value in {metric: one.score_validation, **one.validation}.items()},
        "cost": {name: short(value, 6) for name, value in {"ebops": one.ebops, **one.cost}.items() if name in AXES},
        "architecture": one.architecture,
        "plan": [] if front else plan,
    }
    return {name: value for name, value in found.items() if value}


def payload(report: Report, seen: float = SEEN) -> dict[str, Any]:
    """Return what the script of the page draws from.

    Parameters
    ----------
    report : Report
    seen : float, default 0.0025
        Curves are thinned to what is seen of them, as part of their drawing.
    """
    members = {entry.id for entry in report.front}
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
        "reference": {"architecture": report.reference.architecture, **quality(report.reference, seen)},
        "axes": axes([report]),
        "labels": {name: COSTS.get(name, name.replace("_", " ")) for name in sources},
        "sources": sources,
        "remarks": remarks,
        "part": None if part is None else part.model_dump(),
        "timing": None if report.timing is None else report.timing.model_dump(),
        "shown": shown.id,
        "trainNote": TRAIN_NOTE,
        "front": [_candidate(entry, sources, remarks, report.rtl is not None, seen) for entry in report.front],
        "tried": [_tried(one, report.metric, one.id in members) for one in report.tried],
    }


def embedded(values: Any) -> Markup:
    """Return JSON that nothing in an HTML page can mistake for markup: no ``<``, ``>`` or ``&`` stays as it is."""
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)
