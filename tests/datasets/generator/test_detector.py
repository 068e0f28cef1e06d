"""The detector: cells, resolutions, what is lost; pile-up: numbers and symmetries."""

from __future__ import annotations

import numpy as np
import pytest

from qap.datasets.generator.detector import ECAL_CELL, HCAL_CELL, TRACK_PT_MAX, measure
from qap.datasets.generator.particles import Particles, concatenate
from qap.datasets.generator.pileup import overlay

from .helpers import massless


def _random() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize(
    ("pid", "energy", "relative"),
    [
        (211, 10.0, np.hypot(0.00025 * 10, 0.015)),
        (13, 150.0, np.hypot(0.00025 * 150, 0.015)),
        (22, 100.0, np.sqrt(0.027**2 * 0.016 + 0.0024**2 + 0.005**2)),
        (130, 500.0, np.sqrt(1.44 * 7 / 500 + 0.05**2)),
        (211, TRACK_PT_MAX * 1.5, np.sqrt(1.44 * 7 / (TRACK_PT_MAX * 1.5) + 0.05**2)),
    ],
)
def test_resolutions(pid: int, energy: float, relative: float) -> None:
    events = 20_000
    seen = measure(massless([[(energy, 0.001, 1.0)]] * events, pid), _random())
    ratio = seen.e / energy
    assert len(ratio) == events
    assert ratio.mean() == pytest.approx(1, abs=5 * relative / np.sqrt(events) + 1e-4)
    assert ratio.std() == pytest.approx(relative, rel=0.03)  # six standard deviations of a standard deviation


def test_cells_add_energies_and_move_them_by_half_a_cell_at_most() -> None:
    generator = _random()
    rows = [
        (float(generator.exponential(50)) + 500, *map(float, generator.uniform((-4, -np.pi), (4, np.pi)))) for _ in range(500)
    ]
    for pid, size in ((22, ECAL_CELL), (2112, HCAL_CELL)):
        near = [(pt, eta + 1e-9, phi) for pt, eta, phi in rows]
        alone, twice = (measure(massless([part], pid), np.random.default_rng(1)) for part in (rows, rows + near))
        assert (len(alone.e) <= 500, len(alone.e)) == (True, len(twice.e)), "the same cells are hit"
        distance = np.abs(np.array([eta for _, eta, _ in rows])[:, None] - alone.eta)
        assert distance.min(axis=1).max() < size / 2 + 1e-9
        mass = alone.e**2 - alone.px**2 - alone.py**2 - alone.pz**2
        assert np.abs(mass).max() < 1e-6 * alone.e.max() ** 2


def test_kinds_and_acceptance() -> None:
    forward = massless([[(1.0, 5.1, 0.0), (1.0, -5.1, 1.0), (0.0, 0.0, 0.0)]], 211)
    assert len(measure(forward, _random()).e) == 0
    mixed = concatenate([massless([[(50.0, 0.1, 0.5)]], pid) for pid in (11, -13, 211, 22, 130, 2112)])
    seen = measure(mixed, _random())
    assert sorted(seen.pid.tolist()) == [-13, 11, 22, 130, 211], "two neutral hadrons in one cell"


def test_events_stay_apart_and_in_order() -> None:
    particles = concatenate([massless([[(30.0, 0.5, 1.0)], [], [(40.0, 0.5, 1.0)]], pid) for pid in (22, 211)])
    seen = measure(particles, _random())
    assert (seen.events, seen.counts.tolist()) == (3, [2, 0, 2])
    assert (np.diff(seen.event) >= 0).all()


def test_pileup_adds_a_poisson_number_of_turned_and_mirrored_events() -> None:
    events, mean = 4000, 6.0
    pool = massless([[(1.0, 1.0, 0.3), (2.0, 1.5, 0.8)], [(5.0, 0.5, 0.0)]])
    hard = massless([[(100.0, 0.0, 0.0)]] * events)
    both = overlay(hard, pool, mean, _random())
    assert (np.diff(both.event) >= 0).all()
    firsts = both.offsets[:-1]
    assert (both.pt[firsts] == 100).all(), "the event itself is there, first"
    copies = np.bincount(both.event, np.isclose(both.pt, 1) | np.isclose(both.pt, 5), events)
    assert copies.mean() == pytest.approx(mean, abs=5 * np.sqrt(mean / events))
    assert copies.var() == pytest.approx(mean, rel=0.15)
    added = np.ones(len(both.pt), bool)
    added[firsts] = False
    assert abs(np.mean(both.eta[added] > 0) - 0.5) < 0.02
    assert np.abs(np.mean(np.exp(1j * both.phi[added]))) < 0.03
    pairs = np.flatnonzero(np.isclose(both.pt, 1))
    turn = (both.phi[pairs + 1] - both.phi[pairs] + np.pi) % (2 * np.pi) - np.pi
    assert turn == pytest.approx(np.full(len(pairs), 0.5)), "an event is turned as a whole"
    assert overlay(hard, pool, 0.0, _random()).pt == pytest.approx(hard.pt)


def test_slices_hold_every_particle_once() -> None:
    particles = massless([[(float(i + 1), 0.0, 0.0)] * (i % 4) for i in range(23)])
    parts: list[Particles] = list(particles.slices(5))
    assert [part.events for part in parts] == [5, 5, 5, 5, 3]
    assert np.concatenate([part.px for part in parts]) == pytest.approx(particles.px)
    assert np.concatenate([part.counts for part in parts]).tolist() == particles.counts.tolist()
