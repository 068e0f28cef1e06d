"""Biases with which no accumulator lies on a tie, so that rounding half to even is rounding down."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qap.errors import InputError
from qap.models.builders import Weights
from qap.plan import LayerPlan, Plan
from qap.precision import MAX_BITS, Precision


def tie_free(plan: Plan, weights: Weights, inputs: Precision) -> tuple[Plan, dict[str, np.ndarray]]:
    """Give the biases one fractional bit below the last one of the accumulator, always set.

    No sum is then half-way between two values of the activation: rounding half to even is rounding half up, which is cutting
    off after half a step is added, and the bias holds that half step. QKeras needs no change: it is given these biases.

    Parameters
    ----------
    plan : Plan
        Layers one after the other.
    weights : mapping
        Latent weights by ``layer/kernel`` and ``layer/bias``.
    inputs : Precision
        Type of the inputs.

    Returns
    -------
    (Plan, weights)
        Other bias types and biases in the layers whose activation drops bits, at most one step of the accumulator away; the
        rest as given.

    Raises
    ------
    InputError
        Weights on no common grid (powers of two), or a bias that would need more than 32 bits.
    """
    changed: dict[str, LayerPlan] = {}
    result = dict(weights)
    fraction = plan.entering(inputs).fractional
    for name, layer in plan.items():
        if layer.weight.kind == "po2":
            raise InputError(f"{name}: {layer.weight} has no common grid, so no bias keeps its sums off ties: use quantized_bits")
        lowest = fraction + layer.weight.fractional
        if layer.activation is not None:
            if layer.activation.fractional < lowest:
                changed[name], result[f"{name}/bias"] = _odd(name, layer, weights[f"{name}/bias"], lowest + 1)
            fraction = layer.activation.fractional
        else:
            fraction = max(lowest, layer.bias.fractional)
    return plan.map(lambda name, layer: changed.get(name, layer)), result


def _odd(name: str, layer: LayerPlan, latent: np.ndarray, fraction: int) -> tuple[LayerPlan, np.ndarray]:
    """Return the layer with a bias of so many fractional bits, and the nearest biases whose last bit is set."""
    bits = 1 + layer.bias.integer + fraction
    if bits > MAX_BITS:
        raise InputError(f"{name}: a tie-free bias needs {bits} bits, at most {MAX_BITS}: use fewer weight or activation bits")
    bias = Precision(bits, layer.bias.integer)
    pairs = np.floor(np.ldexp(layer.bias.quantize(latent), fraction - 1))
    return replace(layer, bias=bias), np.ldexp(2 * pairs + 1, -fraction)
