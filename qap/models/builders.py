"""Keras and QKeras models from an architecture, without and with a plan."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qap.backend import stack
from qap.errors import InputError
from qap.models.architecture import Architecture
from qap.models.layer import Layer, Pool
from qap.plan import InputPlan, Plan
from qap.precision import Precision

Weights = Mapping[str, np.ndarray]
"""Latent weights by ``layer/kernel`` and ``layer/bias``; kernels (inputs, units), biases (units,)."""

Builder = Callable[[Architecture, Plan | None], Any]
"""(architecture, plan) → Keras model; the plan is None for the float parent."""

BATCH = 512
"""Events that a network with convolutions is run on at a time: all its layers' outputs are kept."""


def activation_name(layer: Layer) -> str:
    """Return the name of a layer's activation: relu1 for fc1, conv1_relu for conv1, output_linear for output."""
    return layer.name.replace("fc", layer.activation) if layer.name.startswith("fc") else f"{layer.name}_{layer.activation}"


def norm_name(layer: Layer) -> str:
    """Return the name of a layer's BatchNormalization: bn1 for fc1, conv1_bn for conv1."""
    return layer.name.replace("fc", "bn") if layer.name.startswith("fc") else f"{layer.name}_bn"


def build(architecture: Architecture, plan: Plan | None = None) -> Any:
    """Build a Keras model (no plan) or a QKeras model (with a plan), ending at the logits.

    Parameters
    ----------
    architecture : Architecture
    plan : Plan or None, default None
        None gives the float parent with its BatchNormalization layers. With a plan these are left out: their scale and
        shift are folded into the Dense layers before quantization (see `fold_batchnorm`).

    Returns
    -------
    keras.Model
        Layers ``fc1, relu1, …, output`` (and ``bn1, …`` in the float parent). It takes events in the shape of the
        architecture (see `shaped`).

    Raises
    ------
    InputError
        The plan does not describe the architecture.
    """
    keras = stack().keras
    if plan is not None:
        architecture.check(plan)
    tensor = inputs = keras.layers.Input(architecture.shape or (architecture.inputs,), name="inputs")
    if plan is not None and plan.inputs is not None:
        tensor = _rounded(tensor, plan.inputs)
    outputs: dict[str, Any] = {}
    for layer in architecture.layers:
        if not layer.kernel and len(tensor.shape) > 2:
            tensor = keras.layers.Flatten(name=f"{layer.name}_inputs")(tensor)
        tensor = _products(layer, plan)(tensor)
        if layer.batchnorm and plan is None:
            tensor = keras.layers.BatchNormalization(name=norm_name(layer))(tensor)
        if layer.add:
            tensor = keras.layers.Add(name=f"{layer.name}_add")([tensor, outputs[layer.add]])
        activation = _activation(layer, plan, activation_name(layer))
        tensor = tensor if activation is None else activation(tensor)
        tensor = outputs[layer.name] = _pooled(tensor, layer, plan)
    return keras.Model(inputs, tensor, name="qap")


def _products(layer: Layer, plan: Plan | None) -> Any:
    """Return the Dense layer or the convolution, with the plan's quantizers where there is one."""
    libraries = stack()
    if plan is None:
        made, quantizers = libraries.keras.layers, {}
    else:
        made, precisions = libraries.qkeras, plan[layer.name]
        quantizers = {"kernel_quantizer": precisions.weight.quantizer, "bias_quantizer": precisions.bias.quantizer}
    kind = f"Conv{len(layer.kernel)}D" if layer.kernel else "Dense"
    make = getattr(made, kind if plan is None else f"Q{kind}")
    if not layer.kernel:
        return make(layer.units, name=layer.name, **quantizers)
    return make(layer.units, layer.kernel, strides=layer.steps, padding=layer.padding, name=layer.name, **quantizers)


def _activation(layer: Layer, plan: Plan | None, name: str) -> Any:
    """Return the activation with the plan's quantizer, None where it changes nothing."""
    libraries = stack()
    if plan is None:
        return None if layer.activation == "linear" else libraries.keras.layers.Activation(layer.activation, name=name)
    precision = plan[layer.name].activation
    return None if precision is None else libraries.qkeras.QActivation(precision.quantizer, name=name)


