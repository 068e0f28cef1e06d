"""The bootstrap against the binomial law and its own promises."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pytest

from qap.errors import InputError
from qap.metrics.bootstrap import bootstrap, paired_difference
from qap.metrics.classification import accuracy, auc


def task(events: int, seed: int = 2, spread: float = 1.5):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 5, events)
    scores = random.normal(0.0, spread, (events, 5))
    scores[np.arange(events), labels] += 2.0
    return labels, scores


def test_accuracy_interval_is_binomial():
    labels, scores = task(8000)
    found = bootstrap(partial(accuracy, labels, scores), 8000, replicas=2000, seed=1)
    sigma = np.sqrt(found.value * (1 - found.value) / 8000)
    half = (found.high - found.low) / 2
    print("half width", half, "binomial", 0.994 * sigma)
    assert found.value == accuracy(labels, scores)
    assert half == pytest.approx(0.99446 * sigma, rel=0.06)
    wide = bootstrap(partial(accuracy, labels, scores), 8000, replicas=2000, seed=1, coverage=0.95)
    assert (wide.high - wide.low) / 2 == pytest.approx(1.96 * sigma, rel=0.08)


def test_interval_covers_the_truth_as_often_as_it_says():
    truth = accuracy(*task(400_000, seed=99))
    intervals = []
    for seed in range(150):
        labels, scores = task(500, seed)
        intervals.append(bootstrap(partial(accuracy, labels, scores), 500, replicas=100, seed=seed))
    covered = np.mean([interval.low <= truth <= interval.high for interval in intervals])
    print("covered", covered)
    assert 0.55 < covered < 0.80  # 0.68 ± 0.038, three sigma


def test_seed_and_event_weights():
    labels, scores = task(2000)
    statistic = partial(accuracy, labels, scores)
    assert bootstrap(statistic, 2000, seed=4) == bootstrap(statistic, 2000, seed=4)
    assert bootstrap(statistic, 2000, seed=4) != bootstrap(statistic, 2000, seed=5)
    weights = np.where(labels == 0, 4.0, 0.0)
    weighted = bootstrap(statistic, 2000, weights=weights)
    assert weighted.value == pytest.approx(accuracy(labels[labels == 0], scores[labels == 0]))
    plain = bootstrap(statistic, 2000)
    assert weighted.high - weighted.low > 1.6 * (plain.high - plain.low)  # a fifth of the events


def test_any_statistic():
    labels, scores = task(3000)
    found = bootstrap(partial(auc, labels, scores), 3000, replicas=50)
    assert found.low < found.value < found.high
    assert found.high - found.low < 0.02


def test_paired_difference_is_narrower_than_two_intervals():
    labels, scores = task(4000)
    worse = scores + np.random.default_rng(3).normal(0.0, 0.5, scores.shape)
    better, other = partial(accuracy, labels, scores), partial(accuracy, labels, worse)
    paired = paired_difference(better, other, 4000, seed=1)
    alone = [bootstrap(statistic, 4000, seed=1) for statistic in (better, other)]
    quadrature = np.hypot(*[interval.high - interval.low for interval in alone])
    print("paired", paired, "in quadrature", quadrature)
    assert paired.value == alone[0].value - alone[1].value
    assert paired.high - paired.low < 0.9 * quadrature
    same = paired_difference(better, better, 4000)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


def test_speed():
    labels, scores = task(32_000)
    start = time.process_time()
    bootstrap(partial(accuracy, labels, scores.astype(np.float32)), 32_000)
    seconds = time.process_time() - start
    print("200 replicas of 32,000 events:", seconds, "CPU s")
    assert seconds < 1.5  # 0.4 s on an idle core


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replicas": 1}, "at least 2 replicas"),
        ({"coverage": 1.0}, "coverage between 0 and 1"),
        ({"weights": np.ones(3)}, "one per event"),
    ],
)
def test_wrong_input(options, message):
    labels, scores = task(10)
    with pytest.raises(InputError, match=message):
        bootstrap(partial(accuracy, labels, scores), 10, **options)
