"""Files that cannot be used: one sentence that names file, column and cure."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qap.config.data import Data
from qap.config.load import load_config
from qap.datasets.files import read_table
from qap.datasets.load import load_dataset
from qap.datasets.table import Table
from qap.errors import InputError, ToolMissingError

from .test_files import EVENTS, WRITERS, awkward, events, h5py, pandas, parquet, pyarrow, save_root, uproot

GOOD = {"columns": "jet_*", "label": "cls"}


def refused(folder: Path, message: str, **keys: object) -> None:
    """Check that the data is refused in one line that names the file."""
    with pytest.raises(InputError, match=message) as caught:
        load_dataset(Data(**{"name": "e.root", **GOOD, **keys}), folder)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "\n" not in text
    assert keys.get("name", "e.root") in text, text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files")
    columns = events()
    spoilt = columns["jet_pt"].copy()
    spoilt[[7, 300, 301]] = np.nan, np.inf, -np.inf
    hot = {f"is_{name}": columns["cls"] == number for number, name in enumerate("qw")}
    more = {"flat": np.full(EVENTS, 3.5), "spoilt": spoilt, "only": np.ones(EVENTS, int), "many": np.arange(EVENTS)}
    save_root(path / "e.root", {**columns, **hot, **more})
    with uproot.recreate(path / "j.root") as file:
        file["events"] = {"jet_pt": awkward.Array([[1.0], [], [2.0, 3.0]] * 100), "cls": np.arange(300) % 2}
        file["other"] = {"x": np.arange(3)}
    with uproot.recreate(path / "none.root") as file:
        file["text"] = "no tree"
    return path


WRONG: list[tuple[str, dict[str, object]]] = [
    (r"no column 'jet_ptt' \(did you mean 'jet_pt'\?\)", {"columns": ["jet_ptt"]}),
    (r"data.columns: .*no column of numbers matches 'jett_\*'", {"columns": "jett_*"}),
    (r"data.label: .*no column 'class'", {"label": "class"}),
    (r"data.weight: .*no column 'wieght' \(did you mean 'weight'", {"weight": "wieght"}),
    (r"data.split_column: .*no column 'folds' \(did you mean 'fold'", {"split_column": "folds"}),
    (r"data.targets: .*no column 'rum' \(did you mean 'run'", {"targets": "rum", "label": None}),
    (r"which column holds the class\? Set data.label", {"label": None}),
    (r"column 'jet_pt' is jagged .*'jet_pt\[0\]' or 'jet_pt\[:4\]' \(data.padding", {"name": "j.root", "tree": "events"}),
    (r"data.cut: .*column 'jet_pt' is jagged", {"name": "j.root", "tree": "events", "columns": "cls", "cut": "jet_pt > 2"}),
    (r"column 'jet_pt' is jagged: name the features", {"name": "j.root", "tree": "events", "columns": None}),
    (r"data.tree: .*which one\? \(known: events, other\)", {"name": "j.root"}),
    (r"no tree 'event' \(did you mean 'events'", {"name": "j.root", "tree": "event"}),
    (r"has no TTree and no RNTuple", {"name": "none.root"}),
    (r"'jet_pt' is float, it has no element 'jet_pt\[0\]'", {"columns": ["jet_pt[0]"]}),
    (r"column 'flat' is constant \(3.5 in all 600 events\): leave it out of data.columns", {"columns": ["jet_pt", "flat"]}),
    (r"column 'spoilt': 3 values are NaN or infinite, the first in event 7: remove", {"columns": ["jet_n", "spoilt"]}),
    (r"column 'spoilt': 2 values are NaN or infinite, the first in event 300", {"columns": "spoilt", "cut": "many>7"}),
    (r"column 'spoilt': 3 values are NaN", {"weight": "spoilt"}),
    (r"column 'only': one class only, '1'", {"label": "only"}),
    (r"column 'cls': one class only, '2'", {"cut": "cls == 2"}),
    (r"column 'many' has 600 different values, expected at most 256 classes; .*data.targets", {"label": "many"}),
    (r"column 'jet_eta': expected class numbers or names, received .*data.targets", {"label": "jet_eta", "columns": "jet_pt"}),
    (r"'cls' is both a feature and data.label", {"columns": ["jet_pt", "cls"]}),
    (r"'weight' is both a feature and data.weight", {"columns": ["weight"], "weight": "weight"}),
    (r"no column is left for the features", {"columns": "cls*"}),
    (r"'jet_pt > 1e9' removes all 600 events: loosen it", {"cut": "jet_pt > 1e9"}),
    (r"data.cut: .*no column 'jet_p' \(did you mean 'jet_pt'", {"cut": "jet_p > 20"}),
    (r"expected one 1 and else 0 in each event, received is_q = 0, is_w = 0",
     {"label": None, "labels": {"q": "is_q", "w": "is_w"}}),
    (r"'2' is no class of data.labels \(0, 1\)", {"labels": {"q": 0, "w": 1}}),
    (r"no event of class 'x' \(3\)", {"labels": {"q": 0, "w": 1, "t": 2, "x": 3}}),
    (r"data.split_column: 'jet_n': expected train, validation, test or 0, 1, 2, received '(\d+)'", {"split_column": "jet_n"}),
    (r"data.split_column: 'fold': no event is marked as 'test' \(2\)", {"split_column": "fold", "cut": "fold < 2"}),
    (r"column 'jet_pt' has an LSB, but event 0 has ", {"lsb": {"jet_pt": 0.25}}),
    (r"data.lsb: .*no column 'jet_m'", {"lsb": {"jet_m": 0.25}}),
    (r"data.scale: lsb needs the LSB of every feature, 'jet_pt' has none", {"lsb": {"jet_n": 1.0}, "scale": "lsb"}),
    (r"the integers of 'many' go from 0 to 599, .* set data.input=\{bits: 11, integer: 0\}",
     {"columns": "many", "lsb": {"many": 1.0}, "scale": "lsb"}),
    (r"data.name: .*/x.root: no such file", {"name": "x.root"}),
    (r"data.name: .*/x\*.root: no file matches", {"name": "x*.root"}),
    (r"data.name: .*e.rot: unknown type of file \(did you mean '.root'", {"name": "e.rot"}),
    (r"data.files: .*no event of class 'b' is left", {"name": "two", "files": {"a": "e.root", "b": "j2.root"}, "label": None,
                                                        "columns": "jet_pt", "cut": "many < 700"}),
]  # fmt: skip


@pytest.mark.parametrize(("message", "keys"), WRONG, ids=[message[:50] for message, _ in WRONG])
def test_what_cannot_be_learnt_from_is_refused(message: str, keys: dict[str, object], folder: Path) -> None:
    if keys.get("name") == "two":
        save_root(folder / "j2.root", {"jet_pt": np.ones(9, np.float32), "many": np.full(9, 900)})
        with pytest.raises(InputError, match=message):
            load_dataset(Data(**{**GOOD, **keys}), folder)  # type: ignore[arg-type]
        return
    refused(folder, message, **keys)


@pytest.mark.parametrize("kind", WRITERS)
def test_truncated_files_of_every_type_are_refused(kind: str, tmp_path: Path) -> None:
    name, writer, options = WRITERS[kind]
    writer(tmp_path / name, events())
    whole = (tmp_path / name).read_bytes()
    expected = read_table(Data(name=name, **options, **GOOD), tmp_path)  # type: ignore[arg-type]
    messages = []
    for part in np.linspace(0, 0.999, 15):
        (tmp_path / name).write_bytes(whole[: int(part * len(whole))])
        try:
            found = read_table(Data(name=name, **options, **GOOD), tmp_path)  # type: ignore[arg-type]
        except InputError as error:
            messages.append(str(error))
            continue
        kept = len(found.features) - 1 if kind == "csv" else EVENTS  # a table of text may end anywhere, a number may be cut
        assert (found.features[:kept] == expected.features[:kept]).all(), f"silently different at {part:.0%}"
    assert all(name in text and "\n" not in text for text in messages), messages
    assert len(messages) >= (1 if kind == "csv" else 13), messages


@pytest.mark.parametrize("kind", WRITERS)
def test_files_without_events_are_refused(kind: str, tmp_path: Path) -> None:
    name, writer, options = WRITERS[kind]
    columns = events()
    if kind == "root":
        with uproot.recreate(tmp_path / name) as file:
            file.mktree("events", {key: values.dtype for key, values in columns.items()})
    elif kind == "compound":
        with h5py.File(tmp_path / name, "w") as file:
            file["events"] = np.empty(0, [(key, values.dtype) for key, values in columns.items()])
    elif kind == "hdf5":
        with h5py.File(tmp_path / name, "w") as file:
            for key, values in columns.items():
                file[key] = values[:0]
    else:
        writer(tmp_path / name, {key: values[:0] for key, values in columns.items()})
    with pytest.raises(InputError, match=rf"{name}: has no events"):
        read_table(Data(name=name, **options, **GOOD), tmp_path)  # type: ignore[arg-type]
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=rf"{name}: is empty \(0 bytes\)"):
        read_table(Data(name=name, **options, **GOOD), tmp_path)  # type: ignore[arg-type]


def test_text_tables_name_what_is_wrong(tmp_path: Path) -> None:
    def table(text: str, **keys: object) -> Callable[[], Table]:
        (tmp_path / "t.csv").write_text(text)
        return lambda: read_table(Data(name="t.csv", **{"label": "y", **keys}), tmp_path)  # type: ignore[arg-type]

    rows = "\n".join(f"{i},{i % 2}" for i in range(1500))
    with pytest.raises(InputError, match=r"t.csv: column 'x': expected a number in event 1500, received 'oops'"):
        table(f"x,y\n{rows}\noops,1\n")()
    with pytest.raises(InputError, match=r"t.csv: expected the names of the columns in the first line, received 0, 0"):
        table(rows)()
    with pytest.raises(InputError, match=r"t.csv: column 'x': 1 values are NaN or infinite, the first in event 1500"):
        table(f"x,y\n{rows}\n,1\n")()
    with pytest.raises(InputError, match=r"t.csv: column 'z' holds text: name the features"):
        table("x,y,z\n1,2,a\n2,3,b\n")()
    with pytest.raises(InputError, match=r"t.csv: column 'z' holds text, a feature must be a number"):
        table("x,y,z\n1,2,a\n2,3,b\n", columns=["x", "z"])()
    assert table("# made by hand\nx, y\n1, 0\n2, 1\n")().labels.tolist() == [0, 1]  # type: ignore[union-attr]


def test_columns_of_different_lengths_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.arange(5.0), y=np.arange(4))
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["x"], file["y"] = np.arange(5.0), np.arange(4)
    for name in ("d.npz", "d.h5"):
        with pytest.raises(InputError, match=rf"{name}: 'y' has 4 events and 'x' 5"):
            read_table(Data(name=name, label="y"), tmp_path)


def test_nulls_are_not_a_number(tmp_path: Path) -> None:
    columns = {"x": pyarrow.array([1, None, 3, 4]), "y": pyarrow.array([0, 1, 0, 1])}
    parquet.write_table(pyarrow.table(columns), tmp_path / "n.parquet")
    with pytest.raises(InputError, match="n.parquet: column 'x': 1 values are NaN or infinite, the first in event 1"):
        read_table(Data(name="n.parquet", label="y"), tmp_path)


def test_files_of_a_set_must_have_the_same_columns(tmp_path: Path) -> None:
    for name, extra in (("a", "x"), ("b", "z")):
        pandas.DataFrame({"y": [0, 1], "w": [1, 2], extra: [3, 4]}).to_csv(tmp_path / f"{name}.csv", index=False)
    with pytest.raises(InputError, match=r"b.csv: has other columns than .*a.csv: x, z"):
        read_table(Data(name="?.csv", label="y"), tmp_path)


@pytest.mark.parametrize(
    ("name", "module"), [("e.root", "uproot"), ("e.h5", "h5py"), ("e.parquet", "pyarrow"), ("e.csv", "pandas")]
)
def test_without_its_library_the_message_says_what_to_install(
    name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).write_text("something")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ToolMissingError, match=rf"needs {module}: pip install 'qap\[readers\]'"):
        load_dataset(Data(name=name, label="y"), tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data.files={a: [x.root]}", "data: files: expected two classes or more"),
        ("data.files={a: x.root, b: y.root}", "name: give the data of `files` a name of its own"),
        ("data={name: t, label: y, targets: z}", "expected one of files, label, labels, targets, received label, targets"),
        ("data={name: t.root, labels: {a: 1, b: 2}}", "expected a one-hot column for each class"),
        ("data={name: t.root, labels: {a: x}}", "labels: expected two classes or more"),
        ("data.scale=lsb", "scale: lsb needs the LSB of each column"),
        ("data.lsb={x: 0}", "data.lsb.x: expected greater than 0"),
        ("data.colums=[x]", r"unknown key data.colums \(did you mean 'columns'"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_config(None, [text])


def test_sets_that_are_no_files_have_no_columns() -> None:
    with pytest.raises(InputError, match=r"data.cut: digits has no columns to choose from"):
        load_dataset(Data(name="digits", cut="pixel_0_0 > 3"))


@pytest.mark.parametrize("line", [0, 1500])
def test_lines_that_are_longer_than_the_first_are_refused(tmp_path: Path, line: int) -> None:
    """Decimal commas: with the values cut, every column would hold another's numbers."""
    path = tmp_path / "events.csv"
    lines = [f"{n}.5,{n % 2}" for n in range(2000)]
    lines[line:] = [text.replace(".", ",") for text in lines[line:]]
    path.write_text("pt,label\n" + "\n".join(lines) + "\n")
    with pytest.raises(InputError, match="Expected 2 fields|more values than the first line"):
        load_dataset(Data(name=str(path), label="label"))
