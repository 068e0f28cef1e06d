"""``qap export``: a model for other tools, run by its own interpreter and compared before it is written."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qap.commands.options import EXIT_CODES, add_shown, add_trust, print_json, print_lines
from qap.errors import InputError, QapError, suggestion

if TYPE_CHECKING:  # loaded when the verb runs: --help must stay light
    import numpy as np

    from qap.exports.agreement import Agreement

EXAMPLES = f"""
examples:
  qap export studies/jets --format qonnx                     the front's most accurate candidate, equal in every bit
  qap export studies/jets --candidate 3f2a --format integers-json
  qap export studies/jets --format tflite-int8               the float parent of that candidate, int8 from training events
  qap export float.keras --format tflite-int8 --calibration train.npz --events test.npz
  qap export studies/jets --format tflite-int8 --predictions int8.npz && qap metrics int8.npz
  qap export tagger.keras --format qonnx --precision 'quantized_bits(10,2)' --events test.npz

formats:
  tflite, tflite-dynamic, tflite-int8, onnx    of a float Keras model
  qonnx, integers-json, integers-npz           of a QKeras model

FILE.npz holds the array `features` (or one array per input name), optionally `labels`, in which the accuracy is counted.

{EXIT_CODES}; 1 also where the export is not equal to its model, 3 is cured by
`pip install 'qap[exports]'`
"""
FORMATS = {
    "tflite": ".tflite",
    "tflite-dynamic": "_dynamic.tflite",
    "tflite-int8": "_int8.tflite",
    "onnx": ".onnx",
    "qonnx": "_qonnx.onnx",
    "integers-json": "_integers.json",
    "integers-npz": "_integers.npz",
}
"""Format → how its file's name ends."""
FLOAT = ("tflite", "tflite-dynamic", "tflite-int8", "onnx")
CALIBRATION_EVENTS = 1000
"""Of a study; TFLite takes the smallest and largest value of each tensor from them."""
RANDOM_EVENTS = 1000
VECTORS = 2000
TOLERANCE = 1e-4
"""Of a float export, relative to the largest output: sums of float32 in another order stay far below."""


@dataclass(frozen=True, eq=False)
class Source:
    """What is exported, and the events to compare with.

    Parameters
    ----------
    model : keras.Model
    name : str
        For the printed line.
    output : Path
        Where the file goes unless said otherwise.
    events : callable → (list of arrays, labels or None, where they are from); loads them
    calibration : callable → ((events, …) array, where it is from) or None; loads it
    inputs : Precision, dict or None
        Types of the inputs, where they are known.
    """

    model: Any
    name: str
    output: Path
    events: Callable[[], tuple[list[np.ndarray], np.ndarray | None, str]]
    calibration: Callable[[], tuple[np.ndarray, str] | None]
    inputs: Any


@dataclass(frozen=True, eq=False)
class Export:
    """A file's content, what is said of it, and what it gives on the events.

    Parameters
    ----------
    data : bytes
    said : str
    scores, reference : lists of arrays (events, …)
        Outputs of the export and of its model; empty where nothing is run.
    labels : (events,) array or None
    """

    data: bytes
    said: str
    scores: list[np.ndarray] = field(default_factory=list)
    reference: list[np.ndarray] = field(default_factory=list)
    labels: np.ndarray | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EXAMPLES
    add = parser.add_argument
    add("source", type=Path, metavar="MODEL_OR_STUDY", help="Keras or QKeras model (.keras, .h5), or a study's directory")
    add("--format", required=True, metavar="FORMAT", help=", ".join(FORMATS))
    add("--candidate", metavar="ID", help="a study's candidate, by the beginning of its id; default: the front's most accurate")
    add("--output", type=Path, metavar="FILE", help="default: beside the model, or in the folder of the candidate or parent")
    add(
        "--events",
        type=Path,
        metavar="FILE.npz",
        help="events to compare with; default: the study's test split, else random ones",
    )
    add("--calibration", type=Path, metavar="FILE.npz", help="training events for tflite-int8; default: the study's first 1,000")
    add("--predictions", type=Path, metavar="FILE.npz", help="write labels, scores and the model's own scores for qap metrics")
    add("--precision", action="append", default=[], metavar="[NAME=]TYPE", help="qonnx: type of an input of a model file")
    add_trust(parser)
    add_shown(parser)


