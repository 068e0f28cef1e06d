"""What a file says of itself before anything of it is loaded: the configuration of a Keras model, the sizes in a zip file.

A model file may hold Python code, or name functions and classes that Keras would import. Its configuration is plain JSON, so
that it can be judged without running any of that.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from qap.errors import InputError, suggestion
from qap.rehearsal import LostError, rehearse, seconds_for

CODE = ("Lambda", "TFOpLambda", "SlicingOpLambda", "__lambda__", "TFSMLayer", "__typespec__")
"""What holds Python code, or names a function or a file that would be run."""
PRUNING = "PruneLowMagnitude"
SCHEDULES = ("PolynomialDecay", "ConstantSparsity")
STRUCTURE = ("Functional", "Sequential", "Model", "InputLayer", "function", "__tensor__", "__numpy__", "__tuple__", "Policy")
PACKAGES = ("keras", "tf_keras", "qkeras", "builtins", "tensorflow_model_optimization")
LARGEST_UNPACKED = 1 << 30
"""Bytes that any file may unpack to."""
RATIO = 200
"""Beyond `LARGEST_UNPACKED` a file may unpack to this many times its own size: events that are mostly zeros reach 50."""
LARGEST_CONFIG = 1 << 26
"""Bytes of a model's configuration."""
SIZES = (
    "units", "filters", "kernel_size", "strides", "pool_size", "dilation_rate", "padding", "cropping", "size", "n", "input_dim",
    "output_dim", "input_shape", "batch_input_shape", "batch_shape", "build_input_shape", "target_shape", "dims",
    "depth_multiplier",
)  # fmt: skip
LARGEST_SIZE = 1 << 24
"""Of what `SIZES` names."""
LARGEST_NUMBER = 1 << 16
"""Of the whole numbers of QKeras's layers and quantizers."""
UNROLLED = ("number_of_unrolls", "ternary", "stochastic_ternary")
LARGEST_UNROLLS = 100
_CALL = re.compile(r"\s*(\w+)\s*\(")
_WHOLE = re.compile(r"(?<![\w.])\d+(?![\w.])")
_SUFFIXES = (".h5", ".hdf5")
_WEIGHTS = "model.weights.h5"


@dataclass(frozen=True)
class Known:
    """What a model file may name.

    Parameters
    ----------
    classes : collection of str
        Of layers, quantizers, initializers, regularizers and constraints.
    functions : collection of str
    layers : collection of str
        The classes that a message proposes.
    """

    classes: Collection[str]
    functions: Collection[str]
    layers: Collection[str]


