"""The losses of the keras engine and their gradients, outputs before events: tensors are (lanes, outputs, events)."""

from __future__ import annotations

from typing import Any

from qap.backend import stack


def _cross_entropy(logits: Any, target: Any) -> tuple[Any, Any]:
    """Return −Σ target·log softmax(logits) by event, (lanes, events), and its gradient."""
    tf = stack().tf
    shifted = logits - tf.reduce_max(logits, axis=1, keepdims=True)
    exponentials = tf.exp(shifted)
    total = tf.reduce_sum(exponentials, axis=1, keepdims=True)
    loss = tf.math.log(total)[:, 0] - tf.reduce_sum(target * shifted, axis=1)
    return loss, exponentials / total - target


def _squared(outputs: Any, target: Any) -> tuple[Any, Any]:
    tf = stack().tf
    difference = outputs - target
    return tf.reduce_mean(difference * difference, axis=1), difference * (2 / outputs.shape[1])


def loss_and_gradient(outputs: Any, y: Any, weight: Any, soft: Any, knobs: Any, *, classes: bool) -> tuple[Any, Any]:
    """Return the mean losses of a batch by lane, (lanes, 3): total, hard, soft; and the gradient of the total.

    Parameters
    ----------
    outputs : (lanes, outputs, events) tensor
    y : (lanes, events) int32 tensor of classes, or (lanes, outputs, events) tensor of targets
    weight : (lanes, events) tensor
        Event weights with a mean of 1 over the training split.
    soft : (lanes, outputs, events) tensor or None
        A teacher's outputs.
    knobs : (lanes, 2) tensor
        Temperature and share α of the soft loss (see `qap.training.job.Soft`).
    classes : bool
        Cross-entropy of classes, else the mean squared error.
    """
    tf = stack().tf
    target = tf.one_hot(y, outputs.shape[1], axis=1) if classes else y
    loss, gradient = _cross_entropy(outputs, target) if classes else _squared(outputs, target)
    hard, other = loss, tf.zeros_like(loss)
    if soft is not None:
        temperature, alpha = knobs[:, 0, None], knobs[:, 1, None]
        if classes:
            wide = temperature[:, None]
            softened = tf.nn.softmax(soft / wide, axis=1)
            cross, slope = _cross_entropy(outputs / wide, softened)
            other, slope = temperature**2 * (cross - _cross_entropy(soft / wide, softened)[0]), wide * slope
        else:
            other, slope = _squared(outputs, soft)
        loss = (1 - alpha) * loss + alpha * other
        gradient = (1 - alpha)[:, None] * gradient + alpha[:, None] * slope
    share = weight * (1 / outputs.shape[2])
    means = [tf.reduce_sum(part * share, axis=1) for part in (loss, hard, other)]
    return tf.stack(means, axis=1), gradient * share[:, None]
