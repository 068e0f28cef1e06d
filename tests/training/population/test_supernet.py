"""Shared weights: one plan is an ordinary training, many plans learn together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qap.datasets.dataset import Dataset
from qap.errors import InputError
from qap.models.architecture import Architecture
from qap.precision import Precision
from qap.training.job import Trained
from qap.training.population.engine import PopulationEngine
from qap.training.population.masks import pruned

from ...conftest import uniform_plan
from .helpers import MLP, NAMES, random_job, random_plan, random_weights

STEPS = 50


@pytest.fixture(scope="module")
def engine() -> PopulationEngine:
    return PopulationEngine()


def test_one_plan_is_the_ordinary_training(engine: PopulationEngine, data: Dataset) -> None:
    job = random_job(MLP, np.random.default_rng(0), steps=STEPS)
    plan = uniform_plan(NAMES, 5)
    job = replace(job, plan=plan, pruning={})
    ordinary = next(iter(engine.train([job], data)))
    assert isinstance(ordinary, Trained)
    for width in (1, 2):
        weights, loss = engine.train_shared(job, [[plan] * width] * STEPS, data)
        worst = max(np.abs(weights[key] - ordinary.weights[key]).max() for key in weights)
        assert worst < 1e-6, f"{width} plans: {worst}"
        assert loss == pytest.approx(ordinary.loss, rel=1e-5)


def test_shared_weights_serve_plans_that_they_have_not_seen(engine: PopulationEngine, data: Dataset) -> None:
    generator = np.random.default_rng(1)
    job = replace(random_job(MLP, generator, steps=400, rate=1e-2), plan=None, pruning={})

    def plan(bits: int, sparsity: float):
        return uniform_plan(NAMES, bits, activation=bits, sparsity=sparsity)

    rows = [[plan(int(generator.integers(4, 9)), float(generator.choice([0, 0.3, 0.5]))) for _ in range(2)] for _ in range(400)]
    weights, loss = engine.train_shared(job, rows, data)
    assert np.isfinite(loss)
    unseen = [plan(bits, 0.4) for bits in (5, 6, 7)]
    after = engine.evaluate(MLP, unseen, [pruned(weights, one) for one in unseen], data.validation)
    before = engine.evaluate(MLP, unseen, [pruned(job.weights, one) for one in unseen], data.validation)  # type: ignore[arg-type]
    scores = [[float((z.argmax(1) == data.validation.y).mean()) for z in outputs] for outputs in (before, after)]
    assert min(scores[1]) > 0.7 > max(scores[0]), scores


def test_a_tagger_of_real_size_shares_weights(engine: PopulationEngine, data: Dataset) -> None:
    """A hundred steps of four plans on thousands of weights, as a search has them."""
    wide = Architecture.mlp(len(data.feature_names), [64, 32, 32], data.outputs)
    generator = np.random.default_rng(4)
    names = list(wide.shapes)
    job = replace(random_job(wide, generator, steps=109, rate=1e-2), plan=None, pruning={})
    plans = [uniform_plan(names, bits, sparsity=sparsity) for bits in (3, 5, 8) for sparsity in (0.0, 0.7)]
    rows = [[plans[int(i)] for i in generator.integers(0, len(plans), 4)] for _ in range(109)]
    weights, loss = engine.train_shared(job, rows, data)
    assert np.isfinite(loss)
    assert {key: value.shape for key, value in weights.items()} == {
        key: np.shape(value) for key, value in (job.weights or {}).items()
    }
    assert max(float(np.abs(value).max()) for key, value in weights.items() if "kernel" in key) <= 1.0


def test_pruned_weights_are_those_of_a_mask_renewed_once() -> None:
    generator = np.random.default_rng(3)
    weights = random_weights(MLP, generator)
    for _ in range(10):
        plan = random_plan(MLP, generator)
        for name, layer in plan.items():
            kernel = pruned(weights, plan)[f"{name}/kernel"]
            kept = max(round(kernel.size * (1 - layer.sparsity)), 1)
            largest = np.sort(np.abs(weights[f"{name}/kernel"]).ravel())[-kept:]
            assert np.array_equal(np.sort(np.abs(kernel[kernel != 0])), largest), name


def test_rows_that_do_not_fit_are_refused(engine: PopulationEngine, data: Dataset) -> None:
    job = random_job(MLP, np.random.default_rng(0), steps=STEPS)
    plan = uniform_plan(NAMES, 5)
    with pytest.raises(InputError, match="same number of plans for every step"):
        engine.train_shared(job, [[plan], [plan, plan]], data)
    with pytest.raises(InputError, match="a row of plans for each step, received none"):
        engine.train_shared(job, [], data)
    with pytest.raises(InputError, match="expected start weights"):
        engine.train_shared(replace(job, weights=None), [[plan]], data)
    output = replace(plan["output"], activation=Precision(8, 2))
    other = replace(plan, layers=(*plan.layers[:-1], ("output", output)))
    with pytest.raises(InputError, match="same kinds of activations"):
        engine.train_shared(job, [[plan], [other]], data)
