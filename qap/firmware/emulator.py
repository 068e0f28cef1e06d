"""The C-simulation of a project as a versioned shared library for experiment software, with test vectors."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from qap.errors import InputError, QapError
from qap.firmware.loader import Emulator
from qap.firmware.processes import run_command
from qap.firmware.project import Port, Project

TEMPLATES = Path(__file__).parent / "templates"
RECORD = "emulator.json"
TIMEOUT = 3600.0
"""Seconds that the build may take."""
_TYPE = re.compile(r"(u?)fixed<([0-9]+),(-?[0-9]+)")
_RENDERED = {
    "emulator.h.j2": "{name}_emulator.h",
    "emulator.cpp.j2": "{name}_emulator.cpp",
    "emulator.mk.j2": "Makefile",
    "emulator.md.j2": "README.md",
}
_COPIED = {
    TEMPLATES / "qap_emulator.hpp": "qap_emulator.hpp",
    TEMPLATES / "emulator_example.cpp": "example.cpp",
    Path(__file__).parent / "loader.py": "emulator.py",
}


def make_emulator(
    project: Project,
    directory: Path,
    version: str,
    x: Any,
    y: Any,
    *,
    name: str | None = None,
    timeout: float = TIMEOUT,
) -> Path:
    """Build the emulator of a project and hold it to the expected outputs.

    Parameters
    ----------
    project : Project
        A conversion of `qap.firmware.convert`.
    directory : path
        Where the emulator goes: new, empty, or holding an earlier one, which is replaced.
    version : str
        Letters, digits, dot, minus, underscore, for example ``1.0.0`` or ``v3``.
    x : array (events, …), or one per input
        Test vectors; rounded half to even and saturated to the input types.
    y : array (events, …), or one per output
        The outputs that the model gives for them.
    name : str, optional
        A C name, by which the emulator is loaded; by default the project's.
    timeout : float
        Seconds for the build.

    Returns
    -------
    Path
        The directory: library ``NAME_VERSION.so``, C header, loaders for C++ and Python, an example, sources with a
        Makefile, ``vectors/``, ``emulator.json``.

    Raises
    ------
    InputError
        A name or version that no file or C function can carry, a directory with other files, vectors that do not fit,
        a port of more bits than a double holds, no g++ or make.
    QapError
        The build failed, or the library differs from the expected outputs.
    """
    name = project.name if name is None else name
    directory = Path(directory).absolute()
    _check(project, directory, name, version)
    inputs, outputs = project.quantized(x), _expected(project, y)
    if len(inputs[0]) != len(outputs[0]):
        raise InputError(f"vectors: {len(inputs[0])} events of inputs, {len(outputs[0])} of expected outputs")

    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as folder:
        made = Path(folder) / "emulator"
        made.mkdir(mode=0o755)
        _write_sources(project, made, name, version, len(outputs[0]))
        _write_vectors(project, made / "vectors", inputs, outputs)
        _build(made, timeout)
        _verify(made, np.concatenate(inputs, axis=1), np.concatenate(outputs, axis=1))
        if directory.exists():
            shutil.rmtree(directory)
        made.replace(directory)
    return directory


def check_name(name: str, version: str) -> None:
    """Refuse a name or version that no file or C function can carry.

    Raises
    ------
    InputError
    """
    if not re.fullmatch(r"[A-Za-z]\w{0,63}", name, re.ASCII):
        raise InputError(f"name: expected a C name of letters, digits and _, received {name!r}")
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,31}", version, re.ASCII):
        raise InputError(f"version: expected letters, digits, dot, minus, underscore as in 1.0.0, received {version!r}")


def _check(project: Project, directory: Path, name: str, version: str) -> None:
    """Refuse, before anything is built, what cannot become an emulator."""
    check_name(name, version)
    for port in (*project.inputs, *project.outputs):
        if _type(port)[1] > 53:
            raise InputError(f"{port.name}: {port.type} has more bits than the 53 of a double: choose a narrower type")
    earlier = (directory / RECORD).is_file()
    if directory.exists() and not earlier and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError(f"{directory}: expected a new or empty directory, or an earlier emulator")
    for tool in ("g++", "make"):
        if shutil.which(tool) is None:
            raise InputError(f"{tool} is missing: the emulator is built with it (Debian: apt install {tool})")


def _type(port: Port) -> tuple[bool, int, int]:
    """Return sign, width and fractional bits of a port."""
    match = _TYPE.search(port.type)
    if not match:
        raise InputError(f"{port.name}: expected a fixed-point type, received {port.type!r}")
    width, integer = int(match.group(2)), int(match.group(3))
    return not match.group(1), width, width - integer


def _expected(project: Project, y: Any) -> list[np.ndarray]:
    parts = list(y) if isinstance(y, list | tuple) else [y]
    if len(parts) != len(project.outputs):
        raise InputError(f"outputs: expected {len(project.outputs)} arrays, received {len(parts)}")
    arrays = []
    for port, part in zip(project.outputs, parts, strict=True):
        array = np.asarray(part, np.float64)
        if array.shape[1:] != port.shape:
            shape = ", ".join(map(str, port.shape))
            raise InputError(f"{port.name}: expected an array (events, {shape}), received {array.shape}")
        arrays.append(array.reshape(len(array), -1))
    return arrays


def _write_sources(project: Project, folder: Path, name: str, version: str, events: int) -> None:
    ignored = shutil.ignore_patterns("*.so", "*.o", "*.txt", ".*")
    shutil.copytree(project.directory / "firmware", folder / "src" / "firmware", ignore=ignored)
    shutil.copy(project.directory / f"{project.name}_bridge.cpp", folder / "src")
    for source, target in _COPIED.items():
        shutil.copy(source, folder / target)
    offsets = [
        f"{array} + {sum(port.size for port in ports[:i])}"
        for array, ports in (("event", project.inputs), ("outputs", project.outputs))
        for i in range(len(ports))
    ]
    values = {
        "name": name,
        "version": version,
        "top": project.name,
        "events": events,
        "inputs": sum(port.size for port in project.inputs),
        "outputs": sum(port.size for port in project.outputs),
        "input_ports": project.inputs,
        "output_ports": project.outputs,
        "arguments": ", ".join(offsets),
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    for template, target in _RENDERED.items():
        text = environment.get_template(template).render(values)
        (folder / target.format(name=name)).write_text(text, encoding="utf-8")
    (folder / "exports.map").write_text(f"{{ global: {name}_emulator_*; local: *; }};\n")
    ports = {
        kind: [{"name": port.name, "shape": port.shape, "type": port.type} for port in found]
        for kind, found in (("inputs", project.inputs), ("outputs", project.outputs))
    }
    record = {"name": name, "version": version, "events": events, **ports, "settings": dict(project.settings)}
    (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n")


def _write_vectors(project: Project, folder: Path, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> None:
    folder.mkdir()
    flat = {"inputs": np.concatenate(inputs, axis=1), "expected": np.concatenate(outputs, axis=1)}
    np.savez_compressed(folder / "vectors.npz", inputs=flat["inputs"], expected=flat["expected"])
    for file, rows in flat.items():
        with (folder / f"{file}.txt").open("w") as text:
            text.writelines(" ".join(map(repr, row)) + "\n" for row in rows.tolist())
    for kind, ports, arrays in (("input", project.inputs, inputs), ("output", project.outputs, outputs)):
        for i, (port, array) in enumerate(zip(ports, arrays, strict=True)):
            (folder / f"{kind}_{i}.mem").write_text(memory_image(port, array))


def memory_image(port: Port, values: np.ndarray) -> str:
    """Return values as ``$readmemh`` reads them: the bits in hexadecimal, two's complement, one event per line.

    Parameters
    ----------
    port : Port
    values : (events, elements) array

    Returns
    -------
    str

    Raises
    ------
    QapError
        A value that the port's type does not hold.
    """
    signed, width, fractional = _type(port)
    low, high = (-(2 ** (width - 1)), 2 ** (width - 1) - 1) if signed else (0, 2**width - 1)
    scaled = np.ldexp(values, fractional)
    wrong = (scaled != np.rint(scaled)) | (scaled < low) | (scaled > high)
    if wrong.any():
        event, element = (int(index[0]) for index in np.nonzero(wrong))
        raise QapError(f"{port.name}: event {event}: {values[event, element]!r} is not a value of {port.type}")
    mask, digits = 2**width - 1, -(-width // 4)
    return "".join(" ".join(f"{int(value) & mask:0{digits}x}" for value in row) + "\n" for row in scaled)


def _build(folder: Path, timeout: float) -> None:
    try:
        done = run_command(["make", "all"], folder, timeout)
    except subprocess.TimeoutExpired:
        raise QapError(
            f"emulator: make and g++ have not finished after {timeout:g} s: the network may be too large for Strategy Latency: "
            "use Resource, a larger ReuseFactor, or fewer bits"
        ) from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        first = next((line for line in lines if "error" in line.lower()), lines[0] if lines else "no message")
        raise QapError(f"emulator: the build failed: {first.strip()}")
    shutil.rmtree(folder / "build")


def _verify(folder: Path, inputs: np.ndarray, expected: np.ndarray) -> None:
    outputs = Emulator(folder)(inputs)
    wrong = (outputs != expected).any(axis=1)
    if wrong.any():
        event = int(np.nonzero(wrong)[0][0])
        raise QapError(
            f"emulator: {int(wrong.sum())} of {len(wrong)} events differ from the expected outputs, the first is event "
            f"{event}: {outputs[event].tolist()} instead of {expected[event].tolist()}: no emulator was made"
        )
