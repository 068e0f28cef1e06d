"""ONNX models in onnxruntime against NumPy and Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qap.backend import stack
from qap.errors import InputError, ToolMissingError
from qap.exports import kinds
from qap.exports.agreement import BATCH, agree, keras_outputs
from qap.exports.onnx_float import onnx_outputs, to_onnx
from qap.models.builders import float_logits, fold_batchnorm

from ..firmware.helpers import mlp
from .helpers import float_mlp, normal, randomise

pytest.importorskip("onnxruntime", reason="pip install 'qap[exports]'")
pytest.importorskip("onnx", reason="pip install 'qap[exports]'")

Make = Callable[[Any, Any], Any]
LAYERS: dict[str, tuple[tuple[int, ...], Make]] = {
    "conv 2d same, strides": ((7, 8, 3), lambda k, t: k.Conv2D(4, (3, 2), strides=2, padding="same", activation="relu")(t)),
    "conv 2d valid, dilated": ((9, 9, 2), lambda k, t: k.Conv2D(4, 3, dilation_rate=2, use_bias=False)(t)),
    "conv 2d same, dilated": ((9, 9, 2), lambda k, t: k.Conv2D(4, 3, dilation_rate=2, padding="same")(t)),
    "conv 2d in groups": ((5, 5, 4), lambda k, t: k.Conv2D(6, 3, groups=2)(t)),
    "conv 1d same": ((11, 3), lambda k, t: k.Conv1D(5, 4, strides=3, padding="same", activation="tanh")(t)),
    "depthwise 2d": ((6, 6, 3), lambda k, t: k.DepthwiseConv2D(3, depth_multiplier=2, padding="same")(t)),
    "depthwise 1d": ((9, 3), lambda k, t: k.DepthwiseConv1D(3, activation="relu")(t)),
    "max pooling same": ((7, 7, 2), lambda k, t: k.MaxPooling2D(3, 2, padding="same")(t)),
    "average pooling same": ((7, 7, 2), lambda k, t: k.AveragePooling2D(3, 2, padding="same")(t)),
    "pooling 1d": ((9, 2), lambda k, t: k.AveragePooling1D(2)(k.MaxPooling1D(2)(t))),
    "global pooling": ((5, 4, 3), lambda k, t: k.Concatenate()([k.GlobalAveragePooling2D()(t), k.GlobalMaxPooling2D()(t)])),
    "global pooling 1d": ((5, 4), lambda k, t: k.Add()([k.GlobalAveragePooling1D()(t), k.GlobalMaxPooling1D()(t)])),
    "flatten": ((4, 3, 2), lambda k, t: k.Dense(3)(k.Flatten()(t))),
    "reshape, permute": ((4, 6), lambda k, t: k.Dense(3)(k.Permute((2, 1, 3))(k.Reshape((2, 3, 4))(t)))),
    "joins": (
        (5,),
        lambda k, t: k.Subtract()([k.Maximum()([t, k.Dense(5)(t)]), k.Multiply()([k.Minimum()([t, k.ReLU()(t)]), t])]),
    ),
    "three added": ((5,), lambda k, t: k.Add()([t, k.Dense(5)(t), k.LeakyReLU(0.25)(t)])),
    "concatenate positions": ((5, 2), lambda k, t: k.Concatenate(axis=1)([t, k.Dense(2)(t)])),
    "softmax": ((5,), lambda k, t: k.Dense(4, activation="softmax")(k.Dropout(0.5)(t))),
    "softmax layer": ((5, 3), lambda k, t: k.Softmax()(k.Activation("elu")(t))),
    "more activations": ((5,), lambda k, t: k.Dense(4, "sigmoid")(k.Dense(4, "softplus")(k.Dense(4, "softsign")(t)))),
    "batch normalization": ((5, 3), lambda k, t: k.BatchNormalization(scale=False)(k.BatchNormalization(center=False)(t))),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_agree_with_keras(name: str) -> None:
    shape, make = LAYERS[name]
    keras = stack().keras
    tensor = keras.layers.Input(shape)
    model = randomise(keras.Model(tensor, make(keras.layers, tensor)))
    x = normal(40, *shape)
    found = agree(keras_outputs(model, [x]), onnx_outputs(to_onnx(model), [x]))
    assert found.max_difference < 5e-6, found


def test_a_parent_agrees_with_numpy_for_any_number_of_events() -> None:
    architecture, model = float_mlp()
    x = normal(BATCH + 3, 16)
    data = to_onnx(model)
    expected = float_logits(architecture, fold_batchnorm(model, architecture), x)["output"]
    outputs = onnx_outputs(data, [x])[0]
    assert np.abs(outputs - expected).max() < 1e-5 * np.abs(expected).max()
    assert np.abs(onnx_outputs(data, [x[:1]])[0] - outputs[:1]).max() < 1e-5


def test_two_inputs_two_outputs_and_a_shared_nested_model() -> None:
    keras = stack().keras
    first, second = keras.layers.Input((3,), name="tracks"), keras.layers.Input((3,), name="muons")
    inner = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(4, activation="relu")], name="inner")
    joined = keras.layers.Concatenate()([inner(first), inner(second)])
    model = randomise(keras.Model([first, second], [keras.layers.Dense(2)(joined), joined]))
    x = [normal(30, 3), normal(30, 3, seed=2)]
    found = agree(keras_outputs(model, x), onnx_outputs(to_onnx(model), x))
    assert found.max_difference < 1e-6, found
    with pytest.raises(InputError, match="expected events of shapes"):
        onnx_outputs(to_onnx(model), x[:1])


REFUSED: dict[str, tuple[tuple[int, ...], Make, str]] = {
    "LSTM": ((4, 3), lambda k, t: k.LSTM(3)(t), "the layer LSTM is not written"),
    "normalization of positions": ((4, 3), lambda k, t: k.BatchNormalization(axis=1)(t), "use the last axis"),
    "swish": ((4,), lambda k, t: k.Dense(3, activation="swish")(t), "the activation 'swish' is not written"),
    "softmax of positions": ((4, 3), lambda k, t: k.Softmax(axis=1)(t), "use the last axis"),
    "relu6": ((4,), lambda k, t: k.ReLU(6.0)(t), "use a plain one"),
    "causal": ((9, 2), lambda k, t: k.Conv1D(3, 2, padding="causal")(t), "padding 'valid' or 'same'"),
    "channels first": ((2, 4, 4), lambda k, t: k.Flatten(data_format="channels_first")(t), "channels_last"),
    "nothing": ((4,), lambda k, t: k.Dropout(0.1)(t), "expected layers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_written_is_refused(name: str) -> None:
    shape, make, message = REFUSED[name]
    keras = stack().keras
    tensor = keras.layers.Input(shape)
    with pytest.raises(InputError, match=message):
        to_onnx(keras.Model(tensor, make(keras.layers, tensor)))


def test_quantizers_and_missing_packages_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"output is a QKeras layer.*export this one as qonnx"):
        to_onnx(mlp({"output": ("quantized_bits(4,0)", "quantized_bits(4,0)", None)}, 4, [3]))
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    with pytest.raises(ToolMissingError, match=r"ONNX needs onnx, .* pip install 'qap\[exports\]'"):
        to_onnx(float_mlp()[1])
