"""Event weights: what every metric accepts."""

from __future__ import annotations

import numpy as np

from qap.errors import InputError


def event_weights(weights: np.ndarray | None, events: int) -> np.ndarray:
    """Return one float64 weight per event, ones where none are given.

    Raises
    ------
    InputError
        Another length, a weight that is not finite or negative (it would fold a ROC curve back), or nothing above 0.
    """
    if weights is None:
        return np.ones(events)
    values = np.asarray(weights, np.float64)
    if values.shape != (events,):
        raise InputError(f"weights: expected one per event ({events}), received shape {values.shape}")
    if not np.all(np.isfinite(values)) or np.any(values < 0) or not values.sum() > 0:
        raise InputError("weights: expected finite numbers from 0, some of them above 0")
    return values
