"""Events of some classes only, and targets that are made from the inputs: autoencoders and their students."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qap.backend import stack
from qap.config.data import Data, Grid
from qap.config.load import dump_config, load_config
from qap.config.schema import Study
from qap.datasets.load import load_dataset
from qap.datasets.reconstruction import LEAST_ERROR, float_network, log_error, reconstruction_error
from qap.datasets.samples import load_samples
from qap.errors import InputError

NAMES = ("met_pt", "met_eta", "jet_pt", "jet_phi", "muon_pt")
CLASSES = ("w", "z", "qcd", "signal", "never")
FILLED = ["w", "z", "qcd", "signal"]
EVENTS = 900
SCALE = {"muon_pt": 16.0, "*_pt": 32.0, "*": 8.0}
DIVISORS = np.array([32.0, 8.0, 32.0, 8.0, 16.0])


def events(seed: int = 0) -> dict[str, np.ndarray]:
    """Level-1 events in small: the missing momentum's η is constant, nearly no event has a muon."""
    generator = np.random.default_rng(seed)
    features = generator.exponential(20, (EVENTS, 5)).astype(np.float32)
    features[:, 1] = 0
    features[:, 3] = generator.uniform(-np.pi, np.pi, EVENTS)
    features[:, 4] *= generator.random(EVENTS) < 0.05
    labels = generator.integers(0, 4, EVENTS).astype(np.int32)
    weights = np.array([0.1, 0.01, 4.0, 1.0])[labels].astype(np.float32)
    return {
        "features": features, "labels": labels, "weights": weights, "feature_names": np.array(NAMES),
        "class_names": np.array(CLASSES),
    }  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    np.savez(tmp_path / "l1.npz", **events())
    return tmp_path / "l1.npz"


def _data(file: Path, **settings: Any) -> Data:
    return Data(name=str(file), scale=settings.pop("scale", SCALE), **settings)


def _on_grid(features: np.ndarray) -> np.ndarray:
    """Inputs on the default grid, quantized_bits(10,2), in plain NumPy."""
    step = 2.0**-7
    return np.clip(np.rint(features.astype(np.float64) / DIVISORS / step), -512, 511) * step


def save_network(path: Path, features: int = 5, outputs: int = 5, seed: int = 1) -> list[np.ndarray]:
    """Save a random network with one hidden layer; return its weights."""
    keras = stack().keras
    keras.utils.set_random_seed(seed)
    inputs = keras.layers.Input((features,))
    hidden = keras.layers.Dense(3, activation="relu", bias_initializer="normal")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(outputs, bias_initializer="normal")(hidden))
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    found: list[np.ndarray] = model.get_weights()
    return found


def test_only_the_named_classes_are_left_and_numbered_in_the_order_given(file: Path) -> None:
    source = events()
    data = load_dataset(_data(file, classes=["qcd", "w"]))
    keep = np.flatnonzero(np.isin(source["labels"], [0, 2]))
    order = np.random.default_rng(42).permutation(len(keep))
    tested = keep[order[round(0.8 * len(keep)) :]]
    assert data.class_names == ("qcd", "w")
    assert len(data.train) + len(data.validation) + len(data.test) == len(keep)
    assert (data.test.x == _on_grid(source["features"][tested])).all()
    assert (data.test.y == np.where(source["labels"][tested] == 2, 0, 1)).all()
    assert (data.test.weight == source["weights"][tested]).all()


def test_classes_choose_before_a_signal_does_and_from_files_of_columns_too(file: Path) -> None:
    source = events()
    keep = np.isin(source["labels"], [0, 1])
    data = load_dataset(_data(file, classes=["w", "z"], signal="z"))
    assert data.class_names == ("not z", "z")
    assert sum(len(part) for part in (data.train, data.validation, data.test)) == keep.sum()
    cut = load_dataset(_data(file, classes=["w", "z"], cut="jet_pt > 20", columns=["*_pt"], scale=32.0))
    assert sum(len(part) for part in (cut.train, cut.validation, cut.test)) == (keep & (source["features"][:, 2] > 20)).sum()
    assert cut.class_names == ("w", "z")


def test_weights_can_be_left_out(file: Path) -> None:
    assert set(np.unique(load_dataset(_data(file, classes=FILLED)).train.weight)) == set(np.float32([0.1, 0.01, 4, 1]))
    assert (load_dataset(_data(file, classes=FILLED, weighted=False)).train.weight == 1).all()


