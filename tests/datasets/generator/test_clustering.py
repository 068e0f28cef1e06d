"""Jets and grooming against clustering and mass drop in plain Python."""

from __future__ import annotations

from itertools import combinations
from math import atan2, hypot, log, pi
from typing import NamedTuple

import numpy as np
import pytest

from qap.datasets.generator.clustering import Z_CUT, groomed, leading_jets
from qap.datasets.generator.particles import Particles

from .helpers import massless, need_generator, random_jets

need_generator()


class Pseudojet(NamedTuple):
    p: np.ndarray
    members: tuple[int, ...]
    parents: tuple[Pseudojet, Pseudojet] | None = None

    @property
    def pt(self) -> float:
        return hypot(self.p[0], self.p[1])


def _squared(a: Pseudojet, b: Pseudojet) -> float:
    y = [0.5 * log((one.p[3] + one.p[2]) / (one.p[3] - one.p[2])) for one in (a, b)]
    turn = abs(atan2(a.p[1], a.p[0]) - atan2(b.p[1], b.p[0]))
    return (y[0] - y[1]) ** 2 + min(turn, 2 * pi - turn) ** 2


def _cluster(particles: Particles, radius: float, power: int) -> list[Pseudojet]:
    """Sequential recombination as defined: d_ij = min(pT^2p) ΔR²/R², d_iB = pT^2p."""
    momenta = np.stack([particles.px, particles.py, particles.pz, particles.e], axis=1)
    left = [Pseudojet(p, (i,)) for i, p in enumerate(momenta)]
    jets = []
    while left:
        beam = min(left, key=lambda one: one.pt ** (2 * power))
        pairs = [
            (min(a.pt ** (2 * power), b.pt ** (2 * power)) * _squared(a, b) / radius**2, i, j)
            for (i, a), (j, b) in combinations(enumerate(left), 2)
        ]
        if pairs and min(pairs)[0] < beam.pt ** (2 * power):
            _, i, j = min(pairs)
            a, b = left[i], left[j]
            left = [one for k, one in enumerate(left) if k not in (i, j)]
            left.append(Pseudojet(a.p + b.p, a.members + b.members, (a, b)))
        else:
            left = [one for one in left if one is not beam]
            jets.append(beam)
    return sorted(jets, key=lambda one: -one.pt)


def _mass_drop(jet: Pseudojet) -> Pseudojet:
    while jet.parents is not None:
        hard, soft = sorted(jet.parents, key=lambda one: -one.pt)
        if soft.pt / (hard.pt + soft.pt) > Z_CUT:
            return jet
        jet = hard
    return jet


def test_grooming_keeps_what_a_mass_drop_in_plain_python_keeps() -> None:
    jets = random_jets(60, 20, seed=3)
    kept = groomed(jets)
    shed = 0
    for i in range(jets.events):
        jet = jets.take(jets.event == i)
        (tree,) = _cluster(jet, 100.0, 0)
        members = sorted(_mass_drop(tree).members)
        found = kept.take(kept.event == i)
        assert np.sort(found.px) == pytest.approx(np.sort(jet.px[members]), rel=1e-9), f"jet {i}"
        shed += len(jet.px) - len(members)
    assert shed > 100, f"only {shed} constituents were groomed away: the jets test nothing"


def test_the_leading_jet_is_that_of_anti_kt_in_plain_python() -> None:
    generator = np.random.default_rng(5)
    events = [
        [
            (float(generator.exponential(20)) + 1, float(generator.uniform(-2, 2)), float(generator.uniform(-pi, pi)))
            for _ in range(25)
        ]
        for _ in range(30)
    ]
    particles = massless(events)
    found = leading_jets(particles, 0.8, 90.0, 2.5)
    expected = []
    for i in range(30):
        event = particles.take(particles.event == i)
        hardest = _cluster(event, 0.8, -1)[0]
        if hardest.pt > 90:
            expected.append(np.sort(event.px[list(hardest.members)]))
    assert 10 < len(expected) < 30, f"{len(expected)} of 30 events pass: the threshold tests nothing"
    assert found.events == len(expected)
    for i, px in enumerate(expected):
        assert np.sort(found.px[found.event == i]) == pytest.approx(px, rel=1e-9), f"jet {i}"


def test_a_forward_leading_jet_is_not_replaced_by_the_second() -> None:
    two = [(900.0, 3.0, 0.0), (700.0, 0.0, 3.0)]
    assert leading_jets(massless([two]), 0.8, 500.0, 2.5).events == 0
    assert leading_jets(massless([two]), 0.8, 500.0, 3.5).px == pytest.approx([900.0])


def test_events_without_particles_or_jets_give_none() -> None:
    particles = massless([[], [(20.0, 0.0, 0.0)], [(800.0, 0.5, 1.0)], []])
    found = leading_jets(particles, 0.8, 500.0, 2.5)
    assert (found.events, found.pt.tolist()) == (1, pytest.approx([800.0]))
    assert leading_jets(massless([[], []]), 0.8, 500.0, 2.5).events == 0
