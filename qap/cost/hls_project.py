"""Read any hls4ml project for Vitis or Vivado, also old ones and ones that qap did not make."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qap.cost.hls_settings import check_backend, forced_multipliers, read_settings, read_text
from qap.cost.hls_source import (
    Call,
    HLSType,
    Struct,
    calls,
    closing,
    constants,
    evaluate,
    lookup,
    parse_type,
    split,
    strip_comments,
    structs,
    typedefs,
)  # fmt: skip
from qap.cost.hls_weights import arrange, expand_compressed, has_kernel, kernel_shape, read_array, repeats
from qap.errors import InputError

__all__ = ["HLSProject", "HLSType", "Layer", "Port", "read_project"]
COUNTS = (
    "n_in", "n_out", "n_chan", "filt_width", "filt_height", "in_width", "in_height", "out_width", "out_height", "y_out", "y_filt",
    "reuse_factor", "reuse", "n_nonzeros", "multiplier_limit",
)  # fmt: skip
"""Of a configuration struct: none is negative."""
HELPERS = re.compile(r"(save|load|print|copy|convert|read|write|fill|change|hls4ml)_\w+|\w+_from_txt")
"""Functions of nnet:: that are no part of the network."""


@dataclass(frozen=True, eq=False)
class Layer:
    """One nnet:: call of the top function.

    Parameters
    ----------
    name : str
        The comment that hls4ml puts behind the call or before the struct, else the struct's name.
    kind : str
        The nnet:: function: dense, conv_2d_cl, relu, softmax, normalize, pooling2d_cl …
    config : str
        The configuration struct, '' where the call has none (clone_stream).
    strategy : {'latency', 'resource', 'unrolled', 'distributed_arithmetic'} or None
    reuse_factor : int
    sizes : mapping
        All integers of the struct; those of a nested one as ``mult_config.n_in``.
    multiplier_limit : int or None
    inputs, weight, bias, accum, result : HLSType or None
    kernel : (products per output, outputs) array or None
        A convolution's im2col matrix, whatever the order in the files; None for layers without one.
    bias_values : (outputs,) array or None
    repeats : int
        How often the kernel is applied per inference.
    arrays : mapping of name → array
        All constants of the call, flat, in the order of the files.
    operands : tuple of str
        As the call has them: inputs, output, constants.
    inputs_count : int
        How many of the operands are inputs.
    """

    name: str
    kind: str
    config: str
    strategy: str | None
    reuse_factor: int
    sizes: Mapping[str, int]
    multiplier_limit: int | None
    inputs: HLSType | None
    weight: HLSType | None
    bias: HLSType | None
    accum: HLSType | None
    result: HLSType | None
    kernel: np.ndarray | None
    bias_values: np.ndarray | None
    repeats: int
    arrays: Mapping[str, np.ndarray]
    operands: tuple[str, ...]
    inputs_count: int


@dataclass(frozen=True, slots=True)
class Port:
    """An argument of the top function.

    Parameters
    ----------
    name : str
    type : str
        As declared, without the extents.
    extent : str
        Extents as declared: ``[16]``; '' for streams and scalars.
    hls_type : HLSType or None
        Of an element; None for what is not fixed-point.
    size : int or None
        Elements of an array; None for a stream.
    stream, output : bool
    """

    name: str
    type: str
    extent: str
    hls_type: HLSType | None
    size: int | None
    stream: bool
    output: bool


@dataclass(frozen=True, eq=False)
class HLSProject:
    """An hls4ml project as its files describe it.

    Parameters
    ----------
    directory : Path
    name : str
        Of the top function.
    backend : {'vitis', 'vivado'}
    part : str or None
    clock_ns : float or None
    io_type : {'io_parallel', 'io_stream', 'io_serial'}
        io_serial only in projects of 2018 and 2019.
    multipliers : {'dsp', 'lut'} or None
        What a directive forces multiplications into.
    layers : tuple of Layer
        In the order of the calls.
    ports : tuple of Port
        Arguments of the top function.
    """

    directory: Path
    name: str
    backend: str
    part: str | None
    clock_ns: float | None
    io_type: str
    multipliers: str | None
    layers: tuple[Layer, ...]
    ports: tuple[Port, ...]


@dataclass(frozen=True)
class _Source:
    """What the files of the firmware declare."""

    firmware: Path
    file: Path
    structs: Mapping[str, Struct]
    types: Mapping[str, str]
    constants: Mapping[str, str]
    text: str


def _top(directory: Path, name: str | None) -> Path:
    """Return the file of the top function.

    Raises
    ------
    InputError
        Not an hls4ml project, or half of one.
    """
    firmware = directory / "firmware"
    if not directory.is_dir() or not firmware.is_dir():
        raise InputError(f"{directory}: expected an hls4ml project for Vitis or Vivado, found no folder firmware in it")
    if name and re.fullmatch(r"\w{1,200}", name) and (firmware / f"{name}.cpp").is_file():
        return firmware / f"{name}.cpp"
    files = [path for path in sorted(firmware.glob("*.cpp")) if re.search(r"\bnnet::\w+\s*<", read_text(path))]
    if len(files) != 1:
        said = f"found {', '.join(path.name for path in files)}" if files else "found none"
        expected = f"firmware/{name}.cpp" if name else "one firmware/*.cpp that calls nnet:: functions"
        raise InputError(f"{directory}: expected an hls4ml project with {expected}, {said}: convert the model again")
    return files[0]


def _type_arguments(call: Call, struct: Struct | None, source: _Source) -> tuple[str, ...]:
    """Return the template arguments that are types of data: inputs, then the result."""
    arguments = call.arguments[: -1 if struct else None]
    return tuple(one for one in arguments if evaluate(one, lookup(source.constants)) is None)


def _types(call: Call, struct: Struct | None, nested: Struct | None, source: _Source) -> dict[str, Any]:
    """Return the types of a call's inputs, constants, accumulator and result; None for those that it has not."""
    scopes = [one.types for one in (struct, nested) if one is not None]
    known = lookup(*(one.constants for one in (struct, nested) if one is not None), source.constants)

    def resolve(name: str) -> str | None:
        for scope in (*scopes, source.types):
            if name in scope and scope[name] != name:
                return scope[name]
        compressed = re.search(rf"\bstruct\s+{re.escape(name)}\s*\{{[^}}]*row_index;[^}}]*?([^;{{}}]+)\bweight\s*;", source.text)
        return compressed[1].strip() if compressed else None

    def parse(name: str, kind: str) -> HLSType:
        return parse_type(name, resolve, known, f"{source.file}: nnet::{call.function}: {kind}")

    def own(*names: str) -> HLSType | None:
        name = next((name for name in names if any(name in scope for scope in scopes)), None)
        return None if name is None else parse(name, name)

    arguments = _type_arguments(call, struct, source)
    return {
        "inputs": parse(arguments[0], "type of the inputs") if arguments else None,
        "weight": own("scale_t") if call.function == "normalize" else own("weight_t", "weights_t"),
        "bias": own("bias_t", "beta_t"),
        "accum": own("accum_t"),
        "result": parse(arguments[-1], "type of the result") if arguments else None,
    }


