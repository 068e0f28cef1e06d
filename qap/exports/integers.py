"""Weights as fixed-point integers, in JSON and NumPy files, and the reader of both."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qap.archive import read_arrays
from qap.backend import float32
from qap.errors import InputError
from qap.exports.kinds import quantized_layers
from qap.exports.weight_types import FixedType, weight_type
from qap.firmware.quantizers import constants
from qap.firmware.rebuild import leaves
from qap.firmware.reference import FOLDED
from qap.firmware.values import Grid
from qap.precision import is_whole

FORMAT = "qap-integers"
VERSION = 1
MAX_BITS = 63
"""Of a tensor in a file: NumPy's integers have 64."""
NAMES = {"kernel": "kernel", "depthwise_kernel": "depthwise", "pointwise_kernel": "pointwise", "bias": "bias"}
"""Keras's names of weights → ours, those of QKeras's quantizers."""
_AP_FIXED = re.compile(r"ap_(u?)fixed<(\d+),(-?\d+)>")


@dataclass(frozen=True, eq=False)
class FixedPoint:
    """A weight tensor as integers.

    Parameters
    ----------
    type : FixedType
    integers : int64 array
        In Keras's layout: Dense kernels (inputs, units), convolutions (positions …, channels, filters).
    precision : str, default ''
        The QKeras quantizer that made the values, as text.
    """

    type: FixedType
    integers: np.ndarray
    precision: str = ""

    @property
    def values(self) -> np.ndarray:
        """The weights: integer · 2**-fractional, float64, exact."""
        return np.ldexp(self.integers.astype(np.float64), -self.type.fractional)


Tensors = Mapping[str, FixedPoint]
"""By ``layer/weight``, for example ``fc1/kernel``, in the order of the model."""


def integers_of(model: Any) -> dict[str, FixedPoint]:
    """Quantize a QKeras model's weights with its own quantizers and write them as integers.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    dict of ``layer/weight`` to FixedPoint
        In the declared type of the quantizer where it holds all values, else (scales per channel, powers of two, layers
        without a quantizer whose weights stand on a short grid) in the narrowest type that does.

    Raises
    ------
    InputError
        No QKeras layer; a layer whose weights are no fixed-point constants (batch normalization); float weights.
    """
    if not quantized_layers(model):
        raise InputError(f"integers: {model.name} has no QKeras layer: its weights are floats; export it as onnx or tflite")
    found: dict[str, FixedPoint] = {}
    for outer in leaves(model):
        layer = getattr(outer, "layer", outer)
        for what, latent in _latent(layer):
            quantizer = getattr(layer, f"{what}_quantizer_internal", None)
            grid = constants(layer.name, what, quantizer, latent)
            kind = weight_type(quantizer, grid)
            shift = grid if any(grid.values.ravel()) else Grid(grid.values, -kind.fractional)
            found[f"{outer.name}/{what}"] = FixedPoint(kind, shift.at(-kind.fractional).astype(np.int64), _text(quantizer))
    return found


def _latent(layer: Any) -> list[tuple[str, np.ndarray]]:
    """Return a layer's float weights by name."""
    if type(layer).__name__ in FOLDED:
        with float32():
            values = [np.asarray(value) for value in layer.get_folded_weights()]
        return list(zip(("depthwise" if "Depthwise" in type(layer).__name__ else "kernel", "bias"), values, strict=True))
    names = [weight.name.rsplit("/", 1)[-1].split(":")[0] for weight in layer.weights]
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise InputError(
            f"integers: {layer.name}: {type(layer).__name__} holds {', '.join(unknown)}, no fixed-point constants: fold it into "
            "the layer before it"
        )
    return [(NAMES[name], np.asarray(value)) for name, value in zip(names, layer.get_weights(), strict=True)]


def _text(quantizer: Any) -> str:
    return "" if quantizer is None else str(quantizer)


def to_json(tensors: Tensors) -> str:
    """Return the JSON form: types as text and in bits, shapes, integers nested as the shape says."""
    listed = {
        name: {
            "precision": tensor.precision,
            "type": tensor.type.ap_fixed,
            "bits": tensor.type.bits,
            "fractional_bits": tensor.type.fractional,
            "shape": list(tensor.integers.shape),
            "integers": tensor.integers.tolist(),
        }
        for name, tensor in tensors.items()
    }
    head = {"format": FORMAT, "version": VERSION, "value": "integer * 2**-fractional_bits"}
    return json.dumps({**head, "weights": listed}, separators=(",", ":")) + "\n"


