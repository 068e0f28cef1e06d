"""The whole search on a small task: determinism, kills, resume, judgement, wrong turns."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from qap.backend import custom_objects, stack
from qap.config.load import load_config
from qap.config.schema import Study as Config
from qap.datasets.dataset import prepare
from qap.datasets.hold_back import hold_back
from qap.datasets.load import load_dataset
from qap.errors import InputError
from qap.metrics import classification
from qap.models.builders import quantize_weights
from qap.plan import LayerPlan, Plan
from qap.precision import Precision
from qap.report.data import Report
from qap.report.write import run_study
from qap.search.run import run_search, search_front, trained
from qap.search.study import LOG, STORE, Study
from qap.training.job import Failed
from qap.training.keras_engine import KerasEngine, logits

from ..conftest import blobs, uniform_plan
from .conftest import stored_lines

SMALL = [
    "model.hidden=[8]", "train.batch=200", "train.parent_epochs=3", "train.epochs=1", "prune.frequency=2",
    "search.space.weight_bits=[2,4,6]", "search.space.activation_bits=[3,5]", "search.space.sparsity=[0.0,0.5]",
    "search.population=4", "data.input.bits=8", "report.bootstrap=20",
]  # fmt: skip


def _config(file: Path, *overrides: str) -> Config:
    return load_config(None, [*SMALL, f"data.name={file}", "search.trials=6", *overrides])


@pytest.fixture(scope="module")
def whole(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that was never stopped."""
    directory = tmp_path_factory.mktemp("whole") / "study"
    run_study(_config(file), directory)
    return directory


def test_a_study_holds_everything_that_is_promised(whole: Path) -> None:
    for name in ("config.yaml", "study.json", STORE, LOG, "front.csv", "report.json", "report.html"):
        assert (whole / name).is_file(), name
    study = Study.open(whole)
    judged = {entry.id for entry in Report.load(whole / "report.json").front}
    assert judged <= {candidate.id for candidate in search_front(study)}
    for candidate in (one for one in search_front(study) if one.id in judged):
        folder = study.candidate_directory(candidate)
        for name in ("model.keras", "plan.yaml", "weights.npz", "metrics.json", "firmware/build_prj.tcl"):
            assert (folder / name).is_file(), name
        assert Plan.load(folder / "plan.yaml") == candidate.plan
        model = stack().keras.models.load_model(folder / "model.keras", custom_objects=custom_objects(), compile=False)
        assert not any("prune" in layer.name for layer in model.layers)
        noted = json.loads((folder / "metrics.json").read_text())
        assert noted["parity"]["exact"] == noted["parity"]["events"] == 600
    assert not list(whole.rglob("*.part*")), "no half-written file is left"


def test_the_firmware_accuracy_is_that_of_integer_arithmetic(whole: Path, file: Path) -> None:
    """The test accuracy of each front member, computed again in NumPy from the stored weights."""
    study = Study.open(whole)
    data = load_dataset(study.config.data)
    judged = {entry.id for entry in Report.load(whole / "report.json").front}
    for candidate in (one for one in search_front(study) if one.id in judged):
        h = data.test.x.astype(np.float64)
        quantized = quantize_weights(candidate.plan, candidate.weights or {})
        for name, layer in candidate.plan.items():
            h = h @ quantized[f"{name}/kernel"] + quantized[f"{name}/bias"]
            h = h if layer.activation is None else layer.activation.quantize(h)
        noted = json.loads((study.candidate_directory(candidate) / "metrics.json").read_text())
        assert noted["metrics"]["accuracy"] == pytest.approx(np.mean(h.argmax(1) == data.test.y), abs=1e-12)


def test_a_model_is_read_or_built_and_gives_the_noted_score(whole: Path, tmp_path: Path) -> None:
    """Of the front from model.keras; of others, and where the file is of other weights, from the weights."""
    shutil.copytree(whole, tmp_path / "copy")
    study = Study.open(tmp_path / "copy")
    data = load_dataset(study.config.data)
    searched, _ = hold_back(data, study.config.search.holdback, study.config.seed)
    everyone = list(trained(study))
    read = [one for one in everyone if (study.candidate_directory(one) / "model.keras").is_file()]
    assert 0 < len(read) < len(everyone)
    unread = next(one for one in everyone if one not in read)
    first, other = (study.candidate_directory(one) / "model.keras" for one in (read[0], unread))
    shutil.copy(first, other)
    first.unlink()
    for candidate in everyone:
        found = logits(study.model(candidate.id[:6]), searched.validation.x)
        score = classification.accuracy(searched.validation.y, found, searched.validation.weight, "logits")
        assert score == candidate.metrics["accuracy_validation"], candidate.id
    assert set(study.candidate(read[0].id).weights or {}) == set(study.weights(read[0]))
    with pytest.raises(InputError, match="candidate 'zzz' of .*there is none"):
        study.candidate("zzz")
    with pytest.raises(InputError, match=f"candidate '' of .*: {len(everyone)} begin so"):
        study.model("")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_front_bit_for_bit(whole: Path, file: Path, tmp_path: Path) -> None:
    run_study(_config(file), tmp_path / "again")
    assert stored_lines(tmp_path / "again") == stored_lines(whole)
    assert (tmp_path / "again" / "front.csv").read_bytes() == (whole / "front.csv").read_bytes()
    for path in sorted(whole.glob("candidates/*/weights.npz")):
        with np.load(path) as one, np.load(tmp_path / "again" / path.relative_to(whole)) as two:
            assert all((one[key] == two[key]).all() for key in one.files)


