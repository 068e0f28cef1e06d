"""Simulate a design: the pipelined Verilog clock by clock with Verilator, or its logic in software."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import math
import os
import subprocess
import tempfile
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from qap.errors import InputError, QapError
from qap.firmware.csim import compiler
from qap.firmware.processes import Run, run_command
from qap.rtl.design import LOGIC, Design, Wire
from qap.rtl.tools import Verilator, da4ml, verilator

TIMEOUT = 600.0
"""Seconds that one build may take."""
BATCH = 4096
HARNESS = """
#include "Vtop.h"
#include <cstring>
extern "C" void simulate(const char *in, char *out, size_t events, size_t latency) {
    VerilatedContext context;
    Vtop top(&context);
    for (size_t cycle = 0; cycle < events + latency; ++cycle) {
        if (cycle < events) std::memcpy(&top.model_inp, in + cycle * sizeof(top.model_inp), sizeof(top.model_inp));
        top.clk = 0;
        top.eval();
        top.clk = 1;
        top.eval();
        if (cycle >= latency) std::memcpy(out + (cycle - latency) * sizeof(top.model_out), &top.model_out, sizeof(top.model_out));
    }
    top.final();
}
"""


def library(design: Design) -> Path:
    """Return where the simulation of the present sources belongs; its name changes with the sources."""
    return design.directory / "simulation" / f"{design.name}-{design.stamp()}.so"


def build_simulation(design: Design, *, timeout: float = TIMEOUT, run: Run = run_command) -> Path:
    """Compile the design's Verilog with Verilator and g++, unless that of the same sources is there.

    Parameters
    ----------
    design : Design
    timeout : float, default 600
        Seconds.
    run : callable, default run_command
        Runs Verilator and g++.

    Returns
    -------
    Path
        A shared library.

    Raises
    ------
    ToolMissingError
        No verilator, or no g++.
    QapError
        A tool failed, or the design is too large for the time given.
    """
    tool = verilator()
    target = library(design)
    if target.is_file():
        return target
    target.parent.mkdir(exist_ok=True)
    command, flags = compiler()
    flags = [flag for flag in flags if not flag.startswith("-std")]
    includes = [f"-I{tool.root / 'include'}", f"-I{tool.root / 'include' / 'vltstd'}"]
    compile_ = [*command, *flags, "-std=c++17", "-O0", "-pthread", *includes]
    with tempfile.TemporaryDirectory(prefix=".build.", dir=target.parent) as temporary:
        folder = Path(temporary)
        call = partial(_run, folder=folder, timeout=timeout, design=design, run=run)
        runtime = _runtime(tool, compile_, folder, call)
        sources = [f"../../{path}" for path in design.sources]
        call([
            "env", f"VERILATOR_ROOT={tool.root}", str(tool.program), "--cc", "-O3", "--x-assign", "fast", "--x-initial", "fast",
            "--noassert", "--top-module", design.name, "--prefix", "Vtop", "--Mdir", ".", "-Wno-fatal", *sources,
        ], "Verilator")  # fmt: skip
        (folder / "harness.cpp").write_text(HARNESS)
        parts = sorted(path.name for path in folder.glob("*.cpp"))  # one unit reads the headers once
        (folder / "all.cpp").write_text("".join(f'#include "{name}"\n' for name in parts))
        call([*compile_, "-I.", "-c", "all.cpp", "-o", "all.o"], "g++")
        call([command[-1], "-shared", "-pthread", "all.o", str(runtime), "-o", "simulation.so"], "g++")
        (folder / "simulation.so").replace(target)
    return target


def _runtime(tool: Verilator, compile_: list[str], folder: Path, call: Callable[[list[str], str], None]) -> Path:
    """Return Verilator's own runtime, compiled once per user, compiler and version."""
    source = tool.root / "include" / "verilated"
    digest = hashlib.sha256(" ".join(compile_).encode())
    for path in (source.with_suffix(".cpp"), source.with_suffix(".h"), source.with_name("verilated_config.h")):
        digest.update(path.read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "qap")
    target = cache / f"verilated-{digest.hexdigest()[:16]}.o"
    if target.is_file():
        return target
    (folder / "runtime.cc").write_text(f'#include "{source}.cpp"\n#include "{source}_threads.cpp"\n')
    call([*compile_, "-c", "runtime.cc", "-o", "runtime.o"], "g++")
    with contextlib.suppress(OSError):  # no home to write to: it is compiled again next time
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cache, delete=False) as file:
            file.write((folder / "runtime.o").read_bytes())
        Path(file.name).replace(target)
    return folder / "runtime.o"


def _run(command: list[str], tool: str, *, folder: Path, timeout: float, design: Design, run: Run) -> None:
    try:
        done = run(command, folder, timeout)
    except subprocess.TimeoutExpired:
        raise QapError(
            f"{design.directory}: the simulation of the RTL is not built after {timeout:.0f} s: the design is too large for that "
            f"time ({tool} was stopped): use fewer weights or bits"
        ) from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "rror" in line] or done.stderr.splitlines() or ["no message"]
        raise QapError(f"{design.directory}: {tool} failed on the RTL: {lines[0].strip()}")


