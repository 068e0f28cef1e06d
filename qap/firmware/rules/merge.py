"""Layers that join tensors."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np

from qap.backend import stack
from qap.errors import InputError
from qap.firmware.graph import Call
from qap.firmware.lowering import Lowering, Tensor, rule
from qap.firmware.values import Values, union


@rule("Add", "Subtract", "Multiply", "Maximum", "Minimum")
def elementwise(call: Call, lowering: Lowering, sources: tuple[Tensor, ...]) -> Tensor:
    """Join element by element, two tensors at a time."""
    if len({source.shape for source in sources}) != 1:
        raise InputError(
            f"{call.layer.name}: expected tensors of one shape, received {[source.shape for source in sources]}: "
            "broadcasting "
            "is not converted"
        )
    kind = type(call.layer)

    def join(first: Tensor, second: Tensor) -> Tensor:
        values = _JOINED[kind.__name__](lowering.exact(call, first), lowering.exact(call, second))
        lowering.need(call.name, values.bits + 1)
        return lowering.emit(lambda name: kind(name=name), call.name, (first, second), values)

    return reduce(join, sources)


def _add(first: Values, second: Values) -> Values:
    lsb = min(first.lsb, second.lsb)
    first, second = first.at(lsb), second.at(lsb)
    return Values(lsb, first.low + second.low, first.high + second.high)


def _subtract(first: Values, second: Values) -> Values:
    return _add(first, Values(second.lsb, -second.high, -second.low))


def _multiply(first: Values, second: Values) -> Values:
    corners = [a * b for a in (first.low, first.high) for b in (second.low, second.high)]
    return Values(first.lsb + second.lsb, np.minimum.reduce(corners), np.maximum.reduce(corners))


_JOINED: dict[str, Any] = {
    "Add": _add, "Subtract": _subtract, "Multiply": _multiply, "Maximum": union, "Minimum": union,
}  # fmt: skip


@rule("Concatenate")
def concatenate(call: Call, lowering: Lowering, sources: tuple[Tensor, ...]) -> Tensor:
    """Join along an axis, two tensors at a time, in a type that holds both."""
    layers = stack().keras.layers
    axis = call.layer.axis % (len(call.shape) + 1)

    def join(first: Tensor, second: Tensor) -> Tensor:
        one, other = lowering.exact(call, first), lowering.exact(call, second)
        if axis == len(call.shape):
            lsb = min(one.lsb, other.lsb)
            one, other = one.at(lsb), other.at(lsb)
            values = Values(lsb, np.concatenate([one.low, other.low]), np.concatenate([one.high, other.high]))
        else:
            values = union(one, other)
        return lowering.emit(lambda name: layers.Concatenate(axis=axis, name=name), call.name, (first, second), values)

    return reduce(join, sources)
