"""``qap estimate`` as a user calls it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qap.__main__ import main
from qap.config.schema import Firmware
from qap.firmware import convert

from ..firmware.helpers import P, mlp

PLAN = {
    "fc1": ("quantized_bits(6,0)", "quantized_bits(8,1)", "quantized_relu(7,3)"),
    "output": ("quantized_bits(6,0)", "quantized_bits(8,1)", None),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("estimate") / "p"
    convert(mlp(PLAN, 8, [12, 4], seed=2, sparsity=0.4), P("quantized_bits(9,2)"), folder, Firmware())
    return folder


def _json(capsys: pytest.CaptureFixture[str], *arguments: Any) -> dict[str, Any]:
    assert main(["estimate", *map(str, arguments), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_json_has_every_figure_with_band_and_stage(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _json(capsys, project)
    for name in ("LUT", "FF", "DSP", "BRAM_18K", "latency_cycles", "II", "latency_ns", "latency_bx"):
        figure = found[name]
        assert figure["low"] <= figure["value"] <= figure["high"], name
        assert figure["stage"].startswith("csynth-equivalent"), name
    assert found["covered"] is False
    assert found["notes"]
    assert found["part"] == "xcvu13p"
    assert found["LUT"]["share"] == pytest.approx(found["LUT"]["value"] / 1_728_000, abs=1e-5)
    assert found["post_synthesis"]["LUT"]["value"] < found["LUT"]["value"]
    assert found["counted"]["counted"] == "C-simulation"
    assert found["counts"]["multiplications"] == 8 * 12 + 12 * 4
    assert sum(layer["ebops"] for layer in found["layers"]) == found["counts"]["ebops"]
    assert found["reports"] == {}


def test_part_clock_and_budget_are_the_users(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _json(capsys, project, "--part", "Z7020", "--clock", "4", "--tmux", "6", "--latency-budget", "10")
    assert (found["part"], found["clock_ns"]) == ("xc7z020", 4)
    assert found["timing"]["longest_II"] == 37  # 150 ns / 4 ns
    assert found["timing"]["kept"] == {"II": True, "latency_ns": False}
    assert found["latency_ns"]["value"] == pytest.approx(4 * found["latency_cycles"]["value"])


def test_inputs_of_every_kind(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).normal(0, 1, (20, 8))
    np.savez(tmp_path / "x.npz", features=x)
    np.save(tmp_path / "x.npy", x)
    np.savetxt(tmp_path / "x.dat", x)
    counts = [_json(capsys, project, "--inputs", tmp_path / name)["counts"] for name in ("x.npz", "x.npy", "x.dat")]
    assert counts[0] == counts[1] == counts[2]


def test_the_table_names_stage_layers_and_budget(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", str(project)]) == 0
    text = capsys.readouterr().out
    for words in ("csynth-equivalent", "fc1", "output", "total", "BRAM_18K", "bunch crossing", "of xcvu13p", "EBOPs"):
        assert words in text, text
    assert main(["estimate", str(project), "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def _fails(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    assert main(["estimate", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err


def test_wrong_projects_are_refused_in_a_line(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "expected an hls4ml project" in _fails(capsys, tmp_path / "nowhere")
    assert "expected the directory of an hls4ml project" in _fails(capsys)
    half = tmp_path / "half"
    shutil.copytree(project, half)
    (half / "firmware" / "parameters.h").unlink()
    assert "parameters.h" in _fails(capsys, half)
    other = tmp_path / "other"
    shutil.copytree(project, other)
    file = other / "project.tcl"
    file.write_text(file.read_text().replace('"vitis"', '"catapult"'))
    assert "catapult" in _fails(capsys, other).lower()


def test_wrong_options_are_refused_in_a_line(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--part: expected one of" in _fails(capsys, project, "--part", "stratix10")
    assert "no such file" in _fails(capsys, project, "--inputs", tmp_path / "none.npz")
    assert "--reports" in _fails(capsys, project, "--reports", tmp_path / "none.json")
    (tmp_path / "text.dat").write_text("one two\n")
    assert "expected .npz, .npy or a text of numbers" in _fails(capsys, project, "--inputs", tmp_path / "text.dat")
    np.save(tmp_path / "few.npy", np.zeros((3, 5)))
    assert "8" in _fails(capsys, project, "--inputs", tmp_path / "few.npy")
    for option in ("--clock", "--tmux", "--latency-budget"):
        with pytest.raises(SystemExit) as stop:
            main(["estimate", str(project), option, "0"])
        assert stop.value.code == 2


def test_reports_of_another_project_are_left_out_and_named(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    reports = copy / "qap_prj" / "solution1" / "syn" / "report"
    reports.mkdir(parents=True)
    (reports / "qap_csynth.xml").write_text("<profile><UserAssignments/></profile>\n")
    found = _json(capsys, copy)
    assert found["reports"] == {}
    assert any("reports are left out" in note and "qap_csynth.xml" in note for note in found["notes"]), found["notes"]
