"""TFLite models against NumPy and Keras, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qap.backend import stack
from qap.errors import InputError, QapError
from qap.exports.agreement import BATCH, agree, keras_outputs
from qap.exports.tflite import convert, integer_tensors, tflite_outputs
from qap.models.builders import float_logits, fold_batchnorm

from ..firmware.helpers import mlp
from .helpers import float_mlp, normal, randomise

X = normal(BATCH + 904, 16)


@pytest.fixture(scope="module")
def parent() -> tuple[Any, Any]:
    return float_mlp()


def test_float_agrees_with_numpy(parent: tuple[Any, Any]) -> None:
    """More than one batch, the last one short."""
    architecture, model = parent
    outputs = tflite_outputs(convert(model, "float"), X)
    expected = float_logits(architecture, fold_batchnorm(model, architecture), X)["output"]
    assert outputs.shape == (len(X), 5)
    assert np.abs(outputs - expected).max() < 1e-5 * np.abs(expected).max()


def test_dynamic_range_quantizes_the_large_kernels(parent: tuple[Any, Any]) -> None:
    """16×64 and 64×32 have 1,024 weights or more, 32×5 has not; an event's outputs do not depend on its neighbours."""
    _, model = parent
    whole, dynamic = convert(model, "float"), convert(model, "dynamic")
    assert (integer_tensors(whole), integer_tensors(dynamic)) == (0, 2)
    assert len(dynamic) < 0.6 * len(whole)
    outputs = tflite_outputs(dynamic, X[:64])
    found = agree(keras_outputs(model, [X[:64]]), [outputs])
    assert 0 < found.max_difference < 0.1, found
    alone = np.concatenate([tflite_outputs(dynamic, X[i : i + 1]) for i in range(64)])
    assert np.array_equal(alone, outputs)


def test_full_integer_stays_within_its_steps(parent: tuple[Any, Any]) -> None:
    """Integers in, integers out: dequantized outputs stand on the output's grid, near Keras on the calibrated range."""
    _, model = parent
    data = convert(model, "int8", X[:1000])
    outputs = tflite_outputs(data, X[:1000])
    interpreter = stack().tf.lite.Interpreter(model_content=data)
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    assert source["dtype"] is target["dtype"] is np.int8
    step = target["quantization"][0]
    assert np.abs(outputs / step - np.round(outputs / step)).max() < 1e-3
    found = agree(keras_outputs(model, [X[:1000]]), [outputs])
    assert found.max_difference < 8 * step, (found, step)
    assert found.agreement is not None
    assert found.agreement > 0.95


def test_an_integer_dense_layer_by_hand() -> None:
    """int32 sums of int8 products, rescaled: at most one step from the interpreter's, whose rounding is its own."""
    keras = stack().keras
    model = randomise(keras.Sequential([keras.layers.Input((6,)), keras.layers.Dense(4)]))
    x = normal(500, 6)
    data = convert(model, "int8", x)
    interpreter = stack().tf.lite.Interpreter(model_content=data)
    scale, zero = interpreter.get_input_details()[0]["quantization"]
    step = interpreter.get_output_details()[0]["quantization"][0]
    kernel, bias = model.get_weights()
    fine = np.abs(kernel).max(axis=0) / 127
    integers = np.round(kernel / fine)
    inputs = np.clip(np.round(x / scale) + zero, -128, 127) - zero
    expected = (inputs @ integers + np.round(bias / (fine * scale))) * fine * scale
    inside = np.abs(expected) < 100 * step
    assert np.abs(tflite_outputs(data, x) - expected)[inside].max() <= 1.01 * step
    assert inside.mean() > 0.5


def test_a_convolution_runs() -> None:
    layers = stack().keras.layers
    model = stack().keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    x = normal(50, 8, 8, 1)
    for kind, limit in (("float", 1e-5), ("int8", 0.1)):
        found = agree(keras_outputs(model, [x]), [tflite_outputs(convert(model, kind, x), x)])
        assert found.max_difference < limit, (kind, found)


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (None, "expected calibration events"),
        (X[:1], "several different events, received 1:"),
        (np.repeat(X[:1], 50, axis=0), "received 50 equal ones"),
        (X[:0], "received 0:"),
        (X[:9, :4], r"expected events of shape \(16,\)"),
        (np.where(np.arange(16) == 3, np.nan, X[:9]), "9 values are NaN"),
    ],
)
def test_calibration_that_says_nothing_is_refused(parent: tuple[Any, Any], calibration: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        convert(parent[1], "int8", calibration)


def test_what_the_converter_cannot_do_is_said() -> None:
    layers = stack().keras.layers
    model = stack().keras.Sequential([layers.Input((6, 3)), layers.LSTM(4)])
    with pytest.raises(
        QapError, match=r"TFLite float: the converter refuses the model: 'tf.TensorListReserve' op requires .*[^\n]$"
    ):
        convert(model, "float")


def test_what_has_no_tflite_is_refused(parent: tuple[Any, Any]) -> None:
    layer = ("quantized_bits(4,0)", "quantized_bits(4,0)", None)
    with pytest.raises(InputError, match=r"output is a QKeras layer.*give the float Keras model"):
        convert(mlp({"output": layer}, 4, [3]), "int8", X)
    with pytest.raises(InputError, match=r"received 'int9' \(did you mean 'int8'\?\)"):
        convert(parent[1], "int9")
    keras = stack().keras
    tensor = keras.layers.Input((3,))
    with pytest.raises(InputError, match="one input and one output, received 1 and 2"):
        convert(keras.Model(tensor, [keras.layers.Dense(2)(tensor), keras.layers.Dense(2)(tensor)]), "float")
    with pytest.raises(InputError, match=r"expected events of shape \(16,\)"):
        tflite_outputs(convert(parent[1], "float"), X[:, :3])
    with pytest.raises(InputError, match="not a TFLite model"):
        tflite_outputs(b"no model", X)
