"""When float32 gives every sum of a quantized network exactly, in whatever order it adds."""

from __future__ import annotations

import numpy as np

from qap.models.architecture import Architecture
from qap.models.builders import Weights
from qap.plan import Plan
from qap.precision import Precision
from qap.training.population.quantizers import limit

MANTISSA = 2.0**24


def sums_are_exact(architecture: Architecture, plan: Plan, weights: Weights, inputs: Precision) -> bool:
    """Return whether no partial sum of any layer can need more than the 24 bits of float32.

    The bound is Σ |weight| · largest input + |bias|, counted in steps of the finer of the products' and the bias's grid.

    Parameters
    ----------
    architecture : Architecture
    plan : Plan
        Fixed point only.
    weights : mapping
        Latent weights; beyond the bound that QKeras clips them to, its quantizer leaves the grid, and nothing is exact.
    inputs : Precision
        Grid of the events.
    """
    inputs = plan.entering(inputs)
    for name in architecture.shapes:
        layer = plan[name]
        kernel, bias = weights[f"{name}/kernel"], weights[f"{name}/bias"]
        if max(np.abs(kernel).max() / limit(layer.weight), np.abs(bias).max() / limit(layer.bias)) > 1:
            return False
        step = min(layer.weight.step * inputs.step, layer.bias.step)
        largest_input = max(-inputs.low, inputs.high)
        largest = np.abs(layer.weight.quantize(kernel)).sum(axis=0) * largest_input + np.abs(layer.bias.quantize(bias))
        if layer.activation is not None:
            inputs = layer.activation
            if inputs.signed:  # its quantizer adds and subtracts the sum itself
                step, largest = min(step, inputs.step), largest - inputs.low
        if largest.max() / step > MANTISSA:
            return False
    return True
