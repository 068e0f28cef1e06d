"""Digits that come back: those that gain clearly more than those lose that must go for them.

A change Δ of a weight changes the loss by g·Δ + ½·F·Δ²: g is the mean gradient of the last epoch, F as in
`qap.compress.coarsen`. A removed weight comes back as the power of two that is nearest to the Newton step −g/F; g of a weight in
use is near 0, so that its next digit gains by its latent value. Growth by gradients: Evci et al., "Rigging the lottery",
arXiv:1911.11134.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qap.compress.coarsen import curvature, loss_of_bits, prices
from qap.digits import significant_bits
from qap.models.circuit import Circuit, traced_ebops, widths_seen
from qap.training.population.circuits import Moments, Seen

MARGIN = 2.0
"""What comes back must gain so many times what is lost for it."""
MOST = 0.03
"""Of the EBOPs: when so many have come back at once, no more do."""
POWERS = -7, 1
"""Powers of two that a weight may come back as."""
FINEST = 5
"""Fractional digits of units up to which bits come back."""
CERTAIN = 4.0
"""Squared standard deviations of the mean gradient that a gain must be above chance."""


@dataclass(frozen=True, eq=False)
class Offers:
    """What could come back: arrays of the kernel weights, then of the units.

    Parameters
    ----------
    gain, cost : arrays
        Fall of the loss; EBOPs.
    powers : (kernels,) int array
        Exponent of what each removed weight would become.
    signs : (kernels,) array
        Its sign.
    """

    gain: np.ndarray
    cost: np.ndarray
    powers: np.ndarray
    signs: np.ndarray

    @property
    def rate(self) -> np.ndarray:
        """Gain per EBOP, 0 where nothing is gained or nothing would change."""
        return np.where((self.gain > 0) & (self.cost > 0), self.gain / np.maximum(self.cost, 1e-9), 0.0)


def offers(circuit: Circuit, moments: Moments, seen: Seen, batch: int, events: int) -> Offers:
    """Return what every removed weight, every further digit of a weight and every further bit of a unit would gain.

    Parameters
    ----------
    circuit, moments, seen, batch
        As for `qap.compress.coarsen.reduced`.
    events : int
        Of the epoch whose mean gradient the moments hold.
    """
    here, widths = circuit.layout, widths_seen(circuit, seen.largest)
    f, slope = curvature(circuit, moments, batch), moments.slope[: here.kernels].astype(np.float64)
    alive, fractions = circuit.alive[: here.kernels], circuit.fractions[: here.kernels]
    latent, value = circuit.weights[: here.kernels].astype(np.float64), circuit.quantized[: here.kernels]
    signs, powers = np.where(slope > 0, -1, 1), np.clip(np.rint(np.log2(np.abs(slope) / f + 1e-9)), *POWERS).astype(np.int64)
    fresh = np.ldexp(signs.astype(np.float64), powers)
    of_fresh = -slope * fresh - 0.5 * f * fresh**2 - CERTAIN / (2 * events)
    finer = np.ldexp(np.rint(np.ldexp(latent, fractions + 1)), -fractions - 1)
    of_finer = 0.5 * f * ((latent - value) ** 2 - (latent - finer) ** 2)
    reached = circuit.heard[here.target] & circuit.fed[here.source] & (widths[here.source] > 0)
    gain = np.where(reached, np.where(alive, of_finer, of_fresh), 0.0)
    cost = (significant_bits(np.where(alive, finer, fresh)) - circuit.bits) * widths[here.source]
    of_units = np.where((circuit.steps < FINEST) & (widths > 0), loss_of_bits(seen, circuit.steps + 1), 0.0)
    return Offers(np.concatenate([gain, of_units]), np.concatenate([cost, circuit.multiplied]), powers, signs)


def regrown(circuit: Circuit, moments: Moments, seen: Seen, batch: int, events: int, target: float) -> Circuit:
    """Return a circuit in which digits have come back that are worth more than what a reduction to a target takes for them.

    Parameters
    ----------
    circuit, moments, seen, batch, target
        As for `qap.compress.coarsen.reduced`, which is to follow.
    events : int
        As for `offers`.
    """
    found, now = prices(circuit, moments, seen, batch), traced_ebops(circuit, seen.largest)
    order, offered = found.order, offers(circuit, moments, seen, batch, events)
    best = np.argsort(-offered.rate, kind="stable")
    best = best[offered.rate[best] > 0]
    if not len(order) or not len(best):
        return circuit
    cost = offered.cost[best]
    total = np.cumsum(cost)
    paid = np.searchsorted(np.cumsum(found.saving[order]), max(now - target, 0.0) + total)
    price = found.each[order[np.minimum(paid, len(order) - 1)]]
    worth = (offered.rate[best] > MARGIN * price) & (total - cost < MOST * now)
    return _with(circuit, best[np.cumprod(worth).astype(bool)], offered)


def _with(circuit: Circuit, chosen: np.ndarray, offered: Offers) -> Circuit:
    kernels = circuit.layout.kernels
    weights, units = chosen[chosen < kernels], chosen[chosen >= kernels] - kernels
    values, fractions, alive, steps = circuit.copies
    new, old = weights[~alive[weights]], weights[alive[weights]]
    values[new] = np.ldexp(offered.signs[new].astype(np.float64), offered.powers[new])
    fractions[new], alive[new] = -offered.powers[new], True
    fractions[old] += 1
    steps[units] += 1
    return circuit.with_(weights=values, fractions=fractions, alive=alive, steps=steps)
