"""Methods that need no training, against NumPy: PTQ, weight-only, equalisation, low rank; and teachers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qap.backend import stack
from qap.compress.equalize import equalized
from qap.compress.low_rank import factorized, factors
from qap.compress.pipeline import outputs
from qap.compress.ptq import quantized
from qap.compress.ranges import best_integer, holding_integer
from qap.compress.teachers import Teachers
from qap.compress.weight_only import weight_only
from qap.config.schema import PTQ, Distill, LowRank, Model
from qap.datasets.dataset import Dataset
from qap.errors import InputError
from qap.models.architecture import Architecture
from qap.models.builders import float_logits
from qap.precision import Precision

from .helpers import MLP, candidate, context, random_weights


def test_ptq_chooses_the_power_of_two_with_the_least_squared_error_layer_by_layer(data: Dataset) -> None:
    """Every choice by brute force: q = clip(round(x/s), q_min, q_max) with s = 2^−f."""
    start = candidate(bits=4)
    found = quantized(start, context(data))
    values = data.train.x[:4096].astype(np.float64)
    for layer in MLP.layers:
        kernel = (start.weights or {})[f"{layer.name}/kernel"].astype(np.float64)
        plan = found.plan[layer.name]

        def error(x: np.ndarray, integer: int, low: int, high: int, sign: int) -> float:
            step = 2.0 ** -(4 - sign - integer)
            return float(np.mean((np.clip(np.round(x / step), low, high) * step - x) ** 2))

        assert plan.weight.integer == int(np.argmin([error(kernel, i, -8, 7, 1) for i in range(4)])), layer.name
        step = 2.0**-plan.weight.fractional
        values = values @ (np.clip(np.round(kernel / step), -8, 7) * step)
        values += plan.bias.quantize((start.weights or {})[f"{layer.name}/bias"])
        if plan.activation is not None:
            values = np.maximum(values, 0)
            assert plan.activation.integer == int(np.argmin([error(values, i, 0, 15, 0) for i in range(5)])), layer.name
            step = 2.0**-plan.activation.fractional
            values = np.clip(np.round(values / step), 0, 15) * step
    scores = outputs(found, data.train.x[:4096])
    assert (scores == values).all(), f"{(scores != values).sum()} of {values.size} outputs differ from NumPy's"


@given(
    st.lists(st.floats(-60, 60, allow_nan=False, width=32), min_size=2, max_size=60), st.integers(2, 10), st.booleans(),
    st.floats(51, 100),
)  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_the_percentile_range_is_the_smallest_that_holds_it(values: list[float], bits: int, signed: bool, part: float) -> None:
    x = np.array(values)
    integer = holding_integer(x, bits, signed, part)
    wanted = np.percentile(np.abs(x), part)
    assert Precision(bits, integer, signed).high >= wanted or integer == bits - signed
    assert integer == 0 or Precision(bits, integer - 1, signed).high < wanted


def test_percentile_and_squared_error_differ_where_there_are_outliers() -> None:
    x = np.concatenate([np.random.default_rng(0).uniform(-0.9, 0.9, 5000), [30.0]])
    assert holding_integer(x, 6, True, 99.9) == 0
    assert holding_integer(x, 6, True, 100) == 5
    assert 0 < best_integer(x, 6, True) < 5, "between the bulk and the outlier"
    with pytest.raises(InputError, match="above 0, up to 100, received 101"):
        holding_integer(x, 6, True, 101)


def test_a_calibration_set_of_one_event_is_refused(data: Dataset) -> None:
    one = replace(data, train=data.train.head(1))
    with pytest.raises(InputError, match="expected 2 calibration events or more, received 1"):
        quantized(candidate(), replace(context(data), data=one))


def test_the_range_setting_is_followed(data: Dataset) -> None:
    whole = quantized(candidate(bits=4), context(data, ptq=PTQ(range="percentile", percentile=100)))
    for name, layer in whole.plan.items():
        kernel = (whole.weights or {})[f"{name}/kernel"]
        assert layer.weight.high >= np.abs(kernel).max() or layer.weight.integer == 3, name


def test_weight_only_keeps_the_weights_bits_and_widens_the_activations(data: Dataset) -> None:
    start = candidate(bits=4)
    found = weight_only(start, context(data))
    assert [layer.weight.bits for _, layer in found.plan.items()] == [4, 4, 4]
    assert [layer.activation.bits for _, layer in found.plan.items() if layer.activation] == [16, 16]
    x = data.validation.x
    truth = float_logits(MLP, start.weights or {}, x)["output"]
    errors = [np.abs(outputs(one, x) - truth).mean() for one in (found, quantized(start, context(data)))]
    assert errors[0] < errors[1]


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_equalised_weights_give_the_same_bits_and_even_ranges(seed: int) -> None:
    generator = np.random.default_rng(seed)
    weights = random_weights(MLP, seed)
    for name in ("fc1", "fc2"):
        scale = np.exp2(generator.integers(-6, 7, weights[f"{name}/kernel"].shape[1])).astype(np.float32)
        weights[f"{name}/kernel"] *= scale
        weights[f"{name}/bias"] *= scale
    start = candidate().with_(weights=weights)
    found = equalized(start, None)  # type: ignore[arg-type]
    x = generator.normal(0, 1, (200, 6)).astype(np.float32)
    before, after = (float_logits(MLP, one.weights or {}, x)["output"] for one in (start, found))
    assert (before == after).all(), f"seed {seed}: {(before != after).sum()} of {before.size} outputs differ"
    for name, following in (("fc1", "fc2"), ("fc2", "output")):
        incoming = np.abs((found.weights or {})[f"{name}/kernel"]).max(axis=0)
        outgoing = np.abs((found.weights or {})[f"{following}/kernel"]).max(axis=1)
        assert (np.abs(np.log2(outgoing / incoming)) <= 1 + 1e-6).all(), f"seed {seed}, {name}"


@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_the_factors_are_the_best_of_their_rank(inputs: int, units: int, seed: int) -> None:
    kernel = np.random.default_rng(seed).normal(0, 1, (inputs, units)).astype(np.float32)
    rank = max(min(inputs, units) // 2, 1)
    one, two = factors(kernel, rank)
    assert one.shape == (inputs, rank)
    left = np.linalg.svd(kernel.astype(np.float64), compute_uv=False)[rank:]
    error = np.linalg.norm(one.astype(np.float64) @ two - kernel)
    assert error == pytest.approx(np.sqrt((left**2).sum()), rel=1e-4, abs=1e-5), "Eckart and Young"


def test_low_rank_makes_the_hidden_layers_thinner_and_leaves_the_output(data: Dataset) -> None:
    start = candidate(architecture=Architecture.mlp(6, [20, 20], 3))
    found = factorized(start, context(data, low_rank=LowRank(rank=0.3)))
    assert str(found.architecture) == "6-2-20-6-20-3"
    found.architecture.check(found.plan)
    full = factorized(start, context(data, low_rank=LowRank(rank=0.4)))
    x = data.validation.x
    truth = float_logits(start.architecture, start.weights or {}, x)["output"]
    errors = [np.abs(float_logits(one.architecture, one.weights or {}, x)["output"] - truth).mean() for one in (found, full)]
    assert errors[1] < errors[0]
    with pytest.raises(InputError, match=r"low_rank.rank: no layer of 6-20-20-3 gets smaller at 1.0"):
        factorized(start, context(data, low_rank=LowRank(rank=1.0)))


def _teachers(data: Dataset, folder: Path | None = None, **section: object) -> Teachers:
    def parent(architecture: Architecture, number: int) -> dict[str, np.ndarray]:
        return random_weights(architecture, seed=number)

    return Teachers(Distill.model_validate(section), Model(batchnorm=False), data, parent, folder)


def test_the_parent_teaches_its_own_outputs_and_an_ensemble_their_mean(data: Dataset) -> None:
    x = data.train.x
    own = float_logits(MLP, random_weights(MLP), x)["output"]
    assert (_teachers(data)(MLP).outputs == own.astype(np.float32)).all()
    wide = Architecture.mlp(6, [20], 3)
    members = [float_logits(wide, random_weights(wide, seed), x)["output"] for seed in (0, 1)]
    found = _teachers(data, teachers=["parent", [20]], seeds=2, temperature=2.5, alpha=0.25)(MLP)
    assert found.outputs == pytest.approx(np.mean([own, *members], axis=0), abs=1e-5)
    assert (found.temperature, found.alpha) == (2.5, 0.25)


def test_targets_are_computed_once(data: Dataset) -> None:
    teachers = _teachers(data, teachers=[[20]])
    assert teachers(MLP) is teachers(Architecture.mlp(6, [4], 3))
    own = _teachers(data)
    assert own(MLP) is own(MLP)
    assert own(MLP) is not own(Architecture.mlp(6, [4], 3))


def test_a_keras_file_teaches_its_logits_also_behind_a_softmax(data: Dataset, tmp_path: Path) -> None:
    layers, keras = stack().keras.layers, stack().keras
    inputs = layers.Input((6,))
    logits = layers.Dense(3)(inputs)
    plain = keras.Model(inputs, logits)
    plain.save(tmp_path / "plain.keras")
    keras.Model(inputs, layers.Activation("softmax")(logits)).save(tmp_path / "soft.keras")
    one, two = (_teachers(data, tmp_path, teachers=[f"{name}.keras"])(MLP).outputs for name in ("plain", "soft"))
    assert one == pytest.approx(np.asarray(plain(data.train.x)), abs=1e-5)
    difference = one - two
    inside = (two > np.log(1e-6)).all(axis=1)
    apart = np.abs(difference - difference.max(axis=1, keepdims=True))[inside].max()
    assert apart < 1e-3, "equal but for a constant"


@pytest.mark.parametrize(("inputs", "outputs_", "message"), [
    (6, 4, "teacher and student must have the same outputs: expected 3"),
    (5, 3, "expected inputs of"),
])  # fmt: skip
def test_a_file_that_does_not_fit_is_refused(inputs: int, outputs_: int, message: str, data: Dataset, tmp_path: Path) -> None:
    layers = stack().keras.layers
    x = layers.Input((inputs,))
    stack().keras.Model(x, layers.Dense(outputs_)(x)).save(tmp_path / "t.keras")
    with pytest.raises(InputError, match=message):
        _teachers(data, tmp_path, teachers=["t.keras"])(MLP)


def test_a_broken_or_missing_file_is_refused(data: Dataset, tmp_path: Path) -> None:
    (tmp_path / "t.keras").write_bytes(b"nothing")
    for name in ("t.keras", "u.keras"):
        with pytest.raises(InputError, match="expected a Keras model saved as|no such model file"):
            _teachers(data, tmp_path, teachers=[name])(MLP)


def test_features_need_a_layer_that_both_have(data: Dataset) -> None:
    found = _teachers(data, features="fc2", feature_weight=2.0)(MLP).features
    assert found is not None
    assert (found.layer, found.weight, found.values.shape) == ("fc2", 2.0, (len(data.train), 8))
    with pytest.raises(InputError, match=r"the student has no hidden layer 'fc3' \(did you mean 'fc"):
        _teachers(data, features="fc3")(MLP)
    with pytest.raises(InputError, match="the teacher has no hidden layer 'fc2'"):
        _teachers(data, teachers=[[20]], features="fc2")(MLP)
