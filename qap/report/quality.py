"""How good a model is, as report.json has it: scores, curves, and the errors of a regression."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np

from qap.errors import InputError
from qap.metrics.bootstrap import Interval
from qap.report.sections import Calibration, Section

RESIDUAL_BINS = 40
SHOWN = 0.99
"""Part of the events that a histogram of residuals holds."""


class Curve(Section):
    """A ROC curve from (0, 0) to (1, 1)."""

    signal: tuple[float, ...]
    background: tuple[float, ...]

    @classmethod
    def of(cls, signal: np.ndarray, background: np.ndarray) -> Self:
        """Take the arrays of `qap.metrics.classification.roc`, rounded to 6 digits after the leading one."""
        return cls(
            signal=tuple(float(f"{value:.6e}") for value in signal),
            background=tuple(float(f"{value:.6e}") for value in background),
        )


class Residuals(Section):
    """Prediction − target on the test split as a histogram around zero, in the target's unit."""

    end: float
    """The histogram goes from −end to end, in bins of equal width; it holds 99 % of the events by their weights."""
    shares: tuple[float, ...]
    """Of the events, by their weights, in each bin."""
    below: float
    above: float
    """Share of the events beyond the ends."""

    @classmethod
    def of(cls, residuals: np.ndarray, weights: np.ndarray | None = None) -> Self:
        """Bin the residuals of one target.

        Parameters
        ----------
        residuals : (events,) array
        weights : (events,) array, optional
        """
        found = np.asarray(residuals, np.float64)
        weight = np.ones(len(found)) if weights is None else np.asarray(weights, np.float64)
        end = float(f"{np.quantile(np.abs(found), SHOWN, weights=weight, method='inverted_cdf'):.5g}") or 1.0
        inside = np.abs(found) <= end
        counts, _ = np.histogram(found[inside], RESIDUAL_BINS, (-end, end), weights=weight[inside])
        whole = weight.sum() or 1.0
        return cls(
            end=end,
            shares=tuple(round(float(count), 6) for count in counts / whole),
            below=round(float(weight[found < -end].sum() / whole), 6),
            above=round(float(weight[found > end].sum() / whole), 6),
        )


class TargetErrors(Section):
    """The errors of one regression target on the test split, in its unit."""

    name: str
    rmse: float
    bias: float
    resolution: float
    """Half the width of the central 68 %."""
    residuals: Residuals | None = None
    """None in older files."""


class Quality(Section):
    """How good a model is; what has no suffix is on the test split. Fractions from 0 to 1, errors in target units."""

    accuracy_selection: float | None = None
    """On the events that the search chose with, where others were held back."""
    accuracy_validation: float | None = None
    """On the events held back from the search; where none were, on those that it chose with."""
    accuracy: Interval | None = None
    auc: float | None = None
    """Macro one-vs-rest mean."""
    signal_efficiency: float | None = None
    """At the background efficiency of the study (section `search`)."""
    auc_per_class: tuple[float, ...] = ()
    roc: tuple[Curve, ...] = ()
    """One curve per class."""
    efficiency: tuple[Curve, ...] = ()
    """Per class, what a cut on its probability keeps of the class and of the others; cuts at equal steps from 0 to 1."""
    calibration: Calibration | None = None
    confusion: tuple[tuple[float, ...], ...] = ()
    """Events by true class (rows) and predicted class (columns)."""
    rmse_selection: float | None = None
    rmse_validation: float | None = None
    rmse: Interval | None = None
    targets: tuple[TargetErrors, ...] = ()
    validation: Mapping[str, float] = {}
    """Further metrics that are objectives, on the events of ``accuracy_validation`` or ``rmse_validation``."""

    @property
    def score(self) -> Interval:
        """Accuracy of a classifier, RMSE of a regression, on the test split."""
        found = self.accuracy if self.accuracy is not None else self.rmse
        if found is None:
            raise InputError("report: a model has neither accuracy nor rmse")
        return found

    @property
    def score_validation(self) -> float:
        """The same on the validation split."""
        found = self.accuracy_validation if self.accuracy_validation is not None else self.rmse_validation
        if found is None:
            raise InputError("report: a model has neither accuracy_validation nor rmse_validation")
        return found

    @property
    def score_selection(self) -> float | None:
        """The same on the events that the search chose with; None where no others were held back."""
        return self.accuracy_selection if self.accuracy_selection is not None else self.rmse_selection


class Reference(Quality):
    """The float model that the candidates started from."""

    architecture: str
