"""Searches of networks with convolutions: trained by the keras engine, kept, resumed; what they cannot have is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qap
from qap.config.schema import Study as Config
from qap.datasets.dataset import Dataset, prepare
from qap.datasets.table import Table
from qap.errors import InputError
from qap.metrics.classification import accuracy
from qap.models.builders import build, set_weights
from qap.search.run import run_search, search_front, trained
from qap.training.keras_engine import logits

SIZE = 6
MODEL = {
    "shape": [SIZE, SIZE, 1],
    "batchnorm": False,
    "layers": [
        {"filters": 4, "kernel_size": [3, 3], "pool": "max(2)"},
        {"filters": 4, "kernel_size": [1, 1], "add": "conv1"},
        {"units": 8},
    ],
}


@pytest.fixture(scope="module")
def images() -> Dataset:
    """Bars that lie or stand, somewhere, in noise."""
    random = np.random.default_rng(3)
    pixels, labels = random.normal(0, 0.2, (1200, SIZE, SIZE)), random.integers(0, 2, 1200)
    for image, label, place in zip(pixels, labels, random.integers(0, SIZE, 1200), strict=True):
        (image if label else image.T)[place] += 1
    names = [f"pixel_{i}" for i in range(SIZE * SIZE)]
    table = Table("bars", pixels.reshape(1200, -1), names, labels, class_names=["standing", "lying"])
    return prepare(table, qap.Precision(6, 1), scale=1.0)


def _config(**changes: Any) -> Config:
    search = {"strategy": "grid", "trials": 2, "holdback": 0, "space": {
        "tie": ["weight_bits", "activation_bits", "sparsity"], "weight_bits": [4, 6], "activation_bits": 5, "sparsity": 0.3,
    }}  # fmt: skip
    train = {"batch": 64, "epochs": 3, "parent_epochs": 6, "learning_rate": 0.01}
    data = {"input": {"bits": 6, "integer": 1}, "scale": 1.0}
    return Config.model_validate({"model": MODEL, "train": train, "search": search, "data": data, **changes})


def test_a_search_trains_convolutions_and_goes_on(images: Dataset, tmp_path: Path) -> None:
    study = run_search(_config(), tmp_path / "s", data=images)
    assert "convolutions or residual connections" in (tmp_path / "s" / "log.txt").read_text()
    found = list(trained(study))
    assert len(found) == 2
    for candidate in found:
        assert str(candidate.architecture) == "6×6×1-conv(3×3,4)-max(2)-conv(1×1,4)+conv1-8-2"
        assert candidate.cost is not None
        assert candidate.cost["multiplications"] == 16 * 9 * 4 + 4 * 4 * 4 + 16 * 8 + 8 * 2
        assert candidate.cost["sparsity_mask"] == pytest.approx(0.3, abs=0.02)
        assert "LUT" not in candidate.cost.figures, "no report of a convolution is at hand"
        model = build(candidate.architecture, candidate.plan)
        set_weights(model, study.weights(candidate))
        scores = logits(model, images.validation.x)
        assert accuracy(images.validation.y, scores) == candidate.metrics["accuracy_validation"] > 0.8
    again = run_search(_config(), tmp_path / "s", data=images, resume=True)
    assert [one.id for one in search_front(again)] == [one.id for one in search_front(study)]
    assert len(list(again.records())) == 2, "nothing was trained again"


@pytest.mark.parametrize(
    ("search", "what"),
    [
        ({"strategy": "ramp"}, "ramp needs model.hidden"),
        ({"strategy": "hybrid", "hybrid": {"supernet_epochs": 1}}, "supernet_epochs: treats Dense layers"),
        ({"space": {"layers": {"conv3": {"weight_bits": 4}}}}, r"no layer 'conv3' \(did you mean 'conv1'|'conv2'"),
    ],
)
def test_what_is_for_perceptrons_is_said_before_anything_is_written(
    search: dict[str, Any], what: str, images: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=what):
        run_search(_config(search=search), tmp_path / "s", data=images)
    assert not (tmp_path / "s").exists()


def test_features_that_do_not_fill_the_shape_are_named(images: Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model.shape: expected a shape of 36 numbers .*, received \[7, 6, 1\]"):
        run_search(_config(model={**MODEL, "shape": [7, 6, 1]}), tmp_path / "s", data=images)
    assert not (tmp_path / "s").exists()
