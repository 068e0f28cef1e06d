"""Build the C-simulation of a project with g++ and run it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from qap.errors import QapError, ToolMissingError
from qap.firmware.processes import Processes, Run, run_command
from qap.firmware.project import Project

OPTIMISATIONS = ("-O3", "-O2", "-O1", "-O0")
TIMEOUT = 1800.0
"""Seconds that one build may take."""
PROBE = 60.0
"""Seconds in which the compiler must have read an empty file."""


class _Trace(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("data", ctypes.c_void_p)]


@lru_cache(maxsize=4)
def _compiler(path: str) -> tuple[list[str], list[str]]:
    """Return the compiler command and the flags it understands; ccache in front where it is installed."""
    gxx = shutil.which("g++", path=path)
    if gxx is None:
        raise ToolMissingError("g++ is missing: the C-simulation is built with it; install it (Debian: apt install g++)")
    flags = ["-fPIC", "-w", "-std=c++11"]
    probe = [gxx, "-Werror", "-fsyntax-only", "-fno-gnu-unique", "-xc++", os.devnull]
    try:
        done = run_command(probe, Path.cwd(), PROBE)
    except subprocess.TimeoutExpired:
        raise QapError(f"{gxx} has not read an empty file after {PROBE:.0f} s: it hangs; put another g++ first on PATH") from None
    if done.returncode == 0:
        flags.append("-fno-gnu-unique")  # else a library stays loaded for ever; clang does not know the flag
    ccache = shutil.which("ccache", path=path)
    return ([ccache, gxx] if ccache else [gxx]), flags


def compiler() -> tuple[list[str], list[str]]:
    """Return the compiler command, g++ last, and the flags it understands.

    Raises
    ------
    ToolMissingError
        No g++.
    QapError
        One that hangs.
    """
    return _compiler(os.environ.get("PATH", ""))


def require_compiler() -> None:
    """Refuse at once what would fail after hours.

    Raises
    ------
    ToolMissingError
        No g++.
    """
    compiler()


def _stamp(project: Project, optimise: str) -> str:
    digest = hashlib.sha256(optimise.encode())
    for path in sorted((project.directory / "firmware").rglob("*")):
        if path.suffix in (".h", ".cpp", ".txt") and "ap_types" not in path.parts and "nnet_utils" not in path.parts:
            digest.update(path.read_bytes())
    digest.update((project.directory / f"{project.name}_bridge.cpp").read_bytes())
    return digest.hexdigest()[:16]


def library(project: Project, optimise: str = "-O1") -> Path:
    """Return where the library of the project's present sources belongs; its name changes with the sources."""
    return project.directory / "firmware" / f"{project.name}-{_stamp(project, optimise)}.so"


def build(project: Project, *, optimise: str = "-O1", timeout: float = TIMEOUT, run: Run = run_command) -> Path:
    """Compile the C-simulation into a shared library, unless the one of the same sources is there.

    Parameters
    ----------
    project : Project
    optimise : str, default '-O1'
        ``-O3`` gives the same bits, compiles three times longer and simulates faster.
    timeout : float
        Seconds.
    run : callable, default run_command
        Runs the compiler.

    Returns
    -------
    Path
        The library.

    Raises
    ------
    ToolMissingError
        No g++.
    QapError
        The compiler failed or took too long; the message has its first error.
    """
    command, flags = compiler()
    target = library(project, optimise)
    if target.is_file():
        return target
    folder = project.directory
    sources = "".join(f'#include "{name}"\n' for name in (f"firmware/{project.name}.cpp", f"{project.name}_bridge.cpp"))
    unit = folder / f".{target.stem}.cpp"  # one unit reads the headers once
    unit.write_text(sources)
    temporary = f"firmware/.{target.name}"
    includes = ["-I.", "-Ifirmware", "-Ifirmware/ap_types"]
    try:
        _run([*command, *flags, optimise, *includes, "-c", unit.name, "-o", f"{unit.name}.o"], project, timeout, run)
        _run([command[-1], "-shared", f"{unit.name}.o", "-o", temporary], project, timeout, run)
    finally:
        for name in (unit.name, f"{unit.name}.o"):
            (folder / name).unlink(missing_ok=True)
    try:
        _try(folder / temporary, project, timeout, run)
    except QapError:
        (folder / temporary).unlink()
        raise
    (folder / temporary).replace(target)
    return target


_FIRST_CALL = """
import ctypes, sys
function = getattr(ctypes.CDLL(sys.argv[1]), sys.argv[2])
function(*((ctypes.c_double * int(size))() for size in sys.argv[3:]))
"""


def _try(path: Path, project: Project, timeout: float, run: Run) -> None:
    """Simulate one event in a process of its own: a failing assertion in the firmware would end this one.

    Raises
    ------
    QapError
        With the assertion.
    """
    sizes = [str(port.size) for port in (*project.inputs, *project.outputs)]
    command = [sys.executable, "-c", _FIRST_CALL, str(path.absolute()), f"{project.name}_double", *sizes]
    try:
        done = run(command, Path.cwd(), timeout)
    except subprocess.TimeoutExpired:
        raise project.fail(
            f"the C-simulation has not finished one event after {timeout:.0f} s: use a smaller ReuseFactor"
        ) from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "ssertion" in line] or done.stderr.splitlines()[-1:]
        said = re.sub(r".*Assertion `(.*)' failed.*", r"\1", lines[0]) if lines else f"exit code {done.returncode}"
        raise project.fail(f"the C-simulation ends at its first event: {said}")


