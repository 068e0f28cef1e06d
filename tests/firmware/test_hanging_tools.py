"""Tools that hang, alone or by a child that holds their output, stop nothing: they end in time with all that they started."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

from qap.cost.instrument import NotCountedError
from qap.cost.instrument import _run as count_operations
from qap.errors import QapError
from qap.firmware import csim, emulator
from qap.firmware.csim import build, build_all
from qap.firmware.project import Port, Project
from qap.rtl import synthesis
from qap.rtl.design import Design, Wire
from qap.rtl.simulate import build_simulation
from qap.rtl.tools import Verilator

from ..interrupts import ended, interrupted, sleeper

SECONDS = 0.4
HOLDS = "the child holds the pipe"


def _tool(folder: Path, name: str, how: str, pids: Path) -> Path:
    """Write a stand-in that sleeps, or that ends at once and leaves a child that sleeps and holds its output."""
    path = folder / name
    folder.mkdir(exist_ok=True)
    if how == HOLDS:
        text = f'sleep 600 &\necho $$ $! >> "{pids}"\nexit 0'
    else:
        text = f'trap "" TERM\nsleep 600 &\necho $$ $! >> "{pids}"\nwait'
    path.write_text(f'#!/bin/sh\ncase "$*" in *fsyntax-only*) [ -e "{folder}/probe" ] || exit 0;; esac\n{text}\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    return tmp_path / "pids"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    yield folder
    csim._compiler.cache_clear()


def _project(folder: Path) -> Project:
    (folder / "firmware").mkdir(parents=True)
    (folder / "firmware" / "qap.cpp").write_text("int x;\n")
    (folder / "qap_bridge.cpp").write_text("int y;\n")
    port = Port("x", (2,), "ap_fixed<4,2>", "quantized_bits(4,1)")
    return Project(folder, "qap", (port,), (port,), {}, {}, {})


def _design(folder: Path) -> Design:
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "top.v").write_text("module top(); endmodule\n")
    wire = Wire(True, 1, 2)
    return Design(folder, "top", (1,), (1,), (wire,), (wire,), 1, 4, 1.0, 1, (1,))


def _in_time(call: Callable[[], object], message: str, pids: Path) -> None:
    start = time.monotonic()
    with pytest.raises((QapError, NotCountedError), match=message) as stop:
        call()
    assert time.monotonic() - start < 5
    assert len(str(stop.value).splitlines()) == 1
    ended(pids)


BOTH = pytest.mark.parametrize("how", ["it sleeps", HOLDS])


@BOTH
def test_a_hanging_compiler(how: str, tools: Path, tmp_path: Path, pids: Path) -> None:
    _tool(tools, "g++", how, pids)
    project = _project(tmp_path / "project")
    _in_time(lambda: build(project, timeout=SECONDS), r"project: g\+\+ has not finished after 0 s: .*: use Resource", pids)
    assert sorted(path.name for path in project.directory.iterdir()) == ["firmware", "qap_bridge.cpp"], "nothing half built"


def test_one_hanging_build_spoils_no_other_and_ctrl_c_ends_it(tools: Path, tmp_path: Path, pids: Path) -> None:
    _tool(tools, "g++", "it sleeps", pids)
    projects = [_project(tmp_path / name) for name in ("a", "b")]
    found = build_all(projects, timeout=SECONDS, jobs=2)
    assert all(isinstance(one, QapError) and "has not finished" in str(one) for one in found)
    ended(pids)
    pids.unlink()
    interrupted(lambda: build_all(projects, timeout=60, jobs=2), pids)


def test_a_compiler_that_does_not_read_an_empty_file(
    tools: Path, tmp_path: Path, pids: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _tool(tools, "g++", "it sleeps", pids)
    (tools / "probe").touch()
    monkeypatch.setattr(csim, "PROBE", SECONDS)
    _in_time(csim.require_compiler, r"g\+\+ has not read an empty file after 0 s: it hangs; put another g\+\+", pids)


@BOTH
def test_a_hanging_make(how: str, tools: Path, tmp_path: Path, pids: Path) -> None:
    _tool(tools, "make", how, pids)
    _in_time(lambda: emulator._build(tmp_path, SECONDS), "make and g.. have not finished after 0.4 s: .* use Resource", pids)


@BOTH
def test_a_hanging_verilator(how: str, tools: Path, tmp_path: Path, pids: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = Verilator(_tool(tools, "verilator_bin", how, pids), tmp_path)
    simulate = import_module("qap.rtl.simulate")  # the package has a function of that name
    monkeypatch.setattr(simulate, "verilator", lambda: tool)
    monkeypatch.setattr(simulate, "_runtime", lambda *given: tmp_path)
    design = _design(tmp_path / "design")
    message = r"design: the simulation of the RTL is not built after 0 s: .*\(Verilator was stopped\): use fewer weights"
    _in_time(lambda: build_simulation(design, timeout=SECONDS), message, pids)
    assert not list((design.directory / "simulation").iterdir())


def test_a_hanging_yosys(tmp_path: Path, pids: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthesis, "_RUN", sleeper(pids))
    monkeypatch.setattr(synthesis, "require_yosys", lambda: None)
    design = _design(tmp_path / "design")
    message = "design: Yosys has not finished after 1 s: .*: raise firmware.synthesis_seconds"
    _in_time(lambda: synthesis.synthesise(design, timeout=1.2), message, pids)
    assert not list(design.directory.glob(".synthesis*"))


@BOTH
def test_a_hanging_count_of_operations(how: str, tools: Path, tmp_path: Path, pids: Path) -> None:
    tool = _tool(tools, "g++", how, pids)
    _in_time(lambda: count_operations([str(tool)], tmp_path, SECONDS, "g++"), r"g\+\+ has not finished after 0 s", pids)


def test_a_tool_that_ends_without_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are missing, or not what they should be."""
    monkeypatch.setattr(synthesis, "require_yosys", lambda: None)
    design = _design(tmp_path / "design")
    for script in ("", "import sys, pathlib; pathlib.Path(sys.argv[-1]).with_name('stat.json').write_text('[]')"):
        monkeypatch.setattr(synthesis, "_RUN", script)
        with pytest.raises(QapError, match="what Yosys wrote of the RTL cannot be read"):
            synthesis.synthesise(design)
