"""The reference engine: one QKeras + TF-MOT model after another, with Keras's own `fit`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from qap.backend import stack
from qap.datasets.dataset import Dataset, Split
from qap.models.builders import BATCH, build, fold_batchnorm, get_weights, norm_name, set_weights, shaped
from qap.training.distillation import distillation_loss, targets, with_features
from qap.training.job import Failed, Job, Losses, Soft, Trained, diverged, event_order, steps_per_epoch
from qap.training.schedules import tfmot_schedule

EVALUATION_BATCH = 8192
FORGOTTEN = 10
"""Lifetimes of BatchNormalization's running averages in a training, at least: e⁻¹⁰ of their first values is left."""


def wrap_for_pruning(model: Any, job: Job) -> Any:
    """Return a copy of the model with TF-MOT's pruning wrapper around each layer that the plan prunes."""
    libraries = stack()

    def wrap(layer: Any) -> Any:
        if job.plan is None or layer.name not in job.pruning:
            return layer.__class__.from_config(layer.get_config())
        schedule = tfmot_schedule(job.pruning[layer.name], job.plan[layer.name].sparsity)
        copy = layer.__class__.from_config(layer.get_config())
        return libraries.sparsity.prune_low_magnitude(copy, pruning_schedule=schedule)

    wrapped = libraries.keras.models.clone_model(model, clone_function=wrap)
    for layer in model.layers:
        if layer.name in job.pruning:
            wrapped.get_layer(f"prune_low_magnitude_{layer.name}").layer.set_weights(layer.get_weights())
        else:
            wrapped.get_layer(layer.name).set_weights(layer.get_weights())
    return wrapped


def logits(model: Any, x: np.ndarray) -> np.ndarray:
    """Run a model on events (events, features) without tracing a graph; returns (events, outputs)."""
    size = EVALUATION_BATCH if len(model.input_shape) == 2 else BATCH
    parts = [shaped(model, x[start : start + size]) for start in range(0, len(x), size)]
    return np.concatenate([np.asarray(model(part, training=False)) for part in parts])


def _loss(data: Dataset, teacher: Soft | None) -> Any:
    """Return the Keras loss of the task."""
    if teacher is not None:
        return distillation_loss(data, teacher)
    losses = stack().keras.losses
    classes = data.task == "classification"
    return losses.SparseCategoricalCrossentropy(from_logits=True) if classes else losses.MeanSquaredError()


def _batches(model: Any, split: Split, job: Job) -> Any:
    """Return a tf.data set of (x, y, weight) batches in the order that all engines share."""
    tf = stack().tf
    x = tf.constant(shaped(model, split.x))
    order = tf.data.Dataset.from_tensor_slices(event_order(len(split), job.batch, job.epochs, job.seed))
    if job.teacher is not None:  # the weights are among the targets: the loss counts its parts with them
        y = tf.constant(targets(split, job.teacher))
        return order.map(lambda i: (tf.gather(x, i), tf.gather(y, i)))
    y, w = tf.constant(split.y), tf.constant(split.weight / np.float32(split.weight.mean(dtype=np.float64)))
    return order.map(lambda i: (tf.gather(x, i), tf.gather(y, i), tf.gather(w, i)))


def fresh_model(job: Job) -> Any:
    """Build the job's model with the initialisation that its seed gives."""
    keras = stack().keras
    keras.backend.clear_session()
    keras.utils.set_random_seed(job.seed)
    return job.builder(job.architecture, job.quantizers)


def _settle_averages(model: Any, job: Job, total: int) -> None:
    """Shorten the lifetime of running averages, 100 steps in Keras, where a training is too short for it."""
    if job.quantizers is not None or job.builder is not build:
        return
    for layer in job.architecture.layers:
        if layer.batchnorm:
            norm = model.get_layer(norm_name(layer))
            norm.momentum = min(norm.momentum, max(1 - FORGOTTEN / total, 0.0))


def _cosine(job: Job, total: int) -> Any:
    """Return Keras's cosine decay, of a longer training where this one is a piece of it."""
    schedules = stack().keras.optimizers.schedules
    first, length = job.window or (0, total)
    whole = schedules.CosineDecay(job.learning_rate, length)
    if not first:
        return whole

    class Later(schedules.LearningRateSchedule):  # type: ignore[name-defined]
        def __call__(self, step: Any) -> Any:
            return whole(step + first)

    return Later()


def compile_for(model: Any, job: Job, data: Dataset) -> None:
    """Give the model the loss of the task and Adam with the job's learning rate."""
    keras = stack().keras
    rate: Any = job.learning_rate
    if job.decay == "cosine":
        rate = _cosine(job, job.total_steps(len(data.train)))
    model.compile(keras.optimizers.Adam(rate), _loss(data, job.teacher))


