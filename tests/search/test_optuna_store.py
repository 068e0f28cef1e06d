"""A study in Optuna's own file, read back by Optuna."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from qap.candidate import Candidate, Cost, Figure
from qap.config.load import load_config
from qap.errors import InputError, QapError
from qap.models.architecture import Architecture
from qap.search.front import Front
from qap.search.optuna_store import to_optuna
from qap.search.record import Record
from qap.search.study import Study

from ..conftest import uniform_plan


def filled(directory: Path) -> Study:
    """Twelve candidates, among them one that failed."""
    study = Study.create(directory, load_config(None, ["name=blobs", "search.objectives=[accuracy,ebops]"]))
    for number in range(12):
        plan = uniform_plan(["fc1", "output"], 3 + number % 4, sparsity=0.1 * (number // 4))
        metrics = {"accuracy_validation": 0.5 + (7 * number % 12) / 100}
        cost = Cost({"ebops": Figure(100.0 * (5 * number % 12) + 50, "c")})
        candidate = Candidate(Architecture.mlp(6, [8], 3), plan, None, metrics, cost)
        study.add(Record(candidate, 1.0, 1.0, "diverged" if number == 11 else None))
    return study


def test_optuna_reads_the_trials_and_finds_the_same_front(tmp_path: Path) -> None:
    study = filled(tmp_path / "study")
    to_optuna(study, tmp_path / "study.journal")
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.journal")))
    found = optuna.load_study(study_name="blobs", storage=storage)
    candidates = [record.candidate for record in study.records() if record.error is None]
    assert [trial.user_attrs["candidate"] for trial in found.trials] == [one.id for one in candidates]
    assert found.metric_names == ["accuracy", "ebops"]
    for trial, one in zip(found.trials, candidates, strict=True):
        assert trial.values == [one.metrics["accuracy_validation"], one.cost["ebops"] if one.cost else None]
        assert trial.params["fc1.weight_bits"] == one.plan["fc1"].weight.bits
        assert trial.params["output.sparsity"] == one.plan["output"].sparsity
        assert "output.activation_bits" not in trial.params
    front = Front.of(candidates, ("accuracy", "ebops"))
    assert {trial.user_attrs["candidate"] for trial in found.best_trials} == {one.id for one in front}


def test_nothing_is_overwritten_and_an_empty_study_is_refused(tmp_path: Path) -> None:
    study = filled(tmp_path / "study")
    (tmp_path / "there").write_text("mine")
    with pytest.raises(InputError, match="there: is there already"):
        to_optuna(study, tmp_path / "there")
    assert (tmp_path / "there").read_text() == "mine"
    with pytest.raises(InputError, match="no such folder"):
        to_optuna(study, tmp_path / "missing" / "study.journal")
    with pytest.raises(QapError, match="no candidate could be trained"):
        to_optuna(Study.create(tmp_path / "empty", study.config), tmp_path / "empty.journal")