def _strategy(call: Call, struct: Struct, nested: Struct | None) -> str | None:
    written = next((one.constants["strategy"] for one in (struct, nested) if one and "strategy" in one.constants), "")
    kernel = next((one.templates["kernel"] for one in (nested, struct) if one and "kernel" in one.templates), "")
    word = written.split("::")[-1].strip().lower()
    if word == "latency" and "unrolled" in kernel:  # hls4ml 1.x keeps the word of the default
        word = "resource_unrolled"
    names = {"resource_unrolled": "unrolled", "large": "resource", "compressed": "resource"}
    if word:
        return names.get(word, word)
    text = f"{call.function} {kernel}".lower()
    for sign, strategy in (
        ("unrolled", "unrolled"), ("resource", "resource"), ("large", "resource"), ("compressed", "resource"),
        ("latency", "latency"), ("compute_layer", "latency"), ("da_", "distributed_arithmetic"),
    ):  # fmt: skip
        if sign in text:
            return strategy
    return None


def _arrays(call: Call, sizes: Mapping[str, int], strategy: str | None, source: _Source) -> dict[str, Any]:
    """Return the constants of a call: kernel, bias and all arrays.

    Raises
    ------
    InputError
        Weights that are missing, or another number of values than the sizes ask for.
    """
    where = f"{source.file}: nnet::{call.function} ({call.title or call.arguments[-1]})"
    arrays = {}
    for name in call.operands[1:]:  # nnet::prelu has its constants before the result
        values = read_array(source.firmware, name) if re.fullmatch(r"[A-Za-z_]\w*", name) else None
        if values is not None:
            arrays[name] = values
    shape = kernel_shape(call.function, sizes) if has_kernel(call.function) else None
    result: dict[str, Any] = {"kernel": None, "bias_values": None, "arrays": arrays}
    if shape is None or len(call.operands) < 3:
        return result
    if min(shape) < 1:
        raise InputError(f"{where}: expected a kernel with products and outputs, received {shape[0]}×{shape[1]}: convert again")
    for name, size, kind in zip(call.operands[2:4], (shape[0] * shape[1], shape[1]), ("weights", "biases"), strict=False):
        if name not in arrays:
            raise InputError(
                f"{where}: the {kind} {name} are missing: expected firmware/weights/{name}.h or {name}.txt with {size} numbers"
            )
        values = arrays[name]
        if kind == "weights" and "row_index" in source.text and values.size == 3 * sizes.get("n_nonzeros", -1):
            result["kernel"] = expand_compressed(values, shape, where)
        elif values.size != size:
            raise InputError(
                f"{where}: expected {size} {kind} in firmware/weights/{name}, received {values.size}: the project is of two "
                "conversions, convert the model again"
            )
        elif kind == "weights":
            result["kernel"] = arrange(values, shape, strategy, call.function)
        else:
            result["bias_values"] = values
    return result


