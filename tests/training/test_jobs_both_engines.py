"""Float networks, fixed masks, pieces of a longer training and clusters: the same from both engines, or by one alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qap.datasets.dataset import Dataset
from qap.errors import InputError
from qap.models.builders import float_logits
from qap.training.job import Job, Pruning, Trained
from qap.training.keras_engine import KerasEngine
from qap.training.population.engine import PopulationEngine, unsupported
from qap.training.population.masks import keep_counts
from qap.training.population.quantizers import identity, signed, unsigned
from qap.training.population.tensors import step_sizes
from qap.training.schedules import schedule, tfmot_schedule

from .population.helpers import MLP, NAMES, random_job


def _one(engine: KerasEngine | PopulationEngine, job: Job, data: Dataset) -> Trained:
    found = next(iter(engine.train([job], data)))
    assert isinstance(found, Trained), found
    return found


def _worst(one: Trained, two: Trained) -> float:
    return max(float(np.abs(one.weights[key] - two.weights[key]).max()) for key in one.weights)


@pytest.fixture(scope="module")
def engine() -> PopulationEngine:
    return PopulationEngine()


def test_the_identity_rounds_nothing() -> None:
    values = np.concatenate([np.random.default_rng(0).normal(0, 10.0**e, 500) for e in (-20, -3, 0, 3, 6)]).astype(np.float32)
    assert (np.asarray(signed(values, identity(signed=True))) == values).all()
    assert (np.asarray(unsigned(values, identity(signed=False))) == np.maximum(values, 0)).all()


def test_float_networks_follow_the_keras_engine(engine: PopulationEngine, data: Dataset) -> None:
    for seed, pruned in ((1, False), (2, True)):
        job = replace(random_job(MLP, np.random.default_rng(seed), steps=60), quantized=False)
        job = job if pruned else replace(job, pruning={})
        assert unsupported(job) is None
        ours, reference = _one(engine, job, data), _one(KerasEngine(), job, data)
        assert _worst(ours, reference) < 2e-6
        for name in NAMES:
            assert ((ours.weights[f"{name}/kernel"] == 0) == (reference.weights[f"{name}/kernel"] == 0)).all(), name
        expected = float_logits(MLP, ours.weights, data.validation.x)["output"]
        assert np.abs(ours.validation - expected).max() < 1e-5


def test_fixed_masks_stay_and_follow_the_keras_engine(engine: PopulationEngine, data: Dataset) -> None:
    generator = np.random.default_rng(4)
    masks = {name: generator.random(MLP.shapes[name]) < 0.4 for name in ("fc1", "output")}
    for quantized in (True, False):
        start = random_job(MLP, np.random.default_rng(5), steps=50)
        job = replace(start, masks=masks, pruning={k: v for k, v in start.pruning.items() if k == "fc2"}, quantized=quantized)
        ours, reference = _one(engine, job, data), _one(KerasEngine(), job, data)
        assert _worst(ours, reference) < 2e-6
        for found in (ours, reference):
            for name, mask in masks.items():
                assert not found.weights[f"{name}/kernel"][~mask].any(), f"{name}: masked weights moved"
                assert found.weights[f"{name}/kernel"][mask].all()


def test_a_mask_beside_a_schedule_or_of_another_shape_is_refused() -> None:
    job = random_job(MLP, np.random.default_rng(4), steps=50)
    name = next(iter(job.pruning))
    with pytest.raises(InputError, match=f"{name}: has a fixed mask and a pruning schedule"):
        replace(job, masks={name: np.ones(MLP.shapes[name])})
    with pytest.raises(InputError, match=r"masks: fc1: expected shape \(6, 12\), received \(3, 3\)"):
        replace(job, pruning={}, masks={"fc1": np.ones((3, 3))})


def test_a_piece_of_a_longer_training_has_its_learning_rates(engine: PopulationEngine, data: Dataset) -> None:
    job = replace(random_job(MLP, np.random.default_rng(8), steps=30), pruning={}, decay="cosine", window=(70, 100))
    ours, reference = _one(engine, job, data), _one(KerasEngine(), job, data)
    assert _worst(ours, reference) < 1e-6
    expected = [job.learning_rate * 0.5 * (1 + np.cos(np.pi * step / 100)) for step in range(70, 100)]
    steps = np.arange(1, 31)
    received = step_sizes(job, 30) * (1 - 0.9**steps) / np.sqrt(1 - 0.999**steps)
    assert received == pytest.approx(expected, rel=1e-4), "Adam's own correction begins anew, the decay goes on"


@pytest.mark.parametrize("steps", [20, 63, 400])
@pytest.mark.parametrize("sparsity", [0.3, 0.8, 0.95])
def test_the_cosine_rises_from_0_to_the_target_as_a_tfmot_schedule(steps: int, sparsity: float) -> None:
    pruning = Pruning.from_fractions("cosine", 0.1, 0.7, 5, steps)
    found = tfmot_schedule(pruning, sparsity)
    numbers = np.arange(pruning.begin, pruning.end + 1)
    expected = sparsity * (1 - np.cos(np.pi * (numbers - pruning.begin) / (pruning.end - pruning.begin))) / 2
    assert schedule(pruning, sparsity, numbers) == pytest.approx(expected, abs=1e-6)
    for number, value in zip(numbers, expected, strict=True):
        due, level = found(np.int64(number))
        assert float(level) == pytest.approx(value, abs=1e-6)
        assert bool(due) == ((number - pruning.begin) % pruning.frequency == 0)
    assert keep_counts(pruning, sparsity, 1000, 1, steps)[pruning.end - 1] == round(1000 * (1 - sparsity))


def test_cosine_pruning_has_the_masks_of_tfmot(engine: PopulationEngine, data: Dataset) -> None:
    job = random_job(MLP, np.random.default_rng(11), steps=80)
    job = replace(job, pruning={name: Pruning.from_fractions("cosine", 0.1, 0.7, 3, 80) for name in job.pruning})
    ours, reference = _one(engine, job, data), _one(KerasEngine(), job, data)
    assert _worst(ours, reference) < 1e-6
    for name in NAMES:
        assert ((ours.weights[f"{name}/kernel"] == 0) == (reference.weights[f"{name}/kernel"] == 0)).all(), name


def test_clusters_bound_the_values_of_a_kernel_and_keep_zeros(data: Dataset) -> None:
    start = random_job(MLP, np.random.default_rng(6), steps=42)
    weights = dict(start.weights or {})
    for name in NAMES:
        weights[f"{name}/kernel"] = weights[f"{name}/kernel"] * (np.abs(weights[f"{name}/kernel"]) > 0.3)
    job = replace(start, weights=weights, pruning={}, quantized=False, clusters=5)
    assert unsupported(job) == "weight clustering"
    found = _one(PopulationEngine(), job, data)
    for name in NAMES:
        kernel = found.weights[f"{name}/kernel"]
        assert len(np.unique(kernel)) <= 5, f"{name}: {len(np.unique(kernel))} values"
        gone = weights[f"{name}/kernel"] == 0
        assert not kernel[gone].any(), f"{name}: {np.count_nonzero(kernel[gone])} of {gone.sum()} zeros came back"
