"""Reports of others: names that would be markup, scripts or templates stay text; damaged files are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from qap.errors import InputError
from qap.report.data import Report
from tests.report.test_page import page_of

HOSTILE = (
    "</script><script>alert(1)</script>", '" onmouseover="alert(1)', "' onerror='alert(1)", "<!--<script>",
    "]]><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}", "${alert(1)}", "javascript:alert(1)", "\u2028alert(1)//", "&lt;b&gt;",
)  # fmt: skip


def test_hostile_names_stay_text(report: Report, tmp_path: Path) -> None:
    classes = HOSTILE[: len(report.data.classes)]
    data = report.data.model_copy(update={"name": HOSTILE[0], "features": HOSTILE, "classes": classes})
    named = report.model_copy(update={"name": "".join(HOSTILE), "command": " ".join(HOSTILE), "data": data})
    named.save(tmp_path / "report.json")
    page = page_of(Report.load(tmp_path / "report.json"))
    assert len(page.all("script")) == 2, "those of the page itself"
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert not [value for _, given in page.elements for value in given.values() if (value or "").startswith("javascript:")]
    assert tuple(page.data["classes"]) == classes
    assert "alert(1)" in page.text
    assert "{{ 7 * 7 }}" in page.text


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format_version": 1, "data": ' + "[" * 100_000, "\ufeff", "NaN", '"x"', "[1]"])
def test_reports_that_are_none_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(InputError, match=r"report\.json: expected a report"):
        Report.load(tmp_path / "report.json")
