"""The delivery of a model: HLS project, emulator, test vectors, parity report and a one-page summary, or none of it."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import jinja2
import numpy as np

import qap
from qap.backend import versions
from qap.config.schema import Firmware
from qap.errors import InputError, QapError
from qap.files import write_text
from qap.firmware.convert import convert, write_test_vectors
from qap.firmware.csim import build, require_compiler
from qap.firmware.emulator import check_name, make_emulator
from qap.firmware.heads import working_point
from qap.firmware.lowering import Inputs
from qap.firmware.model_file import PRUNING, quantized_inputs
from qap.firmware.parity import quantizes_inputs
from qap.firmware.prepare import prepare
from qap.firmware.project import Port, Project
from qap.firmware.proof import EXACT, INEXACT, Proof, Say, prove
from qap.firmware.rebuild import leaves
from qap.firmware.reports import read_reports
from qap.firmware.vectors import vector_sets

KEYS = {
    "name": str, "version": str, "verdict": str, "parity": dict, "bounds": dict, "files": dict, "vendor": dict,
    "thresholds": list,
}  # fmt: skip
"""Of a record, with their kinds."""
RECORD, SUMMARY, PARITY, MODEL = "delivery.json", "summary.md", "parity.json", "model.keras"
FORMAT = 1
DATA = "data"
EFFECT = 4096
"""Events on which the effect of rounded constants is measured."""
VECTORS = {DATA: 200, "random": 200, "boundary": 50, "extremes": 50, "exhaustive": 300}
"""Events of each set that become test vectors of the emulator and of the project's own test bench."""


@dataclass(frozen=True, eq=False)
class Events:
    """Real events to prove a firmware with.

    Parameters
    ----------
    x : array (events, …), sequence of arrays in the order of the inputs, or mapping of input name → array
    origin : str, default 'the given events'
        What the summary calls them.
    labels : (events,) array of integers, optional
        Classes, for working points.
    weights : (events,) array, optional
        Event weights, for working points.
    classes : sequence of str, optional
        Names of the classes, in the order of the outputs.
    """

    x: Any
    origin: str = "the given events"
    labels: np.ndarray | None = None
    weights: np.ndarray | None = None
    classes: Sequence[str] = ()


@dataclass(frozen=True)
class Delivery:
    """What was delivered.

    Parameters
    ----------
    directory : Path
    record : mapping
        As written to ``delivery.json``.
    """

    directory: Path
    record: Mapping[str, Any]

    @classmethod
    def load(cls, directory: Path | str) -> Delivery:
        """Read a delivery.

        Raises
        ------
        InputError
            None stands there.
        """
        path = Path(directory) / RECORD
        try:
            record = json.loads(path.read_text())
            known = record["format"] == FORMAT
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise InputError(f"{path}: no delivery: make one with qap firmware") from None
        if not known:
            raise InputError(f"{path}: expected format {FORMAT}, received {record['format']!r}")
        if wrong := [key for key, kind in KEYS.items() if not isinstance(record.get(key), kind)]:
            raise InputError(f"{path}: damaged: expected {', '.join(wrong)}: deliver the model again")
        check_name(record["name"], record["version"])
        return cls(Path(directory), record)

    @property
    def verdict(self) -> str:
        """``exact``, ``bounded`` or ``not exact``."""
        return str(self.record["verdict"])

    @property
    def project(self) -> Project:
        """The HLS project."""
        return Project.load(self.directory / "project")

    def refresh(self) -> Delivery:
        """Read the vendor's reports that the project holds now, and write record and summary again."""
        costs = read_reports(self.directory / "project")
        stages = {stage: {name: asdict(figure) for name, figure in cost.figures.items()} for stage, cost in costs.items()}
        return self.noted(vendor=stages)

    def noted(self, **values: Any) -> Delivery:
        """Add to the record, and write record and summary again."""
        record = {**self.record, **values}
        _write_record(self.directory, record)
        return Delivery(self.directory, record)


