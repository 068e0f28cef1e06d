"""Where workers come from: this machine, a Dask cluster that runs already, or the jobs of a batch system."""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from qap.errors import InputError, ToolMissingError, suggestion

LIBRARIES = "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"
ONE_THREAD = dict.fromkeys(LIBRARIES, "1")
"""A worker has one thread: as many workers as cores, and no more threads than cores."""
SETTINGS = {
    "distributed.scheduler.allowed-failures": 0,  # a training is sent again by the search, which knows what killed its worker
    "distributed.nanny.pre-spawn-environ": ONE_THREAD,
    "distributed.scheduler.worker-saturation": 1.1,
    "distributed.comm.retry.count": 3,
    "distributed.admin.tick.interval": "500ms",  # by default each process looks at its own loop 50 times a second
    "distributed.worker.memory.monitor-interval": "500ms",
    "distributed.client.scheduler-info-interval": "10s",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.worker.profile.enabled": False,
}
SYSTEMS = {"slurm": "SLURMCluster", "htcondor": "HTCondorCluster"}
ROLES = "scheduler", "worker", "client"
SUBMIT = {"slurm": "sbatch", "htcondor": "condor_submit"}
ADDRESS = re.compile(r"(tcp|tls|ucx|ws|wss)://\S+:\d+")
CONNECT_SECONDS = 10
PAGES = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
"""Dask's scheduler always has a server of web pages: none for others to see, on a port that nobody else wants."""
JOB, DISK = {"cores": 1, "processes": 1, "memory": "4GB"}, "2GB"
"""What a job asks for where the user says nothing; HTCondor wants to know of the disk too."""


def _nothing() -> None:
    """Leave it to the cluster."""


@dataclass(frozen=True)
class Pool:
    """Workers that are there.

    Parameters
    ----------
    connect : callable
        Returns a `distributed.Client`.
    heal : callable
        Called every few seconds: starts those again that have ended for good.
    """

    connect: Callable[[], Any]
    heal: Callable[[], None] = _nothing


