"""Work that may never come back, or take the process with it, is done by another process first: HDF5 with a damaged file.

One helper process stays and forks for each piece of work, so that a file costs milliseconds and not the start of a Python.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

from qap.errors import InputError, QapError

_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from qap.rehearsal import serve; serve()"


class LostError(Exception):
    """The process that did the work was ended by its limit, or died."""


class _Helper:
    """The process that forks, and the pipes to it."""

    def __init__(self) -> None:
        self._lock, self._owner = Lock(), os.getpid()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        atexit.register(self.end)

    def ask(self, request: bytes) -> bytes:
        """Return the answer to a request; on an interrupt end the helper, which would answer too late."""
        read, write = self._process.stdout, self._process.stdin
        assert read is not None
        assert write is not None
        with self._lock:
            try:
                write.write(request + b"\n")
                write.flush()
                answer = read.readline()
            except BaseException as error:
                self.end()
                if isinstance(error, OSError):
                    return b""
                raise
        return answer

    def end(self) -> None:
        """End the process, unless it is that of another one, which has forked us."""
        if self._owner != os.getpid():
            return
        atexit.unregister(self.end)
        _helper.cache_clear()
        self._process.kill()
        with contextlib.suppress(OSError):  # what was not sent
            self._process.communicate()


@lru_cache(maxsize=1)
def _helper(process: int) -> _Helper:
    """Return the helper of this process; one that has been forked gets its own."""
    return _Helper()


def rehearse(function: Callable[..., Any], *given: Any, seconds: float) -> Any:
    """Call a function in a process of its own.

    Parameters
    ----------
    function : callable
        Of a module of qap; what it is given and returns are JSON's values.
    *given
        Its parameters.
    seconds : float
        CPU time that it may take, whole seconds.

    Returns
    -------
    Any
        What it returns; None where it raises an error that is not the package's: who calls it in earnest meets that too.

    Raises
    ------
    LostError
        It took longer, or died.
    InputError
        It raises one.
    QapError
        The helper cannot be started.
    """
    request = [function.__module__, function.__qualname__, int(seconds), str(Path.cwd()), given]
    answer = _helper(os.getpid()).ask(json.dumps(request).encode())
    if not answer:
        _helper(os.getpid()).end()
        raise QapError("the process that reads HDF5 files first has ended: is memory left? Try again")
    found = json.loads(answer)
    if found is None:
        raise LostError
    if "refused" in found:
        raise InputError(found["refused"])
    return found["value"]


def serve() -> None:
    """Answer requests until nobody asks any more; runs in the helper."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries print
    with contextlib.suppress(ImportError):
        import_module("h5py")  # once
    for request in sys.stdin.buffer:
        module, name, seconds, folder, given = json.loads(request)
        function = getattr(import_module(module), name)
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(read)
            _work(function, given, seconds, folder, write)
        os.close(write)
        with os.fdopen(read, "rb") as said:
            answer = said.read()
        _, status = os.waitpid(child, 0)
        out.write((b"null" if status else answer) + b"\n")
        out.flush()


def _work(function: Callable[..., Any], given: list[Any], seconds: int, folder: str, write: int) -> None:
    """Do the work and end the process."""
    status = 1
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        os.chdir(folder)
        try:
            found = {"value": function(*given)}
        except InputError as error:
            found = {"refused": str(error)}
        except Exception:
            found = {"value": None}
        with os.fdopen(write, "w") as said:
            json.dump(found, said)
        status = 0
    finally:
        os._exit(status)


def seconds_for(path: Path) -> int:
    """Return the CPU time for reading a file: 2 s, and one more for each megabyte, which packed zeros take."""
    return 2 + int(path.stat().st_size / 1e6)
