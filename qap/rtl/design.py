"""A pipelined Verilog design on disk: written, described, loaded again."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qap.errors import InputError
from qap.files import write_text
from qap.precision import Precision, is_whole
from qap.rtl.solver import DIGITS, SOLVER, TIMEOUT
from qap.rtl.tools import da4ml
from qap.rtl.trace import Traced, trace

FILE = "design.json"
LOGIC = "logic.json"
UNUSED = ("sim", "model", "metadata.json", "src/memfiles")
CELLS = ("shift_adder", "mux", "negative")
"""What da4ml writes beside the circuit and a design does not use, and the cells of its library that one may use."""


NAME = re.compile(r"[A-Za-z_]\w{0,199}", re.ASCII)
SOURCE = re.compile(r"src/(\w{1,100}/){0,3}\w{1,200}\.v", re.ASCII)
MOST_BITS = 4096


@dataclass(frozen=True, slots=True)
class Wire:
    """A fixed-point number on the wires of a port.

    Parameters
    ----------
    signed : bool
    integer, fractional : int
        Bits left and right of the binary point, the sign left out; either may be negative.
    """

    signed: bool
    integer: int
    fractional: int

    @property
    def bits(self) -> int:
        """Width; 0 for a constant 0."""
        return self.signed + self.integer + self.fractional

    def __str__(self) -> str:
        return f"ap_{'' if self.signed else 'u'}fixed<{self.bits},{self.integer + self.signed}>"


@dataclass(frozen=True)
class Design:
    """A pipelined circuit that takes one event per clock cycle.

    Parameters
    ----------
    directory : Path
    name : str
        Of the top module: ports ``clk``, ``model_inp``, ``model_out``; the first element lies in the lowest bits.
    input_shape, output_shape : tuple of int
    inputs, outputs : tuple of Wire
        Types of the flattened elements.
    stages : int
        Clock cycles from the input register to the output register: the latency.
    register_bits : int
    cost : float
        da4ml's cost, about one LUT each.
    depth : int
        Adder levels from input to output.
    stage_depths : tuple of int
        Adder levels by stage.
    initiation_interval : int, default 1
        Clock cycles between events.
    """

    directory: Path
    name: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    inputs: tuple[Wire, ...]
    outputs: tuple[Wire, ...]
    stages: int
    register_bits: int
    cost: float
    depth: int
    stage_depths: tuple[int, ...]
    initiation_interval: int = 1

    @property
    def sources(self) -> tuple[Path, ...]:
        """The Verilog files, relative to the directory."""
        return tuple(sorted(path.relative_to(self.directory) for path in (self.directory / "src").rglob("*.v")))

    def stamp(self) -> str:
        """Return 16 hexadecimal digits that change with the Verilog."""
        digest = hashlib.sha256()
        for path in self.sources:
            digest.update((self.directory / path).read_bytes())
        return digest.hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form, the directory left out."""
        wires = {key: [[w.signed, w.integer, w.fractional] for w in getattr(self, key)] for key in ("inputs", "outputs")}
        plain = ("name", "stages", "register_bits", "cost", "depth", "initiation_interval")
        lists = ("input_shape", "output_shape", "stage_depths")
        return {
            **{key: getattr(self, key) for key in plain}, **{key: list(getattr(self, key)) for key in lists}, **wires,
        }  # fmt: skip


def write_design(
    model: Any,
    inputs: Precision | tuple[Precision, ...],
    directory: str | Path,
    *,
    adders_per_stage: int = 5,
    name: str = "qap_rtl",
    solver: Mapping[str, Any] = SOLVER,
    digits: int = DIGITS,
    timeout: float = TIMEOUT,
) -> Design:
    """Write a model as a pipelined Verilog project.

    Parameters
    ----------
    model, inputs, solver, digits, timeout
        As in `qap.rtl.trace`.
    directory : path
        A former design there is replaced once the new one is complete.
    adders_per_stage : int, default 5
        Adder levels between two registers at most; the stages are made equally deep.
    name : str, default 'qap_rtl'
        Of the top module.

    Returns
    -------
    Design

    Raises
    ------
    InputError
        A model that the RTL route does not build, a name that Verilog does not take, a directory with other files.
    ToolMissingError
        da4ml is not installed.
    QapError
        A layer with more signed digits than `digits`, or a design too large for the time given.
    """
    directory = Path(directory)
    if not name.isascii() or not name.isidentifier():
        raise InputError(f"name: expected a Verilog identifier, received {name!r}")
    if isinstance(adders_per_stage, bool) or not isinstance(adders_per_stage, int) or adders_per_stage < 1:
        raise InputError(f"adders_per_stage: expected a number from 1, received {adders_per_stage!r}")
    if directory.exists() and not (directory / FILE).is_file() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError(f"{directory}: holds other files than a design: give an empty or a new directory")
    traced = trace(model, inputs, solver=solver, digits=digits, timeout=timeout)
    return write_traced(traced, directory, adders_per_stage=adders_per_stage, name=name)


