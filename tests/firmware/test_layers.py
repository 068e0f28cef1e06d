"""The layer table: build, QAP, save, reload, prepare, convert, C-simulate, compare, for each case."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from qap.config.schema import Firmware

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def _load(name: str) -> ModuleType:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


cases, table = _load("layer_cases"), _load("layer_table")

REFUSED = {
    "alpha_auto": "no powers of two",
    "qrelu_dense_float": "no quantizer",
    "qlstm": "QLSTM is not converted",
    "qgru": "QKeras does not build or save it",
    "qsimplernn": "QKeras does not build or save it",
    "convtranspose": "QKeras does not build or save it",
}
BOUNDED = {"softmax": 0.005, "act_tanh_real": 0.25, "act_sigm_real": 0.25}
"""Largest difference of the output that the tables may make."""

QUICK = [
    ("mlp_3bit", "Vivado", "io_stream", "Resource"),
    ("cnn_bn", "Vitis", "io_parallel", "Resource"),
    ("cnn_qconvbn", "Vivado", "io_stream", "Latency"),
    ("sepconv1d", "Vitis", "io_parallel", "Latency"),
    ("residual", "Vitis", "io_stream", "Latency"),
    ("deepsets_dense3d", "Vivado", "io_parallel", "Latency"),
    ("deepsets_gap10", "Vitis", "io_parallel", "Latency"),
    ("avgpool", "Vivado", "io_parallel", "Resource"),
    ("ternary_tanh_act", "Vivado", "io_parallel", "Latency"),
    ("act_leaky", "Vitis", "io_stream", "Resource"),
    ("alpha_po2_kb", "Vitis", "io_parallel", "Latency"),
    ("shared_layer", "Vivado", "io_parallel", "Resource"),
    ("two_inputs", "Vitis", "io_parallel", "Latency"),
]
"""Pairs of layer family, backend, io type and strategy, each pair of the last three at least once."""


def check(name: str, backend: str, io_type: str, strategy: str, folder: Path) -> None:
    row = table.measure(cases.CASES[name], Firmware(Backend=backend, IOType=io_type, Strategy=strategy, ReuseFactor=1), folder)
    if name in REFUSED:
        assert row.status == "refused", row
        assert REFUSED[name] in row.reason
    elif name in BOUNDED:
        assert row.status == "bounded", row
        assert row.max_difference <= BOUNDED[name]
        assert "table of" in row.reason or "tables of" in row.reason
    else:
        assert row.status == "exact", row
        assert row.events >= 500
        assert row.exact_fraction == 1


@pytest.mark.parametrize(("name", "backend", "io_type", "strategy"), QUICK)
def test_pairwise_cases_are_exact(name: str, backend: str, io_type: str, strategy: str, tmp_path: Path) -> None:
    check(name, backend, io_type, strategy, tmp_path)


@pytest.mark.parametrize("name", ["alpha_auto", "qrelu_dense_float", "qlstm"])
def test_what_cannot_be_exact_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    check(name, "Vitis", "io_parallel", "Latency", tmp_path)


def test_a_strategy_that_the_firmware_asserts_against_is_refused(tmp_path: Path) -> None:
    row = table.measure(cases.CASES["depthwise"], Firmware(Strategy="Resource"), tmp_path)
    assert row.status == "refused"
    assert "no Resource strategy for depthwise convolutions" in row.reason


def test_a_table_is_refused_unless_it_is_accepted(tmp_path: Path) -> None:
    row = table.measure(cases.CASES["softmax"], Firmware(), tmp_path, accept=False)
    assert row.status == "refused"
    assert "softmax comes from a table" in row.reason
    assert "accept=['softmax']" in row.reason
    check("softmax", "Vitis", "io_parallel", "Latency", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("io_type", ["io_parallel", "io_stream"])
@pytest.mark.parametrize("backend", ["Vitis", "Vivado"])
@pytest.mark.parametrize("name", cases.CASES)
def test_every_case_on_every_backend(name: str, backend: str, io_type: str, tmp_path: Path) -> None:
    if io_type == "io_stream" and not cases.CASES[name].stream:
        pytest.skip("io_stream is part of the table for convolutions and residuals")
    check(name, backend, io_type, "Latency", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["Vitis", "Vivado"])
@pytest.mark.parametrize(
    ("name", "io_type"),
    [
        ("mlp_6bit", "io_parallel"),
        ("cnn_bn", "io_parallel"),
        ("cnn_bn", "io_stream"),
        ("deepsets_conv1d", "io_parallel"),
        ("autoenc", "io_parallel"),
        ("residual", "io_parallel"),
        ("two_inputs", "io_parallel"),
    ],
)
def test_ten_thousand_vectors(name: str, io_type: str, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "EVENTS", 10_000)
    row = table.measure(cases.CASES[name], Firmware(Backend=backend, IOType=io_type), tmp_path)
    assert row.status == "exact", row
    assert row.events >= 10_000
