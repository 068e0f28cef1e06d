"""Fixed-point types of weights: declared, per channel, narrowest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qap.backend import stack
from qap.exports.weight_types import FixedType, channel_types, narrowest, weight_type
from qap.firmware.values import Grid

CASES: list[tuple[str, list[float], str]] = [
    ("quantized_bits(6,0,alpha=1)", [-1, 0.96875, 0.03125], "ap_fixed<6,1>"),
    ("quantized_bits(6,0,alpha=1)", [0, 0], "ap_fixed<6,1>"),
    ("quantized_bits(12,4,alpha=1)", [3.5], "ap_fixed<12,5>"),
    ("quantized_bits(6,0,keep_negative=False,alpha=1)", [0.984375], "ap_ufixed<6,0>"),
    ("quantized_bits(1,0,alpha=1)", [-1, 1], "ap_fixed<2,2>"),
    ("ternary(alpha=1)", [-1, 0, 1], "ap_fixed<2,2>"),
    ("binary(alpha=1)", [-1, 1], "ap_fixed<2,2>"),
    ("quantized_po2(4,1)", [-1, 0.25, 0.0078125], "ap_fixed<8,1>"),
    ("quantized_bits(4,0,alpha='auto_po2')", [2.5, -0.125], "ap_fixed<6,3>"),  # outside its declared type
    ("quantized_bits(4,0,alpha='auto_po2')", [64, -32], "ap_fixed<3,8>"),
]


@pytest.mark.parametrize(("quantizer", "values", "expected"), CASES)
def test_types(quantizer: str, values: list[float], expected: str) -> None:
    found = weight_type(stack().qkeras.get_quantizer(quantizer), Grid.of(values))
    assert found.ap_fixed == expected
    assert found.holds(Grid.of(values))


def test_without_a_quantizer_the_narrowest() -> None:
    assert weight_type(None, Grid.of([0.75, 3])).ap_fixed == "ap_ufixed<4,2>"
    assert narrowest(Grid.of([0.0])) == FixedType(1, 0, signed=False)
    assert narrowest(Grid.of([-4.0])).ap_fixed == "ap_fixed<1,3>"


@pytest.mark.parametrize(
    ("kind", "value", "held"),
    [
        (FixedType(4, 2), 1.75, True),
        (FixedType(4, 2), 2.0, False),
        (FixedType(4, 2), -2.0, True),
        (FixedType(4, 2, narrow=True), -2.0, False),
        (FixedType(4, 2, signed=False), 3.75, True),
        (FixedType(4, 2, signed=False), -0.25, False),
        (FixedType(4, 2), 0.125, False),
        (FixedType(4, -2), 28.0, True),
        (FixedType(4, -2), 2.0, False),
    ],
)
def test_the_ends_of_a_type(kind: FixedType, value: float, held: bool) -> None:
    assert kind.holds(Grid.of([value])) is held


def test_scales_per_channel() -> None:
    """Of values that 4 bits hold at another power of two in each column; not of values that they never hold."""
    quantizer: Any = stack().qkeras.get_quantizer("quantized_bits(4,0,alpha='auto_po2')")
    values = np.array([[7, 0.25], [-6, -0.5], [3, 0]])
    found = channel_types(quantizer, values)
    assert found is not None
    assert found[0] == FixedType(4, 0, narrow=True)  # QKeras makes it symmetric
    assert found[1].tolist() == [0, -2]
    assert channel_types(quantizer, np.array([[7], [-8.5]])) is None
    first = channel_types(quantizer, values[:, :, None], axis=-2)
    assert first is not None
    assert first[1].tolist() == [0, -2]
