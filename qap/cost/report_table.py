"""Tables of csynth reports beside the features of what was synthesised."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from qap.cost.scopes import FIGURES
from qap.cost.terms import Network, total, widths
from qap.errors import InputError

_COLUMNS = {"BRAM_18K": "BRAM", "latency_cycles": "lat", "II": "II"}
_FEATURES = (
    "n_mac", "nnz", "n_gen", "n_p2", "bops", "ebops", "add_bits", "n_add", "n_in", "n_out", "n_dspcand", "n_uniq", "tree",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One report.

    Parameters
    ----------
    network : Network
    figures : mapping
        By the names of `FIGURES`.
    group : str
        Reports of one shape or one model: they are left out together.
    source : str
    part : str or None
        As far as the source states it.
    """

    network: Network
    figures: Mapping[str, float]
    group: str
    source: str
    part: str | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """A design with a csynth report and one after synthesis.

    Parameters
    ----------
    ratios : mapping
        Synthesis over csynth by figure, where csynth is not 0.
    source : str
    """

    ratios: Mapping[str, float]
    source: str


def _number(values: Mapping[str, str], name: str) -> float:
    """Return a finite number of 0 or more, from the column of that name or, where there is none, in small letters."""
    column = name.lower() if name not in values and name.lower() in values else name
    value = float(values[column])
    if not 0 <= value < math.inf:
        raise ValueError(f"{name}: {values[column]}")
    return value


def _row(values: Mapping[str, str]) -> Row:
    def number(name: str) -> float:
        return _number(values, name)

    figures = {name: number(_COLUMNS.get(name, name)) for name in FIGURES}
    features = {name: number(name) for name in _FEATURES}
    if "m" in values:  # a whole network
        forced = "dsp" if values["dsp"] == "True" else "lut"
        softmax = int(number("smax"))
        network = Network(widths(features), "latency", int(number("R")), int(number("nl")), softmax, number("clk"), forced)
        return Row(network, figures, values["m"], values["source"])
    features |= {name: number(name) for name in ("xb", "wb", "ab")}
    network = Network(total([features]), values["strategy"], int(number("R")), clock_ns=number("clk"))
    part = re.search(r"\bxc[\w-]+", values["source"])
    return Row(
        network, figures, f"{features['n_in']:.0f}x{features['n_out']:.0f}", values["source"], part.group() if part else None
    )


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a table of reports (CSV): {error}") from None
    return enumerate(csv.DictReader(text.splitlines()), 2)


def read_table(path: Path) -> Iterator[Row]:
    """Read a table of reports: one row a layer (columns strategy, xb, wb, ab …) or a network (m, dsp, smax, nl …).

    Parameters
    ----------
    path : Path
        CSV.

    Yields
    ------
    Row

    Raises
    ------
    InputError
        No such file, columns missing, values that are not numbers.
    """
    for number, values in _lines(path):
        try:
            yield _row(values)
        except (KeyError, ValueError, TypeError, ZeroDivisionError) as error:
            raise InputError(f"{path}, line {number}: expected the columns of a table of reports: {error!r}") from None


def read_pairs(path: Path) -> list[Pair]:
    """Read a table of reports of several stages (columns model, stage, LUT, FF, DSP, BRAM, source).

    Rows of stage ``HLS csynth`` count BRAM_18K, rows of stage ``vsynth`` tiles of two. A synthesis report that is the
    same in every figure as another model's is taken for a copy: all but the one whose DSPs are nearest its csynth are left out.

    Raises
    ------
    InputError
        As `read_table`.
    """
    stages: dict[str, dict[str, dict[str, float]]] = {"HLS csynth": {}, "vsynth": {}}
    sources: dict[str, str] = {}
    for number, values in _lines(path):
        try:
            if values["stage"] in stages and values["LUT"]:
                figures = {name: _number(values, _COLUMNS.get(name, name)) for name in FIGURES[:4]}
                stages[values["stage"]].setdefault(values["model"], figures)
                sources[values["model"]] = values["source"]
        except (KeyError, ValueError, TypeError) as error:
            raise InputError(f"{path}, line {number}: expected the columns of a table of reports: {error!r}") from None
    csynth, after = stages["HLS csynth"], _without_copies(stages["HLS csynth"], stages["vsynth"])
    return [Pair(_ratios(csynth[model], after[model]), sources[model]) for model in csynth if model in after]


def _without_copies(
    csynth: Mapping[str, Mapping[str, float]], after: Mapping[str, Mapping[str, float]]
) -> dict[str, Mapping[str, float]]:
    """Keep one model for each synthesis report."""
    kept: dict[tuple[float, ...], str] = {}
    for model in (model for model in after if model in csynth):
        key = tuple(after[model].values())
        other = kept.get(key)
        if other is None or abs(csynth[model]["DSP"] - key[2]) < abs(csynth[other]["DSP"] - key[2]):
            kept[key] = model
    return {model: after[model] for model in kept.values()}


def _ratios(csynth: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    tiles = {"BRAM_18K": 2.0}
    return {name: tiles.get(name, 1.0) * after[name] / value for name, value in csynth.items() if value > 0}
