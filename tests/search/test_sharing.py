"""Two searches as processes, one study: SQLite, PostgreSQL, a server that is started again in the middle."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from qap.search.meeting import Meeting
from qap.search.study import LOG, STORE

from .conftest import in_order, same_search, searching, small, stored_lines
from .servers import Server, postgresql

TRIALS = 60
WORDS = [
    "name=shared", f"search.trials={TRIALS}", "search.strategy=hybrid", "search.hybrid.supernet_epochs=0",
    "search.space.weight_bits=[2,3,4,5,6]", "search.window=4",
]  # fmt: skip
LONGEST = 400


def _begin(folder: Path, file: Path, url: str, name: str, *more: str) -> subprocess.Popen[str]:
    words = searching(folder, file, folder / name, *WORDS, "--share", url, *more)
    return subprocess.Popen(words, stderr=subprocess.PIPE, text=True)


def _end(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        _, errors = process.communicate(timeout=LONGEST)
        assert process.returncode == 0, errors
        assert errors == ""


def _stored(directory: Path) -> int:
    store = directory / STORE
    return store.read_bytes().count(b"\n") if store.exists() else 0


def _wait(process: subprocess.Popen[str], directory: Path, count: int) -> None:
    """Wait until so many trainings are in a store."""
    until = time.monotonic() + LONGEST
    while _stored(directory) < count:
        assert process.poll() is None, f"it has ended: {process.communicate()[1]}"
        assert time.monotonic() < until, f"{_stored(directory)} trainings after {LONGEST} s"
        time.sleep(0.02)


def _check_one_study(one: Path, two: Path, *, gaps: bool = False) -> None:
    """The same trainings in both, each once, numbered without a gap where no claim was given up, and the same front."""
    lines = in_order(one)
    assert same_search(one, two)
    assert same_search(two, one)
    assert len({(line["id"], line["rung"]) for line in lines}) == len(lines) == TRIALS
    numbers = [line["number"] for line in lines]
    assert len(set(numbers)) == TRIALS
    assert gaps or numbers == list(range(TRIALS))
    assert (one / "front.csv").read_bytes() == (two / "front.csv").read_bytes()


@pytest.mark.slow
def test_two_searches_share_a_file(file: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/m.db"
    _end(_begin(tmp_path, file, url, "one"), _begin(tmp_path, file, url, "two"))
    _check_one_study(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
def test_a_killed_search_comes_back_to_the_others(file: Path, tmp_path: Path) -> None:
    """Its claims are free after a while, its finished trainings are there already, and it goes on with --resume."""
    url = f"sqlite:///{tmp_path}/m.db"
    one, two = _begin(tmp_path, file, url, "one"), _begin(tmp_path, file, url, "two")
    _wait(one, tmp_path / "one", 4)
    one.send_signal(signal.SIGKILL)
    one.communicate()
    kept = stored_lines(tmp_path / "one")
    _end(two, _begin(tmp_path, file, url, "one", "--resume"))
    _check_one_study(tmp_path / "one", tmp_path / "two", gaps=True)
    assert all(line in stored_lines(tmp_path / "two") for line in kept), "nothing finished is lost"


@pytest.mark.slow
def test_claims_on_a_server(file: Path) -> None:
    """What `test_meeting` tries on a file holds on a server too."""
    with postgresql() as server:
        config = small(file, "name=shared")
        one, two = Meeting(server.url, config, "ab"), Meeting(server.url, config, "ab")
        wanted = [("a", 0), ("b", 0), ("c", 0)]
        assert one.claim(wanted[:2], 3) == {("a", 0): 0, ("b", 0): 1}
        assert two.claim(wanted, 3) == {("c", 0): 2}
        assert two.claim([("d", 0)], 3) == {}
        two.close()
        assert one.claim(wanted, 3) == {("a", 0): 0, ("b", 0): 1, ("c", 0): 3}
        one.close()


def _restarted(server: Server, mode: str, seconds: float) -> None:
    server.stop(mode)
    time.sleep(seconds)
    server.start()


@pytest.mark.slow
def test_two_searches_share_a_server_that_is_restarted_twice(file: Path, tmp_path: Path) -> None:
    with postgresql() as server:
        one, two = (_begin(tmp_path, file, server.url, name) for name in ("one", "two"))
        _wait(one, tmp_path / "one", 3)
        first = _stored(tmp_path / "one")
        _restarted(server, "immediate", 3)
        _wait(one, tmp_path / "one", first + 8)
        second = _stored(tmp_path / "one")
        _restarted(server, "fast", 3)
        _end(one, two)
    _check_one_study(tmp_path / "one", tmp_path / "two")
    logs = [(tmp_path / name / LOG).read_text() for name in ("one", "two")]
    noticed = sum(log.count("the database does not answer") for log in logs)
    print(f"crash at {first} of {TRIALS} trainings, restart at {second}, noticed {noticed} times, both finished")
    assert second < TRIALS, "the search was over before the second restart"
    assert noticed >= 2
