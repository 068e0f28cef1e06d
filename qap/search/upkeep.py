"""What a study needs before a search writes into it: it is locked, brought to the present format, and damage is set aside."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path

from qap.errors import InputError
from qap.files import append_line, write_text
from qap.search.formats import FORMAT
from qap.search.record import Key, Record
from qap.search.study import STORE, Study, weights_file

LOCK, DAMAGED = "study.lock", "candidates.damaged.jsonl"
UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


@contextlib.contextmanager
def locked(study: Study) -> Iterator[None]:
    """Keep other searches out of a study; the lock ends with the process, however it ends.

    Raises
    ------
    InputError
        Another search runs in it.
    """
    with (study.directory / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                file.seek(0)
                raise InputError(
                    f"{study.directory}: another search runs in it ({file.read().strip()}): wait for it, stop it, or choose "
                    "another --output"
                ) from None
            study.log(f"no lock: {error.strerror}: start no second search in this directory")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield


def mend(study: Study) -> None:
    """Bring a study's store to the present format and set aside what is damaged: cut lines, records without their weights.

    What is set aside goes to ``candidates.damaged.jsonl`` and is named in the log; it is trained again when the search asks for
    it. Call it with the study locked: a line that is being written looks like a cut one.
    """
    version = study.format
    lines, damaged = study.read()
    good: dict[Key, tuple[str, Record]] = {}
    why = [f"line {line[:40]!r} cannot be read" for line in damaged]
    for line, record in lines:
        key = record.key
        path = study.candidate_directory(record.candidate) / weights_file(record.rung)
        if key in good:
            continue  # written twice by a search that was killed between two files of its own
        if record.error is None and not _whole(path):
            why.append(f"{path.relative_to(study.directory)} is missing or damaged")
            damaged.append(line)
            continue
        good[key] = line, record
    if damaged or len(good) < len(lines) or version < FORMAT:
        if damaged:
            append_line(study.directory / DAMAGED, "\n".join(damaged))
        if version < FORMAT and lines:
            write_text(study.directory / f"candidates.format{version}.jsonl", "".join(f"{line}\n" for line, _ in lines))
        kept = (line if version == FORMAT else record.line() for line, record in good.values())
        write_text(study.directory / STORE, "".join(f"{line}\n" for line in kept))
    if version < FORMAT:
        study.note(format=FORMAT)
        study.log(f"study format {version} brought to {FORMAT}")
    for sentence in why:
        study.log(f"set aside: {sentence}; trained again when the search asks for it")


def _whole(path: Path) -> bool:
    """Tell whether a file of arrays is all there: its directory lies at its end."""
    try:
        with zipfile.ZipFile(path) as file:
            return bool(file.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
