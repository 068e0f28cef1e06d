"""The user's own files of every type against NumPy: columns, cuts, labels, weights, splits, hardware integers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qap.config.data import Data, Grid
from qap.datasets.files import Reading, read_table
from qap.datasets.load import load_dataset
from qap.datasets.table import Table

awkward, h5py, pandas, pyarrow, uproot = map(pytest.importorskip, ("awkward", "h5py", "pandas", "pyarrow", "uproot"))
from pyarrow import parquet  # noqa: E402  (after the packages that may be missing)

EVENTS = 600
Columns = dict[str, np.ndarray]


def events(count: int = EVENTS, seed: int = 0) -> Columns:
    """Columns of all types that an ntuple has."""
    generator = np.random.default_rng(seed)
    return {
        "jet_pt": generator.exponential(60, count).astype(np.float32),
        "jet_eta": generator.normal(0, 1.5, count),
        "jet_n": generator.integers(0, 40, count).astype(np.int16),
        "run": generator.integers(300_000, 400_000, count),
        "good": generator.random(count) < 0.8,
        "cls": generator.integers(0, 3, count).astype(np.int32),
        "weight": generator.uniform(0.5, 2, count).astype(np.float32),
        "fold": generator.integers(0, 3, count).astype(np.int8),
    }


def save_root(path: Path, columns: Columns) -> None:
    with uproot.recreate(path) as file:
        tree = file.mktree("events", {name: values.dtype for name, values in columns.items()})
        for some in np.array_split(np.arange(len(columns["jet_pt"])), 3):
            tree.extend({name: values[some] for name, values in columns.items()})


def save_rntuple(path: Path, columns: Columns) -> None:
    with uproot.recreate(path) as file:
        file.mkrntuple("events", columns)


def save_hdf5(path: Path, columns: Columns) -> None:
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file.create_dataset(name, data=values, chunks=(50,), compression="gzip")


def save_compound(path: Path, columns: Columns) -> None:
    table = np.empty(len(columns["jet_pt"]), [(name, values.dtype) for name, values in columns.items()])
    for name, values in columns.items():
        table[name] = values
    with h5py.File(path, "w") as file:
        file["events"] = table


def save_parquet(path: Path, columns: Columns) -> None:
    parquet.write_table(pyarrow.table(columns), path, row_group_size=170)


def save_npz(path: Path, columns: Columns) -> None:
    np.savez(path, **columns)  # type: ignore[arg-type]


def save_text(path: Path, columns: Columns) -> None:
    sep = "\t" if ".tsv" in path.suffixes else ","
    pandas.DataFrame(columns).to_csv(path, index=False, sep=sep)


WRITERS: dict[str, tuple[str, Callable[[Path, Columns], None], dict[str, str]]] = {
    "root": ("e.root", save_root, {}),
    "rntuple": ("n.root", save_rntuple, {}),
    "hdf5": ("e.h5", save_hdf5, {}),
    "compound": ("c.hdf5", save_compound, {"tree": "events"}),
    "parquet": ("e.parquet", save_parquet, {}),
    "npz": ("e.npz", save_npz, {}),
    "csv": ("e.csv", save_text, {}),
    "tsv": ("e.tsv.gz", save_text, {}),
}


def read(folder: Path, kind: str, written: Columns, **keys: object) -> Table:
    name, writer, options = WRITERS[kind]
    writer(folder / name, written)
    return read_table(Data(name=name, **{**options, **keys}), folder)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", WRITERS)
def test_every_type_gives_the_same_table(kind: str, tmp_path: Path) -> None:
    columns = events()
    keep = (columns["jet_pt"] > 20) & (np.abs(columns["jet_eta"]) < 2.4) & columns["good"]
    table = read(
        tmp_path, kind, columns, columns=["run", "jet_*"], cut="jet_pt > 20 & abs(jet_eta) < 2.4 & good", label="cls",
        weight="weight", split_column="fold",
    )  # fmt: skip
    expected = np.column_stack([columns[name] for name in table.feature_names])[keep]
    assert sorted(table.feature_names) == ["jet_eta", "jet_n", "jet_pt", "run"]
    assert table.feature_names[0] == "run"
    assert table.features.dtype == np.float64
    wrong = np.abs(table.features - expected)
    if kind in ("csv", "tsv"):  # the decimals that pandas writes for a float32 are not those of its float64
        wrong = wrong.astype(np.float32) * (table.features.astype(np.float32) != expected.astype(np.float32))
    assert wrong.max() == 0, f"{(wrong > 0).sum()} values differ, by {wrong.max()} at most"
    assert (table.labels == columns["cls"][keep]).all()
    assert table.weights is not None
    assert (table.weights.astype(np.float32) == columns["weight"][keep]).all()
    assert (table.part == columns["fold"][keep]).all()
    assert table.class_names == ("0", "1", "2")


def test_without_columns_every_column_without_a_role_is_a_feature(tmp_path: Path) -> None:
    table = read(tmp_path, "root", events(), label="cls", weight="weight", split_column="fold", cut="jet_n > 2")
    assert table.feature_names == ("jet_pt", "jet_eta", "jet_n", "run", "good")


def test_narrow_types_stay_float32(tmp_path: Path) -> None:
    columns = events()
    table = read(tmp_path, "parquet", columns, columns=["jet_pt", "jet_n", "good"], label="cls")
    assert table.features.dtype == np.float32
    assert (table.features[:, 0] == columns["jet_pt"]).all()


@pytest.mark.parametrize("kind", ["hdf5", "parquet", "npz", "csv"])
def test_class_names_in_a_column(kind: str, tmp_path: Path) -> None:
    columns = events()
    names = np.array(["w", "q", "t"])[columns["cls"]]
    table = read(tmp_path, kind, {**columns, "cls": names.astype("S" if kind == "hdf5" else "U")}, columns="jet_pt", label="cls")
    assert table.class_names == ("q", "t", "w")
    assert (np.array(table.class_names)[table.labels] == names).all()


def test_text_in_a_root_file_is_a_label(tmp_path: Path) -> None:
    columns = events()
    names = np.array(["w", "q", "t"])[columns["cls"]]
    with uproot.recreate(tmp_path / "t.root") as file:
        file["events"] = {"x": columns["jet_pt"], "kind": awkward.Array(names.tolist())}
    table = read_table(Data(name="t.root", label="kind", cut="kind != 'q'"), tmp_path)
    assert table.class_names == ("t", "w")
    assert (np.array(table.class_names)[table.labels] == names[names != "q"]).all()
    assert table.feature_names == ("x",)


def test_values_of_a_column_get_names(tmp_path: Path) -> None:
    columns = events()
    pdg = np.array([11, -13, 22])[columns["cls"]]
    table = read(
        tmp_path, "npz", {**columns, "cls": pdg}, columns="jet_pt", label="cls", labels={"photon": 22, "electron": 11},
        cut="cls > 0",
    )  # fmt: skip
    assert table.class_names == ("photon", "electron")
    assert (np.array([22, 11])[table.labels] == pdg[pdg > 0]).all()


def test_one_hot_columns_become_classes(tmp_path: Path) -> None:
    columns = events()
    hot = {f"is_{name}": (columns["cls"] == number).astype(np.float32) for number, name in enumerate("qwt")}
    table = read(tmp_path, "root", {**columns, **hot}, columns="jet_*", labels={"top": "is_t", "w": "is_w", "quark": "is_q"})
    assert table.class_names == ("top", "w", "quark")
    assert (table.labels == 2 - columns["cls"]).all()


def test_files_of_each_class(tmp_path: Path) -> None:
    parts = {name: events(seed=seed) for seed, name in enumerate(["tt", "qcd_1", "qcd_2"])}
    for name, columns in parts.items():
        save_root(tmp_path / f"{name}.root", columns)
    data = Data(name="tops", files={"background": "qcd_*.root", "top": ["tt.root"]}, columns="jet_*", cut="jet_pt>30")
    seen: list[Reading] = []
    table = read_table(data, tmp_path, seen.append)
    kept = {name: columns["jet_pt"][columns["jet_pt"] > 30] for name, columns in parts.items()}
    assert (table.features[:, 0] == np.concatenate([kept["qcd_1"], kept["qcd_2"], kept["tt"]])).all()
    assert (table.labels == np.repeat([0, 1], [len(kept["qcd_1"]) + len(kept["qcd_2"]), len(kept["tt"])])).all()
    assert table.class_names == ("background", "top")
    assert [one.file for one in seen] == ["qcd_1.root", "qcd_2.root", "tt.root"]
    assert seen[-1].share == 1
    assert seen[-1].events == len(table.features)


def test_regression_targets(tmp_path: Path) -> None:
    columns = events()
    table = read(tmp_path, "hdf5", columns, columns="jet_*", targets=["run", "weight"])
    assert table.labels is None
    assert (table.targets == np.column_stack([columns["run"], columns["weight"]])).all()


def test_jagged_branches_give_their_first_elements(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    lists = [generator.normal(0, 1, generator.integers(0, 5)).astype(np.float32).tolist() for _ in range(EVENTS)]
    expected = np.array([[*one, -9, -9, -9][:3] for one in lists], np.float32)
    cls = np.arange(EVENTS) % 2
    with uproot.recreate(tmp_path / "j.root") as file:
        file["events"] = {"v": awkward.Array(lists), "cls": cls}
    with uproot.recreate(tmp_path / "n.root") as file:
        file.mkrntuple("events", {"v": awkward.Array(lists), "cls": cls})
    parquet.write_table(pyarrow.table({"v": lists, "cls": cls}), tmp_path / "j.parquet")
    with h5py.File(tmp_path / "j.h5", "w") as file:
        file["cls"] = cls
        file.create_dataset("v", data=np.array([np.float32(one) for one in lists], object), dtype=h5py.vlen_dtype(np.float32))
    for name in ("j.root", "n.root", "j.parquet", "j.h5"):
        table = read_table(Data(name=name, columns=["v[2]", "v[:2]"], padding=-9, label="cls", cut="v[0] > 0"), tmp_path)
        assert table.feature_names == ("v[2]", "v[0]", "v[1]")
        found = table.features.astype(np.float32)
        assert (found == expected[expected[:, 0] > 0][:, [2, 0, 1]]).all(), name


def test_arrays_of_fixed_shape_give_all_elements(tmp_path: Path) -> None:
    values = np.arange(EVENTS * 6, dtype=np.float32).reshape(EVENTS, 2, 3)
    cls = np.arange(EVENTS) % 2
    np.savez(tmp_path / "a.npz", v=values, cls=cls)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data/v"], file["data/cls"] = values, cls
    with uproot.recreate(tmp_path / "a.root") as file:
        tree = file.mktree("t", {"v": np.dtype(("f4", (2, 3))), "cls": "i8"})
        tree.extend({"v": values, "cls": cls})
    for name, tree in (("a.npz", None), ("a.h5", "data"), ("a.root", "t")):
        table = read_table(Data(name=name, tree=tree, label="cls"), tmp_path)
        assert (table.features == values.reshape(EVENTS, 6)).all(), name
        assert table.feature_names[-1] == "v[1][2]"
        one = read_table(Data(name=name, tree=tree, label="cls", columns=["v[*][1]"]), tmp_path)
        assert (one.features == values[:, :, 1]).all(), name


def test_the_files_own_split_is_kept(tmp_path: Path) -> None:
    columns = {**events(), "id": np.arange(EVENTS, dtype=np.float32)}
    save_root(tmp_path / "e.root", columns)
    grid = Grid(bits=25, integer=0)
    data = Data(name="e.root", columns=["id", "jet_pt"], label="cls", split_column="fold", scale=1024.0, input=grid)
    found = load_dataset(data, tmp_path)
    for number, part in enumerate((found.train, found.validation, found.test)):
        assert set(np.rint(part.x[:, 0] * 1024).astype(int)) == set(np.flatnonzero(columns["fold"] == number))
    text = np.where(columns["fold"] == 2, "test", "train")
    save_text(tmp_path / "e.csv", {**columns, "fold": text})
    found = load_dataset(data.model_copy(update={"name": "e.csv"}), tmp_path)
    assert set(np.rint(found.test.x[:, 0] * 1024).astype(int)) == set(np.flatnonzero(columns["fold"] == 2))
    learnt = int((columns["fold"] != 2).sum())
    assert (len(found.train), len(found.validation)) == (round(0.875 * learnt), learnt - round(0.875 * learnt))


def test_hardware_integers_have_their_physical_value(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    pt, eta = generator.integers(0, 2**14, EVENTS).astype(np.uint16), generator.integers(-256, 256, EVENTS).astype(np.int16)
    columns = {"hw_pt": pt, "hw_eta": eta, "jet_pt": pt * np.float32(0.25), "cls": np.arange(EVENTS) % 2}
    save_root(tmp_path / "h.root", columns)
    data = Data(name="h.root", columns="hw_*", label="cls", lsb={"hw_pt": 0.25, "hw_eta": 0.0043633})
    table = read_table(data, tmp_path)
    assert (table.features[:, 0] == pt * 0.25).all()
    assert table.features[:, 1] == pytest.approx(eta * 0.0043633, rel=1e-6)
    exact = load_dataset(Data(**{**data.model_dump(), "scale": "lsb", "input": {"bits": 15, "integer": 0}}), tmp_path)
    order = np.random.default_rng(42).permutation(EVENTS)[480:]
    assert (exact.test.x[:, 0].astype(np.float64) * 2**14 == pt[order]).all()
    assert (exact.test.x[:, 1].astype(np.float64) * 2**8 == eta[order]).all()
    wide = load_dataset(Data(**{**data.model_dump(), "scale": "lsb", "input": {"bits": 18, "integer": 3}}), tmp_path)
    assert (wide.test.x == exact.test.x * 8).all()


def test_qaps_own_format_has_columns_too(tmp_path: Path) -> None:
    table = load_dataset(Data(cut="jet_pt > 900 & jet_pt < 950", columns=["mass*", "multiplicity"]))
    whole = load_dataset()
    assert table.class_names == whole.class_names
    assert set(table.feature_names) < set(whole.feature_names)
    assert 0 < len(table.train) < len(whole.train)
