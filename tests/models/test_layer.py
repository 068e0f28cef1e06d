"""Layers and the shapes that they make, against Keras, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qap.config.load import load_config
from qap.config.model import Model
from qap.errors import InputError
from qap.models.architecture import Architecture, layer_names
from qap.models.builders import build, float_logits, fold_batchnorm, get_weights, set_weights, shaped
from qap.models.layer import Layer

from .networks import NETWORKS, OUTPUT, plan_of, weights_of

IDS = list(NETWORKS)


@st.composite
def networks(draw: st.DrawFn) -> Architecture:
    """A convolution of any kind in front of a Dense layer."""
    axes = draw(st.integers(1, 2))
    shape = (*(draw(st.integers(4, 7)) for _ in range(axes)), draw(st.integers(1, 2)))
    window = tuple(draw(st.integers(1, 3)) for _ in range(axes))
    strides = draw(st.sampled_from([(), (1,) * axes, (2,) * axes]))
    pool = draw(st.sampled_from(["", "max(2)", "average(1)", "global_max", "global_average"]))
    padding = "same" if pool in ("max(2)",) else draw(st.sampled_from(["valid", "same"]))
    layer = Layer("conv1", draw(st.integers(1, 3)), "relu", draw(st.booleans()), window, strides, padding, pool)
    return Architecture(math.prod(shape), (layer, OUTPUT), shape)


@given(networks())
@settings(max_examples=15, deadline=None)
def test_shapes_are_those_that_keras_makes(architecture: Architecture) -> None:
    model = build(architecture)
    for name, shape in architecture.shapes.items():
        assert tuple(model.get_layer(name).kernel.shape) == shape
        assert tuple(model.get_layer(name).output.shape[1:]) == architecture.sums[name]
    assert math.prod(model.get_layer("output").input.shape[1:]) == math.prod(architecture.given["conv1"])
    assert Architecture.from_dict(architecture.to_dict()) == architecture


@pytest.mark.parametrize("name", IDS)
def test_the_quantized_network_takes_the_same_weights_and_its_plain_form_comes_back(name: str) -> None:
    architecture = NETWORKS[name]
    weights = weights_of(architecture)
    model = build(architecture, plan_of(architecture))
    set_weights(model, weights)
    read = get_weights(model, architecture)
    assert all((read[key] == weights[key]).all() for key in weights)
    assert Architecture.from_dict(architecture.to_dict()) == architecture
    assert not architecture.is_mlp


def _relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def test_float_outputs_of_particles_and_of_a_residual_network_are_those_of_numpy() -> None:
    x = np.random.default_rng(1).normal(0, 1, (7, 15)).astype(np.float32)
    w = weights_of(NETWORKS["particles"])
    h = x.reshape(7, 5, 3)
    for name in ("phi1", "phi2"):
        h = _relu(h @ w[f"{name}/kernel"][0] + w[f"{name}/bias"])
    found = float_logits(NETWORKS["particles"], w, x)
    np.testing.assert_allclose(found["phi2"], h, atol=1e-5)
    h = _relu(h.mean(axis=1) @ w["rho1/kernel"] + w["rho1/bias"])
    np.testing.assert_allclose(found["output"], h @ w["output/kernel"] + w["output/bias"], atol=1e-5)
    w, x = weights_of(NETWORKS["residual"]), x[:, :6]
    first = _relu(x @ w["fc1/kernel"] + w["fc1/bias"])
    second = _relu(first @ w["fc2/kernel"] + w["fc2/bias"] + first)
    third = second @ w["fc3/kernel"] + w["fc3/bias"] + second
    found = float_logits(NETWORKS["residual"], w, x, "fc3")
    assert list(found) == ["fc3"]
    np.testing.assert_allclose(found["fc3"], third, atol=1e-5)


def test_folded_batch_normalizations_change_nothing() -> None:
    layers = (Layer("conv1", 4, "relu", True, (3, 3), pool="max(2)"), Layer("fc1", 5, "relu", True), OUTPUT)
    architecture = Architecture(36, layers, (6, 6, 1))
    model, generator = build(architecture), np.random.default_rng(5)
    for name in ("conv1_bn", "bn1"):
        layer = model.get_layer(name)
        layer.set_weights([generator.uniform(0.5, 2, value.shape) for value in layer.get_weights()])
    x = generator.normal(0, 1, (20, 36)).astype(np.float32)
    expected = np.asarray(model(shaped(model, x)))
    np.testing.assert_allclose(float_logits(architecture, fold_batchnorm(model, architecture), x)["output"], expected, atol=1e-5)


def test_a_study_file_describes_networks_by_keras_names() -> None:
    model = Model(
        shape=[8, 8, 1], batchnorm=False,
        layers=[
            {"filters": 8, "kernel_size": [3, 3], "pool": "max(2)"},
            {"filters": 8, "kernel_size": [3, 3], "padding": "same", "add": "conv1", "activation": "linear"},
            {"units": 16, "batchnorm": True},
        ],
    )  # fmt: skip
    architecture = Architecture.of(model, 64, 10)
    assert layer_names(model) == ["conv1", "conv2", "fc1"]
    assert architecture.layers[2] == Layer("fc1", 16, "relu", True)
    assert architecture.layers[1] == Layer("conv2", 8, "linear", False, (3, 3), (), "same", "", "conv1")
    assert architecture.shapes == {"conv1": (3, 3, 1, 8), "conv2": (3, 3, 8, 8), "fc1": (72, 16), "output": (16, 10)}
    assert architecture.positions == {"conv1": 36, "conv2": 9, "fc1": 1, "output": 1}
    assert str(architecture) == "8×8×1-conv(3×3,8)-max(2)-conv(3×3,8)+conv1-16-10"


@pytest.mark.parametrize(
    ("layers", "shape", "inputs", "what"),
    [
        ([{"filters": 4, "kernel_size": [3, 3]}], None, 36, r"needs an input \(height, width, channels\), received \(36,\)"),
        ([{"filters": 4, "kernel_size": [3, 3]}], [6, 6, 1], 35, r"model.shape: expected a shape of 35 numbers"),
        ([{"filters": 4, "kernel_size": [7, 7]}], [6, 6, 1], 36, "conv1: the kernel .* is larger than its input"),
        ([{"filters": 4, "kernel_size": [3, 3], "pool": "max(9)"}], [6, 6, 1], 36, "conv1: pool: .* is larger than what"),
        ([{"filters": 4, "kernel_size": [3, 3], "pool": "maxx(2)"}], [6, 6, 1], 36, "conv1: pool: expected max"),
        ([{"filters": 4, "kernel_size": [3, 3], "pool": "max(2,2,2)"}], [6, 6, 1], 36, "conv1: pool: expected"),
        ([{"units": 4, "pool": "max(2)"}], None, 36, "fc1: pool: the output .* has no axis to pool"),
        ([{"units": 4}, {"units": 5, "add": "fc1"}], None, 36, r"fc2: add: expected a layer with the shape \(5,\)"),
        ([{"units": 4, "add": "fc2"}, {"units": 4}], None, 36, "fc1: add: no earlier layer 'fc2'"),
        ([{"units": 4, "name": "a"}, {"units": 4, "name": "a"}], None, 36, "expected distinct layer names"),
    ],
)  # fmt: skip
def test_layers_that_do_not_fit_are_named(
    layers: list[dict[str, object]], shape: list[int] | None, inputs: int, what: str
) -> None:
    with pytest.raises(InputError, match=what):
        Architecture.of(Model(layers=layers, shape=shape), inputs, 3)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"layers": [{"units": 3, "filters": 4}]}, "expected units .*, or filters and kernel_size"),
        ({"layers": [{"filters": 4}]}, "expected units .*, or filters and kernel_size"),
        ({"layers": [{"units": 4, "strides": [2]}]}, "expected units .*, or filters and kernel_size"),
        ({"layers": [{"units": 4}], "hidden": [5]}, "expected hidden or layers"),
        ({"shape": [2, 3]}, "shape: is for layers"),
        ({"layers": [{"units": 4}], "function": "a:b"}, "leave layers out"),
    ],
)
def test_sections_that_contradict_themselves_are_refused(values: dict[str, object], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        Model(**values)


def test_what_only_perceptrons_have_is_refused_with_the_network_named() -> None:
    with pytest.raises(InputError, match=r"digits: treats Dense layers .*, the network is 6-5-5\+fc1"):
        NETWORKS["residual"].require_mlp("digits")


ZOO = sorted((Path(__file__).parents[2] / "configs" / "zoo").glob("*.yaml"))


@pytest.mark.parametrize("path", ZOO, ids=lambda path: path.stem)
def test_the_networks_of_the_zoo_can_be_built(path: Path) -> None:
    model = load_config(path).model
    features = math.prod(model.shape) if model.shape else 16
    architecture = Architecture.of(model, features, 5)
    quantized = build(architecture, plan_of(architecture))
    assert quantized.count_params() == sum(math.prod(shape) + shape[-1] for shape in architecture.shapes.values())
