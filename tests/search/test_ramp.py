"""The ramp on a small task: its front, its way down, stops and resumption, wrong turns."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from qap.config.load import load_config
from qap.config.schema import Study as Config
from qap.errors import InputError
from qap.report.data import Report
from qap.report.write import run_study
from qap.search.ramp_place import FILE
from qap.search.run import run_search, trained
from qap.search.searcher import Progress
from qap.search.study import Study

from .conftest import stored_lines

SMALL = [
    "model.hidden=[8]", "model.batchnorm=false", "train.batch=200", "train.parent_epochs=3", "data.input.bits=8",
    "report.bootstrap=20",
    "search.strategy=ramp", "search.objectives=[accuracy,ebops_traced]", "search.ramp.smallest=0.005", "search.holdback=0",
]  # fmt: skip


def _config(file: Path, *overrides: str) -> Config:
    return load_config(None, [*SMALL, f"data.name={file}", "search.trials=60", *overrides])


@pytest.fixture(scope="module")
def whole(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ramp that was never stopped, without firmware."""
    directory = tmp_path_factory.mktemp("ramp") / "study"
    run_search(_config(file, "firmware.build=false"), directory)
    return directory


def test_it_goes_down_from_the_parent_to_a_few_digits(whole: Path) -> None:
    costs = [line["cost"]["figures"]["ebops_traced"]["value"] for line in stored_lines(whole)]
    assert costs[0] > 1000, costs[0]
    assert min(costs) < 0.05 * costs[0], (costs[0], min(costs))
    log = (whole / "log.txt").read_text()
    assert "ramp: 60 epochs" in log
    for line in stored_lines(whole):
        figures = line["cost"]["figures"]
        assert figures["ebops_traced"]["value"] <= figures["ebops"]["value"]
        assert line["plan"]["fc1"]["granularity"] == "digit"
    best = max(line["metrics"]["accuracy_validation"] for line in stored_lines(whole))
    parent = json.loads(next((whole / "parents").glob("*/metrics.json")).read_text())["accuracy_validation"]
    assert best > parent - 0.03, f"best {best}, float parent {parent}"


def test_a_stopped_ramp_goes_on_and_ends_as_the_whole_one(whole: Path, file: Path, tmp_path: Path) -> None:
    config, directory = _config(file, "firmware.build=false"), tmp_path / "stopped"
    for epochs in (40, 57):  # on the way, while polishing

        def stop(progress: Progress, epochs: int = epochs) -> None:
            if progress.message.startswith(f"ramp: epoch {epochs},"):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run_search(config, directory, resume=directory.exists(), watch=stop)
        assert (directory / FILE).is_file()
    run_search(config, directory, resume=True)
    assert stored_lines(directory) == stored_lines(whole)


def test_a_damaged_checkpoint_is_named(whole: Path, file: Path, tmp_path: Path) -> None:
    directory = tmp_path / "damaged"
    study = Study.create(directory, _config(file, "firmware.build=false"))
    (study.directory / FILE).write_bytes(b"no archive")
    with pytest.raises(InputError, match=rf"{FILE}: missing or damaged"):
        run_search(study.config, directory, resume=True)


def test_every_member_of_the_front_is_proven(file: Path, tmp_path: Path) -> None:
    settings = ("search.trials=30", "search.ramp.smallest=0.02", "search.ramp.tie_free=true")
    report = run_study(_config(file, *settings), tmp_path / "study")
    for candidate in trained(Study.open(tmp_path / "study")):
        plan, inputs = candidate.plan, candidate.plan.inputs
        assert inputs is not None
        assert plan["fc1"].bias.fractional >= inputs.precision.fractional + plan["fc1"].weight.fractional
    assert len(report.front) >= 2
    assert all(entry.parity and entry.parity.proven for entry in report.front)
    rows = list(csv.DictReader((tmp_path / "study" / "front.csv").open()))
    front = Report.load(tmp_path / "study" / "report.json").front
    assert [float(row["ebops_traced"]) for row in rows] == [entry.cost["ebops_traced"] for entry in front]


@pytest.mark.slow
@pytest.mark.parametrize("cost", ["da4ml", "LUT", "ebops"])
def test_other_costs_drive_it(cost: str, file: Path, tmp_path: Path) -> None:
    run = _config(file, f"search.ramp.cost={cost}", "search.trials=25", "firmware.build=false", "search.ramp.smallest=0.05")
    study = run_search(run, tmp_path / "study")
    ebops = [one.cost["ebops_traced"] for one in trained(study) if one.cost is not None]
    assert min(ebops) < 0.3 * max(ebops), (min(ebops), max(ebops))


@pytest.mark.slow
def test_several_trajectories_and_a_budget_in_cpu_seconds(file: Path, tmp_path: Path) -> None:
    config = _config(
        file, "search.trials=null", "search.seconds=4", "search.clock=cpu", "search.ramp.trajectories=2", "firmware.build=false"
    )
    study = run_search(config, tmp_path / "study")
    assert len(list(trained(study))) >= 1


@pytest.mark.slow
def test_a_regression_ramp(regression_data, tmp_path: Path) -> None:
    settings = [text for text in SMALL if "objectives" not in text]
    config = load_config(
        None, [*settings, "search.objectives=[rmse,ebops_traced]", "search.trials=20", "firmware.build=false"]
    )
    study = run_search(config, tmp_path / "study", data=regression_data)
    assert all("rmse_validation" in one.metrics for one in trained(study))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("compress=[qat]", "ramp chooses weights"),
        ("search.final_epochs=1", "ramp chooses weights"),
        ("train.engine=keras", "ramp needs train.engine population"),
        ("model.activation=linear", "ramp needs model.hidden with model.activation relu"),
    ],
)
def test_what_it_cannot_do_is_refused(override: str, message: str, file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        run_search(_config(file, override, "firmware.build=false", "search.trials=2"), tmp_path / "study")
    assert not (tmp_path / "study").exists()
