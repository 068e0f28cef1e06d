"""Convert a QKeras model to an HLS project through hls4ml, exactly or not at all."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from qap.backend import hls4ml
from qap.config.schema import Firmware
from qap.errors import InputError, QapError, ToolMissingError, suggestion
from qap.firmware.lowering import Inputs, Lowered, Tensor, features, holding, lower
from qap.firmware.project import FILE, SETTINGS, Port, Project
from qap.precision import Precision

TABLE_TYPES = ("table", "exp_table", "inv_table", "inv_inp", "inp_norm", "accum_table", "param")
STRATEGIES = {
    "Latency": "latency",
    "Resource": "resource",
    "distributed_arithmetic": "distributed_arithmetic",
    "Unrolled": "resource_unrolled",
}
"""Strategies and the names that hls4ml gives them inside; it takes an unknown one for latency."""
NAME = "qap"
"""Of the top function."""


def convert(
    model: Any,
    inputs: Inputs,
    directory: Path,
    settings: Firmware | None = None,
    *,
    test_inputs: Any = None,
    test_outputs: Any = None,
    accept: Sequence[str] = (),
    head: Literal["logits", "argmax"] = "logits",
) -> Project:
    """Write the HLS project of a model, quantized weights and every type set explicitly.

    Parameters
    ----------
    model : keras.Model
        QKeras and Keras layers; the float latent weights are quantized on the way, the model is left as it is.
    inputs : Precision, tuple of Precision (one per feature), or mapping of input name → one of these
        Fixed-point type of the inputs.
    directory : Path
        Where the project goes: new, empty, or holding an earlier project, which is replaced.
    settings : Firmware, optional
        Backend, part, clock, io type, strategy, reuse factors.
    test_inputs, test_outputs : arrays, optional
        Events for the test bench in ``tb_data``: inputs, and the outputs that are expected.
    accept : sequence of str, optional
        Names of layers whose tables (softmax, real tanh or sigmoid) may be approximate.
    head : {'logits', 'argmax'}, default 'logits'
        End at the model's outputs, or at 1 for the largest of them and 0 for the others.

    Returns
    -------
    Project

    Raises
    ------
    InputError
        A layer that cannot be exact (layer, what, why, what to do), or settings that do not fit the model.
    ToolMissingError
        ``distributed_arithmetic`` without da4ml.
    """
    settings = settings or Firmware()
    if settings.Strategy == "distributed_arithmetic" and importlib.util.find_spec("da4ml") is None:
        raise ToolMissingError("Strategy distributed_arithmetic needs da4ml: pip install 'da4ml>=0.6,<0.7'")
    directory = Path(directory).absolute()
    _check_free(directory)
    lowered = lower(model, inputs, accept=accept, head=head)
    reference = lowered.reference
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as folder:
        temporary = Path(folder) / "project"
        _write(lowered, temporary, settings)
        project = Project(
            temporary,
            NAME,
            tuple(_port(tensor, inputs) for tensor in lowered.inputs),
            tuple(_port(tensor) for tensor in lowered.outputs),
            settings.model_dump(mode="json", include=set(SETTINGS)),
            _traces(lowered),
            dict(lowered.layers),
            reference,
            dict(lowered.bounds),
            head,
        )
        project.save()
        if test_inputs is not None:
            write_test_vectors(project, test_inputs, test_outputs)
        if directory.exists():
            shutil.rmtree(directory)
        temporary.replace(directory)
    return Project.load(directory)


def write_test_vectors(project: Project, x: Any, outputs: Any = None) -> None:
    """Write ``tb_data``: one event per line, inputs one after the other, and the expected outputs.

    Parameters
    ----------
    project : Project
    x : array or sequence of arrays
        Inputs, as `Project.arrays` takes them.
    outputs : array or sequence of arrays, optional
        Expected outputs in the order of the project's outputs.
    """
    folder = project.directory / "tb_data"
    _write_lines(folder / "tb_input_features.dat", np.concatenate(project.quantized(x), axis=1))
    if outputs is not None:
        parts = outputs if isinstance(outputs, list | tuple) else [outputs]
        flat = [np.asarray(part, np.float64).reshape(len(part), -1) for part in parts]
        _write_lines(folder / "tb_output_predictions.dat", np.concatenate(flat, axis=1))


def _write_lines(path: Path, rows: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}")
    with temporary.open("w") as file:
        file.writelines(" ".join(repr(float(value)) for value in row) + "\n" for row in rows)
    temporary.replace(path)


def _check_free(directory: Path) -> None:
    if directory.is_dir() and any(directory.iterdir()) and not (directory / FILE).is_file():
        raise InputError(f"{directory}: expected a new or empty directory, or an earlier project; it holds other files")
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory}: expected a directory, it is a file")


def _port(tensor: Tensor, inputs: Inputs | None = None) -> Port:
    if inputs is None:
        return Port(tensor.layer, tensor.shape, tensor.type)
    kind = inputs[tensor.layer] if isinstance(inputs, Mapping) else inputs
    kinds = features(tensor.layer, kind, tensor.shape[-1])
    each = () if isinstance(kind, Precision) else tuple(str(one) for one in kinds)
    return Port(tensor.layer, tensor.shape, tensor.type, str(holding(kinds)), each)


def _traces(lowered: Lowered) -> dict[str, Port]:
    """Where the firmware holds each call's output; averages that a quantizer rounds later are left out."""
    inputs = {tensor.layer for tensor in lowered.inputs}
    return {
        call: Port(tensor.layer, tensor.shape, tensor.type)
        for call, tensor in lowered.finals.items()
        if tensor.layer not in inputs and tensor.values.divisor == 1
    }