def test_another_seed_gives_another_search(whole: Path, file: Path, tmp_path: Path) -> None:
    run_search(_config(file, "seed=2", "search.anchors=false", "search.trials=2"), tmp_path / "other")
    assert stored_lines(tmp_path / "other") != stored_lines(whole)[:2]


def _killed(command: list[str], directory: Path) -> int:
    """Run a search, kill it after its second candidate, and return how many it has stored."""
    process = subprocess.Popen(command, start_new_session=True)
    deadline, store = time.monotonic() + 300, directory / STORE
    while time.monotonic() < deadline and process.poll() is None:
        if store.exists() and store.read_bytes().count(b"\n") >= 2:
            break
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return len(stored_lines(directory))


def test_a_killed_and_resumed_search_ends_with_the_front_of_the_whole_one(whole: Path, file: Path, tmp_path: Path) -> None:
    directory = tmp_path / "killed"
    study_file = tmp_path / "study.yaml"
    study_file.write_text("{}\n")
    command = [
        sys.executable, "-m", "qap.search", str(study_file), *SMALL, f"data.name={file}", "search.trials=6", "--quiet",
        "--output", str(directory),
    ]  # fmt: skip
    for _ in range(4):  # the last four candidates take milliseconds: on a busy machine the kill may come late
        shutil.rmtree(directory, ignore_errors=True)
        kept = _killed(command, directory)
        if kept < 6:
            break
    assert 2 <= kept < 6, f"the kill came after {kept} candidates"
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert stored_lines(directory) == stored_lines(whole)
    assert (directory / "front.csv").read_bytes() == (whole / "front.csv").read_bytes()


def test_a_cut_line_is_set_aside_and_trained_again(whole: Path, file: Path, tmp_path: Path) -> None:
    directory = tmp_path / "cut"
    run_search(_config(file, "search.trials=2"), directory)
    text = (directory / STORE).read_text()
    (directory / STORE).write_text(text[:-40])
    run_search(_config(file, "search.trials=3"), directory, resume=True)
    assert sorted(line["id"] for line in stored_lines(directory)) == sorted(line["id"] for line in stored_lines(whole)[:3])
    assert (directory / "candidates.damaged.jsonl").is_file()
    assert "set aside" in (directory / LOG).read_text()


def test_plans_and_points_from_python_come_first(file: Path, tmp_path: Path) -> None:
    plan = uniform_plan(["fc1", "output"], 5, activation=4, sparsity=0.3)
    point = {"fc1.weight_bits": 6, "output.weight_bits": 2}
    study = run_search(_config(file, "search.trials=2"), tmp_path / "study", plans=[plan], points=[point])
    first, second = trained(study)
    assert first.plan == plan
    assert [layer.weight.bits for _, layer in second.plan.items()] == [6, 2]


def test_a_sweep_ends_when_every_plan_is_trained(file: Path, tmp_path: Path) -> None:
    space = [
        "search.strategy=grid",
        "search.space.weight_bits=[3,5]",
        "search.space.activation_bits=4",
        "search.space.sparsity=0.5",
    ]
    study = run_search(_config(file, *space, "search.trials=50"), tmp_path / "grid")
    assert len(list(trained(study))) == 2


def test_a_sampler_without_new_plans_ends_the_search(file: Path, tmp_path: Path) -> None:
    space = [
        "search.space.weight_bits=3",
        "search.space.activation_bits=4",
        "search.space.sparsity=[0.0,0.5]",
        "search.space.tie=[sparsity]",
    ]
    study = run_search(_config(file, *space, "search.trials=50"), tmp_path / "small")
    assert len(list(trained(study))) == 2


