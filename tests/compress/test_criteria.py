"""Importance scores against finite differences, explicit gradients by event and NumPy networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qap.backend import float64, stack
from qap.compress.criteria import CRITERIA, DAMPING, scores
from qap.datasets.dataset import Split
from qap.errors import InputError
from qap.models.architecture import Architecture
from qap.models.builders import build

from ..conftest import uniform_plan


def split_of(events: int, inputs: int, classes: int, seed: int = 0) -> Split:
    generator = np.random.default_rng(seed)
    x = generator.normal(0, 1, (events, inputs)).astype(np.float32)
    weight = generator.uniform(0.2, 3, events).astype(np.float32)
    return Split(x, generator.integers(0, classes, events).astype(np.int32), weight)


def dense_net(inputs: int, hidden: int, outputs: int, activation: str = "relu", last: str | None = None) -> Any:
    keras = stack().keras
    keras.utils.set_random_seed(1)
    x = keras.Input((inputs,))
    y = keras.layers.Dense(hidden, activation, name="fc1", bias_initializer="random_normal")(x)
    return keras.Model(x, keras.layers.Dense(outputs, last, name="output", bias_initializer="random_normal")(y))


def conv_net() -> Any:
    layers = stack().keras.layers
    stack().keras.utils.set_random_seed(2)
    x = stack().keras.Input((5, 5, 2))
    y = layers.Conv2D(4, 2, activation="tanh", name="conv")(x)
    y = layers.Flatten()(layers.AveragePooling2D()(y))
    return stack().keras.Model(x, layers.Dense(3, name="output")(y))


def mean_loss(model: Any, split: Split, x: np.ndarray) -> float:
    """The weighted mean of the cross-entropy, written out."""
    z = np.asarray(model(x), np.float64)
    each = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), split.y]
    return float((each * split.weight).sum() / split.weight.sum(dtype=np.float64))


@pytest.mark.parametrize("net", ["dense", "conv"])
def test_taylor_is_the_slope_of_the_loss(net: str) -> None:
    with float64():
        model = dense_net(6, 5, 3, "tanh") if net == "dense" else conv_net()
        split = split_of(40, int(np.prod(model.input_shape[1:])), 3)
        x = split.x.reshape(-1, *model.input_shape[1:])
        found = scores(model, split, "taylor", task="classification", batch=16)
        worst, count = 0.0, 0
        for name, received in found.items():
            layer = model.get_layer(name)
            kernel, *rest = layer.get_weights()
            expected, step = np.zeros(kernel.shape), 1e-5
            for index in np.ndindex(kernel.shape):
                sides = []
                for sign in (1, -1):
                    moved = kernel.copy()
                    moved[index] += sign * step
                    layer.set_weights([moved, *rest])
                    sides.append(mean_loss(model, split, x))
                expected[index] = abs(kernel[index] * (sides[0] - sides[1]) / (2 * step))
                count += 1
            layer.set_weights([kernel, *rest])
            worst = max(worst, np.abs(received - expected).max() / expected.max())
    assert worst < 1e-6, f"{count} weights, largest difference {worst:.2e} of the largest score"


def numpy_gradients(model: Any, split: Split) -> dict[str, np.ndarray]:
    """Gradients of each event's own loss for a relu network with one hidden layer, by hand."""
    (w1, b1), (w2, b2) = (model.get_layer(name).get_weights() for name in ("fc1", "output"))
    found: dict[str, list[np.ndarray]] = {"fc1": [], "output": []}
    for x, y in zip(split.x.astype(np.float64), split.y, strict=True):
        hidden = x @ w1 + b1
        z = np.maximum(hidden, 0) @ w2 + b2
        delta = np.exp(z) / np.exp(z).sum()
        delta[y] -= 1
        found["output"].append(np.outer(np.maximum(hidden, 0), delta))
        found["fc1"].append(np.outer(x, (w2 @ delta) * (hidden > 0)))
    return {name: np.array(rows) for name, rows in found.items()}


@pytest.mark.parametrize("inputs", [6, 70])
def test_both_fisher_scores_follow_from_the_gradients_of_every_event(inputs: int) -> None:
    model, split = dense_net(inputs, 5, 3), split_of(45, inputs, 3)
    diagonal = scores(model, split, "fisher", task="classification", batch=16)
    block = scores(model, split, "block_fisher", task="classification", batch=16)
    share = split.weight / split.weight.sum(dtype=np.float64)
    for name, gradients in numpy_gradients(model, split).items():
        kernel = model.get_layer(name).get_weights()[0].astype(np.float64)
        squares = np.einsum("n,nij->ij", share, gradients**2)
        assert np.allclose(diagonal[name], 0.5 * kernel**2 * squares, rtol=1e-4, atol=1e-9), name
        expected = np.zeros(kernel.shape)
        for unit in range(kernel.shape[1]):
            for start in range(0, kernel.shape[0], 64):
                rows = gradients[:, start : start + 64, unit]
                fisher = np.einsum("n,ni,nj->ij", share, rows, rows) + DAMPING * squares.mean() * np.eye(rows.shape[1])
                expected[start : start + 64, unit] = kernel[start : start + 64, unit] ** 2 / (2 * np.diag(np.linalg.inv(fisher)))
        assert np.allclose(block[name], expected, rtol=1e-3, atol=1e-7 * expected.max()), name


