"""The float64 side: the same numbers as QKeras in float32, as long as float32 holds them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qap.backend import float64, stack
from qap.firmware import parity_vectors, prepare
from qap.firmware.lowering import lower
from qap.firmware.reference import Reference, double, relu64
from qap.precision import Precision

from .test_layers import cases, table

INPUT = Precision(8, 2)


@pytest.mark.parametrize("slope", [0.0, 0.25, 0.125])
@pytest.mark.parametrize(("bits", "integer"), [(6, 2), (4, 4), (3, 0), (8, 6)])
def test_relu64_is_quantized_relu(slope: float, bits: int, integer: int) -> None:
    quantizer = stack().qkeras.quantized_relu(bits, integer, negative_slope=slope)
    x = np.arange(-(2**13), 2**13) / 64  # every value and every tie of the grids above
    expected = np.asarray(quantizer(stack().tf.constant(x, "float32")), np.float64)
    assert np.array_equal(np.asarray(relu64(quantizer)(stack().tf.constant(x, "float64"))), expected)


SLOW = ["qdwconvbn", "shared_layer", "deepsets_td", "two_outputs", "sepconv2d", "ternary_w", "act_in_layer", "avgpool"]


@pytest.mark.parametrize(
    "name",
    [
        "cnn_qconvbn",
        "act_leaky",
        "nested",
        "two_inputs",
        "alpha_po2",
        *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW),
    ],
)
def test_the_model_in_float64_gives_the_same_outputs(name: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = prepare(table.make_model(cases.CASES[name], tmp_path)).model
    lowered = lower(model, INPUT)
    assert lowered.reference == "float32"
    arrays = [x.reshape(len(x), -1) for x in parity_vectors(model, INPUT, 400)]
    single = Reference(model, lowered)
    rebuilt = double(model, lowered)
    with float64():
        tensors: list[Any] = [
            stack().tf.constant(x.reshape(-1, *tensor.shape[1:]), "float64")
            for x, tensor in zip(arrays, model.inputs, strict=True)
        ]
        found = stack().tf.nest.flatten(rebuilt(tensors if len(tensors) > 1 else tensors[0], training=False))
    for expected, received in zip(single.outputs(arrays), found, strict=True):
        assert received.dtype == "float64"
        assert np.array_equal(expected, received.numpy())
