"""Recall per class against scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics as sk

from qap.metrics.per_class import balanced_accuracy, recalls, worst_class

from .test_classification import task


@pytest.mark.parametrize("weighted", [False, True])
def test_agrees_with_scikit_learn(weighted):
    labels, logits, weights = task(classes=5)
    labels = np.where((labels == 4) & (np.arange(len(labels)) % 40 > 5), 0, labels)  # class 4 is rare
    chosen = weights if weighted else None
    found = recalls(labels, logits, chosen)
    expected = sk.recall_score(labels, logits.argmax(axis=1), average=None, sample_weight=chosen)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    value = sk.balanced_accuracy_score(labels, logits.argmax(axis=1), sample_weight=chosen)
    assert balanced_accuracy(labels, logits, chosen) == pytest.approx(value, abs=1e-12)
    assert worst_class(labels, logits, chosen) == (int(np.argmin(found)), min(found))


def test_classes_without_events_are_left_out():
    labels, logits, _ = task(classes=5)
    keep = labels != 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns that class 2 is predicted only
        expected = sk.balanced_accuracy_score(labels[keep], logits[keep].argmax(axis=1))
    for arguments in ((labels[keep], logits[keep]), (labels, logits, keep * 1.0)):
        found = recalls(*arguments)
        assert [k for k, one in enumerate(found) if one is None] == [2]
        assert balanced_accuracy(*arguments) == pytest.approx(expected, abs=1e-12)
        assert worst_class(*arguments)[0] != 2
