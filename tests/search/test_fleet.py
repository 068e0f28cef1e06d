"""Searches whose trainings run on real workers: the same store as in one process, whoever dies on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import distributed
import psutil
import pytest

from qap.errors import InputError, QapError
from qap.search import fleet
from qap.search.run import run_search
from qap.search.study import LOG, STORE
from qap.search.workers import ONE_THREAD, Pool, Workers

from .conftest import in_order, same_search, searching, small, stored_lines
from .servers import free_port

WINDOW = "search.window=4"
LONGEST = 300


def _wait(directory: Path, count: int) -> None:
    """Wait until so many trainings are in a store."""
    until, store = time.monotonic() + LONGEST, directory / STORE
    while not store.exists() or store.read_bytes().count(b"\n") < count:
        assert time.monotonic() < until
        time.sleep(0.02)


def _workers(pid: int | None = None) -> list[psutil.Process]:
    """The worker processes of a search."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):
            if "spawn_main" in " ".join(process.cmdline()):
                found.append(process)
    return found


def test_two_workers_give_the_search_of_one_process(whole_search: Path, file: Path, tmp_path: Path) -> None:
    run_search(small(file, "search.trials=8"), tmp_path / "two", workers=Workers(2))
    assert same_search(whole_search, tmp_path / "two")
    assert not _workers(), "no worker is left"


@pytest.mark.slow
@pytest.mark.parametrize("overrides", [
    [], [WINDOW], [WINDOW, "train.engine=keras"], [WINDOW, "compress=[distill+qap]"],
    [WINDOW, "search.strategy=hybrid", "search.hybrid.supernet_epochs=0", "search.final_epochs=1"],
], ids=["generations", "window", "keras", "distill", "hybrid"])  # fmt: skip
def test_any_number_of_workers_gives_the_same_search(file: Path, tmp_path: Path, overrides: list[str]) -> None:
    config = small(file, "search.trials=10", *overrides)
    run_search(config, tmp_path / "alone")
    for count in (1, 2):
        run_search(config, tmp_path / str(count), workers=Workers(count))
        assert in_order(tmp_path / str(count)) == in_order(tmp_path / "alone"), f"{count} workers"
        assert same_search(tmp_path / "alone", tmp_path / str(count))


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced(file: Path, tmp_path: Path) -> None:
    config, killed = small(file, "search.trials=16", WINDOW, "train.epochs=8"), []

    def kill() -> None:
        for count in (2, 6):
            _wait(tmp_path / "two", count)
            victim = _workers()[0]
            victim.kill()
            killed.append(victim.pid)

    thread = threading.Thread(target=kill)
    thread.start()
    run_search(config, tmp_path / "two", workers=Workers(2))
    thread.join()
    run_search(config, tmp_path / "alone")
    assert len(killed) == 2
    assert same_search(tmp_path / "alone", tmp_path / "two")
    print((tmp_path / "two" / LOG).read_text().count("a worker was lost"), "messages lost with 2 workers killed")


class _Future:
    """Done at once; the worker that has the result may be dead when it is fetched."""

    status = "finished"

    def __init__(self, found: dict | None) -> None:
        self._found = found

    def result(self) -> dict:
        if self._found is None:
            raise distributed.scheduler.KilledWorker("train", None, 0)
        return self._found

    def add_done_callback(self, call: Callable[[_Future], None]) -> None:
        call(self)


class _Client:
    """Trains in this process; every other message's worker dies after it has trained."""

    def __init__(self) -> None:
        self.sent: list[int] = []

    def submit(self, function: Callable[..., dict], assignment: dict, messages: list[dict], pure: bool) -> _Future:
        self.sent.append(len(messages))
        return _Future(function(assignment, messages) if len(self.sent) % 2 == 0 else None)

    def scheduler_info(self, n_workers: int) -> dict[str, int]:
        return {"n_workers": 1}

    def cancel(self, futures: list[_Future], reason: str) -> None:
        assert not futures

    def close(self, timeout: float) -> None:
        """Nothing is open."""


