"""The metrics of one split by name, for either task."""

from __future__ import annotations

import numpy as np

from qap.datasets.dataset import Split
from qap.metrics import classification, regression


def evaluate(task: str, split: Split, scores: np.ndarray) -> dict[str, float]:
    """Return the metrics that describe a model's outputs on a split, event weights included.

    Parameters
    ----------
    task : {'classification', 'regression'}
    split : Split
    scores : (events, outputs) array
        Logits or predictions.

    Returns
    -------
    dict
        ``accuracy`` and ``auc`` (macro one-vs-rest mean), or ``rmse``.
    """
    if task == "regression":
        return {"rmse": regression.rmse(split.y, scores, split.weight)}
    return {
        "accuracy": classification.accuracy(split.y, scores, split.weight, kind="logits"),
        "auc": classification.auc(split.y, scores, split.weight, kind="logits"),
    }
