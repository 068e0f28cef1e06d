"""TF-MOT's pruning: when the masks are renewed, how many weights they keep, and which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from qap.backend import stack
from qap.models.builders import Weights
from qap.plan import Plan
from qap.training.job import Pruning
from qap.training.schedules import schedule


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


def pruned(weights: Weights, plan: Plan) -> dict[str, np.ndarray]:
    """Return the weights with each kernel pruned to its sparsity at once, by the rule of `renew`."""
    found = dict(weights)
    for name, layer in plan.items():
        kernel = weights[f"{name}/kernel"]
        count = max(int(np.rint(np.float32(kernel.size) * (1 - np.float32(layer.sparsity)))), 1)
        magnitude = np.abs(kernel)
        threshold = np.partition(magnitude, -count, axis=None)[-count]
        found[f"{name}/kernel"] = kernel * (magnitude >= threshold)
    return found


def renew(weights: Any, masks: Any, keep: Any, sizes: Sequence[int]) -> Any:
    """Return new masks: 1 for the `keep` largest magnitudes of a kernel and for all that equal the smallest of them.

    The k-th largest magnitude is found without sorting: non-negative floats are ordered as their bits are, so its bits
    are settled one by one from the highest, each by counting the weights that are not smaller.

    Parameters
    ----------
    weights, masks : (lanes, weights) tensors
        The kernels of all layers behind one another.
    keep : (lanes, layers) int32 tensor
        0 leaves a mask as it is.
    sizes : sequence of int
        Weights of each kernel.
    """
    tf = stack().tf
    bits = tf.bitcast(tf.abs(weights), tf.int32)
    parts = tf.split(bits, sizes, axis=1)

    def settle(position: Any, found: Any) -> tuple[Any, Any]:
        tried = found | tf.bitwise.left_shift(1, position)
        counts = [tf.reduce_sum(tf.cast(part >= tried[:, i, None], tf.int32), axis=1) for i, part in enumerate(parts)]
        return position - 1, tf.where(tf.stack(counts, axis=1) >= keep, tried, found)

    start = (tf.constant(30), tf.zeros_like(keep))
    _, threshold = tf.while_loop(lambda position, _: position >= 0, settle, start)
    kept = tf.cast(bits >= tf.repeat(threshold, sizes, axis=1), tf.float32)
    return tf.where(tf.repeat(keep, sizes, axis=1) > 0, kept, masks)
