"""``qap init``: what it finds in files of every kind, and that its study files are searched as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import uproot
import yaml
from sklearn.datasets import load_digits

from qap.__main__ import main
from qap.config.load import load_config
from qap.datasets.load import load_dataset
from qap.models.architecture import Architecture
from qap.search.run import run_search, search_front

from ..conftest import blobs

EVENTS = 1200


def frame(events: int = EVENTS, seed: int = 0) -> pd.DataFrame:
    """Three classes, six measured columns, and what else stands in ntuples."""
    table, generator = blobs(events, seed=seed), np.random.default_rng(seed)
    found = pd.DataFrame(table.features, columns=["pt", "eta", "phi", "mass", "tau", "c2"])
    found["tracks"] = generator.poisson(10 + 3 * table.labels)
    found["flavour"] = np.array(["g", "q", "t"])[table.labels]
    return found


@pytest.fixture
def init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return what runs ``qap init`` in a folder of its own, and gives what was printed and the study file's sections."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[str, dict[str, Any]]:
        assert main(["init", *words, "--output", "study.yaml"]) == 0
        return capsys.readouterr().out, yaml.safe_load(Path("study.yaml").read_text())

    return run


def opened() -> Any:
    """Load the data of the study file that was written, as a search does."""
    return load_dataset(load_config("study.yaml").data, Path())


def test_a_table_of_text_with_all_that_stands_in_ntuples(init: Any) -> None:
    found = frame()
    found.insert(0, "Event Number", np.arange(EVENTS) + 7)
    found["run"] = 362_760
    found["station"] = np.where(found.index % 2, "north", "south")
    found["hot"] = 1
    found["answer"] = np.where(found.index % 100, "1.5", "?")
    found["event_weight"] = np.random.default_rng(1).uniform(0.5, 2, EVENTS)
    found["broken"] = np.where(found.index % 3, np.nan, 1.5)
    found.loc[3, "mass"] = np.inf
    found.loc[5:7, "flavour"] = None
    found["flavour_id"] = found["flavour"].map({"g": 21, "q": 1, "t": 6}).fillna(0).astype(int)
    found.to_csv("my jets.csv", index=False)
    printed, study = init("my jets.csv")
    data = study["data"]
    assert (data["label"], data["weight"], data["cut"]) == ("flavour", "event_weight", "isfinite(mass) & flavour != ''")
    assert data["columns"] == ["pt", "eta", "phi", "mass", "tau", "c2", "tracks"]
    text = Path("study.yaml").read_text()
    for reason in (
        "Event Number: counts events", "run: constant, 362760 in all events", "station: text: north, south", "hot: constant, 1",
        "broken: 67% of its values are NaN", "flavour_id: has as many events of each value as the classes",
        "answer: '?' among its numbers", "mass: ", "1 NaN or infinite", "tracks: ", "integers", "1,200 events", "3 classes: g ",
    ):  # fmt: skip
        assert reason in text, text
    assert printed.splitlines()[-1] == "written: study.yaml; next: qap search study.yaml"
    assert opened().class_names == ("g", "q", "t")
    assert len(opened().train) + len(opened().validation) + len(opened().test) == EVENTS - 4


def test_every_type_of_file_gives_the_same_study(init: Any, tmp_path: Path) -> None:
    found = frame()
    found["label"] = found.pop("flavour").map({"g": 0, "q": 1, "t": 2})
    found.to_csv("a.csv", index=False)
    found.to_csv("a.tsv.gz", index=False, sep="\t")
    found.to_parquet("a.parquet")
    np.savez("a.npz", **{name: found[name].to_numpy() for name in found})
    with uproot.recreate("a.root") as file:
        file["events"] = {name: found[name].to_numpy() for name in found}
    with h5py.File("a.h5", "w") as file:
        for name in found:
            file[name] = found[name].to_numpy()
    for ending in ("csv", "tsv.gz", "parquet", "npz", "root", "h5"):
        _, study = init(f"a.{ending}")
        assert study["data"]["label"] == "label", ending
        assert set(opened().feature_names) == {"pt", "eta", "phi", "mass", "tau", "c2", "tracks"}, ending
        assert opened().class_names == ("0", "1", "2"), ending
        Path("study.yaml").unlink()


def test_qaps_own_format_and_the_embedded_jets(init: Any) -> None:
    table = blobs(EVENTS)
    weights = np.random.default_rng(0).uniform(0.5, 1, EVENTS)
    np.savez("own.npz", features=table.features, labels=table.labels, class_names=["a", "b", "c"], weights=weights, more=weights)
    _, study = init("own.npz")
    assert (study["data"]["label"], study["data"]["weight"]) == ("labels", "weights")
    assert opened().class_names == ("a", "b", "c")
    assert opened().feature_names == tuple(f"x{i}" for i in range(6))
    Path("study.yaml").unlink()
    printed, study = init("jets")
    assert study["data"]["name"] == "jets"
    assert "160,000 events, 16 features" in printed
    assert study["model"]["hidden"] == [64, 32, 32], "as in configs/jets.yaml, by the same rules"
    assert study["train"]["batch"] == 1024
    assert (study["train"]["epochs"], study["search"]["trials"]) == (4, 400)
    assert study["data"]["input"] == {"bits": 10, "integer": 2}


def test_a_table_of_text_that_is_separated_otherwise_or_has_no_names(init: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = frame(300)
    for name, message, settings in (
        ("a.csv", "separated by commas, received semicolons ('pt;eta", {"sep": ";"}),
        ("b.csv", "separated by commas, received tabs", {"sep": "\t"}),
        ("c.tsv", "separated by tabs, received commas", {"sep": ","}),
        ("d.csv", "expected the names of the columns in the first line", {"header": False}),
    ):
        found.to_csv(name, index=False, **settings)
        assert main(["init", name]) == 2
        assert message in capsys.readouterr().err
    found.columns = [str(number) for number in range(7)] + ["label"]
    found.to_csv("e.csv", index=False)
    assert init("e.csv")[1]["data"]["label"] == "label", "numbers may be names"


def test_one_hot_columns_and_a_label_without_a_name(init: Any) -> None:
    found = frame()
    for name in "gqt":
        found[f"is_{name}"] = (found["flavour"] == name).astype(int)
    found["isolated"] = (found["pt"] > 0).astype(int)
    found.drop(columns="flavour").to_csv("hot.csv", index=False)
    _, study = init("hot.csv")
    assert study["data"]["labels"] == {"g": "is_g", "q": "is_q", "t": "is_t"}
    assert set(opened().feature_names) == {"pt", "eta", "phi", "mass", "tau", "c2", "tracks", "isolated"}
    Path("study.yaml").unlink()
    found["outcome"] = (found["flavour"] == "t").astype(int)
    found = found[["outcome", "pt", "eta", "mass"]]
    found.to_csv("first.csv", index=False)
    printed, study = init("first.csv")
    assert study["data"]["label"] == "outcome"
    assert "the only column of few whole numbers, at an end of the table" in printed


def test_a_label_beside_its_one_hot_columns_is_not_given_away(init: Any) -> None:
    found = frame()
    for name in "gqt":
        found[f"p_{name}"] = (found["flavour"] == name).astype(int)
    found.to_csv("leak.csv", index=False)
    _, study = init("leak.csv")
    assert study["data"]["label"] == "flavour"
    assert not [name for name in opened().feature_names if name.startswith("p_")]


def test_files_of_classes_and_files_of_one_set(init: Any) -> None:
    found = frame().drop(columns="flavour")
    for number in range(3):
        found[number::4].to_parquet(f"qcd_{number}.parquet")
    found[3::4].to_parquet("top.parquet")
    _, study = init("top=top.parquet", "qcd=qcd_*.parquet")
    assert study["data"]["files"] == {"top": "top.parquet", "qcd": "qcd_*.parquet"}
    assert opened().class_names == ("top", "qcd")
    text = Path("study.yaml").read_text()
    assert "2 classes: top 300, qcd 900" in text
    Path("study.yaml").unlink()
    found = frame()
    for number in range(3):
        found[number::3].to_csv(f"run{number}_v2.csv", index=False)
    _, study = init("run0_v2.csv", "run1_v2.csv", "run2_v2.csv")
    assert study["data"]["name"] == "run*_v2.csv"
    assert len(opened().train) == 720


def test_regression_with_a_split_of_its_own(init: Any, regression_data: Any) -> None:
    found = frame().drop(columns="flavour")
    found["target"] = found["pt"] * 2 + found["mass"]
    found["split"] = np.where(found.index % 5 == 0, "test", "train")
    found.to_csv("energy.csv", index=False)
    printed, study = init("energy.csv")
    assert study["data"]["targets"] == ["target"]
    assert study["data"]["split_column"] == "split"
    assert study["search"]["objectives"] == ["rmse", "ebops"]
    assert len(opened().test) == EVENTS / 5
    assert "to be learnt: target" in printed
    Path("study.yaml").unlink()
    _, study = init("energy.csv", "--targets", "target", "mass", "--cut", "tracks > 8")
    assert study["data"]["targets"] == ["target", "mass"]
    assert "mass" not in opened().feature_names
    kept = int((found["tracks"] > 8).sum())
    assert sum(len(part) for part in (opened().train, opened().validation, opened().test)) == kept


def test_arrays_jagged_ones_and_pixels(init: Any) -> None:
    import awkward as ak

    generator = np.random.default_rng(0)
    lengths = generator.integers(0, 5, EVENTS)
    jagged = ak.unflatten(generator.normal(size=int(lengths.sum())), lengths)
    vertex = generator.normal(size=(EVENTS, 3))
    vertex[:, 1] = 0.5
    with uproot.recreate("t.root") as file:
        file["tree"] = {"jet": jagged, "vertex": vertex, "signal": generator.integers(0, 2, EVENTS)}
        file["other"] = {"x": np.zeros(3)}
    _, study = init("t.root", "--tree", "tree")
    assert study["data"]["columns"] == ["jet[:4]", "vertex[0]", "vertex[2]"]
    assert study["data"]["label"] == "signal"
    assert len(opened().feature_names) == 6
    Path("study.yaml").unlink()
    pixels = generator.integers(0, 17, (EVENTS, 4, 4))
    pixels[:, 0] = 0
    np.savez("digits.npz", features=pixels, labels=generator.integers(0, 3, EVENTS))
    _, study = init("digits.npz")
    assert study["data"]["scale"] == "unit"
    assert len(opened().feature_names) == 16
    assert study["model"]["shape"] == [4, 4, 1]


IMAGES = [
    ((8, 8), [8, 8, 1], [8]), ((28, 28), [28, 28, 1], [8, 16]), ((12, 9, 3), [12, 9, 3], [8]), ((16, 3), [16, 3], [16, 16]),
    ((5, 2), [5, 2], [16]), ((3, 12, 9), None, []), ((3, 4), None, []), ((12,), None, []),
]  # fmt: skip


@pytest.mark.parametrize(("shape", "wanted", "filters"), IMAGES)
def test_arrays_of_two_and_three_dimensions_are_given_convolutions(
    init: Any, shape: tuple[int, ...], wanted: list[int] | None, filters: list[int]
) -> None:
    generator = np.random.default_rng(0)
    np.savez("a.npz", image=generator.integers(0, 256, (200, *shape)), label=np.arange(200) % 2)
    printed, study = init("a.npz")
    config = load_config("study.yaml")
    network = Architecture.of(config.model, int(np.prod(shape)), 2)
    assert study["model"].get("shape") == wanted
    assert [layer.units for layer in network.layers if layer.kernel] == filters
    if wanted is None:
        assert ("With its channels last" in Path("study.yaml").read_text()) == (len(shape) == 3)
        return
    assert f"'image' is taken as {'×'.join(map(str, wanted))}: a convolutional network" in printed
    weights = sum(int(np.prod(kernel)) for kernel in network.shapes.values())
    assert f"'image' is one array for each event; {weights:,} weights for 120 training events" in Path("study.yaml").read_text()
    assert (study["search"]["strategy"], study["firmware"]["IOType"]) == ("grid", "io_stream")
    if len(wanted) == 3:
        assert study["data"]["input"] == {"bits": 9, "integer": 0}
        assert (opened().train.x * 256 == np.rint(opened().train.x * 256)).all(), "pixels of 8 bits go in exactly"


@pytest.mark.slow
def test_a_study_of_images_is_searched_to_its_firmware(init: Any) -> None:
    digits = load_digits()
    np.savez("digits.npz", image=digits.images[:400], label=digits.target[:400])
    init("digits.npz")
    assert main(["search", "study.yaml", "search.trials=2", "train.epochs=2", "report.bootstrap=20", "--quiet"]) == 0
    (report,) = Path("studies").glob("*/report.json")
    assert all(entry["parity"]["exact"] == entry["parity"]["events"] == 80 for entry in json.loads(report.read_text())["front"])


def test_integers_of_hardware_are_pointed_out_as_a_search_takes_them(init: Any) -> None:
    found = frame()
    for name in ("pt", "eta", "phi", "mass", "tau", "c2"):
        found[name] = np.rint(found[name] * 100).astype(int)
    found.to_csv("hw.csv", index=False)
    init("hw.csv")
    lines = [line.strip() for line in Path("study.yaml").read_text().splitlines()]
    grid = yaml.safe_load(next(line for line in lines if line.startswith("#   input:")).removeprefix("#   "))["input"]
    names = ["pt", "eta", "phi", "mass", "tau", "c2", "tracks"]
    data = yaml.safe_load(Path("study.yaml").read_text())["data"]
    data |= {"lsb": dict.fromkeys(names, 1.0), "scale": "lsb", "input": grid}
    Path("lsb.yaml").write_text(yaml.safe_dump({"data": data}))
    loaded = load_dataset(load_config("lsb.yaml").data, Path())
    step = loaded.scale * 2.0 ** -(grid["bits"] - 1)
    assert (loaded.train.x * loaded.scale == np.rint(loaded.train.x * loaded.scale)).all(), "integers go in exactly"
    assert step.max() <= 1


def test_unbalanced_few_and_many_events(init: Any) -> None:
    found = frame()
    found["signal"] = (np.arange(EVENTS) % 20 == 0).astype(int)
    found.drop(columns="flavour").to_csv("rare.csv", index=False)
    _, study = init("rare.csv")
    assert study["search"]["objectives"] == ["auc", "ebops"]
    assert study["model"]["hidden"] == [8]
    assert study["data"]["split"] == [0.6, 0.2, 0.2]
    assert "95% of the events are of one class" in Path("study.yaml").read_text()


def test_json_and_quiet(init: Any, capsys: pytest.CaptureFixture[str]) -> None:
    frame().to_csv("a.csv", index=False)
    printed, _ = init("a.csv", "--json")
    record = json.loads(printed)
    assert record["label"] == "flavour"
    assert (record["events"], record["shape"]) == (EVENTS, None)
    assert [one["name"] for one in record["features"] if one["integers"]] == ["tracks"]
    assert sum(record["classes"].values()) == EVENTS
    Path("study.yaml").unlink()
    assert init("a.csv", "--quiet")[0] == ""


def test_a_study_file_is_written_beside_or_away_from_its_data(init: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "studies").mkdir()
    frame().to_csv("data/a.csv", index=False)
    assert main(["init", "data/a.csv", "--quiet", "--output", "studies/a.yaml"]) == 0
    config = load_config("studies/a.yaml")
    assert config.data.name == "../data/a.csv"
    assert len(load_dataset(config.data, Path("studies")).train) == 720


@pytest.mark.parametrize("names", [["a: b", "#x", "ü n", "x\ny"], ["true", "null", "1", "[0]"], ["{a}", "'q'", '"d"', "a, b"]])
def test_names_that_are_not_plain_words(init: Any, names: list[str]) -> None:
    found = frame()
    found = found.rename(columns=dict(zip(found.columns, names, strict=False)))
    found["constant, {x}: #"] = 1
    np.savez("odd.npz", **{name: found[name].to_numpy() for name in found if name != "flavour"}, label=np.arange(EVENTS) % 3)
    init("odd.npz")
    assert set(names) <= set(opened().feature_names)


def test_the_study_file_is_searched_as_it_is(init: Any) -> None:
    """As written, only with fewer trials and without firmware: a front comes out."""
    frame(600).to_csv("a.csv", index=False)
    init("a.csv")
    short = ["search.trials=8", "train.parent_epochs=2", "firmware.build=false", "search.hybrid.allocations=2"]
    config = load_config("study.yaml", short)
    front = search_front(run_search(config, "out", folder=Path()))
    assert front
    assert all(candidate.metrics["accuracy_validation"] > 0.4 for candidate in front[-1:])
