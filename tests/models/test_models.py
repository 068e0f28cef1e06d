"""Architectures, builders and the folding of BatchNormalization, on real Keras and QKeras models."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from qap.backend import custom_objects, stack
from qap.errors import InputError
from qap.models.architecture import Architecture
from qap.models.builders import (
    build,
    float_logits,
    fold_batchnorm,
    get_weights,
    quantize_weights,
    set_weights,
    user_builder,
)
from qap.models.layer import Layer
from qap.plan import LayerPlan, Plan
from qap.precision import Precision

from ..conftest import uniform_plan

SMALL = Architecture.mlp(6, [8, 5], 3, batchnorm=True)
NAMES = ["fc1", "fc2", "output"]


def _random_weights(architecture: Architecture, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    weights = {}
    for name, shape in architecture.shapes.items():
        weights[f"{name}/kernel"] = generator.normal(0, 0.5, shape).astype(np.float32)
        weights[f"{name}/bias"] = generator.normal(0, 0.5, shape[1]).astype(np.float32)
    return weights


def test_layer_names_are_those_that_hls4ml_users_know() -> None:
    assert [layer.name for layer in build(SMALL).layers] == [
        "inputs",
        "fc1",
        "bn1",
        "relu1",
        "fc2",
        "bn2",
        "relu2",
        "output",
    ]
    quantized = build(SMALL, uniform_plan(NAMES))
    assert [layer.name for layer in quantized.layers] == ["inputs", "fc1", "relu1", "fc2", "relu2", "output"]


def test_folded_batchnorm_gives_the_same_outputs() -> None:
    stack().keras.utils.set_random_seed(1)
    model = build(SMALL)
    generator = np.random.default_rng(2)
    for name in ("bn1", "bn2"):
        norm = model.get_layer(name)
        norm.set_weights([generator.uniform(0.3, 2, weight.shape) for weight in norm.get_weights()])
    x = generator.normal(size=(400, 6)).astype(np.float32)
    expected = model(x, training=False).numpy()
    received = float_logits(SMALL, fold_batchnorm(model, SMALL), x)["output"]
    assert np.abs(received - expected).max() < 1e-5 * np.abs(expected).max()


def test_a_quantized_model_computes_what_integers_give() -> None:
    plan = uniform_plan(NAMES, 4, activation=3)
    weights = _random_weights(SMALL)
    model = build(SMALL, plan)
    set_weights(model, weights)
    x = Precision(8, 2).quantize(np.random.default_rng(1).normal(0, 1.5, (500, 6)))
    quantized = quantize_weights(plan, weights)
    h = x
    for name, layer in plan.items():
        h = h @ quantized[f"{name}/kernel"] + quantized[f"{name}/bias"]
        h = h if layer.activation is None else layer.activation.quantize(h)
    wrong = np.flatnonzero((model(x.astype(np.float32)).numpy() != h).any(axis=1))
    assert not wrong.size, f"{wrong.size} of 500 events differ, the first {wrong[:3]}"


def test_weights_there_and_back_and_through_a_file(tmp_path: Path) -> None:
    plan = uniform_plan(NAMES, 5)
    weights = _random_weights(SMALL)
    model = build(SMALL, plan)
    set_weights(model, weights)
    model.save(tmp_path / "model.keras")
    again = stack().keras.models.load_model(tmp_path / "model.keras", custom_objects=custom_objects(), compile=False)
    received = get_weights(again, SMALL)
    assert set(received) == set(weights)
    assert all((received[key] == weights[key]).all() for key in weights)
    x = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
    assert (again(x).numpy() == model(x).numpy()).all()


def test_qstats_work_on_what_is_built() -> None:
    text = io.StringIO()
    with redirect_stdout(text):
        stack().qkeras.print_qstats(build(SMALL, uniform_plan(NAMES)))
    assert "Number of operations in model" in text.getvalue()


def test_the_students_widths_can_be_expressed() -> None:
    """30 inputs, layers 20-10-10-4, with the wide quantizers of a typical QKeras student."""
    hidden = LayerPlan(Precision(9, 1), Precision(23, 15), Precision(16, 15, signed=False))
    plan = Plan((
        ("fc1", hidden), ("fc2", hidden), ("fc3", hidden),
        ("output", LayerPlan(Precision(32, 15), Precision(23, 15), Precision(32, 15))),
    ))  # fmt: skip
    model = build(Architecture.mlp(30, [20, 10, 10], 4), plan)
    assert model.output_shape == (None, 4)
    assert model.layers[-1].name == "output_linear"
    quantizer = model.get_layer("fc1").kernel_quantizer_internal
    assert (quantizer.bits, quantizer.integer, quantizer.alpha) == (9, 1, 1)


@pytest.mark.parametrize("kind", ["binary", "ternary"])
def test_other_kinds_of_weights_are_quantized_as_the_model_does(kind: str) -> None:
    weight = Precision(1 if kind == "binary" else 2, 0, True, kind)
    plan = Plan((("output", LayerPlan(weight, Precision(8, 1))),))
    architecture = Architecture.mlp(6, [], 3)
    weights = _random_weights(architecture)
    model = build(architecture, plan)
    set_weights(model, weights)
    x = np.eye(6, dtype=np.float32)
    quantized = quantize_weights(plan, weights)
    assert (model(x).numpy() == x @ quantized["output/kernel"] + quantized["output/bias"]).all()


WRONG_PLANS = [
    (uniform_plan(["fc1", "output"]), "expected the layers fc1, fc2, output, received fc1, output"),
    (
        Plan(tuple((name, LayerPlan(Precision(6), Precision(6), Precision(6, 2))) for name in NAMES)),
        "fc1: a relu needs an unsigned activation",
    ),
    (
        Plan(tuple((name, LayerPlan(Precision(6), Precision(6), Precision(6, 2, signed=False))) for name in NAMES)),
        "output: a linear output needs a signed",
    ),
    (Plan(tuple((name, LayerPlan(Precision(6), Precision(6))) for name in NAMES)), "fc1: a relu needs"),
]


@pytest.mark.parametrize(("plan", "message"), WRONG_PLANS)
def test_a_plan_of_another_network_is_refused(plan: Plan, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(SMALL, plan)


@pytest.mark.parametrize(
    ("units", "activation", "message"),
    [(0, "relu", "units from 1"), (True, "relu", "units from 1"), (4, "gelu", "activation of relu, linear")],
)
def test_impossible_layers_are_refused(units: int, activation: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Layer("fc1", units, activation)


def test_architecture_there_and_back() -> None:
    assert Architecture.from_dict(SMALL.to_dict()) == SMALL
    assert str(SMALL) == "6-8-5-3"
    assert SMALL.id != Architecture.mlp(6, [8, 5], 3).id


def test_a_users_model_function_takes_the_builders_place(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from qap.models.builders import build\n"
        "def model(architecture, plan):\n    return build(architecture, plan)\n"
        "def other(architecture, plan):\n    return build(architecture.__class__.mlp(6, [4], 3), None)\n"
    )
    builder = user_builder("mine:model", tmp_path)
    assert builder(SMALL, uniform_plan(NAMES)).get_layer("fc2").units == 5
    with pytest.raises(InputError, match="fc1: expected a kernel"):
        get_weights(user_builder("mine:other", tmp_path)(SMALL, None), SMALL)
    for reference, message in [("mine", "module:function"), ("none:model", "none"), ("mine:nothing", "no function")]:
        with pytest.raises(InputError, match=message):
            user_builder(reference, tmp_path)
