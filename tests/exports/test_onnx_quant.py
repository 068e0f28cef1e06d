"""QONNX models in qonnx's executor, in ONNX's reference and in hls4ml, each against QKeras, every event in every bit."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qap.backend import hls4ml, stack
from qap.errors import InputError
from qap.exports.agreement import Agreement, agree
from qap.exports.onnx_quant import DOMAIN, on_grid, qonnx_outputs, to_qonnx
from qap.firmware.reference import Reference
from qap.firmware.vectors import parity_vectors
from qap.precision import Precision

from ..firmware.helpers import mlp
from .helpers import float_mlp, randomise

onnx = pytest.importorskip("onnx", reason="pip install 'qap[exports]'")
pytest.importorskip("qonnx", reason="pip install 'qap[exports]'")

P = Precision.parse
INPUT = P("quantized_bits(8,2)")
LAYER = ("quantized_bits(6,0)", "quantized_bits(12,2)", "quantized_relu(6,2)")


def _compared(model: Any, inputs: Any = INPUT, events: int = 1000) -> tuple[Agreement, bytes, list[np.ndarray], list[np.ndarray]]:
    """Export, run and compare on boundaries, extremes of the sums and random events."""
    x = parity_vectors(model, inputs, events)
    data, lowered = to_qonnx(model, inputs)
    expected = Reference(model, lowered).outputs([array.reshape(len(array), -1) for array in x])
    return agree(expected, qonnx_outputs(data, x)), data, x, expected


def _proven(model: Any, inputs: Any = INPUT, events: int = 1000) -> bytes:
    found, data, _, _ = _compared(model, inputs, events)
    assert found.exact == found.events >= min(events, 500), found
    return data


def _attributes(data: bytes) -> dict[str, tuple[int, int, int, list[float]]]:
    """Bit width, signed, narrow and scales of every Quant node, by the name of its input."""
    graph = onnx.load_from_string(data).graph
    constants = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
    found = {}
    for node in graph.node:
        if node.op_type == "Quant":
            flags = {item.name: item.i for item in node.attribute}
            assert constants[node.input[2]] == 0
            scale = np.unique(constants[node.input[1]]).tolist()
            found[node.name] = (int(constants[node.input[3]]), flags["signed"], flags["narrow"], scale)
    return found


precisions = st.builds(lambda bits, integer: f"({bits},{min(integer, bits - 1)})", st.integers(2, 8), st.integers(0, 3))


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(precisions, precisions), min_size=2, max_size=2), precisions, st.integers(2, 8), st.integers(0, 99))
def test_any_small_mlp_is_exact(layers: list[tuple[str, str]], last: str, input_bits: int, seed: int) -> None:
    plan: dict[str, tuple[str, str, str | None]] = {
        f"fc{number}": (f"quantized_bits{weight}", "quantized_bits(10,3)", f"quantized_relu{activation}")
        for number, (weight, activation) in enumerate(layers, 1)
    }
    plan["output"] = (f"quantized_bits{last}", "quantized_bits(10,3)", f"quantized_bits{last}")
    _proven(mlp(plan, 5, [6, 4, 3], seed, 0.3), Precision(input_bits, 1), 500)


def test_quantizers_carry_the_declared_types() -> None:
    """Also where the weights would fit in fewer bits."""
    model = mlp({"fc1": LAYER, "output": ("ternary()", "quantized_bits(12,2)", "quantized_bits(16,6)")}, 16, [32, 5])
    kernel, bias = model.get_layer("fc1").get_weights()
    model.get_layer("fc1").set_weights([np.round(kernel * 2) / 8, bias])
    assert _attributes(_proven(model)) == {
        "inputs_quant": (8, 1, 0, [2.0**-5]),
        "fc1_kernel_quant": (6, 1, 0, [2.0**-5]),
        "fc1_bias_quant": (12, 1, 0, [2.0**-9]),
        "relu1_quant": (6, 0, 0, [2.0**-4]),
        "output_kernel_quant": (2, 1, 1, [1.0]),
        "output_bias_quant": (12, 1, 0, [2.0**-9]),
        "output_linear_1_quant": (16, 1, 0, [2.0**-9]),
    }


Make = Callable[[Any, Any, Any], Any]
WIDE = "quantized_bits(8,2,alpha=1)"


def _convolutions(kernel: str, activation: str) -> Any:
    """Every kind of layer with weights, an activation between them."""
    libraries = stack()
    layers, q = libraries.keras.layers, libraries.qkeras
    tensor = layers.Input((6, 6, 2))
    out = q.QConv2D(4, 3, padding="same", kernel_quantizer=kernel, bias_quantizer=WIDE)(tensor)
    out = q.QActivation(activation)(out)
    out = q.QDepthwiseConv2D(2, depthwise_quantizer="quantized_bits(4,0,alpha='auto_po2')", bias_quantizer=WIDE)(out)
    out = q.QActivation("quantized_bits(6,2,alpha=1)")(layers.MaxPooling2D(2)(out))
    out = q.QDense(5, kernel_quantizer=kernel, bias_quantizer=WIDE)(layers.Flatten()(out))
    return randomise(libraries.keras.Model(tensor, out))


KERNELS = [
    "quantized_bits(4,0,alpha=1)",
    "quantized_bits(4,0,symmetric=1,alpha=1)",
    "quantized_bits(4,0,alpha='auto_po2')",
    "quantized_bits(1,0,alpha=1)",
    "binary(alpha=1)",
    "binary(alpha='auto_po2')",
    "ternary(alpha=1)",
    "ternary(alpha='auto_po2')",
    "quantized_po2(4,1)",
]
ACTIVATIONS = [
    "quantized_relu(5,2)",
    "quantized_relu(1,1)",
    "quantized_bits(6,1,alpha=1)",
    "quantized_bits(6,1,symmetric=1,alpha=1)",
    "quantized_bits(1,0,alpha=1)",
    "quantized_tanh(6)",
    "quantized_sigmoid(6)",
    "binary(alpha=1)",
    "ternary(alpha=1)",
    "quantized_relu(6,2,negative_slope=0.25)",
]


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_are_exact(kernel: str) -> None:
    _proven(_convolutions(kernel, "quantized_relu(5,2)"))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_exact(activation: str) -> None:
    _proven(_convolutions(KERNELS[0], activation))


def test_scales_per_channel_keep_the_declared_bits() -> None:
    """auto_po2 gives each unit its own power of two; the kernel stays at 4 bits."""
    libraries = stack()
    tensor = libraries.keras.layers.Input((8,))
    layer = libraries.qkeras.QDense(3, kernel_quantizer=KERNELS[2], bias_quantizer=WIDE, name="wide")
    model = libraries.keras.Model(tensor, layer(tensor))
    kernel = np.random.default_rng(0).normal(size=(8, 3)) * [0.02, 1, 30]
    layer.set_weights([kernel, np.zeros(3)])
    bits, signed, _, scales = _attributes(_proven(model))["wide_kernel_quant"]
    assert (bits, signed, len(scales)) == (4, 1, 3)


LAYERS: dict[str, tuple[tuple[int, ...], Make]] = {
    "skip connection": ((6,), lambda k, q, t: k.Add()([t, q.QActivation(WIDE)(q.QDense(6, **_quantizers(q))(t))])),
    "joins": ((6,), lambda k, q, t: k.Concatenate()([k.Multiply()([t, t]), k.Maximum()([t, q.QDense(6, **_quantizers(q))(t)])])),
    "average over 4": ((4, 4, 2), lambda k, q, t: q.QConv2D(3, 1, **_quantizers(q))(k.AveragePooling2D(2)(t))),
    "average over 9": (
        (6, 6, 2),
        lambda k, q, t: q.QActivation("quantized_bits(6,2,alpha=1)")(k.AveragePooling2D(3)(q.QConv2D(3, 1, **_quantizers(q))(t))),
    ),
    "global average over 25": (
        (5, 5, 2),
        lambda k, q, t: q.QActivation("quantized_relu(6,2)")(k.GlobalAveragePooling2D()(q.QConv2D(3, 1, **_quantizers(q))(t))),
    ),
    "1d": ((8, 2), lambda k, q, t: k.GlobalMaxPooling1D()(q.QConv1D(3, 3, padding="same", strides=2, **_quantizers(q))(t))),
    "dense on positions": ((4, 3), lambda k, q, t: q.QDense(2, **_quantizers(q))(k.Reshape((3, 4))(t))),
    "activation in the layer": ((6,), lambda k, q, t: q.QDense(4, activation="quantized_relu(4,1)", **_quantizers(q))(t)),
    "folded normalization": ((5, 5, 2), lambda k, q, t: q.QConv2DBatchnorm(3, 2, **_quantizers(q))(t)),
    "pooled borders": ((5, 5, 2), lambda k, q, t: k.MaxPooling2D(2, padding="same")(q.QActivation("quantized_relu(4,1)")(
        q.QConv2D(3, 2, **_quantizers(q))(t)))),
}  # fmt: skip


def _quantizers(q: Any) -> dict[str, Any]:
    return {"kernel_quantizer": "quantized_bits(5,1,alpha=1)", "bias_quantizer": WIDE}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_exact(name: str) -> None:
    shape, make = LAYERS[name]
    libraries = stack()
    tensor = libraries.keras.layers.Input(shape)
    _proven(
        randomise(libraries.keras.Model(tensor, make(libraries.keras.layers, libraries.qkeras, tensor))), P("quantized_bits(6,1)")
    )


def test_two_inputs_with_types_of_their_own() -> None:
    libraries = stack()
    layers = libraries.keras.layers
    first, second = layers.Input((3,), name="tracks"), layers.Input((2,), name="muons")
    out = libraries.qkeras.QDense(3, **_quantizers(libraries.qkeras))(layers.Concatenate()([first, second]))
    model = randomise(libraries.keras.Model([first, second], out))
    data = _proven(model, {"tracks": P("quantized_bits(8,3)"), "muons": (P("quantized_relu(4,2)"), P("quantized_bits(5,0)"))})
    assert _attributes(data)["tracks_quant"] == (8, 1, 0, [2.0**-4])
    assert _attributes(data)["muons_quant"] == (7, 1, 0, [2.0**-4])


def test_events_off_the_grid_are_rounded_half_to_even() -> None:
    model = mlp({"output": (*LAYER[:2], None)}, 2, [3])
    x = on_grid(model, P("quantized_bits(4,1)"), [np.array([[0.125, 0.375], [-0.125, 9.0], [0.3, -9.0]])])
    assert x[0].tolist() == [[0.0, 0.5], [0.0, 1.75], [0.25, -2.0]]


def test_another_executor_agrees() -> None:
    """ONNX's own reference with a Quant written from the standard's text, in integers."""
    from onnx.reference import ReferenceEvaluator
    from onnx.reference.op_run import OpRun

    class Quant(OpRun):
        op_domain = DOMAIN

        def _run(self, x, scale, zero_point, bit_width, signed, narrow, rounding_mode):  # type: ignore[no-untyped-def]
            bits = int(bit_width)
            low, high = (narrow - 2 ** (bits - 1), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1 - narrow)
            assert rounding_mode == "ROUND"
            integers = np.clip(np.rint(x.astype(np.float64) / scale).astype(np.int64), low, high)
            return ((integers * scale.astype(np.float64)).astype(np.float32),)

    model = mlp({"fc1": LAYER, "fc2": ("ternary()", *LAYER[1:]), "output": (*LAYER[:2], "quantized_bits(9,4)")}, 16, [32, 16, 5])
    _, data, x, expected = _compared(model)
    proto = onnx.load_from_string(data)
    for info in (*proto.graph.input, *proto.graph.output):
        info.type.tensor_type.shape.dim[0].dim_param = "events"
    outputs = ReferenceEvaluator(proto, new_ops=[Quant]).run(None, {"inputs": x[0].astype(np.float32)})
    found = agree(expected, outputs)
    assert found.exact == found.events, found


@pytest.mark.slow
def test_hls4ml_reads_it_and_simulates_the_same_bits(tmp_path: Path) -> None:
    """hls4ml's own QONNX reader, which knows nothing of QKeras, its types inferred from the quantizers."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.util.cleanup import cleanup_model

    model = mlp({"fc1": LAYER, "output": ("quantized_bits(4,0)", "quantized_bits(12,2)", "quantized_bits(8,3)")}, 8, [12, 3])
    _, data, x, expected = _compared(model)
    with hls4ml() as module, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = cleanup_model(ModelWrapper(onnx.load_from_string(data)))
        config = module.utils.config_from_onnx_model(wrapped, "name", backend="Vitis", default_precision="fixed<32,16>")
        graph = module.converters.convert_from_onnx_model(
            wrapped, hls_config=config, backend="Vitis", io_type="io_parallel", output_dir=str(tmp_path / "project")
        )
        graph.compile()
        outputs = graph.predict(np.ascontiguousarray(x[0], np.float32))
    found = agree(expected, [outputs.reshape(expected[0].shape)])
    assert found.exact == found.events, found