def reuse_factors(settings: Firmware, lowered: Lowered) -> tuple[int, dict[str, int]]:
    """Return the default reuse factor and those of single layers.

    Raises
    ------
    InputError
        A layer that the model has not.
    """
    if isinstance(settings.ReuseFactor, int):
        return settings.ReuseFactor, {}
    factors = dict(settings.ReuseFactor)
    default = factors.pop("Model", 1)
    for name in factors:
        if name not in lowered.finals:
            raise InputError(f"firmware.ReuseFactor: the model has no layer {name!r}{suggestion(name, lowered.finals)}")
    return default, factors


def _configuration(module: Any, lowered: Lowered, settings: Firmware) -> dict[str, Any]:
    default, factors = reuse_factors(settings, lowered)
    config = module.utils.config_from_keras_model(
        lowered.model, granularity="name", backend=settings.Backend, default_reuse_factor=default
    )
    strategy = STRATEGIES[settings.Strategy]
    config["Model"].update(Strategy="latency")
    owners = {tensor.layer: call for call, tensor in lowered.finals.items()}
    for name, layer in config["LayerName"].items():
        # hls4ml splits the activation argument off a layer, as <name>_linear; it vanishes when its type is the layer's
        own = name if name in lowered.types else name.removesuffix("_linear")
        layer["Precision"] = {**layer.get("Precision", {}), **lowered.types[own]}
        if own == name:  # hls4ml reads the types of tables and parameters here, not under Precision
            layer.update({f"{kind}_t": text for kind, text in lowered.types[own].items() if kind in TABLE_TYPES})
        layer.update(lowered.options[own])
        layer.update(Trace=True, Strategy=strategy if "weight" in lowered.types[own] else "latency")
        if owners.get(own) in factors:
            layer["ReuseFactor"] = factors[owners[own]]
    return config


def _write(lowered: Lowered, directory: Path, settings: Firmware) -> None:
    with hls4ml() as module, warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        config = _configuration(module, lowered, settings)
        try:
            graph = module.converters.convert_from_keras_model(
                lowered.model,
                hls_config=config,
                backend=settings.Backend,
                io_type=settings.IOType,
                part=settings.Part,
                clock_period=settings.ClockPeriod,
                output_dir=str(directory),
                project_name=NAME,
            )
            check_types(graph, lowered)
            check_strategy(graph, lowered, settings)
            graph.config.trace_output = True
            graph.write()
        except QapError:
            raise
        except Exception as error:  # hls4ml raises bare Exception for whatever it cannot do
            raise QapError(
                f"hls4ml refused the model: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
            ) from error
    _tidy(directory)


def _embed_constants(directory: Path) -> None:
    """Let the C-simulation take the constants from the headers that are synthesised, not from copies in text files.

    They stand once, as a macro; the simulation converts them from double at its first call, which compiles several
    times faster than initialised arrays of fixed-point numbers, and the library needs no files beside it.
    """
    header = re.compile(r"(\w[\w ]*?) (\w+)\[(\d+)\];\n#else\n\1 \2\[\3\] = (\{.*?\});", re.DOTALL)
    for path in (directory / "firmware/weights").glob("*.h"):
        text = header.sub(
            r"static const double \2_values[\3] = \2_VALUES;\n\1 \2[\3];\n#else\n\1 \2[\3] = \2_VALUES;",
            path.read_text(),
        )
        constants = header.search(path.read_text())
        if constants is None:
            raise QapError(f"{path.name}: the constants are not where this version of hls4ml was known to put them")
        text = text.replace("#ifndef __SYNTHESIS__", f"#define {constants[2]}_VALUES {constants[4]}\n\n#ifndef __SYNTHESIS__", 1)
        path.write_text(text)
    source = directory / f"firmware/{NAME}.cpp"
    load = r'nnet::load_weights_from_txt<[^,]+, \d+>\((\w+), "\w+\.txt"\)'
    text = re.sub(load, r"std::copy(std::begin(\1_values), std::end(\1_values), \1)", source.read_text())
    if "_from_txt" in text:
        raise QapError(f"{source.name}: constants of a kind that is read from text files are not converted")
    source.write_text(text.replace("#include <iostream>", "#include <algorithm>\n#include <iostream>\n#include <iterator>", 1))
    for path in (directory / "firmware/weights").glob("*.txt"):
        path.unlink()


