"""Structured pruning made real: the units that a mask removes are taken out of the network.

The *masked model* has the layers of the original. Of each removed unit, all that belongs to it is zero: its kernel column
and bias, and its entries in what follows channel by channel (scale, shift and mean of BatchNormalization, kernel and bias of
a depthwise convolution). It hence sends zeros into the next layer, where its kernel row no longer matters. The *smaller model*
lacks these columns, entries and rows. Both give the same outputs: sums of the same numbers, up to the order of summation, and in
every bit where the sums are exact, as in QKeras networks on a fixed-point grid.

Where a removed unit would send something else than zero (a sigmoid of zero is ½, binary weights have no zero) the layer is
refused.

Branches that meet in an Add keep the union of their units: a unit goes only if it goes from all of them. `unify` tells what
is removed in the end.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qap.backend import stack
from qap.compress.channels import DEPTHWISE, ELEMENTWISE, KERNELS, NORMS, Trace, check_keep, extent, kind, stays, trace
from qap.compress.graph import flat, nodes, probe_inputs, rebuild, set_all
from qap.errors import InputError, suggestion
from qap.models.architecture import Architecture
from qap.models.builders import Weights

TOLERANCE = 1e-4
"""Of the largest output: what the order of summation may change in float32."""


def shrink_weights(
    architecture: Architecture, weights: Weights, keep: Mapping[str, np.ndarray]
) -> tuple[Architecture, dict[str, np.ndarray]]:
    """Remove units from the hidden layers of an MLP.

    Its outputs are those of the MLP in which the kernel columns and the biases of the removed units are zero: relu and
    linear of zero are zero, so that nothing goes from them into the next layer.

    Parameters
    ----------
    architecture : Architecture
    weights : mapping of str to array
        ``layer/kernel`` (inputs, units) and ``layer/bias`` (units,).
    keep : mapping of str to (units,) bool array
        Hidden layers by name, True for the units that stay; layers that are not named keep all.

    Returns
    -------
    Architecture, dict of str to array
        The smaller ones.

    Raises
    ------
    InputError
        The output layer or a layer that does not exist, an array of another length, no unit that stays.
    """
    architecture.require_mlp("a network without its pruned units")
    hidden, last = [layer.name for layer in architecture.layers[:-1]], architecture.layers[-1].name
    for name in keep:
        if name == last:
            raise InputError(f"{name}: a layer that cannot be pruned by units: they are the network's outputs; leave it out")
        if name not in hidden:
            raise InputError(f"{name}: no such hidden layer{suggestion(name, hidden)}")
    inputs, layers, smaller = np.ones(architecture.inputs, bool), [], {}
    for layer in architecture.layers:
        kept = check_keep(layer.name, keep.get(layer.name, np.ones(layer.units, bool)), layer.units)
        smaller[f"{layer.name}/kernel"] = weights[f"{layer.name}/kernel"][inputs][:, kept]
        smaller[f"{layer.name}/bias"] = weights[f"{layer.name}/bias"][kept]
        layers.append(replace(layer, units=int(kept.sum())))
        inputs = kept
    return Architecture(architecture.inputs, tuple(layers)), smaller


def unify(model: Any, keep: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the units that can really go: those that branches which meet do not need.

    Parameters
    ----------
    model : keras.Model
    keep : mapping of str to (units,) bool array
        As for `shrink`.

    Returns
    -------
    dict of str to (units,) bool array
        The same layers; True also for the units that another branch keeps.

    Raises
    ------
    InputError
        As `shrink`.
    """
    found = trace(model)
    alive = stays(found, keep)
    return {name: alive[found.units[name]] for name in keep}


def masked(model: Any, keep: Mapping[str, np.ndarray]) -> Any:
    """Return a copy of the model in which all that belongs to the removed units is zero.

    Parameters
    ----------
    model : keras.Model
    keep : mapping of str to (units,) bool array
        As for `shrink`.

    Returns
    -------
    keras.Model
        Functional, same layers and shapes; its outputs are those of ``shrink(model, keep)``.

    Raises
    ------
    InputError
        As `shrink`.
    """
    found = trace(model)
    return _masked(model, found, stays(found, keep))


