"""What is taken out of a project, on projects that hls4ml wrote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from qap.backend import hls4ml, stack
from qap.config.schema import Firmware
from qap.cost.features import dense_features
from qap.cost.hls_project import HLSType, read_project
from qap.cost.project_networks import Networks, networks
from qap.firmware import convert

from ..firmware.helpers import P, mlp


def _read(directory: Path) -> Networks:
    return networks(read_project(directory))


def _hls4ml(model: Any, directory: Path, argmax: bool = False, **options: Any) -> Networks:
    with hls4ml() as library:
        config = library.utils.config_from_keras_model(model, granularity="name", backend="Vitis")
        for name in config["LayerName"]:
            if name.endswith("softmax") and argmax:
                config["LayerName"][name]["Implementation"] = "argmax"
        library.converters.convert_from_keras_model(
            model, hls_config=config, output_dir=str(directory), backend="Vitis", **options
        ).write()
    return _read(directory)


@pytest.mark.parametrize("strategy", ["Latency", "Resource"])
def test_dense_layers_with_their_weights_and_settings(tmp_path: Path, strategy: Literal["Latency", "Resource"]) -> None:
    plan = {
        "fc1": ("quantized_bits(6,0)", "quantized_bits(8,1)", "quantized_relu(7,3)"),
        "output": ("quantized_bits(5,1)", "quantized_bits(8,1)", None),
    }
    model = mlp(plan, 8, [12, 4], seed=2, sparsity=0.4)
    settings = Firmware(Strategy=strategy, ReuseFactor={"Model": 1, "fc1": 4}, ClockPeriod=4.0)
    convert(model, P("quantized_bits(9,2)"), tmp_path / "p", settings)
    found = _read(tmp_path / "p")
    assert (found.names, found.softmax, found.outside) == (("fc1", "output"), 0, ())
    assert [one.reuse_factor for one in found.layers] == [4, 1]
    assert {one.strategy for one in found.layers} == {strategy.lower()}
    assert {one.clock_ns for one in found.layers} == {4.0}
    assert {one.multipliers for one in found.layers} == {None}
    accum = [layer.accum for layer in read_project(tmp_path / "p").layers if layer.accum]
    for one, name, weight, inputs, width in zip(
        found.layers, found.names, ((6, 1), (5, 2)), ((True, 9, 3), (False, 7, 3)), accum, strict=True
    ):
        layer = model.get_layer(name)
        kernel = np.asarray(layer.kernel_quantizer_internal(layer.kernel))
        bias = np.asarray(layer.bias_quantizer_internal(layer.bias))
        expected = dense_features(kernel, bias, weight=HLSType(True, *weight), inputs=HLSType(*inputs), accum=width)
        assert {key: one.features[key] for key in expected} == expected, name


def test_softmax_counts_unless_it_only_tells_the_largest(tmp_path: Path) -> None:
    layers = stack().keras.layers
    inputs = layers.Input((6,))
    model = stack().keras.Model(inputs, layers.Activation("softmax", name="softmax")(layers.Dense(5, name="out")(inputs)))
    assert _hls4ml(model, tmp_path / "tables").softmax == 5
    argmax = _hls4ml(model, tmp_path / "argmax", argmax=True)
    assert (argmax.softmax, argmax.names, argmax.outside) == (0, ("out",), ())


def test_other_layers_are_outside_with_a_reason(tmp_path: Path) -> None:
    layers = stack().keras.layers
    inputs = layers.Input((8, 8, 1))
    tensor = layers.Conv2D(3, 3, name="conv", activation="relu")(inputs)
    tensor = layers.MaxPooling2D(name="pool")(layers.BatchNormalization(name="norm")(tensor))
    model = stack().keras.Model(inputs, layers.Dense(4, name="out")(layers.Flatten()(tensor)))
    found = _hls4ml(model, tmp_path / "parallel", io_type="io_parallel")
    assert found.names == ("out",)
    assert len(found.outside) == 1
    assert found.outside[0].startswith("conv ")
    assert "convolution" in found.outside[0]
    found = _hls4ml(model, tmp_path / "stream", io_type="io_stream")
    assert (found.layers, found.names) == ((), ())
    assert [text.split()[0] for text in found.outside] == ["conv", "out"]
    assert "io_stream" in found.outside[1]


def test_recurrent_layers_and_what_is_no_plain_dense_layer_are_outside(tmp_path: Path) -> None:
    layers = stack().keras.layers
    inputs = layers.Input((4, 3))
    model = stack().keras.Model(inputs, layers.Dense(2, name="out")(layers.LSTM(5, name="memory")(inputs)))
    found = _hls4ml(model, tmp_path / "lstm")
    assert found.names == ("out",)
    assert "recurrent" in found.outside[0]
    project = read_project(tmp_path / "lstm")
    (out,) = [layer for layer in project.layers if layer.name == "out"]
    for changed, reason in (
        (replace(out, kind="dense_da_3"), "distributed arithmetic"),
        (replace(out, strategy=None), "strategy"),
        (replace(out, arrays={out.operands[2]: out.arrays[out.operands[2]][:6]}), "compressed"),
        (replace(out, kernel=None), "constants"),
        (replace(out, kind="garnet_stack"), "no report of such a layer"),
    ):
        assert reason in networks(replace(project, layers=(changed,))).outside[0]
