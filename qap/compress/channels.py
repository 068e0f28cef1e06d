"""Which units a tensor of a Keras model carries, followed through the graph.

Every unit of a Dense or convolution layer has a number; a tensor is an array of numbers in its shape, 0 where something stands
that is always there (the model's inputs, layers that are not known here). Flatten, Reshape and Concatenate move numbers; an
Add wants the same units from all its inputs, a convolution wants the same unit at all positions of a channel: such
numbers are *equal*, and their units stay or go together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from qap.compress.graph import flat, nodes
from qap.errors import InputError, suggestion

KERNELS = ("Dense", "Conv1D", "Conv2D")
DEPTHWISE = ("DepthwiseConv1D", "DepthwiseConv2D")
NORMS = ("BatchNormalization",)
ELEMENTWISE = (
    "Activation", "ReLU", "LeakyReLU", "ELU", "ThresholdedReLU", "Dropout", "SpatialDropout1D", "SpatialDropout2D",
    "GaussianNoise", "GaussianDropout",
)  # fmt: skip
_BY_CHANNEL = tuple(
    f"{kind}{dimensions}D"
    for kind in (
        "MaxPooling",
        "AveragePooling",
        "GlobalMaxPooling",
        "GlobalAveragePooling",
        "ZeroPadding",
        "Cropping",
        "UpSampling",
    )
    for dimensions in (1, 2)
)
_MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")


def kind(layer: Any) -> str:
    """Return the class of a layer, that of a QKeras layer without its Q; '' where its options need other rules."""
    name = type(layer).__name__.removeprefix("Q")
    first = getattr(layer, "data_format", None) == "channels_first"
    grouped = getattr(layer, "groups", 1) != 1 or (name in NORMS and list(layer.axis) != [layer.input_spec.ndim - 1])
    return "" if first or grouped else name


@dataclass(eq=False)
class Trace:
    """The numbers of all tensors of a model.

    Parameters
    ----------
    units : dict of str to int array
        Numbers of the units of each layer with a kernel.
    inputs, outputs : dict of str to int array
        Numbers along the last axis of what a layer takes and gives.
    tensors : dict of int to (str, int array)
        Identity of a tensor → the layer that makes it, its numbers.
    equal : list of pairs of int arrays
        Numbers that stay or go together.
    needed : list of (str, int array, str)
        Layer, numbers that must stay for it, reason.
    """

    units: dict[str, np.ndarray] = field(default_factory=dict)
    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    outputs: dict[str, np.ndarray] = field(default_factory=dict)
    tensors: dict[int, tuple[str, np.ndarray]] = field(default_factory=dict)
    equal: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    needed: list[tuple[str, np.ndarray, str]] = field(default_factory=list)


def trace(model: Any) -> Trace:
    """Follow the units of a model.

    Raises
    ------
    InputError
        A model without a graph, or a tensor without a fixed shape.
    """
    found = Trace()
    for node in nodes(model):
        inputs = [found.tensors[id(tensor)][1] for tensor in flat(node.keras_inputs)]
        outputs = flat(node.outputs)
        shape = tuple(outputs[0].shape[1:])
        numbers = _step(found, node.layer, inputs, shape) if inputs and len(outputs) == 1 else None
        if numbers is None:
            what = f"a {type(node.layer).__name__} with these options is not known to work on fewer channels"
            found.needed += [(node.layer.name, array, what) for array in inputs]
        for tensor in outputs:
            made = np.zeros(tuple(tensor.shape[1:]), int) if numbers is None else np.broadcast_to(numbers, shape)
            found.tensors[id(tensor)] = (node.layer.name, made)
    for tensor in flat(model.outputs):
        layer, numbers = found.tensors[id(tensor)]
        found.needed.append((layer, numbers, "it is an output of the model"))
    return found


def _channels(found: Trace, numbers: np.ndarray) -> np.ndarray:
    """Return the numbers along the last axis; those of all positions become equal."""
    rows = numbers.reshape(-1, numbers.shape[-1])
    if len(rows) > 1:
        found.equal.append((rows, np.broadcast_to(rows[:1], rows.shape)))
    return rows[0]


def _step(found: Trace, layer: Any, inputs: list[np.ndarray], shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the numbers of a layer's output, None where the layer is not known."""
    name, first = kind(layer), inputs[0]
    if name in ELEMENTWISE:
        return first
    if name in (*KERNELS, *DEPTHWISE, *NORMS, *_BY_CHANNEL):
        return _parametrised(found, layer, name, _channels(found, first), shape)
    if name in ("Flatten", "Reshape"):
        return first.reshape(shape)
    if name == "Permute":
        return first.transpose([axis - 1 for axis in layer.dims])
    if name == "Concatenate":
        return np.concatenate(inputs, axis=layer.axis if layer.axis < 0 else layer.axis - 1)
    if name in _MERGES:
        arrays = np.broadcast_arrays(*inputs)
        found.equal += [(arrays[0], array) for array in arrays[1:]]
        return reduce(np.maximum, arrays)
    return None


