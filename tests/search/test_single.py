"""One training and the scores of candidates, against what a search and QKeras give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from qap.config.load import load_config
from qap.config.schema import Study as Config
from qap.datasets.dataset import Dataset
from qap.errors import InputError
from qap.metrics import classification
from qap.plan import Plan
from qap.search.run import run_search, trained
from qap.search.single import evaluate, train
from qap.training.job import Soft
from qap.training.population.engine import PopulationEngine

from ..conftest import uniform_plan

PLAN = uniform_plan(["fc1", "output"], 4, sparsity=0.5)


def study(**overrides: str) -> Config:
    return load_config(None, [
        "model.hidden=[8]", "train.batch=100", "train.parent_epochs=3", "train.epochs=4", "train.learning_rate=0.01",
        "search.holdback=0.0", "search.trials=1", *(f"{key.replace('__', '.')}={value}" for key, value in overrides.items()),
    ])  # fmt: skip


@pytest.fixture(scope="module")
def engine() -> PopulationEngine:
    return PopulationEngine()


def test_a_plan_is_trained_as_a_search_trains_it(data: Dataset, engine: PopulationEngine, tmp_path: Path) -> None:
    candidate, history = train(PLAN, study(), data, engine=engine)
    searched = run_search(study(), tmp_path / "searched", plans=[PLAN], data=data)
    (same,) = trained(searched)
    assert candidate.id == same.id
    assert dict(candidate.metrics).items() <= dict(same.metrics).items()
    assert candidate.cost is not None
    assert same.cost is not None
    assert candidate.cost["ebops"] == same.cost["ebops"]
    for name, values in searched.weights(same).items():
        np.testing.assert_array_equal(values, (candidate.weights or {})[name])
    assert len(history) == 4
    assert all(losses.soft is None for losses in history)
    assert history[-1].total < history[0].total


def test_going_on_from_a_candidate_needs_no_float_network(data: Dataset, engine: PopulationEngine) -> None:
    first, _ = train(PLAN, study(), data, engine=engine)
    longer = study(train__parent_epochs="10000")  # would take minutes
    second, history = train(first, longer, data, engine=engine)
    assert second.metrics["loss_train"] == history[-1].total
    assert history[0].total < 1.0


def test_a_teacher_can_be_given(data: Dataset, engine: PopulationEngine) -> None:
    scores = np.eye(3, dtype=np.float32)[data.train.y] * 4
    _, history = train(PLAN, study(compress="[distill+qap]"), data, engine=engine, teacher=Soft(scores, 2.0, 0.5))
    assert all(losses.soft is not None and losses.soft > 0 for losses in history)
    for losses in history:
        assert losses.total == pytest.approx(0.5 * losses.hard + 0.5 * (losses.soft or 0), rel=1e-4)


def test_a_plan_of_another_network_is_refused(data: Dataset) -> None:
    with pytest.raises(InputError, match="expected the layers fc1, output, received fc1, fc2, output"):
        train(uniform_plan(["fc1", "fc2", "output"]), study(), data)


def test_scores_are_those_of_qkeras_for_few_and_for_many(data: Dataset, engine: PopulationEngine) -> None:
    some = [train(uniform_plan(["fc1", "output"], bits), study(train__epochs="1"), data, engine=engine)[0] for bits in (4, 6)]
    slow = evaluate(some, data)
    fast = evaluate(some, data, engine=engine)
    for candidate, one, other in zip(some, slow, fast, strict=True):
        assert one.name == candidate.id
        np.testing.assert_array_equal(one.outputs, other.outputs)
        assert one.value() == classification.accuracy(data.test.y, one.outputs, data.test.weight, "logits")
        assert f"accuracy {one.value():.4f}" in repr(one)
    again = evaluate(some[0], data, split="validation")[0]
    assert again.value() == some[0].metrics["accuracy_validation"]


def test_what_cannot_be_scored_is_refused(data: Dataset) -> None:
    candidate, _ = train(PLAN, study(train__epochs="1"), data)
    with pytest.raises(InputError, match="has no weights"):
        evaluate([candidate.with_(weights=None)], data)
    with pytest.raises(InputError, match="expected train, validation or test, received 'tets'"):
        evaluate(candidate, data, split="tets")  # type: ignore[arg-type]


def test_binary_weights_go_the_way_of_keras(data: Dataset, engine: PopulationEngine) -> None:
    plan = PLAN.map(lambda name, layer: replace(layer, sparsity=0.0))
    binary = Plan.from_dict({**plan.to_dict(), "fc1": {**plan["fc1"].to_dict(), "weight": "binary()"}})
    candidate, history = train(binary, study(compress="[qat]", train__epochs="1"), data)
    (scores,) = evaluate(candidate, data, engine=engine)
    assert len(history) == 1
    assert evaluate(candidate, data, split="validation")[0].value() == candidate.metrics["accuracy_validation"]
    assert scores.value() > 0.4
