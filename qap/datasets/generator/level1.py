"""One part of a file of Level-1 events: whole collisions as a trigger's hardest objects.

The 57 features and the signals are those of E. Govorkova et al., LHC physics dataset for unsupervised New Physics detection at
40 MHz, Sci. Data 9 (2022) 118, arXiv:2107.02157; there a lepton above 23 GeV is asked for, here no event is left out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qap.datasets.generator.clustering import anti_kt, without_empty_events
from qap.datasets.generator.detector import measure
from qap.datasets.generator.events import COLLISIONS, SEEDS, minimum_bias, pythia, visible
from qap.datasets.generator.libraries import library
from qap.datasets.generator.particles import Particles
from qap.datasets.generator.pileup import POOL, overlay
from qap.datasets.generator.settings import Level1

LEPTONS = "11 13 15"
STANDARD_MODEL = {
    "w_lnu": ("WeakSingleBoson:ffbar2W = on", "24:onMode = off", f"24:onIfAny = {LEPTONS}"),
    "z_ll": ("WeakSingleBoson:ffbar2gmZ = on", "23:onMode = off", f"23:onIfAny = {LEPTONS}", "PhaseSpace:mHatMin = 50."),
    "qcd": ("HardQCD:all = on",),
    "ttbar": ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on"),
}
"""Name → what makes it; weighted by their cross sections they are the mix of the Standard Model."""
HIGGS = ("HiggsSM:gg2H = on", "25:onMode = off")
SIGNALS = {
    "a_4l": (*HIGGS, "25:m0 = 50.", "25:onIfMatch = 23 23", "23:onMode = off", "23:onIfAny = 11 13"),
    "lq_btau": ("LeptoQuark:gg2LQLQbar = on", "LeptoQuark:qqbar2LQLQbar = on", "42:m0 = 80.", "42:0:products = 5 -15"),
    "h0_tautau": (*HIGGS, "25:m0 = 60.", "25:onIfAny = 15"),
    "hpm_taunu": ("Higgs:useBSM = on", "HiggsBSM:ffbar2H+- = on", "37:m0 = 60.", "37:onMode = off", "37:onIfMatch = 15 16"),
}
"""A neutral scalar of 50 GeV to four leptons by two virtual Z, pairs of leptoquarks of 80 GeV, scalars of 60 GeV."""
CLASSES = (*STANDARD_MODEL, "minimum_bias", *SIGNALS)
OBJECTS = ("met", *(f"electron{i}" for i in range(4)), *(f"muon{i}" for i in range(4)), *(f"jet{i}" for i in range(10)))
FEATURES = tuple(f"{name}_{value}" for name in OBJECTS for value in ("pt", "eta", "phi"))
LEPTON_PT_MIN, JET_PT_MIN = 3.0, 15.0
"""GeV."""
ELECTRON_ETA_MAX, MUON_ETA_MAX, JET_ETA_MAX = 3.0, 2.4, 4.0
JET_RADIUS = 0.4
CONE, ISOLATION_MAX = 0.3, 0.45
"""A lepton counts when the others in this distance have less than this share of its transverse momentum."""
BATCH = 100
"""Events at a time, for memory."""


def level1_part(kind: str, events: int, settings: Level1, seed: np.random.SeedSequence, tables: Path) -> dict[str, np.ndarray]:
    """Make events of one class.

    Parameters
    ----------
    kind : str
        One of `CLASSES`.
    events : int
    settings : Level1
    seed : numpy.random.SeedSequence
    tables : Path
        By `events.write_tables`.

    Returns
    -------
    dict
        ``features`` (events, 57) float32, ``tried`` int64, ``cross_section_pb`` float64, by Pythia at leading order.
    """
    random = np.random.default_rng(seed)
    seeds = random.integers(1, SEEDS, 2)
    pool = visible(minimum_bias(int(seeds[1]), tables), POOL) if settings.pileup else None
    if kind == "minimum_bias":
        generator = minimum_bias(int(seeds[0]), tables)
    else:
        generator = pythia((*COLLISIONS, *_process(kind, settings)), int(seeds[0]))
    features = []
    for first in range(0, events, BATCH):
        particles = visible(generator, min(BATCH, events - first))
        if pool is not None:
            particles = overlay(particles, pool, settings.pileup, random)
        features.append(objects(measure(particles, random)))
    return {
        "features": np.concatenate(features).astype(np.float32),
        "tried": np.array(events),
        "cross_section_pb": np.array(generator.infoPython().sigmaGen() * 1e9),
    }


def _process(kind: str, settings: Level1) -> tuple[str, ...]:
    if kind == "qcd":
        return (*STANDARD_MODEL[kind], f"PhaseSpace:pTHatMin = {settings.qcd_pt_hat_min}")
    return {**STANDARD_MODEL, **SIGNALS}[kind]


def objects(seen: Particles) -> np.ndarray:
    """Return the objects of each event.

    Parameters
    ----------
    seen : Particles
        After the detector.

    Returns
    -------
    (events, 57) array
        `FEATURES`: missing transverse momentum (its η is 0), isolated electrons, isolated muons, jets of everything else, each
        falling in pT; zeros where there is none.
    """
    kind = np.abs(seen.pid)
    hard = seen.pt > LEPTON_PT_MIN
    electron = isolated(seen, hard & (kind == 11) & (np.abs(seen.eta) < ELECTRON_ETA_MAX))
    muon = isolated(seen, hard & (kind == 13) & (np.abs(seen.eta) < MUON_ETA_MAX))
    px, py = (0.0 - np.bincount(seen.event, values, seen.events) for values in (seen.px, seen.py))  # no −0: its angle is π
    missing = np.stack([np.hypot(px, py), np.zeros(seen.events), np.arctan2(py, px)], axis=1)
    parts = (hardest(seen.take(electron), 4), hardest(seen.take(muon), 4), hardest(_jets(seen.take(~electron & ~muon)), 10))
    return np.concatenate([missing, *parts], axis=1)


def isolated(seen: Particles, wanted: np.ndarray) -> np.ndarray:
    """Return which of the wanted particles are isolated, as a mask over all."""
    found = np.zeros(len(wanted), bool)
    pt, eta, phi, offsets = seen.pt, seen.eta, seen.phi, seen.offsets
    for i in np.flatnonzero(wanted):
        event = slice(*offsets[seen.event[i] : seen.event[i] + 2])
        turn = (phi[event] - phi[i] + np.pi) % (2 * np.pi) - np.pi
        near = (eta[event] - eta[i]) ** 2 + turn**2 < CONE**2
        found[i] = pt[event][near].sum() - pt[i] < ISOLATION_MAX * pt[i]
    return found


def hardest(particles: Particles, count: int) -> np.ndarray:
    """Return (events, 3 · count): pT, η, φ of the hardest of each event, zeros where there are fewer."""
    ranked = particles.take(np.lexsort((-particles.pt, particles.event)))
    rank = np.arange(len(ranked.event)) - ranked.offsets[ranked.event]
    kept = ranked.take(rank < count)
    table = np.zeros((particles.events, count, 3))
    table[kept.event, rank[rank < count]] = np.stack([kept.pt, kept.eta, kept.phi], axis=1)
    return table.reshape(particles.events, -1)


def _jets(particles: Particles) -> Particles:
    """Return the jets of each event, as particles."""
    awkward = library("awkward")
    present = np.unique(particles.event)
    if not len(present):
        return particles
    found, _ = anti_kt(without_empty_events(particles), JET_RADIUS, JET_PT_MIN)
    event = np.repeat(present, awkward.to_numpy(awkward.num(found)))
    px, py, pz, e = (awkward.to_numpy(awkward.flatten(found[key])) for key in ("px", "py", "pz", "E"))
    jets = Particles(event, px, py, pz, e, np.zeros(len(px), int), particles.events)
    return jets.take(np.abs(jets.eta) < JET_ETA_MAX)
