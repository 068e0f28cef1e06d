"""``qap export`` as a user meets it: every format of a study and of model files, wrong input, packages that are missing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qap.__main__ import main
from qap.backend import stack
from qap.commands import export as module
from qap.config.load import load_config
from qap.exports import kinds
from qap.exports.agreement import Agreement, keras_outputs
from qap.exports.integers import read_integers
from qap.exports.tflite import tflite_outputs
from qap.models.builders import quantize_weights
from qap.report.write import run_study
from qap.search.run import search_front
from qap.search.study import Study

from ..conftest import blobs
from ..exports.helpers import float_mlp
from ..firmware.helpers import mlp

LAYER = ("quantized_bits(6,0)", "quantized_bits(8,1)", "quantized_relu(6,2)")
TYPE = ["--precision", "quantized_bits(8,2)"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float and a QKeras model, events, a study of two candidates."""
    folder = tmp_path_factory.mktemp("export")
    table = blobs(600)
    np.savez(folder / "events.npz", features=table.features, labels=table.labels)
    np.savez(folder / "one.npz", features=table.features[:1])
    np.savez(folder / "narrow.npz", features=np.zeros((3, 5)))
    np.savez(folder / "nan.npz", features=np.full((3, 6), np.nan))
    float_mlp(6, (8,), 3)[1].save(folder / "float.keras")
    model = mlp({"fc1": LAYER, "output": (*LAYER[:2], None)}, 6, [8, 3])
    model.save(folder / "tagger.keras")
    stack().keras.Model(model.input, stack().keras.layers.Softmax(name="probabilities")(model.output)).save(folder / "softmax.h5")
    small = [
        f"data.name={folder}/events.npz", "model.hidden=[4]", "train.batch=200", "train.parent_epochs=1", "train.epochs=1",
        "search.space.weight_bits=[2,6]", "search.space.activation_bits=4", "search.space.sparsity=0.5", "search.trials=2",
        "data.input.bits=8", "report.bootstrap=10", "search.space.tie=[weight_bits]", "prune.frequency=1",
        "firmware.build=false",
    ]  # fmt: skip
    run_study(load_config(None, small), folder / "study")
    return folder


def _run(folder: Path, arguments: list[str]) -> int:
    return main(["export", *(argument.format(folder=folder) for argument in arguments)])


def _need(form: str) -> None:
    for package in {"onnx": ("onnx", "onnxruntime"), "qonnx": ("onnx", "onnxruntime", "qonnx")}.get(form, ()):
        pytest.importorskip(package, reason="pip install 'qap[exports]'")