def _layer(call: Call, source: _Source) -> Layer:
    name = call.arguments[-1] if call.arguments else ""
    struct = source.structs.get(name)
    if struct is None:  # hls4ml 1.x writes Softmax_config7 and calls for softmax_config7
        struct = next((one for key, one in source.structs.items() if key.lower() == name.lower()), None)
    if struct is None and re.search(r"config", name, re.I):
        raise InputError(
            f"{source.file}: nnet::{call.function} needs the struct {name}, firmware/parameters.h has none of that name: the "
            "project is half-written, convert the model again"
        )
    nested = source.structs.get(struct.types.get("mult_config", "")) if struct else None
    types = _types(call, struct, nested, source)
    inputs = max(len(_type_arguments(call, struct, source)) - 1, 1)
    if struct is None:
        strategy = "distributed_arithmetic" if "_da_" in call.function else None
        return Layer(
            call.title or call.function, call.function, "", strategy, 1, {}, None, **types, kernel=None, bias_values=None,
            repeats=1, arrays={}, operands=call.operands, inputs_count=inputs,
        )  # fmt: skip
    kind, sizes = call.function, _sizes(struct, source)
    if nested:
        sizes |= {f"mult_config.{key}": value for key, value in _sizes(nested, source).items()}
    strategy = _strategy(call, struct, nested)
    constants_found = _arrays(call, sizes, strategy, source)
    if types["weight"] == HLSType(False, 1, 1) and constants_found["kernel"] is not None:
        constants_found["kernel"] = 2 * constants_found["kernel"] - 1  # one bit stands for -1 and 1
    reuse = next((sizes[key] for key in ("reuse_factor", "mult_config.reuse_factor", "reuse") if key in sizes), 1)
    limit = sizes.get("multiplier_limit", sizes.get("mult_config.multiplier_limit"))
    return Layer(
        call.title or struct.title or struct.name, kind, struct.name, strategy, max(reuse, 1), sizes, limit, **types,
        **constants_found, repeats=repeats(kind, sizes), operands=call.operands, inputs_count=inputs,
    )  # fmt: skip


def _sizes(struct: Struct, source: _Source) -> dict[str, int]:
    known = lookup(struct.constants, source.constants)
    values = {name: known(name) for name in struct.constants}
    for name, value in values.items():
        if name in COUNTS and value is not None and value < 0:
            where = f"{source.firmware}/parameters.h: {struct.name}"
            raise InputError(f"{where}: {name}: expected 0 or more, received {value}: convert the model again")
    return {name: value for name, value in values.items() if value is not None}