def test_a_comparison_can_fail() -> None:
    """One bit of one weight, or the rounding of one quantizer, and events differ."""
    model = mlp({"fc1": LAYER, "output": (*LAYER[:2], None)}, 6, [8, 3])
    _, data, x, expected = _compared(model)
    proto = onnx.load_from_string(data)
    for item in proto.graph.initializer:
        if item.name == "fc1_kernel":
            values = onnx.numpy_helper.to_array(item).copy()
            values[0, 0] += 2.0**-5 if values[0, 0] < 0.5 else -(2.0**-5)
            item.CopyFrom(onnx.numpy_helper.from_array(values, item.name))
    assert agree(expected, qonnx_outputs(proto.SerializeToString(), x)).exact < len(x[0])
    proto = onnx.load_from_string(data)
    for node in proto.graph.node:
        for attribute in node.attribute:
            if node.name == "relu1_quant" and attribute.name == "rounding_mode":
                attribute.s = b"FLOOR"
    assert agree(expected, qonnx_outputs(proto.SerializeToString(), x)).exact < len(x[0])


def test_sums_beyond_float32_are_refused() -> None:
    """24 bits are written and exact, at the extremes too; one input bit more is refused."""

    def one(bits: int) -> Any:
        model = mlp({"output": ("quantized_bits(12,0)", "quantized_bits(12,0)", None)}, 1, [1])
        model.get_layer("output").set_weights([np.array([[2047 / 2048]]), np.array([0.5])])
        return model, Precision(bits, 0)

    _proven(*one(13))  # 11 bits times 2^12, and the bias
    with pytest.raises(InputError, match=r"output: its sums need 25 bits, more than the 24 .*integers-json"):
        to_qonnx(*one(14))