def deliver(
    model: Any,
    inputs: Inputs | None,
    output: Path | str,
    settings: Firmware | None = None,
    *,
    events: Events | Any = None,
    name: str | None = None,
    version: str = "1.0.0",
    origin: str = "",
    accept: Sequence[str] = (),
    head: Literal["logits", "argmax"] = "logits",
    rates: Sequence[float] = (),
    vectors: int = 10_000,
    bits: int = 12,
    keep: bool = False,
    say: Say = lambda message: None,
) -> Delivery:
    """Convert a model, prove the firmware on every event, and write all that its users need.

    Parameters
    ----------
    model : keras.Model
        QKeras and Keras layers, without pruning wrappers. It need not be trained by qap.
    inputs : Precision, tuple of Precision, or mapping of input name → one of these, optional
        Fixed-point type of the inputs; None takes it from the quantizers that the model has on its inputs.
    output : path
        New, empty, or an earlier delivery, which is replaced.
    settings : Firmware, optional
        hls4ml's settings.
    events : Events, or arrays as `Events` takes them, optional
        Real events. Without them only generated vectors are compared.
    name, version : str
        Of the emulator; by default the model's name and ``1.0.0``.
    origin : str, optional
        Where the model comes from, for the summary.
    accept : sequence of str
        Layers with tables (softmax, real tanh or sigmoid) that may be approximate.
    head : {'logits', 'argmax'}, default 'logits'
    rates : sequence of float
        Fractions of background events that may pass: an integer threshold is given for each, on each output.
    vectors : int, default 10,000
        Generated events: boundary values, extremes of the accumulators, the random grid.
    bits : int, default 12
        Of the constants without a quantizer of their own (batch normalizations, float biases), which are rounded.
    keep : bool, default False
        Keep a project that is not exact, marked as such and without emulator.
    say : callable, optional
        Called with a line of text for each step.

    Returns
    -------
    Delivery

    Raises
    ------
    InputError
        A layer that has no exact firmware, an unknown input type, settings or events that do not fit, a directory with
        other files, no g++.
    QapError
        A build failed, or the firmware is not the model: the layer is named, nothing is left behind.
    """
    output = Path(output).absolute()
    name = re.sub(r"\W", "_", name or str(model.name), flags=re.ASCII)
    check_name(name, version)
    check_output(output)
    require_compiler()
    if events is not None and not isinstance(events, Events):
        events = Events(events)
    if rates and (events is None or head != "logits"):
        raise InputError("rates: working points need events (--inputs, or a study) and the head logits")
    if wrapped := [layer.name for layer in leaves(model) if type(layer).__name__ == PRUNING]:
        raise InputError(f"{wrapped[0]}: a pruning wrapper: call tfmot.sparsity.keras.strip_pruning(model) first")
    inputs = quantized_inputs(model) if inputs is None else inputs
    prepared = prepare(model, bits)
    for change in prepared.changes:
        say(f"rounded {change}")
    place = next(folder for folder in output.parents if folder.is_dir())
    with tempfile.TemporaryDirectory(prefix=f".{output.name}.", dir=place) as folder:
        made = Path(folder) / "delivery"
        made.mkdir(mode=0o755)
        say("converting")
        project = convert(prepared.model, inputs, made / "project", settings, accept=accept, head=head)
        sets, rounded = _sets(prepared.model, project, inputs, events, vectors)
        say("building the C-simulation")
        build(project)
        proof = prove(prepared.model, project, sets, say)
        if proof.verdict == INEXACT and not keep:
            raise QapError(_failure(proof))
        record = {
            **_record(proof, name, version, origin),
            "events_origin": None if events is None else events.origin,
            "rounded_inputs": rounded,
            "changes": list(prepared.changes),
            "change_of_outputs": _effect(model, prepared.model, proof) if prepared.changes else None,
            "thresholds": _thresholds(proof, events, rates),
        }
        _write(made, proof, prepared.model, record, say)
        _replace(made, output, Path(folder) / "earlier")
    return Delivery(output, record)


