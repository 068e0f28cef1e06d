"""Compile a project's own C++ against fixed-point types that count, run events and return what was counted."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from qap.cost.hls_project import HELPERS, HLSProject, Port
from qap.cost.hls_source import calls, strip_comments, synthesised
from qap.errors import ToolMissingError
from qap.firmware.csim import compiler
from qap.firmware.processes import run_command

HEADERS = (
    "ap_int.h", "ap_fixed.h", "ap_common.h", "ap_shift_reg.h", "hls_stream.h", "hls_math.h", "utils/x_hls_utils.h",
    "ap_types/ap_int.h", "ap_types/ap_fixed.h",
)  # fmt: skip
BRANCHES = ("taken", "not_taken")
_FAILURES = {3: "more than 16 million operations per inference", 4: "its sequence of operations depends on the inputs"}


class NotCountedError(Exception):
    """The C-simulation cannot be counted; the message says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """What was counted of one layer, kind (``* / + - < =``, d for distinct constants), class and pair of widths."""

    layer: int
    kind: str
    what: str
    a: int
    b: int
    rounded: int
    saturated: int
    count: int
    ebops: float
    bops: float


@dataclass(frozen=True, slots=True)
class Counted:
    """The rows of one run, and where nnet_utils came from."""

    rows: tuple[Row, ...]
    lent: str | None


def _utilities(project: HLSProject) -> tuple[list[Path], str | None]:
    """Return the folders in which nnet_utils/*.h are found, and a sentence where they are lent.

    Raises
    ------
    NotCountedError
        The project has none, and is not known to be of a version whose are installed.
    """
    firmware = project.directory / "firmware"
    for folder in (firmware, project.directory):
        if (folder / "nnet_utils" / "nnet_common.h").is_file():
            return [folder, folder / "nnet_utils"], None
    known = (project.directory / "project.tcl").is_file() and "insert includes" in (firmware / "parameters.h").read_text(
        errors="replace"
    )
    spec = find_spec("hls4ml") if known else None
    if spec is None or not spec.submodule_search_locations:
        raise NotCountedError("nnet_utils with nnet_common.h is missing")
    templates = Path(spec.submodule_search_locations[0]) / "templates"
    folders = [templates / "vitis", templates / "vivado"] if project.backend == "vitis" else [templates / "vivado"]
    return [*folders, *(folder / "nnet_utils" for folder in folders)], "nnet_utils of the installed hls4ml, the project has none"


def _declaration(name: str, text: str) -> str | None:
    """Return ``type name[…]`` as a header declares an array of constants."""
    found = re.search(rf"^[ \t]*((?:\w[\w<>:, ]*?)\s+{name}\s*(?:\[[^\]]*\]\s*)+)(?:;|=)", text, re.MULTILINE)
    return None if found is None else " ".join(re.sub(r"\b(static|const)\b", "", found[1]).split())


def _write_constants(project: HLSProject, folder: Path) -> list[str]:
    """Write each array of constants as numbers, and a header that only declares it; return the names."""
    names = []
    (folder / "weights").mkdir()
    for name, values in {name: values for layer in project.layers for name, values in layer.arrays.items()}.items():
        header = project.directory / "firmware" / "weights" / f"{name}.h"
        declaration = _declaration(name, strip_comments(header.read_text(errors="replace"))) if header.is_file() else None
        if declaration is not None and values.ndim == 1:
            (folder / "weights" / header.name).write_text(f"#pragma once\n{declaration};\n")
            np.ascontiguousarray(values, "<f8").tofile(folder / f"{name}.bin")
            names.append(name)
    return names


def _marked(project: HLSProject, text: str) -> str:
    """Return the top function with the number of the layer set, and its inputs marked, before each call."""
    text = synthesised(strip_comments(text))
    number, parts, position = 0, [], 0
    for call in calls(text):
        if HELPERS.fullmatch(call.function):
            continue
        layer = project.layers[number]
        values = (name for name in call.operands[: layer.inputs_count] if re.fullmatch(r"[A-Za-z_]\w*", name))
        marks = "".join(f"tally::mark({name}); " for name in values if name not in layer.arrays)
        entry = f"tally::enter({number}); {marks}"
        parts += [text[position : call.start], entry]
        position, number = call.start, number + 1
    return "".join(parts) + text[position:]


def _main(project: HLSProject, constants: Iterable[str], widths: Mapping[str, int]) -> str:
    lines, loads, before = [], "".join(f'    tally::constants({name}, "{name}.bin");\n' for name in constants), []
    for port in project.ports:
        lines.append(f"static {port.type} {port.name}{port.extent};" if port.extent else f"static {port.type} {port.name};")
        if port.name in widths and port.stream:
            before.append(f"        tally::fill({port.name}, {widths[port.name]}, v);")
        elif port.name in widths:
            before.append(f"        tally::fill(reinterpret_cast<{port.type} *>(&{port.name}), {widths[port.name]}, v);")
        else:
            before.append(f"        tally::clear({port.name});")
    arguments = ", ".join(port.name for port in project.ports)
    nl = "\n"
    return f"""
namespace ports {{
{nl.join(lines)}
}}
int main(int argc, char **argv) {{
    using namespace ports;
{loads}    return tally::run(argc, argv, {sum(widths.values())}, [](const double *v) {{
{nl.join(before)}
        {project.name}({arguments});
    }});
}}
"""


def input_widths(project: HLSProject) -> dict[str, int]:
    """Return the numbers per event of each input.

    Raises
    ------
    NotCountedError
        A stream whose length no layer tells.
    """
    widths = {}
    for port in project.ports:
        if port.output or port.hls_type is None:
            continue
        size = port.size or _stream_size(project, port)
        if size is None:
            raise NotCountedError(f"the length of the input stream {port.name} is not known")
        widths[port.name] = size
    if not widths:
        raise NotCountedError("the top function has no inputs of fixed-point type")
    return widths


