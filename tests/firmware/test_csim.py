"""Building and running: missing and failing compilers, time-outs, parallel builds, stale libraries."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qap.errors import QapError, ToolMissingError
from qap.firmware import Comparison, Project, build, build_all, convert, simulate, trace
from qap.firmware.csim import library

from .helpers import P, grid, mlp

LAYER = ("quantized_bits(4,0)", "quantized_bits(4,0)", "quantized_relu(4,1)")


def _project(folder: Path, seed: int = 0) -> tuple[Any, Project]:
    model = mlp({"fc1": LAYER, "output": (*LAYER[:2], None)}, 3, [4, 2], seed=seed)
    return model, convert(model, P("quantized_bits(6,2)"), folder)


def test_without_gxx_one_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, project = _project(tmp_path / "project")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match=r"g\+\+ is missing: .*apt install g\+\+"):
        build(project)
    with pytest.raises(ToolMissingError, match=r"g\+\+ is missing"):
        build_all([project, project])


def test_a_failing_build_gives_the_first_error(tmp_path: Path) -> None:
    _, project = _project(tmp_path / "project")
    source = project.directory / "firmware/qap.cpp"
    source.write_text(source.read_text() + "\nint broken = undeclared_name;\n")
    with pytest.raises(QapError, match=r"g\+\+ failed: .*undeclared_name") as caught:
        build(project)
    assert len(str(caught.value).splitlines()) == 1
    assert not list((project.directory / "firmware").glob("*.so"))


def test_an_assertion_in_the_firmware_does_not_end_the_process(tmp_path: Path) -> None:
    _, project = _project(tmp_path / "project")
    source = project.directory / "firmware/qap.cpp"
    text = source.read_text().replace("#include <iostream>", "#include <iostream>\n#include <cassert>", 1)
    source.write_text(text.replace("    nnet::dense", '    assert("not supported" && false);\n    nnet::dense', 1))
    with pytest.raises(QapError, match="ends at its first event: .not supported. && false"):
        build(project)
    with pytest.raises(QapError, match="not built"):
        simulate(project, np.zeros((1, 3)))


def test_a_hanging_build_is_stopped(tmp_path: Path) -> None:
    _, project = _project(tmp_path / "project")
    start = time.monotonic()
    with pytest.raises(QapError, match="g\\+\\+ has not finished after 0 s"):
        build(project, timeout=0.05)
    assert time.monotonic() - start < 5


def test_builds_run_together_and_one_failure_spoils_no_other(tmp_path: Path) -> None:
    (model, good), (_, bad) = (_project(tmp_path / name) for name in ("good", "bad"))
    (bad.directory / "firmware/qap.cpp").write_text("#error broken on purpose\n")
    seen: list[Project] = []
    results = build_all([bad, good], jobs=2, done=lambda project, _: seen.append(project))
    assert isinstance(results[0], QapError)
    assert "broken on purpose" in str(results[0])
    assert results[1] == library(good)
    assert set(map(id, seen)) == {id(good), id(bad)}
    x = grid("quantized_bits(6,2)", (3,), 50)
    assert np.array_equal(simulate(good, x), model.predict(x, verbose=0))


def test_optimisation_does_not_change_a_bit_and_builds_are_kept(tmp_path: Path) -> None:
    _, project = _project(tmp_path / "project")
    x = grid("quantized_bits(6,2)", (3,), 500)
    paths = {option: build(project, optimise=option) for option in ("-O0", "-O2")}
    assert len(set(paths.values())) == 2
    assert np.array_equal(simulate(project, x, optimise="-O0"), simulate(project, x, optimise="-O2"))
    before = paths["-O2"].stat().st_mtime_ns
    assert build(project, optimise="-O2").stat().st_mtime_ns == before


def test_trace_gives_every_layer_and_moves_with_the_directory(
    tmp_path: Path, proven: Callable[..., tuple[Project, Comparison]]
) -> None:
    model = mlp({"fc1": LAYER, "output": (*LAYER[:2], None)}, 3, [4, 2])
    x = grid("quantized_bits(6,2)", (3,), 20)
    project, comparison = proven(model, "quantized_bits(6,2)", x)
    moved = project.directory.rename(tmp_path / "elsewhere")
    traced = trace(Project.load(moved), x)
    assert {name: values.shape for name, values in traced.items()} == {
        "fc1": (20, 4), "relu1": (20, 4), "output": (20, 2)
    }  # fmt: skip
    assert np.array_equal(traced["output"], comparison.logits)
    assert np.array_equal(np.maximum(traced["fc1"], 0) > 0, traced["fc1"] > 0)
