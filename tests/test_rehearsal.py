"""Work that may not come back is done by another process first."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from qap.errors import InputError, QapError
from qap.rehearsal import LostError, _helper, rehearse


def spin() -> None:
    """Never come back."""
    while True:
        pass


def die() -> None:
    """Take the process with it."""
    os.kill(os.getpid(), signal.SIGSEGV)


def stumble() -> None:
    """Raise what is not the package's."""
    raise ValueError


def refuse(text: str) -> None:
    """Raise what is."""
    raise InputError(text)


def there(name: str) -> tuple[int, bool]:
    """Return the process, and whether a file is there."""
    print("libraries print")
    return os.getpid(), Path(name).exists()


def test_what_comes_back_and_what_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").touch()
    monkeypatch.chdir(tmp_path)
    process, found = rehearse(there, "x", seconds=5)
    assert process != os.getpid()
    assert found
    assert rehearse(there, "y", seconds=5)[1] is False
    with pytest.raises(LostError):
        rehearse(spin, seconds=1)
    with pytest.raises(LostError):
        rehearse(die, seconds=5)
    assert rehearse(stumble, seconds=5) is None
    with pytest.raises(InputError, match="^no: é$"):
        rehearse(refuse, "no: é", seconds=5)


def test_an_interrupt_and_a_dead_helper_do_not_disturb_what_follows() -> None:
    def ring(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        rehearse(spin, seconds=1)
    assert time.monotonic() - start < 5
    assert rehearse(there, "/", seconds=5)[1]
    _helper(os.getpid())._process.kill()
    with pytest.raises(QapError, match="has ended"):
        rehearse(there, "/", seconds=5)
    assert rehearse(there, "/", seconds=5)[1]
