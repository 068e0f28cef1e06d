"""A study is trained again from what it has stored, and comes out the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from qap.config.load import load_config
from qap.errors import InputError
from qap.search.replay import recorded
from qap.search.run import run_search
from qap.search.study import LOG

from .conftest import stored_lines
from .test_hybrid import SMALL


@pytest.mark.slow
def test_a_replayed_study_comes_out_bit_for_bit(file: Path, tmp_path: Path) -> None:
    """With inherited weights, promoted survivors, a supernet and a last training by the keras engine."""
    config = load_config(None, [*SMALL, f"data.name={file}", "search.hybrid.supernet_epochs=0.5", "search.final_epochs=0.5"])
    study = run_search(config, tmp_path / "study")
    records = list(study.records())
    origins = {"parent" if one.origin is None else "supernet" if one.origin[0] == "supernet" else "training" for one in records}
    assert origins == {"parent", "supernet", "training"}
    again = run_search(config, tmp_path / "again", replay=study.directory)
    assert stored_lines(again.directory) == stored_lines(study.directory)
    assert f"0 of {len(records)} trainings came out differently" in (again.directory / LOG).read_text()


def test_what_cannot_be_replayed_is_refused(tmp_path: Path) -> None:
    config = load_config(None, SMALL)
    with pytest.raises(InputError, match="no study here"):
        recorded(tmp_path, config)
