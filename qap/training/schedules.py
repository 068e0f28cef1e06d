"""Pruning schedules: the sparsity at each step, and the TF-MOT object that says the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from qap.backend import stack
from qap.config.schema import Prune, Train
from qap.training.job import Pruning, steps_per_epoch


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


def pruning_steps(
    prune: Prune, train: Train, events: int, sparsity: float, layer: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    """Return when the masks of a training are renewed and how sparse they are from then on.

    Parameters
    ----------
    prune, train : Prune, Train
        Sections of the study file.
    events : int
        Of the training split.
    sparsity : float
        The target.
    layer : str, optional
        One that has a schedule of its own in ``prune.layers``.

    Returns
    -------
    steps, sparsity : arrays
        From step 0 to the last step: the line of ``axes.step(*pruning_steps(...), where="post")``.

    Raises
    ------
    InputError
        A schedule without a step, or a batch larger than the training split.

    Examples
    --------
    >>> import qap
    >>> config = qap.load_config(None, ["train.epochs=10", "prune.frequency=40"])
    >>> steps, sparsity = qap.pruning_steps(config.prune, config.train, events=20_480, sparsity=0.8)
    >>> steps.tolist()
    [0, 40, 80, 200]
    >>> sparsity.round(3).tolist()
    [0.0, 0.7, 0.8, 0.8]
    """
    section, last = prune.layers.get(layer, prune), train.epochs * steps_per_epoch(events, train.batch)
    pruning = Pruning.from_fractions(section.schedule, section.begin, section.end, section.frequency, last)
    renewals = np.arange(pruning.begin, pruning.end + 1, pruning.frequency)
    renewals = renewals[renewals > 0]
    found = schedule(pruning, sparsity, renewals)
    return np.array([0, *renewals, last]), np.array([0.0, *found, found[-1]])


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
