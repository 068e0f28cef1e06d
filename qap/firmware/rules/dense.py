"""Dense layers: one sum of products per unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from qap.backend import stack
from qap.errors import InputError
from qap.firmware.graph import Call
from qap.firmware.lowering import Lowering, Tensor, rule
from qap.firmware.quantizers import constants
from qap.firmware.rules.activations import layer_activation
from qap.firmware.values import Grid, product


def quantized(lowering: Lowering, layer: Any, what: str, latent: np.ndarray) -> Grid:
    """Return a weight tensor quantized by the layer's own quantizer, and remember it."""
    grid = constants(layer.name, what, getattr(layer, f"{what}_quantizer_internal", None), latent)
    lowering.weights[layer, what] = grid
    return grid


def floats(grid: Grid) -> np.ndarray:
    """Return constants as float64, which holds them exactly."""
    return np.ldexp(grid.values.astype(np.float64), grid.lsb)


@rule("QDense", "Dense")
def dense(call: Call, lowering: Lowering, sources: tuple[Tensor, ...]) -> Tensor:
    """Dense on the last axis; more axes become a convolution of width one, which is the same sum at each position."""
    return _dense(call, lowering, sources[0], call.layer)


@rule("TimeDistributed")
def time_distributed(call: Call, lowering: Lowering, sources: tuple[Tensor, ...]) -> Tensor:
    """TimeDistributed(Dense) is Dense on the last axis."""
    inner = call.layer.layer
    if type(inner).__name__ not in ("QDense", "Dense"):
        raise InputError(
            f"{call.layer.name}: TimeDistributed holds {type(inner).__name__}, only Dense and QDense are converted: "
            "use the "
            "layer's own 1D or 2D form"
        )
    return _dense(call, lowering, sources[0], inner)


def _dense(call: Call, lowering: Lowering, source: Tensor, layer: Any) -> Tensor:
    weights = [np.asarray(weight) for weight in layer.get_weights()]
    kernel = quantized(lowering, layer, "kernel", weights[0])
    bias = quantized(lowering, layer, "bias", weights[1]) if layer.use_bias else None
    values, bits = product(lowering.exact(call, source), kernel, bias)
    lowering.need(call.name, bits)
    positions = len(source.shape) - 1
    if positions > 2:
        raise InputError(f"{layer.name}: Dense on {positions + 1} axes is not converted, at most 3: reshape before it")
    layers = stack().keras.layers

    def make(name: str) -> Any:
        if positions == 0:
            return layers.Dense(layer.units, use_bias=bias is not None, name=name)
        plain = layers.Conv1D if positions == 1 else layers.Conv2D
        return plain(layer.units, 1, use_bias=bias is not None, name=name)

    arrays = [floats(kernel).reshape((1,) * positions + kernel.values.shape)]
    arrays += [] if bias is None else [floats(bias)]
    types = {"weight": kernel.type, "accum": values.type}
    if bias is not None:
        types["bias"] = bias.type
    tensor = lowering.emit(make, call.name, source, values, weights=arrays, types=types)
    return layer_activation(call, lowering, tensor, layer)
