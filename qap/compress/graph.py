"""Keras graphs taken apart and put together again with other layer sizes, or without some of the layers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from qap.backend import custom_objects, stack
from qap.errors import InputError


def flat(nested: Any) -> list[Any]:
    """Return the tensors of a nested structure in order."""
    return list(stack().tf.nest.flatten(nested))


def nodes(model: Any) -> list[Any]:
    """Return the layer calls of a functional or sequential model in order of evaluation.

    Raises
    ------
    InputError
        A model without a graph, or a tensor without a fixed shape.
    """
    if not getattr(model, "_is_graph_network", False):
        raise InputError(
            f"{model.name}: expected a functional or sequential model with fixed input shapes, received "
            f"{type(model).__name__}: build it as keras.Model(inputs, outputs)"
        )
    found = [node for depth in sorted(model._nodes_by_depth, reverse=True) for node in model._nodes_by_depth[depth]]
    for node in found:
        for tensor in flat(node.outputs):
            if None in tensor.shape[1:]:
                raise InputError(f"{node.layer.name}: expected a fixed shape, received {tuple(tensor.shape)}")
    return found


def rebuild(
    model: Any,
    changes: Mapping[str, Mapping[str, Any]],
    *,
    skipped: Collection[str] = (),
    dropped: Collection[int] = (),
) -> Any:
    """Build a model again, its weights fresh.

    Parameters
    ----------
    model : keras.Model
    changes : mapping of str to mapping
        Layer name → entries of its configuration that are others.
    skipped : collection of str
        Layers of one input and one output that hand their input on.
    dropped : collection of int
        Identities of tensors that do not go into the Add they went into; an Add with one input left hands it on.

    Returns
    -------
    keras.Model
        Functional, layers of the same names; what no longer leads to an output is gone.
    """
    keras, tf = stack().keras, stack().tf
    producers = {id(tensor): node for node in nodes(model) for tensor in flat(node.outputs)}
    built: dict[int, Any] = {}
    copies: dict[str, Any] = {}

    def copy(layer: Any) -> Any:
        if layer.name not in copies:
            copies[layer.name] = layer.__class__.from_config({**layer.get_config(), **changes.get(layer.name, {})})
        return copies[layer.name]

    def call(node: Any) -> Any:
        if isinstance(node.layer, keras.layers.InputLayer):
            tensor = flat(node.outputs)[0]
            return keras.Input(tensor.shape[1:], batch_size=tensor.shape[0], dtype=tensor.dtype, name=node.layer.name)
        inputs = flat(node.keras_inputs)
        left = [tensor for tensor in inputs if id(tensor) not in dropped]
        if node.layer.name in skipped or (len(left) == 1 < len(inputs)):
            return value(left[0])
        if len(left) < len(inputs):
            return copy(node.layer)([value(tensor) for tensor in left])
        args, kwargs = tf.nest.map_structure(value, (node.call_args, node.call_kwargs))
        return copy(node.layer)(*args, **kwargs)

    def value(tensor: Any) -> Any:
        if id(tensor) not in producers:
            return tensor  # a constant among the arguments
        if id(tensor) not in built:
            node = producers[id(tensor)]
            built.update(zip(map(id, flat(node.outputs)), flat(call(node)), strict=True))
        return built[id(tensor)]

    with keras.utils.custom_object_scope(custom_objects()):
        inputs = tf.nest.map_structure(value, model.input)
        return keras.Model(inputs, tf.nest.map_structure(value, model.output), name=model.name)


def set_all(model: Any, weights: Mapping[str, Sequence[np.ndarray]]) -> None:
    """Write the weights of all layers of a model that have any, by layer name."""
    for layer in model.layers:
        if layer.weights:
            layer.set_weights(weights[layer.name])


def probe_inputs(model: Any, events: int = 16) -> Any:
    """Return random inputs in eighths, so that sums of quantized products stay exact, in the structure of the model's."""
    generator = np.random.default_rng(0)

    def draw(tensor: Any) -> np.ndarray:
        shape = (tensor.shape[0] or events, *tensor.shape[1:])
        values = generator.integers(-32, 32, shape) / 8
        return (
            values.astype(tensor.dtype.as_numpy_dtype)
            if tensor.dtype.is_floating
            else np.zeros(shape, tensor.dtype.as_numpy_dtype)
        )

    return stack().tf.nest.map_structure(draw, model.input)
