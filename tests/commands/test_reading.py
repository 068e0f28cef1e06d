"""What a command shows while it reads files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qap.__main__ import main
from qap.commands import reading
from qap.commands.reading import ReadingView
from qap.datasets.files import Reading, read_table

from ..datasets.test_files import Data, events, save_root


def test_a_line_now_and_then_says_how_much_is_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([0.0, 5.0, 12.0, 15.0, 30.0])
    monkeypatch.setattr(reading.time, "monotonic", lambda: next(clock))
    with ReadingView(quiet=False) as view:
        for share in (0.1, 0.2, 0.3, 1.0):
            view.update(Reading("[a].root", share, int(1e6 * share)))
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["reading [a].root: 20%, 200,000 events, about 48 s left", "reading [a].root: 100%, 1,000,000 events"]


def test_quiet_says_nothing_and_small_files_are_read_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_root(tmp_path / "e.root", events())
    for quiet in (True, False):
        with ReadingView(quiet=quiet) as view:
            read_table(Data(name="e.root", label="cls"), tmp_path, view.update)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("verb", ["search", "compare"])
def test_data_that_cannot_be_used_writes_nothing(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_root(tmp_path / "e.root", events())
    study = tmp_path / "study.yaml"
    study.write_text("data: {name: e.root, label: cls, columns: [jet_pt, jet_phi]}\nfirmware: {build: false}\n")
    assert main([verb, str(study), "--output", str(tmp_path / "out")]) == 2
    assert re.search(r"e\.root: no column 'jet_phi' \(did you mean 'jet_pt'\?\)$", capsys.readouterr().err.strip())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.root", "study.yaml"]
