"""What fronts are drawn in: scores and figures of cost, with their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qap.candidate import Figure
from qap.metrics.bootstrap import Interval
from qap.report.data import Report
from qap.report.quality import Quality

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


def short(value: float, digits: int = 4) -> float | int:
    """Round to digits after the leading one, whole numbers without a decimal point."""
    found = float(f"{value:.{digits}g}") if abs(value) < 10**digits else round(value)
    return int(found) if float(found).is_integer() else found


def _interval(found: Interval) -> list[float]:
    return [short(value, 6) for value in (found.value, found.low, found.high)]


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
    return found | {name: [short(value, 6)] for name, value in single.items() if value is not None}


def costs(figures: Mapping[str, Figure]) -> dict[str, list[float]]:
    """Return figures of cost by name in the order of the page: the value, with its band where it has one."""
    names = [name for name in COSTS if name in figures] + [name for name in figures if name not in COSTS]
    found = {}
    for name in names:
        figure = figures[name]
        low, high = (figure.value if bound is None else bound for bound in (figure.low, figure.high))
        band = [] if low == high else [low, high]
        found[name] = [short(value, 6) for value in (figure.value, *band)]
    return found


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
