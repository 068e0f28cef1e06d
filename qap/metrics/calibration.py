"""Whether a classifier's probabilities are what they say: calibration errors, Brier score, likelihood, temperature.

References: C. Guo et al., On calibration of modern neural networks, ICML 2017, arXiv:1706.04599; G. W. Brier, Mon. Weather
Rev. 78 (1950) 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_expit, log_softmax, softmax

from qap.errors import InputError
from qap.metrics.classification import Kind, checked_labels, checked_scores, predicted
from qap.metrics.weights import event_weights

BINS = 15
FLOOR = float(np.finfo(np.float64).eps)
"""The smallest probability of the true class that `nll` takes the logarithm of, as scikit-learn in float64."""


def probabilities(scores: np.ndarray, kind: Kind = "auto") -> np.ndarray:
    """Return one probability per class and event: the softmax of logits, probabilities as they are given.

    Parameters
    ----------
    scores : (events, classes), (events, 1) or (events,) array
    kind : {'auto', 'logits', 'probabilities'}, default 'auto'

    Returns
    -------
    (events, classes) float64 array; two columns where the scores have one (the sigmoid of a logit is that of class 1).

    Raises
    ------
    InputError
        Scores that are not finite numbers in that shape.
    """
    values, given = checked_scores(scores, kind)
    if values.shape[1] == 1:
        return np.hstack([1 - values, values] if given else [expit(-values), expit(values)])
    return values if given else softmax(values, axis=1)


def _checked(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None, kind: Kind
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return class numbers, probabilities and event weights."""
    found = probabilities(scores, kind)
    return checked_labels(labels, *found.shape), found, event_weights(weights, len(found))


@dataclass(frozen=True, eq=False)
class Reliability:
    """The reliability diagram: predicted class's probability against how often it is right, in bins of equal width.

    Parameters
    ----------
    edges : (bins + 1,) array
        Bin i holds the confidences in (edges[i], edges[i + 1]], the first one 0 as well.
    events : (bins,) integer array
    weight : (bins,) array
        Sum of the event weights.
    confidence, accuracy : (bins,) arrays
        Weighted means; NaN where a bin has no weight.
    """

    edges: np.ndarray
    events: np.ndarray
    weight: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def gaps(self) -> np.ndarray:
        """|accuracy − confidence| of each bin, 0 where it has no weight."""
        return np.nan_to_num(np.abs(self.accuracy - self.confidence))

    @property
    def expected_error(self) -> float:
        """Mean gap, each bin with its weight: the expected calibration error."""
        return float(np.average(self.gaps, weights=self.weight))

    @property
    def maximum_error(self) -> float:
        """Largest gap of a bin with weight: the maximum calibration error."""
        return float(self.gaps.max())


def reliability(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None, kind: Kind = "auto", bins: int = BINS
) -> Reliability:
    """Return confidence and accuracy in bins of the confidence.

    The confidence of an event is the probability of the class that `qap.metrics.classification.predicted` names. A
    confidence on an edge belongs to the bin below it: (low, high].

    Parameters
    ----------
    labels : (events,) integers from 0
    scores : (events, classes), (events, 1) or (events,) array
    weights : (events,) array, optional
        Event weights from 0.
    kind : {'auto', 'logits', 'probabilities'}, default 'auto'
    bins : int, default 15
        Bins of equal width between 0 and 1.

    Raises
    ------
    InputError
        Arrays that do not fit, or no bin.
    """
    if bins < 1:
        raise InputError(f"bins: expected 1 or more, received {bins}")
    truth, found, weight = _checked(labels, scores, weights, kind)
    named = predicted(scores, kind)
    confidence = found[np.arange(len(found)), named]
    edges = np.linspace(0.0, 1.0, bins + 1)
    at = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    total = np.bincount(at, weight, bins)
    sums = [np.bincount(at, weight * values, bins) for values in (confidence, named == truth)]
    filled = np.where(total > 0, total, np.nan)
    return Reliability(edges, np.bincount(at, minlength=bins), total, sums[0] / filled, sums[1] / filled)


def ece(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None, kind: Kind = "auto", bins: int = BINS
) -> float:
    """Return the expected calibration error Σ_b (W_b / W) |accuracy_b − confidence_b|; parameters as for `reliability`."""
    return reliability(labels, scores, weights, kind, bins).expected_error


