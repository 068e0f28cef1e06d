"""``qap report``: the page of a study again, from what it has stored."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from qap.__main__ import main
from qap.candidate import Parity
from qap.report.data import Report

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
