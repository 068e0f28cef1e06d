"""Cross-layer equalisation by powers of two: the ranges of neighbouring layers evened out, the function unchanged.

A unit's incoming weights and bias times 2**k, its outgoing weights times 2**−k: relu and linear units are positively
homogeneous, and powers of two change only exponents, so that every output keeps its bits. Nagel et al., "Data-free quantization
through weight equalization and bias correction", arXiv:1906.04721, with the scales rounded to powers of two.
"""

from __future__ import annotations

import itertools

import numpy as np

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.compress.method import Method, instant

SWEEPS = 20
"""At most; the exponents settle after a few."""


def _exponents(incoming: np.ndarray, outgoing: np.ndarray) -> np.ndarray:
    """Return k by unit, so that both sides come as near to the same range as powers of two allow."""
    before, after = np.abs(incoming).max(axis=0), np.abs(outgoing).max(axis=1)
    alive = (before > 0) & (after > 0)
    ratio = np.divide(after, before, out=np.ones_like(after), where=alive)
    return np.rint(np.log2(ratio) / 2).astype(np.int32)


def equalized(candidate: Candidate, context: Context) -> Candidate:
    """Return the candidate with equalised weights; its float outputs are the same to the last bit."""
    candidate.architecture.require_mlp("equalize")
    weights = dict(candidate.weights or {})
    for _ in range(SWEEPS):
        moved = False
        for name, following in itertools.pairwise(candidate.architecture.shapes):
            k = _exponents(weights[f"{name}/kernel"], weights[f"{following}/kernel"])
            moved |= bool(k.any())
            weights[f"{name}/kernel"] = np.ldexp(weights[f"{name}/kernel"], k)
            weights[f"{name}/bias"] = np.ldexp(weights[f"{name}/bias"], k)
            weights[f"{following}/kernel"] = np.ldexp(weights[f"{following}/kernel"], -k[:, None])
        if not moved:
            break
    return candidate.with_(weights=weights)


METHOD = Method(
    instant(equalized), "even out the ranges of neighbouring layers by powers of two", trains=False, quantized=False
)