def shrink(model: Any, keep: Mapping[str, np.ndarray]) -> Any:
    """Take units out of a model.

    Known are Dense, Conv1D, Conv2D, depthwise convolutions, BatchNormalization, activations, dropout, pooling, padding, cropping,
    upsampling, Flatten, Reshape, Permute, Concatenate, Add and its like, from Keras and from QKeras; any other layer may be in
    the model where no removed unit reaches it.

    Parameters
    ----------
    model : keras.Model
        Functional or sequential, from Keras or QKeras.
    keep : mapping of str to (units,) bool array
        Dense and convolution layers by name, True for the units or filters that stay (`qap.granularity.kept_units`); layers
        that are not named keep all. In branches that meet in an Add the union stays, see `unify`.

    Returns
    -------
    keras.Model
        Functional, not compiled, layers of the same names.

    Raises
    ------
    InputError
        A layer that cannot be pruned (its units are the model's outputs, or reach a layer that is not known), an array of another
        length, no unit that stays, removed units that would not be zero, a quantizer whose scale follows from all weights.
    """
    found = trace(model)
    alive = stays(found, keep)
    reference = _masked(model, found, alive)
    smaller = rebuild(model, _changes(model, found, alive))
    weights = {layer.name: _sliced(layer, found, alive) for layer in reference.layers}
    set_all(smaller, weights)
    _compare(reference, smaller)
    return smaller


def _changes(model: Any, found: Trace, alive: np.ndarray) -> dict[str, dict[str, Any]]:
    """Return what is another number in the configuration of the layers."""
    changes: dict[str, dict[str, Any]] = {}
    for node in nodes(model):
        layer, name = node.layer, kind(node.layer)
        kept = alive[found.tensors[id(flat(node.outputs)[0])][1]]
        if name in KERNELS:
            changes[layer.name] = {"units" if name == "Dense" else "filters": int(alive[found.units[layer.name]].sum())}
        elif name == "Reshape" and not kept.all():
            changes[layer.name] = {"target_shape": extent(kept)}
    return changes


def _zeroed(layer: Any, found: Trace, alive: np.ndarray) -> list[np.ndarray]:
    """Return a layer's weights with all that belongs to removed units zero."""
    weights = layer.get_weights()
    if layer.name not in found.outputs or kind(layer) not in (*KERNELS, *DEPTHWISE, *NORMS):
        return weights
    kept = alive[found.outputs[layer.name]]
    if kind(layer) in DEPTHWISE:
        weights[0] = weights[0] * kept.reshape(-1, layer.depth_multiplier)
        return [weights[0], *(value * kept for value in weights[1:])]
    return _times(layer, kept)


def _times(layer: Any, factor: np.ndarray | float) -> list[np.ndarray]:
    """Return a layer's weights times a factor by channel; a variance, which stands below the line, stays."""
    stay = [variable.name.endswith("moving_variance:0") for variable in layer.weights]
    return [value if fixed else value * factor for fixed, value in zip(stay, layer.get_weights(), strict=True)]


def _sliced(layer: Any, found: Trace, alive: np.ndarray) -> list[np.ndarray]:
    """Return a layer's weights without those of removed units and without those that took their outputs."""
    weights = layer.get_weights()
    if layer.name not in found.outputs or kind(layer) not in (*KERNELS, *DEPTHWISE, *NORMS):
        return weights
    taken, kept = alive[found.inputs[layer.name]], alive[found.outputs[layer.name]]
    if kind(layer) in NORMS:
        return [value[kept] for value in weights]
    kernel = weights[0][..., taken, :]
    return [kernel[..., kept] if kind(layer) in KERNELS else kernel, *(value[kept] for value in weights[1:])]


def _masked(model: Any, found: Trace, alive: np.ndarray) -> Any:
    """Return the masked model, having seen that removed units are zero in every tensor of it."""
    copy = rebuild(model, {})
    set_all(copy, {layer.name: _zeroed(layer, found, alive) for layer in model.layers})
    again = trace(copy)  # its tensors have other identities
    left = stays(again, {name: alive[numbers] for name, numbers in found.units.items()})
    gone = [(node, ~left[again.tensors[id(flat(node.outputs)[0])][1]]) for node in nodes(copy)]
    gone = [(node, places) for node, places in gone if places.any()]
    if gone:
        probe = stack().keras.Model(copy.input, [node.outputs for node, _ in gone])
        for (node, places), value in zip(gone, flat(probe(probe_inputs(copy), training=False)), strict=True):
            _check_zero(node.layer, np.asarray(value)[:, places])
    return copy


def _check_zero(layer: Any, values: np.ndarray) -> None:
    if (values != 0).any():
        raise InputError(
            f"{layer.name}: gives {values[values != 0][0]:.4g} and not 0 for what is removed: that cannot go; use an activation "
            "with f(0) = 0 (relu, linear, tanh) and weights that have a zero, or leave the layer out"
        )


