"""Strategies propose points of the space; objectives find the front."""

from __future__ import annotations

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qap.candidate import Candidate, Cost, Figure
from qap.config.schema import Model, Search, Space, Study
from qap.errors import InputError
from qap.models.architecture import Architecture
from qap.plan import LayerPlan, Plan
from qap.precision import Precision
from qap.search.objectives import check_objectives, front, values
from qap.search.space import PlanSpace
from qap.search.strategies import Told, make_strategy

SPACE = PlanSpace(Space(weight_bits=[2, 3, 4], sparsity=[0.0, 0.5]), Model(hidden=[6]), 4, 2, Precision(8, 2))


def _ask(search: Search, count: int, sampler: object = None, points: tuple = ()) -> list[dict]:
    strategy = make_strategy(search, SPACE, 3, sampler, points)
    asked = []
    for _ in range(count):
        points = strategy.ask(1)
        if not points:
            break
        point = points[0]
        asked.append(dict(point))
        bits = sum(value for name, value in point.items() if name.endswith("bits"))
        strategy.tell(Told((1 - 1 / bits, bits)))
    return asked


@pytest.mark.parametrize("strategy", ["grid", "random", "nsga2", "tpe"])
def test_points_lie_in_the_space_and_a_seed_repeats_them(strategy: str) -> None:
    search = Search(strategy=strategy, population=4)
    asked = _ask(search, 25)
    for point in asked:
        assert all(point[name] in choices for name, choices in SPACE.knobs.items())
    assert asked == _ask(search, 25)
    if strategy == "grid":
        assert asked == SPACE.uniform()


def test_anchors_come_first_and_can_be_left_out() -> None:
    anchors = [{name: point[name] for name in SPACE.knobs} for point in SPACE.anchors()[:3]]
    assert _ask(Search(strategy="nsga2"), 3) == anchors
    assert _ask(Search(strategy="nsga2", anchors=False), 3) != anchors


def test_the_users_sampler_and_points_are_taken() -> None:
    point = {"fc1.weight_bits": 3, "fc1.sparsity": 0.5}
    asked = _ask(Search(anchors=False), 6, optuna.samplers.RandomSampler(seed=1), (point,))
    assert point.items() <= asked[0].items()
    assert asked[1:] != _ask(Search(anchors=False), 6, optuna.samplers.RandomSampler(seed=2))[1:]


def test_wrong_samplers_and_points_are_refused() -> None:
    with pytest.raises(InputError, match="expected an Optuna sampler, received str"):
        make_strategy(Search(), SPACE, 1, "tpe")
    with pytest.raises(InputError, match=r"no knob 'fc1.bits'"):
        make_strategy(Search(), SPACE, 1, None, [{"fc1.bits": 3}])
    with pytest.raises(InputError, match=r"fc1.weight_bits: expected one of \[2, 3, 4\], received 9"):
        make_strategy(Search(), SPACE, 1, None, [{"fc1.weight_bits": 9}])


def test_a_candidate_that_failed_is_told() -> None:
    strategy = make_strategy(Search(anchors=False), SPACE, 1)
    assert len(strategy.ask(3)) == 3
    for told in (Told(None), Told((0.5, 3.0)), Told(None)):
        strategy.tell(told)
    assert len(strategy.ask(2)) == 2


def test_a_population_asked_at_once_evolves() -> None:
    wide = PlanSpace(Space(weight_bits=list(range(2, 13)), sparsity=0.0), Model(hidden=[6]), 4, 2, Precision(8, 2))
    strategy = make_strategy(Search(population=8, anchors=False), wide, 3)
    means = []
    for _ in range(15):
        points = strategy.ask(8)
        bits = [float(sum(value for name, value in point.items() if name.endswith("weight_bits"))) for point in points]
        for value in bits:
            strategy.tell(Told((-value, value)))
        means.append(np.mean(bits))
    assert np.mean(means[-3:]) < np.mean(means[:3]) - 2, means


def test_a_sweep_ends_with_its_last_points() -> None:
    strategy = make_strategy(Search(strategy="grid"), SPACE, 1)
    points = SPACE.uniform()
    assert strategy.ask(len(points) - 1) == points[:-1]
    assert strategy.ask(5) == points[-1:]
    assert strategy.ask(5) == []


def _candidate(accuracy: float, ebops: float, number: int) -> Candidate:
    plan = Plan((("output", LayerPlan(Precision(2 + number % 30), Precision(8))),))
    cost = Cost({"ebops": Figure(ebops, "test")})
    return Candidate(Architecture.mlp(4, [], 2), plan, None, {"accuracy_validation": accuracy}, cost)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 8)), min_size=1, max_size=25))
def test_the_front_is_what_no_other_candidate_dominates(pairs: list[tuple[int, int]]) -> None:
    candidates = [_candidate(accuracy / 8, ebops, i) for i, (accuracy, ebops) in enumerate(pairs)]
    names = ["accuracy", "ebops"]
    found = [values(candidate, names) for candidate in front(candidates, names)]
    expected = {
        (accuracy / 8, float(ebops))
        for accuracy, ebops in pairs
        if not any((a >= accuracy and e <= ebops) and (a, e) != (accuracy, ebops) for a, e in pairs)
    }
    assert set(found) == expected
    assert len(found) == len(expected), "equal candidates stand on the front once"
    assert np.all(np.diff([accuracy for accuracy, _ in found]) > 0), "accuracy rises strictly with EBOPs"
    assert np.all(np.diff([ebops for _, ebops in found]) > 0)


def test_objectives_of_the_other_task_are_refused() -> None:
    check_objectives(Study(search={"objectives": ["rmse", "ebops"]}), "regression")
    with pytest.raises(InputError, match="accuracy is for classification, this data is for regression: use rmse"):
        check_objectives(Study(search={"objectives": ["accuracy", "ebops"]}), "regression")
