"""Where a ramp's polish and its returns go."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qap.search.polish import FALLS, FARTHEST, drawn, lagging
from qap.search.ramp import HARDLY, Ramp


def front(points: dict[float, float]) -> list[Any]:
    return [SimpleNamespace(ebops=ebops, score=score) for ebops, score in sorted(points.items())]


POINTS = st.dictionaries(st.integers(2, 10**5), st.integers(0, 100), min_size=1, max_size=12).map(
    lambda points: front({float(e): s / 100 for (e, _), s in zip(sorted(points.items()), sorted(points.values()), strict=True)})
)


@given(POINTS)
def test_the_hull_is_the_highest_chord(members: list[Any]) -> None:
    gaps, corners = lagging(members)
    x, y = np.log([one.ebops for one in members]), [one.score for one in members]
    for place, gap in enumerate(gaps):
        chords = [
            y[a] + (y[b] - y[a]) * (x[place] - x[a]) / (x[b] - x[a])
            for a in range(place + 1) for b in range(place, len(members)) if b > a
        ]  # fmt: skip
        assert gap == pytest.approx(max([y[place], *chords]) - y[place], abs=1e-9), f"member {place} of {y}"
        assert corners[place] >= place
        assert gaps[corners[place]] == pytest.approx(0, abs=1e-12), "a corner lies on the hull"


@given(POINTS, st.integers(0, 1000))
def test_a_member_is_drawn_and_a_part_that_it_loses(members: list[Any], seed: int) -> None:
    chosen, fall = drawn(members, np.random.default_rng(seed))
    assert chosen in members
    assert fall in FALLS or 0 <= fall <= FARTHEST


def test_a_cliff_is_where_it_goes() -> None:
    """Below 220 EBOPs the front has fallen: half of the draws start from there and go down."""
    members = front({43: 0.44, 60: 0.479, 119: 0.483, 200: 0.516, 220: 0.718, 300: 0.728, 700: 0.747})
    draws = [drawn(members, np.random.default_rng(seed)) for seed in range(200)]
    assert sum(chosen.ebops == 220 and fall > 0.08 for chosen, fall in draws) > 60


def test_a_collapsed_circuit_goes_back_further_each_time() -> None:
    ramp: Any = SimpleNamespace(front=front({100: 0.5, 220: 0.718, 300: 0.728, 700: 0.747}))
    fallen, well = SimpleNamespace(ebops=200.0, score=0.55), SimpleNamespace(ebops=200.0, score=0.70)
    assert Ramp.better(ramp, well, 0) is None
    found = [Ramp.better(ramp, fallen, returns) for returns in range(8)]
    assert [one.ebops for one in found if one] == [300, 700, 700, 700, 220, 220, 220, 220]
    assert 200 * HARDLY**4 < 700 < 200 * HARDLY**5, "after that it goes back to the nearest"
