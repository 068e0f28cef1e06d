"""The population engine against the keras engine, on QKeras models with TF-MOT's pruning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qap.datasets.dataset import Dataset, Split, prepare
from qap.errors import InputError
from qap.models.architecture import Architecture
from qap.models.builders import build, set_weights
from qap.plan import LayerPlan, Plan
from qap.precision import Precision
from qap.training.job import Failed, Job, Pruning, Soft, Trained
from qap.training.keras_engine import KerasEngine, logits
from qap.training.population.engine import PopulationEngine, unsupported

from ...conftest import blobs, uniform_plan
from .helpers import MLP, NAMES, random_job, random_plan, random_weights

STEPS = 100


@pytest.fixture(scope="module")
def engine() -> PopulationEngine:
    return PopulationEngine()


@pytest.fixture(scope="module")
def wide() -> Dataset:
    """16 features and 5 classes, as the jets have."""
    return prepare(blobs(6000, 16, 5, seed=4), Precision(10, 2))


def trained(engine: PopulationEngine | KerasEngine, jobs: list[Job], data: Dataset) -> list[Trained]:
    results = list(engine.train(jobs, data))
    assert all(isinstance(result, Trained) for result in results), [r for r in results if isinstance(r, Failed)]
    return results  # type: ignore[return-value]


def qkeras_logits(architecture: Architecture, plan: Plan, weights: dict[str, np.ndarray], split: Split) -> np.ndarray:
    model = build(architecture, plan)
    set_weights(model, weights)
    return logits(model, split.x)


def assert_same_masks(one: Trained, two: Trained, label: str) -> None:
    for name in NAMES:
        masks = [result.weights[f"{name}/kernel"] != 0 for result in (one, two)]
        wrong = int((masks[0] != masks[1]).sum())
        assert not wrong, f"{label}: {name}: {wrong} of {masks[0].size} masks differ"


def worst(one: Trained, two: Trained) -> float:
    return max(float(np.abs(one.weights[key] - two.weights[key]).max()) for key in one.weights)


def test_equal_weights_give_the_logits_of_qkeras_bit_for_bit(engine: PopulationEngine, wide: Dataset) -> None:
    """24 random plans, hidden layers with relu and without, outputs with a quantizer and without, every validation event."""
    generator = np.random.default_rng(0)
    shapes = {kind: Architecture.mlp(16, [64, 32, 32], 5, activation=kind) for kind in ("relu", "linear")}
    for kind, architecture in shapes.items():
        for output in (None, Precision(12, 4)):
            plans = [random_plan(architecture, generator, output=output) for _ in range(6)]
            weights = [random_weights(architecture, generator, 0.2) for _ in plans]
            received = engine.evaluate(architecture, plans, weights, wide.validation)
            for number, plan in enumerate(plans):
                expected = qkeras_logits(architecture, plan, weights[number], wide.validation)
                wrong = int((received[number] != expected).sum())
                assert not wrong, f"{kind} {output} plan {number}: {wrong} of {expected.size} logits differ:\n{plan}"
    assert engine.traces == 4, "one trace for each kind of activations"


@pytest.mark.parametrize("lanes", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_trajectories_over_100_steps_have_the_masks_and_weights_of_the_keras_engine(lanes: int, data: Dataset) -> None:
    """Different precisions, sparsities, schedules, learning-rate decays and seeds in one population.

    A unit whose quantized weights to all outputs are equal would be an exception: its gradient is 0, both engines see only the
    rounding of their sums, and Adam scales it up. These jobs have none.
    """
    generator = np.random.default_rng(lanes)
    jobs = [random_job(MLP, generator, steps=STEPS) for _ in range(5)]
    engine = PopulationEngine(lanes)
    ours, reference = trained(engine, jobs, data), trained(KerasEngine(), jobs, data)
    differences = [worst(one, two) for one, two in zip(ours, reference, strict=True)]
    for number, (one, two) in enumerate(zip(ours, reference, strict=True)):
        assert_same_masks(one, two, f"job {number}")
        assert one.loss == pytest.approx(two.loss, rel=1e-5)
        again = qkeras_logits(MLP, jobs[number].plan, one.weights, data.validation)  # type: ignore[arg-type]
        assert (one.validation == again).all(), f"job {number}: the validation logits are not those of its weights in QKeras"
    assert max(differences) < 1e-6, differences
    assert engine.traces == 2, "training and evaluation are traced once"


def test_the_masks_are_applied_at_the_end_of_every_epoch(data: Dataset) -> None:
    """A renewal at the first step of an epoch sees the weights pruned, as after TF-MOT's callback."""
    pruning = {name: Pruning("polynomial", 1, 64, 21) for name in NAMES}  # renewals at steps 1, 22, 43, 64; 21 steps an epoch
    job = random_job(MLP, np.random.default_rng(5), steps=84)
    job = replace(job, plan=uniform_plan(NAMES, 6, sparsity=0.7), pruning=pruning)
    ours, reference = trained(PopulationEngine(), [job], data)[0], trained(KerasEngine(), [job], data)[0]
    assert_same_masks(ours, reference, "renewal at the first step of an epoch")
    assert worst(ours, reference) < 1e-6


