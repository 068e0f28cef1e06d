"""How good a classifier is on each class: rare ones count as much as frequent ones.

Reference: K. H. Brodersen et al., The balanced accuracy and its posterior distribution, ICPR 2010.
"""

from __future__ import annotations

import numpy as np

from qap.metrics.classification import Kind, confusion


def recalls(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None, kind: Kind = "auto") -> list[float | None]:
    """Return the accuracy on each true class, in class order.

    Parameters
    ----------
    labels : (events,) integers from 0
    scores : (events, classes), (events, 1) or (events,) array
    weights : (events,) array, optional
        Event weights from 0.
    kind : {'auto', 'logits', 'probabilities'}, default 'auto'

    Returns
    -------
    list of float, None for a class without events (without weight)
    """
    matrix = confusion(labels, scores, weights, kind)
    return [float(row[k] / row.sum()) if row.sum() > 0 else None for k, row in enumerate(matrix)]


def balanced_accuracy(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None, kind: Kind = "auto") -> float:
    """Return the mean of `recalls` over the classes that have events."""
    return float(np.mean([recall for recall in recalls(labels, scores, weights, kind) if recall is not None]))


def worst_class(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None, kind: Kind = "auto"
) -> tuple[int, float]:
    """Return the class with the least recall, the first where several have it, and its recall."""
    found = [(recall, k) for k, recall in enumerate(recalls(labels, scores, weights, kind)) if recall is not None]
    recall, k = min(found)
    return k, recall
