"""Histograms against NumPy and against what the quantizer does; the sums of a real QKeras model."""

from __future__ import annotations

import numpy as np
import pytest

from qap.models.architecture import Architecture
from qap.models.builders import build, set_weights
from qap.plan import LayerPlan, Plan
from qap.precision import Precision
from qap.report.distributions import Distribution, distributions


def test_weights_that_are_zero_are_left_out():
    values = np.array([0.0, 0.0, 0.25, -0.5, 0.9, 1.3])
    found = Distribution.of(values, Precision(4, 0))
    assert (found.range_low, found.range_high, found.step) == (-1.0, 0.875, 0.125)
    assert (found.low, found.high) == (-1.0, 1.3)
    assert sum(found.counts) == 4
    assert found.left_out == pytest.approx(1 / 3, abs=1e-6)
    assert found.clipped == pytest.approx(1 / 6, abs=1e-6), "0.9 rounds to 0.875; 1.3 is clipped"


def test_what_a_relu_cuts_off_is_no_clipping():
    values = np.array([-5.0, -0.1, 0.0, 1.0, 3.0, 9.0])
    found = Distribution.of(values, Precision(4, 2, signed=False))
    assert (found.range_low, found.range_high) == (0.0, 3.75)
    assert sum(found.counts) == 3
    assert found.left_out == 0.5
    assert found.clipped == pytest.approx(1 / 6, abs=1e-6)


def test_values_on_a_grid_make_no_comb():
    """10 events at each of 0.25, 0.5, … 11.75: 32 bins of 0.367 would hold 10 or 20 of them."""
    values = np.repeat(np.arange(1, 48) / 4, 10)
    found = Distribution.of(values, Precision(4, 4, signed=False))
    assert len(found.counts) <= 32
    assert sum(found.counts) == values.size
    assert len(set(found.counts[1 : round(11.5 / (found.high / len(found.counts)))])) == 1, found.counts


def test_a_range_that_is_far_too_wide_does_not_hide_the_values():
    found = Distribution.of(np.linspace(-0.01, 0.01, 100), Precision(8, 3))
    assert (found.low, found.high) == pytest.approx((-0.03, 0.03))
    assert sum(count > 0 for count in found.counts) >= 10


@pytest.mark.parametrize("precision", [Precision(4, 0), Precision(3, 1, signed=False), Precision(1, kind="binary")])
def test_nothing_but_zeros(precision):
    found = Distribution.of(np.zeros(5), precision)
    assert (sum(found.counts), found.left_out, found.clipped) == (0, 1.0, 0.0)
    assert found.low < found.high


def test_sums_of_a_model_against_numpy():
    architecture = Architecture.mlp(4, (6,), 3)
    layers = (("fc1", LayerPlan(Precision(6, 1), Precision(10, 3), Precision(4, 1, signed=False))),)
    plan = Plan((*layers, ("output", LayerPlan(Precision(6, 1), Precision(10, 3)))))
    random = np.random.default_rng(3)
    shapes = {"fc1/kernel": (4, 6), "fc1/bias": (6,), "output/kernel": (6, 3), "output/bias": (3,)}
    weights = {name: random.normal(0, 0.7, shape).astype(np.float32) for name, shape in shapes.items()}
    model = build(architecture, plan)
    set_weights(model, weights)
    x = Precision(8, 3).quantize(random.normal(size=(300, 4)))
    found = distributions(model, architecture, plan, weights, x)
    sums = x @ plan["fc1"].weight.quantize(weights["fc1/kernel"]) + plan["fc1"].bias.quantize(weights["fc1/bias"])
    assert found["fc1"][1] == Distribution.of(sums, plan["fc1"].activation)
    assert found["fc1"][0] == Distribution.of(weights["fc1/kernel"], plan["fc1"].weight)
    assert found["output"][1] is None


def test_a_models_own_names_give_no_sums():
    architecture = Architecture.mlp(4, (6,), 3)
    outputs = (("fc1", Precision(4, 1, False)), ("output", None))
    plan = Plan(tuple((name, LayerPlan(Precision(6, 1), Precision(10, 3), output)) for name, output in outputs))
    weights = {"fc1/kernel": np.ones((4, 6)), "output/kernel": np.ones((6, 3))}

    class Renamed:
        layers = ()

    assert distributions(Renamed(), architecture, plan, weights, np.zeros((2, 4)))["fc1"][1] is None
