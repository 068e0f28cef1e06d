"""``qap report``: the page of a study again, from what it has stored; several studies on one page."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from qap.__main__ import main
from qap.candidate import Parity
from qap.report.data import Report
from qap.report.studies_page import differing

from ..report.conftest import make_report


@pytest.fixture(scope="module")
def made() -> Report:
    whole = make_report()
    return whole.model_copy(update={"front": whole.front[:2]})


@pytest.fixture
def study(tmp_path: Path, made: Report) -> Path:
    made.save(tmp_path / "report.json")
    return tmp_path


def test_page_table_and_figures_come_back(study: Path, made: Report, capsys: pytest.CaptureFixture[str]) -> None:
    (study / "report.html").write_text("old")
    assert main(["report", str(study)]) == 0
    ids = [entry.id for entry in made.front]
    assert all(name in (study / "report.html").read_text() for name in ids)
    rows = list(csv.DictReader((study / "front.csv").open()))
    assert [row["id"] for row in rows] == ids
    assert [float(row["accuracy"]) for row in rows] == [entry.score.value for entry in made.front]
    assert sorted((study / "figures").glob("*.png"))
    printed = capsys.readouterr().out
    assert all(name in printed for name in ids)
    assert Report.load(study / "report.json") == made, "what it is drawn from stays"


def test_json(study: Path, made: Report, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(study), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in found["front"]] == [entry.id for entry in made.front]
    assert [row["ebops"] for row in found["front"]] == [entry.ebops for entry in made.front]
    assert found["report"] == str(study / "report.html")


def test_a_candidate_that_is_not_exact_is_said_again(study: Path, made: Report, capsys: pytest.CaptureFixture[str]) -> None:
    first = made.front[0].model_copy(update={"parity": Parity(4000, 3999, 0.25, "fc2")})
    made.model_copy(update={"front": (first, *made.front[1:])}).save(study / "report.json")
    assert main(["report", str(study), "--quiet"]) == 1
    assert capsys.readouterr() == ("", f"qap report: {first.id} is not bit-exact; the first layer that differs is fc2\n")


def study_of(report: Report, folder: Path) -> Path:
    folder.mkdir()
    report.save(folder / "report.json")
    return folder


def test_several_studies_on_one_page(tmp_path: Path, made: Report, capsys: pytest.CaptureFixture[str]) -> None:
    other = made.model_copy(update={"name": "second", "seed": 2, "command": "qap search second.yaml"})
    one, two = study_of(made, tmp_path / "one"), study_of(other, tmp_path / "t w o")
    page = tmp_path / "both.html"
    assert main(["report", str(one), str(two), "--output", str(page)]) == 0
    assert capsys.readouterr().out == f"page: {page}\n"
    text = page.read_text()
    for found in ("second", made.command, "qap search second.yaml", 'href="one/report.html"', 'href="t%20w%20o/report.html"'):
        assert found in text, found
    assert "Other events" not in text
    assert sorted(path.name for path in one.iterdir()) == ["report.json"], "the studies stay as they are"


def test_other_events_are_said(tmp_path: Path, made: Report, capsys: pytest.CaptureFixture[str]) -> None:
    data = made.data.model_copy(update={"n_test": 17, "input_precision": "ap_fixed<8,3>"})
    other = made.model_copy(update={"name": "second", "data": data})
    folders = [study_of(made, tmp_path / "one"), study_of(other, tmp_path / "two")]
    assert main(["report", *map(str, folders), "--output", str(tmp_path / "both.html"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    said = f"second is not on the events of {made.name} (n_test 17 and not 4000): do not compare their scores."
    assert found["differing"] == differing([made, other]) == [said]
    assert [one["front"][0]["id"] for one in found["studies"]] == [made.front[0].id] * 2
    assert said in (tmp_path / "both.html").read_text()


def test_what_cannot_stand_on_one_page(tmp_path: Path, made: Report, capsys: pytest.CaptureFixture[str]) -> None:
    one = study_of(made, tmp_path / "one")
    two = study_of(make_report("regression"), tmp_path / "two")
    assert main(["report", str(one), str(two), "--output", str(tmp_path / "x.html")]) == 2
    assert "expected a classification like" in capsys.readouterr().err
    assert main(["report", str(one), str(one), "--output", str(tmp_path)]) == 2
    assert "is a directory: give a file" in capsys.readouterr().err
    assert main(["report", str(one), str(one), "--output", str(tmp_path / "no" / "x.html")]) == 2
    assert "its directory does not exist" in capsys.readouterr().err
    assert main(["report", str(one), "--output", str(tmp_path / "x.html")]) == 2
    assert "--output: is for several studies" in capsys.readouterr().err
    assert not (tmp_path / "x.html").exists()
