"""Other collisions in the same bunch crossing: minimum-bias events laid over each event."""

from __future__ import annotations

import numpy as np

from qap.datasets.generator.particles import Particles, concatenate

POOL = 400
"""Minimum-bias events of one part of a file; each is used several times, turned and mirrored at random."""


def overlay(particles: Particles, pool: Particles, mean: float, random: np.random.Generator) -> Particles:
    """Add a Poisson number of minimum-bias events to each event.

    Parameters
    ----------
    particles : Particles
    pool : Particles
        Minimum-bias events, drawn with replacement; each copy is turned around the beam by a random angle and mirrored along it
        with probability 1/2.
    mean : float
        Mean number of added events.
    random : numpy.random.Generator

    Returns
    -------
    Particles
        Of as many events.
    """
    added = random.poisson(mean, particles.events)
    owner = np.repeat(np.arange(particles.events), added)
    chosen = random.integers(0, pool.events, len(owner))
    angle, side = random.uniform(0, 2 * np.pi, len(owner)), random.choice((-1.0, 1.0), len(owner))
    counts = pool.counts[chosen]
    copy = np.repeat(np.arange(len(owner)), counts)
    first = np.cumsum(counts) - counts
    index = pool.offsets[chosen][copy] + np.arange(len(copy)) - first[copy]
    cos, sin = np.cos(angle)[copy], np.sin(angle)[copy]
    px, py = pool.px[index], pool.py[index]
    extra = Particles(
        owner[copy], px * cos - py * sin, px * sin + py * cos, pool.pz[index] * side[copy], pool.e[index], pool.pid[index],
        particles.events,
    )  # fmt: skip
    return concatenate([particles, extra])
