"""Batch normalization: a scale and a shift per channel, exact when both stand on a grid."""

from __future__ import annotations

import numpy as np

from qap.errors import InputError
from qap.firmware.graph import Call
from qap.firmware.lowering import Lowering, Tensor, rule
from qap.firmware.quantizers import MAX_UNQUANTIZED_BITS
from qap.firmware.values import Grid, Values


@rule("QBatchNormalization")
def quantized_batch_normalization(call: Call, lowering: Lowering, sources: tuple[Tensor, ...]) -> Tensor:
    """Divides by the root of the quantized variance, which stands on no grid."""
    raise InputError(
        f"{call.layer.name}: QBatchNormalization divides by the root of its variance, which no fixed-point number "
        "holds: "
        "qap.firmware.prepare(model) puts its scale and shift on a grid, in model and firmware alike"
    )


@rule("BatchNormalization")
def batch_normalization(call: Call, lowering: Lowering, sources: tuple[Tensor, ...]) -> Tensor:
    """x·s + b with s = γ/√(σ² + ε) and b = β - µ·s, both exact in few bits, as `qap.firmware.prepare` makes them."""
    layer, source = call.layer, sources[0]
    axis = [int(number) for number in np.ravel(layer.axis)]
    if axis not in ([len(source.shape)], [-1]):
        raise InputError(f"{layer.name}: BatchNormalization over axis {axis} is not converted: use the last axis")
    before = lowering.exact(call, source)
    factor, offset = scale_shift(layer)
    scale, shift = Grid.of(factor), Grid.of(offset)
    if max(scale.bits, shift.bits) > MAX_UNQUANTIZED_BITS:
        raise InputError(
            f"{layer.name}: the float scale and shift of BatchNormalization need {max(scale.bits, shift.bits)} bits: "
            "put them "
            "on a grid in model and firmware alike with qap.firmware.prepare(model)"
        )
    values = scaled(before, scale, shift)
    lowering.need(call.name, values.bits + 1)
    return lowering.scale_shift(call.name, source, scale, shift, values)


def scaled(before: Values, scale: Grid, shift: Grid) -> Values:
    """Return what values times a scale plus a shift per channel can hold."""
    first, second = before.low * scale.values, before.high * scale.values
    product = Values(before.lsb + scale.lsb, np.minimum(first, second), np.maximum(first, second))
    if not shift.values.any():
        return product
    lsb = min(product.lsb, shift.lsb)
    product = product.at(lsb)
    return Values(lsb, product.low + shift.at(lsb), product.high + shift.at(lsb))


def scale_shift(layer: object) -> tuple[np.ndarray, np.ndarray]:
    """Return the scale and shift, float64 arrays (channels,), that a BatchNormalization layer applies at inference."""
    weights = {weight.name.rsplit("/", 1)[-1].split(":")[0]: np.asarray(weight, np.float64) for weight in layer.weights}  # type: ignore[attr-defined]
    mean, variance = weights["moving_mean"], weights["moving_variance"]
    scale = weights.get("gamma", np.ones_like(mean)) / np.sqrt(variance + layer.epsilon)  # type: ignore[attr-defined]
    return scale, weights.get("beta", np.zeros_like(mean)) - mean * scale
