"""The parsers of text that fuzz.py tries: good samples, how they are changed, how read, what must hold of accepted values."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_changes import Change, of_bytes, of_json, of_text, of_yaml, one_of

from qap.candidate import Candidate, Cost, Figure
from qap.config.load import dump_config, load_config
from qap.datasets.cut import parse_cut
from qap.granularity import Granularity
from qap.plan import Plan
from qap.precision import Precision

ROOT = Path(__file__).parents[1]


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


def add(*given: Any) -> None:
    PARSERS[given[0]] = Parser(*given)


def written(data: bytes, folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def not_finite(value: Any, where: str = "") -> str:
    """Return where a number in plain values is not finite, or ''."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{where} is {value}"
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return next((found for key, one in items if (found := not_finite(one, f"{where}.{key}"))), "")


# Text that the user writes


def _study_wrong(config: Any) -> str:
    plain = config.model_dump(mode="json")
    path = Path(tempfile.gettempdir()) / f"qap_fuzz_{os.getpid()}.yaml"
    path.write_text(dump_config(config))
    try:
        return not_finite(plain) or ("" if load_config(path) == config else "not the same when it is read again")
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

add(
    "study",
    _studies,
    one_of(of_bytes, of_text, of_yaml, of_yaml),
    lambda data, folder: load_config(written(data, folder, "s.yaml")),
    _study_wrong,
)
add(
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
    return not_finite(plan.to_dict())


def _plans(folder: Path) -> list[bytes]:
    import yaml

    return [yaml.safe_dump(PLAN, sort_keys=False).encode(), json.dumps(PLAN).encode()]


add(
    "plan",
    _plans,
    one_of(of_bytes, of_text, of_yaml, of_yaml),
    lambda data, folder: Plan.load(written(data, folder, "p.yaml")),
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


add("strings", lambda folder: [text.encode() for text in STRINGS], one_of(of_bytes, of_text), _string, _string_wrong)


# What a study keeps


def sample_candidate() -> Candidate:
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

    first = sample_candidate()
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
    if bad := not_finite(candidate.to_dict()) or not_finite([record.seconds, record.cpu_seconds]):
        return bad
    if record.seconds < 0 or record.cpu_seconds < 0:
        return "negative seconds"
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in candidate.metrics.values()):
        return "a metric that is no number"
    return _parity(candidate.parity) or ("" if candidate.cost is None else cost_wrong(candidate.cost))


def _changed_record(record: Any) -> str:
    """Return what is wrong with a line whose checksum is right: it must be one of those that were written."""
    return "" if record.line().encode() in _records(Path()) else "not what was written"


def _parity(found: Any) -> str:
    return "" if found is None or (0 <= found.exact <= found.events and found.max_difference >= 0) else f"{found}"


def cost_wrong(cost: Cost) -> str:
    for name, figure in [*cost.figures.items(), *(pair for layer in cost.layers.values() for pair in layer.items())]:
        values = (figure.value, figure.low, figure.high)
        if not all(isinstance(one, int | float) and math.isfinite(one) for one in values):
            return f"{name} is {values}"
        if (figure.value < 0 and name != "WNS") or figure.low > figure.value or figure.high < figure.value:
            return f"{name} is {values}"
    return ""


add("record", _records, one_of(of_bytes, of_text, of_json, of_json), _record(2), _changed_record)
add("record.1", _older_records, one_of(of_bytes, of_text, of_json, of_json), _record(1), _record_wrong)


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

    return Report.load(written(data, folder, "report.json"))


def _report_wrong(report: Any) -> str:
    return not_finite(report.model_dump(mode="json"))


add("report", _page, one_of(of_bytes, of_text, of_json, of_json), _report, _report_wrong)