def check_output(output: Path) -> None:
    """Refuse a directory that holds something else than an earlier delivery.

    Raises
    ------
    InputError
    """
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: expected a directory, it is a file: choose another --output")
    if output.is_dir() and any(output.iterdir()) and not (output / RECORD).is_file():
        raise InputError(f"{output}: not empty and no earlier delivery: choose another --output")


def _sets(
    model: Any, project: Project, inputs: Inputs, events: Events | None, vectors: int
) -> tuple[dict[str, list[np.ndarray]], dict[str, dict[str, int]]]:
    """Return all events to compare, and what of the data was not on the grid of the input types."""
    sets: dict[str, list[np.ndarray]] = {}
    rounded = {}
    if events is not None:
        raw, exact = project.arrays(events.x), project.quantized(events.x)
        for what, values in (("labels", events.labels), ("weights", events.weights)):
            if values is not None and np.shape(values) != (len(raw[0]),):
                raise InputError(f"{what}: expected {len(raw[0])} numbers, one for each event, received {np.shape(values)}")
        sets[DATA] = raw
        if not quantizes_inputs(model, project):
            sets[DATA] = exact
            for port, before, after in zip(project.inputs, raw, exact, strict=True):
                if count := int((before != after).sum()):
                    saturated = int((np.abs(before - after) > _step(port)).sum())
                    rounded[port.name] = {"values": before.size, "rounded": count, "saturated": saturated}
    sets.update(vector_sets(model, inputs, vectors))
    return sets, rounded


def _step(port: Port) -> float:
    kinds = port.kind if isinstance(port.kind, tuple) else (port.kind,)
    return max(kind.step for kind in kinds)


def _failure(proof: Proof) -> str:
    name, layer = proof.offender or ("", "")
    one = proof.comparisons[name]
    text = f"not bit-exact: {layer} is the first layer that differs ({one.parity.events - one.parity.exact:,} of "
    text += f"{one.parity.events:,} events of the set {name}"
    if one.worst:
        event = one.worst[0]
        difference = [np.abs(a[event] - b[event]).ravel() for a, b in zip(one.reference, one.outputs, strict=True)]
        port = max(range(len(difference)), key=lambda i: difference[i].max())
        element = int(difference[port].argmax())
        qkeras, firmware = (float(side[port][event].ravel()[element]) for side in (one.reference, one.outputs))
        text += f"; worst: event {event}, QKeras {qkeras!r}, firmware {firmware!r}"
    return f"{text}).\nNothing was delivered; --keep keeps the project for a look, and please report it."


def _record(proof: Proof, name: str, version: str, origin: str) -> dict[str, Any]:
    project = proof.project

    def port(item: Port) -> dict[str, Any]:
        values = {"name": item.name, "shape": list(item.shape), "type": item.type}
        precision = ";".join(item.features) or item.precision
        return values | ({"precision": precision} if precision else {})

    full = proof.to_dict()
    sets = {key: {"events": one["events"], "exact": one["exact"]} for key, one in full["sets"].items()}
    return {
        "format": FORMAT,
        "name": name,
        "version": version,
        "origin": origin,
        "verdict": full["verdict"],
        "parity": {key: full[key] for key in ("reference", "events", "exact", "max_difference", "first_layer", "outputs")}
        | {"sets": sets},
        "bounds": full["bounds"],
        "inputs": [port(item) for item in project.inputs],
        "outputs": [port(item) for item in project.outputs],
        "head": project.head,
        "settings": dict(project.settings),
        "files": {
            "project": "project",
            "emulator": None if full["verdict"] == INEXACT else "emulator",
            "parity": PARITY,
            "model": MODEL,
            "summary": SUMMARY,
        },
        "vendor": {},
        "qap_version": qap.__version__,
        "versions": versions(),
    }


