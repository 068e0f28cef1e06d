"""Convolutions: the sum of products of Dense at every position."""

from __future__ import annotations

from typing import Any

import numpy as np

from qap.backend import float32, stack
from qap.errors import InputError
from qap.firmware.graph import Call
from qap.firmware.lowering import Lowering, Tensor, rule
from qap.firmware.quantizers import constants
from qap.firmware.rules.activations import layer_activation
from qap.firmware.rules.dense import floats, quantized
from qap.firmware.values import Grid, Values, product


def _geometry(layer: Any) -> dict[str, Any]:
    """Return kernel size, strides and padding, refusing what hls4ml would leave out.

    Raises
    ------
    InputError
    """
    if layer.data_format != "channels_last":
        raise InputError(f"{layer.name}: data_format channels_first is not converted: use channels_last")
    if any(int(rate) != 1 for rate in np.ravel(layer.dilation_rate)):
        raise InputError(f"{layer.name}: dilation_rate {layer.dilation_rate} is not converted: use 1")
    if getattr(layer, "groups", 1) != 1:
        raise InputError(f"{layer.name}: groups={layer.groups} is not converted: use 1, or a depthwise convolution")
    if layer.padding not in ("valid", "same"):
        raise InputError(f"{layer.name}: padding {layer.padding!r} is not converted: use 'valid' or 'same'")
    return {"kernel_size": layer.kernel_size, "strides": layer.strides, "padding": layer.padding}


def _padded(layer: Any, values: Values) -> Values:
    return values.with_zero() if layer.padding == "same" else values


@rule("QConv1D", "QConv2D", "Conv1D", "Conv2D")
def convolution(call: Call, lowering: Lowering, sources: tuple[Tensor, ...]) -> Tensor:
    """Convolution over one or two axes."""
    layer = call.layer
    weights = [np.asarray(weight) for weight in layer.get_weights()]
    kernel = quantized(lowering, layer, "kernel", weights[0])
    bias = quantized(lowering, layer, "bias", weights[1]) if layer.use_bias else None
    return _convolve(call, lowering, sources[0], kernel, bias)


def _folded(call: Call, lowering: Lowering, what: str) -> tuple[Grid, Grid]:
    """Return kernel and bias, batch normalization folded in before quantization as QKeras does at inference."""
    layer = call.layer
    with float32():
        latent = [np.asarray(weight) for weight in layer.get_folded_weights()]
    grids = []
    for name, values in zip((what, "bias"), latent, strict=True):
        grids.append(constants(layer.name, name, getattr(layer, f"{name}_quantizer_internal"), values))
        lowering.weights[layer, name] = grids[-1]
    return grids[0], grids[1]


@rule("QConv2DBatchnorm")
def convolution_batchnorm(call: Call, lowering: Lowering, sources: tuple[Tensor, ...]) -> Tensor:
    """Convolution fused with its batch normalization."""
    return _convolve(call, lowering, sources[0], *_folded(call, lowering, "kernel"))


@rule("QDepthwiseConv2DBatchnorm")
def depthwise_batchnorm(call: Call, lowering: Lowering, sources: tuple[Tensor, ...]) -> Tensor:
    """Depthwise convolution fused with its batch normalization."""
    tensor = _depthwise(call, lowering, sources[0], *_folded(call, lowering, "depthwise"), call.name)
    return layer_activation(call, lowering, tensor, call.layer)


def _convolve(call: Call, lowering: Lowering, source: Tensor, kernel: Grid, bias: Grid | None) -> Tensor:
    layer = call.layer
    geometry = _geometry(layer)
    *window, channels, filters = kernel.values.shape
    before = _padded(layer, lowering.exact(call, source))
    if channels != before.channels:
        raise InputError(f"{layer.name}: expected {channels} channels, received {before.channels}")
    matrix = Grid(kernel.values.reshape(-1, filters), kernel.lsb)
    values, bits = product(before.tiled(int(np.prod(window))), matrix, bias)
    lowering.need(call.name, bits)
    layers = stack().keras.layers
    plain = layers.Conv1D if len(window) == 1 else layers.Conv2D
    types = {"weight": kernel.type, "accum": values.type}
    arrays = [floats(kernel)]
    if bias is not None:
        types["bias"] = bias.type
        arrays.append(floats(bias))
    tensor = lowering.emit(
        lambda name: plain(filters, use_bias=bias is not None, name=name, **geometry),
        call.name, source, values, weights=arrays, types=types,
    )  # fmt: skip
    return layer_activation(call, lowering, tensor, layer)


