"""What a comparison shows: means and spreads over seeds, differences seed by seed, as CSV and Markdown."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qap.compare.store import Store
from qap.files import write_text
from qap.report.table import RTL_COLUMNS
from qap.tables import Table

Line = Mapping[str, Any]
"""A result of `qap.compare.store`: a row with one seed."""

FIRST = ("method", "seed", "compress", "granularity", "criterion", "architecture")
SCORES = ("accuracy", "auc", "auc_worst", "signal_efficiency", "ece", "worst_recall", "agreement", "drop", "gate")
ERRORS = ("rmse", "resolution")
COSTS = (
    "sparsity_mask", "sparsity", "weight_memory_bits", "nonzero_weights", "ebops", "bops", "lut", "ff", "dsp", "bram_18k",
    "ii", "latency_cycles", "latency_ns", "parity", "file_bytes", "remark",
)  # fmt: skip
PARITIES = ("parity", "parity_rtl")
CIRCUIT = {"da4ml_cost": "da4ml cost", "LUT_yosys": "LUT of the RTL, Yosys"}
"""Figures of the RTL route that the table shows, where there are any; compare.csv has all of them."""
PROBLEMS = ("refused", "not ", "no RTL", "RTL ")
"""How a remark begins that says what is missing or not exact."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over seeds.

    Parameters
    ----------
    mean : float
    deviation : float or None
        Sample standard deviation over the seeds; None with one seed.
    count : int
        Seeds that have the figure.
    """

    mean: float
    deviation: float | None
    count: int

    @property
    def error(self) -> float | None:
        """Standard error of the mean."""
        return None if self.deviation is None else self.deviation / math.sqrt(self.count)


def spread(values: Sequence[float]) -> Spread | None:
    """Return mean and standard deviation, None without values."""
    if not values:
        return None
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Spread(float(np.mean(values)), deviation, len(values))


@dataclass(frozen=True)
class Method:
    """A row of the comparison over its seeds.

    Parameters
    ----------
    name : str
    compress : str
        Its chain, for example ``prune → ptq``.
    figures : mapping of str to Spread
    difference : Spread or None
        Of the score to the row that all are compared with, seed by seed.
    gate : (int, int) or None
        Seeds that pass the gate, of how many.
    proven : (int, int) or None
        Seeds that are bit-exact on every test event in all that was simulated of them, of those with firmware or RTL.
    remarks : tuple of str
    """

    name: str
    compress: str
    figures: Mapping[str, Spread]
    difference: Spread | None
    gate: tuple[int, int] | None
    proven: tuple[int, int] | None
    remarks: tuple[str, ...]


def score_name(lines: Sequence[Line]) -> str:
    """Return ``'accuracy'``, or ``'rmse'`` for regression."""
    return "rmse" if any("rmse" in line for line in lines) else "accuracy"


def methods(lines: Sequence[Line], order: Sequence[str], against: str) -> list[Method]:
    """Gather the lines of a comparison by row.

    Parameters
    ----------
    lines : sequence of mapping
    order : sequence of str
        Rows, as the study file has them.
    against : str
        Row that the others are compared with.
    """
    score = score_name(lines)
    other = {line["seed"]: line[score] for line in lines if line["method"] == against and score in line}
    return [_gather(name, [line for line in lines if line["method"] == name], score, other, against) for name in order]


def rows_of(store: Store) -> list[Method]:
    """Gather the results of a comparison by row, in the order of its study file."""
    section = store.config.compare
    return methods(store.results(), list(section.methods), section.against)


def comparison_table(store: Store) -> Table:
    """Return the table of a comparison: means over the seeds, differences seed by seed."""
    against = store.config.compare.against
    found = columns(rows_of(store), against)
    return Table.of([title for title, _ in found], zip(*(cells for _, cells in found), strict=True))


def _gather(name: str, mine: list[Line], score: str, other: Mapping[int, float], against: str) -> Method:
    figures = {}
    for key in (*SCORES, *ERRORS, *COSTS, *RTL_COLUMNS):
        values = [float(line[key]) for line in mine if isinstance(line.get(key), int | float) and key != "gate"]
        found = spread(values)
        if found is not None:
            figures[key] = found
    pairs = [line[score] - other[line["seed"]] for line in mine if score in line and line["seed"] in other]
    gates = [bool(line["gate"]) for line in mine if "gate" in line]
    parities = [[line[key] for key in PARITIES if key in line] for line in mine]
    parities = [found for found in parities if found]
    return Method(
        name,
        _steps(mine[0]) if mine else "",
        figures,
        spread(pairs) if name != against else None,
        (sum(gates), len(gates)) if gates else None,
        (sum(min(found) == 1.0 for found in parities), len(parities)) if parities else None,
        tuple(dict.fromkeys(line["remark"] for line in mine if line.get("remark"))),
    )


def _steps(line: Line) -> str:
    """Write a row's chain, and what it says of granularity and criterion."""
    chosen = [str(line[key]) for key in ("granularity", "criterion") if line.get(key) not in (None, "weight")]
    return " → ".join(line["compress"]) + (f" ({', '.join(chosen)})" if chosen else "")


