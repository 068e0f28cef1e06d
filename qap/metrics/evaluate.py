"""The metrics of one split by name, for either task."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from qap.datasets.dataset import Split
from qap.metrics import classification, regression

CURVES = ("auc", "auc_worst", "signal_efficiency")
"""Metrics that need the ROC curves; the accuracy costs a tenth of them."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Which metrics to compute; the accuracy of a classifier and the RMSE of a regression always are.

    Parameters
    ----------
    names : collection of str, optional
        Among ``accuracy``, ``auc``, ``auc_worst``, ``signal_efficiency``, ``rmse``, ``resolution``; those of the other task
        are passed over (None: all of the task).
    signal : int, optional
        Class whose efficiency ``signal_efficiency`` is (None: the mean over the classes).
    background_efficiency : float, default 0.01
        At which the signal efficiency is taken.
    """

    names: Collection[str] | None = None
    signal: int | None = None
    background_efficiency: float = 0.01

    def __contains__(self, name: str) -> bool:
        return self.names is None or name in self.names


ALL = Metrics()


def evaluate(task: str, split: Split, scores: np.ndarray, metrics: Metrics = ALL) -> dict[str, float]:
    """Return the metrics that describe a model's outputs on a split, event weights included.

    Parameters
    ----------
    task : {'classification', 'regression'}
    split : Split
    scores : (events, outputs) array
        Logits or predictions.
    metrics : Metrics, optional
        What to compute (default: all).

    Returns
    -------
    dict
        ``accuracy``, ``auc`` (macro one-vs-rest mean), ``auc_worst`` (the smallest one-vs-rest AUC) and
        ``signal_efficiency``; or ``rmse`` and ``resolution`` (mean over the targets of half the central 68 %).
    """
    if task == "regression":
        found = {"rmse": regression.rmse(split.y, scores, split.weight)}
        if "resolution" in metrics:
            found["resolution"] = regression.resolution(split.y, scores, split.weight)
        return found
    found = {"accuracy": classification.accuracy(split.y, scores, split.weight, kind="logits")}
    if any(name in metrics for name in CURVES):
        found.update(_of_curves(classification.full_roc(split.y, scores, split.weight, kind="logits"), metrics))
    return found


def _of_curves(curves: list[tuple[np.ndarray, np.ndarray]], metrics: Metrics) -> dict[str, float]:
    found = {}
    areas = [classification.area(*curve) for curve in curves]
    if "auc" in metrics:
        found["auc"] = float(np.mean(areas))
    if "auc_worst" in metrics:
        found["auc_worst"] = min(areas)
    if "signal_efficiency" in metrics:
        chosen = curves if metrics.signal is None else [curves[metrics.signal]]
        cut = metrics.background_efficiency
        found["signal_efficiency"] = float(np.mean([classification.efficiency_at(*curve, cut) for curve in chosen]))
    return found
