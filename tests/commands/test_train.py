"""``qap train``: one plan, with the proof and the deliverables of a search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qap.__main__ import main
from qap.candidate import Candidate
from qap.commands.train import single
from qap.config.load import load_config
from qap.models.architecture import Architecture
from qap.plan import Plan
from qap.report.data import Report
from qap.search.run import run_search, trained
from qap.search.study import Study

from ..conftest import blobs, uniform_plan

STUDY = """
name: small
data: {name: events.npz, input: {bits: 8}}
model: {hidden: [4]}
train: {batch: 100, epochs: 3, parent_epochs: 3}
prune: {frequency: 1}
search: {strategy: ramp, seconds: 0.001, constraints: {ebops: 1}, keep_timing: true}
report: {bootstrap: 10}
"""
"""What a search of this file would refuse or leave nothing of is no concern of one plan."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    table = blobs(1000)
    np.savez(folder / "events.npz", features=table.features, labels=table.labels)
    (folder / "study.yaml").write_text(STUDY)
    uniform_plan(["fc1", "output"], 5, sparsity=0.5).save(folder / "plan.yaml")
    return folder


@pytest.fixture(scope="module")
def out(folder: Path) -> Path:
    """Return the directory of a trained plan."""
    words = ["train", str(folder / "study.yaml"), "train.learning_rate=0.01", "--plan", str(folder / "plan.yaml"), "--quiet"]
    assert main([*words, "--output", str(folder / "out")]) == 0
    return folder / "out"


def test_one_plan_with_all_that_a_search_delivers(folder: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = Plan.load(folder / "plan.yaml")
    name = Candidate(Architecture.mlp(6, [4], 3, batchnorm=True), plan).id
    report = Report.load(out / "report.json")
    assert [entry.id for entry in report.front] == [name]
    entry = report.front[0]
    assert entry.parity is not None
    assert (entry.parity.exact, entry.parity.events) == (200, 200)
    assert report.data.n_held_back == 0
    assert report.command.startswith("qap train ")
    assert "train.learning_rate=0.01 --plan" in report.command
    assert Plan.load(out / "candidates" / name / "plan.yaml") == plan
    assert (out / "candidates" / name / "firmware" / "build_prj.tcl").is_file()
    assert (out / "report.html").is_file()
    with np.load(out / "candidates" / name / "weights.npz") as weights:
        kernel = weights["fc1/kernel"]
    assert np.mean(kernel == 0) >= 0.5, "half of the weights are pruned"
    assert main(["train", str(folder / "study.yaml"), "--plan", str(folder / "plan.yaml"), "--output", str(out)]) == 2
    assert "not empty" in capsys.readouterr().err


def test_the_weights_are_those_of_a_search_that_begins_with_the_plan(folder: Path, out: Path) -> None:
    words = ["train.learning_rate=0.01", "search.strategy=grid", "search.holdback=0", "search.trials=1", "search.constraints={}"]
    config = load_config(folder / "study.yaml", [*words, "search.keep_timing=false", "search.seconds=null"])
    study = run_search(config, folder / "grid", folder=folder, plans=[Plan.load(folder / "plan.yaml")])
    ours, theirs = ([one.weights(candidate) for candidate in trained(one)] for one in (Study.open(out), study))
    assert [len(ours), len(theirs)] == [1, 1]
    assert all(np.array_equal(ours[0][name], theirs[0][name]) for name in ours[0])


def test_only_the_choice_is_taken_from_the_study(folder: Path) -> None:
    config = load_config(folder / "study.yaml", ["search.final_epochs=2"])
    found = single(config)
    assert (found.search.trials, found.search.seconds, found.search.holdback) == (1, None, 0)
    assert found.search.final_epochs == 2
    assert found.model_copy(update={"search": config.search}) == config
