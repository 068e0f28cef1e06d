"""Read a Keras or QKeras model that somebody else has saved, without letting the file run code, and its input types."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from qap.archive import PRUNING, configuration, parts, refuse_code
from qap.backend import allowed, load_file, stack
from qap.errors import InputError
from qap.firmware.graph import flatten
from qap.firmware.lowering import supported
from qap.firmware.quantizers import class_name
from qap.precision import Precision

CURE = "it is not run, and has no firmware; use a Keras layer such as Add or Reshape"


def load_model(path: Path | str, trust: bool = False) -> Any:
    """Load a model file.

    Its configuration is read first; only layers of Keras and QKeras without code of their own are allowed, so that nothing in
    the file can run. Pruning wrappers of TF-MOT are stripped.

    Parameters
    ----------
    path : path
        ``.keras`` or ``.h5``.
    trust : bool, default False
        Let the file run what code it holds, as its author meant it: Lambda layers, classes of other packages.

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
    config = configuration(path)
    if not trust:
        refuse_code(config, path, replace(allowed(), layers=supported()), CURE)
    libraries = stack()
    with libraries.sparsity.prune_scope():
        model = load_file(path, trust)
    if any(part.get("class_name") == PRUNING for part in parts(config)):
        model = libraries.sparsity.strip_pruning(model)
    return model


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
