"""One part of a file of jets: events, detector, the hardest jet of each event, what is stored of it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from qap.datasets.generator.clustering import groomed, leading_jets
from qap.datasets.generator.detector import measure
from qap.datasets.generator.events import JET_PROCESSES, SEEDS, jet_events, minimum_bias, visible
from qap.datasets.generator.particles import Particles
from qap.datasets.generator.pileup import POOL, overlay
from qap.datasets.generator.settings import Constituents, Jets
from qap.errors import InputError

CLASSES = tuple(JET_PROCESSES)
LEAST_ACCEPTED = 0.02
"""Fraction of the events that must give a jet."""
ROUND = 1000
"""Events from one start of Pythia."""
SLICE = 50
"""Events with pile-up at a time, for memory."""


def jet_part(kind: str, jets: int, settings: Jets, seed: np.random.SeedSequence, tables: Path) -> dict[str, np.ndarray]:
    """Make jets of one class.

    Parameters
    ----------
    kind : str
        Key of `JET_PROCESSES`.
    jets : int
    settings : Jets
        `Constituents`: their lists are stored in the place of the observables.
    seed : numpy.random.SeedSequence
    tables : Path
        By `events.write_tables`; read for pile-up. Its folder takes temporary files.

    Returns
    -------
    dict
        ``features`` (jets, features) float32, ``jet_pt`` (jets,) float32 in GeV, ``tried`` int64, events made.

    Raises
    ------
    InputError
        Hardly an event gives a jet.
    """
    random = np.random.default_rng(seed)
    pool = visible(minimum_bias(_pythia_seed(random), tables), POOL) if settings.pileup else None
    found: list[tuple[np.ndarray, np.ndarray]] = []
    have = tried = 0
    with tempfile.TemporaryDirectory(dir=tables.parent) as folder:  # a process that is ended leaves it: it goes with the parts
        while have < jets:
            if tried >= ROUND // 2 and have < LEAST_ACCEPTED * tried:
                raise InputError(
                    f"class {kind}: {have} of {tried} events have a jet with pT > {settings.pt_min:g} GeV and |η| < "
                    f"{settings.eta_max:g}: lower pt_min, or raise eta_max or pt_hat_min"
                )
            events = min(ROUND, int(1.02 * (jets - have)) + 10)
            seeds = (_pythia_seed(random), _pythia_seed(random))
            particles = jet_events(kind, events, settings, seeds, Path(folder))
            for part in particles.slices(ROUND if pool is None else SLICE):
                found.append(_stored(_measured(part, pool, settings, random), settings))
            have, tried = sum(len(pt) for _, pt in found), tried + events
    features, pt = (np.concatenate(values)[:jets].astype(np.float32) for values in zip(*found, strict=True))
    return {"features": features, "jet_pt": pt, "tried": np.int64(tried)}  # type: ignore[dict-item]


def _pythia_seed(random: np.random.Generator) -> int:
    return int(random.integers(1, SEEDS))


def _measured(particles: Particles, pool: Particles | None, settings: Jets, random: np.random.Generator) -> Particles:
    """Return the constituents of the jets."""
    if pool is not None:
        particles = overlay(particles, pool, settings.pileup, random)
    if settings.detector:
        particles = measure(particles, random)
    return leading_jets(particles, settings.radius, settings.pt_min, settings.eta_max)


def _stored(jets: Particles, settings: Jets) -> tuple[np.ndarray, np.ndarray]:
    from qap.datasets.generator.observables import observables  # numba compiles on import of its module

    px, py = (np.bincount(jets.event, values, jets.events) for values in (jets.px, jets.py))
    if isinstance(settings, Constituents):
        return constituent_lists(jets, settings.constituents), np.hypot(px, py)
    return observables(jets, groomed(jets)), np.hypot(px, py)


def constituent_lists(jets: Particles, count: int) -> np.ndarray:
    """Return the hardest constituents of each jet.

    Parameters
    ----------
    jets : Particles
        Each event is a jet.
    count : int
        Constituents kept of each.

    Returns
    -------
    (jets, 3 · count) array
        pT in GeV, Δη and Δφ from the jet's axis, of one constituent after the other, falling in pT; zeros where there is none.
    """
    px, py, pz = (np.bincount(jets.event, values, jets.events) for values in (jets.px, jets.py, jets.pz))
    eta, phi = np.arcsinh(pz / np.hypot(px, py)), np.arctan2(py, px)
    order = np.lexsort((-jets.pt, jets.event))
    ranked = jets.take(order)
    rank = np.arange(len(order)) - ranked.offsets[ranked.event]
    kept = ranked.take(rank < count)
    lists = np.zeros((jets.events, count, 3))
    turn = (kept.phi - phi[kept.event] + np.pi) % (2 * np.pi) - np.pi
    lists[kept.event, rank[rank < count]] = np.stack([kept.pt, kept.eta - eta[kept.event], turn], axis=1)
    return lists.reshape(jets.events, -1)
