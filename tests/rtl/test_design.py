"""Designs on disk: complete or not there, loaded as written, pipelined as asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("da4ml")

from qap.errors import InputError
from qap.precision import Precision
from qap.rtl import Design, load_design, write_design
from qap.rtl.trace import da4ml_cost
from tests.firmware.helpers import mlp

INPUT = Precision(6, 2)
PLAN = {
    "fc1": ("quantized_bits(4,0)", "quantized_bits(6,1)", "quantized_relu(4,1)"),
    "output": ("quantized_bits(4,0)", "quantized_bits(6,1)", None),
}


def small(seed: int = 0) -> object:
    return mlp(PLAN, 5, [6, 3], seed)


def test_a_design_is_loaded_as_it_was_written(tmp_path: Path) -> None:
    design = write_design(small(), INPUT, tmp_path / "design", name="tagger")
    assert load_design(tmp_path / "design") == design
    assert design.initiation_interval == 1
    assert [wire.bits for wire in design.inputs] == [6] * 5
    assert str(design.inputs[0]) == "ap_fixed<6,3>"
    assert design.output_shape == (3,)
    assert design.cost == da4ml_cost(small(), INPUT) > 0
    assert f"Latency: {design.stages} clock cycles" in (tmp_path / "design" / "README.md").read_text()
    assert {path.name for path in design.sources} >= {"tagger.v", "tagger_stage0.v", "shift_adder.v"}
    assert not any("lookup" in path.name or "wrapper" in path.name for path in design.sources)
    assert not list(tmp_path.glob(".design*")), "a temporary folder is left"


@pytest.mark.parametrize("adders", [1, 2, 5, 100])
def test_stages_are_no_deeper_than_asked(tmp_path: Path, adders: int) -> None:
    design = write_design(small(), INPUT, tmp_path / "design", adders_per_stage=adders)
    assert design.stages == len(design.stage_depths) == -(-design.depth // adders)
    assert 0 < max(design.stage_depths) <= adders
    assert sum(design.stage_depths) >= design.depth
    registers = {path.stem for path in design.sources if "_stage" in path.stem}
    assert len(registers) == design.stages


def test_more_stages_hold_more_register_bits(tmp_path: Path) -> None:
    bits = [write_design(small(), INPUT, tmp_path / str(n), adders_per_stage=n).register_bits for n in (1, 3, 100)]
    assert bits[0] > bits[1] > bits[2]
    design = load_design(tmp_path / "100")
    ports = sum(wire.bits for wire in (*design.inputs, *design.outputs))
    assert (design.stages, design.register_bits) == (1, ports)


def test_a_design_takes_the_place_of_a_design_only(tmp_path: Path) -> None:
    first = write_design(small(), INPUT, tmp_path / "design")
    second = write_design(small(1), INPUT, tmp_path / "design")
    assert first.stamp() == second.stamp() == load_design(tmp_path / "design").stamp(), "the stamp is that of the files there"
    assert first != second
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.tex").touch()
    with pytest.raises(InputError, match="papers: holds other files than a design"):
        write_design(small(), INPUT, tmp_path / "papers")
    assert (tmp_path / "papers" / "thesis.tex").exists()


def test_a_failed_write_leaves_the_old_design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    design = write_design(small(), INPUT, tmp_path / "design")
    monkeypatch.setattr("qap.rtl.design._readme", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_design(small(1), INPUT, tmp_path / "design")
    assert load_design(tmp_path / "design") == design
    assert not list(tmp_path.glob(".design*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "1st"}, "name: expected a Verilog identifier, received '1st'"),
        ({"adders_per_stage": 0}, "adders_per_stage: expected a number from 1, received 0"),
        ({"adders_per_stage": 2.5}, "adders_per_stage: expected a number from 1, received 2.5"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_design(small(), INPUT, tmp_path / "design", **options)  # type: ignore[arg-type]


def test_what_is_no_design_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no RTL design: expected design.json"):
        load_design(tmp_path)
    (tmp_path / "design.json").write_text("{")
    with pytest.raises(InputError, match="design.json: not a readable design"):
        load_design(tmp_path)
    design: Design = write_design(small(), INPUT, tmp_path / "d")
    (tmp_path / "d" / "design.json").write_text(json.dumps({**design.to_dict(), "colour": "red"}))
    with pytest.raises(InputError, match="not a readable design"):
        load_design(tmp_path / "d")
