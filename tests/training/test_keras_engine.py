"""The keras engine against Keras's own fit, and TF-MOT's masks against the rule computed in NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qap.backend import stack
from qap.datasets.dataset import Dataset, Split
from qap.errors import InputError
from qap.models.architecture import Architecture
from qap.models.builders import fold_batchnorm, get_weights, set_weights
from qap.training.job import Failed, Job, Pruning, Soft, event_order
from qap.training.keras_engine import KerasEngine, _batches, compile_for, logits, wrap_for_pruning
from qap.training.schedules import tfmot_schedule

from ..conftest import uniform_plan

MLP = Architecture.mlp(6, [12, 8], 3)
NAMES = ["fc1", "fc2", "output"]
STEPS = 21  # 2100 training events in batches of 100


def _job(sparsity: float = 0.5, epochs: int = 2, schedule: str = "polynomial", **changes: object) -> Job:
    pruning = Pruning.from_fractions(schedule, 0.1, 0.7, 4, epochs * STEPS)
    job = Job(
        MLP, uniform_plan(NAMES, sparsity=sparsity), None, epochs, 100, 1e-2, "cosine", 7,
        dict.fromkeys(NAMES, pruning) if sparsity else {},
    )  # fmt: skip
    return replace(job, **changes)  # type: ignore[arg-type]


def _train(job: Job, data: Dataset):
    return next(iter(KerasEngine().train([job], data)))


def log_softmax(z: np.ndarray) -> np.ndarray:
    z = z - z.max(1, keepdims=True)
    return z - np.log(np.exp(z).sum(1, keepdims=True))


def _plain_fit(job: Job, data: Dataset) -> dict[str, np.ndarray]:
    """The same training by model.fit at its default settings."""
    libraries = stack()
    libraries.keras.backend.clear_session()
    libraries.keras.utils.set_random_seed(job.seed)
    model = job.builder(job.architecture, job.plan)
    if job.weights is not None:
        set_weights(model, job.weights)
    if job.pruning:
        model = wrap_for_pruning(model, job)
    compile_for(model, job, data)
    callbacks = [libraries.sparsity.UpdatePruningStep()] if job.pruning else []
    model.fit(_batches(model, data.train, job), epochs=job.epochs, steps_per_epoch=STEPS, verbose=0, callbacks=callbacks)
    if job.pruning:
        model = libraries.sparsity.strip_pruning(model)
    return fold_batchnorm(model, job.architecture) if job.plan is None else get_weights(model, job.architecture)


@pytest.mark.parametrize("job", [_job(), _job(0.0, decay="constant"), _job(schedule="constant", epochs=3)])
def test_the_weights_are_those_of_fit_bit_for_bit(job: Job, data: Dataset) -> None:
    expected, received = _plain_fit(job, data), _train(job, data).weights
    for key in expected:
        wrong = np.count_nonzero(expected[key] != received[key])
        assert not wrong, f"{key}: {wrong} of {expected[key].size} differ, by up to {np.abs(expected[key] - received[key]).max()}"


@pytest.mark.slow
def test_the_same_job_gives_the_same_bits_whatever_was_trained_before(data: Dataset) -> None:
    one = _train(_job(), data)
    _train(_job(0.3, seed=3), data)
    two = _train(_job(), data)
    assert all((one.weights[key] == two.weights[key]).all() for key in one.weights)
    assert (one.validation == two.validation).all()
    assert one.loss == two.loss


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.8, 0.95])
@pytest.mark.parametrize("schedule", ["constant", "polynomial"])
def test_mask_sparsity_is_the_request_to_the_rounding_of_the_rule(schedule: str, sparsity: float, data: Dataset) -> None:
    trained = _train(_job(sparsity, schedule=schedule), data)
    for name in NAMES:
        kernel = trained.weights[f"{name}/kernel"]
        kept = max(round(kernel.size * (1 - sparsity)), 1)
        assert np.count_nonzero(kernel) == kept, f"{name}: {np.count_nonzero(kernel)} of {kernel.size} kept, expected {kept}"


def test_the_masks_are_the_largest_weights_of_the_step_of_the_last_renewal(data: Dataset) -> None:
    """One renewal at step 1, on the start weights: the mask can be computed without TF-MOT."""
    weights = _train(_job(0.0), data).weights
    pruning = dict.fromkeys(NAMES, Pruning("constant", 1, 1, 1))
    job = _job(0.6, weights=weights, pruning=pruning, plan=uniform_plan(NAMES, sparsity=0.6))
    trained = _train(job, data).weights
    for name in NAMES:
        start = np.abs(weights[f"{name}/kernel"])
        kept = max(round(start.size * 0.4), 1)
        expected = start >= np.sort(start.ravel())[-kept]
        assert ((trained[f"{name}/kernel"] != 0) == expected).all(), name


@pytest.mark.parametrize("steps", [10, 42, 100, 327])
@pytest.mark.parametrize("frequency", [1, 7, 16, 1000])
@pytest.mark.parametrize("kind", ["constant", "polynomial"])
def test_the_last_renewal_reaches_the_target(kind: str, frequency: int, steps: int) -> None:
    pruning = Pruning.from_fractions(kind, 0.1, 0.65, frequency, steps)
    schedule = tfmot_schedule(pruning, 0.75)
    renewals = [(step, float(schedule(step)[1])) for step in range(1, steps + 1) if bool(schedule(step)[0])]
    assert renewals
    assert renewals[-1] == (pruning.end, 0.75)
    assert pruning.end <= 0.65 * steps + 1


def test_a_schedule_without_a_step_is_refused() -> None:
    with pytest.raises(InputError, match="no step lies between"):
        Pruning.from_fractions("polynomial", 0.0, 0.1, 4, 3)


def test_the_float_parent_learns_and_is_returned_folded(data: Dataset) -> None:
    architecture = Architecture.mlp(6, [12, 8], 3, batchnorm=True)
    job = Job(architecture, None, None, 4, 100, 1e-2, "constant", 1)
    trained = _train(job, data)
    assert (trained.validation.argmax(1) == data.validation.y).mean() > 0.7
    assert set(trained.weights) == {f"{name}/{part}" for name in NAMES for part in ("kernel", "bias")}
    assert trained.model.get_layer("bn1") is not None


def test_regression_learns_with_event_weights(regression_data: Dataset) -> None:
    architecture = Architecture.mlp(5, [16], 2)
    trained = _train(Job(architecture, None, None, 12, 50, 1e-2, "cosine", 1), regression_data)
    error = np.sqrt(np.mean((trained.validation - regression_data.validation.y) ** 2))
    assert error < 0.5 * regression_data.validation.y.std()


def test_events_of_weight_zero_teach_nothing(data: Dataset) -> None:
    """Wrong labels of weight 0 do not change the training."""
    odd = np.arange(len(data.train)) % 2 == 1
    weight = np.where(odd, 0, 1).astype(np.float32)
    wrong = np.where(odd, (data.train.y + 1) % 3, data.train.y).astype(np.int32)
    job = _job(0.0)
    right = _train(job, replace(data, train=Split(data.train.x, data.train.y, weight)))
    misled = _train(job, replace(data, train=Split(data.train.x, wrong, weight)))
    assert all((right.weights[key] == misled.weights[key]).all() for key in right.weights)


def test_a_loss_that_is_not_finite_is_said(data: Dataset) -> None:
    result = _train(Job(MLP, None, None, 2, 100, 1e30, "constant", 1), data)
    assert isinstance(result, Failed)
    assert "loss became nan" in result.reason or "loss became inf" in result.reason


def test_the_distillation_loss_is_the_weighted_sum_of_both_terms(data: Dataset, regression_data: Dataset) -> None:
    """One step at a learning rate of 0: the loss of the first batch, by NumPy."""
    for dataset in (data, regression_data):
        generator = np.random.default_rng(0)
        architecture = Architecture.mlp(dataset.train.x.shape[1], [8], dataset.outputs)
        teacher = Soft(generator.normal(0, 2, (len(dataset.train), dataset.outputs)).astype(np.float32), 3.0, 0.7)
        job = Job(architecture, None, None, 1, 100, 1e-12, "constant", 2, steps=1, teacher=teacher)
        trained = _train(job, dataset)
        batch = event_order(len(dataset.train), 100, 1, 2)[0]
        z = stack().tf.constant(logits(trained.model, dataset.train.x[batch])).numpy().astype(np.float64)
        y, soft = dataset.train.y[batch], teacher.outputs[batch].astype(np.float64)
        weight = dataset.train.weight[batch] / dataset.train.weight.mean()
        if dataset is data:
            hard = -log_softmax(z)[np.arange(100), y]
            other = 9 * (np.exp(log_softmax(soft / 3)) * (log_softmax(soft / 3) - log_softmax(z / 3))).sum(1)
        else:
            hard, other = ((z - y) ** 2).mean(1), ((z - soft) ** 2).mean(1)
        expected = np.mean(weight * (0.3 * hard + 0.7 * other))
        assert trained.loss == pytest.approx(expected, rel=1e-5), dataset.task


def test_a_training_can_end_in_the_middle_of_an_epoch(data: Dataset) -> None:
    short, long = _train(_job(0.0, steps=5), data), _train(_job(0.0, steps=100), data)
    whole = _train(_job(0.0), data)
    assert all((long.weights[key] == whole.weights[key]).all() for key in whole.weights), "more steps than there are"
    job = _job(0.0, steps=5)
    libraries = stack()
    libraries.keras.backend.clear_session()
    libraries.keras.utils.set_random_seed(job.seed)
    model = job.builder(job.architecture, job.plan)
    compile_for(model, job, data)
    for batch in _batches(model, data.train, job).take(5):
        model.train_on_batch(*batch)
    expected = get_weights(model, job.architecture)
    assert all((short.weights[key] == expected[key]).all() for key in expected)


def test_a_teacher_of_another_shape_is_refused(data: Dataset) -> None:
    with pytest.raises(InputError, match=r"teacher: expected outputs of shape \(2100, 3\), received \(5, 3\)"):
        _train(_job(0.0, teacher=Soft(np.zeros((5, 3), np.float32))), data)
    with pytest.raises(InputError, match="alpha from 0 to 1, received 2"):
        Soft(np.zeros((5, 3), np.float32), 1.0, 2)


def test_a_batch_larger_than_the_data_is_refused(data: Dataset) -> None:
    with pytest.raises(InputError, match=r"train.batch: expected at most 2100"):
        _train(_job(0.0, batch=4000), data)


def test_the_order_of_events_is_a_permutation_in_every_epoch() -> None:
    order = event_order(105, 10, 3, 5)
    assert order.shape == (30, 10)
    for epoch in order.reshape(3, 100):
        assert len(np.unique(epoch)) == 100
    assert (order == event_order(105, 10, 3, 5)).all()
    assert not (order == event_order(105, 10, 3, 6)).all()


@pytest.mark.parametrize("epochs", [1, 3])
def test_running_averages_settle_in_a_short_training(epochs: int, data: Dataset) -> None:
    architecture = Architecture.mlp(6, [8], 3, batchnorm=True)
    job = Job(architecture, None, None, epochs, 100, 1e-4, "constant", 1)
    trained = _train(job, data)
    norm, dense = trained.model.get_layer("bn1"), trained.model.get_layer("fc1")
    kernel, bias = dense.get_weights()
    outputs = data.train.x @ kernel + bias
    mean, variance = (np.asarray(value) for value in norm.get_weights()[2:])
    assert np.abs(mean - outputs.mean(axis=0)).max() < 0.1 * outputs.std(axis=0).max(), (mean, outputs.mean(axis=0))
    assert np.abs(variance / outputs.var(axis=0) - 1).max() < 0.2, (variance, outputs.var(axis=0))