def _parametrised(found: Trace, layer: Any, name: str, channels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Note what a layer takes and gives by channel; return what it gives."""
    if layer.name in found.inputs:  # a shared layer has one set of weights for all its calls
        found.equal.append((found.inputs[layer.name], channels))
        channels = found.inputs[layer.name]
    found.inputs[layer.name] = channels
    if name in KERNELS:
        if layer.name not in found.units:
            start = 1 + sum(map(len, found.units.values()))
            found.units[layer.name] = np.arange(start, start + shape[-1])
        channels = found.units[layer.name]
    elif name in DEPTHWISE:
        channels = np.repeat(channels, layer.depth_multiplier)
    found.outputs[layer.name] = channels
    return np.broadcast_to(channels, shape)


def stays(found: Trace, keep: Mapping[str, np.ndarray]) -> np.ndarray:
    """Settle which numbers stay: equal ones do if any of them is kept.

    Parameters
    ----------
    found : Trace
    keep : mapping of str to (units,) bool array

    Returns
    -------
    bool array, one for each number

    Raises
    ------
    InputError
        A layer that cannot be pruned, an array of another length, no unit that stays; a layer that needs what would go.
    """
    kept = np.ones(1 + sum(map(len, found.units.values())), bool)
    for name, values in keep.items():
        if name not in found.units:
            raise InputError(f"{name}: no Dense or convolution layer of this name{suggestion(name, found.units)}")
        kept[found.units[name]] = check_keep(name, values, len(found.units[name]))
    left, right = (np.concatenate([np.zeros(1, int), *(pair[side].ravel() for pair in found.equal)]) for side in (0, 1))
    graph = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(len(kept), len(kept)))
    _, part = connected_components(graph, directed=False)
    alive = np.asarray(np.bincount(part, weights=kept)[part] > 0)
    for layer, numbers, reason in found.needed:
        _refuse_needed(found, layer, reason, numbers[~alive[numbers]])
    for layer, numbers in found.tensors.values():
        if not is_box(alive[numbers]):
            raise InputError(
                f"{layer}: the units that stay do not fill its output {numbers.shape} without holes; remove the same of every "
                "row or leave the layer in front of it out"
            )
    return alive


def _refuse_needed(found: Trace, layer: str, reason: str, gone: np.ndarray) -> None:
    if gone.size:
        source = next(name for name, numbers in found.units.items() if gone[0] in numbers)
        raise InputError(f"{source}: cannot be pruned, its units reach {layer}: {reason}; leave {source} out")


def check_keep(name: str, kept: np.ndarray, units: int) -> np.ndarray:
    """Return which units of a layer stay, as a checked bool array.

    Raises
    ------
    InputError
        Not one truth value for each unit, or none that stays.
    """
    kept = np.asarray(kept)
    if kept.shape != (units,) or kept.dtype != bool:
        raise InputError(f"{name}: expected {units} truth values, one a unit, received {kept.dtype} of shape {kept.shape}")
    if not kept.any():
        raise InputError(f"{name}: no unit would stay; keep one at least, or remove the layer")
    return kept


def extent(alive: np.ndarray) -> tuple[int, ...]:
    """Return how many places of each axis hold anything that stays."""
    axes = range(alive.ndim)
    return tuple(int(alive.any(axis=tuple(other for other in axes if other != axis)).sum()) for axis in axes)


def is_box(alive: np.ndarray) -> bool:
    """Tell whether what stays fills a smaller array without holes."""
    return int(alive.sum()) == math.prod(extent(alive))
