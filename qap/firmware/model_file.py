"""Read a Keras or QKeras model that somebody else has saved, without letting the file run code, and its input types."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qap.backend import custom_objects, stack
from qap.errors import InputError, suggestion
from qap.firmware.graph import flatten
from qap.firmware.lowering import REFUSED, supported
from qap.firmware.quantizers import class_name
from qap.precision import Precision

CODE = ("Lambda", "TFOpLambda", "SlicingOpLambda", "__lambda__", "TFSMLayer", "__typespec__")
"""What holds Python code, or names a function or a file that would be run."""
PRUNING = "PruneLowMagnitude"
SCHEDULES = ("PolynomialDecay", "ConstantSparsity")
STRUCTURE = ("Functional", "Sequential", "Model", "InputLayer", "function", "__tensor__", "__numpy__", "__tuple__", "Policy")
PACKAGES = ("keras", "tf_keras", "qkeras", "builtins", "tensorflow_model_optimization")
_CALL = re.compile(r"\s*(\w+)\s*\(")


def load_model(path: Path | str) -> Any:
    """Load a model file.

    Its configuration is read first; only layers of Keras and QKeras that qap knows are allowed, so that nothing in
    the file can run. Pruning wrappers of TF-MOT are stripped.

    Parameters
    ----------
    path : path
        ``.keras`` or ``.h5``.

    Returns
    -------
    keras.Model
        Not compiled.

    Raises
    ------
    InputError
        No such file, another kind of file, weights without a model, a Lambda or another layer that holds code, an
        unknown layer, a file that Keras 2 cannot read.
    """
    path = Path(path)
    config = _configuration(path)
    _check(config, path)
    libraries = stack()
    try:
        with libraries.sparsity.prune_scope():
            model = libraries.keras.models.load_model(path, custom_objects=custom_objects(), compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, ImportError, OSError, RuntimeError) as error:
        text = " ".join(str(error).split())[:160] or type(error).__name__
        raise InputError(f"{path}: Keras 2 (tf-keras) cannot load it: {text}") from None
    if any(part.get("class_name") == PRUNING for part in _parts(config)):
        model = libraries.sparsity.strip_pruning(model)
    return model


def _configuration(path: Path) -> dict[str, Any]:
    """Return the model's configuration as it stands in the file."""
    if path.is_dir():
        raise InputError(f"{path}: expected a model file (.keras, .h5), a study or a delivery, it is another directory")
    if not path.is_file():
        raise InputError(f"{path}: no such model file or study")
    if path.suffix == ".keras" and zipfile.is_zipfile(path):
        text: str | bytes = _zipped(path)
    elif path.suffix in (".h5", ".hdf5"):
        text = _hdf5(path)
    else:
        raise InputError(f"{path}: expected a Keras model saved as .keras or .h5")
    try:
        config = json.loads(text)
    except ValueError:
        config = None
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise InputError(f"{path}: damaged: its configuration is not a Keras model's")
    return config


def _zipped(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read("config.json")
    except (KeyError, OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: damaged, or no Keras model: {error}") from None


def _hdf5(path: Path) -> str | bytes:
    import h5py  # type: ignore[import-untyped]

    try:
        with h5py.File(path, "r") as file:
            found = file.attrs.get("model_config")
    except OSError:
        raise InputError(f"{path}: damaged: not an HDF5 file") from None
    if found is None:
        raise InputError(f"{path}: holds weights but no model: save it with model.save(…), not model.save_weights(…)")
    return found


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every dict of a configuration; what compile() was given is not loaded."""
    if isinstance(value, dict):
        yield value
        for key, item in value.items():
            if key != "compile_config":
                yield from _parts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _parts(item)


def _label(part: dict[str, Any]) -> str:
    config = part.get("config")
    return str(part.get("name") or (config.get("name") if isinstance(config, dict) else None) or part.get("class_name"))


def _check(config: dict[str, Any], path: Path) -> None:
    """Refuse code, unknown classes, functions of other packages and calls in text."""
    keras = stack().keras
    known = {*supported(), *STRUCTURE, *custom_objects(), *(name for names in REFUSED for name in names)} - set(CODE)
    for module in (keras.initializers, keras.regularizers, keras.constraints):
        known.update(name for name in dir(module) if isinstance(getattr(module, name), type))
    functions = {*custom_objects(), *dir(keras.activations), *dir(keras.initializers)}
    for part in _parts(config):
        kind = part.get("class_name")
        if kind in CODE:
            raise InputError(
                f"{path}: {_label(part)}: a {kind} layer holds code: it is not run, and has no firmware; use a Keras "
                "layer such as Add or Reshape"
            )
        if isinstance(kind, str) and kind not in known and kind != PRUNING and not (kind in SCHEDULES and "config" in part):
            near = suggestion(kind, supported())
            near = near if "did you mean" in near else ""
            raise InputError(
                f"{path}: {_label(part)}: {kind} is not a layer of Keras or QKeras that qap knows{near}: its code is not "
                "loaded from a file"
            )
        module, function = part.get("module"), part.get("config")
        if isinstance(module, str) and kind and module.split(".")[0] not in PACKAGES:
            raise InputError(
                f"{path}: {_label(part)}: {module}.{kind} is not of Keras or QKeras: its code is not loaded from a file"
            )
        if kind == "function" and function not in functions:
            raise InputError(
                f"{path}: the function {function!r} is not of Keras or QKeras: use a named activation or a QKeras quantizer"
            )
        for key, text in part.items():
            call = _CALL.match(text) if isinstance(text, str) and key != "name" else None
            if call and call[1] not in functions:
                raise InputError(f"{path}: {key}: {text[:60]!r} is not a QKeras quantizer")


def quantized_inputs(model: Any) -> dict[str, Precision]:
    """Return the types of the quantizers that a model has on its inputs.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    dict of input name → Precision

    Raises
    ------
    InputError
        An input that goes anywhere else than into a QActivation with quantized_bits or quantized_relu.
    """
    graph = flatten(model)
    found: dict[str, Precision] = {}
    for name in graph.inputs:
        types = {_type(getattr(call.layer, "quantizer", None)) for call in graph.calls if name in call.inputs}
        kind = types.pop() if len(types) == 1 else None
        if kind is None:
            start = "" if len(graph.inputs) == 1 else f"{name}="
            raise InputError(
                f"the fixed-point type of the input {name!r} is not known: give it, for example --precision "
                f"'{start}quantized_bits(10,2)', or begin the model with QActivation('quantized_bits(10,2,alpha=1)')"
            )
        found[name] = kind
    return found


def _type(quantizer: Any) -> Precision | None:
    kind = class_name(quantizer)
    if kind == "quantized_bits":
        return Precision(int(quantizer.bits), int(quantizer.integer), bool(quantizer.keep_negative))
    if kind == "quantized_relu" and not quantizer.negative_slope:
        return Precision(int(quantizer.bits), int(quantizer.integer), False)
    return None
