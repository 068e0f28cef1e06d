"""Versions of a study's files: older ones are read and brought to the present one, newer ones refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qap.__main__ import main
from qap.errors import InputError
from qap.search.formats import FORMAT, UPGRADES, check_format, upgraded
from qap.search.record import CHECKSUM
from qap.search.run import run_search
from qap.search.study import INFO, LOG, STORE, Study
from qap.search.upkeep import mend

from .conftest import in_order, searching, small, stored_lines

NEW_IN_2 = "number", "epochs", "origin", "point", CHECKSUM


def _old(line: dict) -> dict:
    return {name: value for name, value in line.items() if name not in NEW_IN_2}


def _to_1(directory: Path) -> list[str]:
    """Write a study as qap wrote it with format 1, in the order of asking."""
    lines = [json.loads(line) for line in (directory / STORE).read_text().splitlines()]
    old = [json.dumps(_old(line)) for line in lines]
    (directory / STORE).write_text("".join(f"{line}\n" for line in old))
    info = json.loads((directory / INFO).read_text())
    (directory / INFO).write_text(json.dumps({**info, "format": 1}))
    return old


def test_there_is_a_way_from_every_format() -> None:
    assert sorted(UPGRADES) == list(range(1, FORMAT))


def test_a_study_of_format_1_is_read_as_it_is(copied: Path) -> None:
    before = list(Study.open(copied).records())
    text = _to_1(copied)
    study = Study.open(copied)
    assert study.format == 1
    found = list(study.records())
    assert [(one.candidate.id, one.rung, one.number) for one in found] == [
        (one.candidate.id, one.rung, one.number) for one in before
    ]
    assert all((one.epochs, one.origin, one.point) == (None, None, None) for one in found)
    assert (copied / STORE).read_text().splitlines() == text, "reading writes nothing"


def test_a_study_of_format_1_is_brought_to_the_present_one_and_goes_on(copied: Path, whole_search: Path, file: Path) -> None:
    old = _to_1(copied)
    study = Study.open(copied)
    mend(study)
    assert study.format == FORMAT
    assert (copied / "candidates.format1.jsonl").read_text().splitlines() == old
    assert [line["number"] for line in stored_lines(copied)] == list(range(8))
    assert [_old(line) for line in in_order(copied)] == [_old(line) for line in in_order(whole_search)]
    assert "study format 1 brought to 2" in (copied / LOG).read_text()
    text = (copied / STORE).read_bytes()
    mend(study)
    assert (copied / STORE).read_bytes() == text, "the second time there is nothing to do"
    (copied / STORE).write_text("".join(f"{line}\n" for line in (copied / STORE).read_text().splitlines()[:5]))
    run_search(small(file, "search.trials=8"), copied, resume=True)
    assert in_order(copied)[5:] == in_order(whole_search)[5:]
    assert [line["id"] for line in in_order(copied)] == [line["id"] for line in in_order(whole_search)]


@pytest.mark.parametrize(("version", "message"), [
    (FORMAT + 1, "update qap"), (99, "update qap"), (0, "or older, received 0"), (-1, "received -1"), (True, "received True"),
    ("2", "received '2'"), (None, "received None"), (1.0, "received 1.0"),
])  # fmt: skip
def test_other_formats_are_refused(copied: Path, version: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_format(version, "study.json")
    info = json.loads((copied / INFO).read_text())
    (copied / INFO).write_text(json.dumps({**info, "format": version}))
    with pytest.raises(InputError, match=message):
        list(Study.open(copied).records())
    with pytest.raises(InputError, match=message):
        mend(Study.open(copied))


def test_a_newer_study_is_refused_at_the_command_line(
    copied: Path, file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    info = json.loads((copied / INFO).read_text())
    (copied / INFO).write_text(json.dumps({**info, "format": FORMAT + 1}))
    store = (copied / STORE).read_bytes()
    words = searching(tmp_path, file, copied, "--resume", "search.trials=8")
    assert main(["search", *words[3:]]) == 2
    error = capfd.readouterr().err
    assert f"study format {FORMAT + 1}, this qap reads {FORMAT} and older: update qap" in error
    assert error.count("\n") == 1
    assert (copied / STORE).read_bytes() == store


def test_a_line_keeps_what_it_has() -> None:
    assert upgraded({"rung": 3, "seconds": 1.0}, 7, 1) == {
        "rung": 3, "seconds": 1.0, "error": None, "number": 7, "epochs": None, "origin": None, "point": None,
    }  # fmt: skip
    line = {"number": 4}
    assert upgraded(line, 7, FORMAT) is line
