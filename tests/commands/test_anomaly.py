"""``qap anomaly`` as a user calls it: an autoencoder and its student, from their studies to tables, JSON and figures."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from qap.__main__ import main
from qap.backend import custom_objects, stack
from qap.config.load import load_config
from qap.datasets.reconstruction import INPUTS
from qap.datasets.scaling import divisors
from qap.datasets.table import Table
from qap.precision import Precision

from ..datasets.test_reconstruction import save_network

OBJECTS = ["met", *(f"electron{i}" for i in range(4)), *(f"muon{i}" for i in range(4)), *(f"jet{i}" for i in range(10))]
FEATURES = tuple("_".join(pair) for pair in itertools.product(OBJECTS, ("pt", "eta", "phi")))
NAMES = ("met_pt", "met_eta", "jet_pt", "jet_eta", "muon_pt", "muon_eta")
CLASSES = ("w", "qcd", "minimum_bias", "high", "muons")
EACH = 600
DATA = """
  name: l1.npz
  classes: [w, qcd]
  weighted: false
  split: [0.5, 0.1, 0.4]
  scale: {"*_pt": 32, "*": 8}
"""
REST = """
model: {hidden: [%s], batchnorm: false}
train: {batch: 100, epochs: 2, parent_epochs: %d, learning_rate: 0.01}
report: {bootstrap: 20}
search:
  strategy: grid
  objectives: [rmse, ebops]
  trials: 1
  space: {weight_bits: 8, activation_bits: 10, sparsity: 0.25, tie: [weight_bits, activation_bits, sparsity]}
firmware: {build: %s}
"""


def events() -> dict[str, np.ndarray]:
    """Events whose jets balance the missing momentum; in one signal all is harder, in another there is a muon."""
    generator = np.random.default_rng(3)
    features = np.zeros((EACH * len(CLASSES), 6), np.float32)
    labels = np.repeat(np.arange(len(CLASSES)), EACH)
    pt = generator.exponential(np.array([15, 20, 8, 60, 15])[labels])
    features[:, 0], features[:, 2] = pt, pt * generator.normal(1, 0.1, len(pt))
    features[:, 3] = generator.normal(0, 1.5, len(pt))
    muon = generator.random(len(pt)) < np.array([0.05, 0.0, 0.0, 0.0, 1.0])[labels]
    features[:, 4], features[:, 5] = muon * generator.exponential(30, len(pt)), muon * generator.normal(0, 1, len(pt))
    weights = np.array([0.01, 4.0, 1.0, 1.0, 1.0])[labels].astype(np.float32)
    order = generator.permutation(len(pt))
    return {
        "features": features[order], "labels": labels[order], "weights": weights[order],
        "feature_names": np.array(NAMES), "class_names": np.array(CLASSES),
    }  # fmt: skip


def make_studies(folder: Path) -> None:
    """Search an autoencoder and then its student."""
    np.savez(folder / "l1.npz", **events())
    (folder / "autoencoder.yaml").write_text(f"data:{DATA}  reconstruct: true\n{REST % ('8, 3, 8', 40, 'true')}")
    (folder / "student.yaml").write_text(f"data:{DATA}  score_of: autoencoder\n{REST % ('8', 80, 'true')}")
    for name in ("autoencoder", "student"):
        assert main(["search", str(folder / f"{name}.yaml"), "--output", str(folder / name), "--quiet"]) == 0


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, a study file, and random networks: an autoencoder as a study has it, a student, and some that do not fit."""
    folder = tmp_path_factory.mktemp("anomaly")
    np.savez(folder / "l1.npz", **events())
    text = f"data:{DATA}  reconstruct: true\n{REST % ('8', 1, 'false')}"
    (folder / "autoencoder.yaml").write_text(text)
    save_network(folder / "study" / "parents" / "a" / "model.keras", 6, 6)
    (folder / "study" / "config.yaml").write_text(text)
    for name, inputs, outputs in (("student", 6, 1), ("two", 6, 2), ("wide", 7, 7)):
        save_network(folder / f"{name}.keras", inputs, outputs)
    return folder


def _run(folder: Path, *words: Any) -> dict[str, Any]:
    assert main(["anomaly", str(folder / "autoencoder.yaml"), *map(str, words)]) == 0
    output = Path(words[words.index("--output") + 1])
    found: dict[str, Any] = json.loads((output / "anomaly.json").read_text())
    return found


def _independent_scores(path: Path, source: dict[str, np.ndarray]) -> np.ndarray:
    """Scores of all events by Keras's own predict and plain NumPy."""
    x = np.clip(np.rint(source["features"].astype(float) / [32, 8, 32, 8, 32, 8] * 128), -512, 511) / 128
    model = stack().keras.models.load_model(path, custom_objects=custom_objects(), compile=False)
    found = model.predict(x, verbose=0)
    scores: np.ndarray = found[:, 0] if found.shape[1] == 1 else np.sum((found - x) ** 2, axis=1) / 6
    return scores


def test_models_to_tables_json_and_figures(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    autoencoder = models / "study" / "parents" / "a" / "model.keras"
    words = [f"large={autoencoder}", models / "student.keras", "--crossing-rate-khz", 31000, "--output", tmp_path]
    found = _run(models, *words)
    text = capsys.readouterr().out
    assert [(model["name"], model["outputs"]) for model in found["models"]] == [("large", 6), ("student", 1)]
    for model in found["models"]:
        assert model["name"] in text
        _agrees(model, events())
    assert found["models"][0]["backgrounds"]["minimum_bias"]["auc"]["high"] > 0.8, "hard events are anomalies"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "anomaly.json", "efficiency_minimum_bias.png", "efficiency_training_classes.png",
    ]  # fmt: skip
    for path in tmp_path.glob("*.png"):
        assert path.read_bytes()[:4] == b"\x89PNG"


