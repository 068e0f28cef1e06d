"""The parsers of reports, projects and designs that fuzz.py tries."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_changes import Change, of_bytes, of_json, of_text, of_yaml, one_of
from fuzz_parsers import ROOT, add, cost_wrong, not_finite, sample_candidate, written

from qap.candidate import Cost
from qap.errors import InputError

REPORTS = ROOT / "tests" / "firmware" / "reports"
PART = "xcvu13p-flga2577-2-e"

# Reports of tools


def _found(pattern: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(REPORTS.glob(pattern))]


def _text_report(name: str, stage: str = "") -> Callable[[bytes, Path], Cost]:
    def read(data: bytes, folder: Path) -> Cost:
        from qap.firmware import reports

        parse = getattr(reports, f"parse_{name}")
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise InputError("refused where the file is read") from None
        return parse(text, stage) if stage else parse(text)

    return read


add(
    "csynth.xml",
    lambda folder: _found("*/**/*_csynth.xml"),
    one_of(of_bytes, of_text, of_text),
    _text_report("csynth_xml"),
    cost_wrong,
)
add(
    "csynth.rpt",
    lambda folder: _found("*/**/*_csynth.rpt"),
    one_of(of_bytes, of_text, of_text),
    _text_report("csynth_rpt"),
    cost_wrong,
)
add("cosim.rpt", lambda folder: _found("*/**/*_cosim.rpt"), one_of(of_bytes, of_text, of_text), _text_report("cosim"), cost_wrong)
add(
    "utilization",
    lambda folder: _found("*/vivado_synth.rpt"),
    one_of(of_bytes, of_text, of_text),
    _text_report("utilization", "vsynth"),
    cost_wrong,
)
add(
    "timing",
    lambda folder: _found("*/vivado_impl_timing.rpt"),
    one_of(of_bytes, of_text, of_text),
    _text_report("timing", "impl"),
    cost_wrong,
)


def sample_design(folder: Path) -> Any:
    from qap.rtl.design import Design, Wire

    wire = Wire(True, 1, 2)
    return Design(folder, "top", (2,), (2,), (wire, wire), (wire, Wire(False, 2, 0)), 2, 8, 12.0, 4, (2, 2))


def _yosys(folder: Path) -> list[bytes]:
    def cell(kind: str, inputs: Mapping[str, list[Any]], outputs: Mapping[str, list[Any]]) -> dict[str, Any]:
        ways = {**dict.fromkeys(inputs, "input"), **dict.fromkeys(outputs, "output")}
        return {"type": kind, "port_directions": ways, "connections": {**inputs, **outputs}}

    cells = {
        "a": cell("FDRE", {"D": [2], "C": [1]}, {"Q": [3]}), "b": cell("LUT2", {"I0": [3], "I1": ["0"]}, {"O": [4]}),
        "c": cell("FDRE", {"D": [4], "C": [1]}, {"Q": [5]}), "d": cell("LUT1", {"I0": [5]}, {"O": [6]}),
        "e": cell("FDRE", {"D": [6], "C": [1]}, {"Q": [7]}),
    }  # fmt: skip
    nets = {"model_inp": {"bits": [2]}, "stage1_inp": {"bits": [5]}, "model_out": {"bits": [7]}}
    values = {
        "stat": {"design": {"num_cells_by_type": {"LUT2": 1, "LUT1": 1, "FDRE": 3}}},
        "net": {"modules": {"top": {"cells": cells, "netnames": nets}}},
    }
    return [json.dumps(values).encode()]


def _yosys_read(data: bytes, folder: Path) -> Cost:
    from qap.rtl.synthesis import read_results

    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        values = None
    for name in ("stat", "net"):
        known = isinstance(values, dict) and name in values
        written(json.dumps(values[name]).encode() if known else data, folder, f"{name}.json")
    return read_results(folder, sample_design(folder))


add("yosys", _yosys, one_of(of_bytes, of_json, of_json), _yosys_read, cost_wrong)


def _kept(folder: Path) -> list[bytes]:
    cost = sample_candidate().cost
    assert cost is not None
    return [json.dumps({"sources": "x", **cost.to_dict()}).encode()]


def _kept_read(data: bytes, folder: Path) -> Cost:
    from qap.rtl.synthesis import FILE, load_synthesis

    class Same(type(sample_design(folder))):  # type: ignore[misc]
        def stamp(self) -> str:
            return "x"

    written(data, folder, FILE)
    design = sample_design(folder)
    found = load_synthesis(Same(**{name: getattr(design, name) for name in design.__dataclass_fields__}))
    if found is None:
        raise InputError("of other sources")
    return found


add("synthesis.json", _kept, one_of(of_bytes, of_text, of_json, of_json), _kept_read, cost_wrong)


def _stores(folder: Path) -> list[bytes]:
    from qap.cost.features import FEATURES
    from qap.cost.store import FORMAT

    layer = {
        "strategy": "latency",
        "reuse_factor": 1,
        "clock_ns": 5.0,
        "multipliers": None,
        "features": dict.fromkeys(FEATURES, 4.0),
    }
    figures = {"LUT": 100.0, "FF": 50.0, "DSP": 0.0}
    entry = {
        "project": "a", "backend": "vitis", "tool": "Vitis HLS 2023.2", "part": PART, "softmax": 0, "layers": [layer, layer],
        "outside": [],
        "csynth": figures, "vsynth": figures,
    }  # fmt: skip
    return [json.dumps({"format": FORMAT, "entries": [entry, entry]}).encode()]


def _store(data: bytes, folder: Path) -> Any:
    from qap.cost.store import load_store

    return load_store(written(data, folder, "reports.json"))


add(
    "reports.json", _stores, one_of(of_bytes, of_text, of_json, of_json), _store,
    lambda store: next((bad for one in store.entries if (bad := not_finite(one.to_dict()))), ""),
)  # fmt: skip


# Projects and firmware

HLS_FILES = (
    "project.tcl", "hls4ml_config.yml", "firmware/parameters.h", "firmware/defines.h", "firmware/{name}.cpp", "build_prj.tcl",
)  # fmt: skip
REFERENCE = ROOT / "firmware" / "reference"


def _hls(folder: Path) -> list[bytes]:
    """Return the files of a project, the name before the content."""
    if not (folder / "hls").is_dir():
        shutil.copytree(REFERENCE, folder / "hls", ignore=shutil.ignore_patterns("ap_types", "tb_data", "*.so"))
    names = [name.format(name="qap") for name in HLS_FILES] + sorted(
        f"firmware/weights/{path.name}" for path in (REFERENCE / "firmware" / "weights").glob("*2*")
    )[:3]
    return [name.encode() + b"\0" + (REFERENCE / name).read_bytes() for name in names if (REFERENCE / name).is_file()]


def _behind(*changes: Change) -> Change:
    """Return a change of what stands behind the name."""

    def change(data: bytes, rng: random.Random, samples: list[bytes]) -> bytes:
        name, _, content = data.partition(b"\0")
        made = rng.choice([one for one in changes if one is not of_yaml or name.endswith(b".yml")])
        try:
            return name + b"\0" + made(content, rng, [one.partition(b"\0")[2] for one in samples])
        except Exception:  # hls4ml's own tags are no plain YAML
            return name + b"\0" + of_text(content, rng, samples)

    return change


def _hls_read(data: bytes, folder: Path) -> Any:
    from qap.cost.hls_project import read_project

    name, _, content = data.partition(b"\0")
    path = folder / "hls" / name.decode()
    good = path.read_bytes()
    try:
        path.write_bytes(content)
        return read_project(folder / "hls")
    finally:
        path.write_bytes(good)


def _hls_wrong(project: Any) -> str:
    if project.clock_ns is not None and not (math.isfinite(project.clock_ns) and project.clock_ns > 0):
        return f"a clock of {project.clock_ns} ns"
    for layer in project.layers:
        for values in (layer.kernel, layer.bias_values):
            if values is not None and not np.isfinite(values).all():
                return f"{layer.name}: weights that are not finite"
        for kind in (layer.inputs, layer.weight, layer.bias, layer.accum, layer.result):
            if kind is not None and not 1 <= kind.bits <= 4096:
                return f"{layer.name}: {kind}"
        if layer.reuse_factor < 1 or layer.repeats < 1:
            return f"{layer.name}: reuse factor {layer.reuse_factor}, repeats {layer.repeats}"
    return ""


add("hls4ml", _hls, _behind(of_bytes, of_text, of_text, of_yaml), _hls_read, _hls_wrong)


def _project_read(data: bytes, folder: Path) -> Any:
    from qap.firmware.project import FILE, Project

    written(data, folder, FILE)
    return Project.load(folder)


def _project_wrong(project: Any) -> str:
    for port in (*project.inputs, *project.outputs, *project.traces.values()):
        if port.size < 1 or any(not isinstance(one, int) or one < 1 for one in port.shape):
            return f"{port}"
    return "" if project.name.isidentifier() else f"the name {project.name!r}"


add(
    "project.json",
    lambda folder: [(REFERENCE / "project.json").read_bytes()],
    one_of(of_bytes, of_text, of_json, of_json),
    _project_read,
    _project_wrong,
)


def _designs(folder: Path) -> list[bytes]:
    return [json.dumps(sample_design(folder).to_dict()).encode()]


def _design_read(data: bytes, folder: Path) -> Any:
    from qap.rtl.design import FILE, load_design

    written(data, folder, FILE)
    return load_design(folder)


def _design_wrong(design: Any) -> str:
    if not design.name.isidentifier() or design.stages < 1 or len(design.stage_depths) != design.stages:
        return f"{design.name!r}, {design.stages} stages, depths {design.stage_depths}"
    if math.prod(design.input_shape) != len(design.inputs) or math.prod(design.output_shape) != len(design.outputs):
        return "shapes and wires differ"
    return next((f"{wire}" for wire in (*design.inputs, *design.outputs) if not 0 <= wire.bits <= 4096), "")


add("design.json", _designs, one_of(of_bytes, of_text, of_json, of_json), _design_read, _design_wrong)
