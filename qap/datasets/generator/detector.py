"""A detector in the manner of CMS: calorimeter cells, tracks, Gaussian resolutions.

Cells, the loss of tracks at high momentum and the form of the resolutions follow E. Coleman, M. Freytsis, A. Hinzmann,
M. Narain, J. Thaler, N. Tran and C. Vernieri, The importance of calorimetry for highly-boosted jet substructure, JINST 13 (2018)
T01003, arXiv:1709.08705.
"""

from __future__ import annotations

import numpy as np

from qap.datasets.generator.particles import Particles, concatenate

HCAL_CELL = 0.022
ECAL_CELL = 0.0175
TRACK_PT_MAX = 220.0
"""GeV; a track of more momentum is measured as energy in the HCAL."""
ETA_MAX = 5.0
CHARGED_HADRONS = (211, 321, 2212, 3112, 3222, 3312, 3334)
CHARGED_LEPTONS = (11, 13, 15)
PHOTONS = (22, 111)


def measure(particles: Particles, random: np.random.Generator) -> Particles:
    """Return what the detector sees.

    Parameters
    ----------
    particles : Particles
        Without neutrinos.
    random : numpy.random.Generator

    Returns
    -------
    Particles
        Tracks and leptons with their kinds; cells of the ECAL as 22, of the HCAL as 130; nothing beyond |η| = 5.
    """
    particles = particles.take(np.abs(particles.pz) < np.sinh(ETA_MAX) * particles.pt)
    kind = np.abs(particles.pid)
    charged, photon = np.isin(kind, CHARGED_HADRONS), np.isin(kind, PHOTONS)
    track = np.isin(kind, CHARGED_LEPTONS) | (charged & (particles.pt <= TRACK_PT_MAX))
    tracks = particles.take(track)
    ecal = _cells(particles.take(photon), ECAL_CELL, 22)
    hcal = _cells(particles.take(~track & ~photon), HCAL_CELL, 130)
    return concatenate(
        [
            _scaled(tracks, _track_resolution(tracks.pt), random),
            _scaled(ecal, _ecal_resolution(ecal.e), random),
            _scaled(hcal, _hcal_resolution(hcal.e), random),
        ]
    )


def _cells(particles: Particles, size: float, pid: int) -> Particles:
    """Add up the energy in each cell of pseudorapidity and azimuth; a cell is massless, at its centre."""
    rows, columns = int(2 * ETA_MAX / size) + 1, int(2 * np.pi / size)
    row = np.floor((particles.eta + ETA_MAX) / size).astype(np.int64)
    column = (particles.phi % (2 * np.pi) / (2 * np.pi) * columns).astype(np.int64) % columns
    cells, index = np.unique((particles.event * rows + row) * columns + column, return_inverse=True)
    energy = np.bincount(index, particles.e, len(cells))
    event, row, column = cells // (rows * columns), cells // columns % rows, cells % columns
    eta, phi = (row + 0.5) * size - ETA_MAX, (column + 0.5) * 2 * np.pi / columns
    pt = energy / np.cosh(eta)
    kind = np.full(len(cells), pid)
    return Particles(event, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy, kind, particles.events)


def _scaled(particles: Particles, resolution: np.ndarray, random: np.random.Generator) -> Particles:
    """Multiply each momentum by a Gaussian factor around 1; what would turn negative is lost."""
    factor = random.normal(1, resolution)
    kept = particles.take(factor > 0)
    factor = factor[factor > 0]
    px, py, pz, e = (values * factor for values in (kept.px, kept.py, kept.pz, kept.e))
    return Particles(kept.event, px, py, pz, e, kept.pid, kept.events)


def _track_resolution(pt: np.ndarray) -> np.ndarray:
    return np.hypot(0.00025 * pt, 0.015)


def _ecal_resolution(energy: np.ndarray) -> np.ndarray:
    return np.sqrt(0.027**2 * 1.6 / energy + (0.15 * 1.6 / energy) ** 2 + 0.005**2)


def _hcal_resolution(energy: np.ndarray) -> np.ndarray:
    return np.sqrt(1.2**2 * 7 / energy + 0.05**2)
