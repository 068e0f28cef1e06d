"""A Keras model as a flat list of layer calls: nested models opened, shared layers called once per use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from qap.backend import stack
from qap.errors import InputError

RESERVED = {
    "input",
    "model",
    "int",
    "float",
    "double",
    "char",
    "bool",
    "auto",
    "class",
    "const",
    "default",
    "static",
    "void",
}


@dataclass(frozen=True, eq=False)
class Call:
    """One use of one layer.

    Parameters
    ----------
    name : str
        The layer's name; ``name_1`` for the second use of a shared layer, ``model_name`` inside a nested model.
    layer : keras.Layer
    inputs : tuple of str
        Names of the calls whose outputs it takes.
    shape : tuple of int
        Shape of its output without the batch axis.
    """

    name: str
    layer: Any
    inputs: tuple[str, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Graph:
    """Calls in order of evaluation, and the names of the model's inputs and outputs."""

    calls: tuple[Call, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def identifier(name: str, taken: set[str]) -> str:
    """Return a C++ identifier near a layer's name that is not taken, and take it.

    ``<name>_linear`` is taken with it: hls4ml splits the activation off a layer under that name.
    """
    base = re.sub(r"\W", "_", name, flags=re.ASCII)[:100]
    if base in RESERVED or not re.match(r"[A-Za-z]", base):
        base = f"layer_{base}"
    unique, count = base, 0
    while {unique, f"{unique}_linear"} & taken:
        count += 1
        unique = f"{base}_{count}"
    taken.update((unique, f"{unique}_linear"))
    return unique


def _is_model(layer: Any) -> bool:
    return hasattr(layer, "_nodes_by_depth")


def flatten(model: Any) -> Graph:
    """Flatten a functional or sequential model.

    Raises
    ------
    InputError
        A subclassed model, which has no graph, or an output without a fixed shape.
    """
    calls: list[Call] = []
    names: dict[int, str] = {}
    taken: set[str] = set()
    keras = stack().keras

    def walk(part: Any, prefix: str) -> None:
        if not _is_model(part) or not getattr(part, "_is_graph_network", False):
            raise InputError(
                f"{part.name}: expected a functional or sequential model with fixed input shapes, received "
                f"{type(part).__name__}: build it as keras.Model(inputs, outputs)"
            )
        for depth in sorted(part._nodes_by_depth, reverse=True):
            for node in part._nodes_by_depth[depth]:
                call(node, prefix)

    def call(node: Any, prefix: str) -> None:
        layer, outputs = node.layer, _flat(node.outputs)
        inputs = _flat(node.keras_inputs)
        if isinstance(layer, keras.layers.InputLayer):
            if id(outputs[0]) not in names:  # inputs of nested models are known from outside
                names[id(outputs[0])] = add(layer, prefix, (), outputs[0])
            return
        if _is_model(layer):
            for inner, outer in zip(_flat(layer.inputs), inputs, strict=True):
                names[id(inner)] = names[id(outer)]
            walk(layer, f"{prefix}{layer.name}_")
            for inner, outer in zip(_flat(layer.outputs), outputs, strict=True):
                names[id(outer)] = names[id(inner)]
            return
        if len(outputs) != 1:
            raise InputError(f"{layer.name}: expected a layer with one output, {type(layer).__name__} has {len(outputs)}")
        names[id(outputs[0])] = add(layer, prefix, tuple(names[id(tensor)] for tensor in inputs), outputs[0])

    def add(layer: Any, prefix: str, inputs: tuple[str, ...], output: Any) -> str:
        shape = tuple(output.shape[1:])
        if any(size is None for size in shape) or not shape:
            raise InputError(f"{layer.name}: expected a fixed output shape, received {tuple(output.shape)}")
        name = identifier(prefix + layer.name, taken)
        calls.append(Call(name, layer, inputs, shape))
        return name

    walk(model, "")
    return Graph(
        tuple(calls),
        tuple(names[id(tensor)] for tensor in _flat(model.inputs)),
        tuple(names[id(tensor)] for tensor in _flat(model.outputs)),
    )


def _flat(nested: Any) -> list[Any]:
    return list(stack().tf.nest.flatten(nested))
