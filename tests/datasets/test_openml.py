"""OpenML's jets with a stand-in for the network, and scikit-learn's digits."""

from __future__ import annotations

import urllib.error
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.datasets
from sklearn.model_selection import train_test_split

from qap.config.data import Data, Grid
from qap.datasets import digits
from qap.datasets.load import load_dataset
from qap.errors import InputError, QapError

EVENTS = 500
ASKED: list[dict[str, object]] = []


def _answer(**keys: object) -> SimpleNamespace:
    ASKED.append(keys)
    generator = np.random.default_rng(0)
    return SimpleNamespace(
        data=generator.normal(0, 1, (EVENTS, 16)), target=np.array(list("gqwzt"))[np.arange(EVENTS) % 5].astype(object),
        feature_names=[f"f{i}" for i in range(16)],
    )  # fmt: skip


def test_the_published_set_keeps_its_test_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", _answer)
    said: list[str] = []
    data = load_dataset(Data(name="hls4ml_lhc_jets_hlf", cache="kept"), tmp_path, say=said.append)
    features = _answer().data
    order = train_test_split(np.arange(EVENTS), test_size=0.2, random_state=42)[1]
    back = data.test.x * data.scale + data.mean
    assert len(data.test) == 100
    assert np.abs(np.sort(back[:, 0]) - np.sort(features[order, 0])).max() < 0.01
    assert data.class_names == ("g", "q", "t", "w", "z")
    assert np.bincount(data.test.y).sum() == 100
    assert [len(data.train), len(data.validation)] == [350, 50]
    assert (ASKED[0]["data_id"], ASKED[0]["data_home"]) == (42468, str(tmp_path / "kept"))
    assert said == ["OpenML's hls4ml_lhc_jets_hlf (42468): from the cache, or else from openml.org"]


@pytest.mark.parametrize("error", [urllib.error.URLError("no route"), ConnectionResetError("reset"), ValueError("checksum")])
def test_without_a_network_it_says_so(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**keys: object) -> None:
        raise error

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fail)
    with pytest.raises(QapError, match=r"not in the cache .*kept and openml.org does not answer .*data.name=jets") as caught:
        load_dataset(Data(name="hls4ml_lhc_jets_hlf", cache="kept"), tmp_path)
    assert caught.value.exit_code == 1


def test_an_answer_that_is_not_the_set_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda **keys: SimpleNamespace(data=[], target=[], feature_names=[]))
    with pytest.raises(QapError, match=r"received features of shape \(0,\) and 0 labels"):
        load_dataset(Data(name="hls4ml_lhc_jets_hlf"))


def test_a_cache_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**keys: object) -> None:
        raise PermissionError(13, "Permission denied", "/kept")

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fail)
    with pytest.raises(InputError, match="data.cache: /kept: Permission denied"):
        load_dataset(Data(name="hls4ml_lhc_jets_hlf"))


def test_the_digits_lie_on_the_grid_exactly() -> None:
    data = load_dataset(Data(name="digits", scale=16.0, input=Grid(bits=6, integer=1)))
    table = digits.shipped()
    images = np.concatenate([part.x for part in (data.train, data.validation, data.test)]) * 16
    assert images.shape == (1797, 64)
    assert (np.unique(images, axis=0) == np.unique(table.features, axis=0)).all()
    assert (images.min(), images.max()) == (0, 16)
    assert data.class_names == tuple("0123456789")
    assert table.feature_names[9] == "pixel_1_1"


def test_near_names_are_suggested() -> None:
    with pytest.raises(InputError, match=r"did you mean 'digits'"):
        load_dataset(Data(name="digit"))