def _mask_variables(model: Any, job: Job) -> list[tuple[Any, Any]]:
    """Return the kernels that have a fixed mask, and the masks."""
    constant = stack().tf.constant
    return [(model.get_layer(name).kernel, constant(np.asarray(mask, np.float32))) for name, mask in job.masks.items()]


def _losses(model: Any, total: float) -> Losses:
    """Read an epoch's losses, and set the sums of a distillation back."""
    sums = getattr(model.loss, "sums", None)
    if sums is None:
        return Losses(total, total)
    hard, soft, batches = sums.numpy()
    sums.assign([0.0, 0.0, 0.0])
    return Losses(total, float(hard / batches), float(soft / batches))


def fit(
    model: Any, job: Job, data: Dataset, callbacks: Sequence[Any] = (), masked: Sequence[tuple[Any, Any]] = ()
) -> tuple[Losses, ...]:
    """Train as ``model.fit`` does, an epoch in one graph call, and return the losses by epoch.

    Keras's own ``train_step`` runs in a loop inside the graph. With the optimizer's variables made beforehand and no value
    carried out of the loop, TensorFlow traces the step once; ``fit`` traces it two to four times, and tracing
    takes as long as the training of a small network. Weights and masks are the same bit for bit. A loss that is not finite
    ends the training.

    Parameters
    ----------
    model : keras.Model
        Compiled by `compile_for`.
    job : Job
    data : Dataset
    callbacks : sequence of keras.callbacks.Callback
    masked : sequence of (variable, mask)
        Multiplied before every step and at the end, as TF-MOT does with its masks.
    """
    tf = stack().tf
    steps, total = steps_per_epoch(len(data.train), job.batch), job.total_steps(len(data.train))
    model.optimizer.build(model.trainable_variables)
    iterator = iter(_batches(model, data.train, job))

    @tf.function
    def epoch(steps: Any) -> Any:
        for _ in tf.range(steps):
            for variable, mask in masked:
                variable.assign(variable * mask)
            model.train_step(next(iterator))
        for variable, mask in masked:
            variable.assign(variable * mask)
        return model.metrics[0].result()

    for callback in callbacks:
        callback.set_model(model)
        callback.on_train_begin()
    history: list[Losses] = []
    for number, start in enumerate(range(0, total, steps)):
        model.reset_metrics()
        history.append(_losses(model, float(epoch(tf.constant(min(steps, total - start))))))
        if not np.isfinite(history[-1].total):
            break
        for callback in callbacks:
            callback.on_epoch_end(number)
    return tuple(history)


def _clustered(model: Any, job: Job) -> Any:
    """Return a model whose kernels TF-MOT keeps at `job.clusters` values, zeros kept zero."""
    libraries = stack()
    start = libraries.clustering.CentroidInitialization.KMEANS_PLUS_PLUS

    def wrap(layer: Any) -> Any:
        if layer.name not in job.architecture.shapes:
            return layer.__class__.from_config(layer.get_config())
        # the layer itself, no copy: the wrapper seeks the clusters in its weights as it is built
        return libraries.cluster_weights(layer, job.clusters, start, preserve_sparsity=True)

    return libraries.keras.models.clone_model(model, clone_function=wrap)


class KerasEngine:
    """One model at a time, exactly as QKeras and TF-MOT train it."""

    name = "keras"

    def train(self, jobs: Sequence[Job], data: Dataset) -> Iterator[Trained | Failed]:
        """Train the jobs one after another.

        Parameters
        ----------
        jobs : sequence of Job
        data : Dataset

        Yields
        ------
        Trained or Failed
            In the order of the jobs; a training fails when its loss is not finite.

        Raises
        ------
        InputError
            A batch larger than the training split, a plan or a teacher that does not fit.
        """
        for job in jobs:
            yield self._train(job, data)

    def _train(self, job: Job, data: Dataset) -> Trained | Failed:
        libraries = stack()
        if job.teacher is not None:
            job.teacher.check(len(data.train), data.outputs)
        model = fresh_model(job)
        _settle_averages(model, job, job.total_steps(len(data.train)))
        if job.weights is not None:
            set_weights(model, job.weights)
        else:
            get_weights(model, job.architecture)  # a user's model function is checked before it is trained
        if job.pruning:
            model = wrap_for_pruning(model, job)
        masked = _mask_variables(model, job) if job.masks else []
        if job.clusters is not None:
            model = _clustered(model, job)
        whole = with_features(model, job)
        compile_for(whole, job, data)
        history = fit(whole, job, data, [libraries.sparsity.UpdatePruningStep()] if job.pruning else [], masked)
        if not np.isfinite(history[-1].total):
            return diverged(job, history[-1].total)
        if job.pruning:
            model = libraries.sparsity.strip_pruning(model)
        if job.clusters is not None:
            model = libraries.clustering.strip_clustering(model)
        folds = job.quantizers is None
        weights = fold_batchnorm(model, job.architecture) if folds else get_weights(model, job.architecture)
        return Trained(weights, logits(model, data.validation.x), history[-1].total, model, history)
