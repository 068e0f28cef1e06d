"""The terms on layers whose numbers are worked out by hand, and the rules of the resource strategy."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qap.cost.features import dense_features
from qap.cost.hls_source import HLSType
from qap.cost.scopes import RECIPES, scope
from qap.cost.terms import Network, terms, total, widths

from .rows import layer

KERNEL = np.array([[1.0, 3.0], [0.0, 11.0], [-5.0, 11.0]])
"""One power of two, two that need one adder (3 and 5 have two signed digits), two that need a multiplier (11 has three)."""


def _hand(**settings: Any) -> Network:
    types = {"weight": HLSType(True, 5, 5), "inputs": HLSType(True, 7, 7), "accum": HLSType(True, 14, 14)}
    return Network(widths(dense_features(KERNEL, np.zeros(2), **types)), "latency", settings.pop("reuse_factor", 1), **settings)


def test_a_layer_by_hand() -> None:
    found = terms(_hand(), sharing=1.0)
    assert found["add_bits"] == (1 + 2 + 2) * 14  # two products, three products, two biases
    assert found["shift_bits"] == 2 * 7
    assert found["shifts"] == 2
    assert found["dsp"] == 2  # the inputs have {1, 3}, {11}, {5, 11}: none twice
    assert found["fabric"] == 0
    assert found["levels"] == 2
    assert found["depth_bits"] == found["depth_bits_1"] == 70 * 2
    assert found["idle"] == found["long"] == found["softmax"] == 0
    assert found["one"] == found["layers"] == found["reuse"] == 1


def test_equal_constants_of_one_input_share_a_multiplier() -> None:
    types = {"weight": HLSType(True, 5, 5), "inputs": HLSType(True, 7, 7), "accum": HLSType(True, 14, 14)}
    network = Network(widths(dense_features(np.full((2, 8), 11.0), None, **types)), "latency", 1)
    assert terms(network, 0.0)["dsp"] == 16
    assert terms(network, 1.0)["dsp"] == 2
    assert terms(network, 0.5)["dsp"] == pytest.approx(16 * math.sqrt(2 / 16))


def test_multipliers_in_luts_are_no_dsps() -> None:
    found = terms(_hand(multipliers="lut", softmax=5), 1.0)
    assert found["fabric"] == 2 * 7 * 5
    assert found["dsp"] == found["limit"] == found["softmax_dsp"] == 0
    assert found["softmax"] == 5
    assert terms(_hand(softmax=5), 1.0)["softmax_dsp"] == 5


@pytest.mark.parametrize(("reuse", "left"), [(1, 5), (2, 3), (5, 1), (7, 1), (512, 1), (513, 2)])
def test_reuse_leaves_fewer_multipliers(reuse: int, left: int) -> None:
    found = terms(_hand(reuse_factor=reuse), 0.0)
    assert found["limit"] == min(2, left)
    assert found["turns"] == 2 / left
    assert found["reuse"] == reuse
    assert found["depth_bits_1"] == (140 if reuse == 1 else 0)
    assert found["long"] == (0 if reuse == 1 else 70)


def test_levels_count_at_the_reference_clock() -> None:
    assert terms(_hand(clock_ns=2.5), 1.0)["levels"] == 4


def test_sums_keep_products_of_counts_and_widths() -> None:
    parts = [layer(8, 6, bits=7, x=9, seed=1), layer(6, 4, bits=5, x=12, seed=2)]
    found = total([part.features for part in parts])
    assert found["shift_bits"] == sum((p.features["n_gen"] - p.features["n_dspcand"]) * p.features["xb"] for p in parts)
    assert found["fabric_bits"] == sum(p.features["n_dspcand"] * p.features["xb"] * p.features["wb"] for p in parts)
    mixed = found["shift_bits"] / (found["n_gen"] - found["n_dspcand"])
    assert 9 < mixed < 12


def test_widths_of_a_whole_network_are_taken_from_bops() -> None:
    values = {"n_mac": 10.0, "bops": 640.0, "n_gen": 6.0, "n_dspcand": 4.0}
    assert widths(values)["shift_bits"] == 2 * 8
    assert widths(values)["fabric_bits"] == 4 * 64


# The rules of the resource strategy with a long reuse factor, as reports have shown them:
# II = R, latency R + 2, ⌈n_in·n_out / R⌉ DSPs at 8 bits or more, 0.97 of it at 5 to 7, none at 4 or fewer,
# ⌈bf·wb / 36⌉ · ⌈R / 512⌉ BRAMs.
RULES = [  # inputs, outputs, bits, reuse → DSP, BRAM_18K
    (64, 64, 8, 512, 8, 2), (64, 64, 16, 512, 8, 4), (64, 64, 6, 512, 8, 2), (64, 64, 4, 512, 0, 1), (128, 64, 8, 1024, 8, 4),
    (128, 128, 5, 512, 31, 5), (48, 32, 12, 768, 2, 2), (100, 100, 9, 5000, 2, 10), (32, 32, 2, 1024, 0, 2),
]  # fmt: skip


@pytest.mark.parametrize(("inputs", "outputs", "bits", "reuse", "dsp", "bram"), RULES)
def test_rules_of_the_resource_strategy(inputs: int, outputs: int, bits: int, reuse: int, dsp: int, bram: int) -> None:
    network = layer(inputs, outputs, bits=bits, strategy="resource", reuse=reuse)
    recipes, found = RECIPES[scope(network)], terms(network, 0.4)

    def rule(figure: str) -> float:
        fixed = recipes[figure].fixed
        assert fixed is not None
        return sum(c * found[name] for c, name in zip(fixed, recipes[figure].terms, strict=True))

    assert (rule("DSP"), rule("BRAM_18K"), rule("II"), rule("latency_cycles")) == (dsp, bram, reuse, reuse + 2)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(2, 12), st.sampled_from([1, 2, 7, 64, 400, 2000]), st.integers(0, 99))
def test_all_terms_are_finite_and_not_negative(inputs: int, outputs: int, bits: int, reuse: int, seed: int) -> None:
    network = layer(inputs, outputs, bits=bits, reuse=reuse, seed=seed, density=0.3)
    for one in (network, replace(network, multipliers="lut"), replace(network, layers=3)):
        wrong = {name: value for name, value in terms(one, 0.4).items() if not 0 <= value < math.inf}
        assert not wrong