@pytest.mark.parametrize("weighted", [False, True])
def test_regression_and_event_weights_follow_the_keras_engine(weighted: bool, regression_data: Dataset) -> None:
    architecture = Architecture.mlp(5, [16], 2)
    train = regression_data.train
    weight = train.weight if weighted else np.ones_like(train.weight)
    dataset = replace(regression_data, train=Split(train.x, train.y, weight))
    jobs = [random_job(architecture, np.random.default_rng(8), steps=60, batch=50)]
    ours, reference = trained(PopulationEngine(), jobs, dataset)[0], trained(KerasEngine(), jobs, dataset)[0]
    assert worst(ours, reference) < 1e-6
    assert ours.loss == pytest.approx(reference.loss, rel=1e-5)


@pytest.mark.slow
def test_soft_targets_follow_the_keras_engine(data: Dataset, regression_data: Dataset) -> None:
    generator = np.random.default_rng(11)
    for dataset in (data, regression_data):
        architecture = Architecture.mlp(dataset.train.x.shape[1], [12, 8], dataset.outputs)
        outputs = generator.normal(0, 2, (len(dataset.train), dataset.outputs)).astype(np.float32)
        teachers = [Soft(outputs, 1.0, 0.5), Soft(outputs, 4.0, 0.9), None]
        jobs = [replace(random_job(architecture, generator, steps=40), teacher=teacher) for teacher in teachers]
        ours = trained(PopulationEngine(2), jobs, dataset)
        reference = trained(KerasEngine(), jobs, dataset)
        for one, two, teacher in zip(ours, reference, teachers, strict=True):
            assert worst(one, two) < 1e-6, (dataset.task, teacher)
            assert one.loss == pytest.approx(two.loss, rel=1e-5)


def test_without_start_weights_it_begins_as_keras_does(data: Dataset) -> None:
    job = replace(random_job(MLP, np.random.default_rng(2), steps=3), weights=None)
    assert worst(trained(PopulationEngine(), [job], data)[0], trained(KerasEngine(), [job], data)[0]) < 1e-7


def test_a_candidate_does_not_depend_on_its_population(engine: PopulationEngine, data: Dataset) -> None:
    generator = np.random.default_rng(21)
    jobs = [random_job(MLP, generator, steps=30) for _ in range(5)]
    together = trained(engine, jobs, data)
    alone = trained(engine, [jobs[3]], data)[0]
    assert all((together[3].weights[key] == alone.weights[key]).all() for key in alone.weights)
    assert (together[3].validation == alone.validation).all()


def test_one_trace_serves_any_plans_epochs_steps_and_sizes_of_the_population(data: Dataset) -> None:
    engine = PopulationEngine(2)
    generator = np.random.default_rng(1)
    for number, steps in ((3, 10), (1, 50), (5, 22)):
        trained(engine, [random_job(MLP, generator, steps=steps) for _ in range(number)], data)
    assert engine.traces == 2


def test_several_architectures_come_back_in_the_order_of_the_jobs(data: Dataset) -> None:
    generator = np.random.default_rng(7)
    shapes = [Architecture.mlp(6, hidden, 3) for hidden in ([4], [5], [4], [6], [5])]
    jobs = [random_job(shape, generator, steps=5) for shape in shapes]
    results = trained(PopulationEngine(2), jobs, data)
    for shape, result in zip(shapes, results, strict=True):
        assert result.weights["fc1/kernel"].shape == shape.shapes["fc1"]