def _stream_size(project: HLSProject, port: Port) -> int | None:
    bridge = project.directory / f"{project.name}_bridge.cpp"
    if bridge.is_file():
        found = re.search(
            rf"convert_data<\s*double\s*,[^;]*?,\s*([\d\s*]+)>\(\s*{port.name}\s*,", bridge.read_text(errors="replace")
        )
        if found:
            return int(np.prod([int(number) for number in found[1].split("*")]))
    for layer in project.layers:
        if port.name in layer.operands[: layer.inputs_count]:
            sizes = layer.sizes
            if "n_in" in sizes:
                return sizes["n_in"]
            if "in_width" in sizes:
                return sizes["in_width"] * sizes.get("in_height", 1) * sizes.get("n_chan", sizes.get("n_filt", 1))
    return None


def count(project: HLSProject, events: np.ndarray, *, timeout: float) -> Counted:
    """Count the operations of one inference.

    Parameters
    ----------
    project : HLSProject
    events : (events, numbers) array
        All inputs one after the other, on the grid of their types.
    timeout : float
        Seconds for the compiler, and again for each run.

    Returns
    -------
    Counted

    Raises
    ------
    NotCountedError
        There is no g++, or the project cannot be compiled or run; why.
    """
    try:
        command, flags = compiler()
    except ToolMissingError as error:
        raise NotCountedError(str(error)) from None
    folders, lent = _utilities(project)
    widths = input_widths(project)
    firmware = project.directory.absolute() / "firmware"
    with tempfile.TemporaryDirectory(prefix="qap-count-") as name:
        folder = Path(name)
        templates = Path(__file__).parent / "templates"
        for file in ("counting.h", "counting_hls.h", "count_main.h"):
            shutil.copy(templates / file, folder / file)
        for header in HEADERS:
            (folder / header).parent.mkdir(exist_ok=True)
            (folder / header).write_text('#pragma once\n#include "counting.h"\n')
        for file in ("defines.h", "parameters.h", f"{project.name}.h"):
            if (firmware / file).is_file():
                shutil.copy(firmware / file, folder / file)
        constants = _write_constants(project, folder)
        top = _marked(project, (firmware / f"{project.name}.cpp").read_text(errors="replace"))
        source = f'#include "count_main.h"\n{top}\n{_main(project, constants, widths)}'
        (folder / "count.cpp").write_text(source)
        includes = [f"-I{path}" for path in (folder, *(one.absolute() for one in folders), firmware)]
        options = [*(flag for flag in flags if not flag.startswith("-std")), "-std=gnu++17", "-O0", "-D__SYNTHESIS__"]
        _run([command[-1], *options, *includes, "count.cpp", "-o", "count"], folder, timeout, "g++")
        np.ascontiguousarray(events, "<f8").tofile(folder / "events.bin")
        return Counted(merge(_branches(folder, timeout)), lent)


def _branches(folder: Path, timeout: float) -> dict[str, tuple[Row, ...]]:
    """Run with all branches taken and with none; one of them is enough, where the other ends in an error."""
    found: dict[str, tuple[Row, ...]] = {}
    failure = NotCountedError("")
    for branches in BRANCHES:
        try:
            found[branches] = _rows(_run(["./count", branches, "events.bin"], folder, timeout, "the counting C-simulation"))
        except NotCountedError as error:
            failure = error
    if not found:
        raise failure
    return found


def _rows(text: str) -> tuple[Row, ...]:
    rows = []
    for line in text.splitlines():
        words = line.split()
        if len(words) == 10 and words[1] in "*/+-<=d":  # the firmware may print lines of its own
            layer, kind, what, *numbers = words
            rows.append(Row(int(layer), kind, what, *map(int, numbers[:5]), *map(float, numbers[5:])))
    return tuple(rows)


def merge(runs: Mapping[str, Sequence[Row]]) -> tuple[Row, ...]:
    """Put runs together: both sides of a branch are built, the operations outside of branches are the same in all.

    Comparisons and casts are taken by their widths from the run that has most of them; arithmetic by layer and widths from
    the run that has most, so that an operation is in one class.
    """

    def group(row: Row) -> tuple[object, ...]:
        return (row.layer, row.kind, row.a, row.b, *((row.what, row.rounded, row.saturated) if row.kind in "<=" else ()))

    best: dict[tuple[object, ...], list[Row]] = {}
    for rows in runs.values():
        groups: dict[tuple[object, ...], list[Row]] = {}
        for row in rows:
            groups.setdefault(group(row), []).append(row)
        for key, members in groups.items():
            if sum(row.count for row in members) > sum(row.count for row in best.get(key, ())):
                best[key] = members
    return tuple(
        sorted((row for rows in best.values() for row in rows), key=lambda row: (row.layer, row.kind, row.what, row.a, row.b))
    )


def _run(command: Sequence[str], folder: Path, timeout: float, name: str) -> str:
    try:
        done = run_command(command, folder, timeout)
    except subprocess.TimeoutExpired:
        raise NotCountedError(f"{name} has not finished after {timeout:.0f} s") from None
    if done.returncode == 0:
        return done.stdout
    lines = done.stderr.splitlines()
    first = next((line for line in lines if "error" in line.lower()), lines[0] if lines else f"exit code {done.returncode}")
    known = _FAILURES.get(done.returncode) if name != "g++" else None
    raise NotCountedError(known or f"{name} failed: {first.strip()}")
