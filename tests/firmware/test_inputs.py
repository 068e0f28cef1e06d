"""Inputs as the hardware has them: quantized in the model, integers with a step, one type per feature."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qap.backend import custom_objects, stack
from qap.errors import InputError
from qap.firmware import (
    Comparison,
    HardwareFeature,
    Project,
    build,
    compare,
    convert,
    parity_vectors,
    simulate,
    with_input_quantizer,
    with_standardisation,
)

from .helpers import P, mlp

LAYER = ("quantized_bits(6,0)", "quantized_bits(6,0)", "quantized_relu(6,2)")
FEATURES = (HardwareFeature("hwPt", 14, 0.25, signed=False), HardwareFeature("hwEta", 12, np.pi / 720))


@pytest.mark.parametrize("precision", ["quantized_bits(8,2)", "quantized_relu(8,3)"])
def test_with_its_own_input_quantizer_any_input_means_the_same(
    precision: str, proven: Callable[..., tuple[Project, Comparison]]
) -> None:
    model = with_input_quantizer(mlp({"fc1": LAYER, "output": (*LAYER[:2], None)}, 4, [6, 3]), P(precision))
    x = np.random.default_rng(0).normal(size=(2000, 4)) * 5  # off the grid, and far outside of the range
    ties = (np.arange(2000) - 1000)[:, None] * P(precision).step / 2 + np.zeros(4)
    _, comparison = proven(model, precision, np.concatenate([x, ties]))
    assert comparison.parity.events == 4000
    assert len(np.unique(comparison.logits)) > 100


def test_a_quantizer_of_another_type_is_not_enough(tmp_path: Path) -> None:
    model = with_input_quantizer(mlp({"fc1": LAYER, "output": (*LAYER[:2], None)}, 4, [6, 3]), P("quantized_bits(8,3)"))
    project = convert(model, P("quantized_bits(8,2)"), tmp_path / "project")
    build(project)
    with pytest.raises(InputError, match=r"is not a value of quantized_bits\(8,2\)"):
        compare(model, project, np.full((1, 4), 0.3))


def test_standardisation_is_a_fixed_point_step_on_the_hardware_integers(tmp_path: Path) -> None:
    network = mlp({"fc1": LAYER, "output": (*LAYER[:2], None)}, 2, [6, 3])
    mean, std = np.array([60.0, 0.1]), np.array([45.0, 1.2])
    model = with_standardisation(network, FEATURES, mean, std, P("quantized_bits(10,3)"))
    model.save(tmp_path / "model.keras")
    model = stack().keras.models.load_model(tmp_path / "model.keras", custom_objects=custom_objects(), compile=False)
    kinds = tuple(feature.precision for feature in FEATURES)
    project = convert(model, kinds, tmp_path / "project")
    build(project)
    assert project.inputs[0].type == "fixed<15,15,RND_CONV,SAT>"  # one port holds both integers
    assert project.inputs[0].features == ("quantized_relu(14,14)", "quantized_bits(12,11)")
    vectors = parity_vectors(model, kinds, 4000)
    comparison = compare(model, project, vectors)
    assert comparison.parity.proven, comparison.to_dict()
    # close to the float standardisation: at most one step of the network's inputs away
    physical = np.random.default_rng(1).normal(mean, std, (500, 2)).clip(0.3, None)
    counts = np.stack([feature.counts(physical[:, i]) for i, feature in enumerate(FEATURES)], axis=1)
    assert np.abs(counts * [feature.lsb for feature in FEATURES] - physical)[:, 0].max() <= 0.125
    standardised = P("quantized_bits(10,3)").quantize((counts * [f.lsb for f in FEATURES] - mean) / std)
    step = stack().keras.Model(model.inputs, model.get_layer("standardised").output)
    assert np.abs(step.predict(counts, verbose=0) - standardised).max() <= P("quantized_bits(10,3)").step
    with pytest.raises(InputError, match=r"-1.0 in event 0 is not a value of quantized_relu\(14,14\)"):
        compare(model, project, np.array([[-1.0, 0.0]]))


def test_features_out_of_their_own_range_saturate(tmp_path: Path) -> None:
    network = mlp({"fc1": LAYER, "output": (*LAYER[:2], None)}, 2, [6, 3])
    project = convert(network, (P("quantized_bits(4,1)"), P("quantized_relu(6,3)")), tmp_path / "project")
    build(project)
    assert np.array_equal(project.quantized(np.array([[9.0, 9.0], [-9.0, -9.0], [0.3, 0.3]]))[0],
                          [[1.75, 7.875], [-2.0, 0.0], [0.25, 0.25]])  # fmt: skip
    assert simulate(project, np.array([[1.75, 7.875]])).shape == (1, 3)
    with pytest.raises(InputError, match="expected 2 precisions, one per feature, received 1"):
        convert(network, (P("quantized_bits(4,1)"),), tmp_path / "other")


def test_wrong_standardisations_are_refused() -> None:
    network = mlp({"fc1": LAYER, "output": (*LAYER[:2], None)}, 2, [6, 3])
    with pytest.raises(InputError, match="positive deviations"):
        with_standardisation(network, FEATURES, np.zeros(2), np.array([1.0, 0.0]), P("quantized_bits(10,3)"))
    with pytest.raises(InputError, match="one input"):
        with_standardisation(network, FEATURES[:1], np.zeros(1), np.ones(1), P("quantized_bits(10,3)"))
    with pytest.raises(InputError, match="positive lsb"):
        HardwareFeature("hwPt", 14, 0.0)
