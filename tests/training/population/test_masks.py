"""Masks against TF-MOT itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qap.backend import stack
from qap.training.job import Pruning
from qap.training.population.masks import keep_counts, renew
from qap.training.schedules import tfmot_schedule

SHAPES = [(16, 64), (64, 32), (7, 3), (1, 1), (32, 5)]


def tfmot_mask(kernel: np.ndarray, pruning: Pruning, sparsity: float, step: int) -> np.ndarray:
    from tensorflow_model_optimization.python.core.sparsity.keras.pruning_impl import Pruning as Rule

    tf = stack().tf

    @tf.function  # as in training; eagerly TF-MOT takes the cube by pow, in a graph by multiplication
    def mask(weights, number):
        return Rule(lambda: number, [], tfmot_schedule(pruning, sparsity), (1, 1), "AVG")._update_mask(weights)[1]

    return mask(tf.constant(kernel), tf.constant(step, tf.int64)).numpy()


def kernels(shape: tuple[int, int], generator: np.random.Generator) -> list[np.ndarray]:
    """Normal weights, weights with many ties, weights already pruned, all equal, all zero, very small ones."""
    normal = generator.normal(0, 0.3, shape).astype(np.float32)
    pruned = normal * (generator.random(shape) < 0.3)
    return [
        normal,
        normal.round(1),
        pruned,
        np.full(shape, 0.25, np.float32),
        np.zeros(shape, np.float32),
        normal * np.float32(1e-30),
    ]


@pytest.mark.parametrize("shape", SHAPES)
def test_masks_are_those_of_tfmot(shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(shape[0])
    tf = stack().tf
    size = shape[0] * shape[1]
    compiled = tf.function(lambda *tensors: renew(*tensors, [size]), jit_compile=True)
    compared = 0
    for sparsity in (0.01, 0.3, 0.5, 0.7, 0.8, 0.95, 0.999):
        lanes = kernels(shape, generator)
        pruning = Pruning("polynomial", 3, 103, 10)
        step = int(generator.choice([13, 53, 93, 103]))
        keep = keep_counts(pruning, sparsity, size, step, 1)
        stacked = tf.constant(np.stack([lane.ravel() for lane in lanes]))
        masks = compiled(stacked, tf.zeros_like(stacked), tf.constant(np.repeat(keep[:, None], len(lanes), 0))).numpy()
        for lane, kernel in enumerate(lanes):
            expected = tfmot_mask(kernel, pruning, sparsity, step)
            wrong = int((masks[lane] != expected.ravel()).sum())
            assert not wrong, f"{shape}, sparsity {sparsity}, step {step}, kernel {lane}: {wrong} of {expected.size} differ"
            compared += 1
    assert compared == 42


def test_a_layer_without_renewal_keeps_its_mask() -> None:
    tf = stack().tf
    generator = np.random.default_rng(0)
    weights = tf.constant(generator.normal(size=(2, 30)).astype(np.float32))
    old = tf.constant(generator.integers(0, 2, (2, 30)).astype(np.float32))
    new = renew(weights, old, tf.constant([[0, 10], [20, 0]]), [20, 10]).numpy()
    assert (new[0, :20] == old[0, :20].numpy()).all()
    assert (new[0, 20:] == 1).all(), "10 of 10 are kept"
    assert (new[1, :20] == 1).all(), "20 of 20 are kept"
    assert (new[1, 20:] == old[1, 20:].numpy()).all()


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(["constant", "polynomial"]),
    st.floats(0.01, 0.99),
    st.integers(0, 50),
    st.integers(1, 300),
    st.integers(1, 40),
    st.integers(1, 5000),
)
def test_counts_are_those_of_the_schedules_of_tfmot_at_every_step(
    kind: str, sparsity: float, begin: int, length: int, frequency: int, size: int
) -> None:
    tf = stack().tf
    pruning = Pruning(kind, begin, begin + length, frequency)
    schedule = tfmot_schedule(pruning, sparsity)

    @tf.function
    def all_steps(steps):
        due, target = tf.map_fn(lambda step: schedule(step), steps, fn_output_signature=(tf.bool, tf.float32))
        count = tf.math.maximum(tf.math.round(tf.cast(size, tf.float32) * (1 - target)), 1)
        return tf.where(due, tf.cast(count, tf.int32), 0)

    steps = np.arange(1, begin + length + 5)
    expected = all_steps(tf.constant(steps)).numpy()
    received = keep_counts(pruning, sparsity, size, 1, len(steps))
    wrong = np.flatnonzero(expected != received)
    assert not len(wrong), f"step {steps[wrong[0]]}: expected {expected[wrong[0]]}, received {received[wrong[0]]}"
    later = keep_counts(pruning, sparsity, size, 5, len(steps))
    assert (later[: len(steps) - 4] == received[4:]).all()