def to_arrays(tensors: Tensors) -> dict[str, np.ndarray]:
    """Return the NumPy form: ``fc1/kernel`` holds the integers; ``…:type``, ``…:fractional_bits`` and ``…:precision`` say what
    they are.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        arrays[name] = tensor.integers.astype(np.int64)
        arrays[f"{name}:type"] = np.array(tensor.type.ap_fixed)
        arrays[f"{name}:fractional_bits"] = np.array(tensor.type.fractional, np.int64)
        arrays[f"{name}:precision"] = np.array(tensor.precision)
    return arrays


def packed(tensors: Tensors, form: str) -> bytes:
    """Return the file's bytes in the form ``json`` or ``npz``."""
    if form == "json":
        return to_json(tensors).encode()
    buffer = io.BytesIO()
    np.savez(buffer, **to_arrays(tensors))  # type: ignore[arg-type]
    return buffer.getvalue()


def unpacked(data: bytes, form: str, where: str = "integers") -> dict[str, FixedPoint]:
    """Read the bytes of a file.

    Raises
    ------
    InputError
        Another format, or integers that do not fit their shape or type.
    """
    entries = _from_npz(data, where) if form == "npz" else _from_json(data, where)
    return {name: _tensor(f"{where}: {name}", entry) for name, entry in entries.items()}


def read_integers(path: Path | str) -> dict[str, FixedPoint]:
    """Read a file, ``.npz`` or JSON.

    Raises
    ------
    InputError
        No such file, another format, or integers that do not fit their shape or type.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    return unpacked(data, "npz" if path.suffix == ".npz" else "json", str(path))


def _from_json(data: bytes, where: str) -> dict[str, Any]:
    try:
        tree = json.loads(data)
        known = tree["format"] == FORMAT and tree["version"] == VERSION and isinstance(tree["weights"], dict)
    except (ValueError, KeyError, TypeError, RecursionError):
        known = False
    if not known:
        raise InputError(f"{where}: expected a JSON file of the format {FORMAT}, version {VERSION}")
    return dict(tree["weights"])


def _from_npz(data: bytes, where: str) -> dict[str, Any]:
    arrays = read_arrays(data, where)
    entries: dict[str, Any] = {}
    for name, array in arrays.items():
        if ":" not in name:
            keys = [key for key in ("type", "fractional_bits", "precision") if f"{name}:{key}" in arrays]
            said = {key: arrays[f"{name}:{key}"].tolist() for key in keys}
            entries[name] = {"integers": array, "shape": list(array.shape), **said}
    return entries


def _tensor(where: str, entry: Any) -> FixedPoint:
    try:
        found = _AP_FIXED.fullmatch(entry["type"])
        integers = np.asarray(entry["integers"])
        shape, precision = tuple(entry["shape"]), entry["precision"]
        if 0 in shape:  # nested lists do not say the axes behind an empty one
            integers = integers.reshape(shape)
        fractional = entry["fractional_bits"]
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{where}: damaged: expected type, fractional_bits, precision, shape and integers") from None
    if found is None or not is_whole(fractional) or int(found[2]) - int(found[3]) != fractional:
        raise InputError(f"{where}: the type {entry['type']!r} does not say {fractional!r} fractional bits")
    if not 1 <= int(found[2]) <= MAX_BITS:
        raise InputError(f"{where}: expected a type of 1 to {MAX_BITS} bits, received {entry['type']}")
    kind = FixedType(int(found[2]), fractional, not found[1])
    if integers.shape != shape or (integers.dtype.kind not in "iu" and integers.size):
        raise InputError(f"{where}: expected integers of shape {shape}, received {integers.dtype} of shape {integers.shape}")
    if integers.size and not kind.low <= int(integers.min()) <= int(integers.max()) <= kind.high:
        raise InputError(
            f"{where}: expected integers from {kind.low} to {kind.high}, received {integers.min()} to {integers.max()}"
        )
    return FixedPoint(kind, integers.astype(np.int64), str(precision))
