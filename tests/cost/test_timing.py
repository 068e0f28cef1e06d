"""The timing budget against numbers worked out by hand."""

from __future__ import annotations

import pytest

from qap.candidate import Figure
from qap.cost.timing import Budget, keeps, sentence, timing_figures


@pytest.mark.parametrize(
    ("clock", "tmux", "longest"), [(5.0, 1, 5), (25 / 6, 1, 6), (25 / 9, 6, 54), (3.0, 1, 8), (25.0, 1, 1), (30.0, 1, 0)]
)
def test_longest_interval_is_clock_over_collision_rate_times_multiplexing(clock: float, tmux: int, longest: int) -> None:
    assert Budget(clock, tmux).longest_interval == longest


def test_cycles_become_nanoseconds_and_bunch_crossings() -> None:
    figures = {"latency_cycles": Figure(12, "csynth", "cycles", 10, 20), "II": Figure(3, "csynth", "cycles")}
    budget = Budget(2.5, latency_ns=40.0)
    made = timing_figures(figures, budget)
    assert [(one.value, one.low, one.high, one.unit) for one in made.values()] == [
        (30.0, 25.0, 50.0, "ns"), (1.2, 1.0, 2.0, "bunch crossings"),
    ]  # fmt: skip
    assert made["latency_ns"].source == "csynth"
    assert keeps({**figures, **made}, budget) == {"II": True, "latency_ns": True}
    assert keeps({**figures, **made}, Budget(2.5, latency_ns=29.0))["latency_ns"] is False
    assert timing_figures({}, budget) == {}


def test_the_sentence_says_what_is_kept_and_what_is_not() -> None:
    figures = {"latency_cycles": Figure(12, "csynth"), "II": Figure(6, "csynth")}
    budget = Budget(5.0, latency_ns=50.0)
    text = sentence({**figures, **timing_figures(figures, budget)}, budget)
    assert text == (
        "latency 12 cycles of 5 ns = 60 ns = 2.4 bunch crossings; ABOVE the budget of 50 ns; II 6 is TOO SLOW for an event every "
        "bunch crossing (25 ns, at most 5 cycles)"
    )
    text = sentence(figures, Budget(5.0, 6))
    assert text == "II 6 keeps up with an event every 6 bunch crossings (150 ns, at most 30 cycles)"