def _pooled(tensor: Any, layer: Layer, plan: Plan | None) -> Any:
    """Return a layer's output after its pooling; averages are rounded to the activation's type."""
    axes = len(tensor.shape) - 2
    pool = layer.pooling(axes)
    if pool is None:
        return tensor
    tensor = _pooling_layer(pool, axes, f"{layer.name}_pool")(tensor)
    if plan is None or not pool.averages:
        return tensor
    return _activation(layer, plan, f"{layer.name}_pooled")(tensor)


def _pooling_layer(pool: Pool, axes: int, name: str) -> Any:
    layers = stack().keras.layers
    kind = "Max" if pool.kind.endswith("max") else "Average"
    if not pool.size:
        return getattr(layers, f"Global{kind}Pooling{axes}D")(name=name)
    return getattr(layers, f"{kind}Pooling{axes}D")(pool.size, name=name)


def shaped(model: Any, x: np.ndarray) -> np.ndarray:
    """Return events as a model takes them: rows of features in the shape of its input."""
    shape = model.input_shape
    return x.reshape(len(x), *shape[1:]) if isinstance(shape, tuple) and None not in shape[1:] else x


def _rounded(tensor: Any, inputs: InputPlan) -> Any:
    """Return the inputs as the plan rounds them: scaled by powers of two where it has exponents, then quantized.

    The scale is a Dense layer with a diagonal kernel: shifts, exact in float32, which a BatchNormalization is not.
    """
    qkeras = stack().qkeras
    if inputs.exponents:
        features = len(inputs.exponents)
        coarsest, finest = max(inputs.exponents), min(inputs.exponents)
        integer, fractional = max(1 - finest, 0), max(coarsest, 0)
        scale = qkeras.QDense(
            features, use_bias=False, name="inputs_scaled", trainable=False,
            kernel_quantizer=Precision(1 + integer + fractional, integer).quantizer,
        )  # fmt: skip
        tensor = scale(tensor)
        scale.set_weights([np.diag(np.ldexp(np.ones(features, np.float32), -np.asarray(inputs.exponents)))])
    return qkeras.QActivation(inputs.precision.quantizer, name="inputs_rounded")(tensor)


def user_builder(reference: str, folder: Path | None = None) -> Builder:
    """Import a user's model function, ``module:function``, that takes the place of `build`.

    Parameters
    ----------
    reference : str
        The function is called as ``function(architecture, plan)`` and returns a Keras model whose Dense layers carry the
        names of the architecture; `plan` is None for the float parent.
    folder : path, optional
        Where to look for the module first.

    Raises
    ------
    InputError
        No such module or function.
    """
    module_name, _, function_name = reference.partition(":")
    if not function_name:
        raise InputError(f"model.function: expected module:function, received {reference!r}")
    if folder is not None:
        sys.path.insert(0, str(folder))
    try:
        return getattr(importlib.import_module(module_name), function_name)
    except ModuleNotFoundError as error:
        raise InputError(f"model.function: {error}; the module must lie beside the study file or be installed") from None
    except AttributeError:
        raise InputError(f"model.function: the module {module_name} has no function {function_name!r}") from None
    finally:
        if folder is not None:
            sys.path.remove(str(folder))


def builder_of(function: str | None, folder: Path | None = None) -> Builder:
    """Return the user's model function where ``model.function`` names one (see `user_builder`), else `build`."""
    return user_builder(function, folder) if function else build


def get_weights(model: Any, architecture: Architecture) -> dict[str, np.ndarray]:
    """Read the latent weights of the architecture's layers.

    Raises
    ------
    InputError
        A layer is missing or its kernel has another shape (a user's model function that builds something else).
    """
    weights: dict[str, np.ndarray] = {}
    for name, shape in architecture.shapes.items():
        try:
            values = model.get_layer(name).get_weights()
        except ValueError:
            raise InputError(f"model: expected a layer named {name}, received {[x.name for x in model.layers]}") from None
        if len(values) != 2 or values[0].shape != shape:
            raise InputError(
                f"model: {name}: expected a kernel {shape} and a bias, received {[tuple(value.shape) for value in values]}"
            )
        weights[f"{name}/kernel"], weights[f"{name}/bias"] = values
    return weights


