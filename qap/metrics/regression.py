"""Errors of a regression, target by target, with event weights; all in the unit of the target."""

from __future__ import annotations

import numpy as np

from qap.errors import InputError
from qap.metrics.weights import event_weights


def _residuals(targets: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return prediction − target as (events, targets), and the weights."""
    truth, found = (np.asarray(values, np.float64) for values in (targets, predictions))
    truth, found = (values[:, None] if values.ndim == 1 else values for values in (truth, found))
    if truth.ndim != 2 or truth.shape != found.shape or truth.size == 0:
        raise InputError(f"predictions: expected the shape of the targets {truth.shape}, received {found.shape}")
    residuals = found - truth
    if not np.all(np.isfinite(residuals)):
        bad = int(np.flatnonzero(~np.isfinite(residuals).all(axis=1))[0])
        raise InputError(f"predictions: expected finite targets and predictions, event {bad} has one that is not")
    return residuals, event_weights(weights, len(truth))


def rmse_per_target(targets: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None = None) -> list[float]:
    """Return the root mean square error of each target.

    Parameters
    ----------
    targets, predictions : (events, targets) or (events,) arrays
    weights : (events,) array, optional
        Event weights from 0.

    Returns
    -------
    list of float, one per target

    Raises
    ------
    InputError
        Arrays that do not fit.
    """
    residuals, weight = _residuals(targets, predictions, weights)
    return np.sqrt(np.average(residuals**2, axis=0, weights=weight)).tolist()


def rmse(targets: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the mean of `rmse_per_target`; meaningful for targets of one scale."""
    return float(np.mean(rmse_per_target(targets, predictions, weights)))


def bias_per_target(targets: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None = None) -> list[float]:
    """Return the mean of prediction − target of each target; parameters as for `rmse_per_target`."""
    residuals, weight = _residuals(targets, predictions, weights)
    return np.average(residuals, axis=0, weights=weight).tolist()


def resolution_per_target(targets: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None = None) -> list[float]:
    """Return half the width of the central 68 % of prediction − target, for each target.

    The quantiles are those of the weighted empirical distribution (NumPy's ``inverted_cdf``): tails do not count. For
    Gaussian errors the result is 0.994 σ. Parameters as for `rmse_per_target`.
    """
    residuals, weight = _residuals(targets, predictions, weights)
    low, high = np.quantile(residuals, [0.16, 0.84], axis=0, weights=weight, method="inverted_cdf")
    return ((high - low) / 2).tolist()


def resolution(targets: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the mean of `resolution_per_target`; meaningful for targets of one scale."""
    return float(np.mean(resolution_per_target(targets, predictions, weights)))
