"""Read what the scripts and configuration files of an hls4ml project say: name, backend, part, clock, multipliers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from qap.config.load import DEEPEST, nesting
from qap.cost.hls_source import strip_comments
from qap.errors import InputError
from qap.firmware.reports import BACKENDS

CONFIG_FILES = ("hls4ml_config.yml", "keras-config.yml", "config.yml", "pytorch-config.yml", "onnx-config.yml")
_MULTIPLIERS = {"dsp": "dsp", "fabric": "lut", "lut": "lut", "mul_lut": "lut", "dsp48": "dsp", "mulns": "dsp"}


def read_text(path: Path) -> str:
    """Read a source file; letters of names outside of UTF-8 do not matter.

    Raises
    ------
    InputError
        It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None


def read_settings(directory: Path) -> dict[str, str]:
    """Return ``project_name, backend, part, clock_period, io_type`` as far as the project's files say.

    project.tcl goes before the Tcl script (``set_top, set_part, create_clock``), this before the YAML files.
    """
    found: dict[str, str] = {}
    for name in ("project.tcl", "build_prj.tcl", "vivado_synth.tcl"):
        path = directory / name
        if path.is_file():
            text = re.sub(r"^\s*#.*$", "", read_text(path), flags=re.MULTILINE)
            for key, pattern in (
                ("project_name", r"^\s*set\s+(?:project_name|myproject)\s+\"?(\w+)\"?\s*$|^\s*set_top\s+(\w+)"),
                ("backend", r"^\s*set\s+backend\s+\"?(\w+)"),
                ("part", r"^\s*set\s+part\s+\"?\{?([\w-]+)|^\s*set_part\s+\{?\"?([\w-]+)"),
                ("clock_period", r"^\s*set\s+clock_period\s+([\d.]+)|^\s*create_clock\s+-period\s+([\d.]+)"),
            ):
                match = re.search(pattern, text, re.MULTILINE)
                if match:
                    found.setdefault(key, next(group for group in match.groups() if group))
    for name in CONFIG_FILES:
        path = directory / name
        if path.is_file():
            found = _configuration(path) | found
    return found


class _Loader(yaml.SafeLoader):
    """Reads hls4ml's own tags as plain values."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: None)
_Loader.add_multi_constructor("tag:yaml.org,2002:python", lambda loader, suffix, node: None)


def _configuration(path: Path) -> dict[str, str]:
    text = read_text(path)
    if nesting(text) > DEEPEST:
        raise InputError(f"{path}: expected YAML: nested too deeply")
    try:
        values: Any = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError) as error:
        raise InputError(f"{path}: expected YAML: {(str(error).splitlines() or ['?'])[0]}") from None
    if not isinstance(values, dict):
        return {}
    names = {"project_name": "ProjectName", "backend": "Backend", "clock_period": "ClockPeriod", "io_type": "IOType"}
    found = {key: str(values[name]) for key, name in names.items() if values.get(name) is not None}
    part = values.get("Part") or values.get("XilinxPart")
    return found | ({"part": str(part)} if part else {})


def check_backend(directory: Path, known: Mapping[str, str], text: str = "") -> str:
    """Return the backend; projects that name none are of the time when Vivado was the only one.

    Parameters
    ----------
    directory : path
    known : mapping
        From `read_settings`.
    text : str, optional
        Source that shows the types of other backends.

    Raises
    ------
    InputError
        Another backend.
    """
    backend = known.get("backend", "").lower()
    if not backend:
        signs = {"Quartus, oneAPI or Catapult": r"\bac_(fixed|int)\b", "oneAPI": r"\bsycl\b", "Quartus": r"\bihc::"}
        backend = next((name for name, pattern in signs.items() if re.search(pattern, text)), "vivado")
    if backend not in BACKENDS:
        raise InputError(
            f"{directory}: expected a project for the backend Vitis or Vivado, this one is for {known.get('backend', backend)}: "
            "convert the model again with Backend: Vitis"
        )
    return backend


def forced_multipliers(directory: Path, top: Path) -> str | None:
    """Return what a directive forces multiplications into; None where none says so, or they differ."""
    patterns = {
        "*.tcl": (
            r"^\s*config_op\s+mul\b[^#\n]*?-impl\s+(\w+)",
            r"^\s*set_directive_bind_op\b[^#\n]*?-op\s+mul\b[^#\n]*?-impl\s+(\w+)",
            r"^\s*set_directive_resource\b[^#\n]*?-core\s+(Mul_LUT|DSP48|MulnS)",
            r"^\s*config_bind\b[^#\n]*?-impl\s+(\w+)",
        ),
        "*.h": (
            r"#pragma\s+HLS\s+BIND_OP\b[^\n]*?\bop\s*=\s*mul\b[^\n]*?\bimpl\s*=\s*(\w+)",
            r"#pragma\s+HLS\s+RESOURCE\b[^\n]*?\bcore\s*=\s*(Mul_LUT|DSP48|MulnS)\b",
        ),
    }
    texts = [("*.tcl", read_text(path)) for path in sorted(directory.glob("*.tcl"))]
    headers = [top, top.parent / "parameters.h", *sorted(top.parent.glob("nnet_utils/nnet_*.h"))]
    texts += [("*.h", strip_comments(read_text(path))) for path in headers if path.is_file()]
    words = [
        word.lower() for kind, text in texts for pattern in patterns[kind] for word in re.findall(pattern, text, re.I | re.M)
    ]
    found = {_MULTIPLIERS[word] for word in words if word in _MULTIPLIERS}
    return found.pop() if len(found) == 1 else None