@rule("QDepthwiseConv2D", "DepthwiseConv2D", "DepthwiseConv1D")
def depthwise(call: Call, lowering: Lowering, sources: tuple[Tensor, ...]) -> Tensor:
    """One filter per channel."""
    layer = call.layer
    weights = [np.asarray(weight) for weight in layer.get_weights()]
    kernel = quantized(lowering, layer, "depthwise", weights[0])
    bias = quantized(lowering, layer, "bias", weights[1]) if layer.use_bias else None
    tensor = _depthwise(call, lowering, sources[0], kernel, bias, call.name)
    return layer_activation(call, lowering, tensor, layer)


def _depthwise(call: Call, lowering: Lowering, source: Tensor, kernel: Grid, bias: Grid | None, wanted: str) -> Tensor:
    layer = call.layer
    if int(layer.depth_multiplier) != 1:
        raise InputError(f"{layer.name}: depth_multiplier {layer.depth_multiplier} is not converted: use 1")
    geometry = _geometry(layer)
    before = _padded(layer, lowering.exact(call, source))
    *window, channels, _ = kernel.values.shape
    taps = int(np.prod(window))
    columns = kernel.values.reshape(taps, channels)
    parts = []
    for channel in range(channels):
        one = Values(before.lsb, before.low[channel : channel + 1], before.high[channel : channel + 1]).tiled(taps)
        offset = None if bias is None else Grid(bias.values[channel : channel + 1], bias.lsb)
        parts.append(product(one, Grid(columns[:, channel : channel + 1], kernel.lsb), offset))
    lowering.need(call.name, max(bits for _, bits in parts))
    lsb = min(part.lsb for part, _ in parts)
    fine = [part.at(lsb) for part, _ in parts]
    values = Values(lsb, np.concatenate([part.low for part in fine]), np.concatenate([part.high for part in fine]))
    layers = stack().keras.layers
    plain = layers.DepthwiseConv1D if len(window) == 1 else layers.DepthwiseConv2D
    types = {"weight": kernel.type, "accum": values.type}
    arrays = [floats(kernel)]
    if bias is not None:
        types["bias"] = bias.type
        arrays.append(floats(bias))
    return lowering.emit(
        lambda name: plain(use_bias=bias is not None, name=name, **geometry),
        wanted, source, values, weights=arrays, types=types,
    )  # fmt: skip


@rule("QSeparableConv1D", "QSeparableConv2D", "SeparableConv1D", "SeparableConv2D")
def separable(call: Call, lowering: Lowering, sources: tuple[Tensor, ...]) -> Tensor:
    """A depthwise convolution, unrounded, then a convolution of width one."""
    layer = call.layer
    weights = [np.asarray(weight) for weight in layer.get_weights()]
    depth = quantized(lowering, layer, "depthwise", weights[0])
    point = quantized(lowering, layer, "pointwise", weights[1])
    bias = quantized(lowering, layer, "bias", weights[2]) if layer.use_bias else None
    middle = _depthwise(call, lowering, sources[0], depth, None, f"{call.name}_depthwise")
    filters = point.values.shape[-1]
    values, bits = product(middle.values, Grid(point.values.reshape(-1, filters), point.lsb), bias)
    lowering.need(call.name, bits)
    layers = stack().keras.layers
    plain = layers.Conv1D if len(middle.shape) == 2 else layers.Conv2D
    types = {"weight": point.type, "accum": values.type}
    arrays = [floats(point)]
    if bias is not None:
        types["bias"] = bias.type
        arrays.append(floats(bias))
    tensor = lowering.emit(
        lambda name: plain(filters, 1, use_bias=bias is not None, name=name),
        call.name, middle, values, weights=arrays, types=types,
    )  # fmt: skip
    return layer_activation(call, lowering, tensor, layer)