def write_compare_csv(lines: Sequence[Line], order: Sequence[str], path: Path) -> None:
    """Write compare.csv: a line for each row and seed, in the order of the study file; what does not apply stays empty."""
    scores = ERRORS if score_name(lines) == "rmse" else SCORES
    text = io.StringIO()
    circuit = [name for name in (*RTL_COLUMNS, PARITIES[1]) if any(name in line for line in lines)]
    writer = csv.DictWriter(text, [*FIRST, *scores, *COSTS, *circuit], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for line in sorted(lines, key=lambda line: (order.index(line["method"]), line["seed"])):
        writer.writerow({**{key: _plain(value) for key, value in line.items()}, "compress": " ".join(line["compress"])})
    write_text(path, text.getvalue())


def _plain(value: Any) -> Any:
    """Write counts without a decimal point, truths as 1 and 0."""
    if isinstance(value, bool):
        return int(value)
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) > 1 else value


def percent(found: Spread | None, digits: int = 2) -> str:
    """Write a fraction in per cent with its spread over seeds."""
    if found is None:
        return "–"
    around = "" if found.deviation is None else f" ± {100 * found.deviation:.{digits}f}"
    return f"{100 * found.mean:.{digits}f}{around}"


def amount(found: Spread | None) -> str:
    """Write a count: the mean over seeds."""
    return "–" if found is None else f"{found.mean:,.0f}"


def number(found: Spread | None) -> str:
    """Write a figure with its spread over seeds."""
    if found is None:
        return "–"
    return f"{found.mean:.4g}" + ("" if found.deviation is None else f" ± {found.deviation:.2g}")


def difference(found: Spread | None, *, fractions: bool) -> str:
    """Write a mean difference with its standard error."""
    if found is None:
        return "–"
    scale = 100 if fractions else 1
    error = "" if found.error is None else f" ± {scale * found.error:.2f}"
    return f"{scale * found.mean:+.2f}{error}"


def columns(rows: Sequence[Method], against: str) -> list[tuple[str, list[str]]]:
    """Return the columns of the table, as text: title and a cell for each row."""
    classes = not any("rmse" in row.figures for row in rows)
    found = [("method", [row.name for row in rows]), ("steps", [row.compress for row in rows])]
    if classes:
        found += [
            ("accuracy [%]", [percent(row.figures.get("accuracy")) for row in rows]),
            (f"− {against} [points]", [difference(row.difference, fractions=True) for row in rows]),
            ("AUC [%]", [percent(row.figures.get("auc")) for row in rows]),
            ("ECE [%]", [percent(row.figures.get("ece"), 1) for row in rows]),
            ("agrees with float [%]", [percent(row.figures.get("agreement"), 1) for row in rows]),
            ("gate passed", ["–" if row.gate is None else f"{row.gate[0]} of {row.gate[1]}" for row in rows]),
        ]
    else:
        found += [
            ("RMSE", [number(row.figures.get("rmse")) for row in rows]),
            (f"− {against}", [difference(row.difference, fractions=False) for row in rows]),
            ("resolution", [number(row.figures.get("resolution")) for row in rows]),
        ]
    found += [
        ("zero weights [%]", [percent(_mean_only(row.figures.get("sparsity")), 1) for row in rows]),
        ("weight bits", [amount(row.figures.get("weight_memory_bits")) for row in rows]),
        ("EBOPs", [amount(row.figures.get("ebops")) for row in rows]),
        ("LUT, estimated", [amount(row.figures.get("lut")) for row in rows]),
        *((title, [amount(row.figures.get(name)) for row in rows]) for name, title in CIRCUIT.items() if _has(rows, name)),
        ("bit-exact", ["–" if row.proven is None else f"{row.proven[0]} of {row.proven[1]}" for row in rows]),
    ]
    return found


def _has(rows: Sequence[Method], name: str) -> bool:
    return any(name in row.figures for row in rows)


def problems(rows: Sequence[Method]) -> list[str]:
    """Return a sentence for each reason why a row was refused, is not exact or lacks something, with the rows it holds for."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for remark in row.remarks:
            if remark.startswith(PROBLEMS):
                found.setdefault(remark, []).append(row.name)
    return [f"{', '.join(names)}: {remark}" for remark, names in found.items()]


def _mean_only(found: Spread | None) -> Spread | None:
    return None if found is None else Spread(found.mean, None, found.count)


def markdown(rows: Sequence[Method], against: str, heading: str, notes: Sequence[str]) -> str:
    """Return the table in Markdown with a heading, notes, and what was refused."""
    found = columns(rows, against)
    lines = [heading, "", "| " + " | ".join(title for title, _ in found) + " |"]
    lines.append("|" + "|".join(["---", "---", *["---:"] * (len(found) - 2)]) + "|")
    for index in range(len(rows)):
        lines.append("| " + " | ".join(cells[index].replace("|", "\\|") for _, cells in found) + " |")
    lines += ["", *notes]
    said = [f"- {sentence}" for sentence in problems(rows)]
    return "\n".join([*lines, *(["", *said] if said else [])]) + "\n"
