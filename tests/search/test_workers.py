"""Where workers come from: wrong words, scripts of batch jobs, clusters that are not there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from qap.__main__ import main
from qap.errors import InputError, ToolMissingError
from qap.search.workers import LIBRARIES, Workers

from .conftest import searching
from .servers import free_port

WRONG = [
    (["--workers", "0"], "--workers: expected 1 or more, received 0"),
    (["--workers", "two"], "--workers"),
    (["--cluster", "slrum", "--workers", "2"], "received 'slrum' (did you mean 'slurm'?)"),
    (["--cluster", "localhost"], "--cluster: expected tcp://host:port, slurm or htcondor; received 'localhost'"),
    (["--cluster", "tcp://here"], "received 'tcp://here'"),
    (["--cluster", "tcp://here:80/../x; rm"], "received 'tcp://here:80/../x; rm'"),
    (["--cluster", "slurm"], "--workers: expected 1 or more, received None"),
    (["--cluster", "tcp://127.0.0.1:8786", "--workers", "2"], "is up to the cluster at tcp://127.0.0.1:8786: leave it out"),
    (["--job", "queue=short"], "--job: is for jobs of a batch system: add --cluster slurm or htcondor"),
    (["--workers", "2", "--job", "queue=short"], "--job: describes the jobs of a batch system"),
    (["--job", "queue"], "expected KEY=VALUE, received 'queue'"),
    (["--job", "my queue=short"], "expected KEY=VALUE"),
    (["--dry-run"], "--dry-run: is for jobs of a batch system"),
    (["--workers", "2", "--dry-run"], "--dry-run: is for jobs of a batch system"),
    (["--cluster", "slurm", "--workers", "2", "--dry-run", "--job", "qeue=short"], "--job: "),
    (["--workers", "2", "train.engine=keras"], "search.window: the keras engine trains one plan after another"),
    (["--workers", "2", "search.strategy=ramp"], "search.strategy: ramp"),
]


@pytest.mark.parametrize(("words", "message"), WRONG, ids=[" ".join(words)[:40] for words, _ in WRONG])
def test_wrong_words_are_refused(
    file: Path, tmp_path: Path, words: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["search", *searching(tmp_path, file, tmp_path / "out", *words)[3:]])
    except SystemExit as stop:
        code = stop.code
    error = capfd.readouterr().err
    assert code == 2, error
    assert message in error
    assert len(error.strip().splitlines()) <= 2
    assert not (tmp_path / "out").exists()


def test_no_scheduler_at_an_address(
    file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qap.search.workers.CONNECT_SECONDS", 1)
    where = f"tcp://127.0.0.1:{free_port()}"
    assert main(["search", *searching(tmp_path, file, tmp_path / "out", "--cluster", where)[3:]]) == 2
    error = capfd.readouterr().err
    assert f"--cluster: no scheduler at {where}: " in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("system", "program"), [("slurm", "sbatch"), ("htcondor", "condor_submit")])
def test_no_batch_system_here(
    file: Path, tmp_path: Path, system: str, program: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    words = searching(tmp_path, file, tmp_path / "out", "--cluster", system, "--workers", "2")
    assert main(["search", *words[3:]]) == 3
    assert f"--cluster {system}: no {program} here: log in where jobs are submitted" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("missing", ["distributed", "dask_jobqueue"])
def test_packages_that_are_not_installed_are_named(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ToolMissingError, match=r"pip install 'qap\[cluster\]'"):
        Workers(2, "slurm").script()


def test_the_script_of_a_slurm_job(file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    more = ["--job", "queue=short", "--job", "walltime=02:00:00", "--job", "memory=3GB"]
    words = searching(tmp_path, file, tmp_path / "out", "--cluster", "slurm", "--workers", "20", "--dry-run", *more)
    assert main(["search", *words[3:]]) == 0
    script = capfd.readouterr().out
    for line in ("#SBATCH -p short", "#SBATCH -t 02:00:00", "#SBATCH --mem=3G", "#SBATCH --cpus-per-task=1", "#SBATCH -n 1"):
        assert line in script.splitlines(), script
    for name in LIBRARIES:
        assert f"export {name}=1" in script.splitlines(), script
    assert "--nthreads 1" in script
    assert "tls://" in script, "certificates of the search's own"
    assert "BEGIN" not in script, "no key in the script"
    assert not (tmp_path / "out").exists()


def test_the_script_of_a_htcondor_job() -> None:
    script = Workers(20, "htcondor", {"memory": "3GB"}).script()
    for line in ("MY.DaskWorkerCores = 1", "MY.DaskWorkerMemory = 3000000000", "MY.DaskWorkerDisk = 2000000000"):
        assert line in script.splitlines(), script
    assert all(f"export {name}=1" in script for name in LIBRARIES)
    assert "tls://" in script


def test_certificates_are_readable_for_the_user_alone_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with Workers(1, "slurm")._jobs():
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert len(files) == 3
        assert all(path.stat().st_mode & 0o077 == 0 for path in (*files, *(file.parent for file in files)))
    assert not list(tmp_path.rglob("*.pem"))


def test_the_pages_of_a_scheduler_are_for_this_machine_alone() -> None:
    with Workers(1, "slurm")._jobs() as batch:
        assert batch.scheduler.http_server.address == "127.0.0.1"
    with Workers(1)._processes(pytest.importorskip("distributed")) as local:
        assert local.scheduler.http_server.address == "127.0.0.1"
        assert local.scheduler_address.startswith("tls://127.0.0.1:")


@pytest.mark.parametrize(("count", "cluster"), [(None, None), (-1, None), (0, "slurm"), (None, "htcondor"), (1, "ftp://a:1")])
def test_workers_that_cannot_be(count: int | None, cluster: str | None) -> None:
    with pytest.raises(InputError, match="^--"):
        Workers(count, cluster)
