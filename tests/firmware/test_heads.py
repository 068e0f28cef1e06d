"""Integer thresholds against a search by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qap.errors import InputError
from qap.firmware import working_point

KIND = "fixed<8,3,RND_CONV,SAT>"  # steps of 1/32


@given(
    st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 3)), min_size=1, max_size=40).filter(lambda x: any(w for _, w in x)),
    st.floats(0, 1),
)
def test_the_threshold_is_the_lowest_that_keeps_the_rate(events: list[tuple[int, int]], rate: float) -> None:
    scores, weights = np.array(events).T
    point = working_point(scores / 32, KIND, rate, weights)

    def passed(threshold: int) -> float:
        return float(weights[scores >= threshold].sum() / weights.sum())

    assert point.passed == pytest.approx(passed(point.threshold))
    assert passed(point.threshold) <= rate * (1 + 1e-9)
    assert point.threshold == scores.min() or passed(point.threshold - 1) > rate
    assert point.value == point.threshold / 32


def test_wrong_input_is_refused() -> None:
    with pytest.raises(InputError, match="not values of"):
        working_point(np.array([0.01]), KIND, 0.5)
    with pytest.raises(InputError, match="rate from 0 to 1"):
        working_point(np.array([0.0]), KIND, 1.5)
    with pytest.raises(InputError, match="one weight per event"):
        working_point(np.array([0.0]), KIND, 0.5, np.array([0.0]))
    with pytest.raises(InputError, match=r"expected an array \(events,\)"):
        working_point(np.zeros((2, 2)), KIND, 0.5)
