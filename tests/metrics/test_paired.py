"""Paired verdicts on taggers whose difference is known."""

from __future__ import annotations

import numpy as np
import pytest

from qap.datasets.dataset import Split
from qap.errors import InputError
from qap.metrics.bootstrap import Interval
from qap.metrics.paired import UNCLEAR, Paired, paired
from qap.metrics.scores import Scores

from .conftest import EVENTS
from .test_scores import tagger


@pytest.mark.parametrize(("first", "second", "verdict"), [
    ((0.75, 0.75), (0.70, 0.70), "better"),
    ((0.70, 0.70), (0.75, 0.75), "worse"),
    ((0.70, 0.70), (0.70, 0.70), UNCLEAR),
    ((0.75, 0.70), (0.70, 0.75), UNCLEAR),
])  # fmt: skip
def test_verdicts(split: Split, first: tuple[float, ...], second: tuple[float, ...], verdict: str) -> None:
    one, other = ([tagger(p, seed, split, name) for seed, p in enumerate(row)] for name, row in (("a", first), ("b", second)))
    found = paired(one, other)
    assert found.verdict == verdict, str(found)
    assert str(found).startswith("accuracy of a against b: ")
    assert str(found).endswith(f" points: {verdict}")
    for interval, (a, b) in zip(found.differences, zip(one, other, strict=True), strict=True):
        assert interval.value == pytest.approx(a.value() - b.value(), abs=1e-9)


def test_a_smaller_rmse_is_better(split: Split) -> None:
    truth = np.random.default_rng(2).normal(size=(EVENTS, 1)).astype(np.float32)
    events = Split(split.x, truth, np.ones(EVENTS, np.float32))
    noise = np.random.default_rng(3).normal(size=(EVENTS, 1)).astype(np.float32)
    near, far = (Scores(name, "regression", events, truth + size * noise) for name, size in (("near", 0.1), ("far", 0.2)))
    assert paired([near], [far]).verdict == "better"
    assert paired([far], [near]).verdict == "worse"


def test_other_events_or_seeds_are_refused(split: Split) -> None:
    scores = tagger(0.7, 1, split)
    other = tagger(0.7, 1, Split(split.x, (split.y + 1) % 3, split.weight), "other")
    with pytest.raises(InputError, match="not scored on the same events"):
        paired([scores], [other])
    with pytest.raises(InputError, match="received 2 and 1"):
        paired([scores, scores], [scores])
    with pytest.raises(InputError, match="received 0 and 0"):
        paired([], [])


def test_one_seed_within_its_error_settles_nothing() -> None:
    sure, unsure = Interval(0.02, 0.015, 0.025), Interval(0.004, -0.001, 0.009)
    assert Paired("a", "b", "accuracy", (sure, sure)).verdict == "better"
    assert Paired("a", "b", "accuracy", (sure, unsure)).verdict == UNCLEAR
