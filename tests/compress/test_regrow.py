"""Digits that come back: what they gain, and that they pay for themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qap.compress.coarsen import curvature, prices, tidied
from qap.compress.regrow import MARGIN, MOST, offers, regrown
from qap.models.circuit import traced_ebops

from ..models.test_circuit import random_circuit
from .test_coarsen import BATCH, _moments, _seen

EVENTS = 10**6


def test_an_offer_is_the_fall_of_the_quadratic_loss(data) -> None:
    circuit = tidied(random_circuit(4, 0.6))
    seen, moments, here = _seen(circuit, data.train.x[:500]), _moments(circuit.layout.size), circuit.layout
    found = offers(circuit, moments, seen, BATCH, EVENTS)
    f = curvature(circuit, moments, BATCH)
    removed = np.nonzero(~circuit.alive[: here.kernels] & (found.rate[: here.kernels] > 0))[0]
    assert len(removed) > 10, "the test looks at too few"
    for i in removed:
        slope, value = float(moments.slope[i]), found.signs[i] * 2.0 ** found.powers[i]
        assert found.gain[i] == pytest.approx(-(slope * value + 0.5 * f[i] * value**2) - 2 / EVENTS)
        assert slope * value < 0, f"weight {i} comes back uphill"
        assert found.cost[i] == np.floor(np.log2(seen.largest[here.source[i]])) + 1 + circuit.steps[here.source[i]], "one digit"


@pytest.mark.parametrize("share", [1.0, 0.9])
def test_what_comes_back_is_worth_more_than_what_goes_and_is_little(share: float, data) -> None:
    circuit = tidied(random_circuit(5, 0.6))
    seen, moments, here = _seen(circuit, data.train.x[:500]), _moments(circuit.layout.size), circuit.layout
    now = traced_ebops(circuit, seen.largest)
    found = regrown(circuit, moments, seen, BATCH, EVENTS, share * now)
    back = np.nonzero(found.alive[: here.kernels] & ~circuit.alive[: here.kernels])[0]
    finer = np.nonzero((found.fractions > circuit.fractions)[: here.kernels] & circuit.alive[: here.kernels])[0]
    units = here.kernels + np.nonzero(found.steps > circuit.steps)[0]
    chosen = np.concatenate([back, finer, units])
    assert len(chosen), "nothing came back"
    largest = offers(circuit, moments, seen, BATCH, EVENTS).cost.max()
    assert traced_ebops(found, seen.largest) <= (1 + MOST) * now + largest
    least = MARGIN * prices(circuit, moments, seen, BATCH).each.min()
    rate = offers(circuit, moments, seen, BATCH, EVENTS).rate
    assert (rate[chosen] > least).all()
    assert (found.alive | ~circuit.alive).all(), "nothing goes"


def test_chance_gains_nothing(data) -> None:
    """With the mean gradient of few events a removed weight stays removed."""
    circuit = tidied(random_circuit(6, 0.6))
    seen, moments, here = _seen(circuit, data.train.x[:500]), _moments(circuit.layout.size), circuit.layout
    flat = replace(moments, slope=np.zeros_like(moments.slope))
    for known, events in ((flat, EVENTS), (moments, 1)):
        found = regrown(circuit, known, seen, BATCH, events, 0.0)
        assert not (found.alive & ~circuit.alive)[: here.kernels].any()