def run(options: argparse.Namespace) -> int:
    """Export, compare, write; return the exit code."""
    form = options.format
    if form not in FORMATS:
        raise InputError(f"--format: expected one of {', '.join(FORMATS)}, received {form!r}{suggestion(form, FORMATS)}")
    if options.output is not None and (options.output.is_dir() or not options.output.parent.is_dir()):
        raise InputError(f"--output: {options.output}: expected a file in a folder that exists")
    if options.predictions is not None and (options.predictions.suffix != ".npz" or not options.predictions.parent.is_dir()):
        raise InputError(f"--predictions: {options.predictions}: expected a file .npz in a folder that exists")
    if options.calibration is not None and form != "tflite-int8":
        raise InputError(f"--calibration: only tflite-int8 is calibrated, received --format {form}")
    try:
        source = _study(options) if (options.source / "config.yaml").is_file() else _file(options)
        export = _EXPORTS[form](source, form)
    except KeyboardInterrupt:
        print("qap export: stopped; nothing was written", file=sys.stderr)
        return 1
    output = options.output or source.output
    from qap.files import write_arrays, write_bytes

    predictions = {} if options.predictions is None else _predictions(export, form)
    try:
        write_bytes(output, export.data)
        if predictions:
            write_arrays(options.predictions, predictions)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be written: {error.strerror}") from None
    if options.json:
        made = {"file": str(output), "model": source.name, "format": form, "bytes": len(export.data)}
        print_json({**made, "compared": export.said})
    elif not options.quiet:
        print_lines(f"{output}: {source.name}, {len(export.data):,} bytes; {export.said}")
    return 0


def _predictions(export: Export, form: str) -> dict[str, np.ndarray]:
    """Return the arrays that ``qap metrics`` reads."""
    if not export.scores:
        raise InputError(f"--predictions: {form} holds weights only, which are not run: take qonnx for the scores")
    if len(export.scores) != 1 or export.labels is None:
        raise InputError("--predictions: expected a model with one output and events with the array labels")
    return {"labels": export.labels, "scores": export.scores[0], "reference": export.reference[0]}


def _study(options: argparse.Namespace) -> Source:
    from qap.commands.firmware import candidate_model, chosen_candidate, parse_precisions, study_data
    from qap.precision import Precision
    from qap.search.study import Study

    study = Study.open(options.source)
    candidate = chosen_candidate(study, options.candidate)
    name, folder = f"candidate {candidate.id}", study.candidate_directory(candidate)
    if options.format in FLOAT:
        if study.load_parent(candidate.architecture) is None:
            raise InputError(
                f"{study.directory}: the candidate {candidate.id} has no float parent in it: give a float Keras model"
            )
        model = study.parent_model(candidate.architecture)
        name, folder = f"float parent of candidate {candidate.id}", folder.parent.parent / "parents" / candidate.architecture.id
    else:
        model = candidate_model(study, candidate, None, options.trust)

    def events() -> tuple[list[np.ndarray], np.ndarray | None, str]:
        if options.events is not None:
            return _given(options.events, model, "--events")
        data = study_data(study)
        labels = data.test.y if data.task == "classification" else None
        return [data.test.x], labels, f"the test split of {data.name}"

    def calibration() -> tuple[np.ndarray, str]:
        if options.calibration is not None:
            return _calibration(options.calibration, model)
        data = study_data(study)
        return data.train.x[:CALIBRATION_EVENTS], f"the training split of {data.name}"

    grid = study.config.data.input
    inputs = parse_precisions(options.precision) or Precision(grid.bits, grid.integer)
    return Source(model, name, folder / f"model{FORMATS[options.format]}", events, calibration, inputs)


