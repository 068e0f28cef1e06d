"""``qap firmware`` as a user meets it: models, studies, wrong input, tools that are missing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qap.__main__ import main
from qap.backend import stack
from qap.config.load import load_config
from qap.errors import QapError
from qap.firmware import deliver as module
from qap.firmware.deliver import Delivery
from qap.report.write import run_study
from qap.search.run import search_front, trained
from qap.search.study import Study

from ..conftest import blobs
from ..firmware.helpers import mlp
from ..firmware.test_parity import _flip

LAYER = ("quantized_bits(4,0)", "quantized_bits(4,0)", "quantized_relu(8,3)")
TYPE = ["--precision", "quantized_bits(8,2)"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, events, a study of two candidates."""
    folder = tmp_path_factory.mktemp("firmware")
    model = mlp({"fc1": LAYER, "output": (*LAYER[:2], None)}, 6, [8, 3])
    model.save(folder / "tagger.keras")
    model.save(folder / "2-taggers.h5")
    layers = stack().keras.layers
    for suffix in ("keras", "h5"):
        changed = layers.Lambda(lambda x: x, name="code")(model.output)
        stack().keras.Model(model.input, changed).save(folder / f"lambda.{suffix}")
    stack().keras.Model(model.input, layers.Activation("softmax", name="probabilities")(model.output)).save(folder / "softmax.h5")
    stack().keras.Model(model.input, layers.Dense(2, name="dense")(model.output)).save(folder / "float.keras")
    table = blobs(600)
    np.savez(folder / "events.npz", features=table.features, labels=table.labels)
    np.savez(folder / "renamed.npz", x=table.features)
    np.savez(folder / "objects.npz", features=np.array([{}], dtype=object))
    np.savez(folder / "nan.npz", features=np.full((3, 6), np.nan))
    np.savez(folder / "narrow.npz", features=np.zeros((3, 5)))
    (folder / "text.npz").write_text("no arrays")
    (folder / "full").mkdir()
    (folder / "full" / "notes.txt").write_text("mine")
    (folder / "empty").mkdir()
    small = [
        f"data.name={folder}/events.npz", "model.hidden=[4]", "train.batch=200", "train.parent_epochs=1", "train.epochs=1",
        "search.space.weight_bits=[2,6]", "search.space.activation_bits=4", "search.space.sparsity=0.5", "search.trials=2",
        "data.input.bits=8", "report.bootstrap=10", "search.space.tie=[weight_bits]", "prune.frequency=1",
        "firmware.build=false", "firmware.ClockPeriod=4.0",
    ]  # fmt: skip
    run_study(load_config(None, small), folder / "study")
    return folder


def _run(folder: Path, arguments: list[str]) -> int:
    return main(["firmware", *(argument.format(folder=folder) for argument in arguments)])