@pytest.mark.parametrize("classes", [["qcd"], ["w", "qcd"], None])
def test_an_autoencoders_targets_are_its_inputs(file: Path, classes: list[str] | None) -> None:
    data = load_dataset(_data(file, classes=classes, reconstruct=True))
    assert (data.task, data.outputs, data.class_names) == ("regression", 5, ())
    for part in (data.train, data.validation, data.test):
        assert part.y.dtype == np.float32
        assert (part.y == part.x).all()
    labelled = load_dataset(_data(file, classes=FILLED)) if classes is None else None
    assert labelled is None or (labelled.test.x == data.test.x).all()
    assert np.ptp(data.train.x[:, 1]) == 0, "a constant feature may stay where the scale only divides"


def test_an_autoencoder_needs_no_labels(tmp_path: Path) -> None:
    source = events()
    np.savez(tmp_path / "bare.npz", features=source["features"], feature_names=source["feature_names"])
    bare = load_dataset(_data(tmp_path / "bare.npz", reconstruct=True))
    assert (bare.train.y == bare.train.x).all()
    with pytest.raises(InputError, match=r"expected the arrays features and labels"):
        load_dataset(_data(tmp_path / "bare.npz"))
    np.savetxt(tmp_path / "bare.csv", source["features"], delimiter=",", header=",".join(NAMES), comments="")
    text = load_dataset(_data(tmp_path / "bare.csv", reconstruct=True, columns=list(NAMES)))
    assert (text.test.x == bare.test.x).all()


def test_a_students_target_is_the_logarithm_of_the_autoencoders_error(file: Path) -> None:
    k1, b1, k2, b2 = save_network(file.parent / "teacher.keras")
    data = load_dataset(_data(file, classes=["w", "qcd"], score_of="teacher.keras"), file.parent)
    assert (data.task, data.outputs) == ("regression", 1)
    x = data.test.x.astype(np.float64)
    found = np.maximum(x @ k1 + b1, 0) @ k2 + b2
    expected = np.log(((found - x) ** 2).mean(axis=1))
    assert np.ptp(expected) > 0.5
    worst = np.abs(data.test.y[:, 0] - expected).max()
    assert worst < 1e-5, worst
    same = load_dataset(_data(file, classes=["w", "qcd"], reconstruct=True))
    assert (same.test.x == data.test.x).all()


def test_the_error_is_the_mean_over_all_features_and_its_logarithm_has_a_floor() -> None:
    generator = np.random.default_rng(2)
    x, y = generator.normal(size=(2, 20_000, 7)).astype(np.float32)
    assert reconstruction_error(x, y) == pytest.approx(((x.astype(np.float64) - y) ** 2).sum(axis=1) / 7, rel=1e-12)
    assert (log_error(reconstruction_error(x, x)) == np.log(LEAST_ERROR)).all()
    with pytest.raises(InputError, match="expected outputs of the inputs' shape"):
        reconstruction_error(x, y[:, :3])


