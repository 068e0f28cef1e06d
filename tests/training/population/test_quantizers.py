"""Values and gradients against QKeras's own quantizers, for every precision, inside compiled code."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from qap.backend import stack
from qap.precision import Precision
from qap.training.population.quantizers import MAX_UNSIGNED_BITS, grid, limit, signed, unsigned, unsigned_gate


@lru_cache
def compiled(function: Any) -> Any:
    return stack().tf.function(function, jit_compile=True)


def values(precision: Precision) -> np.ndarray:
    """Normal values of all sizes, every half step around the ends and the middle, zeros and extremes."""
    generator = np.random.default_rng(precision.bits)
    halves = np.arange(-300, 301) * 0.5
    ends = [precision.step * (halves + centre) for centre in (0, precision.low / precision.step, precision.high / precision.step)]
    spread = [generator.normal(0, size * 2.0**precision.integer, 3000) for size in (0.01, 0.3, 1, 4, 50)]
    return np.concatenate([*ends, *spread, [0.0, -0.0, 1e-30, -1e-30, 1e8, -1e8]]).astype(np.float32)


def qkeras(precision: Precision, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """QKeras's value and gradient."""
    libraries = stack()
    tensor = libraries.tf.constant(x)
    with libraries.tf.GradientTape() as tape:
        tape.watch(tensor)
        quantized = libraries.qkeras.get_quantizer(precision.quantizer)(tensor)
    return quantized.numpy(), np.broadcast_to(tape.gradient(quantized, tensor).numpy(), x.shape)


def ours(function: Any, precision: Precision, x: np.ndarray) -> np.ndarray:
    tf = stack().tf
    return compiled(function)(tf.constant(x.reshape(1, 1, -1)), tf.constant(grid(precision))).numpy().ravel()


@pytest.mark.parametrize("bits", range(2, 33))
def test_signed_precisions_are_quantized_bits_bit_for_bit(bits: int) -> None:
    for integer in range(bits):
        precision = Precision(bits, integer)
        x = values(precision)
        expected, gradient = qkeras(precision, x)
        received = ours(signed, precision, x)
        wrong = received != expected
        assert not wrong.any(), (
            f"{precision}: {wrong.sum()} of {x.size}, first {x[wrong][0]}: {expected[wrong][0]}, {received[wrong][0]}"
        )
        assert (gradient == 1).all(), precision


@pytest.mark.parametrize("bits", range(1, MAX_UNSIGNED_BITS + 1))
def test_unsigned_precisions_are_quantized_relu_bit_for_bit(bits: int) -> None:
    for integer in range(bits + 1):
        precision = Precision(bits, integer, signed=False)
        x = values(precision)
        expected, gradient = qkeras(precision, x)
        received, gate = ours(unsigned, precision, x), ours(unsigned_gate, precision, x)
        wrong = received != expected
        assert not wrong.any(), (
            f"{precision}: {wrong.sum()} of {x.size}, first {x[wrong][0]}: {expected[wrong][0]}, {received[wrong][0]}"
        )
        wrong = gate != gradient.astype(bool)
        assert not wrong.any(), f"{precision}: gradient of {wrong.sum()} of {x.size}, first at {x[wrong][0]}"
        assert set(np.unique(gradient)) <= {0, 1}


def test_the_limit_is_that_of_the_constraint_of_qdense() -> None:
    libraries = stack()
    for bits in (2, 4, 8, 16):
        for integer in range(bits):
            precision = Precision(bits, integer)
            layer = libraries.qkeras.QDense(2, kernel_quantizer=precision.quantizer, bias_quantizer=precision.quantizer)
            assert layer.kernel_constraint.max_value == layer.bias_constraint.max_value == limit(precision)
            assert layer.kernel_constraint.min_value == layer.bias_constraint.min_value == -limit(precision)
