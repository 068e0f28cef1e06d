"""Files that no study can learn from, as a user meets them: a clear sentence, exit code 2, nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qap.__main__ import main

awkward, h5py, pandas, pyarrow, uproot = map(pytest.importorskip, ("awkward", "h5py", "pandas", "pyarrow", "uproot"))
from pyarrow import parquet  # noqa: E402  (after the packages that may be missing)

STUDY = Path(__file__).parents[2] / "configs" / "jets.yaml"
EVENTS = 300
Columns = dict[str, Any]
"""Arrays by name; a list of lists is jagged."""


def good() -> Columns:
    generator = np.random.default_rng(0)
    pt, eta = generator.exponential(50, EVENTS).astype(np.float32), generator.normal(0, 1, EVENTS).astype(np.float32)
    return {"pt": pt, "eta": eta, "cls": (np.arange(EVENTS) % 2).astype(np.int32)}


def save_root(path: Path, columns: Columns) -> None:
    types = {name: "var * float32" if isinstance(values, list) else values.dtype for name, values in columns.items()}
    arrays = {name: awkward.Array(values) if isinstance(values, list) else values for name, values in columns.items()}
    with uproot.recreate(path) as file:
        file.mktree("events", types).extend(arrays)


def save_hdf5(path: Path, columns: Columns) -> None:
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            if not isinstance(values, list):
                file[name] = values
                continue
            dataset = file.create_dataset(name, (len(values),), dtype=h5py.vlen_dtype(np.float32))
            for event, some in enumerate(values):
                dataset[event] = np.array(some, np.float32)


def save_parquet(path: Path, columns: Columns) -> None:
    parquet.write_table(pyarrow.table(columns), path)


def save_npz(path: Path, columns: Columns) -> None:
    def array(values: Any) -> np.ndarray:
        if not isinstance(values, list):
            return np.asarray(values)
        found = np.empty(len(values), object)
        found[:] = [np.array(some) for some in values]
        return found

    np.savez(path, **{name: array(values) for name, values in columns.items()})  # type: ignore[arg-type]


def save_csv(path: Path, columns: Columns) -> None:
    pandas.DataFrame(columns).to_csv(path, index=False)


WRITERS: dict[str, Callable[[Path, Columns], None]] = {
    "e.root": save_root, "e.h5": save_hdf5, "e.parquet": save_parquet, "e.npz": save_npz, "e.csv": save_csv,
}  # fmt: skip


def infinite(columns: Columns) -> Columns:
    values = columns["pt"].copy()
    values[[5, 9]] = np.inf, -np.inf
    return {**columns, "pt": values}


CHANGES: dict[str, Callable[[Columns], Columns]] = {
    "jagged column": lambda columns: {**columns, "hits": [[1.0] * (1 + event % 3) for event in range(EVENTS)]},
    "no events": lambda columns: {name: values[:0] for name, values in columns.items()},
    "constant feature": lambda columns: {**columns, "eta": np.full(EVENTS, 1.5, np.float32)},
    "infinite values": infinite,
    "one class only": lambda columns: {**columns, "cls": np.ones(EVENTS, np.int32)},
}
"""What is wrong with the columns that are written."""

FAULTS: dict[str, tuple[list[str], list[str]]] = {
    "missing column": (["data.columns=[pt,etaa]"], ["'etaa'", "did you mean 'eta'"]),
    "missing label": (["data.label=clas"], ["data.label", "'clas'", "did you mean 'cls'"]),
    "jagged column": (["data.columns=[pt,hits]"], ["'hits'"]),
    "no events": ([], ["has no events"]),
    "no bytes": ([], ["is empty (0 bytes)"]),
    "truncated": ([], ["truncated"]),
    "constant feature": ([], ["'eta'", "is constant (1.5"]),
    "infinite values": ([], ["'pt'", "2 values are NaN or infinite", "event 5"]),
    "one class only": ([], ["'cls'", "one class only, '1'"]),
}
"""Overrides, and what the message holds besides the file's name."""
JAGGED = {"e.npz": "object (jagged arrays", "e.csv": "holds text"}
"""What files call a jagged column that have no such thing."""


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_cannot_be_used_is_refused_in_a_sentence(
    name: str, fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def begun(*_: object, **__: object) -> None:
        pytest.fail(f"{fault}: the study was begun")

    monkeypatch.setattr("qap.report.write.run_study", begun)
    path, (overrides, words) = tmp_path / name, FAULTS[fault]
    WRITERS[name](path, CHANGES.get(fault, dict)(good()))
    if fault in ("no bytes", "truncated"):
        path.write_bytes(path.read_bytes()[: 0 if fault == "no bytes" else int(0.6 * path.stat().st_size)])
    before = path.read_bytes()
    code = main(["search", str(STUDY), f"data.name={path}", "data.label=cls", *overrides, "--output", str(tmp_path / "out")])
    shown = capsys.readouterr()
    said = shown.err.strip()
    assert code == 2, said
    assert len(said.splitlines()) <= 4, said
    assert "Traceback" not in said, said
    if fault == "jagged column":
        words = [*words, JAGGED.get(name, "is jagged")]
    assert [word for word in (name, *words) if word not in said] == [], said
    assert shown.out == ""
    assert [one.name for one in tmp_path.iterdir()] == [name], "something was written"
    assert path.read_bytes() == before


def test_a_text_table_may_end_without_a_line_break(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class BegunError(Exception):
        pass

    def begun(*_: object, **__: object) -> None:
        raise BegunError

    monkeypatch.setattr("qap.report.write.run_study", begun)
    save_csv(tmp_path / "e.csv", good())
    text = (tmp_path / "e.csv").read_text()
    for end in (text.rstrip(), text + "# made by hand", text + "\n"):
        (tmp_path / "e.csv").write_text(end)
        with pytest.raises(BegunError):
            main(["search", str(STUDY), f"data.name={tmp_path / 'e.csv'}", "data.label=cls", "--output", str(tmp_path / "out")])
