"""Post-training quantization for FPGAs: power-of-two scales, zero point 0, no training.

q = clip(round(x/s), q_min, q_max) with s = 2**−f. Layer by layer the integer bits of weights and activations are chosen
(by squared error or percentile), the activations on calibration events that have gone through the quantized layers
before. After Jacob et al., arXiv:1712.05877, and Nagel et al., "A white paper on neural network quantization",
arXiv:2106.08295.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.compress.method import Method, instant
from qap.compress.ranges import best_integer, bias_precision, holding_integer
from qap.errors import InputError
from qap.models.builders import float_logits
from qap.plan import LayerPlan
from qap.precision import Precision


def fitted(values: np.ndarray, precision: Precision, context: Context) -> Precision:
    """Return a precision of the same bits and sign with the integer bits that fit the values; only fixed point has any."""
    if precision.kind != "fixed":
        return precision
    if context.ptq.range == "mse":
        integer = best_integer(values, precision.bits, precision.signed)
    else:
        integer = holding_integer(values, precision.bits, precision.signed, context.ptq.percentile)
    return Precision(precision.bits, integer, precision.signed)


def calibration_events(context: Context) -> np.ndarray:
    """Return the training events to calibrate with.

    Raises
    ------
    InputError
        Fewer than two.
    """
    found = context.data.train.x[: context.ptq.events]
    if len(found) < 2:
        raise InputError(f"ptq.events: expected 2 calibration events or more, received {len(found)}: ranges need a sample")
    return found


def quantized(candidate: Candidate, context: Context) -> Candidate:
    """Return the candidate with the integer bits of its plan fitted to its weights and to the training data.

    The bits of kernels and activations stay as they are; biases take the grid of the accumulator. Ranges of a layer's outputs
    are those behind the quantized layers before it; with convolutions or residual connections, those of the float network.
    """
    weights, values, inputs = candidate.weights or {}, calibration_events(context).astype(np.float64), context.data.input
    given = None if candidate.architecture.is_mlp else float_logits(candidate.architecture, weights, values.astype(np.float32))
    layers: list[tuple[str, LayerPlan]] = []
    for layer in candidate.architecture.layers:
        plan, kernel, bias = candidate.plan[layer.name], weights[f"{layer.name}/kernel"], weights[f"{layer.name}/bias"]
        weight = fitted(kernel, plan.weight, context)
        grid = bias_precision(bias, "auto", weight, inputs)
        values = given[layer.name] if given else values @ weight.quantize(kernel) + grid.quantize(bias)
        activation = plan.activation
        if activation is not None:
            values = np.maximum(values, 0) if layer.activation == "relu" else values
            activation = fitted(values, activation, context)
            values, inputs = activation.quantize(values), activation
        layers.append((layer.name, LayerPlan(weight, grid, activation, plan.sparsity, plan.granularity)))
    return candidate.with_(plan=replace(candidate.plan, layers=tuple(layers)))


METHOD = Method(instant(quantized), "quantize without training, ranges from data", trains=False, keeps_plan=False)