def test_what_is_never_exact_is_refused() -> None:
    libraries = stack()
    layers = libraries.keras.layers
    model = mlp({"output": (*LAYER[:2], None)}, 4, [3])

    def ending(layer: Any) -> Any:
        return libraries.keras.Model(model.input, layer(model.output))

    for name in ("softmax", "sigmoid", "tanh"):
        with pytest.raises(InputError, match=f"last: {name} is rounded differently"):
            to_qonnx(ending(layers.Activation(name, name="last")), INPUT)
    with pytest.raises(InputError, match="last: softmax is rounded differently"):
        to_qonnx(ending(layers.Softmax(name="last")), INPUT)
    with pytest.raises(InputError, match="last: .*set alpha=1"):
        to_qonnx(ending(libraries.qkeras.QDense(2, kernel_quantizer="quantized_bits(4,0,alpha='auto')", name="last")), INPUT)
    with pytest.raises(InputError, match="float values need"):
        to_qonnx(ending(layers.Dense(2, name="last")), INPUT)
    with pytest.raises(InputError, match="has no QKeras layer"):
        to_qonnx(float_mlp()[1], INPUT)
    with pytest.raises(InputError, match="expected events of shapes"):
        qonnx_outputs(to_qonnx(model, INPUT)[0], [np.zeros((3, 5))])