def test_a_budget_in_seconds_ends_the_search(file: Path, tmp_path: Path) -> None:
    study = run_search(_config(file, "search.trials=null", "search.seconds=0.5"), tmp_path / "timed")
    assert len(list(trained(study))) == 1


def test_a_regression_study(regression_data, tmp_path: Path) -> None:
    config = load_config(None, [*SMALL, "search.objectives=[rmse,ebops]", "search.trials=3"])
    report = run_study(config, tmp_path / "study", data=regression_data)
    header = (tmp_path / "study" / "front.csv").read_text().splitlines()[0]
    assert "rmse_validation" in header
    assert "accuracy" not in header
    assert all(entry.parity and entry.parity.proven for entry in report.front)


def test_a_study_without_firmware_says_that_nothing_is_proven(file: Path, tmp_path: Path) -> None:
    report = run_study(_config(file, "firmware.build=false", "search.trials=2"), tmp_path / "study")
    assert report.proven == 0
    assert all(entry.parity is None and entry.firmware is None for entry in report.front)


def test_a_candidate_whose_loss_diverges_is_dropped_and_the_search_goes_on(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, count = KerasEngine._train, iter(range(100))

    def diverging(self, job, data):
        if job.plan is not None and next(count) == 0:
            return Failed("the training loss became nan: lower train.learning_rate")
        return train(self, job, data)

    monkeypatch.setattr(KerasEngine, "_train", diverging)
    study = run_search(_config(file, "search.trials=3", "train.engine=keras"), tmp_path / "study")
    assert len(stored_lines(tmp_path / "study")) == 3
    assert len(list(trained(study))) == 2
    assert "dropped: the training loss became nan" in (tmp_path / "study" / LOG).read_text()


def test_wrong_turns_are_refused(whole: Path, file: Path, tmp_path: Path) -> None:
    config = _config(file)
    with pytest.raises(InputError, match="new or empty directory"):
        run_search(config, whole)
    with pytest.raises(InputError, match=r"another configuration: seed: 1 before, 5 now"):
        run_search(_config(file, "seed=5"), whole, resume=True)
    with pytest.raises(InputError, match="no study here"):
        run_search(config, tmp_path / "none", resume=True)
    (tmp_path / "a_file").write_text("")
    with pytest.raises(InputError, match="new or empty directory"):
        run_search(config, tmp_path / "a_file")
    with pytest.raises(InputError, match="rmse is for regression"):
        run_search(_config(file, "search.objectives=[rmse,ebops]"), tmp_path / "wrong")
    assert not (tmp_path / "wrong").exists(), "nothing is left of a refused study"
    other = tmp_path / "other.npz"
    table = blobs(seed=9)
    np.savez(other, features=table.features, labels=table.labels)
    (tmp_path / "moved.npz").write_bytes(file.read_bytes())
    run_search(_config(tmp_path / "moved.npz", "search.trials=1"), tmp_path / "study")
    (tmp_path / "moved.npz").write_bytes(other.read_bytes())
    with pytest.raises(InputError, match="the data have changed"):
        run_search(_config(tmp_path / "moved.npz", "search.trials=1"), tmp_path / "study", resume=True)


@pytest.mark.slow
def test_the_wide_students_plan_is_trained_and_proven_in_float64(tmp_path: Path) -> None:
    """30 inputs, layers 20-10-10-4, widths whose sums pass what float32 holds."""
    hidden = LayerPlan(Precision(9, 1), Precision(23, 15), Precision(16, 15, signed=False))
    last = LayerPlan(Precision(9, 1), Precision(23, 15), Precision(32, 15))
    plan = Plan((("fc1", hidden), ("fc2", hidden), ("fc3", hidden), ("output", last)))
    wide = prepare(blobs(2000, features=30, classes=4), Precision(12, 3))
    config = load_config(None, [*SMALL, "model.hidden=[20,10,10]", "data.input={bits: 12, integer: 3}", "search.trials=1"])
    report = run_study(config, tmp_path / "study", data=wide, plans=[plan])
    parity = report.front[0].parity
    assert parity is not None
    assert (parity.exact, parity.events, parity.reference) == (400, 400, "float64")


def test_open_widths_and_a_users_model_function(file: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from qap.models.builders import build\n\n"
        "def model(architecture, plan):\n    built = build(architecture, plan)\n    print(architecture)\n    return built\n"
    )
    overrides = ["search.strategy=random", "search.space.units=[4,8]", "search.trials=3", "model.function=mine:model"]
    study = run_search(_config(file, *overrides), tmp_path / "study", folder=tmp_path)
    widths = {candidate.architecture.layers[0].units for candidate in trained(study)}
    assert widths == {4, 8}
    assert len(list((tmp_path / "study" / "parents").iterdir())) == 2
