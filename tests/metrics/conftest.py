"""Events with weights, of three classes."""

from __future__ import annotations

import numpy as np
import pytest

from qap.datasets.dataset import Split

EVENTS = 4000


@pytest.fixture(scope="module")
def split() -> Split:
    generator = np.random.default_rng(5)
    y = generator.integers(0, 3, EVENTS).astype(np.int32)
    return Split(np.zeros((EVENTS, 2), np.float32), y, generator.uniform(0.5, 2, EVENTS).astype(np.float32))
