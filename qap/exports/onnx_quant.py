"""QONNX: a QKeras model in ONNX with its quantizers as nodes, run by qonnx and equal to QKeras in every bit.

What is written is the lowered model, the same from which the firmware is made: quantized weights, and a quantizer
wherever QKeras rounds.

References
----------
A. Pappalardo et al., QONNX: Representing Arbitrary-Precision Quantized Neural Networks, arXiv:2206.07527.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from qap.errors import InputError, QapError
from qap.exports.kinds import need, quantized_layers
from qap.exports.onnx_graph import Graph, Layout, Node, build_graph
from qap.exports.onnx_layers import LAYERS
from qap.exports.weight_types import FixedType, channel_types, weight_type
from qap.firmware.graph import Graph as Calls
from qap.firmware.graph import flatten
from qap.firmware.lowering import Inputs, Lowered, features, input_types, lower
from qap.firmware.quantizers import FLOAT32_BITS, class_name
from qap.firmware.values import Grid

DOMAIN = "qonnx.custom_op.general"
BATCH = 8192
_TYPE = re.compile(r"(u?)fixed<(\d+),(-?\d+)(?:,(\w+),(\w+))?>")
ROUNDING = {"RND_CONV": "ROUND", "TRN": "FLOOR"}
"""Rounding of hls4ml's types and of QONNX: half to even, and down."""


class _Quantizers:
    """The hooks that put quantizers behind weights and layers."""

    def __init__(self, model: Any, lowered: Lowered) -> None:
        self.types = lowered.types
        self.layers = {call.name: getattr(call.layer, "layer", call.layer) for call in flatten(model).calls}

    def weight(self, graph: Graph, layer: str, what: str, values: np.ndarray, layout: Layout) -> str:
        """Add the quantized weights and the quantizer that leaves them as they are."""
        name, grid = f"{layer}_{what}", Grid.of(values)
        quantizer = getattr(self.layers.get(layer), f"{what}_quantizer_internal", None)
        kind = weight_type(quantizer, grid)
        written = layout(values)
        source = Node(graph.constant(name, written), written.shape)
        axis = -2 if what == "depthwise" else -1
        channels = None if quantizer is None else channel_types(quantizer, values, axis)
        scale: Any = 2.0**-kind.fractional
        if channels is not None and channels[0].bits < kind.bits:  # the declared bits, shifted per channel
            kind, exponents = channels
            shape = [1] * values.ndim
            shape[axis] = len(exponents)
            scale = layout(np.broadcast_to(np.ldexp(1.0, exponents).reshape(shape), values.shape))
            scale = scale.max(axis=tuple(range(1, scale.ndim)), keepdims=True) if scale.ndim > 2 else scale[:1]
        if class_name(quantizer) == "binary" and (np.abs(values) == np.abs(values).max(initial=0)).all():
            amplitude = graph.constant(f"{name}_amplitude", np.abs(values).max(initial=0))
            return graph.node(
                "BipolarQuant", f"{name}_quant", [source, amplitude], source.shape, domain=DOMAIN, constant=True
            ).name
        return quantize(graph, name, source, kind, scale, constant=True).name

    def result(self, graph: Graph, layer: str, tensor: Node) -> Node:
        """Add a quantizer where the firmware's type rounds; the other types hold every value as it is."""
        sign, width, integer, rounding, overflow = _parse(self.types[layer]["result"])
        if rounding is None:
            return tensor
        if width == 1 and not sign:  # QONNX reads a signed bit as -1 or 1; the firmware's is -1 or 0
            half = graph.constant(f"{layer}_half", 2.0 ** (integer - 2))
            bipolar = graph.node("BipolarQuant", f"{layer}_sign", [tensor, half], tensor.shape, domain=DOMAIN)
            return graph.node("Sub", f"{layer}_shift", [bipolar, half], tensor.shape)
        if width > FLOAT32_BITS:
            raise InputError(
                f"QONNX: {layer}: rounds to {width} bits, more than the {FLOAT32_BITS} of its float32: use fewer bits"
            )
        kind = FixedType(width, width - integer, not sign, overflow == "SAT_SYM")
        return quantize(graph, layer, tensor, kind, 2.0**-kind.fractional, ROUNDING[rounding])


def _parse(text: str) -> tuple[str, int, int, str | None, str | None]:
    found = _TYPE.fullmatch(text)
    if found is None or (found[4] is not None and found[4] not in ROUNDING):
        raise QapError(f"QONNX: no quantizer for the type {text}")
    return found[1], int(found[2]), int(found[3]), found[4], found[5]


def quantize(
    graph: Graph, name: str, source: Node, kind: FixedType, scale: Any, rounding: str = "ROUND", constant: bool = False
) -> Node:
    """Add a Quant node: scale, zero point 0, bit width; saturation."""
    inputs: list[Node | str] = [
        source,
        graph.constant(f"{name}_step", np.asarray(scale, np.float64)),
        graph.constant(f"{name}_zero_point", 0.0),
        graph.constant(f"{name}_bit_width", float(kind.bits)),
    ]
    return graph.node(
        "Quant", f"{name}_quant", inputs, source.shape, domain=DOMAIN, constant=constant,
        signed=int(kind.signed), narrow=int(kind.narrow), rounding_mode=rounding,
    )  # fmt: skip