def _file(options: argparse.Namespace) -> Source:
    import numpy as np

    from qap.commands.firmware import parse_precisions
    from qap.firmware.model_file import load_model

    if options.candidate is not None:
        raise InputError(f"--candidate: {options.source} is no study, it has no candidates")
    path: Path = options.source
    model = load_model(path, options.trust)

    def events() -> tuple[list[np.ndarray], np.ndarray | None, str]:
        if options.events is not None:
            return _given(options.events, model, "--events")
        generator = np.random.default_rng(0)
        shapes = [(RANDOM_EVENTS, *tensor.shape[1:]) for tensor in model.inputs]
        return [generator.normal(size=shape) for shape in shapes], None, "a normal distribution (no --events given)"

    def calibration() -> tuple[np.ndarray, str] | None:
        return None if options.calibration is None else _calibration(options.calibration, model)

    output = path.parent / f"{path.stem}{FORMATS[options.format]}"
    return Source(model, path.name, output, events, calibration, parse_precisions(options.precision))


def _calibration(path: Path, model: Any) -> tuple[np.ndarray, str]:
    arrays, _, where = _given(path, model, "--calibration")
    return arrays[0], where


def _given(path: Path, model: Any, option: str) -> tuple[list[np.ndarray], np.ndarray | None, str]:
    """Read events of a file, each in the shape of its input."""
    import numpy as np

    from qap.commands.firmware import read_events

    try:
        found = read_events(path, [tensor.name for tensor in model.inputs])
    except InputError as error:
        raise InputError(str(error).replace("--inputs", option)) from None
    arrays = []
    for array, tensor in zip(found.x, model.inputs, strict=True):
        shape = tuple(tensor.shape[1:])
        values = np.asarray(array, np.float64)
        if values.ndim < 2 or values[0].size != int(np.prod(shape)):
            raise InputError(f"{option}: {path}: expected events of shape {shape}, received an array {values.shape}")
        if not np.isfinite(values).all():
            raise InputError(f"{option}: {path}: {int((~np.isfinite(values)).sum())} values are NaN or infinite")
        arrays.append(values.reshape(-1, *shape))
    labels = found.labels
    if labels is not None and np.shape(labels) != (len(arrays[0]),):
        raise InputError(f"{option}: {path}: labels: expected {len(arrays[0])} integers, received shape {np.shape(labels)}")
    return arrays, labels, str(path)


def _compared(found: Agreement, where: str, model: str) -> str:
    parts = [f"{found.events:,} events of {where}: largest difference to {model} {found.max_difference:.3g}"]
    if found.agreement is not None:
        parts.append(f"same class on {100 * found.agreement:.2f} %")
    if found.accuracy is not None:
        parts.append(f"accuracy {found.accuracy:.4f} ({model} {found.model_accuracy:.4f})")
    return ", ".join(parts)


def _close(found: Agreement, outputs: list[np.ndarray], form: str) -> None:
    """Refuse a float export that is off by more than rounding."""
    largest = max(1.0, *(float(abs(output).max()) for output in outputs))
    if not found.max_difference <= TOLERANCE * largest:
        raise QapError(
            f"{form}: the outputs differ from Keras's by up to {found.max_difference:.3g}, with outputs up to {largest:.3g}: "
            "more than rounding; nothing was written"
        )


