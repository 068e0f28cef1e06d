"""The 16 observables against their formulas by hand and in plain Python."""

from __future__ import annotations

from itertools import combinations
from math import atan2, hypot, log, pi, sqrt

import numpy as np
import pytest

from qap.datasets.generator.kinds import OBSERVABLES
from qap.datasets.generator.particles import Particles

from .helpers import massless, need_generator, random_jets

need_generator()

from qap.datasets.generator.observables import observables  # noqa: E402


def _by_definition(jet: Particles, groomed: Particles) -> dict[str, float]:
    """One jet: sums over pairs and triples as the papers write them."""
    total = sum(jet.e)
    parts = [(hypot(x, y), 0.5 * log((e + z) / (e - z)), atan2(y, x)) for x, y, z, e in _momenta(groomed)]
    scalar = sum(pt for pt, _, _ in parts)

    def angle(a: tuple[float, float, float], b: tuple[float, float, float]) -> float:
        turn = abs(a[2] - b[2])
        return sqrt((a[1] - b[1]) ** 2 + min(turn, 2 * pi - turn) ** 2)

    def e2(beta: float) -> float:
        return sum(a[0] * b[0] / scalar**2 * angle(a, b) ** beta for a, b in combinations(parts, 2))

    def e3(beta: float, smallest: int) -> float:
        found = 0.0
        for a, b, c in combinations(parts, 3):
            angles = sorted([angle(a, b), angle(b, c), angle(a, c)])[:smallest]
            found += a[0] * b[0] * c[0] / scalar**3 * float(np.prod(angles)) ** beta
        return found

    found = {
        "zlogz": sum(e / total * log(e / total) for e in jet.e),
        "mass_mmdt": sqrt(max(0.0, sum(groomed.e) ** 2 - sum(groomed.px) ** 2 - sum(groomed.py) ** 2 - sum(groomed.pz) ** 2)),
        "multiplicity": float(len(jet.e)),
        "c1_b0_mmdt": e2(0) if len(parts) > 1 else 0.0,
    }
    for beta in (1, 2):
        two = e2(beta)
        values = {
            f"c1_b{beta}": two,
            f"c2_b{beta}": e3(beta, 3) / two**2 if two else 0,
            f"d2_b{beta}": e3(beta, 3) / two**3 if two else 0,
            f"d2_a1_b{beta}": e3(1, 3) / two ** (3 / beta) if two else 0,
            f"m2_b{beta}": e3(beta, 1) / two if two else 0,
            f"n2_b{beta}": e3(beta, 2) / two**2 if two else 0,
        }
        found.update({f"{name}_mmdt": value for name, value in values.items()})
    return found


def _momenta(jet: Particles) -> list[tuple[float, float, float, float]]:
    return list(zip(jet.px.tolist(), jet.py.tolist(), jet.pz.tolist(), jet.e.tolist(), strict=True))


def test_a_jet_of_two_prongs_by_hand() -> None:
    """Momentum fractions 0.7 and 0.3 at a distance of 0.4 in φ: every two-point function is 0.21 · 0.4^β, no triple."""
    jet = massless([[(70.0, 0.0, 0.1), (30.0, 0.0, 0.5)]])
    found = dict(zip(OBSERVABLES, observables(jet, jet)[0], strict=True))
    expected = dict.fromkeys(OBSERVABLES, 0.0) | {
        "zlogz": 0.7 * log(0.7) + 0.3 * log(0.3),
        "c1_b0_mmdt": 0.21,
        "c1_b1_mmdt": 0.21 * 0.4,
        "c1_b2_mmdt": 0.21 * 0.16,
        "mass_mmdt": sqrt(2 * 70 * 30 * (1 - np.cos(0.4))),
        "multiplicity": 2.0,
    }
    assert found == pytest.approx(expected, abs=1e-12)


def test_three_equal_prongs_at_the_corners_of_a_triangle() -> None:
    """Equal sides d: e2 = d^β/3, e3 = d^(3β)/27; so C2 = d^β/3, D2 = 1, M2 = 1/9, N2 = 1/3."""
    side, beta2 = 0.3, 0.09
    jet = massless([[(50.0, 0.0, 0.0), (50.0, side, 0.0), (50.0, side / 2, side * sqrt(3) / 2)]])
    found = dict(zip(OBSERVABLES, observables(jet, jet)[0], strict=True))
    for name, value in {"c2_b1": side / 3, "c2_b2": beta2 / 3, "d2_b1": 1, "d2_b2": 1, "d2_a1_b1": 1, "n2_b1": 1 / 3}.items():
        assert found[f"{name}_mmdt"] == pytest.approx(value, rel=1e-9), name
    assert found["d2_a1_b2_mmdt"] == pytest.approx((side**3 / 27) / (beta2 / 3) ** 1.5, rel=1e-9)
    assert [found["m2_b1_mmdt"], found["m2_b2_mmdt"]] == pytest.approx([1 / 9, 1 / 9], rel=1e-9)


def test_random_jets_against_plain_python() -> None:
    jets, groomed = random_jets(40, 14, seed=1), random_jets(40, 9, seed=2)
    found = observables(jets, groomed)
    assert found.shape == (40, len(OBSERVABLES))
    worst = 0.0
    for i in range(40):
        expected = _by_definition(jets.take(jets.event == i), groomed.take(groomed.event == i))
        row = np.array([expected[name] for name in OBSERVABLES])
        gap = np.abs(found[i] - row) / np.maximum(1e-6, np.abs(row))
        worst = max(worst, float(gap.max()))
        assert gap.max() < 1e-6, (
            f"jet {i}: {OBSERVABLES[int(gap.argmax())]}: {found[i][gap.argmax()]} against {row[gap.argmax()]}"
        )
    print(f"largest relative difference {worst:.1e}")


def test_what_is_divided_by_no_angle_is_zero() -> None:
    jet = massless([[(40.0, 0.2, 1.0)]])
    row = dict(zip(OBSERVABLES, observables(jet, jet)[0], strict=True))
    assert row == pytest.approx(dict.fromkeys(OBSERVABLES, 0.0) | {"multiplicity": 1.0}, abs=1e-5)