def _io_type(known: Mapping[str, str], top: str, source: _Source) -> str:
    words = [struct.constants.get("io_type", "") for struct in source.structs.values()]
    written = [word.split("::")[-1].strip() for word in words if word]
    if "hls::stream" in top or "io_stream" in written:
        return "io_stream"
    return next((word for word in (*written, known.get("io_type", "")) if word in ("io_parallel", "io_serial")), "io_parallel")


def _ports(top: str, name: str, layers: Sequence[Layer], source: _Source) -> tuple[Port, ...]:
    head = re.search(rf"\bvoid\s+{re.escape(name)}\s*\(", top)
    if head is None:
        raise InputError(f"{source.file}: expected the top function void {name}(…), found none: convert the model again")
    outputs = {operand for layer in layers for operand in layer.operands[layer.inputs_count :]}
    ports = []
    for text in split(top[head.end() : closing(top, head.end() - 1)]):
        found = re.fullmatch(r"(?:const\s+)?(.*?)\s*&?\s*\b(\w+)\s*((?:\[[^\]]*\]\s*)*)", text)
        if found is None:
            raise InputError(f"{source.file}: the argument {text!r} of {name} cannot be read: convert the model again")
        known = lookup(source.constants)
        try:
            kind = parse_type(found[1], source.types.get, known, str(source.file))
        except InputError:
            kind = None
        sizes = [evaluate(extent, known) for extent in re.findall(r"\[([^\]]*)\]", found[3])]
        stream = found[1].startswith("hls::stream")
        size = None if stream or None in sizes else math.prod(extent for extent in sizes if extent)
        ports.append(Port(found[2], found[1].strip(), found[3].strip(), kind, size, stream, found[2] in outputs or kind is None))
    return tuple(ports)


def _clock(directory: Path, text: str | None) -> float | None:
    """Return the clock period in ns, None where the project says none."""
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,6}(\.\d*)?|\.\d+", text, re.ASCII) or not float(text):
        raise InputError(f"{directory}: expected a clock period in ns, received {text!r}: convert the model again")
    return float(text)


def read_project(directory: Path) -> HLSProject:
    """Read an hls4ml project for Vitis or Vivado.

    Parameters
    ----------
    directory : path
        The folder that holds ``firmware/``; it may lack project.tcl, ap_types, nnet_utils and the test bench.

    Returns
    -------
    HLSProject

    Raises
    ------
    InputError
        Not an hls4ml project, a half-written one, another backend, types that are not fixed-point, weights that are
        missing or of another number; the message names the file.
    """
    directory = Path(directory)
    known = read_settings(directory)
    check_backend(directory, known)
    file = _top(directory, known.get("project_name"))
    firmware = file.parent
    if not (firmware / "parameters.h").is_file():
        raise InputError(
            f"{firmware}: found {file.name} but no parameters.h: the project is half-written, convert the model again"
        )
    top, parameters = read_text(file), read_text(firmware / "parameters.h")
    for path, text in ((file, top), (firmware / "parameters.h", parameters)):
        if strip_comments(text).count("{") != strip_comments(text).count("}"):
            raise InputError(f"{path}: its braces do not close: the project is half-written, convert the model again")
    defines = read_text(firmware / "defines.h") if (firmware / "defines.h").is_file() else ""
    backend = check_backend(directory, known, defines + parameters)
    found, rest = structs(parameters)
    outer = strip_comments(defines) + rest
    numbers = constants(outer) | {f"{s.name}::{key}": text for s in found.values() for key, text in s.constants.items()}
    source = _Source(firmware, file, found, typedefs(outer), numbers, outer)
    layers = tuple(_layer(call, source) for call in calls(top) if not HELPERS.fullmatch(call.function))
    if not layers:
        raise InputError(f"{file}: expected calls of nnet:: functions, found none: this is no top function of hls4ml")
    return HLSProject(
        directory, file.stem, backend, known.get("part"), _clock(directory, known.get("clock_period")),
        _io_type(known, top, source), forced_multipliers(directory, file), layers,
        _ports(strip_comments(top), file.stem, layers, source),
    )  # fmt: skip
