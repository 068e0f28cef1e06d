"""What reports of one's own make of an estimate: a factor, or a fit of one's own, with the band that they show."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from qap.cost.fit import NARROWEST_FIT, residual_band, solve


@dataclass(frozen=True, slots=True)
class Correction:
    """What becomes of one figure of an estimate.

    Parameters
    ----------
    shift : float, default 0
        Natural logarithm of the factor on (value + 1).
    terms : tuple of str
        Of a fit in the place of the estimate; empty for a factor.
    coefficients : tuple of float
    band : (float, float) or None
        Natural logarithms of the factors for low and high; None keeps the estimate's own band, moved with the value.
    zero : bool, default True
        An estimate of exactly 0 stays; no report has shown otherwise.
    """

    shift: float = 0.0
    terms: tuple[str, ...] = ()
    coefficients: tuple[float, ...] = ()
    band: tuple[float, float] | None = None
    zero: bool = True

    def apply(self, value: float, low: float, high: float, terms: Mapping[str, float]) -> tuple[float, float, float]:
        """Return the corrected value, low and high."""
        if self.zero and value == high == 0:
            return value, low, high
        if self.terms:
            value = sum(c * terms[name] for name, c in zip(self.terms, self.coefficients, strict=True))
        elif self.shift:
            value, low, high = (max((one + 1) * math.exp(self.shift) - 1, 0.0) for one in (value, low, high))
        if self.band is None:
            return value, low, high
        return value, max((value + 1) * math.exp(-self.band[0]) - 1, 0.0), (value + 1) * math.exp(self.band[1]) - 1


@dataclass(frozen=True)
class Learned:
    """The corrections for one kind of network.

    Parameters
    ----------
    corrections : mapping of figure → Correction
    sizes : (float, float)
        Smallest and largest number of products in the reports.
    rows, groups : int
        Reports, and shapes of networks among them.
    source : str
        Tool, version and family of the part.
    """

    corrections: Mapping[str, Correction]
    sizes: tuple[float, float]
    rows: int
    groups: int
    source: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure of one report beside its estimate.

    Parameters
    ----------
    value, low, high : float
        The estimate.
    truth : float
        The report.
    group : str
        Reports of one group are left out together.
    terms : mapping
        Of `qap.cost.terms.terms`; empty where the figure has no fit.
    """

    value: float
    low: float
    high: float
    truth: float
    group: str
    terms: Mapping[str, float]

    def residual(self, correction: Correction) -> float:
        """Return the logarithm of (report + 1) / (corrected estimate + 1)."""
        return math.log((self.truth + 1) / (self.corrected(correction)[0] + 1))

    def corrected(self, correction: Correction) -> tuple[float, float, float]:
        """Return the corrected value, low and high."""
        return correction.apply(self.value, self.low, self.high, self.terms)

    def held(self, correction: Correction) -> bool:
        """Whether the report lies in the band, rounded outwards to whole numbers as it is shown."""
        _, low, high = self.corrected(correction)
        return math.floor(low + 1e-9) <= self.truth <= math.ceil(high - 1e-9)


Samples = Sequence[Sample]
Method = Callable[[Samples], Correction]


def folds(samples: Samples) -> Iterator[tuple[list[Sample], list[Sample]]]:
    """Leave out one group after the other: (the others, the group)."""
    for name in dict.fromkeys(sample.group for sample in samples):
        yield [one for one in samples if one.group != name], [one for one in samples if one.group == name]


def keep(samples: Samples) -> Correction:
    """Return no correction."""
    return Correction()


def factor(samples: Samples) -> Correction:
    """Return the geometric mean factor over the n groups, as a logarithm shrunk by n / (n + 1): one report is half believed."""
    means = [np.mean([one.residual(Correction()) for one in out]) for _, out in folds(samples)]
    return Correction(shift=float(np.sum(means)) / (len(means) + 1))


def own_fit(names: tuple[str, ...]) -> Method:
    """Return the method that fits a sum of terms to the reports alone."""

    def method(samples: Samples) -> Correction:
        matrix = np.array([[one.terms[name] for name in names] for one in samples])
        found = solve(matrix, np.array([one.truth for one in samples], float))
        return Correction(terms=names, coefficients=tuple(float(value) for value in found))

    return method


def _left_out(samples: Samples, method: Method) -> list[tuple[Sample, Correction]]:
    """Return each sample with the correction that was made without its group."""
    return [(one, made) for rest, out in folds(samples) for made in [method(rest)] for one in out]


def _miss(pairs: Sequence[tuple[Sample, Correction]]) -> float:
    """Return the mean over the groups of the mean squared residual."""
    squares: dict[str, list[float]] = {}
    for sample, correction in pairs:
        squares.setdefault(sample.group, []).append(sample.residual(correction) ** 2)
    return float(np.mean([np.mean(values) for values in squares.values()]))


def _band(pairs: Sequence[tuple[Sample, Correction]]) -> tuple[float, float] | None:
    """Return the band of corrections that were made without the samples' groups (of one group alone: with it).

    The estimate's own band stays where it holds all reports and is no wider than what few reports can prove.
    """
    residuals = np.array([sample.residual(correction) for sample, correction in pairs])
    groups = np.array([sample.group for sample, _ in pairs])
    alone = len(np.unique(groups)) == 1
    found = (float(np.abs(residuals).max()),) * 2 if alone else residual_band(residuals, groups)
    band = max(found[0], NARROWEST_FIT), max(found[1], NARROWEST_FIT)
    if any(correction.terms for _, correction in pairs) or not all(sample.held(made) for sample, made in pairs):
        return band
    width = np.median([math.log((high + 1) / (low + 1)) for _, low, high in (one.corrected(made) for one, made in pairs)])
    return None if alone or width <= sum(band) else band


def choose(samples: Samples, names: tuple[str, ...] = ()) -> Correction:
    """Choose between no correction, a factor and a fit of one's own by what groups left out show.

    Parameters
    ----------
    samples : sequence of Sample
        At least one.
    names : tuple of str
        Terms of the fit; it needs two groups more than terms. Empty for a figure that follows a rule.

    Returns
    -------
    Correction
        Of one group: the factor, half of what the group asks for.
    """
    zero = not any(one.high == 0 < one.truth for one in samples)
    samples = [one for one in samples if one.high > 0 or one.truth > 0]
    if not samples:
        return Correction()
    groups = len({one.group for one in samples})
    if groups == 1:
        made = replace(factor(samples), zero=zero)
        return replace(made, band=_band([(one, made) for one in samples]))
    methods = [keep, factor, *([own_fit(names)] if names and groups >= len(names) + 2 else [])]
    tried = [[(one, replace(made, zero=zero)) for one, made in _left_out(samples, method)] for method in methods]
    best = min(range(len(methods)), key=lambda index: _miss(tried[index]))
    return replace(methods[best](samples), band=_band(tried[best]), zero=zero)
