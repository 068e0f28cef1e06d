"""Noise, moved features and adversarial steps where the loss is known in closed form, and on a trained Keras model."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from qap.backend import stack
from qap.errors import InputError
from qap.metrics.adversarial import fgsm, keras_gradient, pgd, under_attack
from qap.metrics.classification import accuracy
from qap.metrics.robustness import systematics, under_noise, varied
from qap.models.architecture import Architecture
from qap.models.builders import build
from qap.precision import Precision

from ..conftest import uniform_plan

WEIGHTS = np.array([[1.0, -2.0, 0.5, 0.0]]).T
GRID = Precision(8, 2)


def linear(x: np.ndarray) -> np.ndarray:
    """One logit, linear in the inputs: every effect is known."""
    return x @ WEIGHTS


@pytest.fixture(scope="module")
def events() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = GRID.quantize(random.normal(0, 0.8, (20_000, 4)))
    x = x[linear(x)[:, 0] != 0]  # neither class there
    return x, (linear(x)[:, 0] > 0).astype(int)


def test_noise_costs_what_a_gaussian_costs(events):
    x, labels = events
    found = under_noise(linear, x, labels, [0.0, 0.3, 1.0], repetitions=30, kind="logits")
    margin = np.abs(linear(x)[:, 0])
    assert (found[0].accuracy.mean, found[0].accuracy.std) == (1.0, 0.0)
    for one in found[1:]:
        p = norm.cdf(margin / (one.level * np.linalg.norm(WEIGHTS)))
        sigma = np.sqrt(np.sum(p * (1 - p))) / len(p)
        print(one.level, one.accuracy.mean, p.mean(), one.accuracy.std, sigma)
        assert one.accuracy.mean == pytest.approx(p.mean(), abs=4 * sigma / np.sqrt(30))
        assert 0.6 * sigma < one.accuracy.std < 1.5 * sigma
    assert under_noise(linear, x, labels, [0.3], repetitions=2, seed=5) == under_noise(
        linear, x, labels, [0.3], repetitions=2, seed=5
    )


def test_noisy_inputs_are_on_the_grid_of_the_firmware(events):
    x, labels = events
    seen = []

    def predict(values):
        seen.append(values)
        return linear(values)

    under_noise(predict, x, labels, [2.0], grid=GRID, repetitions=1, kind="logits")
    np.testing.assert_array_equal(seen[0], GRID.quantize(seen[0]))
    assert (seen[0].min(), seen[0].max()) == (GRID.low, GRID.high)


def test_systematics_move_one_feature_or_all(events):
    x, labels = events
    weights = np.random.default_rng(1).uniform(0, 2, len(x))
    found = systematics(linear, x, labels, shift=0.25, scale=0.1, weights=weights, kind="logits")
    assert [one.feature for one in found] == [f for f in (0, 1, 2, 3, None) for _ in range(4)]
    for one in found:
        moved = x.copy()
        for column in range(4) if one.feature is None else [one.feature]:
            moved[:, column] = one.scale * moved[:, column] + one.shift
        expected = np.average((linear(moved)[:, 0] > 0) == labels, weights=weights)
        assert one.accuracy == pytest.approx(expected, abs=1e-12)
        assert one.drop == pytest.approx(1 - expected, abs=1e-12)
        assert (one.drop == 0) == (one.feature == 3 or (one.feature is None and one.shift == 0)), one
    only = systematics(linear, x, labels, shift=0.25, features=[1], kind="logits")
    assert [(one.feature, one.shift, one.scale) for one in only] == [(1, 0.25, 1.0), (1, -0.25, 1.0)]
    assert np.array_equal(varied(x, feature=2, shift=1000, grid=GRID)[:, 2], np.full(len(x), GRID.high))


def linear_gradient(x, labels):
    p = 1 / (1 + np.exp(-linear(x)[:, 0]))
    return (p - labels)[:, None] * WEIGHTS.T


def test_steps_of_a_linear_model_are_the_best_attack(events):
    """In the box of ε the logit of a linear model moves by at most ε·Σ|w|, and both attacks reach it."""
    x, labels = events
    margin = np.abs(linear(x)[:, 0])
    for one in under_attack(linear, linear_gradient, x, labels, [0.0, 0.1, 0.4], kind="logits"):
        expected = np.mean(margin > one.epsilon * np.abs(WEIGHTS).sum() + 1e-9)
        assert one.fgsm == pytest.approx(expected, abs=2e-3)
        assert one.pgd == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("attack", [fgsm, pgd])
def test_attacks_stay_in_the_box_and_on_the_grid(events, attack):
    x, labels = events
    moved = attack(linear_gradient, x, labels, 0.1)
    assert np.abs(moved - x).max() <= 0.1 * (1 + 1e-12)
    assert np.abs(moved - x)[:, :3].mean() > 0.09
    for epsilon in (0.1, 3 * GRID.step):
        moved = attack(linear_gradient, x, labels, epsilon, grid=GRID)
        np.testing.assert_array_equal(moved, GRID.quantize(moved))
        reached = np.floor(epsilon / GRID.step + 1e-9) * GRID.step
        assert np.abs(moved - x).max() == reached
        assert np.mean(np.abs(moved - x)[:, :3] == reached) > 0.9, "all but those at the ends of the range"
    np.testing.assert_array_equal(attack(linear_gradient, x, labels, 0.9 * GRID.step, grid=GRID), x)


@pytest.fixture(scope="module")
def trained(data):
    architecture = Architecture.mlp(6, [16], 3)
    model = build(architecture)
    keras = stack().keras
    keras.utils.set_random_seed(0)
    model.compile(keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(data.train.x, data.train.y, epochs=5, batch_size=256, verbose=0)
    return model


@pytest.mark.parametrize("ending", ["logits", "probabilities", "one"])
def test_the_keras_gradient_is_the_difference_quotient(trained, data, ending):
    keras, kind = stack().keras, "logits"
    model, labels = trained, data.test.y[:50]
    if ending == "probabilities":
        model, kind = keras.Sequential([trained, keras.layers.Softmax()]), "probabilities"
    if ending == "one":
        model, labels = keras.Sequential([trained, keras.layers.Dense(1)]), labels % 2
        model(data.test.x[:1])
    x = data.test.x[:50].astype(np.float64)

    def loss(values):
        z = np.asarray(trained(values.astype(np.float32)), np.float64)
        if ending == "one":
            one = (z @ np.asarray(model.layers[-1].kernel, np.float64) + np.asarray(model.layers[-1].bias))[:, 0]
            return np.logaddexp(0, np.where(labels == 1, -one, one))
        return np.log(np.exp(z).sum(axis=1)) - z[np.arange(50), labels]

    found = keras_gradient(model, kind)(x, labels)
    assert found.shape == x.shape
    close = 0
    for column in range(6):
        step = np.zeros(6)
        step[column] = 1e-2
        quotient = (loss(x + step) - loss(x - step)) / 2e-2
        close += np.isclose(found[:, column], quotient, rtol=0.02, atol=2e-3).sum()
    print("of 300 components agree", close)
    assert close > 0.95 * 300, "but for kinks of the relu"


def test_attacks_on_keras_and_qkeras_models(trained, data):
    x, y = data.test.x, data.test.y
    architecture = Architecture.mlp(6, [16], 3)
    quantized = build(architecture, uniform_plan(["fc1", "output"], bits=8, activation=8, integer=1))
    for name in ("fc1", "output"):
        quantized.get_layer(name).set_weights(trained.get_layer(name).get_weights())
    for model in (trained, quantized):
        predict = lambda values, model=model: np.asarray(model(values.astype(np.float32)))  # noqa: E731
        plain = accuracy(y, predict(x), kind="logits")
        noise = under_noise(predict, x, y, [0.25], grid=data.input, kind="logits")[0].accuracy.mean
        first, second = under_attack(predict, keras_gradient(model), x, y, [0.25, 1.0], grid=data.input, kind="logits")
        print(plain, noise, first, second)
        assert first.pgd <= first.fgsm + 0.01
        assert first.fgsm < noise - 0.02 < plain, "a step against the model costs more than noise of its size"
        assert second.pgd < first.pgd - 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y: under_noise(linear, x, y, [-1.0]), "levels from 0"),
        (lambda x, y: under_noise(linear, x, y, [1.0], repetitions=0), "1 or more repetitions"),
        (lambda x, y: under_noise(linear, x[:, 0], y, [1.0]), r"expected inputs \(events, features\)"),
        (lambda x, y: systematics(linear, x, y), "a shift or a scale other than 0"),
        (lambda x, y: systematics(linear, x, y, shift=1, features=[4]), "feature: expected a number from 0 to 3"),
        (lambda x, y: fgsm(linear_gradient, x, y, -0.1), "epsilon: expected a size from 0"),
        (lambda x, y: pgd(linear_gradient, x, y, 0.1, steps=0), "steps: expected 1 or more"),
        (lambda x, y: fgsm(linear_gradient, x + 1e-3, y, 0.1, grid=GRID), "expected inputs on the grid"),
    ],
)
def test_wrong_input(events, call, message):
    with pytest.raises(InputError, match=message):
        call(*events)