def _effect(given: Any, proven: Any, proof: Proof) -> dict[str, float]:
    """Return how far the rounded constants move the outputs: the largest difference on some events, and their range."""
    arrays = proof.sets[DATA if DATA in proof.sets else list(proof.sets)[-1]]
    inputs = [
        array[:EFFECT].reshape(-1, *tensor.shape[1:]).astype(np.float32)
        for array, tensor in zip(arrays, given.inputs, strict=True)
    ]
    sides = [
        [np.asarray(part, np.float64) for part in (parts if isinstance(parts, list) else [parts])]
        for parts in (model.predict(inputs, batch_size=EFFECT, verbose=0) for model in (given, proven))
    ]
    return {
        "events": len(inputs[0]),
        "largest": max(float(np.abs(one - other).max()) for one, other in zip(*sides, strict=True)),
        "range": max(float(np.ptp(one)) for one in sides[0]),
    }


def _thresholds(proof: Proof, events: Events | None, rates: Sequence[float]) -> list[dict[str, Any]]:
    """Return the integer threshold of each working point on each element of the first output."""
    if not rates:
        return []
    port = proof.project.outputs[0]
    if events is None or len(port.shape) != 1:
        raise InputError(f"rates: {port.name}: working points need an output (logits,), received {port.shape}")
    logits = proof.comparisons[DATA].outputs[0]
    found = []
    for element in range(port.size):
        signal = element if port.size > 1 else 1
        background = np.ones(len(logits), bool) if events.labels is None else np.asarray(events.labels) != signal
        weights = None if events.weights is None else np.asarray(events.weights)[background]
        for rate in rates:
            point = working_point(logits[background, element], port.type, rate, weights)
            name = events.classes[element] if len(events.classes) == port.size else f"{port.name}[{element}]"
            known = {"output": port.name, "element": element, "name": name, "background_events": int(background.sum())}
            found.append({**known, **asdict(point)})
    return found


def _write(made: Path, proof: Proof, model: Any, record: Mapping[str, Any], say: Say) -> None:
    project = proof.project
    x, y = _test_vectors(proof)
    write_test_vectors(project, x, y)
    model.save(made / MODEL)
    write_text(made / PARITY, json.dumps(proof.to_dict(), indent=1) + "\n")
    if record["files"]["emulator"]:
        say("building the emulator")
        make_emulator(project, made / "emulator", record["version"], x, y, name=record["name"])
    _write_record(made, record)


def _test_vectors(proof: Proof) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return some events of each set with the outputs of the firmware, which are QKeras's where it is exact."""
    x: list[list[np.ndarray]] = []
    y: list[list[np.ndarray]] = []
    for name, comparison in proof.comparisons.items():
        if name == "random" and DATA in proof.comparisons:
            continue
        rows = np.unique(np.linspace(0, comparison.parity.events - 1, VECTORS[name]).astype(int))
        x.append([array[rows] for array in proof.sets[name]])
        y.append([array[rows] for array in comparison.outputs])
    return tuple([np.concatenate(parts) for parts in zip(*sets, strict=True)] for sets in (x, y))  # type: ignore[return-value]


def _plain(text: object) -> str:
    """Return a text of the user or of a file as Markdown that shows it as it is."""
    return re.sub(r"[\\`*\[\]<>|~&$]|(?<!\w)_|_(?!\w)", r"\\\g<0>", " ".join(str(text).split()))


def _write_record(directory: Path, record: Mapping[str, Any]) -> None:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"), undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["plain"] = _plain
    text = environment.get_template(f"{SUMMARY}.j2").render(record, exact=record["verdict"] == EXACT)
    write_text(directory / SUMMARY, text)
    write_text(directory / RECORD, json.dumps(record, indent=1) + "\n")


def _replace(made: Path, output: Path, earlier: Path) -> None:
    """Put the delivery in its place; an earlier one goes when the new one is complete."""
    output.parent.mkdir(parents=True, exist_ok=True)
    if output.is_dir() and any(output.iterdir()):
        output.replace(earlier)
    made.replace(output)
