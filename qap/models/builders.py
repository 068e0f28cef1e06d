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
from qap.models.architecture import Architecture, Layer
from qap.plan import InputPlan, Plan, Precision

Weights = Mapping[str, np.ndarray]
"""Latent weights by ``layer/kernel`` and ``layer/bias``; kernels (inputs, units), biases (units,)."""

Builder = Callable[[Architecture, Plan | None], Any]
"""(architecture, plan) → Keras model; the plan is None for the float parent."""


def activation_name(layer: Layer) -> str:
    """Return the name of a layer's activation: relu1 for fc1, output_linear for output."""
    return layer.name.replace("fc", layer.activation) if layer.name.startswith("fc") else f"{layer.name}_{layer.activation}"


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
        Layers ``fc1, relu1, …, output`` (and ``bn1, …`` in the float parent).

    Raises
    ------
    InputError
        The plan does not describe the architecture.
    """
    libraries = stack()
    layers = libraries.keras.layers
    if plan is not None:
        architecture.check(plan)
    tensor = inputs = layers.Input((architecture.inputs,), name="inputs")
    if plan is not None and plan.inputs is not None:
        tensor = _rounded(tensor, plan.inputs)
    for layer in architecture.layers:
        if plan is None:
            tensor = layers.Dense(layer.units, name=layer.name)(tensor)
            if layer.batchnorm:
                tensor = layers.BatchNormalization(name=layer.name.replace("fc", "bn"))(tensor)
            if layer.activation != "linear":
                tensor = layers.Activation(layer.activation, name=activation_name(layer))(tensor)
            continue
        precisions = plan[layer.name]
        tensor = libraries.qkeras.QDense(
            layer.units,
            name=layer.name,
            kernel_quantizer=precisions.weight.quantizer,
            bias_quantizer=precisions.bias.quantizer,
        )(tensor)
        if precisions.activation is not None:
            tensor = libraries.qkeras.QActivation(precisions.activation.quantizer, name=activation_name(layer))(tensor)
    return libraries.keras.Model(inputs, tensor, name="qap")


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
        norm = model.get_layer(layer.name.replace("fc", "bn"))
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


def float_logits(architecture: Architecture, weights: Weights, x: np.ndarray) -> dict[str, np.ndarray]:
    """Run the folded float network in NumPy and return every layer's output by name.

    Parameters
    ----------
    x : (events, inputs) array

    Returns
    -------
    dict
        (events, units) arrays after the activation; the last one holds the logits.
    """
    outputs = {}
    for layer in architecture.layers:
        x = x @ weights[f"{layer.name}/kernel"] + weights[f"{layer.name}/bias"]
        x = np.maximum(x, 0) if layer.activation == "relu" else x
        outputs[layer.name] = x
    return outputs
