"""What goes between a search and its workers: there and back in every bit, and small."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qap.backend import versions
from qap.candidate import Candidate
from qap.models.architecture import Architecture
from qap.plan import Plan
from qap.search.messages import Assignment, pack, read_result, read_start, result_message, start_message, unpack
from qap.search.work import Start
from qap.training.job import Failed

from ..conftest import uniform_plan
from ..test_plan import plans
from .conftest import small

NETWORK = Architecture.mlp(16, [64, 32, 32], 5)
PLAN = uniform_plan(["fc1", "fc2", "fc3", "output"])
FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=32)  # latent weights may be anything, their bits must stay
WEIGHTS = st.dictionaries(
    st.from_regex(r"[a-z]\w{0,8}/(kernel|bias)", fullmatch=True),
    st.integers(0, 5).flatmap(lambda size: arrays(np.float32, (size, 3), elements=FLOATS)), max_size=4,
)  # fmt: skip


def _bits(weights: dict[str, np.ndarray]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {name: (str(values.dtype), values.shape, values.tobytes()) for name, values in weights.items()}


def _weights(sparsity: float) -> dict[str, np.ndarray]:
    """Of the network, with a part of them pruned."""
    generator, found = np.random.default_rng(1), {}
    for layer, inputs, outputs in (("fc1", 16, 64), ("fc2", 64, 32), ("fc3", 32, 32), ("output", 32, 5)):
        kernel = generator.normal(0, 0.3, (inputs, outputs)).astype(np.float32)
        kernel[generator.random(kernel.shape) < sparsity] = 0
        found |= {f"{layer}/kernel": kernel, f"{layer}/bias": generator.normal(0, 0.1, outputs).astype(np.float32)}
    return found


@settings(max_examples=60, deadline=None)
@given(plan=plans(), weights=WEIGHTS, epochs=st.none() | st.floats(0.1, 100), rung=st.integers(0, 1000), final=st.booleans())
def test_a_start_there_and_back(plan: Plan, weights: dict, epochs: float | None, rung: int, final: bool) -> None:
    start = Start(Candidate(NETWORK, plan, weights), epochs, rung, {"fc1.weight_bits": 3}, ("0" * 12, 0), final)
    message = start_message(start, weights)
    plain = {name: value for name, value in message.items() if name not in ("weights", "parent")}
    assert json.loads(json.dumps(plain)) == plain, "nothing but plain values and arrays"
    again = read_start(message)
    assert (again.key, again.epochs, again.final) == (start.key, epochs, final)
    assert again.candidate.architecture == NETWORK
    assert again.candidate.plan == plan
    assert _bits(again.candidate.weights or {}) == _bits(weights) == _bits(unpack(message["parent"]))


@settings(max_examples=60, deadline=None)
@given(plan=plans(), weights=WEIGHTS, score=st.floats(0, 1), seconds=st.floats(0, 1e4))
def test_a_result_there_and_back(plan: Plan, weights: dict, score: float, seconds: float) -> None:
    trained = Candidate(NETWORK, plan, weights, {"accuracy_validation": score}, losses={"total": (score, 0.5)})
    start = Start(Candidate(NETWORK, plan), point={"a": 1}, origin=("1" * 12, 2))
    done = read_result(result_message(trained, seconds), start)
    assert done.start is start
    assert done.cpu_seconds == seconds
    assert isinstance(done.result, Candidate)
    assert done.result.to_dict() == trained.to_dict()
    assert _bits(done.result.weights or {}) == _bits(weights)


def test_a_training_that_came_to_nothing_there_and_back() -> None:
    start = Start(Candidate(NETWORK, PLAN))
    done = read_result(result_message(Failed("the loss became nan"), 1.5), start)
    assert (done.start, done.result, done.cpu_seconds) == (start, Failed("the loss became nan"), 1.5)


def test_what_is_pruned_takes_little_room() -> None:
    values = sum(array.size for array in _weights(0).values())
    sizes = {sparsity: len(pack(_weights(sparsity))) for sparsity in (0.0, 0.5, 0.9, 0.99)}
    start = Start(Candidate(NETWORK, PLAN, _weights(0.9)))
    words = len(json.dumps({key: value for key, value in start_message(start).items() if key != "weights"}))
    print(f"{values} weights of 4 bytes: {sizes}; architecture and plan {words} bytes")
    assert sizes[0.0] < 1.1 * 4 * values, "float32 noise cannot be compressed, but must not grow"
    assert sizes[0.5] < 0.75 * sizes[0.0]
    assert sizes[0.9] < 0.3 * sizes[0.0]
    assert words < 2000


def test_an_assignment_there_and_back(file: Path) -> None:
    config = small(file, "search.candidate_seconds=7.5")
    given = Assignment.of(config, file.parent / ".." / file.parent.name, "ab" * 32, trust=True)
    again = Assignment.from_dict(json.loads(json.dumps(given.to_dict())))
    assert again == given
    assert hash(again) == hash(given), "a worker keeps what it has read by its assignment"
    assert again.study == config
    assert again.folder == str(file.parent.resolve())
    assert dict(again.versions) == versions()
    assert (again.seconds, again.trust) == (7.5, True)
    assert Assignment.of(config, None, "").folder is None


def test_objects_that_run_are_neither_sent_nor_read() -> None:
    """An array of Python objects would be a pickle."""
    with pytest.raises(ValueError, match="Python objects"):
        pack({"fc1/kernel": np.array([{"a": 1}], dtype=object)})
    sent = b'[["fc1/kernel", "|O", [1]]]' + b"\n" + bytes(8)
    with pytest.raises(ValueError, match="OBJECT|object"):
        unpack(zlib.compress(sent))


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=80))
def test_what_was_not_packed_is_refused(data: bytes) -> None:
    for sent in (data, zlib.compress(data)):
        with pytest.raises((ValueError, TypeError, zlib.error)):
            unpack(sent)
