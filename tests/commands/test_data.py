"""``qap data build`` as a user meets it: the file, the printed line, wrong input, libraries that are missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qap.__main__ import main
from qap.commands import data as module
from qap.datasets.generator import libraries

from ..datasets.generator.helpers import install_dice, need_generator


@pytest.fixture
def dice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind of data that needs no library."""
    install_dice(monkeypatch)


def _fails(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 2) -> str:
    assert main(["data", *map(str, arguments)]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("qap data: ")
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


def test_a_file_and_a_line(dice: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "dice.npz"
    arguments = ["data", "build", "dice", "n=5", "--output", str(path), "seed=3", "--processes", "1"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(f"{path}: 5 throws, 5 of them made in ")
    assert (captured.out.count("\n"), captured.err) == (1, "")
    with np.load(path) as file:
        assert file["features"].shape == (5, 2)
    assert main(arguments) == 0
    assert "is there already, 5 throws, made with the same options" in capsys.readouterr().out
    assert main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.pop("seconds") >= 0
    assert found == {"file": str(path), "kind": "dice", "events": 5, "made": 0}


@pytest.mark.slow
def test_jets_in_processes_of_their_own(tmp_path: Path) -> None:
    """The command as it is installed: workers are started afresh, and nothing but the line is printed."""
    need_generator()
    arguments = ["data", "build", "jets", "n=6", "--output", "jets.npz", "--processes", "2"]
    done = subprocess.run([sys.executable, "-m", "qap", *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")
    assert [path.name for path in tmp_path.iterdir()] == ["jets.npz"]


def test_ctrl_c_keeps_the_parts(
    dice: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(self: object, done: int, kept: int) -> None:
        if done:
            raise KeyboardInterrupt

    arguments = ["data", "build", "dice", "n=5", "--output", str(tmp_path / "dice.npz"), "--processes", "1"]
    with monkeypatch.context() as patch:
        patch.setattr(module._Progress, "show", stop)
        assert main(arguments) == 1
    assert capsys.readouterr().err == "qap data: stopped; the same command goes on from the parts that are done\n"
    assert main(arguments) == 0
    assert "5 throws, 2 of them made" in capsys.readouterr().out


def test_wrong_input_is_one_sentence_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = ["--output", tmp_path / "jets.npz"]
    assert "n: expected greater than or equal to 1, received 0" in _fails(capsys, "build", "jets", "n=0", *output)
    assert "expected at least 5" in _fails(capsys, "build", "jets", "n=4", *output)
    assert "(did you mean 'jets'?)" in _fails(capsys, "build", "jet", "n=5", *output)
    assert "expected build, received 'make'" in _fails(capsys, "make", "jets", *output)
    assert "unknown option sed (did you mean 'seed'?)" in _fails(capsys, "build", "jets", "sed=1", *output)
    assert "unknown option sed" in _fails(capsys, "build", "jets", *output, "sed=1")
    assert "expected the name of a file .npz" in _fails(capsys, "build", "jets", "--output", tmp_path)
    assert "does not exist" in _fails(capsys, "build", "jets", "--output", tmp_path / "none" / "jets.npz")
    for count in ("0", "two", "-1", "1.5", "9999"):
        with pytest.raises(SystemExit, match="2"):
            main(["data", "build", "jets", *map(str, output), f"--processes={count}"])
        assert f"--processes: expected 1 to 1024, received {count}\n" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_something_else_stays(dice: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content in (("text.npz", b"mine"), ("empty.npz", b"")):
        path = tmp_path / name
        path.write_bytes(content)
        assert "is there already and was made otherwise" in _fails(capsys, "build", "dice", "n=5", "--output", path)
        assert path.read_bytes() == content
    np.savez(tmp_path / "other.npz", features=np.ones(3))
    assert "was made otherwise" in _fails(capsys, "build", "dice", "n=5", "--output", tmp_path / "other.npz")


@pytest.mark.parametrize("missing", libraries.EXTRA)
def test_a_missing_library_is_named_with_the_extra(
    missing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in libraries.EXTRA:
        if name != missing and name not in sys.modules:
            need_generator()
    monkeypatch.setitem(sys.modules, missing, None)
    libraries.library.cache_clear()
    said = _fails(capsys, "build", "jets", "n=5", "--output", tmp_path / "jets.npz", code=3)
    libraries.library.cache_clear()
    assert said == f"qap data: the generator needs {missing}: pip install 'qap[generator]'\n"
    assert not list(tmp_path.iterdir())


def test_a_folder_without_permission(dice: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The parts' place is taken by a file: as unwritable as a folder that belongs to somebody else."""
    (tmp_path / "jets.npz.parts").write_text("in the way")
    assert "jets.npz.parts: cannot be written" in _fails(capsys, "build", "dice", "n=5", "--output", tmp_path / "jets.npz")
