"""Jets from particles by FastJet (M. Cacciari, G. Salam and G. Soyez, Eur. Phys. J. C 72 (2012) 1896, arXiv:1111.6097)."""

from __future__ import annotations

from typing import Any

import numpy as np

from qap.datasets.generator.libraries import library
from qap.datasets.generator.particles import Particles

Z_CUT = 0.1
GROOMING_RADIUS = 1.5
"""Of the Cambridge/Aachen tree: larger than any jet, which becomes one tree."""


def momenta(particles: Particles) -> Any:
    """Return the momenta as an awkward array, events × particles."""
    awkward = library("awkward")
    flat = awkward.zip({"px": particles.px, "py": particles.py, "pz": particles.pz, "E": particles.e}, with_name="Momentum4D")
    return awkward.unflatten(flat, particles.counts)


def anti_kt(particles: Particles, radius: float, pt_min: float) -> tuple[Any, Any]:
    """Cluster each event (M. Cacciari, G. Salam and G. Soyez, JHEP 04 (2008) 063, arXiv:0802.1189).

    Parameters
    ----------
    particles : Particles
        Each event with one at least.
    radius : float
    pt_min : float
        GeV.

    Returns
    -------
    jets : awkward array, events × jets
        px, py, pz, E.
    constituents : awkward array, events × jets × particles
        Index of each constituent within its event.
    """
    fastjet = library("fastjet")
    sequence = fastjet.ClusterSequence(momenta(particles), fastjet.JetDefinition(fastjet.antikt_algorithm, radius))
    return sequence.inclusive_jets(min_pt=pt_min), sequence.constituent_index(min_pt=pt_min)


def leading_jets(particles: Particles, radius: float, pt_min: float, eta_max: float) -> Particles:
    """Return the constituents of the hardest jet of each event that has one above the thresholds.

    Parameters
    ----------
    particles : Particles
    radius : float
    pt_min : float
        GeV.
    eta_max : float
        Largest absolute pseudorapidity of the hardest jet; other jets do not take its place.

    Returns
    -------
    Particles
        Each jet is an event of its own.
    """
    awkward = library("awkward")
    particles = without_empty_events(particles)
    if not particles.events:
        return particles
    jets, constituents = anti_kt(particles, radius, pt_min)
    hardest = awkward.argmax(np.hypot(jets.px, jets.py), axis=1, keepdims=True)
    jet, index = jets[hardest], constituents[hardest]
    found = awkward.to_numpy(awkward.fill_none(awkward.num(index, axis=2), 0)[:, 0])
    pt = np.hypot(*(awkward.to_numpy(awkward.fill_none(jet[key], 0.0)[:, 0]) for key in ("px", "py")))
    pz = awkward.to_numpy(awkward.fill_none(jet.pz, 0.0)[:, 0])
    central = (found > 0) & (np.abs(pz) < np.sinh(eta_max) * pt)
    counts = found[central]
    inside = awkward.to_numpy(awkward.flatten(index[central], axis=None))
    taken = particles.take(np.repeat(particles.offsets[:-1][central], counts) + inside)
    event = np.repeat(np.arange(len(counts)), counts)
    return Particles(event, taken.px, taken.py, taken.pz, taken.e, taken.pid, len(counts))


def without_empty_events(particles: Particles) -> Particles:
    """Return the same particles with the events that have some numbered from 0."""
    present, event = np.unique(particles.event, return_inverse=True)
    return Particles(event, particles.px, particles.py, particles.pz, particles.e, particles.pid, len(present))


def groomed(jets: Particles) -> Particles:
    """Groom jets by the modified mass-drop tagger: soft drop with β = 0 and z_cut = 0.1.

    Parameters
    ----------
    jets : Particles
        Each event a jet.

    Returns
    -------
    Particles
        The constituents that stay, without their kinds (0), each event a jet; a jet none of whose declusterings passes is left
        with one constituent.

    Notes
    -----
    M. Dasgupta, A. Fregoso, S. Marzani and G. Salam, JHEP 09 (2013) 029, arXiv:1307.0007; A. Larkoski, S. Marzani, G. Soyez and
    J. Thaler, JHEP 05 (2014) 146, arXiv:1402.2657.
    """
    awkward, fastjet = library("awkward"), library("fastjet")
    if not jets.events:
        return jets
    sequence = fastjet.ClusterSequence(momenta(jets), fastjet.JetDefinition(fastjet.cambridge_algorithm, GROOMING_RADIUS))
    kept = sequence.exclusive_jets_softdrop_grooming(njets=1, beta=0.0, symmetry_cut=Z_CUT, R0=1.0).constituents
    counts = awkward.to_numpy(awkward.num(kept, axis=1))
    px, py, pz, e = (awkward.to_numpy(awkward.flatten(kept[key])) for key in ("px", "py", "pz", "E"))
    return Particles(np.repeat(np.arange(jets.events), counts), px, py, pz, e, np.zeros(len(px), int), jets.events)
