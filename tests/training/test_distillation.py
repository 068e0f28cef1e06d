"""Distillation: hard and soft losses by both engines and by NumPy, features matched by the keras engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qap.datasets.dataset import Dataset
from qap.errors import InputError
from qap.models.architecture import Architecture
from qap.training.job import Features, Job, Soft, Trained
from qap.training.keras_engine import KerasEngine
from qap.training.population.engine import PopulationEngine, unsupported

from .population.helpers import MLP, random_job


def _one(engine: KerasEngine | PopulationEngine, job: Job, data: Dataset) -> Trained:
    found = next(iter(engine.train([job], data)))
    assert isinstance(found, Trained), found
    return found


def _teacher(data: Dataset, **changes: object) -> Soft:
    outputs = np.random.default_rng(5).normal(0, 2, (len(data.train), data.outputs)).astype(np.float32)
    return replace(Soft(outputs, 2.0, 0.3), **changes)  # type: ignore[arg-type]


def test_hard_and_soft_losses_are_those_of_both_engines_and_add_up(data: Dataset, regression_data: Dataset) -> None:
    for dataset in (data, regression_data):
        architecture = Architecture.mlp(dataset.train.x.shape[1], [12, 8], dataset.outputs)
        job = replace(random_job(architecture, np.random.default_rng(1), steps=45), teacher=_teacher(dataset))
        ours, reference = _one(PopulationEngine(), job, dataset), _one(KerasEngine(), job, dataset)
        assert len(ours.history) == len(reference.history) == -(-45 // (len(dataset.train) // 100))
        for one, two in zip(ours.history, reference.history, strict=True):
            assert one.soft is not None
            assert two.soft is not None
            assert one.hard == pytest.approx(two.hard, rel=1e-4), dataset.task
            assert one.soft == pytest.approx(two.soft, rel=1e-4), dataset.task
            assert one.total == pytest.approx(0.7 * one.hard + 0.3 * one.soft, rel=1e-5)
        assert ours.loss == ours.history[-1].total


def test_without_a_teacher_the_loss_is_the_hard_one(data: Dataset) -> None:
    for engine in (PopulationEngine(), KerasEngine()):
        found = _one(engine, random_job(MLP, np.random.default_rng(2), steps=21), data)
        assert found.history[-1].soft is None
        assert found.history[-1].hard == found.history[-1].total == found.loss


def test_a_student_of_its_own_outputs_has_no_soft_loss(data: Dataset) -> None:
    """The Kullback–Leibler divergence of equal outputs is 0, whatever the temperature."""
    start = random_job(MLP, np.random.default_rng(3), steps=1)
    job = replace(start, plan=None, pruning={}, learning_rate=1e-12, quantized=False)
    from qap.models.builders import float_logits

    outputs = float_logits(MLP, job.weights or {}, data.train.x)["output"].astype(np.float32)
    for engine in (PopulationEngine(), KerasEngine()):
        found = _one(engine, replace(job, teacher=Soft(outputs, 4.0, 1.0)), data)
        assert found.history[0].soft == pytest.approx(0, abs=1e-5)
        assert found.loss == pytest.approx(0, abs=1e-5)


def test_features_of_a_teacher_are_matched(data: Dataset) -> None:
    """The student's hidden layer explains the teacher's values better with the term than without."""
    generator = np.random.default_rng(7)
    hidden = np.maximum(data.train.x @ generator.normal(0, 0.5, (6, 5)), 0).astype(np.float32)
    job = replace(random_job(MLP, generator, steps=168, epochs=8), pruning={}, decay="constant")

    def unexplained(weight: float) -> float:
        teacher = _teacher(data, alpha=0.0, features=Features("fc1", hidden, weight))
        weights = _one(KerasEngine(), replace(job, teacher=teacher), data).weights
        assert job.plan is not None
        kernel, bias = weights["fc1/kernel"], weights["fc1/bias"]
        layer = job.plan["fc1"]
        assert layer.activation is not None
        values = layer.activation.quantize(data.train.x @ layer.weight.quantize(kernel) + layer.bias.quantize(bias))
        values = np.concatenate([values, np.ones((len(values), 1))], axis=1)
        fitted = values @ np.linalg.lstsq(values, hidden, rcond=None)[0]
        return float(np.mean((fitted - hidden) ** 2))

    without, matched = unexplained(1e-9), unexplained(30.0)
    assert matched < 0.8 * without, f"mean squared difference {matched:.4f} with the term, {without:.4f} without"


def test_features_go_to_the_keras_engine_and_a_layer_must_exist(data: Dataset) -> None:
    values = np.zeros((len(data.train), 4), np.float32)
    teacher = _teacher(data, features=Features("fc9", values, 1.0))
    job = replace(random_job(MLP, np.random.default_rng(7), steps=3), teacher=teacher)
    assert unsupported(job) == "features that are to match a teacher's"
    with pytest.raises(InputError, match="expected a hidden layer of fc1, fc2, output, received 'fc9'"):
        next(iter(PopulationEngine().train([job], data)))


@pytest.mark.parametrize(("settings", "message"), [
    ({"temperature": 0.0}, "temperature above 0, received 0"),
    ({"temperature": -1.0}, "temperature above 0"),
    ({"alpha": 1.5}, "alpha from 0 to 1, received 1.5"),
    ({"alpha": -0.1}, "alpha from 0 to 1"),
])  # fmt: skip
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Soft(np.zeros((10, 3), np.float32), **settings)


def test_teacher_and_student_with_different_outputs_are_refused(data: Dataset) -> None:
    job = replace(random_job(MLP, np.random.default_rng(7), steps=3), teacher=Soft(np.zeros((len(data.train), 4), np.float32)))
    for engine in (PopulationEngine(), KerasEngine()):
        with pytest.raises(InputError, match=r"expected outputs of shape \(2100, 3\), received \(2100, 4\)"):
            next(iter(engine.train([job], data)))
