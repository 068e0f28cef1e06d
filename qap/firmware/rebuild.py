"""Rebuild a model from its configuration with some of its layers said differently."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from qap.backend import custom_objects, stack

Rewrite = Callable[[dict[str, Any]], dict[str, Any]]
"""Layer entry {class_name, config, …} → the entry to use."""

Weights = Callable[[Any, Any], list[np.ndarray]]
"""(layer of the model, layer of the copy) → the copy's weights in its own order."""


def walk(value: Any, rewrite: Callable[[Any], Any]) -> Any:
    """Return a nested configuration with `rewrite` applied to every part, the inner ones first."""
    if isinstance(value, dict):
        return rewrite({key: walk(item, rewrite) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return type(value)(walk(item, rewrite) for item in value)
    return rewrite(value)


def rebuild(model: Any, rewrite: Callable[[Any], Any], weights: Weights) -> Any:
    """Build a copy of a model from its rewritten configuration.

    Parameters
    ----------
    model : keras.Model
    rewrite : callable
        Applied to every part of the configuration.
    weights : callable
        Weights of each layer of the copy.

    Returns
    -------
    keras.Model
    """
    with stack().keras.utils.custom_object_scope(custom_objects()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # QKeras passes its quantizers where Keras expects constraints
        copy = type(model).from_config(walk(model.get_config(), rewrite))
    for old, new in zip(leaves(model), leaves(copy), strict=True):
        if new.weights:
            new.set_weights(weights(old, new))
    return copy


def leaves(model: Any) -> list[Any]:
    """Return the layers that hold weights themselves, nested models opened, wrappers (TimeDistributed) closed."""
    found: list[Any] = []
    for layer in model.layers:
        found.extend(leaves(layer) if hasattr(layer, "_nodes_by_depth") else [layer])
    return found