def test_a_result_whose_worker_dies_before_it_is_fetched_is_trained_again(whole_search: Path, file: Path, tmp_path: Path) -> None:
    client, workers = _Client(), Workers(1)
    object.__setattr__(workers, "open", lambda: nullcontext(Pool(lambda: client)))
    run_search(small(file, "search.trials=8"), tmp_path / "out", workers=workers)
    assert same_search(whole_search, tmp_path / "out")
    assert (tmp_path / "out" / LOG).read_text().count("a worker was lost") == len(client.sent) // 2
    assert max(client.sent) > 1, "several trainings are sent in one message, and then one by one"


PRELOAD = """
import os, time
import qap.search.worker as worker

before = getattr(worker.run, "before", worker.run)  # Dask reads this file twice

def run(starts, context, chain):
    starts = list(starts)
    if any(start.candidate.plan["fc1"].activation.bits == 3 for start in starts):
        {what}
    yield from before(starts, context, chain)

run.before = before
worker.run = run
"""


@contextmanager
def _preloaded(folder: Path, what: str) -> Iterator[None]:
    """Workers that do something to trainings of 3 bits after the first layer."""
    import dask

    path = folder / "preload.py"
    path.write_text(PRELOAD.format(what=what))
    with dask.config.set({"distributed.worker.preload": [str(path)]}):
        yield


def _threes(directory: Path) -> tuple[list[dict], list[dict]]:
    """Trainings of 3 bits after the first layer, and the others."""
    lines = stored_lines(directory)
    three = [line for line in lines if line["plan"]["fc1"]["activation"].startswith("quantized_relu(3,")]
    return three, [line for line in lines if line not in three]


@pytest.mark.slow
@pytest.mark.parametrize(("what", "reason"), [
    ("os._exit(9)", "3 workers have died of its training"), ("raise MemoryError('no room')", "3 workers have died"),
    ("time.sleep(1000)", "longer than search.candidate_seconds (15 s)"),
])  # fmt: skip
def test_a_training_that_ends_its_worker_is_dropped_alone(
    file: Path, tmp_path: Path, what: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "DEATHS", 3)
    monkeypatch.setattr(fleet, "HEAL_SECONDS", 1.0)
    seconds = ["search.candidate_seconds=15"] if "sleep" in what else []
    random = ["search.strategy=random", "search.trials=3", "search.space.weight_bits=[2,6]"]
    config = small(file, *random, *seconds)
    run_search(config, tmp_path / "alone")
    with _preloaded(tmp_path, what):
        run_search(config, tmp_path / "two", workers=Workers(2))
    dropped, kept = _threes(tmp_path / "two")
    others, whole = _threes(tmp_path / "alone")
    assert dropped
    assert len(dropped) == len(others)
    assert all(reason in line["error"] for line in dropped), [line["error"] for line in dropped]
    assert sorted(kept, key=str) == sorted(whole, key=str), "the others are what they are without"
    assert f"dropped: {dropped[0]['error']}" in (tmp_path / "two" / LOG).read_text()


@pytest.mark.slow
def test_a_worker_that_sees_other_libraries_or_data_refuses(file: Path, tmp_path: Path) -> None:
    with _preloaded(tmp_path, "pass"):
        path = tmp_path / "preload.py"
        path.write_text("import qap.search.worker as worker\nworker.versions = lambda: {'tensorflow': '1.0'}\n")
        with pytest.raises(InputError, match="worker: expected .* as where the search runs, found"):
            run_search(small(file, "search.trials=4"), tmp_path / "versions", workers=Workers(1))
        path.write_text("import qap.search.worker as worker\nworker.digest = lambda data: 'other'\n")
        with pytest.raises(InputError, match="expected the events that the search was begun with, found others"):
            run_search(small(file, "search.trials=4"), tmp_path / "data", workers=Workers(1))


@contextmanager
def _process(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, **ONE_THREAD},
    )  # fmt: skip
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _scheduler(port: int):
    return _process("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")