@pytest.mark.parametrize("lanes", [1, 3])
def test_a_candidate_that_diverges_is_reported_and_the_others_go_on(lanes: int, data: Dataset) -> None:
    generator = np.random.default_rng(6)
    jobs = [random_job(MLP, generator, steps=30) for _ in range(3)]
    alone = trained(PopulationEngine(lanes), [jobs[2]], data)[0]
    bad = {key: value * np.float32(np.nan) for key, value in jobs[1].weights.items()}  # type: ignore[union-attr]
    results = list(PopulationEngine(lanes).train([jobs[0], replace(jobs[1], weights=bad), jobs[2]], data))
    assert isinstance(results[1], Failed)
    assert "the training loss became nan: lower train.learning_rate" in results[1].reason
    assert isinstance(results[0], Trained)
    assert isinstance(results[2], Trained)
    assert worst(results[2], alone) < 1e-6


def test_what_it_does_not_cover_goes_to_the_keras_engine_and_is_said_once(data: Dataset) -> None:
    said: list[str] = []
    engine = PopulationEngine(say=said.append)
    job = random_job(MLP, np.random.default_rng(3), steps=4)
    layers = dict(job.plan.items())  # type: ignore[union-attr]
    ternary = Plan((("fc1", replace(layers["fc1"], weight=Precision(2, kind="ternary"))), *list(layers.items())[1:]))
    odd = replace(job, plan=ternary)
    results = list(engine.train([job, odd, odd, replace(job, plan=None, pruning={}, weights=None)], data))
    reference = trained(KerasEngine(), [odd], data)[0]
    assert [isinstance(result, Trained) for result in results] == [True] * 4
    assert worst(results[1], reference) == 0  # type: ignore[arg-type]
    assert said == ["ternary quantizers: trained by the keras engine", "a float network: trained by the keras engine"]
    assert unsupported(replace(job, builder=lambda a, p: build(a, p))) == "a model function of the user's own"


def test_plans_whose_sums_need_more_than_24_bits_are_scored_by_qkeras(data: Dataset) -> None:
    layer = LayerPlan(Precision(18, 1), Precision(26, 2), Precision(16, 2, signed=False))
    plan = Plan((("fc1", layer), ("fc2", layer), ("output", replace(layer, activation=None))))
    job = replace(random_job(MLP, np.random.default_rng(4), steps=10), plan=plan, pruning={})
    result = trained(PopulationEngine(), [job], data)[0]
    assert (result.validation == qkeras_logits(MLP, plan, result.weights, data.validation)).all()


def test_bad_input_is_refused(engine: PopulationEngine, data: Dataset) -> None:
    job = random_job(MLP, np.random.default_rng(4), steps=10)
    with pytest.raises(InputError, match=r"train.batch: expected at most 2100"):
        list(engine.train([replace(job, batch=5000)], data))
    with pytest.raises(InputError, match=r"teacher: expected outputs of shape"):
        list(engine.train([replace(job, teacher=Soft(np.zeros((1, 3), np.float32)))], data))
    other = random_weights(Architecture.mlp(6, [12, 9], 3), np.random.default_rng(0))
    with pytest.raises(InputError, match=r"weights: fc2/kernel: expected shape \(12, 8\), received \(12, 9\)"):
        list(engine.train([replace(job, weights=other)], data))
    with pytest.raises(InputError, match=r"weights: fc1/kernel: expected shape \(6, 12\), received nothing"):
        engine.evaluate(MLP, [job.plan], [{}], data.validation)  # type: ignore[list-item]
    with pytest.raises(InputError, match="lanes: expected 1 or more, received 0"):
        PopulationEngine(0)
    with pytest.raises(InputError, match=r"100000000 candidates at once need about .* MB are free: use \d+ or fewer"):
        list(PopulationEngine(10**8).train([job] * 3, data))
    layers = dict(job.plan.items())  # type: ignore[union-attr]
    odd = Plan((("fc1", replace(layers["fc1"], weight=Precision(2, kind="ternary"))), *list(layers.items())[1:]))
    with pytest.raises(InputError, match="does not cover ternary quantizers"):
        engine.evaluate(MLP, [odd], [job.weights], data.validation)  # type: ignore[list-item]
