"""The parsers that fuzz.py tries: good samples, how they are changed, how they are read, and what an accepted value must hold."""

from __future__ import annotations

import io
import json
import math
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_changes import Change, of_bytes, of_json, of_text, of_yaml, of_zip, one_of

from qap.candidate import Candidate, Cost, Figure
from qap.config.data import Data
from qap.config.load import dump_config, load_config
from qap.datasets.cut import parse_cut
from qap.datasets.files import read_table
from qap.datasets.load import read_npz
from qap.datasets.table import Table
from qap.errors import InputError, QapError
from qap.granularity import Granularity
from qap.plan import Plan
from qap.precision import Precision

ROOT = Path(__file__).parents[1]
REPORTS = ROOT / "tests" / "firmware" / "reports"
TOP, PART = "tagger", "xcvu13p-flga2577-2-e"


@dataclass(frozen=True)
class Parser:
    """A parser and what belongs to it.

    Parameters
    ----------
    name : str
    samples : callable
        (folder) → good inputs.
    mutate : callable
        (input, random numbers, samples) → a changed input.
    read : callable
        (input, folder) → what the package makes of it.
    wrong : callable
        What was accepted → what cannot be right of it, or ''.
    """

    name: str
    samples: Callable[[Path], list[bytes]]
    mutate: Change
    read: Callable[[bytes, Path], Any]
    wrong: Callable[[Any], str] = lambda value: ""


PARSERS: dict[str, Parser] = {}


def _add(*given: Any) -> None:
    PARSERS[given[0]] = Parser(*given)


