"""Layers that move values without changing them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from qap.backend import stack
from qap.errors import InputError
from qap.firmware.graph import Call
from qap.firmware.lowering import Lowering, Tensor, rule
from qap.firmware.values import Values


@rule(
    "Dropout",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "GaussianNoise",
    "GaussianDropout",
    "AlphaDropout",
    "ActivityRegularization",
)
def identity(call: Call, lowering: Lowering, sources: tuple[Tensor, ...]) -> Tensor:
    """Layers that act in training only."""
    return sources[0]


@rule("Flatten", "Reshape")
def reshape(call: Call, lowering: Lowering, sources: tuple[Tensor, ...]) -> Tensor:
    """Flatten and reshape, channels last."""
    source, shape = sources[0], call.shape
    before = lowering.exact(call, source)
    if getattr(call.layer, "data_format", "channels_last") == "channels_first":
        raise InputError(f"{call.layer.name}: data_format channels_first is not converted: use channels_last")
    if shape == source.shape:
        return source
    values = before.tiled(math.prod(shape) // before.channels) if len(shape) == 1 else before.collapsed(shape[-1])
    if shape[-1] == source.shape[-1]:
        values = before
    layers = stack().keras.layers
    return lowering.emit(lambda name: layers.Reshape(shape, name=name), call.name, source, values, result=source.type, moves=True)


@rule("UpSampling1D", "UpSampling2D")
def upsampling(call: Call, lowering: Lowering, sources: tuple[Tensor, ...]) -> Tensor:
    """Repeat positions."""
    if getattr(call.layer, "interpolation", "nearest") != "nearest":
        raise InputError(f"{call.layer.name}: interpolation {call.layer.interpolation!r} is not converted: use 'nearest'")
    return _same_values(call, lowering, sources[0], lowering.exact(call, sources[0]))


@rule("ZeroPadding1D", "ZeroPadding2D")
def zero_padding(call: Call, lowering: Lowering, sources: tuple[Tensor, ...]) -> Tensor:
    """Add zeros around."""
    return _same_values(call, lowering, sources[0], lowering.exact(call, sources[0]).with_zero())


def _same_values(call: Call, lowering: Lowering, source: Tensor, values: Values) -> Tensor:
    config = call.layer.get_config()
    kind: Callable[..., Any] = type(call.layer)
    keep = {key: config[key] for key in ("size", "padding", "data_format", "interpolation") if key in config}
    if keep.get("data_format", "channels_last") != "channels_last":
        raise InputError(f"{call.layer.name}: data_format channels_first is not converted: use channels_last")
    return lowering.emit(lambda name: kind(**keep, name=name), call.name, source, values, result=source.type)
