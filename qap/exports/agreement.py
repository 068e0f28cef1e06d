"""What an exported model does on the same events as the model that it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qap.backend import stack
from qap.errors import InputError

BATCH = 4096


@dataclass(frozen=True, slots=True)
class Agreement:
    """An export against its model, event by event.

    Parameters
    ----------
    events : int
        Events compared.
    exact : int
        Events whose outputs are equal in every bit.
    max_difference : float
        Largest absolute difference of any output.
    agreement : float or None
        Fraction of events with the same largest output; None with fewer than two outputs, or with several output tensors.
    accuracy, model_accuracy : float or None
        Fraction of events whose largest output is the label: of the export, and of the model. None without labels.
    """

    events: int
    exact: int
    max_difference: float
    agreement: float | None = None
    accuracy: float | None = None
    model_accuracy: float | None = None


def agree(model: Sequence[np.ndarray], export: Sequence[np.ndarray], labels: np.ndarray | None = None) -> Agreement:
    """Compare outputs.

    Parameters
    ----------
    model, export : sequences of arrays (events, …)
        Outputs of the model and of what was exported, in the same order.
    labels : (events,) integer array, optional

    Raises
    ------
    InputError
        Other shapes, or no events.

    Examples
    --------
    >>> import numpy as np
    >>> import qap
    >>> ours, theirs = np.array([[1.0, 2.0], [3.0, 0.0]]), np.array([[1.0, 2.0], [3.0, 0.5]])
    >>> found = qap.agree([ours], [theirs], labels=np.array([1, 1]))
    >>> found.exact, found.max_difference, found.agreement, found.accuracy
    (1, 0.5, 1.0, 0.5)
    """
    shapes = [array.shape for array in model], [array.shape for array in export]
    if shapes[0] != shapes[1] or not model or not len(model[0]):
        raise InputError(f"expected outputs of equal shapes with events, received {shapes[0]} and {shapes[1]}")
    events = len(model[0])
    equal = np.ones(events, bool)
    largest = 0.0
    for one, other in zip(model, export, strict=True):
        gap = np.abs(one.astype(np.float64) - other).reshape(events, -1)
        equal &= (gap == 0).all(axis=1)
        largest = float(np.maximum(largest, gap.max()))  # NaN stays NaN
    if len(model) != 1 or model[0].ndim != 2 or model[0].shape[1] < 2:
        return Agreement(events, int(equal.sum()), largest)
    ours, theirs = (array[0].argmax(axis=1) for array in (model, export))
    same = float(np.mean(ours == theirs))
    if labels is None:
        return Agreement(events, int(equal.sum()), largest, same)
    return Agreement(
        events, int(equal.sum()), largest, same, float(np.mean(theirs == labels)), float(np.mean(ours == labels))
    )  # fmt: skip


def keras_outputs(model: Any, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Run a Keras model in inference.

    Parameters
    ----------
    model : keras.Model
    arrays : sequence of arrays (events, …)
        One per input, in the model's order.

    Returns
    -------
    list of float32 arrays (events, …), one per output
    """
    tf = stack().tf
    parts = []
    for start in range(0, len(arrays[0]), BATCH):
        tensors = [
            tf.constant(array[start : start + BATCH].reshape(-1, *tensor.shape[1:]), tf.float32)
            for array, tensor in zip(arrays, model.inputs, strict=True)
        ]
        given = tensors[0] if len(tensors) == 1 else tf.nest.pack_sequence_as(model.input, tensors)
        parts.append([np.asarray(output) for output in tf.nest.flatten(model(given, training=False))])
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]