def simulate(design: Design, x: np.ndarray, *, timeout: float = TIMEOUT) -> np.ndarray:
    """Send events through the pipelined Verilog, one per clock cycle.

    Parameters
    ----------
    design : Design
        Its simulation is built first if it is not there.
    x : array (events, …)
        On the grid of the inputs.
    timeout : float, default 600
        Seconds that the build may take.

    Returns
    -------
    float64 array (events, …)
        Every bit of the outputs.

    Raises
    ------
    InputError
        Values that the inputs do not hold.
    ToolMissingError
        No verilator, or no g++.
    QapError
        The build failed or took too long.
    """
    words = _words(design, x)
    loaded = ctypes.CDLL(str(build_simulation(design, timeout=timeout).absolute()))
    loaded.simulate.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t]
    loaded.simulate.restype = None
    received = np.zeros((len(words), port_bytes(design.outputs)), np.uint8)
    loaded.simulate(words.ctypes.data_as(ctypes.c_char_p), received.ctypes.data_as(ctypes.c_char_p), len(words), design.stages)
    return _unpack(design.outputs, received).reshape(len(words), *design.output_shape)


def _flat(x: np.ndarray) -> np.ndarray:
    values = np.asarray(x, np.float64)
    return values.reshape(len(values), math.prod(values.shape[1:]))


def _words(design: Design, x: np.ndarray) -> np.ndarray:
    flat = _flat(x)
    if flat.shape[1] != len(design.inputs):
        raise InputError(f"inputs: expected {len(design.inputs)} elements, received {flat.shape[1]}")
    return _pack(design.inputs, flat)


def predict(design: Design, x: np.ndarray) -> np.ndarray:
    """Run the design's logic in software (da4ml's interpreter): quick, without registers and without Verilog.

    Parameters
    ----------
    design : Design
    x : array (events, …)

    Returns
    -------
    float64 array (events, …)

    Raises
    ------
    InputError
        Values that the inputs do not hold.
    ToolMissingError
        No da4ml.
    """
    _words(design, x)
    logic = _logic(design.directory / LOGIC, (design.directory / LOGIC).stat().st_mtime_ns)
    return np.asarray(logic.predict(np.ascontiguousarray(_flat(x)), n_threads=1), np.float64).reshape(
        len(x), *design.output_shape
    )


@lru_cache(maxsize=4)
def _logic(path: Path, changed: int) -> Any:
    return da4ml("types").CombLogic.load(path)


def port_bytes(wires: tuple[Wire, ...]) -> int:
    """Return the size of Verilator's variable for a port: 1, 2, 4, 8, or words of 4 bytes."""
    width = sum(wire.bits for wire in wires)
    return next((size for size in (1, 2, 4, 8) if width <= 8 * size), -(-width // 32) * 4)


def _pack(wires: tuple[Wire, ...], values: np.ndarray) -> np.ndarray:
    parts = []
    for start in range(0, len(values), BATCH):
        part = values[start : start + BATCH]
        bits = np.zeros((len(part), 8 * port_bytes(wires)), np.uint8)
        at = 0
        for index, wire in enumerate(wires):
            scaled = np.ldexp(part[:, index], wire.fractional)
            top = 2.0 ** (wire.bits - wire.signed)
            wrong = ~((scaled == np.floor(scaled)) & (scaled < top) & (scaled >= (-top if wire.signed else 0)))
            if wrong.any():
                event = int(np.argmax(wrong))
                raise InputError(f"inputs: {part[event, index]} in event {start + event} is not a value of {wire}: quantize the "
                                 "inputs (Precision.quantize)")  # fmt: skip
            number = scaled.astype(np.int64)
            for bit in range(wire.bits):
                bits[:, at + bit] = (number >> bit) & 1
            at += wire.bits
        parts.append(np.packbits(bits, axis=1, bitorder="little"))
    return np.ascontiguousarray(np.concatenate(parts)) if parts else np.zeros((0, port_bytes(wires)), np.uint8)


def _unpack(wires: tuple[Wire, ...], words: np.ndarray) -> np.ndarray:
    values = np.zeros((len(words), len(wires)))
    for start in range(0, len(words), BATCH):
        bits = np.unpackbits(words[start : start + BATCH], axis=1, bitorder="little").astype(np.int64)
        at = 0
        for index, wire in enumerate(wires):
            if wire.bits == 0:
                continue
            weights = np.left_shift(np.int64(1), np.arange(wire.bits, dtype=np.int64))
            weights[-1] *= -1 if wire.signed else 1
            number = bits[:, at : at + wire.bits] @ weights
            values[start : start + BATCH, index] = np.ldexp(number.astype(np.float64), -wire.fractional)
            at += wire.bits
    return values
