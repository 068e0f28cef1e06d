"""A search is told in the order of asking, whatever is done first, and asks for no more than its window holds."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from qap.search import run
from qap.search.loop import Listed, search
from qap.search.run import run_search
from qap.search.searcher import Searcher
from qap.search.work import Done, Executor, Start

from .conftest import in_order, same_search, small


class Shuffled:
    """Trains what has been asked for in any order, and returns now one, now several trainings."""

    def __init__(self, executor: Executor, seed: int) -> None:
        self._executor, self._draw, self._queue = executor, random.Random(seed), list[Start]()
        self.most, self.order = 0, list[str]()

    def submit(self, starts: Sequence[Start]) -> None:
        self._queue.extend(starts)
        self.most = max(self.most, len(self._queue))

    def collect(self) -> list[Done]:
        found: list[Done] = []
        for _ in range(self._draw.randint(1, max(len(self._queue), 1))):
            if self._queue:
                self._executor.submit([self._queue.pop(self._draw.randrange(len(self._queue)))])
                found += self._executor.collect()
        self.order += [done.start.candidate.id for done in found]
        return found

    def close(self) -> None:
        self._queue.clear()


@pytest.fixture
def shuffled(monkeypatch: pytest.MonkeyPatch) -> list[Shuffled]:
    """Every search that follows trains in another order than it asks."""
    made: list[Shuffled] = []

    @contextlib.contextmanager
    def executor(searcher: Searcher, *_: object) -> Iterator[None]:
        made.append(Shuffled(searcher.executor, len(made)))
        searcher.executor = made[-1]
        yield

    monkeypatch.setattr(run, "_executor", executor)
    return made


HYBRID = ["search.strategy=hybrid", "search.hybrid.supernet_epochs=0", "search.hybrid.every=1"]


@pytest.mark.parametrize(("overrides", "seeds", "most"), [
    (["search.window=3"], 1, 3), (HYBRID, 1, 16),
    pytest.param(["search.trials=24"], 4, 24, marks=pytest.mark.slow),
    pytest.param(["search.trials=24", "search.window=5", "search.final_epochs=1"], 4, 5, marks=pytest.mark.slow),
    pytest.param(["search.trials=32", "search.window=5", *HYBRID], 4, 16, marks=pytest.mark.slow),
], ids=["window", "hybrid", "generations", "final", "hybrid-window"])  # fmt: skip
def test_the_order_of_ending_does_not_matter(
    file: Path,
    tmp_path: Path,
    shuffled: list[Shuffled],
    monkeypatch: pytest.MonkeyPatch,
    overrides: list[str],
    seeds: int,
    most: int,
) -> None:
    config = small(file, "search.trials=10", *overrides)
    for seed in range(seeds):
        run_search(config, tmp_path / str(seed))
    monkeypatch.undo()
    run_search(config, tmp_path / "alone")
    asked = [line["id"] for line in in_order(tmp_path / "alone")]
    for seed, executor in enumerate(shuffled):
        assert same_search(tmp_path / "alone", tmp_path / str(seed)), f"executor {seed}"
        assert executor.order != asked, "the executor has changed the order"
        assert executor.most <= most


class Trained:
    """Stands for a searcher whose trainings are done at once."""

    def __init__(self, trials: int, late_after: int | None = None) -> None:
        self.seen: dict[object, int] = {}
        self.flying, self.most, self._trials, self._late = set[object](), 0, trials, late_after

    @property
    def left(self) -> int:
        return max(self._trials - len(self.seen) - len(self.flying), 0)

    @property
    def late(self) -> bool:
        return self._late is not None and len(self.seen) >= self._late

    @property
    def exhausted(self) -> bool:
        return not self.left or self.late

    def pull(self) -> list[object]:
        return []

    def begin(self) -> None:
        """No clock runs."""

    def settled(self) -> bool:
        return True

    def submit(self, starts: Sequence[Start]) -> list[Start]:
        self.flying |= {start.key for start in starts} - self.seen.keys()
        self.most = max(self.most, len(self.flying))
        return list(starts)

    def result(self, start: Start) -> None:
        self.flying.discard(start.key)
        self.seen[start.key] = len(self.seen)


class Stand:
    """Stands for a start."""

    final = False

    def __init__(self, key: int) -> None:
        self.key = key


@pytest.mark.parametrize("window", [None, 1, 2, 7, 100])
@pytest.mark.parametrize("size", [1, 4, 30])
def test_what_is_known_beforehand_is_trained_in_its_order(size: int, window: int | None) -> None:
    searcher = Trained(20)
    search(searcher, Listed(map(Stand, range(50))), size, window)  # type: ignore[arg-type]
    assert list(searcher.seen) == list(range(20)), "the budget ends the search"
    assert searcher.most == min(size if window is None else window, 20)


def test_the_last_trainings_go_beyond_the_budget() -> None:
    searcher = Trained(4)
    search(searcher, Listed(map(Stand, range(10))), 4, beyond=True)  # type: ignore[arg-type]
    assert len(searcher.seen) == 10


def test_a_budget_in_seconds_ends_a_search_between_trainings() -> None:
    searcher = Trained(100, late_after=7)
    search(searcher, Listed(map(Stand, range(50))), 5, 3)  # type: ignore[arg-type]
    assert list(searcher.seen) == list(range(7))


def test_a_source_that_repeats_itself_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qap.search.loop.REPEATS", 20)
    searcher = Trained(100)
    search(searcher, Listed(Stand(number % 5) for number in range(10**6)), 4)  # type: ignore[arg-type]
    assert list(searcher.seen) == list(range(5))
