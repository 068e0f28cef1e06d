"""Run the QKeras model itself: in float32 where that is exact, else rebuilt in float64."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from qap.backend import float64, stack
from qap.firmware.graph import flatten
from qap.firmware.lowering import Lowered
from qap.firmware.quantizers import class_name
from qap.firmware.rebuild import rebuild

BATCH = 4096
WEIGHT_QUANTIZERS = ("kernel_quantizer", "bias_quantizer", "depthwise_quantizer", "pointwise_quantizer")
FOLDED = {"QConv2DBatchnorm": "QConv2D", "QDepthwiseConv2DBatchnorm": "QDepthwiseConv2D"}
"""Layers with a batch normalization folded in, and the layer that takes their folded weights."""
PLAIN = {"QConv2D": {"filters": 1, "kernel_size": 1}, "QDepthwiseConv2D": {"kernel_size": 1}}


def relu64(quantizer: Any) -> Callable[[Any], Any]:
    """Return quantized_relu in float64; QKeras's own casts to float32 first, which would round wide accumulators."""
    tf = stack().tf
    bits, slope = int(quantizer.bits) - bool(quantizer.negative_slope), float(quantizer.negative_slope)
    scale, top = 2.0 ** (bits - int(quantizer.integer)), 2.0**bits - 1

    def quantized_relu(x: Any) -> Any:
        positive = tf.clip_by_value(tf.round(x * scale), 0.0, top) / scale
        if not slope:
            return positive
        return positive + tf.clip_by_value(tf.round(x * scale * slope), -slope * (top + 1), 0.0) / scale

    return quantized_relu


def _double(value: Any) -> Any:
    """Say a part of a configuration for float64: types, quantized_relu, weights that are quantized already."""
    qkeras = stack().qkeras
    if isinstance(value, dict):
        if value.get("class_name") == "quantized_relu":
            return relu64(qkeras.quantized_relu(**value["config"]))
        plain = FOLDED.get(value.get("class_name", ""))
        if plain is not None:
            known = getattr(qkeras, plain)(**PLAIN[plain]).get_config()
            config = {key: item for key, item in value["config"].items() if key in known}
            entry = {key: item for key, item in value.items() if key not in ("module", "registered_name")}
            value = {**entry, "class_name": plain, "config": {**config, "use_bias": True}}
        if value.get("class_name") == "BatchNormalization":
            value = {**value, "config": {**value["config"], "fused": False}}
        changes = {key: None for key in WEIGHT_QUANTIZERS if key in value}
        return {**value, **changes, **({"dtype": "float64"} if value.get("dtype") == "float32" else {})}
    if isinstance(value, str) and value.startswith("quantized_relu("):
        return relu64(qkeras.get_quantizer(value))
    if class_name(value) == "quantized_relu" and hasattr(value, "bits"):
        return relu64(value)
    return value


def double(model: Any, lowered: Lowered) -> Any:
    """Rebuild a model in float64 with the quantized weights of its lowering.

    Parameters
    ----------
    model : keras.Model
    lowered : Lowered
        Of the same model.

    Returns
    -------
    keras.Model
        Call it under `qap.backend.float64` only.
    """

    def weights(old: Any, new: Any) -> list[np.ndarray]:
        inner = old.layer if hasattr(old, "layer") else old
        grids = [grid for (layer, _), grid in lowered.weights.items() if layer is inner]
        if grids:
            return [np.ldexp(grid.values.astype(np.float64), grid.lsb) for grid in grids]
        return [np.asarray(weight, np.float64) for weight in old.get_weights()]

    with float64():
        return rebuild(model, _double, weights)


class Reference:
    """The QKeras side of a comparison.

    Parameters
    ----------
    model : keras.Model
    lowered : Lowered
        Of the same model; decides the arithmetic.
    """

    def __init__(self, model: Any, lowered: Lowered) -> None:
        self.arithmetic = lowered.reference
        self.model = model if self.arithmetic == "float32" else double(model, lowered)

    def _scope(self) -> Any:
        return contextlib.nullcontext() if self.arithmetic == "float32" else float64()

    def _tensors(self, arrays: Sequence[np.ndarray], part: slice) -> list[Any]:
        return [
            stack().tf.constant(array[part].reshape(-1, *tensor.shape[1:]), self.arithmetic)
            for array, tensor in zip(arrays, self.model.inputs, strict=True)
        ]

    def outputs(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs, float64 arrays (events, …), for inputs (events, elements) in the model's order."""
        parts: list[list[np.ndarray]] = []
        with self._scope():
            for start in range(0, len(arrays[0]), BATCH):
                result = self.model(self._nested(self._tensors(arrays, slice(start, start + BATCH))), training=False)
                parts.append([np.asarray(item, np.float64) for item in stack().tf.nest.flatten(result)])
        return [np.concatenate(items) for items in zip(*parts, strict=True)]

    def _nested(self, tensors: list[Any]) -> Any:
        return tensors[0] if len(tensors) == 1 else stack().tf.nest.pack_sequence_as(self.model.input, tensors)

    def layers(self, arrays: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Return the output of every layer call by its name, in order of evaluation."""
        graph = flatten(self.model)
        values: dict[str, Any] = dict(zip(graph.inputs, self._tensors(arrays, slice(None)), strict=True))
        with self._scope():
            for call in graph.calls:
                if call.name not in values:
                    inputs = [values[name] for name in call.inputs]
                    values[call.name] = call.layer(inputs[0] if len(inputs) == 1 else inputs)
        return {name: np.asarray(value, np.float64) for name, value in values.items()}
