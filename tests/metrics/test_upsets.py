"""Bit flips against two's complement by hand and against QKeras with the same weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qap.errors import InputError
from qap.metrics.classification import accuracy
from qap.metrics.upsets import (
    Flip,
    flipped,
    from_words,
    mlp_predict,
    random_flips,
    sensitive_bits,
    tensor_precisions,
    to_words,
    upset_curve,
)
from qap.models.architecture import Architecture
from qap.models.builders import build, quantize_weights, set_weights
from qap.plan import LayerPlan, Plan
from qap.precision import Precision

from ..conftest import INPUT, uniform_plan

PRECISIONS = st.builds(
    lambda bits, signed, share: Precision(bits, round(share * (bits - signed)), signed),
    st.integers(2, 32),
    st.booleans(),
    st.floats(0, 1),
)


def test_words_by_hand():
    precision = Precision(4, 1)  # step 1/4, -2 to 1.75
    values = np.array([0, 0.25, 1.75, -2, -0.25, -1.5])
    words = to_words(values, precision)
    assert [f"{word:04b}" for word in words] == ["0000", "0001", "0111", "1000", "1111", "1010"]
    np.testing.assert_array_equal(from_words(words ^ 0b1000, precision), [-2, -1.75, -0.25, 0, 1.75, 0.5])
    np.testing.assert_array_equal(to_words(np.array([-1, 1]), Precision(1, 0, True, "binary")), [0, 1])
    np.testing.assert_array_equal(from_words(np.array([0, 1]), Precision(1, 0, True, "binary")), [-1, 1])


@given(PRECISIONS, st.integers(0, 2**32 - 1))
@settings(max_examples=80, deadline=None)
def test_words_and_values_are_one_to_one(precision, seed):
    words = np.random.default_rng(seed).integers(0, 2**precision.bits, 50)
    values = from_words(words, precision)
    np.testing.assert_array_equal(values, precision.quantize(values))
    np.testing.assert_array_equal(to_words(values, precision), words)
    bit = seed % precision.bits
    moved = from_words(words ^ (1 << bit), precision) - values
    assert set(np.abs(moved)) == {np.ldexp(1.0, bit - precision.fractional)}, "a flip moves by the weight of its bit"


@pytest.fixture(scope="module")
def network(data):
    """A QKeras model of 6-16-3 trained for a moment, with its quantized weights."""
    from qap.backend import stack

    keras = stack().keras
    architecture = Architecture.mlp(6, [16, 8], 3)
    plan = uniform_plan(["fc1", "fc2", "output"], bits=6, activation=6, integer=1)
    model = build(architecture, plan)
    keras.utils.set_random_seed(1)
    model.compile(keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(data.train.x, data.train.y, epochs=6, batch_size=128, verbose=0)
    latent = {}
    for name in plan:
        latent[f"{name}/kernel"], latent[f"{name}/bias"] = model.get_layer(name).get_weights()
    latent["fc1/kernel"] = latent["fc1/kernel"] * (np.abs(latent["fc1/kernel"]) > 0.2)
    return architecture, plan, model, quantize_weights(plan, latent)


def test_the_fast_model_is_qkeras_bit_by_bit(network, data):
    architecture, plan, model, weights = network
    predict = mlp_predict(architecture, plan, INPUT, data.test.x)
    precisions = tensor_precisions(plan)
    different = []
    for count in (0, 1, 3, 10, 100):
        hit = flipped(weights, precisions, random_flips(weights, precisions, count, seed=count))
        set_weights(model, hit)
        expected = np.asarray(model(data.test.x), np.float64)
        different.append(int(np.sum(predict(hit) != expected)))
        if count:
            assert np.any(predict(hit) != predict(weights)), f"{count} flips change nothing"
    print("outputs that differ from QKeras, by number of flips", different)
    assert different == [0] * 5


def test_flips_hit_what_they_name(network):
    _, plan, _, weights = network
    precisions = tensor_precisions(plan)
    flips = random_flips(weights, precisions, 500, seed=3)
    assert len(set(flips)) == 500
    hit = flipped(weights, precisions, flips)
    changed = {(flip.tensor, flip.index) for flip in flips}
    for name, values in weights.items():
        assert {(name, tuple(map(int, at))) for at in np.argwhere(hit[name] != values)} == {x for x in changed if x[0] == name}
    back = flipped(hit, precisions, flips)
    for name, values in weights.items():
        np.testing.assert_array_equal(back[name], values)
    untouched = flipped(weights, precisions, [Flip("fc1/bias", (0,), 0)])
    assert all(untouched[name] is weights[name] for name in weights if name != "fc1/bias")


def test_every_bit_is_as_likely_as_any_other(network):
    _, plan, _, weights = network
    precisions = tensor_precisions(plan)
    total = sum(values.size * precisions[name].bits for name, values in weights.items())
    everything = random_flips(weights, precisions, total)
    assert len(set(everything)) == total
    with pytest.raises(InputError, match=f"expected 0 to {total} flips"):
        random_flips(weights, precisions, total + 1)
    stored = sum(np.count_nonzero(values) * precisions[name].bits for name, values in weights.items())
    nonzero = random_flips(weights, precisions, stored, zeros=False)
    assert 0 < stored < total
    assert all(weights[flip.tensor][flip.index] != 0 for flip in nonzero)
    bits = np.array(
        [
            flip.bit
            for seed in range(40)
            for flip in random_flips(weights, {"fc1/kernel": precisions["fc1/kernel"]}, 60, seed=seed)
        ]
    )
    counts = np.bincount(bits, minlength=6)
    print("of 2400 flips by bit", counts)
    assert np.abs(counts - 400).max() < 5 * np.sqrt(400)


def test_accuracy_falls_with_the_number_of_flips(network, data):
    architecture, plan, _, weights = network
    predict = mlp_predict(architecture, plan, INPUT, data.test.x)
    precisions = tensor_precisions(plan)
    arguments = (predict, weights, precisions, data.test.y, [0, 1, 10, 100])
    found = upset_curve(*arguments, repetitions=12, seed=4, kind="logits")
    print([(one.flips, round(one.accuracy.mean, 4), round(one.accuracy.std, 4)) for one in found])
    plain = accuracy(data.test.y, predict(weights), kind="logits")
    assert (found[0].accuracy.mean, found[0].accuracy.std) == (pytest.approx(plain), 0.0)
    means = [one.accuracy.mean for one in found]
    assert means[0] > means[2] > means[3], "a single flip may also help by chance"
    assert found[-1].accuracy.std > 0
    assert found == upset_curve(*arguments, repetitions=12, seed=4, kind="logits")
    assert found != upset_curve(*arguments, repetitions=12, seed=5, kind="logits")


def test_scan_ranks_single_flips(network, data):
    architecture, plan, _, weights = network
    test = data.test.head(300)
    predict = mlp_predict(architecture, plan, INPUT, test.x)
    precisions = tensor_precisions(plan)
    event_weights = np.random.default_rng(0).uniform(0, 2, 300)
    scan = sensitive_bits(predict, weights, precisions, test.y, event_weights=event_weights, kind="logits")
    assert len(scan.ranked) == scan.bits == len({flip for flip, _ in scan.ranked})
    losses = [loss for _, loss in scan.ranked]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 0
    for flip, loss in (scan.ranked[0], scan.ranked[40], scan.ranked[-1]):
        hit = {name: values.copy() for name, values in weights.items()}
        step = np.ldexp(1.0, flip.bit - precisions[flip.tensor].fractional)
        sign = flip.bit == precisions[flip.tensor].bits - 1
        on = int(np.floor(hit[flip.tensor][flip.index] / step)) & 1
        hit[flip.tensor][flip.index] += step * (1 if on == sign else -1)
        expected = scan.accuracy - accuracy(test.y, predict(hit), event_weights, kind="logits")
        assert loss == pytest.approx(expected, abs=1e-12), flip
    by_bit = scan.by_bit
    assert len(by_bit) == 3 * (6 + 12)
    first = [(flip.bit, abs(loss)) for flip, loss in scan.ranked if flip.tensor == "fc1/kernel"]
    moved = [np.mean([loss for bit, loss in first if bit == wanted]) for wanted in (0, 5)]
    assert moved[1] > moved[0], "a flip may help by chance, but one of the sign bit moves more than one of the last bit"
    sample = sensitive_bits(predict, weights, precisions, test.y, sample=50, seed=1, event_weights=event_weights, kind="logits")
    assert len(sample.ranked) == 50
    assert set(sample.ranked) <= set(scan.ranked)


def test_binary_weights_change_sign():
    plan = Plan((("output", LayerPlan(Precision(1, 0, True, "binary"), Precision(8, 2))),))
    precisions = tensor_precisions(plan)
    weights = {"output/kernel": np.array([[1.0, -1.0]]), "output/bias": np.zeros(2)}
    assert flipped(weights, precisions, [Flip("output/kernel", (0, 1), 0)])["output/kernel"].tolist() == [[1, 1]]
    x = np.array([[0.5]])
    assert mlp_predict(Architecture.mlp(1, [], 2), plan, INPUT, x)(weights).tolist() == [[0.5, -0.5]]


KERNEL = {"output/kernel": np.array([[0.5, 0.25]]), "output/bias": np.zeros(2)}
TYPES = {"output/kernel": Precision(4, 0), "output/bias": Precision(4, 0)}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: to_words(np.array([0.3]), Precision(4, 0)), r"1 weights are no values of quantized_bits\(4,0\), such as 0.3"),
        (lambda: to_words(np.array([1.0]), Precision(4, 0)), "such as 1"),
        (lambda: to_words(np.array([np.nan]), Precision(4, 0)), "such as nan"),
        (lambda: to_words(np.array([0.0]), Precision(1, 0, True, "binary")), "no values of binary"),
        (lambda: to_words(np.array([1.0]), Precision(2, 0, True, "ternary")), "use quantized_bits or binary"),
        (lambda: from_words(np.array([1]), Precision(4, 0, True, "po2")), "use quantized_bits or binary"),
        (lambda: flipped(KERNEL, TYPES, [Flip("fc9/kernel", (0, 0), 0)]), "no tensor 'fc9/kernel'"),
        (lambda: flipped(KERNEL, TYPES, [Flip("output/kernel", (0, 2), 0)]), "has no Flip"),
        (lambda: flipped(KERNEL, TYPES, [Flip("output/kernel", (0,), 0)]), "has no Flip"),
        (lambda: flipped(KERNEL, TYPES, [Flip("output/kernel", (0, 1), 4)]), "4 bits has no Flip"),
        (lambda: upset_curve(lambda w: w, KERNEL, TYPES, np.array([0]), [1], repetitions=0), "repetitions: expected 1"),
    ],
)
def test_wrong_input(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_sums_that_float64_does_not_hold_are_refused():
    wide = LayerPlan(Precision(32, 0), Precision(32, 0))
    with pytest.raises(InputError, match="output: its sums can need 6. bits, float64 holds 53"):
        mlp_predict(Architecture.mlp(4, [], 2), Plan((("output", wide),)), Precision(32, 2), np.zeros((1, 4)))
    with pytest.raises(InputError, match="expected the layers output"):
        mlp_predict(Architecture.mlp(4, [], 2), Plan((("fc1", wide),)), INPUT, np.zeros((1, 4)))
