"""What is damaged is set aside and named, the rest kept; one search in a directory; disks that are full."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from qap.__main__ import main
from qap.errors import InputError
from qap.search.run import run_search
from qap.search.study import LOG, STORE, Study
from qap.search.upkeep import DAMAGED, LOCK, locked, mend

from .conftest import in_order, same_search, searching, small, stored_lines

HOLD = (
    "import sys, time; from pathlib import Path; from qap.search.study import Study; from qap.search.upkeep import locked\n"
    "with locked(Study(Path(sys.argv[1]), None)):\n    print('held', flush=True)\n    time.sleep(600)\n"
)


def _lines(directory: Path) -> list[str]:
    return (directory / STORE).read_text().splitlines()


def _write(directory: Path, lines: list[str]) -> None:
    (directory / STORE).write_text("".join(f"{line}\n" for line in lines))


def _weights(directory: Path, place: int) -> Path:
    return directory / "candidates" / json.loads(_lines(directory)[place])["id"] / "weights.npz"


def _cut_line(directory: Path) -> None:
    (directory / STORE).write_text((directory / STORE).read_text()[:-40])


def _cut_in_the_middle(directory: Path) -> None:
    lines = _lines(directory)
    _write(directory, [*lines[:3], lines[3][:200], *lines[4:]])


def _garbage(directory: Path) -> None:
    (directory / STORE).write_bytes((directory / STORE).read_bytes() + b"\xff\x00 no line \x80\n{}\n[1, 2]\nnull\n")


def _other_id(directory: Path) -> None:
    lines = _lines(directory)
    _write(directory, [lines[0].replace(json.loads(lines[0])["id"], "0" * 12), *lines[1:]])


def _no_weights(directory: Path) -> None:
    _weights(directory, 2).unlink()


def _cut_weights(directory: Path) -> None:
    path = _weights(directory, 2)
    path.write_bytes(path.read_bytes()[:-60])


def _empty_weights(directory: Path) -> None:
    _weights(directory, 5).write_bytes(b"")


def _twice(directory: Path) -> None:
    lines = _lines(directory)
    _write(directory, [*lines, lines[1], lines[4]])


DAMAGE: list[tuple[Callable[[Path], None], int, int, str]] = [  # what is done, lines set aside, trainings left, what is said
    (_cut_line, 1, 7, "cannot be read"),
    (_cut_in_the_middle, 1, 7, "cannot be read"),
    (_garbage, 4, 8, "cannot be read"),
    (_other_id, 1, 7, "cannot be read"),
    (_no_weights, 1, 7, "weights.npz is missing or damaged"),
    (_cut_weights, 1, 7, "weights.npz is missing or damaged"),
    (_empty_weights, 1, 7, "weights.npz is missing or damaged"),
    (_twice, 0, 8, ""),
]


@pytest.mark.parametrize(("harm", "aside", "left", "said"), DAMAGE, ids=[harm.__name__[1:] for harm, *_ in DAMAGE])
def test_what_is_damaged_is_set_aside_and_the_rest_kept(
    copied: Path, whole_search: Path, harm: Callable[[Path], None], aside: int, left: int, said: str
) -> None:
    harm(copied)
    mend(Study.open(copied))
    kept, whole = stored_lines(copied), stored_lines(whole_search)
    assert len(kept) == left
    assert all(line in whole for line in kept)
    put_aside = (copied / DAMAGED).read_text().splitlines() if aside else []
    assert len(put_aside) == aside
    assert (copied / DAMAGED).exists() == bool(aside)
    log = (copied / LOG).read_text()
    assert log.count("set aside: ") == aside
    assert said in log
    before = (copied / STORE).read_bytes(), log
    mend(Study.open(copied))
    assert ((copied / STORE).read_bytes(), (copied / LOG).read_text()) == before, "the second time there is nothing to do"
    assert not list(copied.rglob("*.part*"))


def test_what_is_set_aside_is_trained_again_with_the_same_result(copied: Path, whole_search: Path, file: Path) -> None:
    for harm in (_cut_weights, _empty_weights, _twice, _cut_line, _garbage):
        harm(copied)
    run_search(small(file, "search.trials=8"), copied, resume=True)
    assert in_order(copied) == in_order(whole_search)
    assert same_search(whole_search, copied)


def test_reading_changes_nothing_while_a_line_is_being_written(copied: Path) -> None:
    lines = _lines(copied)
    with (copied / STORE).open("w") as file:
        for line in lines:
            for part in (line[:100], line[100:], "\n"):
                file.write(part)
                file.flush()
                before = {path: path.stat().st_mtime_ns for path in copied.rglob("*")}
                found = list(Study.open(copied).records())
                assert [one.candidate.id for one in found] == [json.loads(text)["id"] for text in lines[: len(found)]]
                assert {path: path.stat().st_mtime_ns for path in copied.rglob("*")} == before
    assert len(found) == 8


def _held(directory: Path) -> subprocess.Popen[str]:
    """Another process that holds a study's lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(directory)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_one_search_in_a_directory_and_the_lock_ends_with_its_process(
    copied: Path, file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    process = _held(copied)
    try:
        store = (copied / STORE).read_bytes()
        words = searching(tmp_path, file, copied, "--resume", "search.trials=8")
        assert main(["search", *words[3:]]) == 2
        error = capfd.readouterr().err
        assert f"another search runs in it (process {process.pid} on " in error
        assert error.count("\n") == 1
        assert (copied / STORE).read_bytes() == store
        assert len(list(Study.open(copied).records())) == 8, "others may read meanwhile"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    with locked(Study.open(copied)):
        assert (copied / LOCK).read_text().startswith(f"process {os.getpid()} on ")
        with pytest.raises(InputError, match="another search runs in it"), locked(Study.open(copied)):
            pass
    with locked(Study.open(copied)):
        pass


def test_a_disk_without_locks_is_named(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with locked(Study.open(copied)):
        pass
    assert "no lock: No locks available: start no second search in this directory" in (copied / LOG).read_text()


@pytest.mark.slow
def test_a_full_disk_stops_the_search_and_it_goes_on(whole_search: Path, file: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        words = searching(tmp_path, file, disk / "study", "search.trials=8")
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        print(f"{len(stored_lines(disk / 'study'))} trainings on 400 kB: {done.stderr.strip()}")
        assert done.returncode == 1, done.stderr
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stderr.count("\n") == 1
        subprocess.run(["mount", "-o", "remount,size=40m", str(disk)], check=True)
        done = subprocess.run([*words, "--resume"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert in_order(disk / "study") == in_order(whole_search)
        assert same_search(whole_search, disk / "study")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_reader_meets_whole_lines_beside_a_writer(copied: Path) -> None:
    """A search that appends, and one that reads at the same time."""
    study, stop = Study.open(copied), threading.Event()
    record = next(iter(study.records()))

    def write() -> None:
        while not stop.is_set():
            study.add(record)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        counts = [len(list(study.records())) for _ in range(10)]
    finally:
        stop.set()
        thread.join()
    assert counts == sorted(counts)
    mend(study)
    assert len(stored_lines(copied)) == 8