def _worker(port: int):
    return _process(
        "distributed.cli.dask_worker", f"tcp://127.0.0.1:{port}", "--nthreads", "1", "--no-dashboard", "--death-timeout", "120"
    )


def _listening(port: int) -> None:
    distributed.Client(f"tcp://127.0.0.1:{port}", timeout=60, set_as_default=False).close()


@pytest.mark.slow
def test_a_cluster_that_runs_already_and_whose_scheduler_is_killed(file: Path, tmp_path: Path) -> None:
    """It comes back at the same address, and its workers to it; killed for good it ends the search with a sentence."""
    port, config = free_port(), small(file, "search.trials=16", WINDOW, "train.epochs=8")
    run_search(config, tmp_path / "alone")
    more = ["search.trials=16", WINDOW, "train.epochs=8", "--cluster", f"tcp://127.0.0.1:{port}"]
    words = searching(tmp_path, file, tmp_path / "out", *more)
    with _scheduler(port) as first, _worker(port):
        _listening(port)
        search = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        _wait(tmp_path / "out", 3)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        with _scheduler(port), _worker(port):
            _, errors = search.communicate(timeout=LONGEST)
    assert (search.returncode, errors) == (0, ""), errors
    assert "the scheduler is lost: looking for it" in (tmp_path / "out" / LOG).read_text()
    assert same_search(tmp_path / "alone", tmp_path / "out")


@pytest.mark.slow
def test_a_scheduler_that_stays_away_ends_the_search(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "PATIENCE_SECONDS", 2.0)
    monkeypatch.setattr("qap.search.workers.CONNECT_SECONDS", 2)
    port, config = free_port(), small(file, "search.trials=16", WINDOW, "train.epochs=8")
    with _scheduler(port) as scheduler, _worker(port):
        _listening(port)

        def kill() -> None:
            _wait(tmp_path / "out", 3)
            os.killpg(scheduler.pid, signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        with pytest.raises(QapError, match="what is trained is kept, go on with --resume"):
            run_search(config, tmp_path / "out", workers=Workers(cluster=f"tcp://127.0.0.1:{port}"))
        thread.join()
    run_search(config, tmp_path / "out", resume=True)
    assert len({line["id"] for line in stored_lines(tmp_path / "out")}) == 16


SBATCH = """#!/bin/bash
script="${{@: -1}}"
bash "$script" > {folder}/job.log 2>&1 &
echo $! >> {folder}/jobs
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/bash
echo "$@" >> {folder}/cancelled
kill "$@"
"""


@pytest.mark.slow
def test_jobs_of_a_batch_system(whole_search: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for Slurm that runs a job's script on this machine."""
    (tmp_path / "bin").mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (tmp_path / "bin" / name).write_text(text.format(folder=tmp_path))
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    words = searching(tmp_path, file, tmp_path / "out", "search.trials=8", "--cluster", "slurm", "--workers", "2")
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=LONGEST)
    assert (done.returncode, done.stderr) == (0, "")
    jobs = (tmp_path / "jobs").read_text().split()
    assert len(jobs) == 2
    assert sorted((tmp_path / "cancelled").read_text().split()) == sorted(jobs)
    assert same_search(whole_search, tmp_path / "out")


@pytest.mark.slow
def test_a_worker_takes_one_core(file: Path, tmp_path: Path) -> None:
    shares: list[float] = []

    def watch() -> None:
        _wait(tmp_path / "out", 2)
        (worker,) = (one for one in _workers() if one.cpu_times().user > 1)
        assert {name: worker.environ()[name] for name in ONE_THREAD} == ONE_THREAD
        before, began = sum(worker.cpu_times()[:2]), time.monotonic()
        time.sleep(3)
        shares.append((sum(worker.cpu_times()[:2]) - before) / (time.monotonic() - began))

    thread = threading.Thread(target=watch)
    thread.start()
    run_search(small(file, "search.trials=40", "train.epochs=40", WINDOW), tmp_path / "out", workers=Workers(1))
    thread.join()
    print(f"a worker takes {shares[0]:.2f} of a core")
    assert shares[0] < 1.2, shares
