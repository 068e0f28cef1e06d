"""Where reports are at hand: which networks a fit is for, and which terms each figure is made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from qap.cost.terms import WIDE_WEIGHT, Network

FIGURES = ("LUT", "FF", "DSP", "BRAM_18K", "latency_cycles", "II")
LONG_REUSE = 384
"""The smallest long reuse factor in the reports of single layers."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a figure is made of.

    Parameters
    ----------
    terms : tuple of str
        Of `qap.cost.terms.terms`.
    fixed : tuple of float, optional
        The coefficients of a rule; else they are fitted.
    absolute : bool, default False
        A band in units in place of a factor.
    """

    terms: tuple[str, ...]
    fixed: tuple[float, ...] | None = None
    absolute: bool = False


def _rule(*terms: str, by: float = 1.0, absolute: bool = True) -> Recipe:
    return Recipe(terms, (by,) * len(terms), absolute)


_NONE = _rule("one", by=0.0)
_ADDERS = Recipe(("add_bits", "shift_bits", "dsp", "one"))
_DSP = _rule("dsp", absolute=False)
_MLP_LUT = Recipe(("add_bits", "fabric", "softmax", "layers"))
_RESOURCE: Mapping[str, Recipe] = {
    "LUT": Recipe(("one", "inputs", "outputs", "block", "mux", "mux_128", "mux_256", "block_direct", "reuse")),
    "FF": Recipe(("one", "block_bits", "accumulator_bits", "block_direct", "inputs", "reuse")),
    "DSP": _rule("resource_dsp"),
    "BRAM_18K": _rule("resource_bram"),
    "latency_cycles": _rule("resource_latency"),
    "II": _rule("reuse"),
}
RECIPES: Mapping[str, Mapping[str, Recipe]] = {
    "one layer, latency, R = 1": {
        "LUT": _ADDERS,
        "FF": Recipe(("add_bits", "dsp", "shifts")),
        "DSP": _DSP,
        "BRAM_18K": _NONE,
        "latency_cycles": _rule("one"),
        "II": _rule("one"),
    },
    "one layer, latency, R ≥ 384": {
        "LUT": _ADDERS,
        "FF": Recipe(("add_bits", "long", "shifts")),
        "DSP": _rule("limit"),
        "BRAM_18K": _NONE,
        "latency_cycles": Recipe(("turns", "idle")),
        "II": Recipe(("turns", "idle")),
    },
    "one layer, resource, R = 1": {
        "LUT": _ADDERS,
        "FF": Recipe(("add_bits", "dsp", "shifts")),
        "DSP": _DSP,
        "BRAM_18K": _NONE,
        "latency_cycles": _rule("one"),
        "II": Recipe(("one",), (2.0,), True),
    },
    "one layer, resource, R ≥ 384, weights of 8 bits or more": _RESOURCE,
    "one layer, resource, R ≥ 384, narrower weights": _RESOURCE,
    "several layers, latency, R = 1 and 2": {
        "LUT": _MLP_LUT,
        "FF": Recipe(("depth_bits", "depth_bits_1", "softmax", "one")),
        "DSP": _rule("dsp", "softmax_dsp", absolute=False),
        "BRAM_18K": _rule("softmax"),
        "latency_cycles": Recipe(("levels",)),
        "II": _rule("reuse"),
    },
    "several layers, latency, R = 100": {
        "LUT": _MLP_LUT,
        "FF": Recipe(("depth_bits", "softmax", "one")),
        "DSP": _rule("limit", "softmax_dsp", absolute=False),
        "BRAM_18K": _rule("softmax"),
        "latency_cycles": Recipe(("levels",)),
        "II": Recipe(("one",)),
    },
}


def scope(network: Network) -> str:
    """Return the name of the reports that are like a network, empty where there are none.

    Parameters
    ----------
    network : Network
    """
    one, reuse = network.layers == 1, network.reuse_factor
    if network.strategy == "latency" and not one:
        names = {1: "R = 1 and 2", 2: "R = 1 and 2", 100: "R = 100"}
        return f"several layers, latency, {names[reuse]}" if reuse in names else ""
    if not one or 1 < reuse < LONG_REUSE:
        return ""
    if reuse == 1 or network.strategy == "latency":
        return f"one layer, {network.strategy}, R {'= 1' if reuse == 1 else '≥ 384'}"
    kind = "weights of 8 bits or more" if network.features["wb"] >= WIDE_WEIGHT else "narrower weights"
    return f"one layer, resource, R ≥ 384, {kind}"


def kind(network: Network, strategies: Collection[str]) -> str:
    """Return the name under which reports of one's own are kept apart: `scope`, or what else it is.

    Parameters
    ----------
    network : Network
    strategies : collection of str
        Of its layers.
    """
    mixed = len(set(strategies)) > 1
    known = "" if mixed else scope(network)
    strategy = "mixed strategies" if mixed else network.strategy
    return known or f"{'one layer' if network.layers == 1 else 'several layers'}, {strategy}, other reuse factors"
