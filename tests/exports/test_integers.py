"""Weights as integers: what QKeras's quantizers give, through files and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qap.backend import stack
from qap.errors import InputError
from qap.exports.integers import FixedPoint, integers_of, packed, read_integers, unpacked
from qap.exports.weight_types import FixedType
from qap.models.architecture import Architecture
from qap.models.builders import build, get_weights, quantize_weights, set_weights
from qap.plan import LayerPlan, Plan
from qap.precision import Precision

from ..firmware.helpers import mlp
from .helpers import float_mlp

LAYER = ("quantized_bits(6,0)", "quantized_bits(12,2)", "quantized_relu(6,2)")


@st.composite
def tensors(draw: st.DrawFn) -> dict[str, FixedPoint]:
    """Several tensors of any type and shape, their integers up to the ends of the type."""
    found = {}
    for number in range(draw(st.integers(1, 4))):
        signed = draw(st.booleans())
        kind = FixedType(draw(st.integers(1 + signed, 32)), draw(st.integers(-40, 40)), signed)
        shape = tuple(draw(st.lists(st.integers(0, 4), min_size=1, max_size=4)))
        size = int(np.prod(shape))
        flat = draw(st.lists(st.integers(kind.low, kind.high), min_size=size, max_size=size))
        text = draw(st.sampled_from(["", "quantized_bits(6,0,0,alpha=1)", "ternary(alpha='auto_po2')"]))
        found[f"layer {number}/kernel"] = FixedPoint(kind, np.array(flat, np.int64).reshape(shape), text)
    return found


@settings(max_examples=150, deadline=None)
@given(tensors(), st.sampled_from(["json", "npz"]))
def test_files_hold_every_bit(made: dict[str, FixedPoint], form: str) -> None:
    again = unpacked(packed(made, form), form)
    assert list(again) == list(made)
    for name, tensor in made.items():
        assert again[name].type == tensor.type
        assert again[name].precision == tensor.precision
        assert again[name].integers.shape == tensor.integers.shape
        assert np.array_equal(again[name].values, tensor.values)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(2, 16), st.integers(0, 4), st.sampled_from(["fixed", "binary", "ternary", "po2"])),
        min_size=2, max_size=2,
    ),
    st.integers(0, 1000),
)  # fmt: skip
def test_integers_are_what_the_plan_quantizes_to(kinds: list[tuple[int, int, str]], seed: int) -> None:
    """Against the plan's own quantizers, which do not know of grids; latent weights beyond the range of the type."""
    precisions = [
        Precision(bits, min(integer, bits - 1))
        if kind == "fixed"
        else Precision.parse(f"{kind}()" if kind != "po2" else "quantized_po2(4)")
        for bits, integer, kind in kinds
    ]
    bias, relu = Precision(12, 3), Precision(6, 2, signed=False)
    plan = Plan((("fc1", LayerPlan(precisions[0], bias, relu)), ("output", LayerPlan(precisions[1], bias, None))))
    architecture = Architecture.mlp(3, [4], 2)
    model = build(architecture, plan)
    rng = np.random.default_rng(seed)
    latent = {
        name: (rng.normal(size=value.shape) * 3).astype(np.float32) for name, value in get_weights(model, architecture).items()
    }
    set_weights(model, latent)
    found = integers_of(model)
    expected = quantize_weights(plan, latent)
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert np.array_equal(found[name].values, values), name
        assert found[name].integers.dtype == np.int64
    for name, precision in zip(("fc1", "output"), precisions, strict=True):
        if precision.kind == "fixed":
            assert found[f"{name}/kernel"].type.ap_fixed == precision.ap_fixed


