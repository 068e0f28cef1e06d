"""Constraints: what keeps them, what comes nearest, and that the samplers are led by them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qap.candidate import Candidate, Cost, Figure
from qap.config.load import load_config
from qap.config.schema import Model, Search, Space, Study
from qap.errors import InputError
from qap.metrics.evaluate import Metrics
from qap.models.architecture import Architecture
from qap.plan import LayerPlan, Plan
from qap.precision import Precision
from qap.search.objectives import check_objectives, feasible, front, limits, nothing_left, values, violations, wanted_metrics
from qap.search.space import PlanSpace
from qap.search.strategies import Told, make_strategy

ARCHITECTURE = Architecture.mlp(4, [], 2)


def _candidate(bits: int, accuracy: float, **figures: float) -> Candidate:
    layer = LayerPlan(Precision(bits, 0), Precision(8, 2))
    cost = Cost({name: Figure(value, "here") for name, value in figures.items()})
    return Candidate(
        ARCHITECTURE, Plan((("output", layer),)), None, {"accuracy_validation": accuracy, "accuracy_drop": 0.8 - accuracy}, cost
    )


CANDIDATES = [_candidate(2 + i, 0.5 + 0.03 * i, LUT=100.0 * 2**i, II=1.0, latency_ns=20.0 * i) for i in range(8)]


def test_violations_are_fractions_of_the_limits() -> None:
    found = violations(CANDIDATES[3], {"LUT": 400, "accuracy_drop": 0.3, "latency_ns": 0})
    assert found == pytest.approx((1.0, (0.21 - 0.3) / 0.3, 60.0))
    assert [c.id for c in feasible(CANDIDATES, {"LUT": 400})] == [c.id for c in CANDIDATES[:3]]


@given(st.floats(0, 20000), st.floats(0, 0.4))
def test_the_front_is_that_of_the_feasible_ones(most: float, drop: float) -> None:
    allowed = {"LUT": most, "accuracy_drop": drop}
    kept = [c for c in CANDIDATES if c.cost["LUT"] <= most and c.metrics["accuracy_drop"] <= drop]  # type: ignore[index]
    assert [c.id for c in front(CANDIDATES, ["accuracy", "LUT"], allowed)] == [c.id for c in kept]


def test_nothing_left_names_the_nearest() -> None:
    text = nothing_left(CANDIDATES, {"LUT": 50})
    assert text.startswith(
        f"none of 8 candidates keeps the constraints; the nearest, {CANDIDATES[0].id}, has LUT 100 (at most 50)"
    )


def test_limits_hold_the_timing_budget_only_where_asked() -> None:
    timing = {"time_multiplexing": 6, "latency_ns": 500.0}
    assert limits(Study(timing=timing)) == {}
    kept = Study(timing=timing, search={"keep_timing": True, "constraints": {"II": 40, "latency_ns": 100}})
    assert limits(kept) == {"II": 30, "latency_ns": 100}  # 25 ns / 5 ns × 6
    assert limits(Study(search={"keep_timing": True}, firmware={"ClockPeriod": 4.0})) == {"II": 6}


@pytest.mark.parametrize("firmware", [{"IOType": "io_stream"}, {"Strategy": "distributed_arithmetic"}])
def test_figures_that_cannot_be_estimated_are_refused_at_once(firmware: dict) -> None:
    with pytest.raises(InputError, match="LUT cannot be estimated for firmware.IOType"):
        check_objectives(Study(search={"objectives": ["accuracy", "LUT"]}, firmware=firmware), "classification")
    with pytest.raises(InputError, match="II cannot be estimated"):
        check_objectives(Study(search={"keep_timing": True}, firmware=firmware), "classification")
    check_objectives(Study(firmware=firmware), "classification")


def test_a_drop_in_accuracy_is_no_constraint_of_a_regression() -> None:
    study = Study(search={"objectives": ["rmse", "LUT"], "constraints": {"accuracy_drop": 0.01}})
    with pytest.raises(InputError, match="accuracy_drop is for classification"):
        check_objectives(study, "regression")


@pytest.mark.parametrize(
    ("objective", "task", "instead"),
    [
        ("resolution", "classification", "use accuracy, auc, auc_worst or signal_efficiency"),
        ("auc_worst", "regression", "use rmse or resolution"),
        ("signal_efficiency", "regression", "use rmse or resolution"),
    ],
)
def test_objectives_of_the_other_task_are_refused(objective: str, task: str, instead: str) -> None:
    with pytest.raises(InputError, match=f"search.objectives: {objective} is for .*, this data is for {task}: {instead}"):
        check_objectives(Study(search={"objectives": [objective, "ebops"]}), task)


def test_the_signal_class_by_name_or_number() -> None:
    def found(**signal: object) -> object:
        study = Study(search={"objectives": ["signal_efficiency", "auc_worst", "LUT"], "signal": signal})
        return wanted_metrics(study, ("q", "g", "w"))

    assert found() == Metrics(("signal_efficiency", "auc_worst"), None, 0.01)
    assert found(**{"class": "w", "background_efficiency": 0.2}) == Metrics(("signal_efficiency", "auc_worst"), 2, 0.2)
    assert found(**{"class": 1}) == Metrics(("signal_efficiency", "auc_worst"), 1, 0.01)
    with pytest.raises(InputError, match=r"search.signal.class: no class 'x' \(known: g, q, w\)"):
        found(**{"class": "x"})
    with pytest.raises(InputError, match="search.signal.class: expected a number from 0 to 2, received 3"):
        found(**{"class": 3})
    with pytest.raises(InputError, match="search.signal.class: received 'w', but this data is for regression"):
        wanted_metrics(Study(search={"signal": {"class": "w"}}), ())


def test_a_front_may_have_any_scores_as_axes() -> None:
    scores = [(0.8, 0.3), (0.9, 0.1), (0.7, 0.2), (0.85, 0.25)]  # the third is worse in both than the first
    some = [
        c.with_(metrics={"auc_worst_validation": a, "signal_efficiency_validation": b})
        for c, (a, b) in zip(CANDIDATES, scores, strict=False)
    ]
    kept = front(some, ["auc_worst", "signal_efficiency"])
    assert {c.id for c in kept} == {some[i].id for i in (0, 1, 3)}


def test_a_candidate_without_the_figure_is_named() -> None:
    with pytest.raises(InputError, match=f"FF: candidate {CANDIDATES[0].id} has no such figure"):
        values(CANDIDATES[0], ["accuracy", "FF"])


def test_misspelt_constraints_are_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "study.yaml"
    path.write_text("search:\n  constraints:\n    LUTs: 500\n")
    with pytest.raises(InputError, match="search.constraints"):
        load_config(path)


@pytest.mark.parametrize("strategy", ["nsga2", "tpe"])
def test_the_sampler_is_led_into_the_limits(strategy: str) -> None:
    space = PlanSpace(Space(weight_bits=list(range(2, 13)), sparsity=0.0), Model(hidden=[6]), 4, 2, Precision(8, 2))

    def share(constrained: bool) -> float:
        search = Search(strategy=strategy, population=8, anchors=False)
        asked = make_strategy(search, space, 3, constrained=constrained)
        inside = []
        for _ in range(120):
            point = asked.ask(1)[0]
            bits = float(sum(value for name, value in point.items() if name.endswith("weight_bits")))
            asked.tell(Told((bits, bits), [(bits - 8) / 8] if constrained else ()))
            inside.append(bits <= 8)
        return float(np.mean(inside[60:]))

    free, led = share(False), share(True)
    assert led > free + 0.2, f"{led:.2f} of the later points keep the limit, {free:.2f} without one"
