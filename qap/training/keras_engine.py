"""The reference engine: one QKeras + TF-MOT model after another, with Keras's own `fit`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from qap.backend import stack
from qap.datasets.dataset import Dataset, Split
from qap.models.builders import fold_batchnorm, get_weights, set_weights
from qap.training.job import Failed, Job, Pruning, Soft, Trained, diverged, event_order, steps_per_epoch

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


def _targets(split: Split, teacher: Soft | None) -> np.ndarray:
    """Return the labels or targets, the teacher's outputs beside them."""
    if teacher is None:
        return split.y
    return np.concatenate([split.y.reshape(len(split), -1).astype(np.float32), teacher.outputs], axis=1)


def _loss(data: Dataset, teacher: Soft | None) -> Any:
    """Return the Keras loss of the task."""
    tf, keras = stack().tf, stack().keras
    classes = data.task == "classification"
    hard = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if classes else keras.losses.MeanSquaredError()
    if teacher is None:
        return hard
    alpha, temperature, split = teacher.alpha, teacher.temperature, 1 if classes else data.outputs

    class Distillation(keras.losses.Loss):  # type: ignore[name-defined]
        def call(self, y_true: Any, y_pred: Any) -> Any:
            labels, outputs = y_true[:, :split], y_true[:, split:]
            if not classes:
                return (1 - alpha) * hard.fn(labels, y_pred) + alpha * hard.fn(outputs, y_pred)
            cross = tf.nn.softmax_cross_entropy_with_logits(tf.nn.softmax(outputs / temperature), y_pred / temperature)
            return (1 - alpha) * hard.fn(labels, y_pred, from_logits=True) + alpha * temperature**2 * cross

    return Distillation()


def _batches(split: Split, job: Job) -> Any:
    """Return a tf.data set of (x, y, weight) batches in the order that all engines share."""
    tf = stack().tf
    weight = split.weight / np.float32(split.weight.mean(dtype=np.float64))
    x, y, w = tf.constant(split.x), tf.constant(_targets(split, job.teacher)), tf.constant(weight)
    order = event_order(len(split), job.batch, job.epochs, job.seed)
    return tf.data.Dataset.from_tensor_slices(order).map(lambda i: (tf.gather(x, i), tf.gather(y, i), tf.gather(w, i)))


def fresh_model(job: Job) -> Any:
    """Build the job's model with the initialisation that its seed gives."""
    keras = stack().keras
    keras.backend.clear_session()
    keras.utils.set_random_seed(job.seed)
    return job.builder(job.architecture, job.plan)


def compile_for(model: Any, job: Job, data: Dataset) -> None:
    """Give the model the loss of the task and Adam with the job's learning rate."""
    keras = stack().keras
    rate: Any = job.learning_rate
    if job.decay == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(job.learning_rate, job.total_steps(len(data.train)))
    model.compile(keras.optimizers.Adam(rate), _loss(data, job.teacher))


def fit(model: Any, job: Job, data: Dataset, callbacks: Sequence[Any] = ()) -> float:
    """Train as ``model.fit`` does, an epoch in one graph call, and return the last epoch's loss.

    Keras's own ``train_step`` runs in a loop inside the graph. With the optimizer's variables made beforehand and no value
    carried out of the loop, TensorFlow traces the step once; ``fit`` traces it two to four times, and tracing
    takes as long as the training of a small network. Weights and masks are the same bit for bit. A loss that is not finite
    ends the training.
    """
    tf = stack().tf
    steps, total = steps_per_epoch(len(data.train), job.batch), job.total_steps(len(data.train))
    model.optimizer.build(model.trainable_variables)
    iterator = iter(_batches(data.train, job))

    @tf.function
    def epoch(steps: Any) -> Any:
        for _ in tf.range(steps):
            model.train_step(next(iterator))
        return model.metrics[0].result()

    for callback in callbacks:
        callback.set_model(model)
        callback.on_train_begin()
    loss = float("nan")
    for number, start in enumerate(range(0, total, steps)):
        model.reset_metrics()
        loss = float(epoch(tf.constant(min(steps, total - start))))
        if not np.isfinite(loss):
            return loss
        for callback in callbacks:
            callback.on_epoch_end(number)
    return loss


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
        if job.weights is not None:
            set_weights(model, job.weights)
        else:
            get_weights(model, job.architecture)  # a user's model function is checked before it is trained
        if job.pruning:
            model = wrap_for_pruning(model, job)
        compile_for(model, job, data)
        loss = fit(model, job, data, [libraries.sparsity.UpdatePruningStep()] if job.pruning else [])
        if not np.isfinite(loss):
            return diverged(job, loss)
        if job.pruning:
            model = libraries.sparsity.strip_pruning(model)
        weights = fold_batchnorm(model, job.architecture) if job.plan is None else get_weights(model, job.architecture)
        return Trained(weights, logits(model, data.validation.x), loss, model)