def test_convolutions_and_folded_normalization() -> None:
    libraries = stack()
    layers, qkeras = libraries.keras.layers, libraries.qkeras
    tensor = layers.Input((6, 6, 2))
    wide, short = "quantized_bits(8,2,alpha=1)", "quantized_bits(5,0,alpha=1)"
    out = qkeras.QConv2DBatchnorm(3, 2, kernel_quantizer=short, bias_quantizer=wide, name="folded")(tensor)
    out = qkeras.QDepthwiseConv2D(2, depthwise_quantizer=short, use_bias=False, name="deep")(out)
    out = qkeras.QSeparableConv2D(
        2, 2, depthwise_quantizer=short, pointwise_quantizer=short, bias_quantizer=wide, name="separable"
    )(out)  # fmt: skip
    model = libraries.keras.Model(tensor, out)
    found = integers_of(model)
    assert {name: tensor.integers.shape for name, tensor in found.items()} == {
        "folded/kernel": (2, 2, 2, 3), "folded/bias": (3,), "deep/depthwise": (2, 2, 3, 1),
        "separable/depthwise": (2, 2, 3, 1), "separable/pointwise": (1, 1, 3, 2), "separable/bias": (2,),
    }  # fmt: skip
    layer = model.get_layer("separable")
    expected = np.asarray(layer.pointwise_quantizer_internal(libraries.tf.constant(layer.get_weights()[1])))
    assert np.array_equal(found["separable/pointwise"].values, expected)
    assert all(tensor.type.bits == (8 if name.endswith("bias") else 5) for name, tensor in found.items())


def test_a_file_is_read_with_common_tools(tmp_path: Path) -> None:
    model = mlp({"output": (*LAYER[:2], None)}, 4, [3])
    made = integers_of(model)
    (tmp_path / "w.json").write_bytes(packed(made, "json"))
    (tmp_path / "w.npz").write_bytes(packed(made, "npz"))
    entry = json.loads((tmp_path / "w.json").read_text())["weights"]["output/kernel"]
    arrays = np.load(tmp_path / "w.npz", allow_pickle=False)
    by_hand = np.array(entry["integers"]) * 2.0 ** -entry["fractional_bits"]
    assert np.array_equal(by_hand, arrays["output/kernel"] * 2.0 ** -int(arrays["output/kernel:fractional_bits"]))
    assert (entry["type"], entry["bits"], entry["shape"], entry["precision"]) == (
        "ap_fixed<6,1>", 6, [4, 3], "quantized_bits(6,0,0,alpha=1)",
    )  # fmt: skip
    for name in ("w.json", "w.npz"):
        assert np.array_equal(read_integers(tmp_path / name)["output/kernel"].values, by_hand)


def _json(**changes: Any) -> bytes:
    entry = {"precision": "", "type": "ap_fixed<4,2>", "bits": 4, "fractional_bits": 2, "shape": [2], "integers": [7, -8]}
    return json.dumps({"format": "qap-integers", "version": 1, "weights": {"a/kernel": {**entry, **changes}}}).encode()


@pytest.mark.parametrize(
    ("form", "data", "message"),
    [
        ("json", b"{}", "expected a JSON file of the format qap-integers"),
        ("json", b"\xff", "expected a JSON file of the format qap-integers"),
        ("json", b"[1]", "expected a JSON file of the format qap-integers"),
        ("json", _json().replace(b'"version": 1', b'"version": 2'), "version 1"),
        ("npz", b"PK", "not a readable .npz file of plain arrays"),
        ("json", _json(integers=[7, 8]), "a/kernel: expected integers from -8 to 7, received 7 to 8"),
        ("json", _json(integers=[7]), r"expected integers of shape \(2,\)"),
        ("json", _json(integers=[7, 1.5]), r"expected integers of shape \(2,\), received float64"),
        ("json", _json(integers=[[7], 1]), "damaged"),
        ("json", _json(type="fixed"), "does not say 2 fractional bits"),
        ("json", _json(type="ap_fixed<0,-2>"), "expected a type of 1 to 63 bits"),
        ("json", _json(type="ap_fixed<64,62>", integers=[2**63, 0]), "expected a type of 1 to 63 bits"),
        ("json", _json(fractional_bits=1), "does not say 1 fractional bits"),
        ("json", _json().replace(b"shape", b"size"), "damaged"),
    ],
)
def test_damaged_files_are_refused(form: str, data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        unpacked(data, form)


def test_floats_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no QKeras layer"):
        integers_of(float_mlp()[1])
    model = mlp({"fc1": LAYER, "output": (*LAYER[:2], None)}, 4, [3, 2])
    layers = stack().keras.layers
    with pytest.raises(InputError, match="float values need"):
        integers_of(stack().keras.Model(model.input, layers.Dense(2, name="head")(model.output)))
    with pytest.raises(InputError, match="norm: BatchNormalization holds gamma, beta, moving_mean, moving_variance"):
        integers_of(stack().keras.Model(model.input, layers.BatchNormalization(name="norm")(model.output)))
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_integers(tmp_path / "none.json")
