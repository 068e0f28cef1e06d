"""The command line as a user meets it: wrong input, help, stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from qap.__main__ import main

from ..conftest import blobs


@pytest.fixture
def study(tmp_path: Path) -> Path:
    table = blobs(400)
    np.savez(tmp_path / "blobs.npz", features=table.features, labels=table.labels)
    features = table.features.copy()
    features[3, 1] = np.nan
    np.savez(tmp_path / "nan.npz", features=features, labels=table.labels)
    np.savez(tmp_path / "short.npz", features=table.features, labels=table.labels[:-1])
    np.savez(tmp_path / "floats.npz", features=table.features, labels=table.labels + 0.5)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    path = tmp_path / "study.yaml"
    path.write_text("data: {name: blobs.npz}\nmodel: {hidden: [4]}\ntrain: {batch: 100, epochs: 1, parent_epochs: 1}\n")
    return path


WRONG = [
    (["search.trails=3"], "unknown key search.trails (did you mean 'trials'?)"),
    (["search.trials=ten"], "search.trials: expected a valid integer, received 'ten'"),
    (["search.space.weight_bits=0"], "received 0"),
    (["search.space.weight_bits=[4,40]"], "less than or equal to 32, received 40"),
    (["search.space.layers.fc9.weight_bits=4"], "no layer 'fc9'"),
    (["search.objectives=[rmse,ebops]"], "use accuracy, auc, auc_worst or signal_efficiency"),
    (["search.objectives=[resolution,ebops]"], "search.objectives: resolution is for regression"),
    (
        ["search.objectives=[signal_efficiency,ebops]", "search.signal.class=9"],
        "search.signal.class: expected a number from 0 to 2",
    ),
    (["search.signal.background_efficiency=0"], "search.signal.background_efficiency: expected greater than 0, received 0"),
    (["search.holdback=1.5"], "search.holdback: expected less than 1, received 1.5"),
    (["data.name=none.npz"], "none.npz: no such file"),
    (["data.name=jest"], "did you mean 'jets'"),
    (["data.name=nan.npz"], "NaN or infinite, the first in column 'x1', event 3"),
    (["data.name=short.npz"], "labels: expected 400 integers"),
    (["data.name=floats.npz"], "labels: expected 400 integers"),
    (["train.batch=100000"], "train.batch: expected at most 280"),
    (["prune.layers.fc9.end=0.3"], "no layer 'fc9'"),
    (["model.function=nowhere:model"], "No module named 'nowhere'"),
    (["firmware.synthesis=true"], "set firmware.rtl=true too"),
    (["firmware.adders_per_stage=0"], "firmware.adders_per_stage: expected greater than or equal to 1, received 0"),
    (["firmware.synthesis_seconds=0"], "firmware.synthesis_seconds: expected greater than 0, received 0"),
    (["--output", "{folder}/full"], "not empty"),
    (["--output", "{folder}/nothing", "--resume"], "no study here"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[" ".join(arguments)[:40] for arguments, _ in WRONG])
def test_wrong_input_is_said_in_two_lines_with_exit_code_2(
    study: Path, arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    filled = [argument.format(folder=study.parent) for argument in arguments]
    output = [] if "--output" in filled else ["--output", str(study.parent / "out")]
    before = sorted(study.parent.rglob("*"))
    assert main(["search", str(study), *filled, *output]) == 2
    error = [line for line in capfd.readouterr().err.splitlines() if not line.startswith("training ")]
    assert message in " ".join(error), error
    assert len(error) <= 2, error
    assert "Traceback" not in " ".join(error)
    left = [path for path in sorted(study.parent.rglob("*")) if path not in before and path.is_file()]
    assert not left, "a refused study leaves nothing behind"


def test_a_missing_study_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "none.yaml"]) == 2
    assert "none.yaml: no such study file" in capsys.readouterr().err


def test_no_compiler_is_said_before_anything_is_trained(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(study.parent))
    assert main(["search", str(study), "--output", str(study.parent / "out")]) == 3
    assert "g++ is missing" in capsys.readouterr().err
    assert not (study.parent / "out").exists()


@pytest.mark.parametrize("arguments", [[], ["serch"], ["search"], ["search", "study.yaml", "--outptu", "x"]])
def test_wrong_words_on_the_command_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: qap" in capsys.readouterr().err


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["search", "--help"])
    assert stop.value.code == 0
    assert "qap search configs/jets.yaml" in capsys.readouterr().out


def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(study: Path) -> None:
    output = study.parent / "out"
    command = [sys.executable, "-m", "qap.search", str(study), "search.trials=500", "--output", str(output)]
    def hear() -> None:  # a shell's background job and all that it starts ignore the signal
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=hear)
    store = output / "candidates.jsonl"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None and not (store.exists() and store.read_text()):
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "--resume" in error.splitlines()[-1]
    assert "Traceback" not in error
    assert store.read_text().endswith("\n")
