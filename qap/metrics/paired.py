"""Paired: two models on the same events, seed by seed, and whether one is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qap.errors import InputError
from qap.metrics.bootstrap import Interval, paired_difference
from qap.metrics.scores import LOWER_IS_BETTER, Scores

UNCLEAR = "no difference that every seed shows"


@dataclass(frozen=True)
class Paired:
    """Differences between two methods.

    Parameters
    ----------
    first, second : str
        Names.
    metric : str
    differences : tuple of Interval
        Metric of the first minus that of the second on the same drawn events, one for each seed.
    """

    first: str
    second: str
    metric: str
    differences: tuple[Interval, ...]

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, or that the seeds do not show it.

        A difference counts where it has the same sign with every seed and is each time larger than twice its error (half
        the width of the 68 % interval).
        """
        signs = {np.sign(one.value) if abs(one.value) > one.high - one.low else 0 for one in self.differences}
        if len(signs) > 1 or 0 in signs:
            return UNCLEAR
        return "better" if (signs.pop() > 0) != (self.metric in LOWER_IS_BETTER) else "worse"

    def __str__(self) -> str:
        scale, unit, digits = (1.0, "", ".3g") if self.metric in LOWER_IS_BETTER else (100.0, " points", ".2f")
        pairs = [(scale * one.value, scale * (one.high - one.low) / 2) for one in self.differences]
        found = ", ".join(f"{value:+{digits}} ± {error:{digits}}" for value, error in pairs)
        return f"{self.metric} of {self.first} against {self.second}: {found}{unit}: {self.verdict}"


def paired(
    first: Sequence[Scores], second: Sequence[Scores], metric: str | None = None, *, replicas: int = 200, seed: int = 0
) -> Paired:
    """Compare two methods on the same events, seed by seed.

    Parameters
    ----------
    first, second : sequence of Scores
        One for each seed, in the same order, on the same split.
    metric : str, optional
        As in `Scores.interval`.
    replicas, seed : int
        Of the paired bootstrap.

    Raises
    ------
    InputError
        No scores, another number of them, or other events.
    """
    if not first or len(first) != len(second):
        raise InputError(f"paired: expected as many scores of both, one for each seed, received {len(first)} and {len(second)}")
    for one, other in zip(first, second, strict=True):
        if one.split is not other.split and not np.array_equal(one.split.y, other.split.y):
            raise InputError(f"paired: {one.name} and {other.name} were not scored on the same events")
    differences = [
        paired_difference(
            one.statistic(metric), other.statistic(metric), len(one.split), weights=one.split.weight, replicas=replicas, seed=seed
        )
        for one, other in zip(first, second, strict=True)
    ]
    return Paired(first[0].name, second[0].name, first[0].metric(metric), tuple(differences))
