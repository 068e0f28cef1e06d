"""A function that proves a model's RTL in software, and one that proves it clock by clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qap.firmware.reference import Reference
from qap.firmware.vectors import parity_vectors
from qap.precision import Precision
from qap.rtl.trace import Traced, predict, trace


@pytest.fixture
def traced() -> Callable[..., Traced]:
    """Trace a model, compare its logic with QKeras on boundary and random vectors, and fail with counts and worst cases."""
    pytest.importorskip("da4ml")

    def prove(model: Any, inputs: Precision, events: int = 1000) -> Traced:
        found = trace(model, inputs)
        x = parity_vectors(model, inputs, events)[0]
        expected = Reference(model, found.lowered).outputs([x])[0]
        received = predict(found, x)
        wrong = (expected != received).reshape(len(x), -1).any(axis=1)
        assert not wrong.any(), f"{wrong.sum()} of {len(x)}: {x[wrong][0]} gives {received[wrong][0]}, not {expected[wrong][0]}"
        assert len(np.unique(expected)) > 1 or found.logic.cost == 0, "the outputs say nothing"
        return found

    return prove
