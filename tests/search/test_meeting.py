"""Several drivers of one study: who trains what, drivers that fall silent, databases that go away."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sql
from hypothesis import given, settings
from hypothesis import strategies as st

from qap.__main__ import main
from qap.candidate import Candidate
from qap.config.schema import Study as Config
from qap.errors import InputError, QapError, ToolMissingError
from qap.search import meeting
from qap.search.meeting import STUDIES, Meeting
from qap.search.record import Key, Record

from .conftest import searching, small
from .test_messages import NETWORK, PLAN

DATA = "ab" * 32


@pytest.fixture
def config(file: Path) -> Config:
    return small(file, "search.trials=20", "name=shared")


@contextlib.contextmanager
def _meet(url: str, config: Config, count: int = 1, **options: object) -> Iterator[list[Meeting]]:
    """So many drivers in one process."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(contextlib.closing(Meeting(url, config, DATA, **options))) for _ in range(count)]  # type: ignore[arg-type]


def _record(number: int) -> Record:
    """A training of its own rung."""
    return Record(Candidate(NETWORK, PLAN, metrics={"accuracy_validation": 0.5}), 1.0, 1.0, None, number, number)


@settings(max_examples=12, deadline=None)
@given(
    wishes=st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=6, unique=True), min_size=4, max_size=24),
    most=st.none() | st.integers(1, 25), drivers=st.integers(2, 4),
)  # fmt: skip
def test_claims_of_drivers_at_once(
    tmp_path_factory: pytest.TempPathFactory, file: Path, wishes: list[list[int]], most: int | None, drivers: int
) -> None:
    """No training to two drivers, no more than the budget, every number once and none left out."""
    url = f"sqlite:///{tmp_path_factory.mktemp('claims')}/m.db"
    with _meet(url, small(file, "name=shared"), drivers) as met:
        found: list[dict[Key, int]] = [{} for _ in met]

        def claim(place: int) -> None:
            for wish in wishes[place::drivers]:
                found[place].update(met[place].claim([(f"c{one}", 0) for one in wish], most))

        threads = [threading.Thread(target=claim, args=(place,)) for place in range(drivers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wanted = {one for wish in wishes for one in wish}
        keys = [key for mine in found for key in mine]
        assert len(keys) == len(set(keys)) == met[0].taken() == min(len(wanted), most or len(wanted))
        assert sorted(number for mine in found for number in mine.values()) == list(range(len(keys)))


def test_what_one_has_trained_the_others_have(tmp_path: Path, config: Config) -> None:
    weights = {"fc1/kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}
    with _meet(f"sqlite:///{tmp_path}/m.db", config, 3) as (one, two, three):
        assert [met.place for met in (one, two, three)] == [0, 1, 2]
        assert [met.driver for met in (one, two, three)] == [1, 2, 3]
        key = _record(0).candidate.id, 0
        assert one.claim([key], 20) == {key: 0} == one.claim([key], 20), "a claim made twice is the same"
        assert two.claim([key], 20) == {}
        assert two.others_train()
        assert not one.others_train()
        assert one.finished() == set()
        one.publish(_record(0), weights)
        assert not two.others_train()
        assert two.finished() == {key}
        for other in (two, three):
            ((record, found),) = other.pull()
            assert record.line() == _record(0).line()
            assert found is not None
            assert {name: values.tobytes() for name, values in found.items()} == {"fc1/kernel": weights["fc1/kernel"].tobytes()}
            assert other.pull() == [], "once is enough"
        assert one.pull() == []


def test_a_training_from_before_the_meeting_counts(tmp_path: Path, config: Config) -> None:
    """A study that was begun alone brings what it has; new numbers come after its own."""
    with _meet(f"sqlite:///{tmp_path}/m.db", config, 2) as (one, two):
        for number in range(3):
            one.publish(_record(number), None)
        assert two.taken() == 3
        assert two.claim([("new", 0)], 20) == {("new", 0): 3}
        assert two.claim([("other", 0)], 4) == {}, "the budget is that of all together"


def test_claims_of_a_silent_driver_are_free_again(tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(meeting, "SILENT_SECONDS", 0.6)
    said: list[str] = []
    with _meet(f"sqlite:///{tmp_path}/m.db", config, 2, say=said.append) as (one, two):
        one.claim([("a", 0), ("b", 0)], 20)
        until = time.monotonic() + 1.2
        while time.monotonic() < until:
            assert two.others_train(), "it shows that it lives"
            time.sleep(0.05)
        one._stop.set()  # as if it had been killed
        until = time.monotonic() + 20
        while two.others_train() and time.monotonic() < until:
            time.sleep(0.05)
        assert not two.others_train()
        assert any("1 driver(s) that are silent" in line for line in said)
        assert two.claim([("a", 0)], 20) == {("a", 0): 2}
        one.publish(_record(5), None)
        assert two.taken() == 2, "a driver that was only slow still hands in what it has done"


def test_a_driver_that_leaves_gives_its_claims_back(tmp_path: Path, config: Config) -> None:
    url = f"sqlite:///{tmp_path}/m.db"
    with _meet(url, config) as (one,):
        with _meet(url, config) as (two,):
            two.claim([("a", 0)], 20)
            assert one.claim([("a", 0)], 20) == {}
        assert one.claim([("a", 0)], 20) == {("a", 0): 1}


def test_other_studies_are_refused(tmp_path: Path, config: Config, file: Path) -> None:
    url = f"sqlite:///{tmp_path}/m.db"
    with _meet(url, config) as (one,):
        with pytest.raises(InputError, match=r"study 'shared': begun with another configuration: seed: 1 before, 2 now. Choose"):
            Meeting(url, small(file, "search.trials=20", "name=shared", "seed=2"), DATA)
        with pytest.raises(InputError, match="begun with other events. Choose another name="):
            Meeting(url, config, "cd" * 32)
        with _meet(url, small(file, "search.trials=99", "name=shared")), _meet(url, small(file, "name=another", "seed=7")):
            pass  # budgets may differ, and other studies may lie in the same database
        with one._engine.begin() as connection:
            connection.execute(sql.update(STUDIES).values(format=99))
        with pytest.raises(InputError, match="expected study format 2, received 99: use one version of qap"):
            Meeting(url, config, DATA)


@pytest.mark.parametrize(("url", "message"), [
    ("nonsense", "expected sqlite:///FILE for drivers of one machine, or postgresql://user@host/database; received 'nonsense'"),
    ("sqlite://", "expected sqlite:///FILE"), ("sqlite:///:memory:", "expected sqlite:///FILE"),
    ("mysql://user:secret@host/base", "received mysql://user:***@host/base"),
    ("sqlite:////nowhere/at/all/m.db", "unable to open database file"),
    ("postgresql://user:secret@127.0.0.1:1/base", "postgresql+pg8000://user:***@127.0.0.1:1/base: Can't create a connection"),
])  # fmt: skip
def test_databases_that_cannot_be_had_are_refused(config: Config, url: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Meeting(url, config, DATA)
    assert message in str(caught.value)
    assert str(caught.value).startswith("--share: ")
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused(config: Config, tmp_path: Path) -> None:
    (tmp_path / "m.db").write_text("these are my notes " * 100)
    with pytest.raises(InputError, match="file is not a database"):
        Meeting(f"sqlite:///{tmp_path}/m.db", config, DATA)


def test_a_missing_driver_is_named(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pg8000", None)
    with pytest.raises(ToolMissingError, match=r"pip install 'qap\[cluster\]'"):
        Meeting("postgresql://user@127.0.0.1/base", config, DATA)


def test_the_command_line_refuses_a_wrong_url(file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = searching(tmp_path, file, tmp_path / "out", "--share", "mysql://host/base")
    assert main(["search", *words[3:]]) == 2
    error = capfd.readouterr().err
    assert "--share: expected sqlite:///FILE" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_database_that_stays_away_ends_the_search_with_a_sentence(
    tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(meeting, "RETRY_SECONDS", 0.05)
    said: list[str] = []
    with _meet(f"sqlite:///{tmp_path}/m.db", config, say=said.append) as (one,):
        one._engine.dispose()
        (tmp_path / "m.db").unlink()
        (tmp_path / "m.db").mkdir()
        with pytest.raises(QapError, match="what is trained is kept, go on with --resume"):
            one.claim([("a", 0)], 20)
        began = time.monotonic()
    assert time.monotonic() - began < 0.2, "leaving waits for nobody"
    assert len(said) == 1, "said once, not at every try"
