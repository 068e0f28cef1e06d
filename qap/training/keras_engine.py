"""The reference engine: one QKeras + TF-MOT model after another, with Keras's own `fit`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from qap.backend import stack
from qap.datasets.dataset import Dataset, Split
from qap.errors import QapError
from qap.models.builders import fold_batchnorm, get_weights, set_weights
from qap.training.job import Job, Pruning, Trained, event_order, steps_per_epoch

EVALUATION_BATCH = 8192


def tfmot_schedule(pruning: Pruning, sparsity: float) -> Any:
    """Return TF-MOT's schedule object for a pruning schedule and a target."""
    schedules = stack().sparsity
    if pruning.schedule == "constant":
        return schedules.ConstantSparsity(sparsity, pruning.begin, pruning.end, frequency=pruning.frequency)
    return schedules.PolynomialDecay(0.0, sparsity, pruning.begin, pruning.end, frequency=pruning.frequency)


def wrap_for_pruning(model: Any, job: Job) -> Any:
    """Return a copy of the model with TF-MOT's pruning wrapper around each layer that the plan prunes."""
    libraries = stack()
    plan = job.plan

    def wrap(layer: Any) -> Any:
        if plan is None or layer.name not in job.pruning:
            return layer.__class__.from_config(layer.get_config())
        schedule = tfmot_schedule(job.pruning[layer.name], plan[layer.name].sparsity)
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
    """Run a model without tracing a graph; returns (events, outputs)."""
    parts = [x[start : start + EVALUATION_BATCH] for start in range(0, len(x), EVALUATION_BATCH)]
    return np.concatenate([np.asarray(model(part, training=False)) for part in parts])


def _batches(split: Split, job: Job) -> Any:
    """Return a tf.data set of (x, y, weight) batches in the order that all engines share."""
    tf = stack().tf
    weight = split.weight / np.float32(split.weight.mean(dtype=np.float64))
    x, y, w = tf.constant(split.x), tf.constant(split.y), tf.constant(weight)
    order = event_order(len(split), job.batch, job.epochs, job.seed)
    return tf.data.Dataset.from_tensor_slices(order).map(lambda i: (tf.gather(x, i), tf.gather(y, i), tf.gather(w, i)))


def compile_for(model: Any, job: Job, data: Dataset) -> None:
    """Give the model the loss of the task and Adam with the job's learning rate."""
    keras = stack().keras
    steps = steps_per_epoch(len(data.train), job.batch)
    rate: Any = job.learning_rate
    if job.decay == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(job.learning_rate, job.epochs * steps)
    if data.task == "classification":
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    else:
        loss = keras.losses.MeanSquaredError()
    model.compile(keras.optimizers.Adam(rate), loss)


def fit(model: Any, job: Job, data: Dataset, callbacks: Sequence[Any] = ()) -> float:
    """Train as ``model.fit`` does, an epoch in one graph call, and return the last epoch's loss.

    Keras's own ``train_step`` runs in a loop inside the graph. With the optimizer's variables made beforehand and no value
    carried out of the loop, TensorFlow traces the step once; ``fit`` traces it two to four times, and tracing
    takes as long as the training of a small network. Weights and masks are the same bit for bit.

    Raises
    ------
    QapError
        A loss that is not finite.
    """
    tf = stack().tf
    steps = steps_per_epoch(len(data.train), job.batch)
    model.optimizer.build(model.trainable_variables)
    iterator = iter(_batches(data.train, job))

    @tf.function
    def epoch() -> Any:
        for _ in tf.range(steps):
            model.train_step(next(iterator))
        return model.metrics[0].result()

    for callback in callbacks:
        callback.set_model(model)
        callback.on_train_begin()
    loss = float("nan")
    for number in range(job.epochs):
        model.reset_metrics()
        loss = float(epoch())
        if not np.isfinite(loss):
            raise QapError(f"the training loss became {loss}: lower train.learning_rate (now {job.learning_rate})")
        for callback in callbacks:
            callback.on_epoch_end(number)
    return loss


class KerasEngine:
    """One model at a time, exactly as QKeras and TF-MOT train it."""

    name = "keras"

    def train(self, jobs: Sequence[Job], data: Dataset) -> Iterator[Trained]:
        """Train the jobs one after another.

        Parameters
        ----------
        jobs : sequence of Job
        data : Dataset

        Yields
        ------
        Trained
            In the order of the jobs.

        Raises
        ------
        QapError
            A loss that is not finite.
        InputError
            A batch larger than the training split, a plan that does not fit.
        """
        for job in jobs:
            yield self._train(job, data)

    def _train(self, job: Job, data: Dataset) -> Trained:
        libraries = stack()
        libraries.keras.backend.clear_session()
        libraries.keras.utils.set_random_seed(job.seed)
        model = job.builder(job.architecture, job.plan)
        if job.weights is not None:
            set_weights(model, job.weights)
        else:
            get_weights(model, job.architecture)  # a user's model function is checked before it is trained
        if job.pruning:
            model = wrap_for_pruning(model, job)
        compile_for(model, job, data)
        loss = fit(model, job, data, [libraries.sparsity.UpdatePruningStep()] if job.pruning else [])
        if job.pruning:
            model = libraries.sparsity.strip_pruning(model)
        weights = fold_batchnorm(model, job.architecture) if job.plan is None else get_weights(model, job.architecture)
        return Trained(weights, logits(model, data.validation.x), loss, model)
