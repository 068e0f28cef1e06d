"""Vectors beyond the data, and transformations that must change nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qap.firmware import Comparison, Project, parity_vectors
from qap.firmware.lowering import lower

from .helpers import P, mlp

Prove = Callable[..., tuple[Project, Comparison]]
LAYER = ("quantized_bits(5,0)", "quantized_bits(6,1)", "quantized_relu(6,3)")


def _model(inputs: int = 6) -> Any:
    return mlp({"fc1": LAYER, "fc2": LAYER, "output": (*LAYER[:2], None)}, inputs, [8, 6, 3], seed=4)


def test_vectors_are_on_the_grid_and_reach_the_ends_of_every_first_sum() -> None:
    model, kind = _model(), P("quantized_bits(8,2)")
    (x,) = parity_vectors(model, kind, 2000)
    assert x.shape == (2000, 6)
    assert np.array_equal(kind.quantize(x), x)
    assert (x.min(), x.max()) == (kind.low, kind.high)
    assert all((x[i] == value).all() for i, value in enumerate((-4.0, -4.0 + 1 / 32, -1 / 32, 0.0, 1 / 32)))
    sums = np.asarray(model.get_layer("fc1")(x.astype(np.float32)), np.float64)
    values = lower(model, kind).finals["fc1"].values
    assert np.array_equal(sums.max(axis=0), np.ldexp(values.high.astype(float), values.lsb))
    assert np.array_equal(sums.min(axis=0), np.ldexp(values.low.astype(float), values.lsb))


def test_the_accumulator_is_as_wide_as_its_worst_sum_and_no_wider(proven: Prove) -> None:
    model, kind = _model(), P("quantized_bits(8,2)")
    _, comparison = proven(model, str(kind), parity_vectors(model, kind, 3000)[0])
    assert comparison.parity.events == 3000


def test_a_tiny_network_is_tried_on_every_input(proven: Prove) -> None:
    model, kind = _model(2), P("quantized_bits(6,1)")
    (x,) = parity_vectors(model, kind, 10)
    assert x.shape == (4096, 2)
    assert len(np.unique(x, axis=0)) == 4096
    proven(model, str(kind), x)


def test_two_inputs_of_different_types_are_tried_on_every_combination() -> None:
    from qap.backend import stack

    layers = stack().keras.layers
    a, b = layers.Input((1,), name="a"), layers.Input((2,), name="b")
    model = stack().keras.Model([a, b], layers.Concatenate()([a, b]))
    x, y = parity_vectors(model, {"a": P("quantized_bits(3,1)"), "b": (P("quantized_relu(2,0)"), P("quantized_bits(4,0)"))})
    assert len(np.unique(np.concatenate([x, y], axis=1), axis=0)) == 2**9
    assert (x.min(), x.max(), y[:, 0].max(), y[:, 1].min()) == (-2, 1.5, 0.75, -1)


@pytest.mark.parametrize("change", ["permutation", "power of two"])
def test_what_means_the_same_gives_the_same_firmware_outputs(change: str, proven: Prove) -> None:
    """Neurons in another order, or a layer times 2 and the next one by 2, with types that shift along."""
    wider = ("quantized_bits(6,1)", "quantized_bits(7,2)", "quantized_relu(6,4)")
    model = _model()
    x = parity_vectors(model, P("quantized_bits(8,2)"), 1500)[0]
    _, plain = proven(model, "quantized_bits(8,2)", x, name="plain")
    order = np.random.default_rng(0).permutation(8)
    k1, b1 = model.get_layer("fc1").get_weights()
    k2, b2 = model.get_layer("fc2").get_weights()
    if change == "permutation":
        other = _model()
        other.get_layer("fc1").set_weights([k1[:, order], b1[order]])
        other.get_layer("fc2").set_weights([k2[order], b2])
    else:
        other = mlp(
            {"fc1": wider, "fc2": ("quantized_bits(6,0)", *LAYER[1:]), "output": (*LAYER[:2], None)}, 6, [8, 6, 3], seed=4
        )
        quantized = [np.asarray(model.get_layer(name).kernel_quantizer_internal(k)) for name, k in (("fc1", k1), ("fc2", k2))]
        bias = np.asarray(model.get_layer("fc1").bias_quantizer_internal(b1))
        other.get_layer("fc1").set_weights([2 * quantized[0], 2 * bias])
        other.get_layer("fc2").set_weights([quantized[1] / 2, b2])
        other.get_layer("output").set_weights(model.get_layer("output").get_weights())
    _, changed = proven(other, "quantized_bits(8,2)", x, name="changed")
    assert np.array_equal(plain.logits, changed.logits)
