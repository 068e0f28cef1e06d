"""front.csv: one row per candidate of the front."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from qap.config.schema import CSYNTH_FIGURES
from qap.files import write_text
from qap.report.data import Report

COST_COLUMNS = ("ebops", "bops", "nonzero_weights", "sparsity_mask", "sparsity", "weight_memory_bits")
FURTHER = ("auc_worst", "signal_efficiency", "resolution")
"""Scores that have columns where they are objectives."""
RTL_COLUMNS = (
    "da4ml_cost", "latency_cycles_rtl", "II_rtl", "register_bits_rtl",
    "LUT_yosys", "FF_yosys", "CARRY4_yosys", "DSP_yosys", "BRAM_18K_yosys", "logic_levels_yosys",
)  # fmt: skip
"""Of the RTL route: counted in the Verilog, and after its synthesis by Yosys."""


def front_columns(report: Report) -> list[str]:
    """Return the columns of front.csv: the score is the accuracy, for regression the rmse."""
    metric = report.metric
    held_back = any(entry.score_selection is not None for entry in report.front)
    scores = ["id", *([f"{metric}_selection"] if held_back else [])]
    scores += [f"{metric}_validation", metric, f"{metric}_low", f"{metric}_high"]
    estimated = [name for name in ("ebops_traced", *CSYNTH_FIGURES) if any(name in one.cost.figures for one in report.front)]
    further = [name for name in FURTHER if name in report.search.objectives]
    further = [column for name in further for column in (f"{name}_validation", name)]
    circuit = [name for name in RTL_COLUMNS if any(name in entry.cost.figures for entry in report.front)]
    last = ["parity"] if report.rtl is None else ["parity", "parity_rtl"]
    return [*scores, *(["auc"] if metric == "accuracy" else []), *further, *COST_COLUMNS, *estimated, *circuit, *last]


def front_table(report: Report) -> list[dict[str, Any]]:
    """Return the rows of front.csv, one per candidate of the front, by rising EBOPs.

    Scores without ``_validation`` are those of the firmware's outputs on the test split, with the bounds of their
    bootstrap interval; `parity` is the fraction of test events that are bit-exact, None where no firmware was built, and
    `parity_rtl` that of the Verilog.
    """
    rows = []
    columns = front_columns(report)
    for entry in report.front:
        metric, score = report.metric, entry.score
        values: dict[str, Any] = {
            "id": entry.id,
            f"{metric}_selection": entry.score_selection,
            f"{metric}_validation": entry.score_validation,
            metric: score.value,
            f"{metric}_low": score.low,
            f"{metric}_high": score.high,
            "auc": entry.auc,
            "parity": None if entry.parity is None else entry.parity.fraction,
            "parity_rtl": None if entry.parity_rtl is None else entry.parity_rtl.fraction,
        }
        values |= {f"{name}_validation": value for name, value in entry.validation.items()}
        values |= {name: entry.objective(name) for name in FURTHER}
        values |= {name: _whole(figure.value) for name, figure in entry.cost.figures.items()}
        rows.append({column: values.get(column) for column in columns})
    return rows


def _whole(value: float) -> float | int:
    """Write counts without a decimal point."""
    return int(value) if float(value).is_integer() else value


def write_front_csv(report: Report, path: Path) -> None:
    """Write front.csv: a header and the rows of `front_table`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, front_columns(report), lineterminator="\n")
    writer.writeheader()
    writer.writerows(front_table(report))
    write_text(path, text.getvalue())
