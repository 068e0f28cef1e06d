"""TF-MOT's pruning: when the masks are renewed, how many weights they keep, and which."""

from __future__ import annotations

from typing import Any

import numpy as np

from qap.backend import stack
from qap.training.job import Pruning


def schedule(pruning: Pruning, sparsity: float, steps: np.ndarray) -> np.ndarray:
    """Return the sparsity of a schedule at training steps, in the float32 arithmetic of TF-MOT's graph.

    Parameters
    ----------
    pruning : Pruning
    sparsity : float
        The target.
    steps : (n,) int array
        The first step of a training is 1.
    """
    target = np.float32(sparsity)
    if pruning.schedule == "constant":
        return np.full(len(steps), target)
    span = np.float32(pruning.end - pruning.begin)
    left = 1 - np.clip((steps - pruning.begin).astype(np.float32) / span, np.float32(0), np.float32(1))
    return -target * (left * (left * left)) + target


def keep_counts(pruning: Pruning, sparsity: float, size: int, first: int, steps: int) -> np.ndarray:
    """Return for each step the number of weights that its renewal keeps, 0 where the mask is not renewed.

    Parameters
    ----------
    pruning : Pruning
    sparsity : float
    size : int
        Number of weights.
    first, steps : int
        The first step (counted from 1) and the number of steps.

    Returns
    -------
    (steps,) int32 array
    """
    counts = np.zeros(steps, np.int32)
    number = np.arange(first, first + steps)
    due = (number >= pruning.begin) & (number <= pruning.end) & ((number - pruning.begin) % pruning.frequency == 0)
    kept = np.rint(np.float32(size) * (1 - schedule(pruning, sparsity, number[due])))
    counts[due] = np.maximum(kept, 1)
    return counts


def renew(kernels: list[Any], masks: list[Any], keep: Any) -> list[Any]:
    """Return new masks: 1 for the `keep` largest magnitudes and for all that equal the smallest of them.

    The k-th largest magnitude is found without sorting: non-negative floats are ordered as their bits are, so its bits
    are settled one by one from the highest, each by counting the weights that are not smaller.

    Parameters
    ----------
    kernels, masks : list of (lanes, inputs, units) tensors
    keep : (lanes, layers) int32 tensor
        0 leaves a mask as it is.
    """
    tf = stack().tf
    bits = [tf.bitcast(tf.abs(kernel), tf.int32) for kernel in kernels]
    wanted = [keep[:, layer, None, None] for layer in range(len(kernels))]

    def settle(position: Any, found: list[Any]) -> tuple[Any, list[Any]]:
        settled = []
        for values, count, low in zip(bits, wanted, found, strict=True):
            tried = low | tf.bitwise.left_shift(1, position)
            reached = tf.reduce_sum(tf.cast(values >= tried, tf.int32), axis=(1, 2), keepdims=True)
            settled.append(tf.where(reached >= count, tried, low))
        return position - 1, settled

    start = [tf.zeros_like(count) for count in wanted]
    _, threshold = tf.while_loop(lambda position, _: position >= 0, settle, (tf.constant(30), start))
    return [
        tf.where(count > 0, tf.cast(values >= least, tf.float32), mask)
        for values, least, count, mask in zip(bits, threshold, wanted, masks, strict=True)
    ]