def _compare(reference: Any, smaller: Any) -> None:
    """Refuse a smaller model that does not give what the masked one gives."""
    x = probe_inputs(reference)
    for name, a, b in zip(
        reference.output_names, flat(reference(x, training=False)), flat(smaller(x, training=False)), strict=True
    ):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        worst = np.abs(a - b).max()
        if not worst <= TOLERANCE * max(np.abs(a).max(), 1e-6):
            raise InputError(
                f"{name}: the smaller model differs from the masked one by {worst:.3g}: a quantizer whose scale follows from all "
                "weights of a kernel (alpha='auto') gives other values for fewer; fix its scale, as alpha=1 does"
            )


def remove_layers(model: Any, names: Collection[str]) -> Any:
    """Take whole layers out of a model.

    A Dense or convolution layer that ends a residual branch (only BatchNormalization and activations between it and an Add)
    takes the branch with it. The outputs are exactly those of the model in which the layer, and the BatchNormalization
    behind it, are masked to zero. Any other layer is bypassed where it gives the shape that it takes. The outputs are
    those of the model in which it is the identity: a trained layer is not, so this is an approximation that must be fine-tuned.

    Parameters
    ----------
    model : keras.Model
        Functional or sequential, from Keras or QKeras.
    names : collection of str
        Layers.

    Returns
    -------
    keras.Model
        Functional, not compiled; the layers that stay keep names and weights, those that no longer lead to an output are gone.

    Raises
    ------
    InputError
        No such layer, one that gives the model's outputs, another shape than it takes, or is used more than once; an Add of which
        no branch would be left; a branch whose activation does not keep zero.
    """
    calls: dict[str, list[Any]] = {}
    users: dict[int, list[Any]] = {}
    for node in nodes(model):
        calls.setdefault(node.layer.name, []).append(node)
        for tensor in flat(node.keras_inputs):
            users.setdefault(id(tensor), []).append(node)
    skipped, dropped, silent = [], [], []
    for name in names:
        branch = _branch(model, name, calls, users)
        if branch is None:
            skipped.append(name)
        else:
            dropped.append(id(branch[-1].outputs))
            silent.append([node.layer.name for node in branch])
    for node in nodes(model):
        inputs = flat(node.keras_inputs)
        if inputs and all(id(tensor) in dropped for tensor in inputs):
            raise InputError(f"{node.layer.name}: no branch would be left of it; keep one of {', '.join(names)}")
    if silent:
        _silenced(model, silent)
    smaller = rebuild(model, {}, skipped=skipped, dropped=dropped)
    set_all(smaller, {layer.name: layer.get_weights() for layer in model.layers})
    return smaller


def _branch(model: Any, name: str, calls: Mapping[str, list[Any]], users: Mapping[int, list[Any]]) -> list[Any] | None:
    """Return the calls from a layer to the Add that its branch ends in, None where it can only be bypassed."""
    if name not in calls:
        raise InputError(f"{name}: no such layer{suggestion(name, calls)}")
    node, outputs = calls[name][0], [id(tensor) for tensor in flat(model.outputs)]
    if len(calls[name]) != 1:
        raise InputError(f"{name}: cannot be removed: it is used {len(calls[name])} times")
    if len(flat(node.keras_inputs)) != 1:
        raise InputError(f"{name}: cannot be removed: it has {len(flat(node.keras_inputs))} inputs, not one")
    if id(node.outputs) in outputs:
        raise InputError(f"{name}: cannot be removed: it gives an output of the model")
    branch = [node]
    while kind(node.layer) in KERNELS and len(users.get(id(branch[-1].outputs), ())) == 1:
        (user,) = users[id(branch[-1].outputs)]
        if kind(user.layer) == "Add" and id(branch[-1].outputs) not in outputs:
            return branch
        if kind(user.layer) not in (*ELEMENTWISE, *NORMS) or len(calls[user.layer.name]) != 1:
            break
        branch.append(user)
    taken, given = tuple(flat(node.keras_inputs)[0].shape[1:]), tuple(node.outputs.shape[1:])
    if taken != given:
        raise InputError(f"{name}: cannot be removed: it takes the shape {taken} and gives {given}; prune its units instead")
    return None


def _silenced(model: Any, branches: Sequence[Sequence[str]]) -> Any:
    """Return the model with branches masked to zero, having seen that they give zero."""
    copy = rebuild(model, {})
    zero = {name for branch in branches for name in branch if kind(model.get_layer(name)) in (*KERNELS, *NORMS)}
    weights = {layer.name: layer.get_weights() for layer in model.layers}
    weights.update((name, _times(model.get_layer(name), 0.0)) for name in zero)
    set_all(copy, weights)
    ends = [copy.get_layer(branch[-1]) for branch in branches]
    probe = stack().keras.Model(copy.input, [layer.output for layer in ends])
    for layer, value in zip(ends, flat(probe(probe_inputs(copy), training=False)), strict=True):
        _check_zero(layer, np.asarray(value))
    return copy