def _agrees(model: dict[str, Any], source: dict[str, np.ndarray]) -> None:
    """Hold the figures of a model to scores computed independently."""
    names = source["class_names"][source["labels"]]
    scores, part = _independent_scores(Path(model["path"]), source), model["backgrounds"]["minimum_bias"]
    assert part["events"] == EACH
    (point,) = part["points"]
    assert point["fraction"] == 0.1
    assert set(part["auc"]) == {"high", "muons"}
    for signal, area in part["auc"].items():
        chosen = np.isin(names, ["minimum_bias", signal])
        assert area == pytest.approx(sk.roc_auc_score(names[chosen] == signal, scores[chosen]), abs=1e-4), signal
        kept = (scores[names == signal] >= point["threshold"]).mean()
        assert point["efficiency"][signal]["value"] == pytest.approx(kept, abs=2 / EACH)
    assert point["rate_khz"]["value"] == pytest.approx(31000 * point["accepted"]["value"])
    mix = model["backgrounds"]["training classes"]
    assert mix["events"] == 480
    assert mix["effective_events"] < 300, "QCD has the weight"
    assert mix["points"][0]["rate_khz"] is None, "a rate follows from minimum bias only"


def test_fractions_settings_and_json(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [models / "student.keras", "data.split_seed=7", "--fraction", 0.02, 0.3, "--output", tmp_path / "out", "--json"]
    found = _run(models, *words)
    assert json.loads(capsys.readouterr().out) == found
    (model,) = found["models"]
    assert [point["fraction"] for point in model["backgrounds"]["minimum_bias"]["points"]] == [0.3, 0.02]


STUDENT = "{folder}/student.keras"
WRONG = [
    (["nothing.keras"], "nothing.keras: no such file"),
    (["{folder}/study"], "expected the directory of a finished study"),
    ([STUDENT, STUDENT], "two models have this name"),
    ([STUDENT, "data.classes=null"], "data.classes: expected the classes that the networks are trained on"),
    ([STUDENT, "data.classes=[w,top]"], "no class 'top'"),
    (["{folder}/study/parents/a/model.keras", "data.scale=50"], "was trained with data.scale"),
    (["{folder}/two.keras"], "expected 6 (an autoencoder) or 1 (a student)"),
    (["{folder}/wide.keras"], "expected inputs of shape (None, 6)"),
    (["{folder}/l1.npz"], "expected a Keras model saved as"),
    ([STUDENT, "--crossing-rate-khz", "1", "--minimum-bias", "zero_bias"], "has no class 'zero_bias'"),
    ([STUDENT, "data.classes=[w,qcd,high,muons]"], "no class is left to be a signal"),
    (["data.name=x.npz"], "expected one model or more"),
    ([STUDENT, "data.name=none.npz"], "none.npz: no such file"),
]


@pytest.mark.parametrize(("words", "message"), WRONG, ids=[" ".join(words)[-40:] for words, _ in WRONG])
def test_wrong_input_is_said_in_a_sentence_with_exit_code_2(
    models: Path, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [word.format(folder=models) for word in words]
    output = tmp_path / "out"
    assert main(["anomaly", str(models / "autoencoder.yaml"), *filled, "--output", str(output)]) == 2
    error = capsys.readouterr().err
    assert message in error, error
    assert len(error.splitlines()) <= 2
    assert not list(output.rglob("*")) if output.exists() else True, "nothing is written"


@pytest.mark.parametrize("words", [["--fraction", "0"], ["--fraction", "2"], ["--crossing-rate-khz", "-1"]])
def test_numbers_out_of_range_are_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["anomaly", "study.yaml", "model", *words])
    assert stop.value.code == 2


def test_autoencoder_and_student_of_the_zoo_see_the_same_inputs() -> None:
    folder = Path(__file__).parents[2] / "configs" / "zoo"
    one, two = (load_config(folder / f"{name}.yaml").data for name in ("autoencoder", "anomaly_student"))
    assert (one.classes, one.split, one.reconstruct, two.score_of) == (two.classes, two.split, True, "../../studies/autoencoder")
    for key in INPUTS:
        assert getattr(one, key) == getattr(two, key), key
    table = Table("l1", np.random.default_rng(0).normal(size=(50, 57)), FEATURES)
    _, found = divisors(table, np.arange(50), one.scale, Precision(one.input.bits, one.input.integer))
    assert dict(zip(FEATURES, found, strict=True))["electron3_pt"] == 16
    assert {found[i] for i in range(27, 57, 3)} == {64.0}


@pytest.mark.slow
def test_from_collisions_to_two_proven_triggers(tmp_path: Path) -> None:
    make_studies(tmp_path)
    found = _run(
        tmp_path, tmp_path / "autoencoder", f"small={tmp_path / 'student'}", "--crossing-rate-khz", 31000,
        "--output", tmp_path / "out", "--quiet",
    )  # fmt: skip
    assert [model["bit_exact"] for model in found["models"]] == [None, True, None, True]
    assert [model["outputs"] for model in found["models"]] == [6, 6, 1, 1]
    assert [model["name"].split()[0] for model in found["models"]] == ["autoencoder", "autoencoder", "small", "small"]
    for model in found["models"]:
        _agrees(model, events())
        assert ("ebops" in model["cost"]) != model["name"].endswith("float"), model["name"]
    source = events()
    large, small = (_independent_scores(Path(model["path"]), source) for model in found["models"][::2])
    seen = np.isin(source["class_names"][source["labels"]], ["w", "qcd"])
    learnt = stats.spearmanr(large[seen], small[seen]).statistic
    assert learnt > 0.4, f"rank correlation of the student with the autoencoder: {learnt:.3f}, by chance 0.03"
