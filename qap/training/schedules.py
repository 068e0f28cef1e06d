"""Pruning schedules: the sparsity at each step, and the TF-MOT object that says the same."""

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
    done = np.clip((steps - pruning.begin).astype(np.float32) / span, np.float32(0), np.float32(1))
    if pruning.schedule == "cosine":
        return (target * (1 - np.cos(np.pi * done.astype(np.float64))) / 2).astype(np.float32)
    left = 1 - done
    return -target * (left * (left * left)) + target


def tfmot_schedule(pruning: Pruning, sparsity: float) -> Any:
    """Return TF-MOT's schedule object for a pruning schedule and a target."""
    schedules = stack().sparsity
    if pruning.schedule == "constant":
        return schedules.ConstantSparsity(sparsity, pruning.begin, pruning.end, frequency=pruning.frequency)
    if pruning.schedule == "cosine":
        return _cosine(pruning, sparsity)
    return schedules.PolynomialDecay(0.0, sparsity, pruning.begin, pruning.end, frequency=pruning.frequency)


def _cosine(pruning: Pruning, sparsity: float) -> Any:
    """Return a TF-MOT schedule that reads `schedule`'s own numbers: TF-MOT has no cosine."""
    tf = stack().tf
    table = tf.constant(schedule(pruning, sparsity, np.arange(pruning.end + 1)))

    class Cosine(stack().sparsity.PruningSchedule):  # type: ignore[misc]
        def __call__(self, step: Any) -> tuple[Any, Any]:
            due = self._should_prune_in_step(step, pruning.begin, pruning.end, pruning.frequency)
            return due, tf.gather(table, tf.clip_by_value(step, 0, pruning.end))

        def get_config(self) -> dict[str, Any]:
            return {"begin": pruning.begin, "end": pruning.end, "frequency": pruning.frequency, "sparsity": sparsity}

    return Cosine()
