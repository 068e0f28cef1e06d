"""The part of the validation split that a search never sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qap.datasets.dataset import Dataset, Split, prepare
from qap.datasets.hold_back import hold_back
from qap.errors import InputError

from ..conftest import INPUT, blobs

DATA = prepare(blobs(), INPUT)


def _rows(split: Split) -> list[tuple]:
    return [(*x.tolist(), *np.atleast_1d(y).tolist(), float(w)) for x, y, w in zip(split.x, split.y, split.weight, strict=True)]


@given(st.floats(0.05, 0.95), st.integers(0, 2**32 - 1))
@settings(max_examples=8, deadline=None)
def test_every_event_is_in_one_part_and_every_class_in_both(fraction: float, seed: int) -> None:
    data = DATA
    searched, held = hold_back(data, fraction, seed)
    assert sorted(_rows(searched.validation) + _rows(held)) == sorted(_rows(data.validation))
    for label in range(3):
        count = int((data.validation.y == label).sum())
        assert int((held.y == label).sum()) == round(fraction * count), label
    for part in (searched.validation, held):
        places = [_rows(data.validation).index(row) for row in _rows(part)]
        assert places == sorted(places), "the events keep their order"
    assert searched.train is data.train
    assert searched.test is data.test
    again, held_again = hold_back(data, fraction, seed)
    np.testing.assert_array_equal(held.x, held_again.x)
    np.testing.assert_array_equal(searched.validation.x, again.validation.x)


def test_another_seed_holds_back_others() -> None:
    assert _rows(hold_back(DATA, 0.5, 1)[1]) != _rows(hold_back(DATA, 0.5, 2)[1])


def test_nothing_is_held_back_when_turned_off() -> None:
    searched, held = hold_back(DATA, 0.0, 1)
    assert len(held) == 0
    np.testing.assert_array_equal(searched.validation.x, DATA.validation.x)
    np.testing.assert_array_equal(searched.validation.y, DATA.validation.y)


def test_a_regression_with_weights(regression_data: Dataset) -> None:
    searched, held = hold_back(regression_data, 0.4, 3)
    assert (len(searched.validation), len(held)) == (150, 100)
    assert sorted(_rows(searched.validation) + _rows(held)) == sorted(_rows(regression_data.validation))


def test_a_class_that_one_part_would_lack_is_named() -> None:
    keep = np.flatnonzero((DATA.validation.y != 1) | (np.cumsum(DATA.validation.y == 1) == 1))
    lone = Split(DATA.validation.x[keep], DATA.validation.y[keep], DATA.validation.weight[keep])
    with pytest.raises(InputError, match="search.holdback: 0.5 of the .* events of class 'c1'"):
        hold_back(replace(DATA, validation=lone), 0.5, 1)
    with pytest.raises(InputError, match="search.holdback: expected a number from 0 to below 1"):
        hold_back(DATA, 1.0, 1)