def write_traced(traced: Traced, directory: Path, *, adders_per_stage: int = 5, name: str = "qap_rtl") -> Design:
    """Write combinational logic as a pipelined Verilog project; see `write_design`."""
    logic = traced.logic
    depth = math.ceil(logic.latency[1])
    stages = max(1, math.ceil(depth / adders_per_stage))
    cutoff = max(1, math.ceil(depth / stages))
    pipeline = da4ml("trace").to_pipeline(logic, cutoff, retiming=False, verbose=False)
    depths = tuple(
        max(math.ceil(max((op.latency for op in part.ops), default=0)) - at * cutoff, 0)
        for at, part in enumerate(pipeline.solutions)
    )
    design = Design(
        directory, name, traced.input_shape, traced.output_shape, _wires(pipeline.inp_qint), _wires(pipeline.out_qint),
        len(pipeline.solutions), int(pipeline.reg_bits), float(logic.cost), depth, depths,
    )  # fmt: skip
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as temporary:
        new, old = Path(temporary, "new"), Path(temporary, "old")
        da4ml("codegen").VerilogModel(pipeline, name, new, print_latency=False).write()
        cells = [str(path.relative_to(new)) for path in (new / "src" / "static").iterdir() if path.stem not in CELLS]
        for path in (new / unused for unused in (*UNUSED, *cells, f"src/{name}_wrapper.v")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        logic.save(new / LOGIC)
        write_text(new / FILE, json.dumps(design.to_dict(), indent=1) + "\n")
        write_text(new / "README.md", _readme(design))
        if directory.exists():
            directory.rename(old)
        new.rename(directory)
    return design


def _wires(intervals: Iterable[Any]) -> tuple[Wire, ...]:
    minimal = da4ml("types").minimal_kif
    return tuple(Wire(bool(k), int(i), int(f)) for k, i, f in map(minimal, intervals))


def load_design(directory: str | Path) -> Design:
    """Read a design that `write_design` wrote.

    Raises
    ------
    InputError
        No design there, or one that cannot be read.
    """
    directory = Path(directory)
    try:
        values = json.loads((directory / FILE).read_text())
        for key in ("inputs", "outputs"):
            values[key] = tuple(Wire(*wire) for wire in values[key])
        for key in ("input_shape", "output_shape", "stage_depths"):
            values[key] = tuple(values[key])
        found = Design(directory, **values)
        _check(found)
        return found
    except OSError:
        raise InputError(f"{directory}: no RTL design: expected {FILE}, which qap.rtl.write_design writes") from None
    except (ValueError, TypeError, KeyError, RecursionError, InputError) as error:
        raise InputError(f"{directory / FILE}: not a readable design: {error}") from None


def _check(design: Design) -> None:
    """Refuse what `write_design` does not write: names go into scripts of tools, and the files may come from elsewhere."""
    if not isinstance(design.name, str) or not NAME.fullmatch(design.name):
        raise InputError(f"expected a name that Verilog takes, received {design.name!r}")
    home = design.directory.resolve()
    for path in design.sources:
        if not SOURCE.fullmatch(path.as_posix()) or not (design.directory / path).resolve().is_relative_to(home):
            raise InputError(f"expected Verilog files in src, received {path.as_posix()!r}")
    numbers = [design.stages, design.register_bits, design.depth, design.initiation_interval]
    numbers += [*design.input_shape, *design.output_shape, *design.stage_depths]
    numbers += [abs(one) for wire in (*design.inputs, *design.outputs) for one in (wire.integer, wire.fractional)]
    if not all(is_whole(one) and 0 <= one < 1 << 32 for one in numbers) or not 0 <= design.cost < math.inf:
        raise InputError("expected counts of 0 or more")
    wires = ((design.input_shape, design.inputs), (design.output_shape, design.outputs))
    stages = len(design.stage_depths)
    if any(math.prod(shape) != len(found) for shape, found in wires) or not 0 < stages == design.stages:
        raise InputError("expected a wire for each element, and a depth for each stage")
    if not all(isinstance(wire.signed, bool) and 0 <= wire.bits <= MOST_BITS for wire in (*design.inputs, *design.outputs)):
        raise InputError(f"expected wires of up to {MOST_BITS} bits")


def _readme(design: Design) -> str:
    def ports(wires: tuple[Wire, ...]) -> str:
        return "\n".join(f"| {at} | {wire} |" for at, wire in enumerate(wires))

    return f"""# {design.name}

A pipelined circuit in Verilog, distributed arithmetic by da4ml. No multipliers, no memories.

- Latency: {design.stages} clock cycles from the input register to the output register.
- Initiation interval: {design.initiation_interval} cycle: one event per clock.
- {design.register_bits} register bits, {design.depth} levels of adders, at most {max(design.stage_depths)} in a stage.
- Top module `{design.name}` in `src/{design.name}.v`: `clk`, `model_inp`, `model_out`. Elements lie side by side, the first in
  the lowest bits. An output of 0 bits is the constant 0 and has no wire.
- Vivado: `vivado -mode batch -source build_vivado_prj.tcl`.

| input | type |
|---|---|
{ports(design.inputs)}

| output | type |
|---|---|
{ports(design.outputs)}
"""
