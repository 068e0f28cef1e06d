"""Constants on grids: what changes, by how much, and that the reloaded model still means the firmware."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from qap.backend import custom_objects, stack
from qap.firmware import build, compare, convert, parity_vectors, prepare

from .helpers import P

INPUT = P("quantized_bits(8,2)")


def _network() -> Any:
    libraries = stack()
    layers, q = libraries.keras.layers, libraries.qkeras

    def bits() -> Any:
        return q.quantized_bits(6, 0, alpha=1)

    inner = layers.Input((6,), name="inner")
    block = libraries.keras.Model(inner, layers.BatchNormalization(name="inside")(inner), name="block")
    inputs = layers.Input((6,), name="inputs")
    x = q.QDense(6, kernel_quantizer=bits(), bias_quantizer=bits(), name="fc1")(layers.BatchNormalization(name="first")(inputs))
    x = q.QActivation("quantized_relu(6,2)", name="relu1")(block(x))
    model = libraries.keras.Model(inputs, q.QDense(3, kernel_quantizer=bits(), name="output")(x))
    rng = np.random.default_rng(0)
    for variable in model.variables:
        positive = "variance" in variable.name or "gamma" in variable.name
        variable.assign(rng.uniform(0.4, 1.6, variable.shape) if positive else rng.normal(size=variable.shape) * 0.4)
    return model


def test_a_prepared_model_is_close_exact_and_survives_saving(tmp_path: Path) -> None:
    model = _network()
    before = [weight.copy() for weight in model.get_weights()]
    prepared = prepare(model)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert [change.split(":")[0] for change in prepared.changes] == ["first", "inside", "output"]
    x = parity_vectors(prepared.model, INPUT, 1000)[0]
    normalised = stack().keras.Model(model.input, model.get_layer("first").output)
    rounded = stack().keras.Model(prepared.model.input, prepared.model.get_layer("first").output)
    assert np.abs(normalised.predict(x, verbose=0) - rounded.predict(x, verbose=0)).max() < 4 * 2**-11 + 2**-11
    prepared.model.save(tmp_path / "model.keras")
    reloaded = stack().keras.models.load_model(tmp_path / "model.keras", custom_objects=custom_objects(), compile=False)
    assert prepare(reloaded).changes == ()
    project = convert(reloaded, INPUT, tmp_path / "project")
    build(project)
    comparison = compare(reloaded, project, x)
    assert comparison.parity.proven, comparison.to_dict()


def test_more_bits_change_less() -> None:
    changes = [float(prepare(_network(), bits).changes[0].rsplit(" ", 1)[1]) for bits in (6, 10, 14)]
    assert changes[0] > 8 * changes[1] > 64 * changes[2] / 2 > 0
