"""Fit figures of reports as sums of terms, and say how far a group that was left out is missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls
from scipy.stats import t as student

COVERAGE = 0.9
"""Share of the true values that a band is made to hold."""
MANY_GROUPS = 20
"""From here on the band is taken from the residuals' own quantiles."""
NARROWEST_FIT = 0.1
"""A fit to few groups never claims a narrower band than this factor (as a logarithm)."""


@dataclass(frozen=True, slots=True)
class Error:
    """Relative errors of groups that were left out whole.

    Parameters
    ----------
    median, p90, largest : float
        Of |estimate − report| / report; reports of 0 count as 1.
    rows, groups : int
    covered : float
        Share of the rows inside the band that was made without their group.
    """

    median: float
    p90: float
    largest: float
    rows: int
    groups: int
    covered: float


@dataclass(frozen=True, slots=True)
class Fit:
    """One figure as a sum of terms.

    Parameters
    ----------
    terms : tuple of str
    coefficients : tuple of float
    absolute : bool
        Whether the band is a number of units, else a factor of (value + 1).
    band : (float, float)
        What is taken away and added for `low` and `high`: units, or natural logarithms of the factor.
    error : Error
    """

    terms: tuple[str, ...]
    coefficients: tuple[float, ...]
    absolute: bool
    band: tuple[float, float]
    error: Error

    def value(self, terms: Mapping[str, float]) -> float:
        """Return the estimate."""
        return sum(c * terms[name] for name, c in zip(self.terms, self.coefficients, strict=True))

    def bounds(self, value: float) -> tuple[float, float]:
        """Return the band around an estimate."""
        return bounds(value, self.band, self.absolute)

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Fit:
        """Read the plain form."""
        return cls(
            tuple(values["terms"]), tuple(values["coefficients"]), values["absolute"],
            (values["band"][0], values["band"][1]), Error(**values["error"]),
        )  # fmt: skip


def bounds(value: float, band: tuple[float, float], absolute: bool) -> tuple[float, float]:
    """Return the band around a value, never below 0; a factor leaves 0 as it is."""
    if absolute:
        return max(value - band[0], 0.0), value + band[1]
    if value == 0:
        return 0.0, 0.0
    return max((value + 1) * float(np.exp(-band[0])) - 1, 0.0), (value + 1) * float(np.exp(band[1])) - 1


def solve(matrix: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the non-negative coefficients with the smallest squared relative error."""
    weight = 1 / np.maximum(truth, 1)
    return nnls(matrix * weight[:, None], truth * weight)[0]


def residual_band(residuals: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Return how far below and above the estimate a new group's values lie, with the probability `COVERAGE`.

    Many groups: quantiles of the residuals, at the levels between which a new one of n groups lies with that probability (those
    of the n + 1 intervals between n values). Few: the prediction interval of Student's t with the groups as observations
    (Geisser, Predictive Inference, 1993), each by the root mean square of its residuals.

    Parameters
    ----------
    residuals : (rows,) array
        Of groups left out: truth − estimate, or the logarithm of their ratio.
    groups : (rows,) array
        Labels.
    """
    names = np.unique(groups)
    if len(names) >= MANY_GROUPS:
        level = ((len(names) + 1) * (1 - COVERAGE) / 2 - 1) / (len(names) - 1)
        low, high = np.quantile(residuals, [level, 1 - level])
        return max(0.0, -float(low)), max(0.0, float(high))
    squares = [np.mean(residuals[groups == name] ** 2) for name in names]
    n = len(names)
    half = float(student.ppf((1 + COVERAGE) / 2, n - 1) * np.sqrt(np.mean(squares) * (1 + 1 / n)))
    return half, half


def _residuals(truth: np.ndarray, estimate: np.ndarray, absolute: bool) -> np.ndarray:
    return truth - estimate if absolute else np.log((truth + 1) / (estimate + 1))


def _covered(truth: np.ndarray, estimate: np.ndarray, groups: np.ndarray, absolute: bool) -> float:
    """Return the share of rows inside bands made of the other groups' residuals."""
    residuals = _residuals(truth, estimate, absolute)
    inside = np.zeros(len(truth), bool)
    for name in np.unique(groups):
        out = groups == name
        if len(np.unique(groups[~out])) < 2:
            return float("nan")
        low, high = residual_band(residuals[~out], groups[~out])
        inside[out] = (residuals[out] >= -low - 1e-9) & (residuals[out] <= high + 1e-9)
    return float(inside.mean())


def fit(
    rows: Sequence[Mapping[str, float]],
    truth: np.ndarray,
    groups: np.ndarray,
    terms: Sequence[str],
    *,
    fixed: Sequence[float] | None = None,
    absolute: bool = False,
) -> Fit:
    """Fit a figure by non-negative least squares of the relative error (Lawson and Hanson, 1974).

    Parameters
    ----------
    rows : sequence of mapping
        Terms by name.
    truth : (rows,) array
        The figure in the reports.
    groups : (rows,) array
        Labels; errors and band are those of groups left out whole.
    terms : sequence of str
        The terms to use.
    fixed : sequence of float, optional
        Coefficients of a rule that is known; only its errors are measured.
    absolute : bool, default False
        A band in units in place of a factor.

    Returns
    -------
    Fit
    """
    matrix = np.array([[row[name] for name in terms] for row in rows])
    truth, groups = np.asarray(truth, float), np.asarray(groups)
    estimate = np.zeros(len(truth))
    for name in np.unique(groups):
        out = groups == name
        coefficients = solve(matrix[~out], truth[~out]) if fixed is None else np.array(fixed)
        estimate[out] = matrix[out] @ coefficients
    coefficients = solve(matrix, truth) if fixed is None else np.array(fixed)
    relative = np.abs(estimate - truth) / np.maximum(truth, 1)
    error = Error(
        float(np.median(relative)), float(np.quantile(relative, 0.9)), float(relative.max()),
        len(truth), len(np.unique(groups)), _covered(truth, estimate, groups, absolute),
    )  # fmt: skip
    band = residual_band(_residuals(truth, estimate, absolute), groups)
    return Fit(tuple(terms), tuple(float(value) for value in coefficients), absolute, band, error)
