"""Masks by granularity and criterion: the sparsity asked for, or a refusal; smaller networks equal to the masked ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qap.candidate import Candidate
from qap.compress.masking import by_schedule, choose, cut_off, masked, shrunk
from qap.compress.pipeline import METHODS, compress, outputs, parse_chain
from qap.datasets.dataset import Dataset
from qap.errors import InputError
from qap.granularity import Granularity
from qap.models.architecture import Architecture
from qap.training.job import Failed, Trained

from .helpers import candidate, context, zeros

WIDE = Architecture.mlp(8, [16, 8], 3)


@pytest.fixture(scope="module")
def wide_data(data: Dataset) -> Dataset:
    """8 features: the last two are sums of others."""
    def widened(split):  # type: ignore[no-untyped-def]
        more = np.clip(np.stack([split.x[:, 0] + split.x[:, 1], split.x[:, 2]], axis=1), -4, 3.875)
        return replace(split, x=np.concatenate([split.x, more], axis=1).astype(np.float32))

    return replace(
        data, train=widened(data.train), validation=widened(data.validation), test=widened(data.test),
        feature_names=(*data.feature_names, "sum", "copy"),
    )  # fmt: skip


SLOW = [pytest.param(method, marks=pytest.mark.slow) for method in ("one_shot", "iterative", "lottery")]


@pytest.mark.parametrize("method", ["qap", "prune", *SLOW])
@pytest.mark.parametrize(("text", "sparsity"), [("2:4", 0.5), ("block(4,2)", 0.75), ("dsp(4)", 0.5)])
def test_every_method_reaches_the_sparsity_of_every_granularity(
    method: str, text: str, sparsity: float, wide_data: Dataset
) -> None:
    granularity = Granularity.parse(text)
    start = candidate(sparsity, granularity, output=0.0, architecture=WIDE)
    found = METHODS[method](start, context(wide_data, epochs=3, prune={"rounds": 2}))
    assert zeros(found) == {"fc1": sparsity, "fc2": sparsity, "output": 0.0}
    if text == "2:4":
        kernel = np.asarray((found.weights or {})["fc1/kernel"]).reshape(2, 4, 16)
        assert ((kernel == 0).sum(axis=1) == 2).all()


@pytest.mark.parametrize("criterion", ["magnitude", "taylor", "fisher", "block_fisher", "activation"])
def test_every_criterion_gives_exactly_the_request(criterion: str, wide_data: Dataset) -> None:
    settings = context(wide_data, prune={"criterion": criterion})
    for quantized in (True, False):
        masks = choose(candidate(0.75, architecture=WIDE), settings, quantized=quantized)
        assert {name: float(1 - mask.mean()) for name, mask in masks.items()} == {"fc1": 0.75, "fc2": 0.75, "output": 0.75}


def test_what_is_zero_goes_first_even_where_nothing_scores(wide_data: Dataset) -> None:
    """Dead units have no gradient: their weights score 0, as do those that are gone."""
    start = candidate(0.5, architecture=WIDE)
    weights = {**(start.weights or {}), "fc1/bias": np.full(16, -100, np.float32)}
    weights["fc1/kernel"] = weights["fc1/kernel"] * (np.arange(128).reshape(8, 16) % 2 == 0)
    masks = choose(start.with_(weights=weights), context(wide_data, prune={"criterion": "taylor"}))
    assert (masks["fc1"] == (weights["fc1/kernel"] != 0)).all()


@pytest.mark.parametrize("method", ["qap", "prune", "one_shot", "lottery"])
def test_pruned_neurons_leave_a_smaller_network(method: str, wide_data: Dataset) -> None:
    start = candidate(0.5, Granularity.parse("neuron"), output=0.0, architecture=WIDE)
    found = METHODS[method](start, context(wide_data, epochs=3, prune={"rounds": 2}))
    assert str(found.architecture) == "8-8-4-3"
    assert [layer.sparsity for _, layer in found.plan.items()] == [0, 0, 0]
    found.architecture.check(found.plan)
    final = next(compress([found], context(wide_data, epochs=3), parse_chain(["qat"])))
    assert not isinstance(final, Failed)
    assert str(final.architecture) == "8-8-4-3"


def test_the_smaller_network_gives_the_outputs_of_the_masked_one_bit_for_bit(wide_data: Dataset) -> None:
    start = candidate(0.5, Granularity.parse("neuron"), output=0.0, architecture=WIDE)
    masks = cut_off(start, choose(start, context(wide_data)))
    whole = masked(start, masks)
    small = shrunk(whole)
    x = wide_data.validation.x
    assert (outputs(whole, x) == outputs(small, x)).all()
    assert small.weights is not None
    assert small.weights["fc1/kernel"].shape == (8, 8)
    assert small.weights["fc2/kernel"].shape == (8, 4)


def test_a_layer_behind_pruned_neurons_keeps_its_own_request(wide_data: Dataset) -> None:
    """Neurons of fc1, single weights of the output: the rows that lead on from nothing count for the output's mask."""
    start = candidate(0.5, Granularity.parse("neuron"), output=0.75, architecture=WIDE)
    found = METHODS["qap"](start, context(wide_data, epochs=3))
    assert str(found.architecture) == "8-8-4-3"
    assert zeros(found)["output"] == pytest.approx(found.plan["output"].sparsity, abs=1e-9)
    assert found.plan["output"].sparsity == pytest.approx((18 - 12) / 12), "18 of 24 were to go, 12 went with their neurons"


