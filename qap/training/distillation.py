"""The loss of the keras engine with a teacher: hard and soft part, counted apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from qap.backend import stack
from qap.datasets.dataset import Dataset, Split
from qap.errors import InputError
from qap.models.builders import activation_name
from qap.training.job import Job, Soft


def targets(split: Split, teacher: Soft) -> np.ndarray:
    """Return (events, columns): labels or targets, the teacher's outputs, its features if they count, the event weight."""
    weight = split.weight / np.float32(split.weight.mean(dtype=np.float64))
    parts = [split.y.reshape(len(split), -1).astype(np.float32), teacher.outputs]
    parts += [] if teacher.features is None else [teacher.features.values]
    return np.concatenate([*parts, weight[:, None]], axis=1)


def with_features(model: Any, job: Job) -> Any:
    """Return the model to train: where features are to match, their image under a linear layer stands beside the outputs."""
    features = None if job.teacher is None else job.teacher.features
    if features is None:
        return model
    layers = {layer.name: layer for layer in job.architecture.layers}
    if features.layer not in layers or features.layer == job.architecture.layers[-1].name:
        raise InputError(f"distill.features: expected a hidden layer of {', '.join(layers)}, received {features.layer!r}")
    keras = stack().keras
    hidden = model.get_layer(activation_name(layers[features.layer])).output
    image = keras.layers.Dense(features.values.shape[1], name="regressor")(hidden)
    return keras.Model(model.inputs, keras.layers.Concatenate()([model.outputs[0], image]))


def distillation_loss(data: Dataset, teacher: Soft) -> Any:
    """Return the Keras loss of `Soft`, for targets as `targets` lays them out.

    Its variables ``sums`` add up the mean hard and soft loss of each batch, and the number of batches.
    """
    libraries = stack()
    tf, keras = libraries.tf, libraries.keras
    classes = data.task == "classification"
    alpha, temperature, features = teacher.alpha, teacher.temperature, teacher.features
    widths = [1 if classes else data.outputs, data.outputs, 0 if features is None else features.values.shape[1], 1]

    def parts(labels: Any, outputs: Any, logits: Any) -> tuple[Any, Any]:
        if not classes:
            return tf.reduce_mean((logits - labels) ** 2, axis=1), tf.reduce_mean((logits - outputs) ** 2, axis=1)
        hard = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        softened = tf.nn.softmax(outputs / temperature)
        cross = tf.nn.softmax_cross_entropy_with_logits(softened, logits / temperature)
        entropy = tf.nn.softmax_cross_entropy_with_logits(softened, outputs / temperature)
        return hard, temperature**2 * (cross - entropy)

    class Distillation(keras.losses.Loss):  # type: ignore[name-defined]
        sums = tf.Variable([0.0, 0.0, 0.0], trainable=False)

        def call(self, y_true: Any, y_pred: Any) -> Any:
            labels, outputs, wanted, weight = tf.split(y_true, widths, axis=1)
            hard, soft = parts(labels, outputs, y_pred[:, : data.outputs])
            weight = weight[:, 0]
            self.sums.assign_add(tf.stack([tf.reduce_mean(weight * hard), tf.reduce_mean(weight * soft), 1.0]))
            total = (1 - alpha) * hard + alpha * soft
            if features is not None:
                total += features.weight * tf.reduce_mean((y_pred[:, data.outputs :] - wanted) ** 2, axis=1)
            return weight * total

    return Distillation()
