"""Cuts as the trigger makes them: an integer threshold on a logit for each working point."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from qap.errors import InputError


@dataclass(frozen=True, slots=True)
class WorkingPoint:
    """A cut on one logit: an event passes when its integer is at least the threshold.

    Parameters
    ----------
    rate : float
        Fraction of the given events that was allowed to pass.
    threshold : int
        In units of the output's last bit: what the hardware compares with.
    value : float
        The same as a number.
    passed : float
        Fraction of the given events that passes.
    """

    rate: float
    threshold: int
    value: float
    passed: float


def last_bit(kind: str) -> int:
    """Return the exponent of the last bit of a type such as ``fixed<16,6,RND_CONV,SAT>``."""
    width, integer = (int(part) for part in kind.split("<")[1].rstrip(">").split(",")[:2])
    return integer - width


def working_point(logits: Any, kind: str, rate: float, weights: Any = None) -> WorkingPoint:
    """Return the lowest threshold at which at most a fraction of events passes.

    Parameters
    ----------
    logits : array (events,)
        Of the events whose rate is fixed (background), as the firmware gives them.
    kind : str
        Type of the output, `Port.type`.
    rate : float
        Largest fraction that may pass, 0 to 1.
    weights : array (events,), optional
        Event weights, not negative.

    Raises
    ------
    InputError
        No events, logits that are not values of the type, a rate or weights out of range.
    """
    exponent = last_bit(kind)
    scores = np.ldexp(np.asarray(logits, np.float64), -exponent)
    if scores.ndim != 1 or not len(scores):
        raise InputError(f"working_point: expected an array (events,) of logits, received {scores.shape}")
    if (scores != np.rint(scores)).any():
        raise InputError(f"working_point: the logits are not values of {kind}: take them from the firmware (simulate)")
    if not 0 <= rate <= 1:
        raise InputError(f"working_point: expected a rate from 0 to 1, received {rate}")
    weight = np.ones(len(scores)) if weights is None else np.asarray(weights, np.float64)
    if weight.shape != scores.shape or (weight < 0).any() or not weight.sum() > 0:
        raise InputError("working_point: expected one weight per event, not negative, not all zero")
    values, index = np.unique(scores, return_inverse=True)
    at_least = np.cumsum(np.bincount(index, weight)[::-1])[::-1] / weight.sum()  # fraction with a score ≥ each value
    allowed = np.nonzero(at_least <= rate * (1 + 1e-12))[0]
    # the lowest integer above the highest score that must not pass
    first = allowed[0] if len(allowed) else len(values)
    threshold = int(values[first - 1]) + 1 if first else int(values[0])
    passed = float(weight[scores >= threshold].sum() / weight.sum())
    return WorkingPoint(rate, threshold, math.ldexp(threshold, exponent), passed)