def _tflite(source: Source, form: str) -> Export:
    from qap.exports.agreement import agree, keras_outputs
    from qap.exports.kinds import refuse_quantized
    from qap.exports.tflite import convert, integer_tensors, tflite_outputs

    kind, said = form.partition("-")[2] or "float", ""
    refuse_quantized(source.model, "TFLite")
    events = None
    if kind == "int8":
        given = source.calibration()
        if given is None:
            raise InputError(
                "--format tflite-int8: give training events by --calibration FILE.npz: they set the ranges of the integers"
            )
        events = given[0]
        said = f"calibrated on {len(events):,} events of {given[1]}; "
    data = convert(source.model, kind, events)
    if kind == "dynamic":
        kernels = sum(len(weight.shape) > 1 for weight in source.model.trainable_weights)
        said = f"{integer_tensors(data)} of {kernels} kernels in int8; "
    arrays, labels, where = source.events()
    outputs, scores = keras_outputs(source.model, arrays), [tflite_outputs(data, arrays[0])]
    found = agree(outputs, scores, labels)
    if kind == "float":
        _close(found, outputs, form)
    return Export(data, said + _compared(found, where, "Keras"), scores, outputs, labels)


def _onnx(source: Source, form: str) -> Export:
    from qap.exports.agreement import agree, keras_outputs
    from qap.exports.onnx_float import onnx_outputs, to_onnx

    data = to_onnx(source.model)
    arrays, labels, where = source.events()
    outputs, scores = keras_outputs(source.model, arrays), onnx_outputs(data, arrays)
    found = agree(outputs, scores, labels)
    _close(found, outputs, form)
    return Export(data, _compared(found, where, "Keras"), scores, outputs, labels)


def _qonnx(source: Source, form: str) -> Export:
    from qap.exports.agreement import agree
    from qap.exports.onnx_quant import on_grid, qonnx_outputs, to_qonnx
    from qap.firmware.model_file import quantized_inputs
    from qap.firmware.reference import Reference
    from qap.firmware.vectors import parity_vectors

    inputs = source.inputs or quantized_inputs(source.model)
    data, lowered = to_qonnx(source.model, inputs)
    vectors = parity_vectors(source.model, inputs, VECTORS)
    arrays, labels, where = source.events()
    arrays = on_grid(source.model, inputs, arrays)
    reference = Reference(source.model, lowered)
    sets = [
        (reference.outputs([array.reshape(len(array), -1) for array in part]), qonnx_outputs(data, part))
        for part in (arrays, vectors)
    ]
    found = [agree(*sets[0], labels), agree(*sets[1])]
    events, exact = sum(one.events for one in found), sum(one.exact for one in found)
    if exact != events:
        largest = max(one.max_difference for one in found)
        raise QapError(
            f"qonnx: {events - exact} of {events} events differ from QKeras, by up to {largest:.3g}: nothing was written; please "
            "report the model"
        )
    counts = f"{found[0].events:,} of {where}, {found[1].events:,} at boundaries and at random"
    said = f"{exact:,} of {events:,} events equal to QKeras in every bit ({counts})"
    said += "" if found[0].accuracy is None else f", accuracy {found[0].accuracy:.4f}"
    return Export(data, said, sets[0][1], sets[0][0], labels)


def _integers(source: Source, form: str) -> Export:
    import numpy as np

    from qap.exports.integers import integers_of, packed, unpacked

    tensors, kind = integers_of(source.model), form.partition("-")[2]
    data = packed(tensors, kind)
    again = unpacked(data, kind)
    for name, tensor in tensors.items():
        if not np.array_equal(again[name].values, tensor.values) or again[name].type.ap_fixed != tensor.type.ap_fixed:
            raise QapError(f"{form}: {name} is not read back as it was written: nothing was written")
    numbers = sum(tensor.integers.size for tensor in tensors.values())
    bits = sum(tensor.integers.size * tensor.type.bits for tensor in tensors.values())
    said = f"{numbers:,} weights in {len(tensors)} tensors, {bits:,} bits, read back and equal to what QKeras's quantizers give"
    return Export(data, said)


_EXPORTS: dict[str, Callable[[Source, str], Export]] = {
    "tflite": _tflite,
    "tflite-dynamic": _tflite,
    "tflite-int8": _tflite,
    "onnx": _onnx,
    "qonnx": _qonnx,
    "integers-json": _integers,
    "integers-npz": _integers,
}