@dataclass(frozen=True)
class Workers:
    """Who trains for a search.

    Parameters
    ----------
    count : int, optional
        Processes on this machine, or jobs of a batch system.
    cluster : str, optional
        ``tcp://host:port`` of a Dask scheduler, ``slurm`` or ``htcondor`` (None: this machine).
    job : mapping
        For a batch system: what dask-jobqueue's ``SLURMCluster`` or ``HTCondorCluster`` takes, for example ``queue``,
        ``walltime``, ``memory``, ``interface``. Further settings come from dask-jobqueue's own configuration files.
    memory : int, optional
        Bytes that a worker process on this machine may take before it is replaced (None: its share of the memory).

    Raises
    ------
    InputError
        A number that is missing or has no meaning, an unknown cluster, options without jobs.
    """

    count: int | None = None
    cluster: str | None = None
    job: Mapping[str, Any] = field(default_factory=dict)
    memory: int | None = None

    def __post_init__(self) -> None:
        if self.cluster is not None and self.cluster not in SYSTEMS and not ADDRESS.fullmatch(self.cluster):
            raise InputError(
                f"--cluster: expected tcp://host:port, {' or '.join(SYSTEMS)}; received {self.cluster!r}"
                f"{suggestion(self.cluster, SYSTEMS)}"
            )
        if self.batch or self.cluster is None:
            if self.count is None or self.count < 1:
                raise InputError(f"--workers: expected 1 or more, received {self.count}")
        elif self.count is not None:
            raise InputError(f"--workers: how many there are is up to the cluster at {self.cluster}: leave it out")
        if self.job and not self.batch:
            raise InputError(f"--job: describes the jobs of a batch system: add --cluster {' or '.join(SYSTEMS)}")

    @property
    def batch(self) -> bool:
        """True for jobs of a batch system."""
        return self.cluster in SYSTEMS

    @contextlib.contextmanager
    def open(self) -> Iterator[Pool]:
        """Start the workers, or find those that run.

        Yields
        ------
        Pool
            For `qap.search.fleet.Fleet`.

        Raises
        ------
        ToolMissingError
            dask.distributed, dask-jobqueue or the batch system is not installed.
        InputError
            No scheduler at that address, or options that the batch system does not know.
        """
        distributed = _package("distributed")
        settings = _package("dask").config
        with settings.set(SETTINGS), import_module("distributed.utils").silence_logging_cmgr(logging.CRITICAL):
            if self.cluster is None:
                with self._processes(distributed) as cluster:
                    cluster.scale(self.count)
                    yield Pool(lambda: distributed.Client(cluster, set_as_default=False), _Healer(cluster, self.count or 1))
            elif self.batch:
                with self._jobs() as cluster:
                    cluster.scale(jobs=self.count)
                    yield Pool(lambda: distributed.Client(cluster, set_as_default=False))
            else:
                yield Pool(lambda: distributed.Client(self.cluster, set_as_default=False, timeout=CONNECT_SECONDS))

    def check(self) -> None:
        """Refuse workers that cannot be had, before anything is written.

        Raises
        ------
        InputError, ToolMissingError
            As `open`.
        """
        distributed = _package("distributed")
        if self.batch:
            _package("dask_jobqueue", "dask-jobqueue")
            if shutil.which(SUBMIT[str(self.cluster)]) is None:
                raise ToolMissingError(
                    f"--cluster {self.cluster}: no {SUBMIT[str(self.cluster)]} here: log in where jobs are submitted"
                )
        elif self.cluster is not None:
            try:
                distributed.Client(self.cluster, set_as_default=False, timeout=CONNECT_SECONDS).close()
            except (OSError, ValueError) as error:
                raise InputError(f"--cluster: no scheduler at {self.cluster}: {str(error).splitlines()[0]}") from None

    def script(self) -> str:
        """Return the script of one job, as the batch system gets it."""
        _package("distributed")
        with self._jobs() as cluster:
            return str(cluster.job_script())

    def _processes(self, distributed: Any) -> Any:
        """Start processes that talk through the loopback interface, with certificates of their own: nobody else may send work."""
        return distributed.LocalCluster(
            n_workers=0, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0",
            memory_limit=self.memory or "auto", security=distributed.Security.temporary(), silence_logs=logging.CRITICAL,
            scheduler_kwargs=PAGES,
        )  # fmt: skip

    @contextlib.contextmanager
    def _jobs(self) -> Iterator[Any]:
        """Prepare jobs whose workers find the search by certificates in a directory of the user's own that they share."""
        jobqueue = _package("dask_jobqueue", "dask-jobqueue")
        disk = {"disk": DISK} if self.cluster == "htcondor" else {}
        own = _package("dask").config.get(f"jobqueue.{self.cluster}.scheduler-options", {})
        prologue = [f"export {name}={value}" for name, value in ONE_THREAD.items()]
        with tempfile.TemporaryDirectory(prefix=".qap-", dir=Path.home()) as shared:
            tls = {"protocol": "tls://", "security": _security(Path(shared))}
            try:
                made = getattr(jobqueue, SYSTEMS[str(self.cluster)])(
                    **{**JOB, **disk, "job_script_prologue": prologue, "scheduler_options": {**PAGES, **own}, **tls, **self.job}
                )
            except (TypeError, ValueError, RuntimeError) as error:
                raise InputError(f"--job: {str(error).splitlines()[0]}") from None
            with made as cluster:
                yield cluster


class _Healer:
    """Replaces processes that Dask has given up: it starts one again that dies at work, not one that dies while it starts."""

    def __init__(self, cluster: Any, count: int) -> None:
        self._cluster, self._count = cluster, count
        self._dead: set[Any] = set()

    def __call__(self) -> None:
        cluster = self._cluster
        dead = {name for name, nanny in list(cluster.workers.items()) if not nanny.is_alive()}
        for name in dead & self._dead:  # one that is dead twice in a row is not on its way
            cluster.workers.pop(name, None)
            cluster.worker_spec.pop(name, None)
        self._dead = dead - self._dead
        cluster.scale(self._count)


def _security(folder: Path) -> Any:
    """Return certificates for one search as files in a folder that only the user reads."""
    made = _package("distributed").Security.temporary()
    paths = {}
    for name in ("ca_file", "worker_cert", "worker_key"):
        paths[name] = folder / f"{name}.pem"
        paths[name].touch(mode=0o600)
        paths[name].write_text(getattr(made, f"tls_{name}"))
    roles = {f"tls_{role}_{kind}": str(paths[f"worker_{kind}"]) for role in ROLES for kind in ("cert", "key")}
    return type(made)(tls_ca_file=str(paths["ca_file"]), require_encryption=True, **roles)


def _package(name: str, title: str | None = None) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise ToolMissingError(f"workers need {title or name}: pip install 'qap[cluster]'") from None
