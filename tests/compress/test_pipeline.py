"""Chains: reading them, running them side by side, and what every method leaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from qap.candidate import Candidate
from qap.compress.pipeline import METHODS, compress, outputs, parse_chain, quantizes
from qap.datasets.dataset import Dataset
from qap.errors import InputError, QapError
from qap.granularity import Granularity
from qap.metrics.classification import accuracy
from qap.training.job import Failed, Job, Trained
from qap.training.keras_engine import KerasEngine

from .helpers import MLP, candidate, context, zeros


class Counted(KerasEngine):
    """Notes how many jobs come at a time."""

    def __init__(self) -> None:
        self.rounds: list[int] = []

    def train(self, jobs: Sequence[Job], data: Dataset) -> Iterator[Trained | Failed]:
        if jobs:
            self.rounds.append(len(jobs))
        yield from super().train(jobs, data)


@pytest.mark.parametrize(("names", "message"), [
    (["qapp"], "received 'qapp' \\(did you mean 'qap'"),
    (["distill+ptq"], r"ptq does not train, it cannot learn from a teacher: write \[distill, ptq\]"),
    (["kd+qap"], "received 'kd\\+qap'"),
    ([], "one method or more, received none"),
])  # fmt: skip
def test_a_chain_that_does_not_exist_is_refused(names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_chain(names)


def test_the_end_of_a_chain_decides_whether_it_is_quantized() -> None:
    assert [quantizes(parse_chain(names)) for names in (["train"], ["prune"], ["train", "equalize"])] == [False] * 3
    assert [quantizes(parse_chain(names)) for names in (["qap"], ["prune", "ptq"], ["distill", "qap"])] == [True] * 3


@pytest.mark.slow
def test_candidates_go_side_by_side_and_come_in_order(data: Dataset) -> None:
    engine = Counted()
    batch = [candidate(0.5, seed=seed) for seed in range(2)]
    found = list(compress(batch, context(data, engine, epochs=2), parse_chain(["prune", "qat"])))
    assert engine.rounds == [2, 2], "two trainings of two candidates each"
    assert [one.id for one in found if isinstance(one, Candidate)] == [one.id for one in batch]
    alone = METHODS["qap"](batch[1], context(data, KerasEngine(), epochs=2))
    among = list(compress(batch, context(data, KerasEngine(), epochs=2)))[1]
    assert isinstance(among, Candidate)
    for key, value in (alone.weights or {}).items():
        assert (value == (among.weights or {})[key]).all(), key


def test_the_budget_is_divided_among_the_methods_that_train(data: Dataset) -> None:
    steps: list[int] = []

    class Noted(KerasEngine):
        def train(self, jobs: Sequence[Job], data: Dataset) -> Iterator[Trained | Failed]:
            steps.extend(job.total_steps(len(data.train)) for job in jobs)
            yield from super().train(jobs, data)

    next(compress([candidate(0.5)], context(data, Noted(), epochs=4), parse_chain(["prune", "qat"])))
    next(compress([candidate(0.5)], context(data, Noted(), epochs=4), parse_chain(["train", "equalize", "ptq"])))
    assert steps == [42, 42, 84]


def test_a_method_that_refuses_a_candidate_fails_it_alone(data: Dataset) -> None:
    good, bad = candidate(0.5), candidate(0.5, Granularity.parse("2:4"))
    found = list(compress([bad, good], context(data, epochs=1), parse_chain(["qap"])))
    assert isinstance(found[0], Failed)
    assert "fc1: 2:4 needs input channels in multiples of 4, received 6" in found[0].reason
    assert isinstance(found[1], Candidate)


def test_a_training_that_diverges_fails_or_is_raised(data: Dataset) -> None:
    bad = candidate(0.0).with_(weights={key: value * np.float32(np.nan) for key, value in (candidate().weights or {}).items()})
    found = list(compress([bad], context(data), parse_chain(["qat"])))
    assert isinstance(found[0], Failed)
    with pytest.raises(QapError, match="the training loss became nan"):
        METHODS["qat"](bad, context(data))


@pytest.mark.parametrize("names", [
    ["train"], ["train", "ptq"], ["train", "equalize", "ptq"], ["train", "weight_only"], ["qat"], ["cluster", "ptq"],
    ["low_rank", "qat"], ["prune"], ["prune", "ptq"], ["prune", "qat"], ["qap"], ["one_shot"], ["iterative"], ["lottery"],
], ids="-".join)  # fmt: skip
def test_every_method_learns_keeps_its_sparsity_and_says_its_true_accuracy(names: list[str], data: Dataset) -> None:
    chain = parse_chain(names)
    found = next(compress([candidate(0.5, bits=6)], context(data, epochs=6, prune={"rounds": 3}), chain))
    assert isinstance(found, Candidate), found
    prunes = any(link.method.prunes for link in chain)
    if prunes:
        assert zeros(found) == pytest.approx({"fc1": 0.5, "fc2": 0.5, "output": 0.5}), names
    scores = outputs(found, data.validation.x, quantized=quantizes(chain))
    expected = accuracy(data.validation.y, scores, data.validation.weight, kind="logits")
    assert found.metrics["accuracy_validation"] == expected
    if names == ["low_rank", "qat"]:
        assert str(found.architecture) == "6-2-12-3-8-3"
    else:
        assert str(found.architecture) == str(MLP)
        assert expected > 0.7, f"{names}: accuracy {expected:.3f}"


def test_sequential_pruning_keeps_the_masks_of_the_float_network(data: Dataset) -> None:
    start = candidate(0.75)
    pruned = METHODS["prune"](start, context(data))
    trained = METHODS["qat"](pruned, context(data))
    for name in MLP.shapes:
        masks = [np.asarray((one.weights or {})[f"{name}/kernel"]) != 0 for one in (pruned, trained)]
        assert not (masks[1] & ~masks[0]).any(), f"{name}: {(masks[1] & ~masks[0]).sum()} weights came back"


def test_the_ticket_starts_from_early_values_with_the_mask_of_the_dense_network(data: Dataset) -> None:
    jobs: list[Job] = []

    class Noted(KerasEngine):
        def train(self, some: Sequence[Job], data: Dataset) -> Iterator[Trained | Failed]:
            jobs.extend(some)
            for result in super().train(some, data):
                results.append(result)
                yield result

    results: list[Trained | Failed] = []
    METHODS["lottery"](candidate(0.5), context(data, Noted(), epochs=3))
    early, dense, ticket = jobs
    assert [job.steps for job in jobs] == [3, 60, 63], "half of 3 + 3 epochs of 21 steps for each, 5 % of it early"
    assert early.weights is None, "from Keras's initialisation"
    first, second = results[0], results[1]
    assert isinstance(first, Trained)
    assert isinstance(second, Trained)
    for name in MLP.shapes:
        kernel, size = f"{name}/kernel", int(np.prod(MLP.shapes[name]))
        magnitude = np.abs(second.weights[kernel])
        expected = magnitude >= np.sort(magnitude.ravel())[size - size // 2 :][0]
        assert (ticket.masks[name] == expected).all(), name
        assert ((ticket.weights or {})[kernel] == first.weights[kernel] * expected).all(), name
    assert dense.window == (3, 63)