@pytest.mark.parametrize(("text", "sparsity", "message"), [
    ("2:4", 0.8, "2:4 sets 2 of 4 weights to zero: expected the sparsity 0.5, received 0.8"),
    ("3:7", 3 / 7, "3:7 needs input channels in multiples of 7"),
    ("block(4,2)", 0.77, "cannot give the sparsity 0.77; the nearest are 0.75"),
    ("neuron", 0.7, "cannot give the sparsity 0.7"),
    ("dsp(3)", 0.5, "hls4ml has no reuse factor 3"),
])  # fmt: skip
def test_what_cannot_be_had_is_refused_before_anything_is_trained(
    text: str, sparsity: float, message: str, wide_data: Dataset
) -> None:
    start = candidate(sparsity, Granularity.parse(text), output=0.0, architecture=WIDE)
    running = by_schedule(start, context(wide_data), quantized=True)
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        next(running)


def test_neurons_of_the_output_layer_are_refused(wide_data: Dataset) -> None:
    start = candidate(0.5, Granularity.parse("neuron"), architecture=Architecture.mlp(8, [16], 4))
    found = next(compress([start], context(wide_data), parse_chain(["qap"])))
    assert isinstance(found, Failed)
    assert "output" in found.reason
    assert "cannot be pruned" in found.reason


@pytest.mark.parametrize("schedule", ["constant", "polynomial", "cosine"])
def test_the_masks_grow_along_the_schedule_and_the_learning_rate_falls_once(schedule: str, wide_data: Dataset) -> None:
    start = candidate(0.75, Granularity.parse("block(4,2)"), output=0.0, architecture=WIDE)
    settings = context(wide_data, epochs=4, prune={"schedule": schedule, "rounds": 4, "begin": 0.25, "end": 0.75})
    running = by_schedule(start, settings, quantized=True)
    jobs, job = [], next(running)
    try:
        while True:
            jobs.append(job)
            job = running.send(Trained(dict(job.weights or {}), np.zeros((1, 3)), 1.0, None))
    except StopIteration as end:
        result: Candidate = end.value
    levels = [float(1 - np.mean(job.masks["fc1"])) if job.masks else 0.0 for job in jobs]
    assert levels == sorted(levels), schedule
    assert levels[-1] == 0.75
    starts = [job.window[0] for job in jobs if job.window]
    assert starts == sorted(starts)
    assert starts[0] == 0
    assert {job.window[1] for job in jobs if job.window} == {84}
    assert sum(job.steps or 0 for job in jobs) == 84
    assert zeros(result)["fc1"] == 0.75
    if schedule == "constant":
        assert set(levels) == {0.0, 0.75}
