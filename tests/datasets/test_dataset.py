"""Datasets: the split, the standardisation, the grid, and tables that are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qap.config.data import Data
from qap.datasets.dataset import Dataset, prepare
from qap.datasets.load import load_dataset, read_npz
from qap.datasets.table import Table
from qap.errors import InputError
from qap.precision import Precision

from ..conftest import INPUT, blobs


def test_the_split_is_fixed_and_the_parts_are_disjoint() -> None:
    table = replace(blobs(), features=np.arange(3000 * 6, dtype=float).reshape(3000, 6))
    wide = Precision(32, 2)
    one, two = prepare(table, wide), prepare(table, wide)
    parts = [one.train, one.validation, one.test]
    assert [len(part) for part in parts] == [2100, 300, 600]
    assert all((a.x == b.x).all() for a, b in zip(parts, [two.train, two.validation, two.test], strict=True))
    assert len(np.unique(np.concatenate([part.x[:, 0] for part in parts]))) == 3000
    assert not (prepare(table, wide, seed=1).train.x == one.train.x).all()


def test_features_are_standardised_by_the_training_part_and_lie_on_the_grid() -> None:
    table = blobs()
    data = prepare(table, INPUT)
    order = np.random.default_rng(42).permutation(3000)
    train = table.features[order[:2100]]
    expected = (table.features[order[2400:]] - train.mean(0)) / train.std(0)
    step = 2.0**-5
    expected = np.clip(np.round(expected / step), -128, 127) * step
    assert (data.test.x == expected.astype(np.float32)).all()
    assert (INPUT.quantize(data.train.x) == data.train.x).all()


def test_regression_targets_and_weights_are_kept(regression_data: Dataset) -> None:
    assert regression_data.task == "regression"
    assert regression_data.outputs == 2
    assert regression_data.train.y.shape == (1750, 2)
    assert regression_data.train.weight.std() > 0


def test_train_events_are_cut_but_the_standardisation_is_not() -> None:
    full, cut = prepare(blobs(), INPUT), prepare(blobs(), INPUT, train_events=100)
    assert len(cut.train) == 100
    assert (cut.mean == full.mean).all()
    assert (cut.test.x == full.test.x).all()


def _broken(**changes: object) -> Table:
    return replace(blobs(300), **changes)


def _with(value: float, event: int = 5, column: int = 2) -> np.ndarray:
    features = blobs(300).features.copy()
    features[event, column] = value
    return features


LABELS = blobs(300).labels
WRONG = [
    (_broken(features=_with(np.nan)), "1 feature values are NaN or infinite, the first in column 'x2', event 5"),
    (_broken(features=_with(np.inf)), "NaN or infinite"),
    (_broken(features=np.zeros((300, 6))), "feature 'x0' is constant"),
    (_broken(features=np.zeros((0, 6)), labels=np.zeros(0, int)), "features: expected numbers"),
    (_broken(features=np.zeros(300)), "features: expected numbers of shape"),
    (_broken(features=np.full((300, 6), "a")), "features: expected numbers"),
    (_broken(feature_names=["a"]), "feature_names: expected 6 names, received 1"),
    (_broken(labels=LABELS[:-1]), "labels: expected 300 integers"),
    (_broken(labels=LABELS.astype(float)), "labels: expected 300 integers"),
    (_broken(labels=LABELS + 1), "labels: expected classes 0 to 2, received 1 to 3"),
    (_broken(labels=np.where(LABELS == 2, 1, LABELS)), "no event of class 'c2'"),
    (_broken(labels=np.zeros(300, int), class_names=["only"]), "two classes or more"),
    (_broken(labels=None), "either labels"),
    (_broken(targets=np.zeros((300, 1))), "either labels"),
    (_broken(labels=None, targets=np.full((300, 1), np.nan)), "targets: 300 values are NaN"),
    (_broken(labels=None, targets=np.zeros((5, 1))), "targets: expected numbers of shape"),
    (_broken(weights=np.full(300, -1.0)), "weights: expected 0 or more"),
    (_broken(weights=np.ones(5)), "weights: expected 300 finite numbers"),
    (_broken(features=blobs(2).features, labels=np.array([0, 1])), "too few"),
]


@pytest.mark.parametrize(("table", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_a_table_that_no_network_can_learn_from_is_refused(table: Table, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        prepare(table, INPUT)
    assert "blobs" in str(caught.value)


def test_the_embedded_jets() -> None:
    data = load_dataset()
    assert data.name == "pythia-jets"
    assert data.class_names == ("g", "q", "w", "z", "t")
    assert [len(part) for part in (data.train, data.validation, data.test)] == [112_000, 16_000, 32_000]
    assert data.train.x.shape[1] == 16
    assert data.input.ap_fixed == "ap_fixed<10,3>"
    assert (data.input.quantize(data.test.x) == data.test.x).all()
    assert 0 < data.saturated < 0.01
    counts = np.bincount(data.train.y)
    assert counts.min() > 0.95 * counts.max()


def test_the_embedded_jets_are_small_enough_to_ship() -> None:
    path = Path(read_npz.__code__.co_filename).with_name("jets.npz")
    assert path.stat().st_size <= 6e6
    assert len(read_npz(path).features) >= 100_000


def _save(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def test_a_users_file_is_read(tmp_path: Path) -> None:
    table = blobs()
    path = _save(tmp_path / "mine.npz", features=table.features, labels=table.labels, class_names=np.array(["a", "b", "c"]))
    data = load_dataset(Data(name=str(path)))
    assert data.name == "mine"
    assert data.class_names == ("a", "b", "c")
    assert load_dataset(Data(name="mine.npz"), tmp_path).feature_names == tuple(f"x{i}" for i in range(6))


def test_integers_with_their_lsb_are_read(tmp_path: Path) -> None:
    integers = np.arange(1200).reshape(200, 6).astype(np.int16)
    path = _save(tmp_path / "hw.npz", features=integers, lsb=np.full(6, 0.25), targets=np.arange(200.0))
    table = read_npz(path)
    assert (table.features == integers * 0.25).all()
    assert table.targets is not None
    assert table.targets.shape == (200, 1)


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    whole = _save(tmp_path / "whole.npz", features=blobs().features, labels=blobs().labels).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    _save(tmp_path / "objects.npz", features=np.array([{}], object), labels=np.zeros(1, int))
    _save(tmp_path / "other.npz", x=np.zeros(3))
    for name in ("text", "cut", "objects", "other", "missing"):
        with pytest.raises(InputError, match=rf"data.name: .*{name}.npz"):
            load_dataset(Data(name=str(tmp_path / f"{name}.npz")))
    with pytest.raises(InputError, match="did you mean 'jets'"):
        load_dataset(Data(name="jet"))
