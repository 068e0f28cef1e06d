"""Networks and reports by hand, for the tests of the csynth-equivalent model."""

from __future__ import annotations

from typing import Any

import numpy as np

from qap.cost.features import dense_features
from qap.cost.hls_source import HLSType
from qap.cost.report_table import Row
from qap.cost.terms import Network, widths


def layer(
    inputs: int = 16, outputs: int = 32, *, bits: int = 6, x: int = 16, accum: int = 24, density: float = 0.6, seed: int = 0,
    strategy: str = "latency", reuse: int = 1, clock: float = 5.0, multipliers: str | None = None,
) -> Network:  # fmt: skip
    """One matrix multiplication with random weights of `bits` bits."""
    generator = np.random.default_rng(seed)
    kernel = generator.integers(-(2 ** (bits - 1)) + 1, 2 ** (bits - 1), (inputs, outputs)).astype(float)
    kernel[generator.random(kernel.shape) > density] = 0
    kernel[0, 0] = 1
    types = {"weight": HLSType(True, bits, bits), "inputs": HLSType(True, x, x), "accum": HLSType(True, accum, accum)}
    features = widths(dense_features(kernel, np.zeros(outputs), **types))
    return Network(features, strategy, reuse, clock_ns=clock, multipliers=multipliers)


def row(network: Network, group: str, part: str | None = None, **figures: float) -> Row:
    """A report: figures that are not given are 0, cycles 1."""
    known: dict[str, Any] = {"LUT": 0, "FF": 0, "DSP": 0, "BRAM_18K": 0, "latency_cycles": 1, "II": 1, **figures}
    return Row(network, known, group, "by hand", part)
