"""All reports that the vendor tools left in an hls4ml project, as Cost records by stage.

Stages: ``csynth`` (C synthesis, an estimate), ``cosim`` (C/RTL simulation, cycles as simulated), ``vsynth`` (after
Vivado synthesis) and ``impl`` (after place and route). Figures: ``LUT``, ``FF``, ``DSP``, ``BRAM_18K``, ``URAM``,
``latency_cycles``, ``latency_ns``, ``II``, ``clock_target_ns``, ``clock_estimate_ns``, ``WNS``; latency and II carry
the worst case as value, best and worst as band. A figure that a report leaves open (a latency of ``?``, the interval
of a single event) is left out; what no sound report holds is an InputError.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from qap.candidate import Cost, Figure
from qap.errors import InputError
from qap.firmware.hls_reports import parse_cosim, parse_csynth_rpt, parse_csynth_xml
from qap.firmware.vivado_reports import parse_timing, parse_utilization

__all__ = [
    "BACKENDS", "STAGES", "parse_cosim", "parse_csynth_rpt", "parse_csynth_xml", "parse_timing", "parse_utilization",
    "project_settings", "read_reports",
]
STAGES = ("csynth", "cosim", "vsynth", "impl")
BACKENDS = ("vitis", "vivado")
_SETTING = re.compile(r'^\s*set\s+(\w+)\s+"?([^"\s]+)"?\s*$', re.MULTILINE)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{file}: expected a text file that can be read: {error}") from None


def project_settings(directory: Path) -> dict[str, str]:
    """Read the settings of an hls4ml project for Vitis or Vivado from its project.tcl.

    Parameters
    ----------
    directory : path

    Returns
    -------
    dict
        ``project_name``, ``backend`` (one of `BACKENDS`), ``part``, ``clock_period`` (ns) and what else is set.

    Raises
    ------
    InputError
        No project.tcl, or one that hls4ml did not write for these backends.
    """
    file = Path(directory) / "project.tcl"
    if not file.is_file():
        raise InputError(f"{directory}: expected an hls4ml project for Vitis or Vivado, found no project.tcl in it")
    settings = dict(_SETTING.findall(_read(file)))
    missing = [key for key in ("project_name", "backend", "part", "clock_period") if key not in settings]
    if missing:
        raise InputError(f"{file}: expected the project.tcl of hls4ml, found no {', '.join(missing)} in it")
    if not re.fullmatch(r"[A-Za-z_]\w*", settings["project_name"], re.ASCII):
        raise InputError(f"{file}: expected a C name as project_name, received {settings['project_name']!r}")
    if settings["backend"] not in BACKENDS:
        raise InputError(f"{file}: expected the backend {' or '.join(BACKENDS)}, received {settings['backend']!r}")
    return settings


def _bounds(figure: Figure) -> tuple[float, float, float]:
    """Return value, best and worst case."""
    low, high = (figure.value if bound is None else bound for bound in (figure.low, figure.high))
    return figure.value, low, high


def _shown(bounds: tuple[float, float, float]) -> str:
    value, low, high = bounds
    return f"{value:g}" if low == high else f"{low:g} to {high:g}"


def _csynth(folder: Path, top: str, part: str) -> Cost | None:
    """Read csynth.xml, else csynth.rpt; where both are there they must agree."""
    files = [folder / f"{top}_csynth.{kind}" for kind in ("xml", "rpt")]
    found = [
        reader(_read(file), str(file), top=top, part=part)
        for file, reader in zip(files, (parse_csynth_xml, parse_csynth_rpt), strict=True)
        if file.is_file()
    ]
    if len(found) == 2:
        for name in found[0].figures.keys() & found[1].figures.keys():
            one, other = (_bounds(cost.figures[name]) for cost in found)
            if max(abs(a - b) for a, b in zip(one, other, strict=True)) > (0.01 if name.startswith("clock") else 0):
                raise InputError(
                    f"{files[0]}: {name} is {_shown(one)}, but {_shown(other)} in {files[1].name}: the two are of "
                    "different runs; run csynth again"
                )
    return found[0] if found else None


def read_reports(directory: Path) -> dict[str, Cost]:
    """Read all reports that the vendor tools have left in an hls4ml project.

    Parameters
    ----------
    directory : path
        The project: the folder with project.tcl.

    Returns
    -------
    dict
        Cost by stage, in the order of `STAGES`; stages without a report are left out.

    Raises
    ------
    InputError
        Not a project, or a report that cannot be used; the message names the file.
    """
    directory = Path(directory)
    settings = project_settings(directory)
    top, part = settings["project_name"], settings["part"]
    solution = directory / f"{top}_prj" / "solution1"
    costs: dict[str, Cost] = {}
    csynth = _csynth(solution / "syn" / "report", top, part)
    if csynth is not None:
        costs["csynth"] = csynth
    cosim = solution / "sim" / "report" / f"{top}_cosim.rpt"
    if cosim.is_file():
        costs["cosim"] = parse_cosim(_read(cosim), str(cosim))
    for stage, name in (("vsynth", "vivado_synth"), ("impl", "vivado_impl")):
        figures: dict[str, Figure] = {}
        for suffix, reader in ((".rpt", parse_utilization), ("_timing.rpt", parse_timing)):
            file = directory / f"{name}{suffix}"
            if file.is_file():
                figures |= reader(_read(file), stage, str(file), top=top, part=part).figures
        if figures:
            costs[stage] = Cost(figures)
    _check_clock(directory, settings["clock_period"], costs)
    return costs


def _check_clock(directory: Path, period: str, costs: Mapping[str, Cost]) -> None:
    """Refuse reports of a run with another clock than the project has now; csynth prints two decimals of it."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]*)?", period):
        return
    for stage, cost in costs.items():
        target = cost.figures.get("clock_target_ns")
        if target is not None and abs(target.value - float(period)) > 0.0051:
            raise InputError(
                f"{directory}: the reports of {stage} are for a clock of {target.value:g} ns, project.tcl has {period} "
                f"ns: run {stage} again"
            )
