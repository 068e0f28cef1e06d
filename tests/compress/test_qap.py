"""Quantization-aware pruning of a candidate: sparsity asked for, sparsity counted, schedules by layer."""

from __future__ import annotations

import numpy as np
import pytest

from qap.candidate import Candidate
from qap.compress.context import Context, candidate_seed
from qap.compress.pipeline import compress
from qap.compress.qap import check, schedules
from qap.config.schema import Prune, Schedule, Train
from qap.cost.counts import count
from qap.datasets.dataset import Dataset
from qap.errors import InputError
from qap.models.architecture import Architecture
from qap.plan import LayerPlan, Plan
from qap.precision import Precision
from qap.training.keras_engine import KerasEngine

from ..conftest import INPUT

MLP = Architecture.mlp(6, [10, 8], 3)


def _context(data: Dataset, **prune: object) -> Context:
    train = Train(batch=100, epochs=2, learning_rate=5e-3)
    return Context(data, KerasEngine(), train, Prune(frequency=4, **prune), seed=1)  # type: ignore[arg-type]


def _candidate(sparsities: tuple[float, float, float], bits: int = 4) -> Candidate:
    weight, bias, relu = Precision(bits), Precision(10, 2), Precision(5, 2, signed=False)
    plan = Plan((
        ("fc1", LayerPlan(weight, bias, relu, sparsities[0])),
        ("fc2", LayerPlan(weight, bias, relu, sparsities[1])),
        ("output", LayerPlan(weight, bias, None, sparsities[2])),
    ))  # fmt: skip
    generator = np.random.default_rng(0)
    weights = {}
    for name, shape in MLP.shapes.items():
        weights[f"{name}/kernel"] = generator.normal(0, 0.4, shape).astype(np.float32)
        weights[f"{name}/bias"] = np.zeros(shape[1], np.float32)
    return Candidate(MLP, plan, weights)


def test_each_layer_gets_its_own_sparsity_and_quantization_keeps_it(data: Dataset) -> None:
    candidate = next(compress([_candidate((0.2, 0.7, 0.5))], _context(data)))
    cost = count(MLP, candidate.plan, candidate.weights or {}, INPUT)
    for name, wanted in (("fc1", 0.2), ("fc2", 0.7), ("output", 0.5)):
        size = np.prod(MLP.shapes[name])
        mask, zeros = cost.layers[name]["sparsity_mask"].value, cost.layers[name]["sparsity"].value
        assert mask == pytest.approx(1 - round(size * (1 - wanted)) / size), name
        assert zeros >= mask, name
    assert 0.3 < candidate.metrics["accuracy_validation"] <= 1
    assert np.isfinite(candidate.metrics["loss_train"])


def test_schedules_follow_the_study_file(data: Dataset) -> None:
    context = _context(data, begin=0.0, end=0.5, layers={"fc2": Schedule(schedule="constant", begin=0.5, end=1.0, frequency=3)})
    found = schedules(_candidate((0.2, 0.7, 0.0)), context)
    assert list(found) == ["fc1", "fc2"], "a layer without sparsity needs no schedule"
    assert (found["fc1"].schedule, found["fc1"].begin, found["fc1"].end, found["fc1"].frequency) == (
        "polynomial",
        0,
        20,
        4,
    )
    assert (found["fc2"].schedule, found["fc2"].begin, found["fc2"].end, found["fc2"].frequency) == (
        "constant",
        21,
        42,
        3,
    )


def test_a_schedule_for_a_layer_that_does_not_exist_is_refused(data: Dataset) -> None:
    with pytest.raises(InputError, match="no layer 'fc9'"):
        check(_context(data, layers={"fc9": Schedule()}), ["fc1", "fc2", "output"])


def test_seeds_differ_between_candidates_and_studies() -> None:
    seeds = {candidate_seed(study, candidate) for study in (1, 2) for candidate in ("a", "b")}
    assert len(seeds) == 4
    assert candidate_seed(1, "a") == candidate_seed(1, "a")
