"""TFLite: float, dynamic-range and full-integer models of a float Keras model, and their interpreter."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from qap.backend import silenced_stderr, stack
from qap.errors import InputError, QapError, suggestion
from qap.exports.agreement import BATCH
from qap.exports.kinds import refuse_quantized

KINDS = ("float", "dynamic", "int8")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the converter's notes, Python's and C++'s, off the screen."""
    with silenced_stderr(), contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def check_calibration(calibration: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """Return a calibration set as float32, or refuse it.

    Parameters
    ----------
    calibration : (events, …) array or None
    shape : tuple of int
        Shape of one event.

    Raises
    ------
    InputError
        None, another shape, values that are not finite, or fewer than two different events.
    """
    if calibration is None:
        raise InputError("int8: expected calibration events (training events), which set the ranges of the integers")
    x = np.asarray(calibration, np.float32)
    if x.shape[1:] != shape:
        raise InputError(f"int8: calibration: expected events of shape {shape}, received an array {x.shape}")
    if len(x) < 2 or (x == x[0]).all():
        raise InputError(
            f"int8: calibration: expected several different events, received {len(x)}"
            f"{' equal ones' if len(x) > 1 else ''}: one event says nothing of the ranges; give some hundred training events"
        )
    if not np.isfinite(x).all():
        raise InputError(f"int8: calibration: {int((~np.isfinite(x)).sum())} values are NaN or infinite")
    return x


def convert(model: Any, kind: str, calibration: np.ndarray | None = None) -> bytes:
    """Convert a float Keras model.

    Parameters
    ----------
    model : keras.Model
        One input, one output.
    kind : {'float', 'dynamic', 'int8'}
        float32 throughout; int8 weights, activations quantized at run time (dynamic range); or int8 weights, activations,
        input and output, biases in int32 (full integer).
    calibration : (events, …) array, optional
        Representative events for ``int8``: the ranges of the activations are taken from all of them.

    Returns
    -------
    bytes
        The model file.

    Raises
    ------
    InputError
        An unknown kind, QKeras layers, several inputs or outputs, calibration events that are missing or too few.
    QapError
        TFLite cannot convert a layer.

    References
    ----------
    B. Jacob et al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, CVPR 2018.
    """
    if kind not in KINDS:
        raise InputError(f"TFLite: expected one of {', '.join(KINDS)}, received {kind!r}{suggestion(kind, KINDS)}")
    refuse_quantized(model, "TFLite")
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise InputError(
            f"TFLite: expected a model with one input and one output, received {len(model.inputs)} and {len(model.outputs)}"
        )
    tf = stack().tf
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if kind != "float":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "int8":
        events = check_calibration(calibration, tuple(model.inputs[0].shape[1:]))
        converter.representative_dataset = lambda: ([events[i : i + 1]] for i in range(len(events)))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    try:
        with _quiet():
            return bytes(converter.convert())
    except Exception as error:  # the converter's own class is an Exception and has no public name
        reason = str(error).partition("error: ")[2] or str(error) or type(error).__name__
        raise QapError(f"TFLite {kind}: the converter refuses the model: {reason.splitlines()[0][:200]}") from error


def tflite_outputs(model: bytes, x: np.ndarray) -> np.ndarray:
    """Run a TFLite model by its interpreter.

    Integer inputs are made from floats by the model's own scale and zero point, rounded half to even and saturated;
    integer outputs are turned back into floats.

    Parameters
    ----------
    model : bytes
        Model file with one input and one output.
    x : (events, …) array

    Returns
    -------
    float32 array (events, outputs)

    Raises
    ------
    InputError
        Events of another shape, or no TFLite model.
    """
    try:
        with _quiet():
            interpreter = stack().tf.lite.Interpreter(model_content=model, num_threads=1)
    except ValueError as error:
        raise InputError(f"not a TFLite model: {' '.join(str(error).split())[:120]}") from None
    source, target = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    shape = tuple(int(size) for size in source["shape"][1:])
    if x.shape[1:] != shape or not len(x):
        raise InputError(f"TFLite: expected events of shape {shape}, received an array {x.shape}")
    parts, size = [], 0
    with _quiet():
        for start in range(0, len(x), BATCH):
            batch = _integers(x[start : start + BATCH], source)
            if len(batch) != size:
                size = len(batch)
                interpreter.resize_tensor_input(source["index"], batch.shape)
                interpreter.allocate_tensors()
            interpreter.set_tensor(source["index"], batch)
            interpreter.invoke()
            parts.append(_floats(interpreter.get_tensor(target["index"]), target))
    return np.concatenate(parts)


def integer_tensors(model: bytes) -> int:
    """Count the int8 tensors of a TFLite model.

    Of a dynamic-range model these are its quantized kernels: TFLite leaves a kernel of fewer than 1,024 weights in float32.
    """
    with _quiet():
        details = stack().tf.lite.Interpreter(model_content=model, num_threads=1).get_tensor_details()
    return sum(tensor["dtype"] is np.int8 for tensor in details)


def _integers(x: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    kind = tensor["dtype"]
    if np.dtype(kind).kind == "f":
        return x.astype(kind)
    scale, zero = tensor["quantization"]
    limits = np.iinfo(kind)
    return np.clip(np.round(x / scale) + zero, limits.min, limits.max).astype(kind)


def _floats(y: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    if y.dtype.kind == "f":
        return y.astype(np.float32)
    scale, zero = tensor["quantization"]
    return ((y.astype(np.float64) - zero) * scale).astype(np.float32)
