"""Whose weights a child inherits, against a search through all of them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qap.candidate import Candidate
from qap.models.architecture import Architecture
from qap.plan import LayerPlan, Plan
from qap.precision import Precision
from qap.search.heritage import Heritage

KNOBS = {"fc1.weight_bits": [2, 4, 8], "fc1.sparsity": [0.0, 0.3, 0.5, 0.7, 0.9]}
ARCHITECTURES = [Architecture.mlp(4, [units], 2) for units in (3, 5)]
POINTS = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in KNOBS.items()})


def _candidate(number: int) -> Candidate:
    layer = LayerPlan(Precision(2 + number % 20, 0), Precision(8, number // 20))
    hidden = LayerPlan(layer.weight, layer.bias, Precision(4, 2, signed=False))
    return Candidate(ARCHITECTURES[number % 2], Plan((("fc1", hidden), ("output", layer))))


@given(st.lists(POINTS, min_size=1, max_size=30), POINTS)
def test_the_nearest_of_the_same_architecture(points: list[dict], wanted: dict) -> None:
    heritage = Heritage(KNOBS)
    for number, point in enumerate(points):
        heritage.add(point, _candidate(number))

    def place(point: dict) -> np.ndarray:
        return np.array([KNOBS[name].index(point[name]) / (len(KNOBS[name]) - 1) for name in KNOBS])

    for architecture, parity in zip(ARCHITECTURES, (0, 1), strict=True):
        found = heritage.nearest(wanted, architecture.id)
        own = [
            (float(np.abs(place(point) - place(wanted)).sum()), -number)
            for number, point in enumerate(points)
            if number % 2 == parity
        ]
        if not own:
            assert found is None
            continue
        assert found is not None
        assert found.id == _candidate(-min(own)[1]).id, (found, own)