def set_weights(model: Any, weights: Weights) -> None:
    """Write latent weights into the layers that they are named after."""
    for name in dict.fromkeys(key.rsplit("/", 1)[0] for key in weights):
        model.get_layer(name).set_weights([weights[f"{name}/kernel"], weights[f"{name}/bias"]])


def fold_batchnorm(model: Any, architecture: Architecture) -> dict[str, np.ndarray]:
    """Return the weights of the float parent with each BatchNormalization folded into its Dense layer.

    With s = γ/√(σ² + ε): kernel' = kernel·s, bias' = (bias − µ)·s + β, so that Dense' = BatchNormalization(Dense).

    Parameters
    ----------
    model : keras.Model
        Made by ``build(architecture)`` and trained.
    architecture : Architecture

    Returns
    -------
    dict
        float32 weights by ``layer/kernel`` and ``layer/bias``.
    """
    weights = get_weights(model, architecture)
    for layer in architecture.layers:
        if not layer.batchnorm:
            continue
        norm = model.get_layer(norm_name(layer))
        gamma, beta, mean, variance = (np.asarray(value, np.float64) for value in norm.get_weights())
        scale = gamma / np.sqrt(variance + norm.epsilon)
        kernel, bias = weights[f"{layer.name}/kernel"], weights[f"{layer.name}/bias"]
        weights[f"{layer.name}/kernel"] = (kernel * scale).astype(np.float32)
        weights[f"{layer.name}/bias"] = ((bias - mean) * scale + beta).astype(np.float32)
    return weights


def quantize_weights(plan: Plan, weights: Weights) -> dict[str, np.ndarray]:
    """Return what the plan's quantizers make of the latent weights, float64: the numbers that the firmware gets."""
    quantized = {}
    for name, layer in plan.items():
        quantized[f"{name}/kernel"] = layer.weight.quantize(weights[f"{name}/kernel"])
        quantized[f"{name}/bias"] = layer.bias.quantize(weights[f"{name}/bias"])
    return quantized


def float_logits(
    architecture: Architecture, weights: Weights, x: np.ndarray, only: str | None = None
) -> dict[str, np.ndarray]:
    """Run the folded float network and return every layer's output by name: in NumPy, with convolutions in Keras.

    Parameters
    ----------
    x : (events, inputs) array
    only : str, optional
        One layer's name (None: all).

    Returns
    -------
    dict
        (events, …, units) arrays after the activation, before a pooling; the last one holds the logits, (events, units).
    """
    if not architecture.is_mlp:
        return _keras_outputs(architecture.folded, weights, x, only)
    outputs = {}
    for layer in architecture.layers:
        x = x @ weights[f"{layer.name}/kernel"] + weights[f"{layer.name}/bias"]
        x = np.maximum(x, 0) if layer.activation == "relu" else x
        outputs[layer.name] = x
    return outputs if only is None else {only: outputs[only]}


def _keras_outputs(architecture: Architecture, weights: Weights, x: np.ndarray, only: str | None) -> dict[str, np.ndarray]:
    keras = stack().keras
    model = build(architecture)
    set_weights(model, weights)
    layers = [layer for layer in architecture.layers if only in (None, layer.name)]
    ends = [_end(model, layer) for layer in layers]
    whole = keras.Model(model.input, ends)
    parts = [whole(shaped(model, x[start : start + BATCH]), training=False) for start in range(0, len(x), BATCH)]
    found = [np.concatenate([np.asarray(part[i] if len(ends) > 1 else part) for part in parts]) for i in range(len(ends))]
    return {layer.name: values for layer, values in zip(layers, found, strict=True)}


def _end(model: Any, layer: Layer) -> Any:
    """Return what a layer of the folded float network has after its activation."""
    names = {one.name for one in model.layers}
    ends = (activation_name(layer), f"{layer.name}_add", layer.name)
    return model.get_layer(next(name for name in ends if name in names)).output
