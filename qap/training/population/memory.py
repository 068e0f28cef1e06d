"""How much memory a population takes, and how much there is."""

from __future__ import annotations

import os
from pathlib import Path

from qap.errors import InputError
from qap.models.architecture import Architecture

FLOAT = 4
SHARE = 0.8
"""Share of the free memory that a population may take."""


def available() -> int:
    """Return the free memory in bytes, file caches counted as free where the system says how much they are."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def lane_bytes(architecture: Architecture, batch: int, steps: int) -> int:
    """Return an estimate of what one candidate in training takes.

    Latent weights, two moments, masks, gradients and their copies across a step; for each event the features, sums, outputs and
    their gradients; the order of an epoch's events.
    """
    weights = sum(inputs * units + units for inputs, units in architecture.shapes.values())
    widths = architecture.inputs + sum(layer.units for layer in architecture.layers)
    return FLOAT * (12 * weights + 4 * batch * widths + 2 * steps * batch)


def check_lanes(lanes: int, bytes_per_lane: int, data_bytes: int, free: int) -> None:
    """Refuse a population that does not fit.

    Raises
    ------
    InputError
        With the number of lanes that fits.
    """
    fits = int((SHARE * free - data_bytes) // bytes_per_lane)
    if lanes <= fits:
        return
    need = (data_bytes + lanes * bytes_per_lane) / 2**20
    advice = f"use {fits} or fewer" if fits > 0 else "lower train.batch or the number of training events"
    raise InputError(
        f"population: {lanes} candidates at once need about {need:,.0f} MB, {free / 2**20:,.0f} MB are free: {advice}"
    )
