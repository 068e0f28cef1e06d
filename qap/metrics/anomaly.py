"""What an anomaly trigger keeps: signal efficiency at a fraction of background that is let through, and its rate.

A score is higher for events less like those that the network was trained on. That of an autoencoder is its reconstruction
error (`qap.datasets.reconstruction.reconstruction_error`), that of a student is its only output. References: E. Govorkova et al.,
Nat. Mach. Intell. 4 (2022) 154, arXiv:2108.03986; A. A. Pol et al., arXiv:2310.06047.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qap.datasets.reconstruction import reconstruction_error
from qap.errors import InputError
from qap.metrics.bootstrap import Interval
from qap.metrics.classification import area, full_roc
from qap.metrics.weights import event_weights
from qap.metrics.working_points import accepted_rate, efficiency, threshold_for_fraction

FRACTIONS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
FEWEST = 10
"""Background events that a fraction stands for at least; with 10 its own error is 30 %."""


@dataclass(frozen=True, eq=False)
class Scores:
    """Anomaly scores of a sample.

    Parameters
    ----------
    values : (events,) array
    weights : (events,) array, optional
        Event weights from 0.
    """

    values: np.ndarray
    weights: np.ndarray | None = None

    def passed(self, threshold: float) -> np.ndarray:
        """Return which events have score ≥ threshold."""
        found: np.ndarray = np.asarray(self.values, np.float64) >= threshold
        return found

    @property
    def events(self) -> float:
        """As many events of equal weight have the same errors: (Σw)² / Σw²."""
        weight = event_weights(self.weights, len(self.values))
        return float(weight.sum() ** 2 / (weight**2).sum())


@dataclass(frozen=True, slots=True)
class AnomalyPoint:
    """One threshold.

    Parameters
    ----------
    fraction : float
        Background that was asked for.
    threshold : float
        Score ≥ threshold passes.
    accepted : Interval
        Background that passes, at most `fraction`: events of equal score pass or fail together.
    efficiency : dict of str to Interval
        Of each signal.
    rate_khz : Interval or None
        Crossing rate × accepted; None without a crossing rate.
    """

    fraction: float
    threshold: float
    accepted: Interval
    efficiency: dict[str, Interval]
    rate_khz: Interval | None = None


def anomaly_score(inputs: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return the anomaly score of each event, for either kind of network.

    Parameters
    ----------
    inputs : (events, features) array
        As the network sees them.
    outputs : (events, features) or (events, 1) array
        Of an autoencoder, or of a student.

    Returns
    -------
    (events,) float64 array
        Reconstruction error, or the output itself.

    Raises
    ------
    InputError
        Outputs of neither shape, or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import qap
    >>> events = np.array([[0.5, 0.25], [1.0, -1.0]])
    >>> qap.anomaly_score(events, np.array([[0.5, 0.75], [0.0, 0.0]])).tolist()
    [0.125, 1.0]
    >>> qap.anomaly_score(events, np.array([[3.5], [0.5]])).tolist()
    [3.5, 0.5]
    """
    if not np.all(np.isfinite(outputs)):
        raise InputError("outputs: expected finite numbers, received NaN or infinity")
    if outputs.shape == (len(inputs), 1):
        return outputs[:, 0].astype(np.float64)
    if outputs.shape != inputs.shape:
        raise InputError(
            f"outputs: expected {inputs.shape[1]} (an autoencoder) or 1 (a student) for each of {len(inputs)} events, received "
            f"shape {outputs.shape}"
        )
    return reconstruction_error(inputs, outputs)


def fractions_for(background: Scores) -> tuple[float, ...]:
    """Return the fractions from 0.1 down to 1e-5 that stand for ten (effective) background events or more."""
    return tuple(fraction for fraction in FRACTIONS if fraction * background.events >= FEWEST * (1 - 1e-9))


def anomaly_points(
    background: Scores,
    signals: Mapping[str, Scores],
    fractions: Sequence[float],
    *,
    crossing_rate_khz: float | None = None,
    coverage: float = 0.68,
) -> tuple[AnomalyPoint, ...]:
    """Return signal efficiencies at the loosest thresholds that let at most so much background through.

    Intervals are Clopper and Pearson's for the number of events passing a given threshold, weighted samples counting as their
    effective number; that the threshold has an error as well is what the interval of `accepted` tells.

    Parameters
    ----------
    background : Scores
    signals : mapping of str to Scores
    fractions : sequence of float
        Each above 0, below 1.
    crossing_rate_khz : float, optional
        Rate at which events such as the background's come. It makes sense for one sample only, that of minimum-bias events with
        pile-up as one bunch crossing has it.
    coverage : float, default 0.68

    Returns
    -------
    tuple of AnomalyPoint
        In the order of the fractions.

    Raises
    ------
    InputError
        A fraction outside (0, 1), scores that are not finite, weights that do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import qap
    >>> from qap.metrics.anomaly import Scores
    >>> background, signal = Scores(np.arange(1000.0)), Scores(np.arange(900.0, 1100.0))
    >>> (point,) = qap.anomaly_points(background, {"signal": signal}, [0.01])
    >>> round(point.threshold), point.accepted.value, point.efficiency["signal"].value
    (989, 0.01, 0.55)
    """
    found = []
    for fraction in fractions:
        if not 0 < fraction < 1:
            raise InputError(f"fraction: expected a number between 0 and 1, received {fraction}")
        threshold = threshold_for_fraction(background.values, fraction, background.weights)
        passed, rate = background.passed(threshold), None
        if crossing_rate_khz is not None:
            rate = accepted_rate(passed, background.weights, input_rate_khz=crossing_rate_khz, coverage=coverage)
        found.append(
            AnomalyPoint(
                fraction,
                threshold,
                efficiency(passed, background.weights, coverage=coverage),
                {name: efficiency(one.passed(threshold), one.weights, coverage=coverage) for name, one in signals.items()},
                rate,
            )
        )
    return tuple(found)


def separation(background: Scores, signal: Scores) -> float:
    """Return the area under the ROC curve: how often a signal event scores above one of the background, equal scores half.

    Raises
    ------
    InputError
        No events, scores that are not finite, weights that do not fit.
    """
    scores = np.concatenate([np.asarray(one.values, np.float64) for one in (background, signal)])
    labels = np.repeat([0, 1], [len(background.values), len(signal.values)])
    weights = np.concatenate([_shares(background), _shares(signal)])
    return area(*full_roc(labels, scores, weights, kind="logits")[1])


def _shares(sample: Scores) -> np.ndarray:
    weight = event_weights(sample.weights, len(sample.values))
    return weight / weight.sum()
