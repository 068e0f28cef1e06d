"""Operation counts from compiled projects against integers counted from the Keras weights."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qap.backend import stack
from qap.config.schema import Firmware
from qap.cost import instrument
from qap.cost.hls_project import HLSType, read_project
from qap.cost.hls_source import OVERFLOWS, ROUNDINGS
from qap.cost.instrument import Row, merge
from qap.cost.operations import LayerOperations, count_operations, fixed
from qap.errors import InputError
from qap.firmware import convert
from qap.precision import Precision
from tests.cost.hls_projects import convert_plain, oldest
from tests.firmware.helpers import mlp

FRACTIONAL, BITS = 7, 12
"""Of ap_fixed<12,5>, the type of weights and inputs in the plain conversions."""


def expected_products(kernel: np.ndarray, positions: int = 1, x_bits: int = BITS - 1) -> dict[str, float]:
    """Count the products by an integer matrix (products, outputs), weight by weight."""
    zero = power = general = digits = 0
    for number in (abs(int(one)) for one in kernel.ravel()):
        while number and number % 2 == 0:
            number //= 2
        zero, power, general = zero + (number == 0), power + (number == 1), general + (number > 1)
        digits += number.bit_length()
    return {
        "multiplications_zero": zero * positions,
        "multiplications_power_of_two": power * positions,
        "multiplications_general": general * positions,
        "multiplications_variable": 0,
        "ebops": digits * x_bits * positions,
    }


def expected_additions(kernel: np.ndarray, bias: np.ndarray, positions: int = 1) -> int:
    """Count the additions that are not of a constant zero, output by output."""
    return positions * sum(
        max(int((column != 0).sum()) + int(start != 0) - 1, 0) if (column != 0).any() else 0
        for column, start in zip(kernel.T, bias, strict=True)
    )


def truncated(values: np.ndarray) -> np.ndarray:
    """Return weights as ap_fixed<12,5> holds the seven decimals that hls4ml writes."""
    return np.floor(np.round(values.astype(np.float64), 7) * 2.0**FRACTIONAL).astype(int)


def check_layer(layer: LayerOperations, weights: list[np.ndarray], positions: int = 1) -> None:
    kernel, bias = (truncated(weight) for weight in weights)
    kernel = kernel.reshape(-1, kernel.shape[-1])
    found = layer.totals()
    wanted = expected_products(kernel, positions)
    assert {name: found[name] for name in wanted} == wanted, layer.name
    assert found["additions"] == expected_additions(kernel, bias, positions), layer.name


def snapshot(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


CASES: list[tuple[str, str, str, int]] = [
    ("Vitis", "io_parallel", "Latency", 1),
    ("Vivado", "io_parallel", "Resource", 4),
    ("Vitis", "io_stream", "Latency", 1),
    ("Vivado", "io_stream", "Resource", 4),
]


@pytest.mark.parametrize(("backend", "io_type", "strategy", "reuse"), CASES)
def test_counts_of_a_pruned_network(tmp_path: Path, backend: str, io_type: str, strategy: str, reuse: int) -> None:
    layers = stack().keras.layers
    model = convert_plain(
        tmp_path / "p",
        [layers.Dense(8, activation="relu", name="a"), layers.Dense(4, activation="relu", name="b"), layers.Dense(3, name="c"),
         layers.Activation("softmax", name="s")],
        (16,), backend=backend, io_type=io_type, strategy=strategy, reuse=reuse,
    )  # fmt: skip
    before = snapshot(tmp_path / "p")
    found = count_operations(tmp_path / "p")
    assert (found.counted, found.reason, found.remarks) == ("C-simulation", "", ())
    assert found.inputs == "3 full-range random events (seed 0)"
    assert snapshot(tmp_path / "p") == before
    layer = {one.name: one for one in found.layers}
    for name in "abc":
        weights = model.get_layer(name).get_weights()
        check_layer(layer[name], weights)
        kernel = truncated(weights[0])
        odd = expected_products(kernel)
        instances = odd["multiplications_general"] if reuse == 1 else -(-kernel.size // reuse)
        assert layer[name].multipliers == instances
    assert found.totals()["ebops"] == sum(one.ebops for one in found.layers)
    relu, softmax = layer["a_relu"], layer["s"].totals()
    assert (relu.totals()["comparisons"], relu.totals()["multiplications"]) == (8, 0)
    assert [(one.a, one.b, one.count) for one in relu.operations if one.kind == "cast"] == [
        (layer["a"].operations[-1].b, BITS, 8)
    ]
    # stable softmax: the largest of 3 by 2 comparisons, 3 differences, a sum of 3 exponentials, 3 products of two variables
    assert (softmax["comparisons"], softmax["multiplications_variable"], softmax["multiplications"]) == (2, 3, 3)
    assert softmax["additions"] == 3 + 2


@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
def test_counts_of_convolutions_per_inference(tmp_path: Path, io_type: str) -> None:
    layers = stack().keras.layers
    model = convert_plain(
        tmp_path / "p",
        [layers.Conv2D(3, (2, 3), name="c2"), layers.Reshape((12, 3)), layers.Conv1D(2, 4, name="c1"), layers.Flatten(),
         layers.Dense(2, name="fc")],
        (5, 5, 2), io_type=io_type,
    )  # fmt: skip
    found = {layer.name: layer for layer in count_operations(tmp_path / "p").layers}
    for name, positions in (("c2", 12), ("c1", 9)):
        kernel, bias = model.get_layer(name).get_weights()
        wide = found[name].totals()
        matrix = truncated(kernel).reshape(-1, kernel.shape[-1])
        x_bits = max(one.a for one in found[name].operations if one.kind == "multiplication") - 1
        wanted = expected_products(matrix, positions, x_bits)
        assert {key: wide[key] for key in wanted} == wanted, name
        assert wide["additions"] == expected_additions(matrix, truncated(bias), positions), name
        assert found[name].applications == positions
        one = expected_products(matrix)["multiplications_general"]
        assert found[name].multipliers == one
        different = {abs(int(value)) for value in matrix.ravel() if abs(int(value)) & (abs(int(value)) - 1)}
        assert len(different) <= wide["distinct_constants"] <= one
    assert found["c2"].iterations == (25 if io_type == "io_stream" else 12)


def test_casts_with_rounding_and_saturation(tmp_path: Path) -> None:
    bits = "quantized_bits({})".format
    plan = {"fc1": (bits("6,1"), bits("6,1"), "quantized_relu(5,2)"), "output": (bits("4,0"), bits("8,2"), None)}
    project = convert(mlp(plan, 6, [5, 3], sparsity=0.5), Precision.parse(bits("10,3")), tmp_path / "p", Firmware())
    layers = read_project(project.directory).layers
    rng = np.random.default_rng(0)
    found = count_operations(project.directory, rng.normal(size=(9, 6)))
    assert found.inputs == "2 events of the given inputs, 1 full-range random (seed 0)"
    relu, source = found.layers[1], layers[1].inputs
    target = layers[1].result
    assert source is not None
    assert target == HLSType(False, 5, 2, "AP_RND_CONV", "AP_SAT")
    casts = [one for one in relu.operations if one.kind == "cast"]
    assert [(one.a, one.b, one.rounded, one.saturated, one.count) for one in casts] == [
        (source.bits, 5, source.fractional - 3, source.integer - 1 - 2 + 1, 5)
    ]
    totals = relu.totals()
    assert (totals["casts_rounding"], totals["casts_saturating"]) == (5, 5)
    again = count_operations(project.directory, [np.zeros((1, 6))], seed=5)
    assert again.layers == found.layers  # nothing depends on which inputs are given


def test_units_that_are_always_off_are_no_constants(tmp_path: Path) -> None:
    layers = stack().keras.layers
    model = convert_plain(
        tmp_path / "p", [layers.Dense(4, activation="relu", name="a"), layers.Dense(3, name="b")], (4,), zeros=0.0
    )
    source = tmp_path / "p/firmware/weights/b2.h"
    source.write_text(source.read_text().split("{")[0] + "{-15, -15, -15, -15};\n#endif\n#endif\n")  # every unit is off
    found = count_operations(tmp_path / "p", np.zeros((3, 4)))
    kernel = truncated(model.get_layer("b").get_weights()[0])
    wanted = expected_products(kernel)
    assert wanted["multiplications_general"] > 6
    layer = found.layers[2].totals()
    assert {key: layer[key] for key in wanted} == wanted


def test_products_of_two_variables(tmp_path: Path) -> None:
    layers = stack().keras.layers
    network = [layers.LSTM(2, name="l"), layers.Dense(2, activation="tanh", name="d")]
    convert_plain(tmp_path / "p", network, (3, 2), backend="Vivado")
    found = count_operations(tmp_path / "p")
    assert found.counted == "C-simulation"
    lstm = found.layers[0].totals()
    # per step and unit: forget · state, input · new, output · tanh(state); at the first step the state is a constant zero
    assert lstm["multiplications_variable"] == 3 * 2 * 3 - 2


def test_project_of_2018_is_counted(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    first, second = (np.round(rng.normal(size=shape) * 20) / 64 for shape in ((5, 4), (4, 2)))
    bias = np.array([0.25, 0.0, -0.5, 1.0])
    oldest(tmp_path / "old", first, bias, second)
    found = count_operations(tmp_path / "old")
    assert (found.counted, found.reason) == ("C-simulation", "")
    for layer, kernel, offset, x_bits in ((found.layers[0], first, bias, 9), (found.layers[2], second, np.zeros(2), 8)):
        wanted = expected_products(np.rint(kernel * 64), 1, x_bits)
        assert {key: layer.totals()[key] for key in wanted} == wanted
        assert layer.totals()["additions"] == expected_additions(kernel, offset)


def broken(directory: Path, **changes: str) -> Path:
    """Write the project of 2018 with files changed, or taken away where the text is empty."""
    first = np.arange(20).reshape(5, 4) / 32 - 0.25
    oldest(directory, first, np.ones(4), first[:4, :2])
    for name, text in changes.items():
        if text:
            (directory / name).write_text(text)
        else:
            (directory / name).unlink()
    return directory


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"firmware/nnet_utils/nnet_common.h": ""}, "nnet_utils with nnet_common.h is missing"),
        ({"firmware/nnet_utils/nnet_layer.h": "#pragma once\n"}, "g\\+\\+ failed: .*error"),
    ],
)
def test_what_cannot_be_compiled_is_counted_from_weights_and_types(
    tmp_path: Path, changes: Mapping[str, str], reason: str
) -> None:
    whole = count_operations(broken(tmp_path / "whole"))
    found = count_operations(broken(tmp_path / "broken", **changes))
    assert whole.counted == "C-simulation"
    assert found.counted == "weights and types"
    assert re.search(reason, found.reason), found.reason
    for one, other in zip(found.layers, whole.layers, strict=True):
        static, compiled = one.totals(), other.totals()
        for name in static:
            if name != "casts":  # the sums of the accumulation are cast too, which costs nothing
                assert static[name] == compiled[name], (one.name, name)


def test_no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = broken(tmp_path / "p")
    monkeypatch.setenv("PATH", str(tmp_path))
    found = count_operations(directory)
    assert found.counted == "weights and types"
    assert "g++ is missing" in found.reason
    assert found.totals()["multiplications"] == 28


def test_layers_that_weights_do_not_tell_are_named(tmp_path: Path) -> None:
    layers = stack().keras.layers
    convert_plain(tmp_path / "p", [layers.Dense(3, name="a"), layers.Softmax(name="s")], (4,))
    found = count_operations(tmp_path / "p")  # hls4ml 1.3 calls softmax_config… and writes Softmax_config…
    assert found.counted == "weights and types"
    assert "softmax_config" in found.reason
    assert found.remarks == ("not counted, their operations are not seen in weights and types: s (nnet::softmax)",)


def test_time_out_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = broken(tmp_path / "p")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    found = count_operations(directory, timeout=0.01)
    assert "g++ has not finished after 0 s" in found.reason
    assert list((tmp_path / "tmp").iterdir()) == []
    count_operations(directory)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_interrupt_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    directory = broken(tmp_path / "p")
    monkeypatch.setattr(instrument, "run_command", interrupt)
    with pytest.raises(KeyboardInterrupt):
        count_operations(directory)
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 4)), r"expected data \(events, 5\), received \(2, 4\)"),
        ([np.zeros((2, 5)), np.zeros((2, 5))], r"received \(2, 5\), \(2, 5\)"),
        (np.full((1, 5), np.nan), "neither NaN nor infinity"),
        (np.zeros((0, 5)), "expected"),
    ],
)
def test_inputs_that_do_not_fit(tmp_path: Path, x: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        count_operations(broken(tmp_path / "p"), x)


def test_events_of_the_test_bench_are_named(tmp_path: Path) -> None:
    directory = broken(tmp_path / "p")
    (directory / "tb_data").mkdir()
    (directory / "tb_data/tb_input_features.dat").write_text("1 2 3 4 5\n0.5 0 0 0 0\n")
    assert count_operations(directory).inputs == "2 events of tb_data/tb_input_features.dat, 1 full-range random (seed 0)"
    (directory / "tb_data/tb_input_features.dat").write_text("1 2 3\n")
    assert "does not fit the inputs" in count_operations(directory).inputs


def test_plain_form(tmp_path: Path) -> None:
    values = json.loads(json.dumps(count_operations(broken(tmp_path / "p")).to_dict()))
    assert values["counted"] == "C-simulation"
    assert values["totals"]["multiplications"] == sum(layer["totals"]["multiplications"] for layer in values["layers"]) == 28
    kinds = {one["kind"] for layer in values["layers"] for one in layer["operations"]}
    assert kinds == {"multiplication", "addition", "comparison", "cast"}


def test_both_sides_of_a_branch_are_put_together() -> None:
    def row(kind: str, what: str, count: int, rounded: int = 0) -> Row:
        return Row(0, kind, what, 8, 4, rounded, 0, count, 0.0, 0.0)

    rows = merge(
        {
            "taken": [row("=", "variable", 6, 2), row("*", "general", 3), row("*", "variable", 1)],
            "not_taken": [row("=", "variable", 2, 2), row("=", "variable", 5), row("*", "general", 2)],
        }
    )
    assert set(rows) == {
        row("=", "variable", 6, 2), row("=", "variable", 5), row("*", "general", 3), row("*", "variable", 1),
    }  # fmt: skip


@given(
    st.floats(-40, 40), st.booleans(), st.integers(2, 12), st.integers(-3, 14), st.sampled_from(ROUNDINGS),
    st.sampled_from([mode for mode in OVERFLOWS if mode != "AP_WRAP_SM"]),
)  # fmt: skip
def test_fixed_holds_a_number_as_the_type_does(
    value: float, signed: bool, bits: int, integer: int, rounding: str, overflow: str
) -> None:
    kind = HLSType(signed, bits, integer, rounding, overflow)
    exact = Fraction(value) * Fraction(2) ** kind.fractional
    half = Fraction(1, 2)
    whole = {
        "AP_TRN": floor(exact), "AP_TRN_ZERO": int(exact), "AP_RND": floor(exact + half), "AP_RND_CONV": round(exact),
        "AP_RND_MIN_INF": ceil(exact - half), "AP_RND_INF": floor(exact + half) if exact >= 0 else ceil(exact - half),
        "AP_RND_ZERO": ceil(exact - half) if exact >= 0 else floor(exact + half),
    }[rounding]  # fmt: skip
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    outside = not low <= whole <= high
    if overflow == "AP_WRAP":
        whole = (whole - low) % 2**bits + low
    elif overflow == "AP_SAT_ZERO":
        whole = 0 if outside else whole
    else:
        whole = min(max(whole, low + (overflow == "AP_SAT_SYM" and signed)), high)
    assert int(fixed(np.array([value]), kind)[0]) == whole


def test_headers_are_lent_to_a_project_without_them(tmp_path: Path) -> None:
    layers = stack().keras.layers
    network = [layers.Dense(3, activation="relu", name="a")]
    convert_plain(tmp_path / "p", network, (4,))
    whole = count_operations(tmp_path / "p")
    for name in ("nnet_utils", "ap_types"):
        shutil.rmtree(tmp_path / "p/firmware" / name)
    found = count_operations(tmp_path / "p")
    assert (found.counted, found.layers) == ("C-simulation", whole.layers)
    assert found.remarks == ("nnet_utils of the installed hls4ml, the project has none",)
