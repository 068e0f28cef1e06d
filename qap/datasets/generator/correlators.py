"""Energy correlation functions of jets, compiled: a jet of 100 constituents has 161,700 triples."""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import numpy as np

from qap.datasets.generator.libraries import library

njit: Any = library("numba").njit

COLUMNS = ("e2_b0", "e2_b1", "e2_b2", "e3_b1", "e3_b2", "1e3_b1", "1e3_b2", "2e3_b1", "2e3_b2")


@njit(cache=True)
def _angles(y: np.ndarray, phi: np.ndarray) -> np.ndarray:
    count = y.size
    angles = np.empty((count, count))
    for i in range(count):
        for j in range(i + 1):
            turn = abs(phi[i] - phi[j])
            if turn > pi:
                turn = 2 * pi - turn
            angles[i, j] = sqrt((y[i] - y[j]) ** 2 + turn * turn)
            angles[j, i] = angles[i, j]
    return angles


@njit(cache=True)
def correlators(offsets: np.ndarray, z: np.ndarray, y: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """Return the 2- and 3-point correlators of each jet.

    Parameters
    ----------
    offsets : (jets + 1,) integer array
        First constituent of each jet.
    z, y, phi : (constituents,) float64 arrays
        Fraction of the jet's transverse momentum, rapidity, azimuth.

    Returns
    -------
    (jets, 9) float64 array
        `COLUMNS`. With θ the distances in (y, φ): e2 = Σ z_i z_j θ^β over pairs; e3, 1e3 and 2e3 = Σ z_i z_j z_k times the
        product of all three θ^β, of the smallest one, of the two smallest (A. Larkoski, G. Salam and J. Thaler, JHEP 06 (2013)
        108, arXiv:1305.0007; I. Moult, L. Necib and J. Thaler, JHEP 12 (2016) 153, arXiv:1609.07483).
    """
    found = np.zeros((offsets.size - 1, 9))
    for jet in range(offsets.size - 1):
        start, stop = offsets[jet], offsets[jet + 1]
        angles = _angles(y[start:stop], phi[start:stop])
        weights = z[start:stop]
        row = found[jet]
        for i in range(stop - start):
            for j in range(i):
                pair, a = weights[i] * weights[j], angles[i, j]
                row[0] += pair
                row[1] += pair * a
                row[2] += pair * a * a
                for k in range(j):
                    weight, b, c = pair * weights[k], angles[i, k], angles[j, k]
                    small, large = min(b, c), max(b, c)
                    smallest, middle, largest = min(a, small), max(small, min(a, large)), max(a, large)
                    two = smallest * middle
                    three = two * largest
                    row[3] += weight * three
                    row[4] += weight * three * three
                    row[5] += weight * smallest
                    row[6] += weight * smallest * smallest
                    row[7] += weight * two
                    row[8] += weight * two * two
    return found