@pytest.mark.parametrize("form", module.FORMATS)
def test_every_format_of_a_study(folder: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that says what and how well; the float ones beside the parent, the others beside the candidate."""
    _need(form)
    study = Study.open(folder / "study")
    best = max(search_front(study), key=lambda candidate: candidate.metrics["accuracy_validation"])
    assert _run(folder, ["{folder}/study", "--format", form]) == 0
    line = capsys.readouterr().out
    assert len(line.splitlines()) == 1
    name = f"model{module.FORMATS[form]}"
    parent = study.directory / "parents" / best.architecture.id / name
    path = parent if form in module.FLOAT else study.candidate_directory(best) / name
    assert line.startswith(f"{path}: {'float parent of ' if form in module.FLOAT else ''}candidate {best.id}, ")
    assert f"{path.stat().st_size:,} bytes" in line
    assert not list(path.parent.glob(".*"))
    if form.startswith("integers"):
        found = read_integers(path)
        for weight, values in quantize_weights(best.plan, best.weights or {}).items():
            assert np.array_equal(found[weight].values, values), weight
    elif form == "qonnx":
        assert "2,120 of 2,120 events equal to QKeras in every bit (120 of the test split of events, 2,000 at" in line
    else:
        assert "120 events of the test split of events: largest difference to Keras" in line
        assert "accuracy 0." in line
    assert ("calibrated on 420 events of the training split" in line) is (form == "tflite-int8")
    assert ("0 of 2 kernels in int8" in line) is (form == "tflite-dynamic")


def test_the_figures_are_those_of_the_file(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Counted again from the file that was written."""
    options = ["--calibration", "{folder}/events.npz", "--events", "{folder}/events.npz", "--output", str(tmp_path / "x.tflite")]
    assert _run(folder, ["{folder}/float.keras", "--format", "tflite-int8", *options]) == 0
    line = capsys.readouterr().out
    table = blobs(600)
    assert table.labels is not None
    x = np.asarray(table.features, np.float64)
    outputs = tflite_outputs((tmp_path / "x.tflite").read_bytes(), x)
    expected = keras_outputs(stack().keras.models.load_model(folder / "float.keras"), [x])[0]
    same = 100 * np.mean(outputs.argmax(axis=1) == expected.argmax(axis=1))
    accuracies = [np.mean(y.argmax(axis=1) == table.labels) for y in (outputs, expected)]
    assert f"calibrated on 600 events of {folder}/events.npz" in line
    assert f"difference to Keras {np.abs(outputs - expected).max():.3g}, same class on {same:.2f} %" in line
    assert f"accuracy {accuracies[0]:.4f} (Keras {accuracies[1]:.4f})" in line


@pytest.mark.parametrize(("model", "form"), [("float", "tflite"), ("tagger", "qonnx")])
def test_predictions_for_the_metrics(
    folder: Path, tmp_path: Path, model: str, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The labels of the events, the scores of the export, those of the model as reference."""
    _need(form)
    options = [
        "--events",
        "{folder}/events.npz",
        "--output",
        str(tmp_path / "x"),
        "--predictions",
        str(tmp_path / "p.npz"),
        *TYPE,
    ]
    assert _run(folder, [f"{{folder}}/{model}.keras", "--format", form, *options]) == 0
    capsys.readouterr()
    assert main(["metrics", str(tmp_path / "p.npz"), "--kind", "logits"]) == 0
    found = json.loads(capsys.readouterr().out)
    arrays = np.load(tmp_path / "p.npz")
    assert found["accuracy"] == pytest.approx(np.mean(arrays["scores"].argmax(axis=1) == blobs(600).labels))
    assert np.abs(arrays["scores"] - arrays["reference"]).max() <= (0 if form == "qonnx" else 1e-5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["float.keras", "--format", "tflite"], "1,000 events of a normal distribution (no --events given)"),
        (["float.keras", "--format", "onnx", "--events", "{folder}/events.npz"], "600 events of {folder}/events.npz"),
        (["tagger.keras", "--format", "qonnx", *TYPE, "--events", "{folder}/events.npz"], "2,600 of 2,600 events equal"),
        (["tagger.keras", "--format", "integers-npz"], "83 weights in 4 tensors, 520 bits"),
    ],
)
def test_model_files(folder: Path, tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    _need(arguments[2])
    assert _run(folder, [f"{{folder}}/{arguments[0]}", *arguments[1:], "--output", str(tmp_path / "out")]) == 0
    assert said.format(folder=folder) in capsys.readouterr().out
    assert (tmp_path / "out").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["float.keras", "--format", "tflight"], "expected one of tflite, .*received 'tflight' \\(did you mean 'tflite'\\?\\)"),
        (["none.keras", "--format", "onnx"], "no such model file or study"),
        (["study", "--format", "qonnx", "--candidate", "zzz"], "--candidate: no candidate 'zzz'"),
        (["float.keras", "--format", "onnx", "--candidate", "3f"], "is no study, it has no candidates"),
        (["tagger.keras", "--format", "tflite-int8"], "fc1 is a QKeras layer.*give the float Keras model"),
        (["tagger.keras", "--format", "onnx"], "fc1 is a QKeras layer.*export this one as qonnx or integers-json"),
        (["float.keras", "--format", "qonnx", *TYPE], "has no QKeras layer"),
        (["float.keras", "--format", "integers-json"], "has no QKeras layer"),
        (["tagger.keras", "--format", "qonnx"], "fixed-point type of the input 'inputs' is not known: give it, .*--precision"),
        (
            ["softmax.h5", "--format", "qonnx", *TYPE],
            "probabilities: softmax is rounded differently.*end the model at the logits",
        ),
        (["float.keras", "--format", "tflite-int8"], "give training events by --calibration FILE.npz"),
        (["float.keras", "--format", "tflite-int8", "--calibration", "{folder}/one.npz"], "several different events, received 1"),
        (["float.keras", "--format", "tflite-int8", "--calibration", "{folder}/nan.npz"], "--calibration: .*18 values are NaN"),
        (["float.keras", "--format", "onnx", "--calibration", "{folder}/one.npz"], "only tflite-int8 is calibrated"),
        (["float.keras", "--format", "tflite", "--events", "{folder}/none.npz"], "--events: .*none.npz: no such file"),
        (
            ["float.keras", "--format", "tflite", "--events", "{folder}/narrow.npz"],
            "--events: .*expected events of shape \\(6,\\)",
        ),
        (["tagger.keras", "--format", "integers-npz", "--predictions", "{folder}/p.npz"], "holds weights only"),
        (["float.keras", "--format", "tflite", "--predictions", "{folder}/p.npz"], "events with the array labels"),
        (["float.keras", "--format", "tflite", "--predictions", "{folder}/p.txt"], "--predictions: .*expected a file .npz"),
        (["float.keras", "--format", "tflite", "--output", "{folder}"], "--output: .*expected a file in a folder that exists"),
        (
            ["float.keras", "--format", "tflite", "--output", "{folder}/no/x"],
            "--output: .*expected a file in a folder that exists",
        ),
    ],
)
def test_wrong_input_ends_with_2_and_one_sentence(
    folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _need(arguments[2])
    before = sorted(folder.rglob("*"))
    assert _run(folder, [f"{{folder}}/{arguments[0]}", *arguments[1:]]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert re.search(message, printed.err), printed.err
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("form", ["onnx", "qonnx"])
def test_a_missing_extra_ends_with_3(
    folder: Path, form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kinds, "find_spec", lambda name: None)
    model = "float" if form == "onnx" else "tagger"
    assert _run(folder, [f"{{folder}}/{model}.keras", "--format", form, *TYPE]) == 3
    assert "pip install 'qap[exports]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "form", "message"),
    [
        ("tagger", "qonnx", "differ from QKeras, by up to 0.5"),
        ("float", "onnx", "more than rounding"),
        ("float", "tflite", "rounding"),
    ],
)
def test_what_differs_is_not_written(
    folder: Path, model: str, form: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An executor that gives other outputs."""
    _need(form)
    monkeypatch.setattr("qap.exports.agreement.agree", lambda *given: Agreement(10, 9, 0.5))
    before = sorted(folder.rglob("*"))
    assert _run(folder, [f"{{folder}}/{model}.keras", "--format", form, *TYPE]) == 1
    assert message in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before


def test_ctrl_c_ends_with_1(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(*given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("qap.exports.tflite.convert", stop)
    assert _run(folder, ["{folder}/float.keras", "--format", "tflite"]) == 1
    assert "nothing was written" in capsys.readouterr().err