def _run(command: Sequence[str], project: Project, timeout: float, run: Run) -> None:
    try:
        done = run(command, project.directory, timeout)
    except subprocess.TimeoutExpired:
        raise project.fail(
            f"g++ has not finished after {timeout:.0f} s: the network may be too large for Strategy Latency: use Resource, a "
            "larger ReuseFactor, or fewer bits"
        ) from None
    if done.returncode:
        lines = done.stderr.splitlines()
        first = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "no message")
        raise project.fail(f"g++ failed: {first.strip()}")


def build_all(
    projects: Iterable[Project],
    *,
    jobs: int | None = None,
    optimise: str = "-O1",
    timeout: float = TIMEOUT,
    done: Callable[[Project, Path | QapError], None] | None = None,
) -> list[Path | QapError]:
    """Build several projects at the same time; Ctrl-C ends all compilers.

    Parameters
    ----------
    projects : iterable of Project
    jobs : int, optional
        Compilers at a time; by default one per core.
    optimise, timeout
        As in `build`.
    done : callable, optional
        Called after each build, in the calling thread, with the project and its library or its error.

    Returns
    -------
    list
        In the order of the projects: the library, or the error of that project.

    Raises
    ------
    ToolMissingError
        No g++, once for all.
    """
    projects = list(projects)
    compiler()
    results: dict[int, Path | QapError] = {}
    with ThreadPoolExecutor(max_workers=jobs or os.cpu_count() or 1) as pool, Processes() as processes:
        futures = {
            pool.submit(build, project, optimise=optimise, timeout=timeout, run=processes.run): i
            for i, project in enumerate(projects)
        }
        for future in as_completed(futures):
            index = futures[future]
            try:
                results[index] = future.result()
            except QapError as error:
                results[index] = error
            if done is not None:
                done(projects[index], results[index])
    return [results[index] for index in range(len(projects))]


def _load(project: Project, optimise: str | None) -> Any:
    built = [library(project, option) for option in ([optimise] if optimise else OPTIMISATIONS)]
    for path in built:
        if path.is_file():
            return ctypes.CDLL(str(path.absolute()))
    raise project.fail("the C-simulation of these sources is not built: call qap.firmware.build(project)")


def simulate(project: Project, x: Any, *, optimise: str | None = None) -> np.ndarray | list[np.ndarray]:
    """Run the C-simulation.

    Parameters
    ----------
    project : Project
        Built by `build`.
    x : array (events, …), or one per input
        Rounded half to even and saturated to the input types.
    optimise : str, optional
        Which build; by default the most optimised one that is there.

    Returns
    -------
    float64 array (events, …), or a list of them for several outputs
        Every bit of the fixed-point outputs (up to 53).

    Raises
    ------
    InputError
        Inputs that do not fit, NaN.
    QapError
        The library of the present sources is not built.
    """
    outputs = _call(_load(project, optimise), project, project.arrays(x))
    return outputs[0] if len(outputs) == 1 else outputs


def _call(loaded: Any, project: Project, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    function = getattr(loaded, f"{project.name}_double")
    function.restype = None
    pointer = ctypes.POINTER(ctypes.c_double)
    function.argtypes = [pointer] * (len(project.inputs) + len(project.outputs))
    events = len(arrays[0])
    outputs = [np.zeros((events, port.size)) for port in project.outputs]
    for event in range(events):
        function(*(array[event].ctypes.data_as(pointer) for array in (*arrays, *outputs)))
    return [output.reshape(events, *port.shape) for output, port in zip(outputs, project.outputs, strict=True)]


def trace(project: Project, x: Any, *, optimise: str | None = None) -> dict[str, np.ndarray]:
    """Run the C-simulation and return the output of every layer.

    Parameters
    ----------
    project, x, optimise
        As in `simulate`.

    Returns
    -------
    dict of call name → float64 array (events, …)
    """
    loaded = _load(project, optimise)
    arrays = project.arrays(x)
    names = _traced(project)
    data = (_Trace * len(names))()
    loaded.allocate_trace_storage.argtypes = [ctypes.c_size_t]
    loaded.collect_trace_output.argtypes = [ctypes.POINTER(_Trace)]
    calls: dict[str, list[str]] = {}
    for call, port in project.traces.items():
        calls.setdefault(port.name, []).append(call)
    result = {call: np.zeros((len(arrays[0]), *port.shape)) for call, port in project.traces.items()}
    loaded.allocate_trace_storage(ctypes.sizeof(ctypes.c_double))
    try:
        for event in range(len(arrays[0])):
            _call(loaded, project, [array[event : event + 1] for array in arrays])
            loaded.collect_trace_output(data)
            for item in data:
                for call in calls.get(item.name.decode(), ()):
                    shape = project.traces[call].shape
                    flat = np.ctypeslib.as_array(ctypes.cast(item.data, ctypes.POINTER(ctypes.c_double)), (int(np.prod(shape)),))
                    result[call][event] = flat.reshape(shape)
    finally:
        loaded.free_trace_storage()
    return {call: values for call, values in result.items() if project.traces[call].name in names}


def _traced(project: Project) -> set[str]:
    source = (project.directory / f"{project.name}_bridge.cpp").read_text()
    return set(re.findall(r'std::pair<std::string, void \*>\("([^"]+)"', source))
