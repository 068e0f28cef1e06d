"""What can be counted exactly on the quantized weights: operations, sparsity, memory, accumulator widths."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from qap.candidate import Cost, Figure
from qap.digits import significant_bits
from qap.models.architecture import Architecture
from qap.models.builders import Weights, quantize_weights
from qap.plan import LayerPlan, Plan
from qap.precision import Precision

COUNTED = "counted on the quantized weights"
EBOPS = "EBOPs: sum over multiplications of b(w)·b(x), b(w) digits of |w| from highest to lowest set bit, b(x) declared bits"
TRACED = "EBOPs with b(x) of the values seen in the first 16,384 training events"
BOPS = "BOPs: n·m·((1 − p)·b_w·b_x + b_w + b_x + log2 n), arXiv:1804.10969, p the fraction of zero weights (arXiv:2102.11289)"
SUMMED = (
    "ebops", "bops", "multiplications", "multiplications_zero", "multiplications_power_of_two",
    "multiplications_general", "nonzero_weights", "weights", "masked_weights", "weight_memory_bits",
)  # fmt: skip


def input_bits(precision: Precision) -> int:
    """Return b(x): the declared bits of an input element, sign left out (at least 1)."""
    return max(precision.bits - precision.sign_bits, 1)


def accumulator_bits(kernel: np.ndarray, bias: np.ndarray, layer: LayerPlan, inputs: Precision) -> int:
    """Return the width of the narrowest signed accumulator that no input can overflow or make round.

    Parameters
    ----------
    kernel : (…, inputs, units) array
        Quantized.
    bias : (units,) array
        Quantized.
    layer : LayerPlan
    inputs : Precision
        Type of the layer's inputs.
    """
    fractional = max(layer.weight.fractional + inputs.fractional, layer.bias.fractional)
    positive, negative = np.maximum(kernel, 0), np.minimum(kernel, 0)
    axes = tuple(range(kernel.ndim - 1))
    high = (positive * inputs.high + negative * inputs.low).sum(axis=axes) + bias
    low = (positive * inputs.low + negative * inputs.high).sum(axis=axes) + bias
    largest = max(int(np.ldexp(np.max(high), fractional)), int(np.ldexp(-np.min(low), fractional)) - 1, 0)
    return largest.bit_length() + 1


def count_layer(
    kernel: np.ndarray, bias: np.ndarray, latent: np.ndarray, layer: LayerPlan, inputs: Precision, positions: int = 1
) -> dict[str, float]:
    """Count one Dense layer or convolution.

    Parameters
    ----------
    kernel, bias : arrays (…, inputs, units) and (units,)
        Quantized.
    latent : array of the kernel's shape
        Kernel before quantization: its zeros are the mask's.
    layer : LayerPlan
    inputs : Precision
    positions : int, default 1
        How often the kernel is applied to an event: operations count so many times, weights once. Products with the zeros of a
        padding count as others.

    Returns
    -------
    dict
        By the names of the figures.
    """
    digits = significant_bits(kernel, layer.weight.fractional)
    n, m = kernel.size // kernel.shape[-1], kernel.shape[-1]
    nonzero = int(np.count_nonzero(digits))
    powers = int(np.count_nonzero(digits == 1))
    weight_bits, x_bits = layer.weight.bits, inputs.bits
    return {
        "ebops": int(digits.sum()) * input_bits(inputs) * positions,
        "bops": positions * m * n * (nonzero / kernel.size * weight_bits * x_bits + weight_bits + x_bits + math.log2(n)),
        "multiplications": kernel.size * positions,
        "multiplications_zero": (kernel.size - nonzero) * positions,
        "multiplications_power_of_two": powers * positions,
        "multiplications_general": (nonzero - powers) * positions,
        "nonzero_weights": nonzero,
        "weights": kernel.size,
        "masked_weights": int(np.count_nonzero(latent == 0)),
        "weight_memory_bits": kernel.size * weight_bits + bias.size * layer.bias.bits,
        "accumulator_bits": accumulator_bits(kernel, bias, layer, inputs),
    }


def traced_ebops(plan: Plan, weights: Weights, inputs: Precision, largest: Sequence[np.ndarray]) -> float:
    """Return EBOPs with b(x) of the values seen: digits from the largest one's first to the last that the type has.

    Parameters
    ----------
    plan : Plan
    weights : mapping
        Latent weights.
    inputs : Precision
        Type of the network's inputs.
    largest : sequence of (inputs,) arrays
        By layer, largest magnitude of each input element over the events.
    """
    quantized, total, inputs = quantize_weights(plan, weights), 0, plan.entering(inputs)
    for (name, layer), seen in zip(plan.items(), largest, strict=True):
        steps = np.floor(seen / inputs.step).astype(np.int64)
        widths = np.where(steps > 0, np.floor(np.log2(np.maximum(steps, 1))).astype(np.int64) + 1, 0)
        digits = significant_bits(quantized[f"{name}/kernel"], layer.weight.fractional)
        total += int((digits * widths[:, None]).sum())
        inputs = layer.activation or inputs
    return float(total)


def _figures(values: Mapping[str, float]) -> dict[str, Figure]:
    """Name the figures and add the two sparsities."""
    ratios = {
        "sparsity": (values["weights"] - values["nonzero_weights"]) / values["weights"],
        "sparsity_mask": values["masked_weights"] / values["weights"],
    }
    units = {"accumulator_bits": "bit", "weight_memory_bits": "bit"}
    sources = {"ebops": EBOPS, "bops": BOPS, "sparsity_mask": "zeros of the latent weights"}
    return {
        name: Figure(value, sources.get(name, COUNTED), units.get(name, ""))
        for name, value in {**values, **ratios}.items()
        if name != "masked_weights"
    }


def count(architecture: Architecture, plan: Plan, weights: Weights, inputs: Precision) -> Cost:
    """Count a candidate exactly.

    Parameters
    ----------
    architecture : Architecture
    plan : Plan
    weights : mapping
        Latent weights, pruned ones zero.
    inputs : Precision
        Type of the network's inputs.

    Returns
    -------
    Cost
        ``ebops, bops, multiplications_zero, multiplications_power_of_two, multiplications_general, nonzero_weights,
        weight_memory_bits`` (every weight and bias stored), ``sparsity`` (quantized weights that are zero),
        ``sparsity_mask`` and ``accumulator_bits`` (the widest), in total and by layer.
    """
    architecture.check(plan)
    quantized, inputs = quantize_weights(plan, weights), plan.entering(inputs)
    layers = {}
    for name, layer in plan.items():
        layers[name] = count_layer(
            quantized[f"{name}/kernel"], quantized[f"{name}/bias"], weights[f"{name}/kernel"], layer, inputs,
            architecture.positions[name],
        )  # fmt: skip
        inputs = layer.activation or inputs
    total = {name: sum(values[name] for values in layers.values()) for name in SUMMED}
    total["accumulator_bits"] = max(values["accumulator_bits"] for values in layers.values())
    return Cost(_figures(total), {name: _figures(values) for name, values in layers.items()})
