"""The arithmetic of benchmarks/scaling.py, and that docs/scaling.md has a place for each of its tables."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from scaling import GROWTH, blocks  # noqa: E402
from scaling_tables import BEGIN, END, PARTS, filled, straight, sustained  # noqa: E402


def test_workers_that_take_equally_long_are_all_busy() -> None:
    assert filled(10, 10, spread=0.0) == pytest.approx(1.0)
    assert filled(10, 5, spread=0.0) == pytest.approx(0.5), "a window of half their number leaves half of them idle"


def test_a_wider_window_keeps_more_of_them_busy() -> None:
    found = [filled(50, window) for window in (25, 50, 100, 200)]
    print({window: round(busy, 3) for window, busy in zip((25, 50, 100, 200), found, strict=True)})
    assert found == sorted(found)
    assert found[0] <= 0.5 < found[2] < found[3] < 1


def test_the_slower_of_workers_and_driver_sets_the_rate() -> None:
    assert sustained(10, 60.0, 0.02) == pytest.approx((600, 10 * 0.02 / 60))
    assert sustained(1000, 1.0, 0.02) == pytest.approx((180_000, 1.0))


def test_costs_between_marks() -> None:
    part = next(iter(PARTS))
    laps = [{part: 0.01 * count + 1e-6 * count**2} for count in range(1, GROWTH[1] + 1)]
    found = blocks(laps)
    assert [count for count, _ in found] == list(GROWTH[:2])
    assert found[1][1][part] == pytest.approx(0.01 + 1e-6 * (GROWTH[0] + GROWTH[1]))
    assert straight([(100.0, 1.0), (200.0, 2.0), (300.0, 3.0)]) == pytest.approx((0.0, 0.01))


def test_each_table_has_its_place() -> None:
    text = (ROOT / "docs" / "scaling.md").read_text()
    for name in ("real", "parts", "start", "messages", "growth", "farm", "light", "far"):
        assert text.index(BEGIN.format(name)) < text.index(END.format(name))
