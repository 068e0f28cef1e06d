"""A compressed model against the float model that it comes from, on the same events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qap.errors import InputError
from qap.metrics.bootstrap import bootstrap
from qap.metrics.calibration import probabilities
from qap.metrics.classification import Kind, checked_labels, predicted
from qap.metrics.weights import event_weights

_ROUNDING = 1e-12  # 0.97 − 0.96 is a little more than 0.01 in float64


@dataclass(frozen=True, slots=True)
class Agreement:
    """How alike two models' outputs are.

    Parameters
    ----------
    same_class : float
        Fraction of the events (of the event weight) that both put into the same class.
    mean_difference, max_difference : float
        Of |Δ probability| over events (by weight) and classes; the largest one over events with weight.
    correlation : float or None
        Pearson's, of the two models' probabilities over events (by weight) and classes; None where one of them is constant.
    """

    same_class: float
    mean_difference: float
    max_difference: float
    correlation: float | None


def agreement(
    reference: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray | None = None,
    kind: Kind = "auto",
    reference_kind: Kind | None = None,
) -> Agreement:
    """Compare a model's scores with the float model's.

    Parameters
    ----------
    reference, scores : (events, classes), (events, 1) or (events,) arrays
        Of the float model and of the compressed one.
    weights : (events,) array, optional
        Event weights from 0.
    kind : {'auto', 'logits', 'probabilities'}, default 'auto'
        Of the scores.
    reference_kind : optional
        Of the reference (default: as `kind`).

    Raises
    ------
    InputError
        Scores of other events or classes.
    """
    other = kind if reference_kind is None else reference_kind
    pair = probabilities(reference, other), probabilities(scores, kind)
    if pair[0].shape != pair[1].shape:
        raise InputError(f"reference: expected the events and classes of the scores {pair[1].shape}, received {pair[0].shape}")
    weight = event_weights(weights, len(pair[0]))
    same = predicted(reference, other) == predicted(scores, kind)
    difference = np.abs(pair[0] - pair[1])
    return Agreement(
        float(np.average(same, weights=weight)),
        float(np.average(difference.mean(axis=1), weights=weight)),
        float(difference[weight > 0].max()),
        _correlation(*pair, weight),
    )


def _correlation(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> float | None:
    repeated = np.repeat(weight, first.shape[1])
    centred = [values.ravel() - np.average(values.ravel(), weights=repeated) for values in (first, second)]
    squares = [float(repeated @ values**2) for values in centred]
    if min(squares) <= repeated.sum() * np.finfo(np.float64).eps ** 2:
        return None
    return float(np.clip(repeated @ (centred[0] * centred[1]) / np.sqrt(squares[0]) / np.sqrt(squares[1]), -1.0, 1.0))


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether compression costs no more accuracy than allowed: A0 − Ac ≤ δ.

    Parameters
    ----------
    passed : bool
        The measured drop is at most delta.
    drop : float
        A0 − Ac, accuracy of the float model − accuracy of the compressed one; negative for a gain.
    delta : float
    low, high : float
        Bounds of the drop from the paired bootstrap: both models on the same drawn events. With high ≤ delta the gate is
        passed beyond the fluctuation of the sample.
    """

    passed: bool
    drop: float
    delta: float
    low: float
    high: float


def gate(
    labels: np.ndarray,
    reference: np.ndarray,
    scores: np.ndarray,
    delta: float,
    weights: np.ndarray | None = None,
    kind: Kind = "auto",
    reference_kind: Kind | None = None,
    *,
    replicas: int = 200,
    seed: int = 0,
    coverage: float = 0.68,
) -> Gate:
    """Judge a compressed model's loss of accuracy.

    Parameters
    ----------
    labels : (events,) integers from 0
    reference, scores, weights, kind, reference_kind
        As for `agreement`.
    delta : float
        Largest drop allowed, a fraction from 0 to 1.
    replicas, seed, coverage
        As for `qap.metrics.bootstrap.bootstrap`.

    Raises
    ------
    InputError
        Arrays that do not fit, or a delta outside [0, 1].
    """
    if not 0 <= delta <= 1:
        raise InputError(f"delta: expected a drop of accuracy from 0 to 1, received {delta}")
    other = kind if reference_kind is None else reference_kind
    shapes = [probabilities(values, one).shape for values, one in ((reference, other), (scores, kind))]
    if shapes[0] != shapes[1]:
        raise InputError(f"reference: expected the events and classes of the scores {shapes[1]}, received {shapes[0]}")
    truth, weight = checked_labels(labels, *shapes[1]), event_weights(weights, len(scores))
    lost = (predicted(reference, other) == truth) * 1.0 - (predicted(scores, kind) == truth)
    kept = weight > 0  # a replica of events without weight alone has no accuracy
    lost, weight = lost[kept], weight[kept]
    found = bootstrap(  # the difference event by event is the paired difference, at half the cost
        lambda drawn: float(np.average(lost, weights=drawn)),
        len(lost),
        weights=weight,
        replicas=replicas,
        seed=seed,
        coverage=coverage,
    )
    return Gate(found.value <= delta + _ROUNDING, found.value, float(delta), found.low, found.high)
