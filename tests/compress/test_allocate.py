"""Bits by integer programming: the optimum against brute force, the budget, the fitted ranges."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qap.candidate import Candidate
from qap.compress.allocate import BITS, Option, declared_ebops, least
from qap.compress.pipeline import METHODS, compress, parse_chain
from qap.compress.ranges import best_integer
from qap.compress.sensitivity import sensitivities
from qap.cost.counts import count
from qap.datasets.dataset import Dataset
from qap.errors import InputError
from qap.models.builders import float_logits
from qap.plan import LayerPlan, Plan
from qap.precision import Precision

from ..conftest import INPUT
from .helpers import MLP, candidate, context

METHOD = METHODS["allocate"]


@st.composite
def _tables(draw: st.DrawFn) -> list[list[Option]]:
    """Up to four layers; with `shared` they choose the same value of one setting."""
    shared, largest = draw(st.booleans()), draw(st.sampled_from([10, 1000, 5_000_000]))
    tables = []
    for layer in range(draw(st.integers(1, 4))):
        some = []
        for first, second in itertools.product(range(draw(st.integers(1, 3))), range(draw(st.integers(1, 2)))):
            values = {"tied" if shared else f"{layer}.first": first, f"{layer}.second": second}
            loss = draw(st.floats(-1, 5, allow_nan=False, allow_subnormal=False))
            some.append(Option(values, loss, draw(st.integers(1, largest))))
        tables.append(some)
    return tables


@settings(max_examples=200, deadline=None)
@given(_tables(), st.floats(0, 1))
def test_the_choice_is_the_best_of_all_that_keep_the_budget(tables: list[list[Option]], part: float) -> None:
    lowest, highest = (sum(pick(option.cost for option in some) for some in tables) for pick in (min, max))
    budget = int(lowest + part * (highest - lowest)) - (part < 0.05)
    allowed = []
    for choice in itertools.product(*tables):
        merged: dict[str, set[float]] = {}
        for option in choice:
            for name, value in option.values.items():
                merged.setdefault(name, set()).add(value)
        if all(len(values) == 1 for values in merged.values()) and sum(option.cost for option in choice) <= budget:
            allowed.append(choice)
    chosen = least(tables, budget)
    if not allowed:
        assert chosen is None
        return
    assert chosen is not None, f"{len(allowed)} choices keep the budget"
    taken = [next(option for option in some if option.values.items() <= chosen.items()) for some in tables]
    assert sum(option.cost for option in taken) <= budget
    best = min(sum(option.loss for option in choice) for choice in allowed)
    assert sum(option.loss for option in taken) == pytest.approx(best, abs=1e-7)


def test_the_plan_is_the_best_of_all_plans_within_the_uniform_plans_ebops(data: Dataset) -> None:
    start = candidate(0.5, bits=4)
    weights, found = start.weights or {}, METHOD(start, context(data))
    outputs = float_logits(MLP, weights, data.train.x[:4096])
    kernels = {n: [Precision(b, best_integer(weights[f"{n}/kernel"], b, True)) for b in BITS] for n in MLP.shapes}
    reals = {n: [Precision(b, best_integer(outputs[n], b, False), False) for b in BITS] for n in ("fc1", "fc2")}
    table = sensitivities(start, context(data), weights=kernels, activations=reals)
    kept = {name: int(np.prod(shape)) // 2 for name, shape in MLP.shapes.items()}

    def ebops(w1: int, w2: int, w3: int, a1: int, a2: int) -> int:
        return kept["fc1"] * (w1 - 1) * 7 + kept["fc2"] * (w2 - 1) * a1 + kept["output"] * (w3 - 1) * a2

    def loss(w1: int, w2: int, w3: int, a1: int, a2: int) -> float:
        of_weights = table.weight["fc1"][w1] + table.weight["fc2"][w2] + table.weight["output"][w3]
        return of_weights + table.activation["fc1"][a1] + table.activation["fc2"][a2]

    budget = ebops(4, 4, 4, 4, 4)
    assert budget == declared_ebops(MLP, start.plan, INPUT)
    best = min(loss(*bits) for bits in itertools.product(BITS, repeat=5) if ebops(*bits) <= budget)
    layers = [layer for _, layer in found.plan.items()]
    taken = tuple(layer.weight.bits for layer in layers) + tuple(layer.activation.bits for layer in layers if layer.activation)
    assert ebops(*taken) == declared_ebops(MLP, found.plan, INPUT) <= budget, taken
    assert loss(*taken) == pytest.approx(best, abs=1e-6), taken
    assert best < loss(4, 4, 4, 4, 4), "the uniform plan is no optimum here, so the choice is a real one"


def test_integer_bits_are_fitted_and_sparsities_stay(data: Dataset) -> None:
    start = candidate(0.5)
    found = METHOD(start, context(data))
    MLP.check(found.plan)
    for name, layer in found.plan.items():
        kernel = (start.weights or {})[f"{name}/kernel"]
        assert layer.weight.integer == best_integer(kernel, layer.weight.bits, True), name
        assert layer.sparsity == start.plan[name].sparsity
    assert METHOD(start, context(data)).plan == found.plan, "nothing is random"
    assert len({layer.weight.bits for _, layer in found.plan.items()}) > 1, found.plan


@pytest.mark.parametrize("names", [["train", "allocate", "qap"], ["train", "sensitivity", "allocate", "qap"]], ids="-".join)
def test_what_is_counted_in_the_end_stays_below_what_was_declared(names: list[str], data: Dataset) -> None:
    start = candidate(0.5)
    found = next(compress([start], context(data, epochs=8), parse_chain(names)))
    assert isinstance(found, Candidate), found
    declared = declared_ebops(MLP, found.plan, INPUT)
    assert count(MLP, found.plan, found.weights or {}, INPUT)["ebops"] <= declared
    assert found.metrics["accuracy_validation"] > 0.6
    if "sensitivity" not in names:
        assert declared <= declared_ebops(MLP, start.plan, INPUT)


def test_a_linear_hidden_layer_keeps_its_sign_and_the_output_its_type(data: Dataset) -> None:
    start = next(compress([candidate(bits=4)], context(data, epochs=1), parse_chain(["low_rank"])))
    assert isinstance(start, Candidate), start
    logits = replace(start.plan["output"], activation=Precision(16, 5))
    plan = start.plan.map(lambda name, layer: logits if name == "output" else layer)
    found = METHOD(start.with_(plan=plan), context(data))
    found.architecture.check(found.plan)
    assert found.plan["output"].activation is not None
    assert found.plan["output"].activation.bits == 16
    assert any(layer.activation == "linear" for layer in found.architecture.layers[:-1])


def test_what_has_no_bits_is_refused(data: Dataset) -> None:
    binary = LayerPlan(Precision(1, kind="binary"), Precision(8), Precision(4, 1, signed=False))
    plan = Plan(tuple((name, binary if name == "fc1" else layer) for name, layer in candidate().plan.items()))
    with pytest.raises(InputError, match=r"allocate: fc1: binary\(\) has no bits to choose"):
        METHOD(candidate().with_(plan=plan), context(data))
