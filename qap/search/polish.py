"""Which members of a ramp's front are polished, and how far they are to fall."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qap.search.ramp_place import Snapshot

FALLS, FARTHEST = (0.0, 0.05, 0.1, 0.2), 0.6
"""Parts of the EBOPs that a member loses: one of these, or up to the last to where the front lags behind."""
DEAREST = 4.5
"""Decimal logarithm of the EBOPs up to which is polished."""


def lagging(front: Sequence[Snapshot]) -> tuple[np.ndarray, np.ndarray]:
    """Return how far each member of a front, by rising EBOPs, lies below the front's concave hull over log EBOPs; and the place
    of the hull's next corner above it."""
    x, y = np.log([max(one.ebops, 1.0) for one in front]), np.array([one.score for one in front])
    corners: list[int] = []
    for place in range(len(front)):
        while len(corners) > 1:
            a, b = corners[-2:]
            if (y[b] - y[a]) * (x[place] - x[a]) > (y[place] - y[a]) * (x[b] - x[a]):
                break
            corners.pop()
        corners.append(place)
    return np.interp(x, x[corners], y[corners]) - y, np.array(corners)[np.searchsorted(corners, np.arange(len(front)))]


def drawn(front: Sequence[Snapshot], generator: np.random.Generator) -> tuple[Snapshot, float]:
    """Draw a member of a front to polish, and the part of its EBOPs that it is to lose.

    By turns of chance evenly in log EBOPs, and where the front lags behind its hull: there from the hull's next corner down.
    """
    front = sorted(front, key=lambda one: one.ebops)
    gaps, corners = lagging(front)
    if generator.random() < 0.5 and gaps.sum() > 0:
        place = int(generator.choice(len(front), p=gaps / gaps.sum()))
        chosen = front[corners[place]]
        return chosen, min(1 - front[place].ebops / chosen.ebops, FARTHEST)
    places = np.log10([max(one.ebops, 1.0) for one in front])
    wanted = generator.uniform(*np.minimum([places.min(), places.max()], DEAREST))
    return front[int(np.abs(places - wanted).argmin())], float(generator.choice(FALLS))
