"""Small files: features as 16-bit integers, each with an LSB of its own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

STEPS = 512
"""Steps in a standard deviation, at least: finer than any input grid of up to 9 fractional bits after standardisation."""
LARGEST = np.iinfo(np.int16).max
SMALLEST = np.finfo(np.float32).minexp
"""Exponent of the smallest LSB, which float32 holds in full."""


def packed(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Round the features of a file, and the jets' transverse momenta to 11 bits.

    Parameters
    ----------
    arrays : mapping of str to array
        ``features`` (events, features) among them, finite, and perhaps ``jet_pt`` (events,) in GeV.

    Returns
    -------
    dict of str to array
        ``features`` int16, ``lsb`` (features,) float32, powers of two: the largest that is at most σ/512, or, where that would
        not hold the largest value, the smallest that does; 2⁻¹²⁶ at least. ``jet_pt`` float16 (steps of 0.5 GeV, above 1024 GeV
        1 GeV).
    """
    features = arrays["features"].astype(np.float64)
    with np.errstate(divide="ignore"):  # a constant feature has σ = 0, one that is always 0 no largest value
        fine = np.floor(np.log2(features.std(axis=0) / STEPS))
        needed = np.ceil(np.log2(np.abs(features).max(axis=0) / LARGEST))
    exponent = np.maximum(np.maximum(fine, needed), SMALLEST)
    lsb = np.exp2(np.where(np.isfinite(np.maximum(fine, needed)), exponent, 0))
    found = {**arrays, "features": np.rint(features / lsb).astype(np.int16), "lsb": lsb.astype(np.float32)}
    if "jet_pt" in arrays:
        found["jet_pt"] = arrays["jet_pt"].astype(np.float16)
    return found
