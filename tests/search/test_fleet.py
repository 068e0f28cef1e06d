"""Searches whose trainings run on real workers give the same store as in one process."""

from __future__ import annotations

from pathlib import Path

import psutil

from qap.search.run import run_search
from qap.search.workers import Workers

from .conftest import same_search, small


def test_two_workers_give_the_search_of_one_process(whole_search: Path, file: Path, tmp_path: Path) -> None:
    run_search(small(file, "search.trials=8"), tmp_path / "two", workers=Workers(2))
    assert same_search(whole_search, tmp_path / "two")
    left = [" ".join(one.cmdline()) for one in psutil.Process().children(recursive=True)]
    assert not any("spawn_main" in words for words in left), "no worker is left"