def _file(data: bytes, folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def _numbers(value: Any, where: str = "") -> str:
    """Return where a number in plain values is not finite, or ''."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{where} is {value}"
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return next((found for key, one in items if (found := _numbers(one, f"{where}.{key}"))), "")


# Text that the user writes


def _study_wrong(config: Any) -> str:
    plain = config.model_dump(mode="json")
    path = Path(tempfile.gettempdir()) / f"qap_fuzz_{os.getpid()}.yaml"
    path.write_text(dump_config(config))
    try:
        return _numbers(plain) or ("" if load_config(path) == config else "not the same when it is read again")
    finally:
        path.unlink()


def _studies(folder: Path) -> list[bytes]:
    files = sorted((ROOT / "configs").rglob("*.yaml"))
    return [
        *(path.read_bytes() for path in files),
        dump_config(load_config(files[0])).encode(),
        dump_config(load_config()).encode(),
    ]


OVERRIDES = (
    "search.trials=30", "search.space.weight_bits=[4,6]", "data.input.bits=12", "train.learning_rate=1e-3", "model.hidden=[16,8]",
    "search.constraints.LUT=5000", "search.space.layers.fc1.weight_bits=6", "firmware.ReuseFactor={Model: 2, fc1: 4}", "name=x",
    "compare.methods={qap: [qap], seq: [prune, ptq]}", "seed=3", "data.cut=pt > 3", "data.split=[0.6,0.2,0.2]",
)  # fmt: skip

_add(
    "study",
    _studies,
    one_of(of_bytes, of_text, of_yaml, of_yaml),
    lambda data, folder: load_config(_file(data, folder, "s.yaml")),
    _study_wrong,
)
_add(
    "overrides", lambda folder: [text.encode() for text in OVERRIDES], one_of(of_bytes, of_text),
    lambda data, folder: load_config(None, [data.decode(errors="surrogateescape")]), _study_wrong,
)  # fmt: skip

PLAN = {
    "inputs": {"precision": "quantized_bits(8,3)", "exponents": [0, 1, -2]},
    "fc1": {
        "weight": "quantized_bits(6,0)", "bias": "quantized_bits(10,2)", "activation": "quantized_relu(6,2)", "sparsity": 0.5,
        "granularity": "block(4,4)", "exponents": [0, 1],
    },
    "fc2": {"weight": "ternary()", "bias": "quantized_bits(4,1)", "activation": "quantized_relu(1,0)", "granularity": "2:4"},
    "output": {"weight": "quantized_po2(4)", "bias": "quantized_bits(12,4)", "activation": None, "sparsity": 0},
}  # fmt: skip


def _plan_wrong(plan: Plan) -> str:
    if Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) != plan:
        return "not the same when it is read again"
    for _, layer in plan.items():
        for one in (layer.weight, layer.bias, layer.activation):
            if one is not None and not (1 <= one.bits <= 32 and 0 <= one.integer <= one.bits):
                return f"{one!r}"
    return _numbers(plan.to_dict())


def _plans(folder: Path) -> list[bytes]:
    import yaml

    return [yaml.safe_dump(PLAN, sort_keys=False).encode(), json.dumps(PLAN).encode()]


_add(
    "plan",
    _plans,
    one_of(of_bytes, of_text, of_yaml, of_yaml),
    lambda data, folder: Plan.load(_file(data, folder, "p.yaml")),
    _plan_wrong,
)

STRINGS = (
    "precision quantized_bits(6,0)", "precision quantized_relu(6,2)", "precision quantized_bits(8,2,alpha=1)",
    "precision ternary()",
    "precision quantized_po2(4)", "granularity weight", "granularity 2:4", "granularity block(4,4)", "granularity dsp(8)",
    "cut pt > 20 & abs(eta) < 2.4", "cut !(n == 3) || `a b` >= -1e3", "cut sqrt(x*x + y**2) < 1 && name == 'w'",
    "inputs quantized_bits(12,3)", "inputs tracks=quantized_bits(12,3,alpha=1)", "inputs quantized_bits(8,0) quantized_relu(6,2)",
)  # fmt: skip


def _string(data: bytes, folder: Path) -> Any:
    from qap.commands.firmware import parse_precisions

    kind, _, text = data.decode(errors="surrogateescape").partition(" ")
    read: Mapping[str, Callable[[str], Any]] = {
        "precision": Precision.parse, "granularity": Granularity.parse, "cut": _evaluated,
        "inputs": lambda one: parse_precisions([one]),
    }  # fmt: skip
    return read.get(kind, Precision.parse)(text)


def _evaluated(text: str) -> Any:
    cut = parse_cut(text)
    columns = {name: np.array(["w", "v"]) if name == "name" else np.array([1.0, -3.5]) for name in cut.names}
    return cut(columns)


def _string_wrong(value: Any) -> str:
    if isinstance(value, Precision | Granularity) and type(value).parse(str(value)) != value:
        return f"{value!r} is not the same when it is read again"
    return "" if not isinstance(value, np.ndarray) or value.dtype == bool else f"a cut gives {value.dtype}"


_add("strings", lambda folder: [text.encode() for text in STRINGS], one_of(of_bytes, of_text), _string, _string_wrong)


# What a study keeps


def _candidate() -> Candidate:
    from qap.candidate import Parity
    from qap.models.architecture import Architecture

    architecture = Architecture.mlp(3, [2, 2], 2)
    names = [layer.name for layer in architecture.layers]
    plan = Plan.from_dict({name: PLAN["fc2" if name != names[-1] else "output"] for name in names})
    cost = Cost(
        {"ebops": Figure(120.0, "counted"), "LUT": Figure(40.0, "estimate", "", 30.0, 55.0)},
        {"fc1": {"ebops": Figure(3.0, "counted")}},
    )
    return Candidate(
        architecture,
        plan,
        None,
        {"accuracy_validation": 0.75, "epochs": 3.0},
        cost,
        Parity(10, 9, 0.5, "fc1"),
        losses={"total": (1.0, 0.5)},
    )


def _records(folder: Path) -> list[bytes]:
    from qap.search.record import RUNG, Record

    first = _candidate()
    again = first.with_(metrics={**first.metrics, RUNG: 2})
    record = Record(first, 1.5, 1.25, number=4, epochs=2.5, point={"fc1": 4, "x": 0.5})
    other = Record(again, 1.5, 1.25, "not finite", 2, 7, origin=(first.id, 1))
    return [one.line().encode() for one in (record, other)]


def _older_records(folder: Path) -> list[bytes]:
    """Return lines of the first format: without a checksum and what came with it."""
    new = ("crc32", "number", "epochs", "origin", "point")
    return [
        json.dumps({name: value for name, value in json.loads(line).items() if name not in new}).encode()
        for line in _records(folder)
    ]


def _record(version: int) -> Callable[[bytes, Path], Any]:
    def read(data: bytes, folder: Path) -> Any:
        from qap.search.record import Record

        return Record.read(data.decode(errors="replace").replace("\n", " "), 4, version)

    return read


def _record_wrong(record: Any) -> str:
    candidate = record.candidate
    if bad := _numbers(candidate.to_dict()) or _numbers([record.seconds, record.cpu_seconds]):
        return bad
    if record.seconds < 0 or record.cpu_seconds < 0:
        return "negative seconds"
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in candidate.metrics.values()):
        return "a metric that is no number"
    return _parity(candidate.parity) or ("" if candidate.cost is None else _cost(candidate.cost))


def _changed_record(record: Any) -> str:
    """Return what is wrong with a line whose checksum is right: it must be one of those that were written."""
    return "" if record.line().encode() in _records(Path()) else "not what was written"


def _parity(found: Any) -> str:
    return "" if found is None or (0 <= found.exact <= found.events and found.max_difference >= 0) else f"{found}"


def _cost(cost: Cost) -> str:
    for name, figure in [*cost.figures.items(), *(pair for layer in cost.layers.values() for pair in layer.items())]:
        values = (figure.value, figure.low, figure.high)
        if not all(isinstance(one, int | float) and math.isfinite(one) for one in values):
            return f"{name} is {values}"
        if (figure.value < 0 and name != "WNS") or figure.low > figure.value or figure.high < figure.value:
            return f"{name} is {values}"
    return ""


_add("record", _records, one_of(of_bytes, of_text, of_json, of_json), _record(2), _changed_record)
_add("record.1", _older_records, one_of(of_bytes, of_text, of_json, of_json), _record(1), _record_wrong)


def _page(folder: Path) -> list[bytes]:
    import sys

    sys.path.insert(0, str(ROOT))
    from tests.report.conftest import make_report  # the smallest whole report there is

    path = folder / "report.json"
    report = make_report()
    few = {name: getattr(report, name)[:2] for name in ("tried", "front", "neighbours", "left")}
    report.model_copy(update=few).save(path)
    return [path.read_bytes()]


def _report(data: bytes, folder: Path) -> Any:
    from qap.report.data import Report

    return Report.load(_file(data, folder, "report.json"))


def _report_wrong(report: Any) -> str:
    return _numbers(report.model_dump(mode="json"))


_add("report", _page, one_of(of_bytes, of_text, of_json, of_json), _report, _report_wrong)


# Files of events


def _columns() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {
        "pt": rng.normal(50, 9, 40).astype(np.float32), "eta": rng.normal(size=40), "n": rng.integers(-5, 90, 40),
        "w": rng.random(40),
        "label": rng.integers(0, 3, 40),
    }  # fmt: skip


def _text_table(separator: str) -> bytes:
    columns = _columns()
    rows = [
        separator.join(columns),
        *(separator.join(map(repr, row)) for row in zip(*(one.tolist() for one in columns.values()), strict=True)),
    ]
    return ("\n".join(rows) + "\n").encode()


def _zipped_text() -> bytes:
    import gzip

    return gzip.compress(_text_table(","), mtime=0)


def _npz(arrays: Mapping[str, np.ndarray], packed: bool) -> bytes:
    target = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(target, **arrays)
    return target.getvalue()


def _own_arrays() -> dict[str, np.ndarray]:
    columns = _columns()
    return {
        "features": np.stack([columns["pt"], columns["eta"].astype(np.float32)], 1), "labels": columns["label"],
        "weights": columns["w"],
        "feature_names": np.array(["pt", "eta"]), "class_names": np.array(["a", "b", "c"]),
    }  # fmt: skip


def _of_array(data: bytes, rng: random.Random, samples: list[bytes]) -> bytes:
    """Change an array: its values, type, shape."""
    array = np.load(io.BytesIO(data), allow_pickle=False)
    kind = rng.randrange(7)
    if kind == 0 and array.dtype.kind in "fiu" and array.size:
        array = array.astype(np.float64)
        array.flat[rng.randrange(array.size)] = rng.choice((np.nan, np.inf, -np.inf, 1e300, -1.0))
    elif kind == 1:
        array = array[: rng.randrange(len(array) + 1)] if array.ndim else array
    elif kind == 2:
        array = array.reshape(*rng.choice(((-1, 1), (1, -1), (1, 1, -1))))
    elif kind == 3:
        array = np.array(rng.choice(([], 3, [["a"]], [True], [1 + 2j], "text", [2**63], [[0.5] * 4] * 3)))
    elif kind == 4 and array.dtype.kind in "fiu":
        with np.errstate(all="ignore"):
            array = array.astype(rng.choice(("<f2", "<i1", "<u8", ">f4", "?", "<c8", "<M8[s]")))
    elif kind == 5:
        return of_bytes(data[:128], rng, [data]) + data[128:]
    else:
        return of_bytes(data, rng, samples)
    target = io.BytesIO()
    np.save(target, array, allow_pickle=False)
    return target.getvalue()


def _hdf5(folder: Path) -> list[bytes]:
    import h5py

    found = []
    for how in ({}, {"compression": "gzip", "chunks": (16,)}):
        path = folder / "s.h5"
        with h5py.File(path, "w") as file:
            for name, values in _columns().items():
                file.create_dataset(name, data=values, **how)
        found.append(path.read_bytes())
    return found


def _parquet(folder: Path) -> list[bytes]:
    import pyarrow
    import pyarrow.parquet

    path = folder / "s.parquet"
    pyarrow.parquet.write_table(pyarrow.table(_columns()), path)
    return [path.read_bytes()]


def _root(folder: Path) -> list[bytes]:
    import uproot

    path = folder / "s.root"
    with uproot.recreate(path) as file:
        file.mktree("events", {name: values.dtype for name, values in _columns().items()}).extend(_columns())
    return [path.read_bytes()]


def _table(name: str) -> Callable[[bytes, Path], Table]:
    return lambda data, folder: read_table(Data(name=str(_file(data, folder, f"events.{name}")), label="label"))


def _table_wrong(table: Table) -> str:
    if table.features.ndim != 2 or not len(table.features) or len(table.feature_names) != table.features.shape[1]:
        return f"features of shape {table.features.shape} with {len(table.feature_names)} names"
    if not np.isfinite(table.features).all():
        return "features that are not finite"
    for name, array in (("labels", table.labels), ("weights", table.weights), ("targets", table.targets)):
        if array is not None and len(array) != len(table.features):
            return f"{len(array)} {name} of {len(table.features)} events"
    if table.labels is None and table.targets is None:
        return "neither labels nor targets"
    if table.labels is not None and not 0 <= table.labels.min() <= table.labels.max() < len(table.class_names):
        return f"labels up to {table.labels.max()} of {len(table.class_names)} classes"
    return ""


def _prepared(data: bytes, folder: Path) -> Table:
    """Read an .npz file of qap's own format; what is wrong with the events is said when they are prepared."""
    from qap.datasets.dataset import prepare

    table = read_npz(_file(data, folder, "events.npz"))
    prepare(table, Precision(10, 3))
    return table


_add("csv", lambda folder: [_text_table(",")], one_of(of_bytes, of_text), _table("csv"), _table_wrong)
_add("tsv", lambda folder: [_text_table("\t")], one_of(of_bytes, of_text), _table("tsv"), _table_wrong)
_add("csv.gz", lambda folder: [_zipped_text()], of_bytes, _table("csv.gz"), _table_wrong)
_add(
    "npz",
    lambda folder: [_npz(_columns(), False), _npz(_columns(), True)],
    of_zip({".npy": _of_array}),
    _table("npz"),
    _table_wrong,
)
_add("npz.own", lambda folder: [_npz(_own_arrays(), False)], of_zip({".npy": _of_array}), _prepared, _table_wrong)
_add("hdf5", _hdf5, of_bytes, _table("h5"), _table_wrong)
_add("parquet", _parquet, of_bytes, _table("parquet"), _table_wrong)
_add("root", _root, of_bytes, _table("root"), _table_wrong)


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


_add(
    "csynth.xml",
    lambda folder: _found("*/**/*_csynth.xml"),
    one_of(of_bytes, of_text, of_text),
    _text_report("csynth_xml"),
    _cost,
)
_add(
    "csynth.rpt",
    lambda folder: _found("*/**/*_csynth.rpt"),
    one_of(of_bytes, of_text, of_text),
    _text_report("csynth_rpt"),
    _cost,
)
_add("cosim.rpt", lambda folder: _found("*/**/*_cosim.rpt"), one_of(of_bytes, of_text, of_text), _text_report("cosim"), _cost)
_add(
    "utilization",
    lambda folder: _found("*/vivado_synth.rpt"),
    one_of(of_bytes, of_text, of_text),
    _text_report("utilization", "vsynth"),
    _cost,
)
_add(
    "timing",
    lambda folder: _found("*/vivado_impl_timing.rpt"),
    one_of(of_bytes, of_text, of_text),
    _text_report("timing", "impl"),
    _cost,
)


def _design(folder: Path) -> Any:
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
        _file(json.dumps(values[name]).encode() if isinstance(values, dict) and name in values else data, folder, f"{name}.json")
    return read_results(folder, _design(folder))


_add("yosys", _yosys, one_of(of_bytes, of_json, of_json), _yosys_read, _cost)


def _kept(folder: Path) -> list[bytes]:
    cost = _candidate().cost
    assert cost is not None
    return [json.dumps({"sources": "x", **cost.to_dict()}).encode()]


def _kept_read(data: bytes, folder: Path) -> Cost:
    from qap.rtl.synthesis import FILE, load_synthesis

    class Same(type(_design(folder))):  # type: ignore[misc]
        def stamp(self) -> str:
            return "x"

    _file(data, folder, FILE)
    found = load_synthesis(Same(**{name: getattr(_design(folder), name) for name in _design(folder).__dataclass_fields__}))
    if found is None:
        raise InputError("of other sources")
    return found


_add("synthesis.json", _kept, one_of(of_bytes, of_text, of_json, of_json), _kept_read, _cost)


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

    return load_store(_file(data, folder, "reports.json"))


_add(
    "reports.json", _stores, one_of(of_bytes, of_text, of_json, of_json), _store,
    lambda store: next((bad for one in store.entries if (bad := _numbers(one.to_dict()))), ""),
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


_add("hls4ml", _hls, _behind(of_bytes, of_text, of_text, of_yaml), _hls_read, _hls_wrong)


def _project_read(data: bytes, folder: Path) -> Any:
    from qap.firmware.project import FILE, Project

    _file(data, folder, FILE)
    return Project.load(folder)


def _project_wrong(project: Any) -> str:
    for port in (*project.inputs, *project.outputs, *project.traces.values()):
        if port.size < 1 or any(not isinstance(one, int) or one < 1 for one in port.shape):
            return f"{port}"
    return "" if project.name.isidentifier() else f"the name {project.name!r}"


_add(
    "project.json",
    lambda folder: [(REFERENCE / "project.json").read_bytes()],
    one_of(of_bytes, of_text, of_json, of_json),
    _project_read,
    _project_wrong,
)


def _designs(folder: Path) -> list[bytes]:
    return [json.dumps(_design(folder).to_dict()).encode()]


def _design_read(data: bytes, folder: Path) -> Any:
    from qap.rtl.design import FILE, load_design

    _file(data, folder, FILE)
    return load_design(folder)


def _design_wrong(design: Any) -> str:
    if not design.name.isidentifier() or design.stages < 1 or len(design.stage_depths) != design.stages:
        return f"{design.name!r}, {design.stages} stages, depths {design.stage_depths}"
    if math.prod(design.input_shape) != len(design.inputs) or math.prod(design.output_shape) != len(design.outputs):
        return "shapes and wires differ"
    return next((f"{wire}" for wire in (*design.inputs, *design.outputs) if not 0 <= wire.bits <= 4096), "")


_add("design.json", _designs, one_of(of_bytes, of_text, of_json, of_json), _design_read, _design_wrong)


def _integers(folder: Path) -> list[bytes]:
    from qap.exports.integers import FORMAT, VERSION

    entry = {
        "type": "ap_fixed<4,1>",
        "fractional_bits": 3,
        "precision": "quantized_bits(4,0)",
        "shape": [2, 2],
        "integers": [[1, -8], [7, 0]],
    }
    return [json.dumps({"format": FORMAT, "version": VERSION, "weights": {"fc1/kernel": entry, "fc1/bias": entry}}).encode()]


def _integers_read(data: bytes, folder: Path) -> Any:
    from qap.exports.integers import read_integers

    return read_integers(_file(data, folder, "w.json"))


def _integers_wrong(tensors: Any) -> str:
    for name, tensor in tensors.items():
        if not np.isfinite(tensor.values).all() or tensor.type.bits < 1:
            return f"{name}: {tensor.type}"
    return ""


def _packed(folder: Path) -> list[bytes]:
    from qap.exports.integers import packed, unpacked

    return [packed(unpacked(_integers(folder)[0], "json"), "npz")]


def _packed_read(data: bytes, folder: Path) -> Any:
    from qap.exports.integers import read_integers

    return read_integers(_file(data, folder, "w.npz"))


_add("integers.json", _integers, one_of(of_bytes, of_text, of_json, of_json), _integers_read, _integers_wrong)
_add("integers.npz", _packed, of_zip({".npy": _of_array}), _packed_read, _integers_wrong)


# Models


def _models(folder: Path, suffix: str) -> list[bytes]:
    from qap.backend import stack

    libraries = stack()
    keras, qkeras = libraries.keras, libraries.qkeras
    inputs = keras.layers.Input((3,), name="inputs")
    x = qkeras.QActivation("quantized_bits(8,2,alpha=1)", name="type")(inputs)
    bits = qkeras.quantized_bits(6, 1, alpha=1)
    x = qkeras.QDense(2, name="fc1", kernel_quantizer="quantized_bits(4,0,alpha=1)", bias_quantizer=bits)(x)
    x = keras.layers.BatchNormalization(name="bn")(qkeras.QActivation("quantized_relu(6,2)", name="relu")(x))
    path = folder / f"m{suffix}"
    keras.Model(inputs, keras.layers.Dense(2, activation="softmax", name="out")(x)).save(path)
    return [path.read_bytes()]


def _h5_config(data: bytes, rng: random.Random, samples: list[bytes]) -> bytes:
    """Change the configuration in an HDF5 file."""
    import tempfile

    import h5py

    with tempfile.NamedTemporaryFile(suffix=".h5") as file:
        Path(file.name).write_bytes(data)
        with h5py.File(file.name, "r+") as opened:
            text = opened.attrs["model_config"]
            text = text.encode() if isinstance(text, str) else text
            made = one_of(of_json, of_json, of_bytes)(text, rng, [text])
            opened.attrs["model_config"] = np.bytes_(made.replace(b"\0", b"") or b" ")
        return Path(file.name).read_bytes()


def _model_read(suffix: str) -> Callable[[bytes, Path], Any]:
    def read(data: bytes, folder: Path) -> Any:
        from qap.backend import stack
        from qap.firmware.model_file import load_model

        stack().keras.backend.clear_session()
        return load_model(_file(data, folder, f"m{suffix}"))

    return read


def _model_wrong(model: Any) -> str:
    return "" if model.count_params() < 10**6 and all(np.isfinite(one).all() for one in model.get_weights()) else "absurd weights"


_add(
    "model.keras", lambda folder: _models(folder, ".keras"), of_zip({".json": of_json}, 0.8), _model_read(".keras"), _model_wrong
)
_add("model.h5", lambda folder: _models(folder, ".h5"), one_of(of_bytes, _h5_config), _model_read(".h5"), _model_wrong)

assert issubclass(InputError, QapError)
