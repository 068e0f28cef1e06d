"""Tell float Keras models from QKeras models, and what is missing for a format."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from qap.errors import InputError, ToolMissingError
from qap.firmware.rebuild import leaves


def quantized_layers(model: Any) -> list[str]:
    """Return the names of a model's QKeras layers, in order."""
    found = []
    for layer in leaves(model):
        inner = getattr(layer, "layer", layer)
        if type(inner).__module__.split(".")[0] == "qkeras":
            found.append(layer.name)
    return found


def refuse_quantized(model: Any, form: str) -> None:
    """Refuse a QKeras model for a format that has no place for its quantizers.

    Raises
    ------
    InputError
        The first QKeras layer, and what to give instead.
    """
    layers = quantized_layers(model)
    if layers:
        raise InputError(
            f"{form}: {layers[0]} is a QKeras layer, whose quantizers {form} would not keep: give the float Keras model (the "
            "float parent), or export this one as qonnx or integers-json"
        )


def need(form: str, *packages: str) -> None:
    """Refuse a format whose libraries are not installed.

    Raises
    ------
    ToolMissingError
        The first package that is missing, and the extra of qap that has it.
    """
    for package in packages:
        if find_spec(package) is None:
            raise ToolMissingError(f"{form} needs {package}, which is not installed: pip install 'qap[exports]'")
