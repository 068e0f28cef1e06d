"""The strategy `allocation`: points of the space only, the best of the model, ties, an end, the same again."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from qap.compress.allocate import declared_ebops
from qap.compress.context import Context
from qap.compress.ranges import Calibration
from qap.config.load import load_config
from qap.config.schema import LayerSpace, Model, Prune, Search, Space, Train
from qap.datasets.dataset import Dataset, Split
from qap.errors import InputError
from qap.models.architecture import Architecture
from qap.models.builders import float_logits
from qap.precision import Precision
from qap.search.allocation import BUDGETS, Measured, allocations, measured
from qap.search.run import run_search, trained
from qap.search.space import PlanSpace, Point
from qap.search.strategies import Told, make_strategy
from qap.training.population.engine import PopulationEngine

from ..conftest import INPUT
from .conftest import stored_lines

ENGINE = PopulationEngine()


def _space(hidden: tuple[int, ...] = (8, 6), **changes: object) -> PlanSpace:
    settings = {"weight_bits": [2, 3, 5], "activation_bits": [1, 2, 4], "sparsity": [0.0, 0.5], **changes}
    return PlanSpace(Space(**settings), Model(hidden=list(hidden), batchnorm=False), 6, 3, INPUT)


@cache
def _calibration(architecture: Architecture, data: Dataset) -> Calibration:
    generator, weights = np.random.default_rng(4), {}
    for name, shape in architecture.shapes.items():
        weights[f"{name}/kernel"] = generator.normal(0, 0.6, shape).astype(np.float32)
        weights[f"{name}/bias"] = generator.normal(0, 0.1, shape[1]).astype(np.float32)
    return Calibration(weights, float_logits(architecture, weights, data.train.x))


def _measure(space: PlanSpace, architecture: Architecture, data: Dataset) -> Measured:
    """Measure on labels that the random network itself has given: coarser bits then cost something, as after a training."""
    calibration, train = _calibration(architecture, data), data.train
    labels = calibration.outputs["output"].argmax(axis=1).astype(np.int32)
    labelled = replace(data, train=Split(train.x, labels, train.weight))
    return measured(space, architecture, calibration, Context(labelled, ENGINE, Train(batch=100), Prune(), seed=1))


def _points(space: PlanSpace, data: Dataset) -> list[Point]:
    strategy = make_strategy(
        Search(strategy="allocation"), space, 1, measure=lambda architecture: _measure(space, architecture, data)
    )
    asked: list[Point] = []
    while points := strategy.ask(7):
        asked += points
        for _ in points:
            strategy.tell(Told((0.5, 1.0)))
    assert strategy.ask(7) == []
    return asked


def _cost_and_loss(space: PlanSpace, point: Point, found: Measured, data: Dataset) -> tuple[int, float]:
    """What the model says of a point, from its plan."""
    architecture = space.architecture(point)
    plan = space.plan(point, architecture, _calibration(architecture, data))
    loss = sum(found[0].weight[name][layer.weight.bits] for name, layer in plan.items())
    loss += sum(found[0].activation[name][layer.activation.bits] for name, layer in plan.items() if layer.activation)
    return declared_ebops(architecture, plan, INPUT), loss


@pytest.mark.parametrize("tie", [[], ["weight_bits"], ["weight_bits", "activation_bits", "sparsity"]], ids="-".join)
def test_no_plan_of_the_space_is_better_at_the_same_ebops(tie: list[str], data: Dataset) -> None:
    space = _space(tie=tie)
    found, points = _measure(space, space.architecture({}), data), _points(space, data)
    assert 4 < len(points) <= 2 * BUDGETS
    assert len({tuple(point.items()) for point in points}) == len(points), "a point was proposed twice"
    everything: dict[float, list[tuple[int, float]]] = {0.0: [], 0.5: []}
    for values in itertools.product(*space.knobs.values()):
        point = dict(zip(space.knobs, values, strict=True))
        sparsities = {value for name, value in point.items() if name.endswith("sparsity")}
        if len(sparsities) == 1:
            everything[sparsities.pop()].append(_cost_and_loss(space, point, found, data))
    for point in points:
        assert point.keys() == space.knobs.keys()
        assert all(point[name] in choices for name, choices in space.knobs.items()), point
        sparsity = next(value for name, value in point.items() if name.endswith("sparsity"))
        cost, loss = _cost_and_loss(space, point, found, data)
        better = [other for other in everything[sparsity] if other[0] <= cost and other[1] < loss - 1e-9]
        assert not better, f"{point}: {cost} EBOPs with {loss:.6f}, but {better[:3]}"
    cheapest = {sparsity: min(cost for cost, _ in plans) for sparsity, plans in everything.items()}
    assert cheapest[0.5] in [_cost_and_loss(space, point, found, data)[0] for point in points]


def test_the_points_are_the_same_again_and_the_users_come_first(data: Dataset) -> None:
    space = _space()
    points = _points(space, data)
    assert points == _points(space, data)
    own = dict(points[3])
    again = list(allocations(space, lambda architecture: _measure(space, architecture, data), [own]))
    assert again == [own, *(point for point in points if point != own)]


def test_layers_and_architectures_of_their_own(data: Dataset) -> None:
    layers = {"output": LayerSpace(weight_bits=[6]), "fc1": LayerSpace(weight_bits=[2, 4], sparsity=[0.3])}
    space = _space(layers=layers, depth=[1, 2])
    points = _points(space, data)
    shapes = {str(space.architecture(point)) for point in points}
    assert shapes == {"6-8-3", "6-8-6-3"}
    for point in points:
        plan = space.plan(point, space.architecture(point), _calibration(space.architecture(point), data))
        assert plan["output"].weight.bits == 6
        assert plan["fc1"].weight.bits in (2, 4)
        assert plan["fc1"].sparsity == 0.3


def test_ranges_that_the_space_fixes_are_those_measured(data: Dataset) -> None:
    space = _space(weight_integer=0, activation_integer=1)
    table, activations = _measure(space, space.architecture({}), data)
    assert {precision.integer for some in activations.values() for precision in some.values()} == {1}
    free = _measure(_space(), space.architecture({}), data)[0]
    assert table.activation["fc1"][4] != free.activation["fc1"][4]
    assert Precision(4, 1, signed=False) == activations["fc1"][4]


def test_it_cannot_be_made_without_a_measurement() -> None:
    with pytest.raises(InputError, match="allocation needs a measurement"):
        make_strategy(Search(strategy="allocation"), _space(), 1)


SMALL = [
    "model.hidden=[8]", "train.batch=200", "train.parent_epochs=2", "train.epochs=1", "prune.frequency=2", "firmware.build=false",
    "search.space.weight_bits=[2,4]", "search.space.activation_bits=[2,4]", "search.space.sparsity=[0.0,0.5]",
    "search.population=4", "search.strategy=allocation", "data.input.bits=8",
]  # fmt: skip


def test_a_search_ends_when_the_budgets_are_used_up_and_can_be_resumed(file: Path, tmp_path: Path) -> None:
    first, config = (load_config(None, [*SMALL, f"data.name={file}", f"search.trials={trials}"]) for trials in (3, 200))
    run_search(first, tmp_path / "study")
    before = stored_lines(tmp_path / "study")
    assert len(before) == 3
    candidates = list(trained(run_search(config, tmp_path / "study", resume=True)))
    assert stored_lines(tmp_path / "study")[:3] == before
    assert 4 <= len(candidates) <= 16, "2 sparsities, at most 8 choices of bits each"
    assert {one.plan["fc1"].sparsity for one in candidates} == {0.0, 0.5}
    assert len({one.id for one in candidates}) == len(stored_lines(tmp_path / "study")), "a plan was trained twice"
