"""Parity on real conversions and builds: exact plans, wide accumulators, and a flipped bit that must be found."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qap.config.schema import Firmware
from qap.errors import InputError, QapError
from qap.firmware import build, compare, convert, simulate
from qap.firmware.parity import Comparison
from qap.firmware.project import Project

from .helpers import P, grid, mlp

Prove = Callable[..., tuple[Project, Comparison]]

PLANS = {
    "8 bits": ("quantized_bits(8,0)", "quantized_bits(8,0)", "quantized_relu(8,3)", None, 0.0),
    "2 bits": ("quantized_bits(2,0)", "quantized_bits(4,0)", "quantized_relu(2,0)", None, 0.5),
    "3 bits, integer 1": (
        "quantized_bits(3,1)",
        "quantized_bits(6,2)",
        "quantized_relu(4,2)",
        "quantized_bits(8,4)",
        0.3,
    ),
    "6 bits, integer 3": (
        "quantized_bits(6,3)",
        "quantized_bits(6,3)",
        "quantized_relu(6,6)",
        "quantized_bits(10,2)",
        0.8,
    ),
    "ternary": ("ternary()", "quantized_bits(6,0)", "quantized_relu(3,2)", "quantized_bits(6,3)", 0.0),
    "binary": ("binary()", "quantized_bits(5,1)", "quantized_relu(5,3)", None, 0.0),
    "all pruned": ("quantized_bits(4,0)", "quantized_bits(4,0)", "quantized_relu(4,0)", None, 1.0),
}


@pytest.mark.parametrize(
    ("name", "backend"),
    [(name, "Vitis") for name in PLANS] + [("8 bits", "Vivado"), ("6 bits, integer 3", "Vivado"), ("binary", "Vivado")],
)
def test_plans_are_exact_everywhere_on_the_grid(name: str, backend: str, proven: Prove) -> None:
    weight, bias, activation, output, sparsity = PLANS[name]
    plan = dict.fromkeys(("fc1", "fc2"), (weight, bias, activation)) | {"output": (weight, bias, output)}
    model = mlp(plan, 12, [8, 6, 3], seed=len(name), sparsity=sparsity)
    x = grid("quantized_bits(8,2)", (12,), 2000)
    _, comparison = proven(model, "quantized_bits(8,2)", x, Backend=backend)
    assert comparison.parity.events == 2000
    assert np.array_equal(comparison.logits, model.predict(x, verbose=0).astype(np.float64))


def _wide(output: bool) -> Any:
    hidden = ("quantized_bits(9,1)", "quantized_bits(23,15)", "quantized_relu(16,15)")
    last = ("quantized_bits(9,1)", "quantized_bits(23,15)", "quantized_bits(32,15)")
    kernel = ("quantized_bits(32,15)", "quantized_bits(23,15)", None)
    model = mlp({"fc1": hidden, "fc2": hidden, "fc3": hidden, "output": last if output else kernel}, 30, [20, 10, 10, 4])
    rng = np.random.default_rng(3)
    for layer in model.layers:
        if layer.get_weights():
            layer.set_weights([rng.normal(size=w.shape) * (0.7 if w.ndim == 2 else 20) for w in layer.get_weights()])
    return model


@pytest.mark.parametrize("output", [True, False], ids=["output activation", "output kernel"])
def test_sums_beyond_24_bits_are_compared_in_float64(output: bool, proven: Prove) -> None:
    model = _wide(output)
    x = grid("quantized_bits(16,6)", (30,), 3000)
    _, comparison = proven(model, "quantized_bits(16,6)", x)
    assert comparison.parity.reference == "float64"
    assert len(np.unique(comparison.logits)) > 1000
    if not output:  # the test is worth something: float32 does round here
        assert (model.predict(x, verbose=0) != comparison.logits).any()


def test_a_sum_beyond_53_bits_is_refused(tmp_path: Path) -> None:
    layer = ("quantized_bits(32,15)", "quantized_bits(32,0)", "quantized_relu(32,4)")
    model = mlp({"fc1": layer, "output": (*layer[:2], None)}, 4, [4, 2])
    with pytest.raises(InputError, match=r"(fc1|output): its sums need \d+ bits, more than the 53 that float64"):
        convert(model, P("quantized_bits(16,0)"), tmp_path / "project")


def test_off_grid_and_nan_inputs_are_refused(proven: Prove) -> None:
    layer = ("quantized_bits(4,0)", "quantized_bits(4,0)", "quantized_relu(4,1)")
    model = mlp({"fc1": layer, "output": (*layer[:2], None)}, 3, [4, 2])
    x = grid("quantized_bits(6,2)", (3,), 10)
    project, _ = proven(model, "quantized_bits(6,2)", x)
    with pytest.raises(InputError, match=r"0\.3 in event 4 is not a value of"):
        compare(model, project, np.where(np.arange(10)[:, None] == 4, 0.3, x))
    with pytest.raises(InputError, match="NaN or infinity in event 7"):
        compare(model, project, np.where(np.arange(10)[:, None] == 7, np.nan, x))
    with pytest.raises(InputError, match=r"expected an array \(events, 3\)"):
        simulate(project, x[:, :2])
    rounded = simulate(project, np.array([[0.0625, 0.1875, 100.0]]))  # ties to even, saturation
    assert np.array_equal(rounded, simulate(project, np.array([[0.0, 0.25, 3.875]])))


def _flip(project: Project, layer: int) -> None:
    """Flip the last bit of the first weight that is not zero in the layer-th kernel (steps of 1/8)."""
    path = sorted((project.directory / "firmware/weights").glob("w*.h"), key=lambda p: int(p.stem[1:]))[layer]
    text = path.read_text()
    values = re.search(r"_VALUES \{(.*?)\}", text, re.DOTALL)[1]  # type: ignore[index]
    numbers = [float(value) for value in values.split(",")]
    index = next(i for i, value in enumerate(numbers) if value)
    numbers[index] = (int(numbers[index] * 8) ^ 1) / 8
    path.write_text(text.replace(values, ", ".join(map(repr, numbers))))


@pytest.mark.parametrize(("index", "name"), [(0, "fc1"), (1, "fc2"), (2, "output")])
def test_a_flipped_weight_bit_is_found_and_its_layer_named(index: int, name: str, proven: Prove) -> None:
    layer = ("quantized_bits(4,0)", "quantized_bits(4,0)", "quantized_relu(8,3)")
    model = mlp({"fc1": layer, "fc2": layer, "output": (*layer[:2], "quantized_bits(8,3)")}, 6, [8, 6, 3])
    x = grid("quantized_bits(8,2)", (6,), 500)
    project, before = proven(model, "quantized_bits(8,2)", x)
    _flip(project, index)
    with pytest.raises(QapError, match="not built"):  # the library of the old sources is not taken for the new ones
        compare(model, project, x)
    build(project)
    after = compare(model, project, x)
    assert before.parity.proven
    assert not after.parity.proven
    assert after.parity.first_layer == name, after.layers
    assert after.parity.exact < 500
    assert after.parity.max_difference > 0
    assert after.to_dict()["outputs"][project.outputs[0].name] == after.parity.fraction
    event = after.worst[0]
    assert np.abs(after.logits[event] - after.reference[0][event]).max() == after.parity.max_difference


def test_the_library_is_the_synthesised_constants(proven: Prove) -> None:
    """No weight is read from a text file that synthesis does not see."""
    layer = ("quantized_bits(4,0)", "quantized_bits(4,0)", "quantized_relu(4,1)")
    model = mlp({"fc1": layer, "output": (*layer[:2], None)}, 3, [4, 2])
    project, _ = proven(model, "quantized_bits(6,2)", grid("quantized_bits(6,2)", (3,), 10), Strategy="Resource")
    assert not list((project.directory / "firmware/weights").glob("*.txt"))
    assert Firmware(**project.settings).Strategy == "Resource"
