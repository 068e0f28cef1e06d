"""ONNX: a float Keras model in float32, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from qap.errors import InputError
from qap.exports.agreement import BATCH
from qap.exports.kinds import need, refuse_quantized
from qap.exports.onnx_graph import Graph, build_graph
from qap.exports.onnx_layers import LAYERS


def to_onnx(model: Any) -> bytes:
    """Write a float Keras model as ONNX, opset 13, any number of events at once.

    Parameters
    ----------
    model : keras.Model
        Layers of `qap.exports.onnx_layers.LAYERS`, channels last.

    Returns
    -------
    bytes
        The model file. Inputs carry the names that they have in Keras.

    Raises
    ------
    InputError
        A QKeras layer, or a layer or activation that is not written.
    ToolMissingError
        Without the package onnx.
    """
    need("ONNX", "onnx")
    refuse_quantized(model, "ONNX")
    return build_graph(model, Graph("events"), LAYERS)


def onnx_outputs(model: bytes, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Run an ONNX model by onnxruntime on one core.

    Parameters
    ----------
    model : bytes
        Model file in which the number of events is free.
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
        Without the package onnxruntime.
    """
    need("ONNX", "onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    inputs = session.get_inputs()
    shapes = [tuple(item.shape[1:]) for item in inputs]
    if [array.shape[1:] for array in arrays] != shapes:
        raise InputError(f"ONNX: expected events of shapes {shapes}, received {[array.shape for array in arrays]}")
    parts = []
    for start in range(0, len(arrays[0]), BATCH):
        batch = {
            item.name: np.asarray(array[start : start + BATCH], np.float32) for item, array in zip(inputs, arrays, strict=True)
        }
        parts.append(session.run(None, batch))
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]
