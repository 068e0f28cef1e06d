"""Particles of many events in flat arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Particles:
    """Four-momenta and kinds of particles, event after event.

    Parameters
    ----------
    event : (particles,) int64 array
        Rising; the particle belongs to this event.
    px, py, pz, e : (particles,) float64 arrays
        GeV.
    pid : (particles,) int64 array
        Particle Data Group number.
    events : int
        Events, those without a particle among them.
    """

    event: np.ndarray
    px: np.ndarray
    py: np.ndarray
    pz: np.ndarray
    e: np.ndarray
    pid: np.ndarray
    events: int

    @property
    def counts(self) -> np.ndarray:
        """(events,) particles of each event."""
        return np.bincount(self.event, minlength=self.events)

    @property
    def offsets(self) -> np.ndarray:
        """(events + 1,) first particle of each event."""
        return np.concatenate([[0], np.cumsum(self.counts)])

    @property
    def pt(self) -> np.ndarray:
        """(particles,) transverse momentum in GeV."""
        return np.hypot(self.px, self.py)

    @property
    def eta(self) -> np.ndarray:
        """(particles,) pseudorapidity."""
        return np.arcsinh(self.pz / self.pt)

    @property
    def phi(self) -> np.ndarray:
        """(particles,) azimuth from -π to π."""
        return np.arctan2(self.py, self.px)

    def take(self, index: np.ndarray | slice) -> Particles:
        """Return some of the particles, by index or mask, of the same events."""
        return replace(self, **{name: getattr(self, name)[index] for name in ("event", "px", "py", "pz", "e", "pid")})

    def slices(self, events: int) -> Iterator[Particles]:
        """Yield the particles of so many events at a time."""
        for first in range(0, self.events, events):
            count = min(events, self.events - first)
            part = self.take(slice(*self.offsets[[first, first + count]]))
            yield replace(part, event=part.event - first, events=count)


def concatenate(parts: list[Particles]) -> Particles:
    """Return the particles of several collections over the same events, sorted by event."""
    event = np.concatenate([part.event for part in parts])
    order = np.argsort(event, kind="stable")
    rest = {name: np.concatenate([getattr(part, name) for part in parts])[order] for name in ("px", "py", "pz", "e", "pid")}
    return Particles(event[order], **rest, events=parts[0].events)
