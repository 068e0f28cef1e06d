"""Features that are divided instead of standardised, and the binary task of one class against the rest."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qap.config.data import Data
from qap.config.load import load_config
from qap.datasets.dataset import prepare
from qap.datasets.load import load_dataset
from qap.datasets.scaling import Scale
from qap.datasets.table import Table, against_rest
from qap.errors import InputError
from qap.precision import Precision

from ..conftest import INPUT, blobs

UNIT = Precision(9, 0)


def _bounded(features: np.ndarray) -> Table:
    return replace(blobs(len(features), features.shape[1]), features=features)


@given(bits=st.integers(1, 15), seed=st.integers(0, 1000))
def test_unsigned_integers_lie_exactly_on_the_grid_of_one_bit_more(bits: int, seed: int) -> None:
    features = np.random.default_rng(seed).integers(0, 2**bits, (600, 6))
    features[:, 0], features[:, 1] = 0, 2**bits - 1  # constant columns
    data = prepare(_bounded(features), Precision(bits + 1, 0), scale="unit")
    step = Fraction(1, 2**bits)
    order = np.random.default_rng(42).permutation(600)
    expected = features[order[480:]]
    found = [[Fraction(float(x)) / step for x in row] for row in data.test.x]
    assert found == expected.tolist()
    assert (data.scale == 2**bits).all()


@pytest.mark.parametrize(
    ("largest", "divisor"), [(0.3, 0.5), (0.5, 1.0), (1.0, 2.0), (255.0, 256.0), (256.0, 512.0), (1e-3, 2**-9)]
)
def test_unit_divides_by_the_smallest_power_of_two_that_holds_all(largest: float, divisor: float) -> None:
    features = np.random.default_rng(1).uniform(-largest, largest, (600, 6))
    features[:, 3] = -largest  # a constant column
    data = prepare(_bounded(features), UNIT, scale="unit")
    assert (data.scale == divisor).all()
    assert (data.mean == 0).all()
    order = np.random.default_rng(42).permutation(600)
    expected = np.clip(np.round(features[order[:420]] / divisor * 256), -256, 255) / 256
    assert (data.train.x == expected.astype(np.float32)).all()


def test_a_divisor_for_each_feature() -> None:
    table = blobs()
    divisors = [8.0, 4.0, 16.0, 10.0, 8.0, 8.0]
    data = prepare(table, INPUT, scale=divisors)
    order = np.random.default_rng(42).permutation(3000)
    assert (data.test.x == INPUT.quantize(table.features[order[2400:]] / divisors).astype(np.float32)).all()
    assert data.scale.tolist() == divisors
    assert (prepare(table, INPUT, scale=8.0).train.x == prepare(table, INPUT, scale=[8.0] * 6).train.x).all()


def test_a_few_values_outside_the_grid_saturate() -> None:
    features = np.random.default_rng(1).uniform(0, 1, (600, 6))
    features[::100, 0] = 50.0  # 6 of 3,600
    data = prepare(_bounded(features), UNIT, scale=1.0)
    assert data.train.x.max() == UNIT.high


WRONG_SCALES: list[tuple[Scale, str]] = [
    (0.5, r"divided by 0.5, 5\d.\d% of the training values lie outside the grid ap_fixed<9,1> \(-1 to 0.996094\)"),
    (1e6, "every feature is constant on the grid"),
    ([1.0, 1.0], "expected a number above 0, or 6 of them"),
    (0.0, "expected a number above 0"),
    (-1.0, "expected a number above 0"),
    (float("nan"), "expected a number above 0"),
    ([1.0] * 5 + [float("inf")], "expected a number above 0"),
]


@pytest.mark.parametrize(("scale", "message"), WRONG_SCALES, ids=[message[:20] for _, message in WRONG_SCALES])
def test_divisors_that_do_not_fit_are_refused(scale: Scale, message: str) -> None:
    table = _bounded(np.random.default_rng(1).uniform(0, 1, (600, 6)))
    with pytest.raises(InputError, match=rf"blobs: data\.scale: .*{message}"):
        prepare(table, UNIT, scale=scale)


def test_features_that_are_all_zero_are_refused() -> None:
    with pytest.raises(InputError, match="every feature of the training part is 0"):
        prepare(_bounded(np.zeros((300, 6))), UNIT, scale="unit")
    with pytest.raises(InputError, match=r"'x0' is constant in the training part: leave it out, or set data\.scale to unit"):
        prepare(_bounded(np.zeros((300, 6))), UNIT)


@pytest.mark.parametrize("text", ["data.scale=none", "data.scale=0", "data.scale=[]", "data.scale=[1,-2]", "data.scale=.inf"])
def test_a_study_file_with_another_scale_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"data\.scale.*: expected .*received"):
        load_config(None, [text])


def test_the_scales_of_a_study_file() -> None:
    assert load_config(None, []).data.scale == "standard"
    assert load_config(None, ["data.scale=unit"]).data.scale == "unit"
    assert load_config(None, ["data.scale=256"]).data.scale == 256
    assert load_config(None, ["data.scale=[1,0.5]"]).data.scale == [1, 0.5]


@pytest.mark.parametrize("signal", [3, "z"])
def test_one_class_of_the_jets_against_the_rest(signal: int | str) -> None:
    whole, data = load_dataset(), load_dataset(Data(signal=signal))
    assert data.class_names == ("not z", "z")
    assert data.outputs == 2
    assert data.name == "pythia-jets, z against the rest"
    for name in ("train", "validation", "test"):
        one, other = getattr(whole, name), getattr(data, name)
        assert (one.x == other.x).all()
        assert (other.y == (one.y == 3)).all(), f"{name}: {int(other.y.sum())} z among {int((one.y == 3).sum())}"


WRONG_SIGNALS: list[tuple[int | str, str]] = [
    (3, "expected a number from 0 to 2, received 3"),
    (-1, "expected a number from 0 to 2, received -1"),
    ("C1", r"has no class 'C1' \(known: c0, c1, c2\)"),
    ("2", "has no class '2'"),
]


@pytest.mark.parametrize(("signal", "message"), WRONG_SIGNALS)
def test_a_class_that_does_not_exist_is_refused(signal: int | str, message: str) -> None:
    with pytest.raises(InputError, match=rf"data\.signal: .*blobs.*{message}"):
        against_rest(blobs(300), signal)


def test_a_regression_has_no_classes() -> None:
    table = replace(blobs(300), labels=None, targets=np.zeros((300, 1)), class_names=())
    with pytest.raises(InputError, match=r"data\.signal: received 'a', but blobs is for regression"):
        against_rest(table, "a")


@settings(max_examples=40)
@given(
    ends=st.lists(st.tuples(st.integers(-(2**14), 2**14), st.integers(1, 2**14)), min_size=2, max_size=6),
    lsb=st.floats(1e-4, 10),
    integer=st.integers(0, 5),
)
def test_hardware_integers_lie_exactly_on_the_smallest_grid(ends: list[tuple[int, int]], lsb: float, integer: int) -> None:
    generator = np.random.default_rng(0)
    integers = np.column_stack([generator.integers(low, low + width, 600, endpoint=True) for low, width in ends])
    table = replace(_bounded(integers * lsb), lsb=np.full(len(ends), lsb))
    bits = [max(int(column.max()), -int(column.min()) - 1).bit_length() for column in integers.T]
    grid = Precision(max(*bits, integer + 1) + 1, integer)
    data = prepare(table, grid, scale="lsb", split=(0.4, 0.2, 0.4))
    order = np.random.default_rng(42).permutation(600)[360:]
    found = data.test.x.astype(np.float64) * [2.0 ** (one - integer) for one in bits]
    assert (found == integers[order]).all(), f"{(found != integers[order]).sum()} of {found.size} differ"
    if max(bits) > max(integer, 1):
        with pytest.raises(InputError, match=rf"set data.input=\{{bits: {max(bits) + 1}, integer: 0\}}"):
            prepare(table, Precision(max(bits), integer), scale="lsb")