def test_a_model_from_h5_with_events_and_settings_after_the_options(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--json prints the record and nothing else; what no C name holds does not reach it."""
    arguments = ["{folder}/2-taggers.h5", *TYPE, "--inputs", "{folder}/events.npz", "--rate", "0.1", "--json", "--version", "v2"]
    settings = ["--output", str(tmp_path / "out"), "firmware.Backend=Vivado", "ClockPeriod=2.5"]
    assert _run(folder, [*arguments, *settings]) == 0
    printed = capsys.readouterr()
    record = json.loads(printed.out)
    assert record["verdict"] == "exact"
    assert record["parity"]["exact"] == record["parity"]["events"] == 10_600
    assert record["settings"]["Backend"] == "Vivado"
    assert record["settings"]["ClockPeriod"] == 2.5
    assert [point["element"] for point in record["thresholds"]] == [0, 1, 2]
    assert (tmp_path / "out" / "emulator" / "model_2_taggers_v2.so").is_file()
    assert "set clock_period 2.5" in (tmp_path / "out" / "project" / "project.tcl").read_text()
    assert "data: 600 of 600 events bit-exact" in printed.err
    assert "Traceback" not in printed.err
    assert "TensorFlow" not in printed.err


def test_a_stage_without_the_tool_ends_with_3_and_the_delivery_stands(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The front's most accurate candidate, in its own folder; then the delivery by itself."""
    study = Study.open(folder / "study")
    best = max(search_front(study), key=lambda candidate: candidate.metrics["accuracy_validation"])
    assert _run(folder, ["{folder}/study", "--stage", "csynth", "--quiet"]) == 3
    error = capsys.readouterr()
    assert "vitis" in error.err.lower()
    assert len(error.err.splitlines()) == 1
    assert error.out == ""
    delivery = Delivery.load(study.candidate_directory(best) / "delivery")
    assert delivery.verdict == "exact"
    assert delivery.record["settings"]["ClockPeriod"] == 4.0
    assert delivery.record["parity"]["sets"]["data"] == {"events": 120, "exact": 120}
    assert "test split of events" in (delivery.directory / "summary.md").read_text()
    assert _run(folder, [str(delivery.directory)]) == 0
    assert "events bit-exact" in capsys.readouterr().out
    assert _run(folder, [str(delivery.directory), "--stage", "csynth"]) == 3


def test_another_candidate_by_the_beginning_of_its_id(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that has never been judged: it is built again from its weights. The study's settings hold."""
    made: list[Any] = []

    def stop(*given: Any, **options: Any) -> None:
        made.append((given, options))
        raise QapError("enough seen")

    monkeypatch.setattr(module, "deliver", stop)
    study = Study.open(folder / "study")
    candidates = list(trained(study))
    for candidate in candidates:
        path = study.candidate_directory(candidate) / "model.keras"
        path.unlink(missing_ok=True)
        words = ["{folder}/study", "--candidate", candidate.id[:6], "--output", str(tmp_path / "out"), "ReuseFactor=2"]
        assert _run(folder, words) == 1
        assert "enough seen" in capsys.readouterr().err
        (model, inputs, output, settings), options = made.pop()
        weights = study.weights(candidate)
        assert all(np.array_equal(weights[f"{name}/kernel"], model.get_layer(name).get_weights()[0]) for name in candidate.plan)
        assert (str(inputs), output) == ("quantized_bits(8,2)", tmp_path / "out")
        assert (settings.ReuseFactor, settings.ClockPeriod) == (2, 4.0)
        assert candidate.id in options["origin"]


WRONG = [
    (["none.keras"], "none.keras: no such model file or study"),
    (["{folder}/empty"], "expected a model file (.keras, .h5), a study or a delivery"),
    (["{folder}/events.npz"], "expected a Keras model saved as .keras or .h5"),
    (["{folder}/tagger.keras"], "the fixed-point type of the input 'inputs' is not known: give it"),
    (["{folder}/tagger.keras", "--precision", "ap_fixed(8)"], "precision: expected for example quantized_bits(6,0)"),
    (["{folder}/tagger.keras", "--precision", "x=quantized_bits(8,2)"], "the model has no input 'x'"),
    (["{folder}/tagger.keras", *TYPE, *TYPE], "one type for all inputs, or NAME=TYPE once for each"),
    (["{folder}/tagger.keras", "--precision", "quantized_bits(8,2),quantized_bits(8,1)"], "expected 6 precisions"),
    (["{folder}/tagger.keras", *TYPE, "firmware.Bakend=Vitis"], "unknown key firmware.Bakend (did you mean 'Backend'?)"),
    (["{folder}/tagger.keras", *TYPE, "firmware.ReuseFactor=0"], "received 0"),
    (["{folder}/tagger.keras", *TYPE, "Strategy=Resource", "ReuseFactor=7"], "7 is not valid with Strategy Resource; valid are"),
    (["{folder}/tagger.keras", *TYPE, "--inputs", "{folder}/none.npz"], "none.npz: no such file"),
    (["{folder}/tagger.keras", *TYPE, "--inputs", "{folder}/text.npz"], "not a readable .npz file"),
    (["{folder}/tagger.keras", *TYPE, "--inputs", "{folder}/objects.npz"], "not a readable .npz file of plain arrays"),
    (["{folder}/tagger.keras", *TYPE, "--inputs", "{folder}/renamed.npz"], "features, or the arrays inputs, received x"),
    (["{folder}/tagger.keras", *TYPE, "--inputs", "{folder}/nan.npz"], "NaN or infinity in event 0"),
    (["{folder}/tagger.keras", *TYPE, "--inputs", "{folder}/narrow.npz"], "expected an array (events, 6), received (3, 5)"),
    (["{folder}/tagger.keras", *TYPE, "--rate", "0.1"], "working points need events"),
    (["{folder}/tagger.keras", *TYPE, "--version", "a b"], "version: expected letters"),
    (["{folder}/tagger.keras", *TYPE, "--candidate", "1"], "is no study"),
    (["{folder}/tagger.keras", *TYPE, "--output", "{folder}/full"], "not empty and no earlier delivery"),
    (["{folder}/tagger.keras", *TYPE, "--output", "{folder}/events.npz"], "it is a file"),
    (["{folder}/lambda.keras", *TYPE], "code: a Lambda layer holds code: it is not run"),
    (["{folder}/lambda.h5", *TYPE], "code: a Lambda layer holds code: it is not run"),
    (["{folder}/softmax.h5", *TYPE], "probabilities: softmax comes from a table"),
    (["{folder}/softmax.h5", *TYPE, "--accept", "other", "ReuseFactor=1"], "probabilities: softmax comes from a table"),
    (["{folder}/float.keras", *TYPE], "dense: "),
    (["{folder}/study", "--candidate", "nothing"], "no candidate 'nothing'"),
    (["{folder}/study", "--candidate", ""], "is the beginning of"),
    (["{folder}/study", "firmware.Part=a b"], "firmware.Part"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[" ".join(arguments)[-45:] for arguments, _ in WRONG])
def test_wrong_input_is_said_in_two_lines_with_exit_code_2(
    folder: Path, arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before = sorted(folder.rglob("*"))
    assert _run(folder, [*arguments[:1], "--quiet", *arguments[1:]]) == 2
    printed = capfd.readouterr()
    assert message in " ".join(printed.err.split()), printed.err
    assert len(printed.err.splitlines()) <= 2, printed.err
    assert printed.out == ""
    assert [path for path in sorted(folder.rglob("*")) if path not in before] == [], "nothing is left behind"


def test_no_compiler(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _run(folder, ["{folder}/tagger.keras", *TYPE]) == 3
    assert "g++ is missing" in capsys.readouterr().err
    assert not (folder / "firmware").exists()


def test_a_model_that_differs_is_kept_for_a_look_only_when_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The last bit of one weight of the last layer flips between conversion and build."""
    build, output = module.build, tmp_path / "out"
    monkeypatch.setattr(module, "build", lambda project: _flip(project, 1) or build(project))
    assert _run(folder, ["{folder}/tagger.keras", *TYPE, "--quiet", "--keep", "--output", str(output)]) == 1
    error = capsys.readouterr().err
    assert error == f"qap firmware: not bit-exact; {output} is kept for a look, do not use it\n"
    parity = json.loads((output / "parity.json").read_text())
    assert Delivery.load(output).verdict == parity["verdict"] == "not exact"
    assert parity["first_layer"] == "output"
    one = next(one for one in parity["sets"].values() if one["worst"])
    worst = one["worst"][0]
    sides = [np.array(worst[side]) for side in ("qkeras", "firmware")]
    assert np.abs(sides[0] - sides[1]).max() == one["max_difference"] > 0
    assert len(worst["inputs"][0]) == 6
    assert not (output / "emulator").exists()
    assert "NOT BIT-EXACT" in (output / "summary.md").read_text()


def test_a_model_file_of_another_candidate_is_noticed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = Study.open(folder / "study")
    candidate = next(iter(trained(study)))
    path = study.candidate_directory(candidate) / "model.keras"
    assert _model_with_other_weights(study, candidate, path) == 1
    path.unlink()
    assert "is not what the search has stored in weights.npz" in capsys.readouterr().err


def _model_with_other_weights(study: Study, candidate: Any, path: Path) -> int:
    from qap.models.builders import build, set_weights

    model = build(candidate.architecture, candidate.plan)
    weights = study.weights(candidate)
    set_weights(model, {name: values + (name == "fc1/kernel") for name, values in weights.items()})
    model.save(path)
    return main(["firmware", str(study.directory), "--candidate", candidate.id, "--output", str(path.parent / "other")])


def test_help_and_wrong_words_need_no_tensorflow() -> None:
    code = (
        "import sys; from qap.__main__ import main\n"
        "for words in (['--help'], ['m.keras', '--stage', 'fly'], ['m.keras', '--outptu', 'x']):\n"
        "    try: main(['firmware', *words])\n"
        "    except SystemExit as stop: print(stop.code)\n"
        "assert 'tensorflow' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "qap firmware tagger.keras --inputs events.npz" in done.stdout
    assert done.stdout.split()[-2:] == ["2", "2"]
