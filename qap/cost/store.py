"""The lab's own reports: what was synthesised beside what the vendor's tool said, in one JSON file."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qap.candidate import Cost
from qap.cost.features import FEATURES
from qap.cost.hls_project import read_project
from qap.cost.model import family
from qap.cost.project_networks import networks
from qap.cost.report_ports import check_ports
from qap.cost.scopes import FIGURES
from qap.cost.terms import REFERENCE_CLOCK, Network, widths
from qap.errors import InputError
from qap.files import write_text
from qap.firmware.reports import read_reports

FORMAT = 1
_TOOL = re.compile(r"((?:Vivado|Vitis) HLS \S+?)(?:,|$)")


@dataclass(frozen=True)
class Entry:
    """One project and its reports.

    Parameters
    ----------
    project : str
        Its folder, relative to the store's where it lies below it.
    backend : {'vitis', 'vivado'}
    tool : str
        That made the csynth report: ``Vitis HLS 2023.2``.
    part : str
    softmax : int
        Outputs of softmax functions.
    layers : tuple of Network
    outside : tuple of str
        Layers that the csynth-equivalent model has no number for.
    csynth : mapping of figure → float
    vsynth : mapping of figure → float
        Empty without a report after synthesis.
    """

    project: str
    backend: str
    tool: str
    part: str
    softmax: int
    layers: tuple[Network, ...]
    outside: tuple[str, ...]
    csynth: Mapping[str, float]
    vsynth: Mapping[str, float]

    @property
    def key(self) -> str:
        """16 hexadecimal digits that name everything but the folder."""
        values = {name: value for name, value in self.to_dict().items() if name != "project"}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def shape(self) -> str:
        """Inputs and outputs of the layers: ``16x64 64x5``."""
        return " ".join(f"{layer.features['n_in']:.0f}x{layer.features['n_out']:.0f}" for layer in self.layers)

    @property
    def setting(self) -> tuple[str, str, str]:
        """Backend, tool with version, and family of the part, or the part where the family is not known."""
        return self.backend, self.tool, family(self.part) or self.part

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form."""
        layers = [
            {
                "strategy": layer.strategy, "reuse_factor": layer.reuse_factor, "clock_ns": layer.clock_ns,
                "multipliers": layer.multipliers, "features": {name: layer.features[name] for name in FEATURES},
            }
            for layer in self.layers
        ]  # fmt: skip
        return {
            "project": self.project, "backend": self.backend, "tool": self.tool, "part": self.part, "softmax": self.softmax,
            "layers": layers, "outside": list(self.outside), "csynth": dict(self.csynth), "vsynth": dict(self.vsynth),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Entry:
        """Read the plain form; KeyError, TypeError or ValueError where it is not one."""
        layers = tuple(
            Network(
                widths({name: _number(one["features"][name]) for name in FEATURES}), _text(one["strategy"]),
                int(_number(one["reuse_factor"])), clock_ns=_number(one["clock_ns"]),
                multipliers=None if one["multipliers"] is None else _text(one["multipliers"]),
            )
            for one in values["layers"]
        )  # fmt: skip
        csynth, vsynth = (
            {name: _number(values[stage][name]) for name in FIGURES if name in values[stage]} for stage in ("csynth", "vsynth")
        )
        return cls(
            _text(values["project"]), _text(values["backend"]), _text(values["tool"]), _text(values["part"]),
            int(_number(values["softmax"])), layers, tuple(_text(text) for text in values["outside"]), csynth, vsynth,
        )  # fmt: skip


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"expected a number of 0 or more, received {value!r}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, received {value!r}")
    return value


@dataclass(frozen=True)
class Store:
    """The entries of a file.

    Parameters
    ----------
    entries : tuple of Entry
        In the order in which they were learnt.
    """

    entries: tuple[Entry, ...] = ()

    def save(self, path: Path) -> None:
        """Write the file.

        Raises
        ------
        InputError
            It cannot be written.
        """
        text = json.dumps({"format": FORMAT, "entries": [one.to_dict() for one in self.entries]}, indent=1, ensure_ascii=False)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text + "\n")
        except OSError as error:
            raise InputError(f"{path}: the store of reports cannot be written: {error.strerror}") from None


def load_store(path: Path) -> Store:
    """Read a store; an empty one where there is no file yet.

    Raises
    ------
    InputError
        A file that is not a store, or a damaged one.
    """
    path = Path(path)
    if not path.exists():
        return Store()
    cure = "restore it from a copy, or give another file"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            received = values.get("format") if isinstance(values, dict) else type(values).__name__
            raise InputError(f"{path}: expected a store of reports, format {FORMAT}, received {received!r}: {cure}")
        return Store(tuple(Entry.from_dict(one) for one in values["entries"]))
    except OSError as error:
        raise InputError(f"{path}: the store of reports cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise InputError(f"{path}: the store of reports is damaged ({error!r}): {cure}") from None


def _figures(cost: Cost | None) -> dict[str, float]:
    return {} if cost is None else {name: cost[name] for name in FIGURES if name in cost.figures}


def read_entry(directory: Path, project: str) -> Entry:
    """Read a project and its csynth and synthesis reports.

    Parameters
    ----------
    directory : Path
    project : str
        The name to store.

    Raises
    ------
    InputError
        Not a whole project of hls4ml for Vitis or Vivado, no csynth report, reports that are broken or of another project.
    """
    read = read_project(directory)
    reports = read_reports(directory)
    if "csynth" not in reports:
        raise InputError(f"{directory}: found no csynth report in it: run csynth there")
    check_ports(read)
    cost = reports["csynth"]
    tool = _TOOL.search(cost.figures["LUT"].source)
    found = networks(read)
    target = cost.figures["clock_target_ns"].value if "clock_target_ns" in cost.figures else REFERENCE_CLOCK
    layers = tuple(
        Network(one.features, one.strategy, one.reuse_factor, clock_ns=target, multipliers=one.multipliers)
        for one in found.layers
    )
    return Entry(
        project, read.backend, tool[1] if tool else "", read.part or "", found.softmax, layers, found.outside, _figures(cost),
        _figures(reports.get("vsynth")),
    )  # fmt: skip
