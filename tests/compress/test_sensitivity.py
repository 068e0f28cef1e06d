"""Sensitivities against NumPy, sparsity moved to where it hurts least against brute force."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qap.candidate import Candidate
from qap.compare.judge import check_masks
from qap.compress.method import Method
from qap.compress.pipeline import METHODS, compress, parse_chain
from qap.compress.sensitivity import FINE_BITS, Sensitivities, fine_plan, redistribute, sensitivities
from qap.cost.counts import count
from qap.datasets.dataset import Dataset, Split
from qap.errors import InputError
from qap.granularity import Granularity, mask
from qap.models.architecture import Architecture
from qap.models.builders import build
from qap.plan import LayerPlan, Plan
from qap.precision import Precision
from qap.training.keras_engine import KerasEngine

from ..conftest import INPUT
from .helpers import MLP, candidate, context, zeros

METHOD: Method = METHODS["sensitivity"]
WEIGHTS = {name: [Precision(2), Precision(4)] for name in MLP.shapes}
ACTIVATIONS = {name: [Precision(2, 1, signed=False), Precision(3, 2, signed=False)] for name in ("fc1", "fc2")}
SPARSITIES = {name: [0.25, 0.5, 0.75] for name in MLP.shapes}


def _table(data: Dataset) -> Sensitivities:
    return sensitivities(candidate(0.5), context(data), weights=WEIGHTS, activations=ACTIVATIONS, sparsities=SPARSITIES)


def _cross_entropy(start: Candidate, split: Split, kind: str = "", layer: str = "", level: object = None) -> float:
    """The loss in float64 with one tensor changed."""
    x = split.x.astype(np.float64)
    weights = start.weights or {}
    for name in MLP.shapes:
        kernel = weights[f"{name}/kernel"].astype(np.float64)
        if name == layer and isinstance(level, Precision) and kind == "weight":
            kernel = level.quantize(kernel)
        if name == layer and isinstance(level, float):
            kept = np.sort(np.abs(kernel).ravel())[round(level * kernel.size)]
            kernel = np.where(np.abs(kernel) >= kept, kernel, 0)
        x = x @ kernel + weights[f"{name}/bias"]
        if name != "output":
            x = np.maximum(x, 0)
        if name == layer and isinstance(level, Precision) and kind == "activation":
            x = level.quantize(x)
    z = x - x.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), split.y]))


def test_each_entry_is_what_one_tensor_alone_does_to_the_loss(data: Dataset) -> None:
    start, split, table = candidate(0.5), data.train.head(4096), _table(data)
    reference = _cross_entropy(start, split)
    assert table.reference == pytest.approx(reference, abs=2e-4)
    worst, largest, entries = 0.0, 0.0, 0
    for kind, asked in (("weight", WEIGHTS), ("activation", ACTIVATIONS), ("sparsity", SPARSITIES)):
        for name, levels in asked.items():
            for level in levels:
                found = getattr(table, kind)[name][level.bits if isinstance(level, Precision) else level]
                expected = _cross_entropy(start, split, kind, name, level) - reference
                worst, largest, entries = max(worst, abs(found - expected)), max(largest, expected), entries + 1
    assert entries == 6 + 4 + 9
    assert worst < 2e-4, f"{worst:.2g} apart, of up to {largest:.2g}"
    assert largest > 0.1, "a test on layers that do not suffer shows nothing"


def test_models_of_the_users_own_and_the_keras_engine_are_measured_alike(data: Dataset) -> None:
    start, asked = candidate(0.5), {"fc2": [Precision(2)]}
    activations, sparsities = {"fc1": [Precision(2, 1, signed=False)]}, {"output": [0.25, 0.5]}
    tables = [
        sensitivities(start, settings, weights=asked, activations=activations, sparsities=sparsities)
        for settings in (
            context(data),
            context(data, KerasEngine()),
            context(data, builder=lambda architecture, plan: build(architecture, plan)),
        )
    ]
    assert tables[0] == tables[1]
    for kind, layer in (("weight", "fc2"), ("activation", "fc1"), ("sparsity", "output")):
        expected = getattr(tables[0], kind)[layer]
        assert getattr(tables[2], kind)[layer] == pytest.approx(expected, abs=1e-5), kind


def test_only_training_events_are_read_and_nothing_is_random(data: Dataset) -> None:
    def unread(split: Split) -> Split:
        return Split(np.full_like(split.x, np.nan), split.y, split.weight)

    blind = replace(data, validation=unread(data.validation), test=unread(data.test))
    assert _table(blind) == _table(data)


def test_the_reference_holds_every_value(data: Dataset) -> None:
    start = candidate()
    weights = {key: value * np.float32(3) for key, value in (start.weights or {}).items()}
    plan = fine_plan(MLP, weights, data.train.x)
    for name, layer in plan.items():
        assert layer.weight.bits == FINE_BITS
        assert np.abs(layer.weight.quantize(weights[f"{name}/kernel"]) - weights[f"{name}/kernel"]).max() <= layer.weight.step


def test_regression_is_measured_by_the_squared_error(regression_data: Dataset) -> None:
    architecture = Architecture.mlp(5, [6], 2)
    start = candidate(0.5, architecture=architecture)
    table = sensitivities(start, context(regression_data), weights={"fc1": [Precision(2), Precision(12)]})
    assert table.reference > 0
    assert table.weight["fc1"][2] > abs(table.weight["fc1"][12]), table


def test_what_cannot_be_measured_is_refused(data: Dataset) -> None:
    with pytest.raises(InputError, match="output: the output layer has no activation"):
        sensitivities(candidate(), context(data), activations={"output": [Precision(4)]})
    bad = candidate().with_(weights={key: value * np.float32(np.nan) for key, value in (candidate().weights or {}).items()})
    with pytest.raises(InputError, match="finite"):
        sensitivities(bad, context(data), weights={"fc1": [Precision(4)]})


@st.composite
def _curves(draw: st.DrawFn) -> tuple[list[np.ndarray], list[np.ndarray]]:
    counts, losses = [], []
    for _ in range(draw(st.integers(1, 3))):
        inner = draw(st.sets(st.integers(1, 9), max_size=4))
        counts.append(np.array(sorted({0, *inner})))
        values = st.floats(-2, 10, allow_nan=False, allow_subnormal=False)
        losses.append(np.array(draw(st.lists(values, min_size=len(counts[-1]), max_size=len(counts[-1])))))
    return counts, losses


@settings(max_examples=150, deadline=None)
@given(_curves(), st.floats(0, 1))
def test_no_other_numbers_of_weights_cost_less(curves: tuple[list[np.ndarray], list[np.ndarray]], part: float) -> None:
    counts, losses = curves
    total = round(part * sum(int(one[-1]) for one in counts))
    cost = [np.interp(np.arange(one[-1] + 1), one, loss) for one, loss in zip(counts, losses, strict=True)]
    choices = (given for given in itertools.product(*(range(len(one)) for one in cost)) if sum(given) == total)
    least = min(sum(one[number] for one, number in zip(cost, given, strict=True)) for given in choices)
    given = redistribute(counts, losses, total)
    assert sum(given) == total
    found = sum(one[number] for one, number in zip(cost, given, strict=True))
    assert found == pytest.approx(least, abs=1e-7), (given, found, least)


def test_more_than_there_is_cannot_be_asked_for() -> None:
    with pytest.raises(InputError, match="9 weights can go, 10 were asked for"):
        redistribute([np.array([0, 4]), np.array([0, 5])], [np.zeros(2), np.zeros(2)], 10)


@pytest.fixture(scope="module")
def trained(data: Dataset) -> dict[str, np.ndarray]:
    return dict(METHODS["train"](candidate(), context(data, epochs=6)).weights or {})


def _with_idle_weights(sparsity: float, trained: dict[str, np.ndarray]) -> Candidate:
    """Half of the weights of fc2 do nothing."""
    start = candidate(sparsity)
    weights = dict(trained)
    kernel = weights["fc2/kernel"].copy()
    kernel.ravel()[::2] *= np.float32(1e-6)
    return start.with_(weights={**weights, "fc2/kernel": kernel})


def test_layers_that_suffer_less_are_pruned_more(data: Dataset, trained: dict[str, np.ndarray]) -> None:
    start = _with_idle_weights(0.5, trained)
    found = METHOD(start, context(data))
    removed = {name: layer.sparsity * np.prod(MLP.shapes[name]) for name, layer in found.plan.items()}
    wanted = sum(round(0.5 * int(np.prod(shape))) for shape in MLP.shapes.values())
    assert sum(removed.values()) == pytest.approx(wanted, abs=1e-6), removed
    assert found.plan["fc2"].sparsity > 0.5 > found.plan["fc1"].sparsity, removed
    assert found.weights is start.weights, "nothing is trained, and nothing pruned yet"
    assert METHOD(start, context(data)).plan == found.plan


def test_the_chain_with_qap_has_the_masks_of_the_new_plan(data: Dataset, trained: dict[str, np.ndarray]) -> None:
    start = _with_idle_weights(0.4, trained)
    moved = METHOD(start, context(data)).plan
    found = next(compress([start], context(data), parse_chain(["sensitivity", "qap"])))
    assert isinstance(found, Candidate), found
    assert found.plan == moved != start.plan
    check_masks(found, count(found.architecture, found.plan, found.weights or {}, INPUT))
    assert zeros(found) == pytest.approx({name: layer.sparsity for name, layer in moved.items()})


@pytest.mark.parametrize("text", ["block(2,2)", "dsp(3)", "neuron"])
def test_groups_get_sparsities_that_they_can_have(text: str, data: Dataset) -> None:
    granularity = Granularity.parse(text)
    start = candidate(0.5, granularity, output=0.5)
    found = METHOD(start, context(data))
    weights = found.weights or {}
    for name, layer in found.plan.items():
        assert layer.granularity == start.plan[name].granularity
        mask(np.abs(weights[f"{name}/kernel"]), layer.sparsity, layer.granularity, where=name)  # refuses what it cannot give
    sizes = {name: int(np.prod(shape)) for name, shape in MLP.shapes.items()}
    asked, gives = (sum(plan[name].sparsity * sizes[name] for name in sizes) for plan in (start.plan, found.plan))
    assert abs(asked - gives) <= 6, f"{asked} weights asked for, {gives} given: further apart than half a group"


def test_layers_with_one_sparsity_keep_it_or_the_method_refuses(data: Dataset) -> None:
    with pytest.raises(InputError, match="received none"):
        METHOD(candidate(0.5, Granularity.parse("2:4"), output=0.0), context(data, epochs=1))
    start = candidate(0.5)
    fixed = Granularity.parse("1:2")
    mixed = Plan(tuple(
        (name, LayerPlan(layer.weight, layer.bias, layer.activation, 0.5, fixed if name == "fc2" else layer.granularity))
        for name, layer in start.plan.items()
    ))  # fmt: skip
    found = METHOD(start.with_(plan=mixed), context(data))
    assert found.plan["fc2"] == mixed["fc2"]
    assert found.plan["fc1"].sparsity != 0.5
