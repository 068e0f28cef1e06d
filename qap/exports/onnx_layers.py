"""How each Keras layer is said in ONNX."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from qap.errors import InputError
from qap.exports.onnx_graph import Graph, Node, Rule
from qap.firmware.graph import Call
from qap.firmware.rules.normalisation import scale_shift

ACTIVATIONS = {
    "relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh", "softmax": "Softmax", "elu": "Elu", "softplus": "Softplus",
    "softsign": "Softsign",
}  # fmt: skip
JOINS = {"Add": "Add", "Subtract": "Sub", "Multiply": "Mul", "Maximum": "Max", "Minimum": "Min"}


def activate(graph: Graph, name: str, source: Node, function: Any) -> Node:
    """Apply a Keras activation function.

    Raises
    ------
    InputError
        A function that is not in `ACTIVATIONS`.
    """
    kind = getattr(function, "__name__", str(function))
    if function is None or kind == "linear":
        return source
    if kind not in ACTIVATIONS:
        raise InputError(f"ONNX: {name}: the activation {kind!r} is not written: use one of {', '.join(ACTIVATIONS)}")
    extra: dict[str, Any] = {"axis": -1} if kind == "softmax" else {}
    return graph.node(ACTIVATIONS[kind], f"{name}_{kind}", [source], source.shape, **extra)


def _activated(graph: Graph, call: Call, tensor: Node) -> Node:
    return activate(graph, call.name, tensor, getattr(call.layer, "activation", None))


def _dense(graph: Graph, call: Call, sources: list[Node]) -> Node:
    weights = call.layer.get_weights()
    kernel = graph.weight(call.name, "kernel", weights[0])
    tensor = graph.node("MatMul", f"{call.name}_matmul", [sources[0], kernel], call.shape)
    if call.layer.use_bias:
        tensor = graph.node("Add", f"{call.name}_bias", [tensor, graph.weight(call.name, "bias", weights[1])], call.shape)
    return _activated(graph, call, tensor)


def _to_front(graph: Graph, call: Call, source: Node) -> Node:
    axes = len(source.shape)
    return graph.transposed(f"{call.name}_channels_first", source, [axes - 1, *range(axes - 1)])


def _to_back(graph: Graph, call: Call, source: Node) -> Node:
    return graph.transposed(f"{call.name}_channels_last", source, [*range(1, len(source.shape)), 0])


def _window(call: Call, size: tuple[int, ...], strides: Any, dilations: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    """Return strides and explicit padding of a window over positions."""
    layer, dims = call.layer, len(size)
    if getattr(layer, "data_format", "channels_last") != "channels_last" or layer.padding not in ("valid", "same"):
        raise InputError(
            f"ONNX: {layer.name}: expected channels_last and padding 'valid' or 'same', received {layer.data_format} and "
            f"{layer.padding!r}"
        )
    steps = [int(step) for step in np.ravel(strides)] * (dims if np.size(strides) == 1 else 1)
    rates = [int(rate) for rate in np.ravel(dilations)] * (dims if np.size(dilations) == 1 else 1)
    begin, end = [0] * dims, [0] * dims
    if layer.padding == "same":
        for axis in range(dims):
            reach = (size[axis] - 1) * rates[axis] + 1
            total = max((math.ceil(shape[axis] / steps[axis]) - 1) * steps[axis] + reach - shape[axis], 0)
            begin[axis], end[axis] = total // 2, total - total // 2
    return {"kernel_shape": list(size), "strides": steps, "pads": begin + end, **({"dilations": rates} if max(rates) > 1 else {})}


def _convolve(graph: Graph, call: Call, source: Node, kernel: str, size: tuple[int, ...], groups: int, bias: Any) -> Node:
    layer = call.layer
    window = _window(call, size, layer.strides, layer.dilation_rate, source.shape)
    inputs: list[Node | str] = [_to_front(graph, call, source), kernel]
    if layer.use_bias:
        inputs.append(graph.weight(call.name, "bias", bias))
    tensor = graph.node("Conv", f"{call.name}_conv", inputs, (call.shape[-1], *call.shape[:-1]), group=groups, **window)
    return _activated(graph, call, _to_back(graph, call, tensor))


def _convolution(graph: Graph, call: Call, sources: list[Node]) -> Node:
    weights = call.layer.get_weights()
    size, axes = weights[0].shape[:-2], weights[0].ndim
    kernel = graph.weight(
        call.name, "kernel", weights[0], lambda values: values.transpose(axes - 1, axes - 2, *range(axes - 2))
    )  # fmt: skip
    return _convolve(graph, call, sources[0], kernel, size, int(call.layer.groups), weights[-1])


def _depthwise(graph: Graph, call: Call, sources: list[Node]) -> Node:
    weights = call.layer.get_weights()
    *size, channels, _ = weights[0].shape

    def layout(values: np.ndarray) -> np.ndarray:
        first = np.moveaxis(values, (-2, -1), (0, 1))
        return first.reshape(first.shape[0] * first.shape[1], 1, *first.shape[2:])

    kernel = graph.weight(call.name, "depthwise", weights[0], layout)
    return _convolve(graph, call, sources[0], kernel, tuple(size), channels, weights[-1])


def _batch_normalization(graph: Graph, call: Call, sources: list[Node]) -> Node:
    """x·s + b with what inference makes of the four vectors."""
    layer, source = call.layer, sources[0]
    axis = [int(number) for number in np.ravel(layer.axis)]
    if axis not in ([len(source.shape)], [-1]):
        raise InputError(f"ONNX: {layer.name}: BatchNormalization over axis {axis} is not written: use the last axis")
    scale, shift = scale_shift(layer)
    tensor = graph.node("Mul", f"{call.name}_mul", [source, graph.weight(call.name, "scale", scale)], call.shape)
    return graph.node("Add", f"{call.name}_add", [tensor, graph.weight(call.name, "bias", shift)], call.shape)


def _activation(graph: Graph, call: Call, sources: list[Node]) -> Node:
    return activate(graph, call.name, sources[0], call.layer.activation)


def _relu(graph: Graph, call: Call, sources: list[Node]) -> Node:
    layer = call.layer
    if layer.max_value is not None or float(layer.negative_slope) or float(layer.threshold):
        raise InputError(f"ONNX: {layer.name}: ReLU with max_value, negative_slope or threshold is not written: use a plain one")
    return activate(graph, call.name, sources[0], "relu")


def _softmax(graph: Graph, call: Call, sources: list[Node]) -> Node:
    if call.layer.axis not in (-1, len(call.shape)):
        raise InputError(f"ONNX: {call.layer.name}: softmax over axis {call.layer.axis} is not written: use the last axis")
    return activate(graph, call.name, sources[0], "softmax")


def _leaky_relu(graph: Graph, call: Call, sources: list[Node]) -> Node:
    return graph.node("LeakyRelu", f"{call.name}_leaky", [sources[0]], call.shape, alpha=float(call.layer.alpha))


def _pool(op: str, **extra: Any) -> Rule:
    def rule(graph: Graph, call: Call, sources: list[Node]) -> Node:
        layer = call.layer
        size = tuple(int(number) for number in np.ravel(layer.pool_size))
        window = _window(call, size, layer.strides, 1, sources[0].shape)
        inputs = [_to_front(graph, call, sources[0])]
        tensor = graph.node(op, f"{call.name}_pool", inputs, (call.shape[-1], *call.shape[:-1]), **window, **extra)
        return _to_back(graph, call, tensor)

    return rule


def _global_pool(op: str) -> Rule:
    def rule(graph: Graph, call: Call, sources: list[Node]) -> Node:
        axes, keep = list(range(1, len(sources[0].shape))), int(bool(call.layer.keepdims))
        if call.layer.data_format != "channels_last":
            raise InputError(f"ONNX: {call.layer.name}: expected channels_last, received {call.layer.data_format}")
        return graph.node(op, f"{call.name}_pool", sources, call.shape, axes=axes, keepdims=keep)

    return rule


def _reshape(graph: Graph, call: Call, sources: list[Node]) -> Node:
    if getattr(call.layer, "data_format", "channels_last") != "channels_last":
        raise InputError(f"ONNX: {call.layer.name}: expected channels_last, received {call.layer.data_format}")
    shape = graph.constant(f"{call.name}_shape", np.array([-1, *call.shape], np.int64))
    return graph.node("Reshape", f"{call.name}_reshape", [sources[0], shape], call.shape)


def _permute(graph: Graph, call: Call, sources: list[Node]) -> Node:
    return graph.transposed(call.name, sources[0], [int(axis) - 1 for axis in call.layer.dims])


def _identity(graph: Graph, call: Call, sources: list[Node]) -> Node:
    """Layers that act in training only."""
    return sources[0]


def _join(graph: Graph, call: Call, sources: list[Node]) -> Node:
    op, tensor = JOINS[type(call.layer).__name__], sources[0]
    for number, other in enumerate(sources[1:], 1):
        tensor = graph.node(op, f"{call.name}_{number}", [tensor, other], call.shape)
    return tensor


def _concatenate(graph: Graph, call: Call, sources: list[Node]) -> Node:
    return graph.node("Concat", f"{call.name}_concat", sources, call.shape, axis=call.layer.axis % (len(call.shape) + 1))


LAYERS: dict[str, Rule] = {
    "Dense": _dense,
    "Conv1D": _convolution,
    "Conv2D": _convolution,
    "DepthwiseConv1D": _depthwise,
    "DepthwiseConv2D": _depthwise,
    "BatchNormalization": _batch_normalization,
    "Activation": _activation,
    "ReLU": _relu,
    "LeakyReLU": _leaky_relu,
    "Softmax": _softmax,
    "MaxPooling1D": _pool("MaxPool"),
    "MaxPooling2D": _pool("MaxPool"),
    "AveragePooling1D": _pool("AveragePool", count_include_pad=0),
    "AveragePooling2D": _pool("AveragePool", count_include_pad=0),
    "GlobalMaxPooling1D": _global_pool("ReduceMax"),
    "GlobalMaxPooling2D": _global_pool("ReduceMax"),
    "GlobalAveragePooling1D": _global_pool("ReduceMean"),
    "GlobalAveragePooling2D": _global_pool("ReduceMean"),
    "Flatten": _reshape,
    "Reshape": _reshape,
    "Permute": _permute,
    "Concatenate": _concatenate,
    **dict.fromkeys(("Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianNoise", "ActivityRegularization"), _identity),
    **dict.fromkeys(JOINS, _join),
}
"""Keras layer class → how it is written."""
