"""Agreement on cases counted by hand, and the model's own outputs in batches."""

from __future__ import annotations

import numpy as np
import pytest

from qap.backend import stack
from qap.errors import InputError
from qap.exports.agreement import BATCH, agree, keras_outputs

MODEL = np.array([[1.0, 0.0], [0.0, 2.0], [0.5, 0.25], [3.0, 1.0]], np.float32)
OTHER = np.array([[1.0, 0.0], [0.5, 0.25], [0.5, 0.5], [3.0, 1.0]], np.float32)


def test_four_events_by_hand() -> None:
    found = agree([MODEL], [OTHER], np.array([0, 1, 1, 0]))
    assert (found.events, found.exact, found.max_difference) == (4, 2, 1.75)
    assert (found.agreement, found.model_accuracy, found.accuracy) == (0.75, 0.75, 0.5)
    assert agree([MODEL], [OTHER]).accuracy is None


def test_one_output_and_several_outputs_have_no_class() -> None:
    assert agree([MODEL[:, :1]], [OTHER[:, :1]]).agreement is None
    both = agree([MODEL, MODEL[:, 0]], [MODEL, OTHER[:, 0]])
    assert (both.agreement, both.exact, both.max_difference) == (None, 3, 0.5)


def test_what_is_not_a_number_is_never_exact() -> None:
    broken = MODEL.copy()
    broken[1, 1] = np.nan
    found = agree([MODEL], [broken])
    assert found.exact == 3
    assert not found.max_difference <= 1


@pytest.mark.parametrize(("one", "other"), [([MODEL], [OTHER[:3]]), ([MODEL], [OTHER, OTHER]), ([MODEL[:0]], [OTHER[:0]])])
def test_other_shapes_are_refused(one: list[np.ndarray], other: list[np.ndarray]) -> None:
    with pytest.raises(InputError, match="equal shapes"):
        agree(one, other)


def test_outputs_of_several_batches_are_those_of_the_model() -> None:
    keras = stack().keras
    first, second = keras.layers.Input((2,)), keras.layers.Input((3,))
    model = keras.Model([first, second], [keras.layers.Concatenate()([second, first]), first])
    x = [np.random.default_rng(0).normal(size=(BATCH + 5, width)).astype(np.float32) for width in (2, 3)]
    joined, same = keras_outputs(model, x)
    assert np.array_equal(joined, np.concatenate(x[::-1], axis=1))
    assert np.array_equal(same, x[0])