def test_each_feature_is_divided_by_the_first_pattern_that_fits(file: Path) -> None:
    data = load_dataset(_data(file, classes=FILLED))
    assert (data.scale == DIVISORS).all()
    assert (data.mean == 0).all()
    config = load_config(None, ['data.scale={"*_pt": 32, "*": 8}'])
    assert config.data.scale == {"*_pt": 32, "*": 8}


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ({"*_pt": 32.0}, r"'met_eta' has no divisor"),
        ({"*": 8.0, "electron*": 4.0}, r"no feature fits 'electron\*'"),
        ({"met_pd": 8.0, "*": 8.0}, r"no feature fits 'met_pd' \(did you mean 'met_pt'"),
        ({"*": 0.5}, r"of the training values lie outside the grid"),
    ],
)
def test_divisors_that_do_not_fit_are_refused(file: Path, scale: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_dataset(_data(file, scale=scale))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": ["qdc"]}, r"data.classes: .*l1.npz has no class 'qdc' \(did you mean 'qcd'"),
        ({"classes": ["qcd", "never"]}, r"no event of class 'never'"),
        ({"classes": ["qcd"]}, r"two classes or more"),
        ({"score_of": "nothing.keras"}, r"nothing.keras: no such file"),
        ({"score_of": "text.keras"}, r"text.keras: expected a Keras model saved as"),
        ({"score_of": "wide.keras"}, r"wide.keras: expected inputs of shape \(None, 5\), received \(None, 6\)"),
        ({"score_of": "student.keras"}, r"expected an autoencoder, with as many outputs as inputs \(5\)"),
        ({"score_of": "empty"}, r"empty: no trained float network there"),
        ({"reconstruct": True, "scale": "standard"}, r"feature 'met_eta' is constant"),
    ],
)
def test_wrong_classes_and_autoencoders_are_refused(file: Path, settings: dict[str, Any], message: str) -> None:
    folder = file.parent
    (folder / "text.keras").write_text("no model")
    (folder / "empty").mkdir()
    save_network(folder / "wide.keras", 6, 6)
    save_network(folder / "student.keras", 5, 1)
    with pytest.raises(InputError, match=message):
        load_dataset(_data(file, **settings), folder)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.reconstruct=true", "data.score_of=x.keras"], "expected one of reconstruct and score_of, received both"),
        (["data.reconstruct=true", "data.targets=[x0]"], "reconstruct makes the targets from the inputs: leave targets out"),
        (["data.score_of=x.keras", "data.signal=top"], "score_of makes the targets from the inputs: leave signal out"),
        (["data.classes=[w,z,w]"], "classes: expected each class once, received w, z, w"),
        (["data.scale={pt: -1}"], "greater than 0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        load_config(None, words)


def test_classes_of_a_regression_are_refused(file: Path) -> None:
    np.savez(file.parent / "lines.npz", features=events()["features"], targets=events()["features"][:, 0])
    with pytest.raises(InputError, match="has no classes"):
        load_dataset(Data(name=str(file.parent / "lines.npz"), classes=["w"]))


def _study(folder: Path, data: Data) -> Path:
    (folder / "study").mkdir()
    (folder / "study" / "config.yaml").write_text(dump_config(Study(data=data)))
    save_network(folder / "study" / "parents" / "a" / "model.keras")
    return folder / "study"


def test_an_autoencoder_of_a_study_must_see_the_events_as_it_did_there(file: Path) -> None:
    study = _study(file.parent, _data(file, reconstruct=True))
    named = load_dataset(_data(file, score_of="study"), file.parent)
    by_file = load_dataset(_data(file, score_of="study/parents/a/model.keras"), file.parent)
    assert (named.test.y == by_file.test.y).all()
    for change, key in (({"scale": 40.0}, "data.scale"), ({"input": Grid(bits=12, integer=2)}, "data.input")):
        with pytest.raises(InputError, match=f"was trained with {key} .* it must see the events as it did then"):
            load_dataset(_data(file, score_of="study", **change), file.parent)
    save_network(study / "parents" / "b" / "model.keras")
    with pytest.raises(InputError, match="has 2 float networks: name one"):
        float_network(study, "data.score_of")


def test_a_scale_taken_from_the_events_must_come_from_the_same_ones(file: Path) -> None:
    _study(file.parent, _data(file, reconstruct=True, scale="unit", classes=["qcd"]))
    assert load_dataset(_data(file, score_of="study", scale="unit", classes=["qcd"]), file.parent).outputs == 1
    with pytest.raises(InputError, match=r"was trained with data.classes \['qcd'\], here it is \['w'\]"):
        load_dataset(_data(file, score_of="study", scale="unit", classes=["w"]), file.parent)


def test_samples_are_the_test_part_of_the_known_and_all_of_the_others(file: Path) -> None:
    source = events()
    data = _data(file, classes=["w", "qcd"], reconstruct=True, weighted=False)
    found, whole = load_samples(data), load_dataset(data)
    assert set(found.known) == {"w", "qcd"}
    assert set(found.others) == {"z", "signal"}
    rows = np.concatenate([found.known[name].x for name in ("w", "qcd")])
    assert sorted(map(tuple, rows)) == sorted(map(tuple, whole.test.x))
    for name, sample in {**found.known, **found.others}.items():
        number = CLASSES.index(name)
        assert (sample.weight == np.float32([0.1, 0.01, 4.0, 1.0])[number]).all(), name
        every = set(map(tuple, _on_grid(source["features"][source["labels"] == number])))
        assert set(map(tuple, sample.x)) <= every
        assert name in found.known or len(sample) == (source["labels"] == number).sum()


@pytest.mark.parametrize(
    ("classes", "message"),
    [(None, "expected the classes that the networks are trained on"), (["w", "z", "qcd", "signal"], "has no other classes")],
)
def test_samples_without_anomalies_are_refused(file: Path, classes: list[str] | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_samples(_data(file, classes=classes))
