"""Shrunk networks give what the masked ones give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qap import firmware
from qap.backend import custom_objects, stack
from qap.compress.shrink import masked, remove_layers, shrink, shrink_weights, unify
from qap.errors import InputError
from qap.granularity import Granularity, kept_units, mask
from qap.models.architecture import Architecture
from qap.models.builders import build, float_logits, set_weights
from qap.precision import Precision

from ..conftest import uniform_plan


def random_weights(architecture: Architecture, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    weights = {}
    for name, shape in architecture.shapes.items():
        weights[f"{name}/kernel"] = generator.normal(0, 0.4, shape).astype(np.float32)
        weights[f"{name}/bias"] = generator.normal(0, 0.4, shape[1:]).astype(np.float32)
    return weights


def masked_weights(weights: dict[str, np.ndarray], keep: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = dict(weights)
    for name, kept in keep.items():
        found[f"{name}/kernel"], found[f"{name}/bias"] = weights[f"{name}/kernel"] * kept, weights[f"{name}/bias"] * kept
    return found


MLP = Architecture.mlp(6, [16, 12, 8], 3)


def mlp_keep(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    neuron = Granularity.parse("neuron")
    return {name: kept_units(mask(np.abs(weights[f"{name}/kernel"]), 0.5, neuron, where=name)) for name in ("fc1", "fc2", "fc3")}


def test_a_smaller_mlp_gives_what_the_masked_one_gives() -> None:
    weights = random_weights(MLP)
    keep = mlp_keep(weights)
    architecture, smaller = shrink_weights(MLP, weights, keep)
    assert str(architecture) == "6-8-6-4-3"
    assert {name: values.shape for name, values in smaller.items() if name.endswith("kernel")} == {
        f"{name}/kernel": shape for name, shape in architecture.shapes.items()
    }
    x = np.random.default_rng(1).normal(0, 1, (500, 6))
    expected = float_logits(MLP, masked_weights(weights, keep), x)["output"]
    received = float_logits(architecture, smaller, x)["output"]
    assert np.abs(received - expected).max() < 1e-12
    assert np.abs(expected - float_logits(MLP, weights, x)["output"]).max() > 0.1, "the mask changed nothing"


def test_a_smaller_qkeras_mlp_is_equal_in_every_bit() -> None:
    weights = random_weights(MLP)
    keep = mlp_keep(weights)
    architecture, smaller = shrink_weights(MLP, weights, keep)
    plan = uniform_plan(["fc1", "fc2", "fc3", "output"])
    large, small = build(MLP, plan), build(architecture, plan)
    set_weights(large, masked_weights(weights, keep))
    set_weights(small, smaller)
    x = np.random.default_rng(1).integers(-128, 128, (1000, 6)).astype(np.float32) / 32
    differ = np.asarray(large(x)) != np.asarray(small(x))
    assert not differ.any(), f"{differ.sum()} of {differ.size}"


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ({"output": np.array([True, False, True])}, "output: a layer that cannot be pruned"),
        ({"fc9": np.ones(8, bool)}, "fc9: no such hidden layer"),
        ({"fc1": np.ones(8, bool)}, r"fc1: expected 16 truth values, one a unit, received bool of shape \(8,\)"),
        ({"fc1": np.ones(16)}, "received float64"),
        ({"fc1": np.zeros(16, bool)}, "fc1: no unit would stay"),
    ],
)
def test_what_cannot_be_removed_is_refused(keep: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=message):
        shrink_weights(MLP, random_weights(MLP), keep)


RELU, WEIGHT = "quantized_relu(6,2)", "quantized_bits(6,1,alpha=1)"


def randomised(model: Any, seed: int = 0) -> Any:
    """The model with weights that let no term vanish: shifts, scales and means of BatchNormalization too."""
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        layer.set_weights(
            [
                generator.uniform(0.5, 2, value.shape) if "variance" in variable.name else generator.normal(0, 0.4, value.shape)
                for variable, value in zip(layer.weights, layer.get_weights(), strict=True)
            ]
        )
    return model


def relu(name: str, quantized: bool) -> Any:
    return stack().qkeras.QActivation(RELU, name=name) if quantized else stack().keras.layers.ReLU(name=name)


def kernel_layer(kind: str, *arguments: Any, quantized: bool, **options: Any) -> Any:
    if not quantized:
        return getattr(stack().keras.layers, kind)(*arguments, **options)
    key = "depthwise_quantizer" if kind == "DepthwiseConv2D" else "kernel_quantizer"
    return getattr(stack().qkeras, f"Q{kind}")(*arguments, **{key: WEIGHT, "bias_quantizer": WEIGHT}, **options)


def batchnorm_mlp(quantized: bool) -> Any:
    layers = stack().keras.layers
    tensor = inputs = layers.Input((6,))
    for i, units in enumerate((16, 12), 1):
        tensor = kernel_layer("Dense", units, name=f"fc{i}", quantized=quantized)(tensor)
        tensor = layers.BatchNormalization(name=f"bn{i}")(tensor) if not quantized else tensor
        tensor = layers.Dropout(0.1)(relu(f"relu{i}", quantized)(tensor))
    return stack().keras.Model(inputs, kernel_layer("Dense", 3, name="output", quantized=quantized)(tensor))


def cnn(quantized: bool) -> Any:
    layers = stack().keras.layers
    inputs = layers.Input((8, 8, 2))
    tensor = kernel_layer("Conv2D", 8, 3, padding="same", name="conv1", quantized=quantized)(inputs)
    tensor = layers.MaxPooling2D()(relu("relu1", quantized)(tensor))
    tensor = kernel_layer("DepthwiseConv2D", 2, name="depthwise", quantized=quantized)(tensor)
    tensor = layers.ZeroPadding2D(1)(tensor)
    tensor = relu("relu2", quantized)(kernel_layer("Conv2D", 6, 2, name="conv2", quantized=quantized)(tensor))
    tensor = layers.Flatten()(tensor)
    tensor = relu("relu3", quantized)(kernel_layer("Dense", 10, name="fc", quantized=quantized)(tensor))
    return stack().keras.Model(inputs, kernel_layer("Dense", 3, name="output", quantized=quantized)(tensor))


def residual_mlp(quantized: bool) -> Any:
    layers = stack().keras.layers
    inputs = layers.Input((6,))
    trunk = relu("relu1", quantized)(kernel_layer("Dense", 12, name="fc1", quantized=quantized)(inputs))
    tensor = relu("relu2", quantized)(kernel_layer("Dense", 9, name="fc2", quantized=quantized)(trunk))
    tensor = kernel_layer("Dense", 12, name="fc3", quantized=quantized)(tensor)
    tensor = relu("relu3", quantized)(layers.Add(name="add")([trunk, tensor]))
    return stack().keras.Model(inputs, kernel_layer("Dense", 3, name="output", quantized=quantized)(tensor))


def concat_net(quantized: bool) -> Any:
    layers = stack().keras.layers
    inputs = layers.Input((6, 4))
    left = relu("relu1", quantized)(kernel_layer("Conv1D", 8, 3, name="conv", quantized=quantized)(inputs))
    left = layers.GlobalMaxPooling1D()(left)
    right = relu("relu2", quantized)(kernel_layer("Dense", 24, name="fc1", quantized=quantized)(layers.Flatten()(inputs)))
    right = layers.Reshape((4, 6))(right)
    right = layers.Permute((2, 1))(right)
    right = layers.Flatten()(layers.Permute((2, 1))(right))
    tensor = layers.Concatenate()([left, right, layers.Flatten()(inputs)])
    tensor = relu("relu3", quantized)(kernel_layer("Dense", 8, name="fc2", quantized=quantized)(tensor))
    return stack().keras.Model(inputs, kernel_layer("Dense", 3, name="output", quantized=quantized)(tensor))


REMOVED = {  # name → builder, units, units of the smaller model
    "mlp": (batchnorm_mlp, {"fc1": 16, "fc2": 12}),
    "cnn": (cnn, {"conv1": 8, "conv2": 6, "fc": 10}),
    "residual": (residual_mlp, {"fc1": 12, "fc2": 9, "fc3": 12}),
    "concat": (concat_net, {"conv": 8, "fc2": 8}),
}


def half(units: dict[str, int], seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {name: generator.permutation(size) < size // 2 for name, size in units.items()}


def inputs_of(model: Any, events: int = 300) -> np.ndarray:
    return np.random.default_rng(9).integers(-32, 32, (events, *model.input_shape[1:])).astype(np.float32) / 16


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("quantized", [False, True], ids=["keras", "qkeras"])
@pytest.mark.parametrize("net", REMOVED)
def test_a_smaller_model_gives_what_the_masked_one_gives(net: str, quantized: bool, seed: int) -> None:
    make, units = REMOVED[net]
    model = randomised(make(quantized), seed)
    before = [value.copy() for value in model.get_weights()]
    keep = half(units, seed)
    small, reference, kept = shrink(model, keep), masked(model, keep), unify(model, keep)
    x = inputs_of(model)
    received, expected = np.asarray(small(x)), np.asarray(reference(x))
    worst = np.abs(received - expected).max()
    if quantized:
        assert worst == 0, f"{(received != expected).sum()} of {expected.size} differ, by up to {worst}"
    else:
        assert worst <= 1e-5 * np.abs(expected).max(), worst
    assert np.abs(expected - np.asarray(model(x))).max() > 0.05, "the mask changed nothing"
    for name in units:
        assert small.get_layer(name).kernel.shape[-1] == kept[name].sum()
        assert (kept[name] >= keep[name]).all()
    assert small.count_params() < model.count_params()
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True)), "the original was changed"


def test_the_masked_model_is_zero_where_units_are_removed_and_the_original_elsewhere() -> None:
    model = randomised(batchnorm_mlp(False))
    keep = half({"fc1": 16, "fc2": 12}, 0)
    reference = masked(model, keep)
    for layer in model.layers:
        received = reference.get_layer(layer.name).get_weights()
        for variable, before, after in zip(layer.weights, layer.get_weights(), received, strict=True):
            number = layer.name[-1]
            kept = keep[f"fc{number}"] if number in "12" and "variance" not in variable.name else np.ones(before.shape[-1], bool)
            assert (after == before * kept).all(), variable.name


def test_units_that_meet_in_an_add_stay_where_any_branch_keeps_them() -> None:
    model = randomised(residual_mlp(False))
    keep = {"fc1": np.arange(12) < 8, "fc3": np.arange(12) >= 6}
    kept = unify(model, keep)
    assert kept["fc1"].all()
    assert kept["fc3"].all()
    both = np.arange(12) < 5
    kept = unify(model, {"fc1": both, "fc3": both})
    assert (kept["fc1"] == both).all()
    assert (kept["fc3"] == both).all()
    assert unify(model, {"fc3": both})["fc3"].all(), "fc1 keeps all"


def test_sequential_shared_and_many_output_models_shrink() -> None:
    keras = stack().keras
    layers = keras.layers
    first = layers.Dense(8, activation="relu", input_shape=(6,), name="fc1")
    sequential = randomised(keras.Sequential([first, layers.Dense(4, name="output")]))
    x = inputs_of(sequential)
    keep = {"fc1": np.arange(8) % 2 == 0}
    assert shrink(sequential, keep).get_layer("output").kernel.shape == (4, 4)
    assert np.allclose(shrink(sequential, keep)(x), masked(sequential, keep)(x), atol=1e-5)
    a, b = layers.Input((6,)), layers.Input((6,))
    shared, again = layers.Dense(8, activation="relu", name="fc1"), layers.Dense(5, activation="relu", name="fc2")
    tensors = [again(shared(tensor)) for tensor in (a, b)]
    one = layers.Dense(2, name="one")(layers.Concatenate()(tensors))
    two = layers.Dense(2, activation="softmax", name="two")(layers.Subtract()(tensors))
    model = randomised(keras.Model([a, b], [one, two]))
    keep = {"fc1": np.arange(8) < 3, "fc2": np.arange(5) > 2}
    small = shrink(model, keep)
    assert small.get_layer("one").kernel.shape == (4, 2)
    for received, expected in zip(small([x, -x]), masked(model, keep)([x, -x]), strict=True):
        assert np.allclose(received, expected, atol=1e-5)


def test_a_smaller_model_can_be_saved_and_read(tmp_path: Path) -> None:
    model = randomised(cnn(True))
    small = shrink(model, half({"conv1": 8, "conv2": 6}, 0))
    small.save(tmp_path / "small.keras")
    read = stack().keras.models.load_model(tmp_path / "small.keras", custom_objects=custom_objects(), compile=False)
    x = inputs_of(model)
    assert (np.asarray(read(x)) == np.asarray(small(x))).all()


@pytest.mark.slow
def test_a_smaller_cnn_is_exact_in_firmware(tmp_path: Path) -> None:
    small = shrink(randomised(cnn(True)), half({"conv1": 8, "conv2": 6, "fc": 10}, 0))
    project = firmware.convert(small, Precision(8, 2), tmp_path / "small")
    firmware.build(project)
    parity = firmware.compare(small, project, inputs_of(small)).parity
    assert parity.proven, parity


def test_channels_of_a_reshaped_layer_go_together_or_are_refused() -> None:
    layers = stack().keras.layers
    x = layers.Input((6,))
    image = layers.Reshape((6, 4), name="image")(layers.Dense(24, activation="relu", name="fc1")(x))
    y = layers.Conv1D(3, 2, name="conv")(image)
    model = randomised(stack().keras.Model(x, layers.Dense(2, name="output")(layers.Flatten()(y))))
    whole = {"fc1": np.arange(24) % 4 != 1}  # the second channel of every position
    assert shrink(model, whole).get_layer("conv").kernel.shape == (2, 3, 3)
    some = unify(model, {"fc1": np.arange(24) != 5})
    assert some["fc1"].all(), "a channel goes only as a whole"
    rows = stack().keras.Model(x, layers.Dense(2)(layers.Flatten()(image)))
    with pytest.raises(InputError, match=r"image: the units that stay do not fill its output \(6, 4\) without holes"):
        shrink(rows, {"fc1": np.arange(24) != 5})


def chain(*parts: Any, width: int = 8) -> Any:
    """fc1, the parts, output."""
    layers = stack().keras.layers
    tensor = inputs = layers.Input((6,))
    for part in (layers.Dense(width, name="fc1"), *parts, layers.Dense(2, name="output")):
        tensor = part(tensor)
    return stack().keras.Model(inputs, tensor)


def test_what_a_model_cannot_lose_is_refused() -> None:
    layers, qkeras = stack().keras.layers, stack().qkeras
    some = np.arange(8) < 5
    plain = chain(layers.ReLU())
    auto = qkeras.QDense(3, kernel_quantizer="ternary(alpha='auto')", name="auto")
    binary = stack().keras.Sequential(
        [layers.Input((6,)), qkeras.QDense(8, kernel_quantizer="binary(alpha=1)", name="fc1"), layers.ReLU(name="relu"),
         layers.Dense(2)]
    )  # fmt: skip
    cases: list[tuple[Any, dict[str, np.ndarray], str]] = [
        (plain, {"output": np.array([True, False])}, "output: cannot be pruned, .* it is an output of the model"),
        (plain, {"fc2": some}, r"fc2: no Dense or convolution layer of this name.*did you mean 'fc1'"),
        (plain, {"fc1": some[:7]}, "fc1: expected 8 truth values"),
        (plain, {"fc1": ~np.ones(8, bool)}, "fc1: no unit would stay"),
        (chain(layers.Activation("sigmoid", name="sigmoid")), {"fc1": some}, "sigmoid: gives 0.5 and not 0"),
        (chain(layers.Softmax(name="softmax")), {"fc1": some}, "fc1: cannot be pruned, its units reach softmax"),
        (chain(layers.Activation("softmax", name="soft")), {"fc1": some}, "soft: gives 0.* and not 0"),
        (chain(layers.LayerNormalization(name="norm")), {"fc1": some}, "reach norm: a LayerNormalization"),
        (chain(layers.ReLU(), auto), {"fc1": some}, "differs from the masked one .*alpha='auto'"),
        (binary, {"fc1": some}, "fc1: gives .* and not 0"),
    ]
    for model, keep, message in cases:
        with pytest.raises(InputError, match=message):
            shrink(randomised(model), keep)

    class Own(stack().keras.Model):  # type: ignore[misc, name-defined]
        pass

    with pytest.raises(InputError, match="expected a functional or sequential model"):
        shrink(Own(), {"fc1": some})


@pytest.mark.parametrize("quantized", [False, True], ids=["keras", "qkeras"])
def test_a_residual_branch_is_removed_as_if_its_last_layer_were_zero(quantized: bool) -> None:
    model = randomised(residual_mlp(quantized))
    small = remove_layers(model, ["fc3"])
    assert [layer.name for layer in small.layers if layer.weights] == ["fc1", "output"], "fc2 served the branch alone"
    zeroed = stack().keras.models.clone_model(model)
    zeroed.set_weights(model.get_weights())
    zeroed.get_layer("fc3").set_weights([0 * value for value in model.get_layer("fc3").get_weights()])
    x = inputs_of(model)
    assert (np.asarray(small(x)) == np.asarray(zeroed(x))).all()


def test_a_layer_in_a_row_is_bypassed_as_if_it_were_the_identity() -> None:
    layers = stack().keras.layers
    model = randomised(chain(layers.ReLU(), layers.Dense(8, name="fc2"), layers.ReLU(name="relu2"), layers.Dropout(0.1)))
    small = remove_layers(model, ["fc2", "relu2"])
    assert "fc2" not in [layer.name for layer in small.layers]
    model.get_layer("fc2").set_weights([np.eye(8), np.zeros(8)])
    x = inputs_of(model)
    assert np.allclose(small(x), model(x), atol=1e-6)


def test_layers_that_cannot_be_removed_are_refused() -> None:
    layers = stack().keras.layers
    residual = randomised(residual_mlp(False))
    inputs = layers.Input((6,))
    ends = [layers.Activation("sigmoid", name="s")(layers.Dense(6, name="fc1")(inputs)), layers.Dense(6, name="fc2")(inputs)]
    sigmoid = stack().keras.Model(inputs, layers.Dense(2, name="output")(layers.Add(name="add")(ends)))
    cases: list[tuple[Any, list[str], str]] = [
        (residual, ["fc2"], r"fc2: cannot be removed: it takes the shape \(12,\) and gives \(9,\)"),
        (residual, ["output"], "output: cannot be removed: it gives an output of the model"),
        (residual, ["fc9"], "fc9: no such layer"),
        (residual, ["add"], "add: cannot be removed: it has 2 inputs, not one"),
        (sigmoid, ["fc1"], "s: gives 0.5 and not 0"),
        (sigmoid, ["fc2", "fc1"], "add: no branch would be left of it; keep one of fc2, fc1"),
    ]
    for model, names, message in cases:
        with pytest.raises(InputError, match=message):
            remove_layers(model, names)
