"""The 16 jet observables of the benchmark of fast machine learning (arXiv:1804.06913), with their sources."""

from __future__ import annotations

import numpy as np

from qap.datasets.generator.correlators import correlators
from qap.datasets.generator.particles import Particles


def observables(jets: Particles, groomed: Particles) -> np.ndarray:
    """Return the observables of each jet.

    Parameters
    ----------
    jets, groomed : Particles
        Constituents before and after grooming; each event is a jet, the same in both.

    Returns
    -------
    (jets, 16) float64 array
        In the order of `kinds.OBSERVABLES`. With z the constituents' fractions of the summed transverse momentum, θ their
        distances in rapidity and azimuth, e2 and e3 the correlators of `correlators.correlators`:

        zlogz
            Σ (E_i/E) ln(E_i/E) before grooming.
        c1_b0, c1_b1, c1_b2
            C1 = e2 with θ^β, β = 0, 1, 2 (A. Larkoski, G. Salam and J. Thaler, JHEP 06 (2013) 108, arXiv:1305.0007).
        c2_b1, c2_b2
            C2 = e3/e2² (the same paper).
        d2_b1, d2_b2
            D2 = e3/e2³ (A. Larkoski, I. Moult and D. Neill, JHEP 12 (2014) 009, arXiv:1409.6298).
        d2_a1_b1, d2_a1_b2
            D2 with two exponents, e3^(α)/(e2^(β))^(3α/β), α = 1, β = 1, 2 (the same authors, JHEP 05 (2016) 117,
            arXiv:1507.03018); d2_a1_b1 is d2_b1.
        m2_b1, m2_b2
            M2 = 1e3/e2, the smallest angle of each triple (I. Moult, L. Necib and J. Thaler, JHEP 12 (2016) 153,
            arXiv:1609.07483).
        n2_b1, n2_b2
            N2 = 2e3/e2², the two smallest angles (the same paper).
        mass
            Of the summed four-momentum, in GeV.
        multiplicity
            Constituents before grooming.

        All but the first and the last after grooming. What is divided by e2 = 0, a jet of one constituent, is 0.
    """
    y = 0.5 * np.log((groomed.e + groomed.pz) / (groomed.e - groomed.pz))
    z = groomed.pt / _per_jet(groomed, groomed.pt)[groomed.event]
    e2_b0, b1, b2, e3_b1, e3_b2, m_b1, m_b2, n_b1, n_b2 = correlators(groomed.offsets, z, y, groomed.phi).T
    share = jets.e / _per_jet(jets, jets.e)[jets.event]
    d2_b1 = _ratio(e3_b1, b1**3)
    columns = (
        _per_jet(jets, share * np.log(share)),
        e2_b0,
        b1,
        b2,
        _ratio(e3_b1, b1**2),
        _ratio(e3_b2, b2**2),
        d2_b1,
        _ratio(e3_b2, b2**3),
        d2_b1,
        _ratio(e3_b1, b2**1.5),
        _ratio(m_b1, b1),
        _ratio(m_b2, b2),
        _ratio(n_b1, b1**2),
        _ratio(n_b2, b2**2),
        _mass(groomed),
        jets.counts.astype(np.float64),
    )
    return np.stack(columns, axis=1)


def _per_jet(jets: Particles, values: np.ndarray) -> np.ndarray:
    return np.bincount(jets.event, values, jets.events)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _mass(jets: Particles) -> np.ndarray:
    e, px, py, pz = (_per_jet(jets, values) for values in (jets.e, jets.px, jets.py, jets.pz))
    return np.sqrt(np.maximum(0, e**2 - px**2 - py**2 - pz**2))
