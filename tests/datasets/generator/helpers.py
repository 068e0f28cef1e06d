"""Jets made by hand, and a generator that is installed or the test is left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from qap.datasets.generator import build
from qap.datasets.generator.kinds import KINDS, Kind
from qap.datasets.generator.particles import Particles
from qap.datasets.generator.settings import Jets
from qap.errors import InputError


def need_generator() -> None:
    for name in ("pythia8mc", "fastjet", "awkward", "numba"):
        pytest.importorskip(name, reason="pip install 'qap[generator]'")


def dice_part(name: str, events: int, settings: Jets, seed: np.random.SeedSequence, tables: Path) -> dict[str, np.ndarray]:
    """Make events that need no library: what files, parts and processes do is seen as well with these."""
    if settings.pt_min < 2:
        raise InputError("pt_min: expected 2 or more")
    random = np.random.default_rng(seed)
    return {"features": random.normal(0, 1, (events, 2)).astype(np.float32), "tried": np.array(2 * events)}


def install_dice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a kind of data `dice` that needs no library."""
    kind = Kind(Jets, ("low", "high"), lambda settings: ("x", "y"), dice_part, "throws", lambda settings: False)
    monkeypatch.setitem(KINDS, "dice", kind)
    monkeypatch.setattr(build, "versions", lambda: {"dice": "1"})
    monkeypatch.setattr(build, "PART", 20)


def massless(events: Sequence[Sequence[tuple[float, float, float]]], pid: int = 22) -> Particles:
    """Particles of given (pT, η, φ) in each event."""
    rows = np.array([row for event in events for row in event], np.float64).reshape(-1, 3)
    index = np.repeat(np.arange(len(events)), [len(event) for event in events])
    pt, eta, phi = rows.T
    return Particles(
        index, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), pt * np.cosh(eta), np.full(len(pt), pid), len(events)
    )


def random_jets(jets: int, constituents: int, seed: int = 0, width: float = 0.25) -> Particles:
    """Collimated jets around random axes, some across φ = π."""
    generator = np.random.default_rng(seed)
    events = []
    for _ in range(jets):
        count = int(generator.integers(1, constituents + 1))
        pt = generator.exponential(3, count) ** 3 + 0.5
        eta = generator.uniform(-1.5, 1.5) + generator.normal(0, width, count)
        phi = generator.choice([0.3, np.pi, -2.0]) + generator.normal(0, width, count)
        events.append(list(zip(pt, eta, phi, strict=True)))
    return massless(events)
