"""Inputs moved on purpose, within a small box, to where the model errs.

References: I. Goodfellow, J. Shlens, C. Szegedy, Explaining and harnessing adversarial examples, arXiv:1412.6572 (FGSM);
A. Madry et al., Towards deep learning models resistant to adversarial attacks, arXiv:1706.06083 (PGD).

Quantizers are flat almost everywhere: QKeras's gradient is that of its straight-through estimator. It points roughly
right, so that the accuracy under these steps is an upper bound of the one under the best attack.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from qap.backend import stack
from qap.errors import InputError
from qap.metrics.classification import Kind, accuracy
from qap.metrics.robustness import Predict
from qap.precision import Precision

Gradient = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(inputs, labels) → gradient of each event's loss with respect to its inputs, of the inputs' shape."""

BATCH = 4096


def keras_gradient(model: Any, kind: Literal["logits", "probabilities"] = "logits") -> Gradient:
    """Return the gradient of a Keras or QKeras model's cross entropy.

    Parameters
    ----------
    model : keras.Model
        One input; one column per class, or one column for two classes.
    kind : {'logits', 'probabilities'}, default 'logits'
        What the model ends with.

    Returns
    -------
    callable
        (events, …) inputs and (events,) labels → float64 array of the inputs' shape.
    """
    tf = stack().tf

    def loss(outputs: Any, labels: np.ndarray) -> Any:
        truth = tf.constant(labels, tf.int64)
        if outputs.shape[-1] == 1 and kind == "logits":
            return tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(truth, outputs.dtype), outputs[:, 0])
        if kind == "logits":
            return tf.nn.sparse_softmax_cross_entropy_with_logits(truth, outputs)
        both = tf.concat([1 - outputs, outputs], axis=1) if outputs.shape[-1] == 1 else outputs
        return -tf.math.log(tf.maximum(tf.gather(both, truth, axis=1, batch_dims=1), 1e-30))

    def gradient(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
        parts = []
        for start in range(0, len(x), BATCH):
            with tf.GradientTape() as tape:
                inputs = tf.constant(x[start : start + BATCH], model.inputs[0].dtype)
                tape.watch(inputs)
                total = tf.reduce_sum(loss(model(inputs, training=False), np.asarray(labels[start : start + BATCH])))
            parts.append(np.asarray(tape.gradient(total, inputs), np.float64))
        return np.concatenate(parts)

    return gradient


def _within(start: np.ndarray, moved: np.ndarray, epsilon: float, grid: Precision | None) -> np.ndarray:
    """Return the moved inputs in the box around the start and on the grid: steps are cut towards the start."""
    offset = np.clip(moved - start, -epsilon, epsilon)
    if grid is None:
        return start + offset
    step = grid.step
    return np.clip(start + np.trunc(offset / step * (1 + 1e-12)) * step, grid.low, grid.high)


def _inputs(x: np.ndarray, epsilon: float, grid: Precision | None) -> np.ndarray:
    if not 0 <= epsilon < np.inf:
        raise InputError(f"epsilon: expected a size from 0, received {epsilon}")
    start = np.asarray(x, np.float64)
    if grid is not None and not np.array_equal(grid.quantize(start), start):
        raise InputError(f"x: expected inputs on the grid {grid}; round them by Precision.quantize first")
    return start


def fgsm(gradient: Gradient, x: np.ndarray, labels: np.ndarray, epsilon: float, *, grid: Precision | None = None) -> np.ndarray:
    """Move every input by epsilon in the direction that raises the loss: x + ε · sign(gradient).

    Parameters
    ----------
    gradient : callable
        See `Gradient`; `keras_gradient` makes one.
    x : (events, features) array
    labels : (events,) integers from 0
    epsilon : float
        Half the side of the box, in the unit of the inputs.
    grid : Precision, optional
        The type of the firmware's input: the result lies on it and within its range. An epsilon below its step moves nothing.

    Returns
    -------
    float64 array of the shape of x
    """
    start = _inputs(x, epsilon, grid)
    return _within(start, start + epsilon * np.sign(gradient(start, labels)), epsilon, grid)


def pgd(
    gradient: Gradient,
    x: np.ndarray,
    labels: np.ndarray,
    epsilon: float,
    *,
    steps: int = 10,
    size: float | None = None,
    grid: Precision | None = None,
    seed: int | None = 0,
) -> np.ndarray:
    """Take several steps of FGSM, each brought back into the box |x' − x| ≤ ε.

    Parameters
    ----------
    gradient, x, labels, epsilon, grid
        As for `fgsm`; the grid is applied to the last step.
    steps : int, default 10
    size : float, optional
        Of one step (default: 2.5 ε / steps, Madry et al.).
    seed : int or None, default 0
        Of the random start in the box; None starts at x.

    Returns
    -------
    float64 array of the shape of x
    """
    if steps < 1:
        raise InputError(f"steps: expected 1 or more, received {steps}")
    start = _inputs(x, epsilon, grid)
    step = 2.5 * epsilon / steps if size is None else size
    moved = start
    if seed is not None:
        draws = np.random.SeedSequence(seed, spawn_key=(0,))  # no stream that data made with the same seed have
        moved = start + np.random.default_rng(draws).uniform(-epsilon, epsilon, start.shape)
    for _ in range(steps):
        moved = _within(start, moved + step * np.sign(gradient(moved, labels)), epsilon, None)
    return _within(start, moved, epsilon, grid)


@dataclass(frozen=True, slots=True)
class Attacked:
    """Accuracy with every input moved by at most epsilon against the model."""

    epsilon: float
    fgsm: float
    pgd: float


def under_attack(
    predict: Predict,
    gradient: Gradient,
    x: np.ndarray,
    labels: np.ndarray,
    epsilons: Sequence[float],
    *,
    steps: int = 10,
    grid: Precision | None = None,
    seed: int | None = 0,
    weights: np.ndarray | None = None,
    kind: Kind = "auto",
) -> tuple[Attacked, ...]:
    """Return the accuracy under both attacks at each size of the box; parameters as for `fgsm`, `pgd` and `accuracy`."""
    found = []
    for epsilon in epsilons:
        moved = (
            fgsm(gradient, x, labels, epsilon, grid=grid),
            pgd(gradient, x, labels, epsilon, steps=steps, grid=grid, seed=seed),
        )
        found.append(Attacked(epsilon, *(accuracy(labels, predict(one), weights, kind) for one in moved)))
    return tuple(found)