def float_bits(calls: Calls, lowered: Lowered) -> tuple[int, str]:
    """Return the mantissa bits that the sums of a lowered model need, and the layer that needs them.

    Rounding to a type multiplies and divides by powers of two only, which no float rounds; it is left out, but not after
    an average, whose quotient float32 has rounded.
    """
    worst = (0, "")
    for call in calls.calls:
        plain = type(call.layer).__name__ == "QActivation" and class_name(call.layer.quantizer) in (
            "quantized_bits",
            "quantized_relu",
        )
        quotient = any(lowered.finals[name].values.divisor != 1 for name in call.inputs)
        if not plain or quotient:
            worst = max(worst, (lowered.float_bits.get(call.name, 0) + quotient, call.layer.name))
    return worst


def _check_products(lowered: Lowered) -> None:
    """Refuse scales whose products with what comes in float32 would round."""
    for call in flatten(lowered.model).calls:
        if "scale" in lowered.types.get(call.name, {}):
            widths = [_parse(text)[1] for text in (lowered.types[call.inputs[0]]["result"], lowered.types[call.name]["scale"])]
            if sum(widths) > FLOAT32_BITS:
                raise InputError(
                    f"QONNX: {call.name}: the product of {widths[0]} and {widths[1]} bits is more than the {FLOAT32_BITS} that "
                    "float32 holds exactly: use fewer bits before it, or export integers-json"
                )


def to_qonnx(model: Any, inputs: Inputs) -> tuple[bytes, Lowered]:
    """Write a QKeras model as QONNX.

    Parameters
    ----------
    model : keras.Model
        QKeras and Keras layers that have an exact firmware.
    inputs : Precision, tuple of Precision (one per feature), or mapping of input name → one of these
        Fixed-point type of the inputs; a quantizer stands at each.

    Returns
    -------
    bytes
        The model file: opset 13, one event at a time (change the first axis of its tensors for more), tensors float32.
    Lowered
        The model that was written, for `qap.firmware.reference.Reference`.

    Raises
    ------
    InputError
        No QKeras layer; a layer that cannot be exact; sums that need more than the 24 bits of float32.
    ToolMissingError
        Without the package onnx.
    """
    need("QONNX", "onnx")
    if not quantized_layers(model):
        raise InputError(f"QONNX: {model.name} has no QKeras layer, nothing to quantize: export it as onnx")
    calls = flatten(model)
    for call in calls.calls:
        function = getattr(getattr(call.layer, "activation", None), "__name__", type(call.layer).__name__).lower()
        if function in ("softmax", "tanh", "sigmoid"):
            raise InputError(
                f"QONNX: {call.layer.name}: {function} is rounded differently by each library and never equal in every bit: end "
                "the model at the logits, or use a QKeras quantizer"
            )
    lowered = lower(model, inputs)
    bits, layer = float_bits(calls, lowered)
    if bits > FLOAT32_BITS:
        raise InputError(
            f"QONNX: {layer}: its sums need {bits} bits, more than the {FLOAT32_BITS} that its float32 holds exactly: use fewer "
            "weight, bias or activation bits, or export integers-json"
        )
    _check_products(lowered)
    hooks = _Quantizers(model, lowered)
    return build_graph(lowered.model, Graph(1, hooks.weight, hooks.result), LAYERS), lowered


def on_grid(model: Any, inputs: Inputs, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return events rounded half to even and saturated to the types of a model's inputs, feature by feature."""
    calls = flatten(model)
    kinds = input_types(calls.inputs, inputs)
    return [
        np.stack([kind.quantize(array[..., i]) for i, kind in enumerate(features(name, kinds[name], array.shape[-1]))], axis=-1)
        for name, array in zip(calls.inputs, arrays, strict=True)
    ]


def qonnx_outputs(model: bytes, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Run a QONNX model by qonnx's executor.

    Parameters
    ----------
    model : bytes
        Model file.
    arrays : sequence of arrays (events, …)
        One per input, in the model's order.

    Returns
    -------
    list of float32 arrays (events, …), one per output

    Raises
    ------
    InputError
        Another number of inputs, or events of another shape.
    ToolMissingError
        Without the package qonnx.
    """
    need("QONNX", "onnx", "qonnx", "onnxruntime")
    import onnx

    parts = []
    for start in range(0, len(arrays[0]), BATCH):
        batch = [np.asarray(array[start : start + BATCH], np.float32) for array in arrays]
        parts.append(_execute(onnx.load_from_string(model), batch))
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def _execute(model: Any, arrays: list[np.ndarray]) -> list[np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.core.onnx_exec import execute_onnx
    constants = {constant.name for constant in model.graph.initializer}
    for node in model.graph.node:
        if constants.issuperset(node.input):
            constants.update(node.output)
    for info in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        if info.name not in constants:
            info.type.tensor_type.shape.dim[0].dim_value = len(arrays[0])
    shapes = [tuple(axis.dim_value for axis in info.type.tensor_type.shape.dim) for info in model.graph.input]
    if shapes != [array.shape for array in arrays]:
        raise InputError(f"QONNX: expected events of shapes {shapes}, received {[array.shape for array in arrays]}")
    outputs = execute_onnx(
        ModelWrapper(model), {info.name: array for info, array in zip(model.graph.input, arrays, strict=True)}
    )  # fmt: skip
    return [outputs[info.name] for info in model.graph.output]
