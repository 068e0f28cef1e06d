"""A figure measured with several seeds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mean, stdev


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation over repetitions.

    Parameters
    ----------
    mean : float
    std : float
        Of one repetition (n − 1 in the denominator); 0 for one alone.
    values : tuple of float
        One per repetition, in their order.
    """

    mean: float
    std: float
    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Take the values of the repetitions."""
        found = tuple(map(float, values))
        return cls(mean(found), stdev(found) if len(found) > 1 else 0.0, found)  # exact: equal values have no spread
