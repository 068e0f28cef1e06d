"""Scores against sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest

from qap.datasets.dataset import Split
from qap.errors import InputError
from qap.metrics import classification
from qap.metrics.bootstrap import bootstrap
from qap.metrics.scores import Scores

from .conftest import EVENTS


def tagger(right: float, seed: int, split: Split, name: str = "tagger") -> Scores:
    """A tagger of three classes that is right with a probability, on draws that all taggers of a seed share."""
    lucky = np.random.default_rng(seed).random(len(split)) < right
    outputs = np.zeros((len(split), 3), np.float32)
    outputs[np.arange(len(split)), np.where(lucky, split.y, (split.y + 1) % 3)] = 5.0
    return Scores(name, "classification", split, outputs)


def test_values_and_intervals_count_event_weights(split: Split) -> None:
    scores = tagger(0.7, 1, split)
    right = scores.outputs.argmax(axis=1) == split.y
    assert scores.value() == pytest.approx(split.weight[right].sum(dtype=float) / split.weight.sum(dtype=float), rel=1e-6)
    found = scores.interval()
    width = np.sqrt(0.7 * 0.3 / EVENTS) * np.sqrt(np.mean(split.weight**2)) / np.mean(split.weight)
    assert (found.high - found.low) / 2 == pytest.approx(width, rel=0.25)
    assert found.low < found.value < found.high
    expected = bootstrap(
        lambda w: classification.accuracy(split.y, scores.outputs, w, "logits"), EVENTS, weights=split.weight, replicas=20
    )
    drawn = scores.interval(replicas=20)
    assert (drawn.value, drawn.low, drawn.high) == pytest.approx((expected.value, expected.low, expected.high), rel=1e-6)
    assert scores.value("auc") == pytest.approx(classification.auc(split.y, scores.outputs, split.weight), rel=1e-6)


def test_a_regression_has_rmse_and_resolution(split: Split) -> None:
    truth = np.random.default_rng(2).normal(size=(EVENTS, 1)).astype(np.float32)
    scores = Scores("line", "regression", Split(split.x, truth, np.ones(EVENTS, np.float32)), truth + np.float32(0.5))
    assert scores.value() == pytest.approx(0.5, abs=1e-6)
    assert scores.metric() == "rmse"
    with pytest.raises(InputError, match="expected one of rmse, resolution, received 'accuracy'"):
        scores.value("accuracy")
