"""Features of a matrix multiplication against loops over Python integers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qap.backend import stack
from qap.cost.features import FEATURES, dense_features, layer_features
from qap.cost.hls_project import HLSType, read_project
from qap.errors import InputError
from tests.cost.hls_projects import convert_plain


def odd_part(number: int) -> int:
    while number and number % 2 == 0:
        number //= 2
    return number


def signed_digits(number: int) -> int:
    """Non-zero digits of the shortest sum of powers of two with signs: fewest over all sums, by search."""
    reached, digits = {0}, 0
    powers = [sign << shift for shift in range(number.bit_length() + 1) for sign in (1, -1)]
    while number not in reached:
        reached = {value + power for value in reached for power in powers}
        digits += 1
    return digits


def brute_force(integers: list[list[int]], bias: bool, weight: HLSType, inputs: HLSType, accum: HLSType) -> dict[str, float]:
    """Count one weight after the other."""
    outputs = len(integers[0])
    found = dict.fromkeys(FEATURES, 0.0)
    found |= {"n_in": len(integers), "n_out": outputs, "xb": inputs.bits, "wb": weight.bits, "ab": accum.bits}
    fan_in = [0] * outputs
    for row in integers:
        different = set()
        for column, number in enumerate(row):
            found["n_mac"] += 1
            found["bops"] += inputs.bits * weight.bits
            if number == 0:
                continue
            odd, digits = odd_part(abs(number)), signed_digits(odd_part(abs(number)))
            width = len(f"{odd:b}")
            different.add(odd)
            fan_in[column] += 1
            found["nnz"] += 1
            found["n_p2" if odd == 1 else "n_gen"] += 1
            found["ebops"] += width * inputs.bits
            found["csd_extra"] += digits - 1
            found["lut_csd"] += (digits - 1) * (inputs.bits + width)
            found["lut_mul"] += width * inputs.bits if odd > 1 else 0
            found["add_bits_prod"] += inputs.bits + weight.bits
            found["n_dspcand"] += digits > 2
        found["n_uniq"] += len(different)
        found["ebops_uniq"] += sum(inputs.bits * len(f"{odd:b}") for odd in different if odd > 1)
    found["n_add"] = sum(max(number - 1, 0) + bias for number in fan_in)
    found["add_bits"] = found["n_add"] * accum.bits
    found["tree"] = math.ceil(math.log2(max(*fan_in, 1) + 1)) if len(fan_in) > 1 else math.ceil(math.log2(max(fan_in[0], 1) + 1))
    return found


@given(st.data())
def test_features_equal_loops_over_integers(data: st.DataObject) -> None:
    bits = data.draw(st.integers(2, 9))
    weight = HLSType(True, bits, data.draw(st.integers(-2, bits)))
    inputs, accum = HLSType(False, data.draw(st.integers(1, 18)), 3), HLSType(True, data.draw(st.integers(2, 40)), 5)
    rows, columns = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6))
    number = st.one_of(st.just(0), st.integers(-(1 << (bits - 1)), (1 << (bits - 1)) - 1))
    integers = data.draw(st.lists(st.lists(number, min_size=columns, max_size=columns), min_size=rows, max_size=rows))
    bias = data.draw(st.booleans())
    kernel = np.ldexp(np.array(integers, np.float64), -weight.fractional)
    found = dense_features(kernel, np.zeros(columns) if bias else None, weight=weight, inputs=inputs, accum=accum)
    assert tuple(found) == FEATURES
    assert found == brute_force(integers, bias, weight, inputs, accum)


def test_weights_are_rounded_to_their_step() -> None:
    kernel = np.array([[0.49, 0.26], [-0.51, 0.1]])
    kind = HLSType(True, 4, 2)  # step 0.25
    found = dense_features(kernel, None, weight=kind, inputs=kind, accum=kind)
    assert found == dense_features(np.array([[0.5, 0.25], [-0.5, 0.0]]), None, weight=kind, inputs=kind, accum=kind)


@pytest.mark.parametrize("kernel", [np.zeros((0, 3)), np.zeros(3), np.array([[np.nan]])])
def test_no_matrix_is_refused(kernel: np.ndarray) -> None:
    kind = HLSType(True, 8, 2)
    with pytest.raises(InputError, match="kernel: expected a matrix"):
        dense_features(kernel, None, weight=kind, inputs=kind, accum=kind)


def test_a_layer_has_the_features_of_its_matrix(tmp_path: Path) -> None:
    layers = stack().keras.layers
    model = convert_plain(
        tmp_path / "p", [layers.Conv2D(3, 2, name="c"), layers.Flatten(), layers.Dense(2, activation="relu", name="d")], (4, 3, 2)
    )
    found = {layer.name: layer for layer in read_project(tmp_path / "p").layers}
    kind, accum = HLSType(True, 12, 5), found["c"].accum
    assert accum is not None
    kernel, bias = model.get_layer("c").get_weights()
    features = layer_features(found["c"])
    assert features.pop("repeats") == 6
    assert features == dense_features(np.round(kernel, 7).reshape(8, 3), bias, weight=kind, inputs=kind, accum=accum)
    assert (features["n_in"], features["n_out"], features["ab"]) == (8, 3, accum.bits)
    assert layer_features(found["d"])["repeats"] == 1
    with pytest.raises(InputError, match="d_relu: expected a layer with a kernel, received nnet::relu"):
        layer_features(found["d_relu"])
