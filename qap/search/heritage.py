"""Whose weights a new candidate starts from: those of the trained candidate whose plan is nearest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qap.candidate import Candidate
from qap.search.space import Point


class Heritage:
    """The trained candidates by where they lie in the space.

    Parameters
    ----------
    knobs : mapping of name → choices
        Each knob's choices in rising order.
    """

    def __init__(self, knobs: Mapping[str, Sequence[int | float]]) -> None:
        self._knobs = knobs
        self._places: dict[str, list[np.ndarray]] = {}
        self._candidates: dict[str, list[Candidate]] = {}

    def _place(self, point: Point) -> np.ndarray:
        """Return a point with every knob from 0, its first choice, to 1, its last."""
        return np.array([list(values).index(point[name]) / (len(values) - 1) for name, values in self._knobs.items()])

    def add(self, point: Point, candidate: Candidate) -> None:
        """Take a trained candidate."""
        self._places.setdefault(candidate.architecture.id, []).append(self._place(point))
        self._candidates.setdefault(candidate.architecture.id, []).append(candidate)

    def nearest(self, point: Point, architecture_id: str) -> Candidate | None:
        """Return the trained candidate of an architecture with the smallest sum of differences, the latest of equal ones.

        Parameters
        ----------
        point : mapping
            Every knob.
        architecture_id : str

        Returns
        -------
        Candidate or None
            None while none of that architecture is trained.
        """
        places = self._places.get(architecture_id)
        if not places:
            return None
        distances = np.abs(np.array(places) - self._place(point)).sum(axis=1)
        return self._candidates[architecture_id][len(distances) - 1 - int(np.argmin(distances[::-1]))]
