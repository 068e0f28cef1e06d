"""The quantities of a network that its csynth figures are linear in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

WIDE_WEIGHT = 8
"""From this width on the resource strategy takes one DSP for every multiplication."""
NARROW_WEIGHT = 4
"""Up to this width it takes none."""
NARROW_DSP = 0.97
"""DSPs for a multiplication between the two widths."""
BRAM_WIDTH, BRAM_DEPTH = 36, 512
"""Shape of a BRAM_18K."""
LONGEST_EXACT = 512
"""Above this reuse factor the reports of the latency strategy have one multiplier more than hls4ml's limit."""
REFERENCE_CLOCK = 5.0
"""Nanoseconds."""


@dataclass(frozen=True, slots=True)
class Network:
    """The matrix multiplications of a network, summed.

    Parameters
    ----------
    features : mapping
        Sums of what `qap.cost.features.dense_features` gives for each layer, and of `widths`.
    strategy : {'latency', 'resource'}
    reuse_factor : int
    layers : int, default 1
        Matrix multiplications.
    softmax : int, default 0
        Outputs of a softmax at the end, 0 for none.
    clock_ns : float, default 5
    multipliers : {'dsp', 'lut'} or None
        What a directive forces multiplications into; None leaves it to the tool.
    """

    features: Mapping[str, float]
    strategy: str
    reuse_factor: int
    layers: int = 1
    softmax: int = 0
    clock_ns: float = REFERENCE_CLOCK
    multipliers: str | None = None


def widths(features: Mapping[str, float]) -> dict[str, float]:
    """Add what a sum over layers would lose: products of counts and widths.

    Parameters
    ----------
    features : mapping
        Of one layer; a table's row of a whole network has no widths, there their mean is taken from bops / n_mac.
    """
    product = features["bops"] / features["n_mac"]
    inputs = features.get("xb", math.sqrt(product))
    return {
        **features,
        "shift_bits": (features["n_gen"] - features["n_dspcand"]) * inputs,
        "fabric_bits": features["n_dspcand"] * product,
    }


def total(features: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Sum the features of several layers."""
    parts = [widths(part) for part in features]
    return {name: sum(part[name] for part in parts) for name in parts[0]}


def terms(network: Network, sharing: float) -> dict[str, float]:
    """Return the terms by name.

    Parameters
    ----------
    network : Network
    sharing : float
        Exponent of the share of multiplications that is left where the tool merges equal constants of one input,
        (n_uniq / n_gen) ** sharing.

    Returns
    -------
    dict
        add_bits: bits of all adders; shift_bits, fabric_bits: bits of the multiplications that need one adder, and of those
        that need more; fabric: the latter where a directive keeps them out of DSPs; dsp: the latter, merged;
        limit: multipliers that the reuse factor leaves; turns: how often
        each of them is used; idle: 1 where there are none; depth_bits: add_bits × levels of the adder trees;
        levels: levels of all adder trees × 5 ns / clock; the terms of the resource strategy, from ``block`` on, are those
        of hls4ml's dense_resource: block multipliers that take inputs in turn and write into a multiplexed accumulator.
    """
    f, reuse = network.features, network.reuse_factor
    multiplications = f["n_dspcand"] * min(1.0, f["n_uniq"] / max(f["n_gen"], 1)) ** sharing
    lut = network.multipliers == "lut"
    left = _left(f["nnz"], reuse, network.layers)
    depth = f["add_bits"] * f["tree"] / network.layers
    found = {
        "one": 1.0,
        "layers": float(network.layers),
        "softmax": float(network.softmax),
        "softmax_dsp": 0.0 if lut else float(network.softmax),
        "add_bits": f["add_bits"],
        "shift_bits": f["shift_bits"],
        "shifts": f["n_gen"] - f["n_dspcand"],
        "fabric": f["fabric_bits"] if lut else 0.0,
        "dsp": 0.0 if lut else multiplications,
        "limit": 0.0 if lut else min(multiplications, left),
        "depth_bits": depth,
        "depth_bits_1": depth if reuse == 1 else 0.0,
        "levels": f["tree"] * REFERENCE_CLOCK / network.clock_ns,
        "reuse": float(reuse),
        "turns": multiplications / left,
        "idle": 0.0 if multiplications else 1.0,
        "long": f["add_bits"] if multiplications and reuse > 1 else 0.0,
    }
    return {**found, **_resource(f, reuse)} if network.layers == 1 else found


def _left(nonzero: float, reuse: int, layers: int) -> float:
    """Return the multipliers that the reuse factor leaves: hls4ml's limit for each layer, rounded up."""
    if layers > 1:
        return nonzero / reuse + layers / 2  # on average half a multiplier more for each rounding
    return math.ceil(nonzero / reuse) + (1 if reuse > LONGEST_EXACT else 0)


def _resource(f: Mapping[str, float], reuse: int) -> dict[str, float]:
    """Return the terms of one layer in the resource strategy."""
    block, width = math.ceil(f["n_mac"] / reuse), f["wb"]
    outputs_each = reuse / f["n_in"]
    ways = 2 ** math.ceil(math.log2(f["n_out"])) if f["n_out"] > 1 else 1
    muxed = block if outputs_each > 2 else 0
    share = 1.0 if width >= WIDE_WEIGHT else NARROW_DSP if width > NARROW_WEIGHT else 0.0
    return {
        "inputs": f["n_in"],
        "outputs": f["n_out"],
        "block": float(block),
        "block_bits": block * width,
        "block_direct": float(block - muxed),
        "mux": float(muxed * ways),
        "mux_128": float(muxed if ways == 128 else 0),
        "mux_256": float(muxed if ways > 128 else 0),
        "accumulator_bits": f["n_out"] * f["ab"],
        "resource_dsp": float(round(block * share)),
        "resource_bram": float(math.ceil(block * width / BRAM_WIDTH) * math.ceil(reuse / BRAM_DEPTH)),
        "resource_latency": reuse + 2.0,
    }