def check_zip(source: Path | IO[bytes], where: str) -> list[zipfile.ZipInfo]:
    """Refuse a zip file that unpacks to absurd sizes or names members outside of itself; return its members.

    Parameters
    ----------
    source : path or binary file
    where : str
        For messages.

    Raises
    ------
    InputError
        `LARGEST_UNPACKED` and `RATIO` have the limits.
    zipfile.BadZipFile, OSError
        No zip file.
    """
    with zipfile.ZipFile(source) as archive:
        members = archive.infolist()
    unpacked, packed = sum(one.file_size for one in members), sum(one.compress_size for one in members)
    if unpacked > max(LARGEST_UNPACKED, RATIO * packed):
        raise InputError(
            f"{where}: {packed:,} bytes that unpack to {unpacked:,}: expected at most {RATIO} times as many: if it is "
            "yours, save it without compression"
        )
    for one in members:
        path = PurePosixPath(one.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:[\\/]", one.filename):
            raise InputError(f"{where}: the member {one.filename!r} lies outside of the file: it is not read")
    return members


def read_arrays(source: Path | bytes, where: str, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Read the plain arrays of an .npz file.

    Parameters
    ----------
    source : path or bytes
        The file, or its content.
    where : str
        For messages.
    names : collection of str, optional
        The arrays to read, where they are there (default: all).

    Raises
    ------
    InputError
        No such file, a damaged one, arrays of Python objects, absurd sizes.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        check_zip(file, where)
        with np.load(file, allow_pickle=False) as arrays:
            wanted = [name for name in arrays.files if names is None or name in names]
            found = {name: arrays[name] for name in wanted}
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{where}: no such file") from None
    except Exception as error:  # zipfile, zlib, numpy and the tokenizer that reads its headers have one of a dozen each
        objects = "allow_pickle" in str(error)
        why = "holds Python objects" if objects else (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{where}: not a readable .npz file of plain arrays: {why}") from None
    for name, array in found.items():
        if not isinstance(array, np.ndarray):
            raise InputError(f"{where}: not a readable .npz file of plain arrays: {name} is no array")
        check_text(array, f"{where}: {name}")
    return found


def check_text(array: np.ndarray, where: str) -> None:
    """Refuse an array of text with numbers that stand for no sign: Python stumbles over them.

    Raises
    ------
    InputError
    """
    if array.dtype.kind == "U" and array.size:
        signs = np.frombuffer(array.tobytes(), np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if signs.size and signs.max() > sys.maxunicode:
            raise InputError(f"{where}: damaged: its text holds {int(signs.max()):#x}, which is no sign")


def configuration(path: Path) -> dict[str, Any]:
    """Return the configuration of a Keras model as it stands in its file.

    Parameters
    ----------
    path : path
        ``.keras`` or ``.h5``.

    Raises
    ------
    InputError
        No such file, another kind of file, weights without a model, a damaged one.
    """
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            raise InputError(f"{path}: a SavedModel is a program: expected the model as .keras or .h5: model.save('model.keras')")
        raise InputError(f"{path}: expected a model file (.keras, .h5), a study or a delivery, it is another directory")
    if not path.is_file():
        raise InputError(f"{path}: no such model file or study")
    text: str | bytes
    if path.suffix == ".keras" and zipfile.is_zipfile(path):
        text = _zipped(path)
    elif path.suffix in _SUFFIXES:
        text = _hdf5(path)
    else:
        raise InputError(f"{path}: expected a Keras model saved as .keras or .h5")
    try:
        config = json.loads(text)
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise InputError(f"{path}: damaged: its configuration is not a Keras model's")
    return config


def _zipped(path: Path) -> bytes:
    try:
        sizes = {one.filename: one.file_size for one in check_zip(path, str(path))}
        if sizes.get("config.json", 0) > LARGEST_CONFIG:
            raise InputError(f"{path}: damaged: its configuration has {sizes['config.json']:,} bytes")
        with zipfile.ZipFile(path) as archive:
            text = archive.read("config.json")
    except InputError:
        raise
    except Exception as error:  # zipfile has one of a dozen for a damaged member: zlib.error, NotImplementedError, EOFError, …
        raise InputError(f"{path}: damaged, or no Keras model: {error}") from None
    if _WEIGHTS in sizes:
        _rehearsed(path, _weights)
    return text


def _hdf5(path: Path) -> str:
    found = _rehearsed(path, _saved)
    if found is None:
        raise InputError(f"{path}: damaged: not an HDF5 file")
    if "config" not in found:
        raise InputError(f"{path}: holds weights but no model: save it with model.save(…), not model.save_weights(…)")
    return str(found["config"])


def _rehearsed(path: Path, read: Callable[[str], Any]) -> Any:
    """Read a file in a process of its own, all of it: there are damaged ones that HDF5 never comes back from, or dies of."""
    try:
        return rehearse(read, str(path), seconds=seconds_for(path))
    except LostError:
        raise InputError(f"{path}: damaged: HDF5 gets lost in it") from None


def _weights(path: str) -> None:
    with zipfile.ZipFile(path) as archive, archive.open(_WEIGHTS) as member:
        _read_all(member)


def _saved(path: str) -> dict[str, str]:
    """Return the configuration of the model in an HDF5 file, where it has one."""
    config = _read_all(path)
    return {} if config is None else {"config": config.decode(errors="replace") if isinstance(config, bytes) else str(config)}


def _read_all(file: str | IO[bytes]) -> Any:
    """Read what is in an HDF5 file and what it links to; return the configuration of its model."""
    import h5py  # type: ignore[import-untyped]

    with h5py.File(file, "r") as opened:
        waiting, seen = ["/"], set()
        while waiting:
            name = waiting.pop()
            with contextlib.suppress(Exception):  # Keras says it, if it needs what is there
                item = opened[name]
                place = h5py.h5o.get_info(item.id)
                if (place.fileno, place.addr) in seen:
                    continue
                seen.add((place.fileno, place.addr))
                for attribute in item.attrs:
                    with contextlib.suppress(Exception):
                        item.attrs[attribute]
                if isinstance(item, h5py.Dataset):
                    item[()]
                else:
                    waiting += [f"{name}/{key}" for key in item]
        return opened.attrs.get("model_config")


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every dict of a configuration; what compile() was given is not loaded."""
    if isinstance(value, dict):
        yield value
        for key, item in value.items():
            if key != "compile_config":
                yield from parts(item)
    elif isinstance(value, list):
        for item in value:
            yield from parts(item)


def _label(part: dict[str, Any]) -> str:
    config = part.get("config")
    return str(part.get("name") or (config.get("name") if isinstance(config, dict) else None) or part.get("class_name"))


def refuse_code(config: dict[str, Any], path: Path, known: Known, cure: str) -> None:
    """Refuse a configuration with code, unknown classes, functions of other packages, calls in text, or absurd sizes.

    Parameters
    ----------
    config : dict
        From `configuration`.
    path : path
        For messages.
    known : Known
    cure : str
        What to do about a layer that holds code.

    Raises
    ------
    InputError
    """
    try:
        for part in parts(config):
            _check_class(part, path, known, cure)
            _check_values(part, path, known)
            if isinstance(part.get("layers"), list):
                _check_graph(part["layers"], path)
    except RecursionError:
        raise InputError(f"{path}: damaged: its configuration is nested too deeply") from None


def _check_class(part: dict[str, Any], path: Path, known: Known, cure: str) -> None:
    kind = part.get("class_name")
    if kind in CODE:
        raise InputError(f"{path}: {_label(part)}: a {kind} layer holds code: {cure}")
    if isinstance(kind, str) and kind not in known.classes and kind != PRUNING and not (kind in SCHEDULES and "config" in part):
        near = suggestion(kind, known.layers)
        near = near if "did you mean" in near else ""
        raise InputError(
            f"{path}: {_label(part)}: {kind} is not a layer of Keras or QKeras that qap knows{near}: its code is not "
            "loaded from a file"
        )
    module, function = part.get("module"), part.get("config")
    if isinstance(module, str) and kind and module.split(".")[0] not in PACKAGES:
        raise InputError(f"{path}: {_label(part)}: {module}.{kind} is not of Keras or QKeras: its code is not loaded from a file")
    if kind == "function" and not (isinstance(function, str) and function in known.functions):
        raise InputError(
            f"{path}: the function {function!r} is not of Keras or QKeras: use a named activation or a QKeras quantizer"
        )


def _check_graph(layers: list[Any], path: Path) -> None:
    """Refuse layers that wait for each other or for calls that are not there: Keras would wait for ever."""
    calls = {
        (str(one.get("name")), at): node
        for one in layers
        if isinstance(one, dict) and isinstance(one.get("inbound_nodes"), list)
        for at, node in enumerate(one["inbound_nodes"] or ([[]] if one.get("class_name") == "InputLayer" else []))
    }
    names, done = {name for name, _ in calls}, set[tuple[str, int]]()
    names |= {str(one.get("name")) for one in layers if isinstance(one, dict)}
    waiting = {call: set(_origins(node, names)) for call, node in calls.items()}
    while ready := [call for call, origins in waiting.items() if origins <= done]:
        done.update(ready)
        for call in ready:
            del waiting[call]
    if waiting:
        raise InputError(f"{path}: damaged: the inputs of the layer {next(iter(waiting))[0]!r} come from no layer")


def _origins(node: Any, names: Collection[str]) -> Iterator[tuple[str, int]]:
    """Yield the calls whose outputs a call takes, as ``[name, number of the call, number of the output, …]``."""
    items = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, list) and len(node) >= 3 and isinstance(node[0], str) and node[0] in names:
        yield node[0], node[1] if isinstance(node[1], int) else -1
    for one in items:
        yield from _origins(one, names)


def _check_values(part: dict[str, Any], path: Path, known: Known) -> None:
    """Refuse calls in text, and numbers that Keras would ask memory or time for: no layer is that large."""
    for key, value in part.items():
        call = _CALL.match(value) if isinstance(value, str) and key != "name" else None
        if call and call[1] not in known.functions:
            raise InputError(f"{path}: {key}: {value[:60]!r} is not a QKeras quantizer")
        if call:
            _at_most(_largest(call[1]), (int(one[:30]) for one in _WHOLE.findall(value)), f"{path}: {key}: {value[:60]!r}")
        if key in SIZES:
            _at_most(LARGEST_SIZE, value if isinstance(value, list) else [value], f"{path}: {_label(part)}: {key}")
    kind, config = part.get("class_name"), part.get("config")
    if isinstance(config, dict) and isinstance(kind, str) and kind in known.functions:
        for key, value in config.items():
            if key != "seed":
                _at_most(_largest(key), [value], f"{path}: {_label(part)}: {key}")


def _largest(name: str) -> int:
    """Return the largest whole number that a QKeras object takes: quantizers raise 2 to it, ternary ones repeat themselves."""
    return LARGEST_UNROLLS if name in UNROLLED else LARGEST_NUMBER


def _at_most(largest: int, values: Iterable[Any], where: str) -> None:
    for one in values:
        if isinstance(one, int) and abs(one) > largest:
            raise InputError(f"{where}: expected at most {largest:,}, received {str(one)[:30]}")
