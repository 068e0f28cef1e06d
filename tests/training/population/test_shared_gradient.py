"""The steps of shared weights against QKeras models, TF-MOT's masks and Adam written out."""

from __future__ import annotations

import numpy as np
import pytest

from qap.backend import stack
from qap.datasets.dataset import Dataset
from qap.models.builders import build, set_weights
from qap.plan import Plan
from qap.training.job import Job, Pruning, event_order
from qap.training.population.engine import PopulationEngine
from qap.training.population.masks import pruned

from ...conftest import uniform_plan
from .helpers import MLP, NAMES, random_plan, random_weights
from .test_masks import tfmot_mask

RATE, BATCH = 5e-3, 100


@pytest.fixture(scope="module")
def engine() -> PopulationEngine:
    return PopulationEngine()


def _job(weights: dict[str, np.ndarray]) -> Job:
    return Job(MLP, None, weights, 1, BATCH, RATE, "constant", 7)


def _tfmot(plan: Plan, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    pruned = dict(weights)
    for name, layer in plan.items():
        if layer.sparsity:
            mask = tfmot_mask(weights[f"{name}/kernel"], Pruning("constant", 0, 10, 1), layer.sparsity, 1)
            pruned[f"{name}/kernel"] = weights[f"{name}/kernel"] * mask
    return pruned


def _qkeras_gradient(plan: Plan, weights: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Return the gradient of a pruned QKeras model by TensorFlow's own differentiation."""
    tf = stack().tf
    model = build(MLP, plan)
    set_weights(model, _tfmot(plan, weights))
    with tf.GradientTape() as tape:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.constant(y), model(tf.constant(x), training=True))
        loss = tf.reduce_mean(losses)
    layers = {name: model.get_layer(name) for name in NAMES}
    variables = {f"{n}/{p}": getattr(layer, p) for n, layer in layers.items() for p in ("kernel", "bias")}
    return {key: value.numpy() for key, value in zip(variables, tape.gradient(loss, [*variables.values()]), strict=True)}


def test_the_steps_follow_the_mean_gradient_of_pruned_qkeras_models(engine: PopulationEngine, data: Dataset) -> None:
    """Three steps of three plans each; Adam and the clipping written out in float64."""
    generator = np.random.default_rng(3)
    weights = random_weights(MLP, generator)
    steps = [[random_plan(MLP, generator) for _ in range(3)] for _ in range(3)]
    received = engine.train_shared(_job(weights), steps, data)[0]
    bounds = dict.fromkeys(weights, 1.0)
    for plan in (plan for step in steps for plan in step):
        for name, layer in plan.items():
            for part, precision in (("kernel", layer.weight), ("bias", layer.bias)):
                bounds[f"{name}/{part}"] = max(bounds[f"{name}/{part}"], 2.0**precision.integer)
    order = event_order(len(data.train), BATCH, 1, 7)
    first = {key: np.zeros_like(value) for key, value in weights.items()}
    second = {key: np.zeros_like(value) for key, value in weights.items()}
    for number, plans in enumerate(steps, 1):
        x, y = data.train.x[order[number - 1]], data.train.y[order[number - 1]]
        gradients = [_qkeras_gradient(plan, weights, x, y) for plan in plans]
        for key in weights:
            mean = np.mean([gradient[key] for gradient in gradients], axis=0)
            first[key] = 0.9 * first[key] + 0.1 * mean
            second[key] = 0.999 * second[key] + 0.001 * mean**2
            size = RATE * np.sqrt(1 - 0.999**number) / (1 - 0.9**number)
            moved = weights[key] - size * first[key] / (np.sqrt(second[key]) + 1e-7)
            weights[key] = np.clip(moved, -bounds[key], bounds[key]).astype(np.float32)
    worst = {key: float(np.abs(weights[key] - received[key]).max()) for key in weights}
    assert max(worst.values()) < 2e-5, worst  # a first step is 5e-3


def test_pruned_weights_have_the_masks_of_tfmot() -> None:
    generator = np.random.default_rng(4)
    compared = 0
    for _ in range(12):
        plan = random_plan(MLP, generator)
        weights = random_weights(MLP, generator)
        weights["fc2/kernel"] = weights["fc2/kernel"].round(1)  # ties
        received, expected = pruned(weights, plan), _tfmot(plan, weights)
        for key, value in expected.items():
            assert (received[key] == value).all(), f"{key}: {(received[key] != value).sum()} of {value.size} differ"
            compared += value.size
    assert compared > 2000


def test_shared_weights_stay_dense(engine: PopulationEngine, data: Dataset) -> None:
    generator = np.random.default_rng(2)
    weights = random_weights(MLP, generator)
    start = {key: value.copy() for key, value in weights.items()}
    steps = [[uniform_plan(NAMES, 6, sparsity=0.9), uniform_plan(NAMES, 3, sparsity=0.5)] for _ in range(40)]
    received = engine.train_shared(_job(weights), steps, data)[0]
    zeros = {name: int((received[f"{name}/kernel"] == 0).sum()) for name in NAMES}
    assert not any(zeros.values()), zeros
    assert all((weights[key] == value).all() for key, value in start.items()), "the start weights were changed"