def mce(
    labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None, kind: Kind = "auto", bins: int = BINS
) -> float:
    """Return the maximum calibration error max_b |accuracy_b − confidence_b|; parameters as for `reliability`."""
    return reliability(labels, scores, weights, kind, bins).maximum_error


def brier(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None, kind: Kind = "auto") -> float:
    """Return the Brier score: the mean of Σ_k (p_k − y_k)², half of it for two classes, that is (p_1 − y_1)².

    Parameters
    ----------
    labels, scores, weights, kind
        As for `reliability`.

    Returns
    -------
    float
        0 to 1 for two classes, 0 to 2 for more (scikit-learn's convention).
    """
    truth, found, weight = _checked(labels, scores, weights, kind)
    classes = found.shape[1]
    squares = ((found - (truth[:, None] == np.arange(classes))) ** 2).sum(axis=1)
    return float(np.average(squares, weights=weight)) / (2 if classes == 2 else 1)


def _log_likelihood(labels: np.ndarray, scores: np.ndarray, kind: Kind) -> np.ndarray:
    """Return ln p of each event's class, from the logits themselves where there are any: no p is rounded to 0."""
    values, given = checked_scores(scores, kind)
    truth = checked_labels(labels, len(values), max(2, values.shape[1]))
    if given:
        return np.log(np.maximum(probabilities(values, "probabilities")[np.arange(len(values)), truth], FLOOR))
    if values.shape[1] == 1:
        return log_expit(np.where(truth == 1, values[:, 0], -values[:, 0]))
    return log_softmax(values, axis=1)[np.arange(len(values)), truth]


def nll(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None, kind: Kind = "auto") -> float:
    """Return the negative log likelihood (cross entropy, log loss): the mean of −ln p of the true class, in nats.

    A given probability of 0 counts as 2.2e-16 (scikit-learn's bound in float64); logits need no bound.

    Parameters
    ----------
    labels, scores, weights, kind
        As for `reliability`.

    Returns
    -------
    float from 0
    """
    found = _log_likelihood(labels, scores, kind)
    return float(-np.average(found, weights=event_weights(weights, len(found)))) + 0.0  # no −0


def temperature(labels: np.ndarray, logits: np.ndarray, weights: np.ndarray | None = None, kind: Kind = "auto") -> float:
    """Return the temperature T that calibrates logits z: the one for which softmax(z / T) has the least `nll`.

    One number for all classes: it changes no order of the classes of an event, so the accuracy stays. The likelihood is
    concave in 1/T, so that there is one minimum, found as the root of the derivative in ln T.

    Parameters
    ----------
    labels : (events,) integers from 0
        Of the validation split: the test split judges.
    logits : (events, classes), (events, 1) or (events,) array
    weights : (events,) array, optional
    kind : {'auto', 'logits'}, default 'auto'
        ``'logits'`` for logits that look like probabilities.

    Returns
    -------
    float above 0
        Above 1 for a model that is too sure of itself.

    Raises
    ------
    InputError
        Probabilities (their logits are gone), or logits that no finite T calibrates: every event right, or the true
        class no higher than the others on average.
    """
    from scipy.optimize import brentq  # slow to import, and used here alone

    values, given = checked_scores(logits, kind)
    if given:
        raise InputError("temperature: expected logits, received probabilities; logits between 0 and 1 need kind='logits'")
    values = np.hstack([np.zeros_like(values), values]) if values.shape[1] == 1 else values
    truth, weight = checked_labels(labels, *values.shape), event_weights(weights, len(values))
    values = values - values.max(axis=1, keepdims=True)
    right = values[np.arange(len(values)), truth]
    spread = float(-values.min())

    def slope(log_t: float) -> float:
        """Return d nll / d(1/T)."""
        mean = (softmax(values * math.exp(-log_t), axis=1) * values).sum(axis=1)
        return float(np.average(mean - right, weights=weight))

    if not np.any(right[weight > 0] < 0):
        raise InputError("temperature: every event is right, no finite T is the best; give validation events with some errors")
    low, high = math.log(spread * 1e-6), math.log(spread * 1e6)
    if not slope(low) > 0 > slope(high):
        raise InputError(
            "temperature: the logit of the true class is no higher than the others on average, no finite T calibrates that"
        )
    return math.exp(brentq(slope, low, high, xtol=1e-12))
