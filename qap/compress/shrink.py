"""Structured pruning made real: the units that a mask removes are taken out of the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from qap.errors import InputError, suggestion
from qap.models.architecture import Architecture
from qap.models.builders import Weights


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