def test_activation_is_the_mean_output_behind_batchnorm_and_relu() -> None:
    architecture = Architecture.mlp(6, [8, 5], 3, batchnorm=True)
    model, split = build(architecture), split_of(100, 6, 3)
    generator = np.random.default_rng(5)
    for norm in ("bn1", "bn2"):
        layer = model.get_layer(norm)
        layer.set_weights([generator.uniform(0.5, 2, value.shape) for value in layer.get_weights()])
    found = scores(model, split, "activation", task="classification", batch=32)
    x = split.x.astype(np.float64)
    for layer in architecture.layers:
        kernel, bias = model.get_layer(layer.name).get_weights()
        x = x @ kernel + bias
        if layer.batchnorm:
            gamma, beta, mean, variance = model.get_layer(layer.name.replace("fc", "bn")).get_weights()
            x = np.maximum((x - mean) / np.sqrt(variance + 1e-3) * gamma + beta, 0)
        expected = split.weight @ np.abs(x) / split.weight.sum()
        assert np.allclose(found[layer.name].sum(axis=0), expected, rtol=1e-4), layer.name
        assert (found[layer.name] == found[layer.name][:1]).all(), "spread evenly"


@pytest.mark.parametrize("criterion", CRITERIA)
def test_event_weights_count_as_often_as_they_say(criterion: str) -> None:
    model, split = dense_net(6, 5, 3), split_of(60, 6, 3)
    times = np.random.default_rng(2).integers(0, 4, 60)
    repeated = np.repeat(np.arange(60), times)
    once = Split(split.x, split.y, times.astype(np.float32))
    copies = Split(split.x[repeated], split.y[repeated], np.ones(len(repeated), np.float32))
    a = scores(model, once, criterion, task="classification", batch=17)
    b = scores(model, copies, criterion, task="classification", batch=256)
    for name in a:
        assert np.allclose(a[name], b[name], rtol=1e-4, atol=1e-7), name


@pytest.mark.parametrize("criterion", CRITERIA)
def test_qkeras_layers_are_scored_by_their_latent_weights(criterion: str) -> None:
    architecture = Architecture.mlp(6, [8, 5], 3)
    stack().keras.utils.set_random_seed(3)
    model, split = build(architecture, uniform_plan(["fc1", "fc2", "output"], 4)), split_of(80, 6, 3)
    found = scores(model, split, criterion, task="classification", events=50)
    again = scores(model, split.head(50), criterion, task="classification")
    assert list(found) == ["fc1", "fc2", "output"]
    for name, shape in architecture.shapes.items():
        assert found[name].shape == shape
        assert np.isfinite(found[name]).all()
        assert (found[name] >= 0).all()
        assert found[name].any(), name
        assert (found[name] == again[name]).all(), "the same in every bit"
    if criterion == "taylor":
        tf = stack().tf
        kernel = model.get_layer("fc2").kernel
        with tf.GradientTape() as tape:
            each = tf.keras.losses.sparse_categorical_crossentropy(split.y[:50], model(split.x[:50]), from_logits=True)
            loss = tf.reduce_sum(each * split.weight[:50]) / split.weight[:50].sum()
        expected = np.abs(np.asarray(kernel * tape.gradient(loss, kernel)))
        assert np.allclose(found["fc2"], expected, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_convolutions_and_regression_are_scored(criterion: str) -> None:
    model, split = conv_net(), split_of(30, 50, 3)
    targets = np.random.default_rng(1).normal(0, 1, (30, 3)).astype(np.float32)
    found = scores(model, Split(split.x, targets, split.weight), criterion, task="regression", batch=8)
    assert {name: value.shape for name, value in found.items()} == {"conv": (2, 2, 2, 4), "output": (16, 3)}
    assert all(np.isfinite(value).all() and value.any() for value in found.values())


def test_a_softmax_at_the_end_is_seen() -> None:
    logits, probabilities, split = dense_net(6, 5, 3), dense_net(6, 5, 3, last="softmax"), split_of(50, 6, 3)
    probabilities.set_weights(logits.get_weights())
    a, b = (scores(model, split, "fisher", task="classification") for model in (logits, probabilities))
    assert all(np.allclose(a[name], b[name], rtol=1e-3, atol=1e-9) for name in a)


def test_a_kernel_that_no_event_reaches_scores_zero() -> None:
    model, split = dense_net(6, 5, 3), split_of(50, 6, 3)
    kernel, bias = model.get_layer("fc1").get_weights()
    model.get_layer("fc1").set_weights([kernel, bias - 100])  # relu never opens
    for criterion in ("taylor", "fisher", "block_fisher", "activation"):
        assert not scores(model, split, criterion, task="classification")["fc1"].any(), criterion


def test_what_cannot_be_scored_is_refused() -> None:
    model, split = dense_net(6, 5, 3), split_of(50, 6, 3)
    for arguments, message in [
        ({"criterion": "tailor"}, "criterion: expected one of magnitude, taylor.*did you mean 'taylor'"),
        ({"task": "ranking"}, "task: expected classification or regression, received 'ranking'"),
        ({"task": "regression"}, "expected 3 targets an event"),
        ({"events": 0}, "at least one event"),
        ({"split": split.head(0)}, "expected events"),
        ({"split": split_of(50, 7, 3)}, r"received \(50, 7\)"),
        ({"split": split_of(50, 6, 9)}, "expected classes below 3"),
    ]:
        values: dict[str, Any] = {"split": split, "criterion": "taylor", "task": "classification", **arguments}
        with pytest.raises(InputError, match=message):
            scores(model, **values)
    layers = stack().keras.layers
    x = stack().keras.Input((6,))
    wrapped = stack().sparsity.prune_low_magnitude(layers.Dense(3, name="fc1"))
    with pytest.raises(InputError, match="prune_low_magnitude_fc1: cannot score .*strip_pruning"):
        scores(stack().keras.Model(x, wrapped(x)), split, "magnitude", task="classification")
    with pytest.raises(InputError, match="no layer with a kernel"):
        scores(stack().keras.Model(x, layers.ReLU()(x)), split, "magnitude", task="classification")