def _tidy(directory: Path) -> None:
    """Mend what hls4ml writes: a test bench in float, which logs every layer, and paths of the working directory."""
    _embed_constants(directory)
    test = directory / f"{NAME}_test.cpp"
    text = test.read_text().replace("bool trace_enabled = true;", "bool trace_enabled = false;")
    test.write_text(text.replace("std::vector<float>", "std::vector<double>").replace("_data<float,", "_data<double,"))
    (directory / "keras_model.keras").unlink(missing_ok=True)
    config = directory / "hls4ml_config.yml"
    lines = config.read_text().splitlines(keepends=True)
    config.write_text("".join(line for line in lines if not line.startswith(("OutputDir:", "KerasModel:"))))


def check_types(graph: Any, lowered: Lowered) -> None:
    """Hold hls4ml to the types that were set: nothing overridden, merged away or inferred.

    Raises
    ------
    QapError
        A layer's result has another type, or a layer is missing.
    """
    found = {layer.name: layer for layer in graph.get_layers()}
    for name, types in lowered.types.items():
        layer = found.get(name)
        if name in lowered.moving:
            continue
        if layer is None:
            raise QapError(f"{name}: hls4ml has removed the layer; it must stay to round as QKeras does")
        parse = graph.config.backend.convert_precision_string
        for kind, text in types.items():
            received = _type_of(layer, kind)
            if received is not None and _words(received) != _words(parse(text)):
                raise QapError(f"{name}: hls4ml gives its {kind} the type {received}, expected {text}")


def check_strategy(graph: Any, lowered: Lowered, settings: Firmware) -> None:
    """Hold hls4ml to the strategy and the reuse factors that were asked for; it replaces what it cannot do.

    Raises
    ------
    InputError
        The layer, and the valid reuse factors where there are any.
    """
    default, factors = reuse_factors(settings, lowered)
    owners = {tensor.layer: call for call, tensor in lowered.finals.items()}
    for layer in graph.get_layers():
        received, reuse = layer.get_attr("strategy"), layer.get_attr("reuse_factor")
        if not layer.weights or received is None or layer.class_name in ("BatchNormalization", "ApplyAlpha"):
            continue
        expected = factors.get(owners.get(layer.name, ""), default)
        name = lowered.layers.get(owners.get(layer.name, ""), layer.name)
        if reuse is not None and reuse != expected:
            valid = graph.config.backend.get_valid_reuse_factors(*graph.config.backend.get_layer_mult_size(layer)[:2])
            raise InputError(
                f"firmware.ReuseFactor: {name}: {expected} is not valid with Strategy {settings.Strategy}; valid are "
                f"{', '.join(map(str, valid))}"
            )
        if "Depthwise" in layer.class_name and settings.Strategy == "Resource" and settings.IOType == "io_parallel":
            raise InputError(
                f"firmware.Strategy: {name}: hls4ml has no Resource strategy for depthwise convolutions with "
                "io_parallel: use "
                "Latency, or io_stream"
            )
        if received.lower() != STRATEGIES[settings.Strategy]:
            raise InputError(
                f"firmware.Strategy: {name}: {settings.Strategy} is not available for this layer with "
                f"{settings.IOType} and "
                f"ReuseFactor {expected}, hls4ml would take {received}: use Latency or Resource"
                + (", or a ReuseFactor above 1" if settings.Strategy == "Unrolled" and expected == 1 else "")
            )


def _type_of(layer: Any, kind: str) -> Any:
    """Return the precision that a layer of hls4ml's graph has for its result, accumulator or constants."""
    if kind == "result":
        return layer.get_output_variable().type.precision
    variable = layer.weights.get(kind)
    named = variable.type if variable is not None else layer.get_attr(f"{kind}_t")
    return None if named is None else named.precision


def _words(precision: Any) -> tuple[Any, ...]:
    """Return width, integer bits, sign, rounding and overflow."""
    modes = (getattr(precision, "rounding_mode", None), getattr(precision, "saturation_mode", None))
    return precision.width, precision.integer, precision.signed, *(str(mode or "") for mode in modes)
