"""Models with known weights and inputs on a grid, for the firmware tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from qap.models.architecture import Architecture
from qap.models.builders import build as build_model
from qap.plan import LayerPlan, Plan
from qap.precision import Precision

P = Precision.parse


def mlp(
    plan: dict[str, tuple[str, str, str | None]], inputs: int, widths: list[int], seed: int = 0, sparsity: float = 0.0
) -> Any:
    """Build an MLP with random latent weights that reach beyond the quantizers' ranges."""
    architecture = Architecture.mlp(inputs, widths[:-1], widths[-1])
    layers = tuple(
        (name, LayerPlan(P(weight), P(bias), None if activation is None else P(activation)))
        for name, (weight, bias, activation) in plan.items()
    )
    model = build_model(architecture, Plan(layers))
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        weights = []
        for weight in layer.get_weights():
            scale = 2.0 ** getattr(layer.kernel_quantizer_internal, "integer", 0)
            values = rng.normal(size=weight.shape) * scale * (0.6 if weight.ndim == 2 else 0.4)
            if weight.ndim == 2:
                values[rng.random(weight.shape) < sparsity] = 0
            weights.append(values)
        if weights:
            layer.set_weights(weights)
    return model


def grid(precision: str, shape: tuple[int, ...], events: int, seed: int = 0) -> np.ndarray:
    """Random values on the grid of a precision: half over its whole range, half near zero."""
    rng, kind = np.random.default_rng(seed), P(precision)
    wide = rng.uniform(kind.low, kind.high, (events // 2, *shape))
    near = rng.normal(size=(events - events // 2, *shape)) * max(kind.high / 8, 4 * kind.step)
    return kind.quantize(np.concatenate([wide, near]))
