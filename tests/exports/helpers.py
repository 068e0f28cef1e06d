"""Float Keras models with weights as a training leaves them."""

from __future__ import annotations

from typing import Any

import numpy as np

from qap.models.architecture import Architecture
from qap.models.builders import build


def randomise(model: Any, seed: int = 0) -> Any:
    """Give a model weights: kernels of unit gain, variances above 0."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        weights = []
        for weight in layer.weights:
            shape = tuple(weight.shape)
            values = rng.normal(size=shape) / np.sqrt(max(np.prod(shape[:-1]), 1)) * 1.5
            if "variance" in weight.name:
                values = rng.uniform(0.5, 2, shape)
            elif "gamma" in weight.name:
                values = rng.uniform(0.5, 1.5, shape)
            weights.append(values)
        layer.set_weights(weights)
    return model


def float_mlp(inputs: int = 16, hidden: tuple[int, ...] = (64, 32), outputs: int = 5, seed: int = 0) -> tuple[Architecture, Any]:
    """Build a float parent with batch normalization."""
    architecture = Architecture.mlp(inputs, hidden, outputs, batchnorm=True)
    return architecture, randomise(build(architecture), seed)


def normal(*shape: int, seed: int = 1) -> np.ndarray:
    """Draw events."""
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)
