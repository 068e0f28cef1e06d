"""Readers by themselves: chunks, names, elements, clusters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qap.datasets.readers.read import open_source, read_chunks
from qap.datasets.readers.source import Column, Jagged, resolve, resolve_one
from qap.errors import InputError

from .test_files import EVENTS, WRITERS, awkward, events, pyarrow, uproot


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("rows", [1, 37, 10_000])
def test_chunks_put_together_are_the_file(kind: str, rows: int, tmp_path: Path) -> None:
    count = 90 if rows == 1 else EVENTS
    name, writer, options = WRITERS[kind]
    columns = events(count)
    writer(tmp_path / name, columns)
    source = open_source(tmp_path / name, options.get("tree"))
    elements = [resolve_one(text, source.columns, name) for text in ("jet_n", "good", "run")]
    shares: list[float] = []
    chunks = list(read_chunks(source, elements, rows=rows, watch=shares.append))
    for text in ("jet_n", "good", "run"):
        assert (np.concatenate([chunk.columns[text] for chunk in chunks]) == columns[text]).all()
    starts = np.cumsum([0, *map(len, chunks)])
    assert [chunk.start for chunk in chunks] == starts[:-1].tolist()
    assert shares == sorted(shares)
    assert shares[-1] == 1


@given(st.lists(st.lists(st.integers(-9, 9), max_size=5), min_size=1, max_size=30), st.integers(0, 5))
def test_elements_of_jagged_arrays(lists: list[list[int]], index: int) -> None:
    found = Jagged.of([np.array(one, np.int16) for one in lists]).element(index, 0.5)
    assert found.tolist() == [one[index] if len(one) > index else 0.5 for one in lists]


def test_lists_with_nulls_and_slices_are_read(tmp_path: Path) -> None:
    lists = [[1.0, 2.0], None, [], [3.0], None, [4.0, 5.0, 6.0]]
    pyarrow.parquet.write_table(pyarrow.table({"v": lists}), tmp_path / "n.parquet")
    source = open_source(tmp_path / "n.parquet")
    found = list(read_chunks(source, resolve("v[:2]", source.columns, ""), rows=4, padding=-1))
    assert [len(chunk) for chunk in found] == [4, 2]
    assert np.concatenate([chunk.columns["v[0]"] for chunk in found]).tolist() == [1, -1, -1, 3, -1, 4]
    assert np.concatenate([chunk.columns["v[1]"] for chunk in found]).tolist() == [2, -1, -1, -1, -1, 5]


def test_chunks_of_a_tree_end_where_its_clusters_end(tmp_path: Path) -> None:
    sizes = [100, 100, 100, 250, 30]
    with uproot.recreate(tmp_path / "c.root") as file:
        tree = file.mktree("t", {"x": "float32", "v": "var * float64"})
        for size in sizes:
            tree.extend({"x": np.arange(size, dtype=np.float32), "v": awkward.Array([[1.0, 2.0]] * size)})
    source = open_source(tmp_path / "c.root")
    elements = [*resolve("x", source.columns, ""), *resolve("v[1]", source.columns, "")]
    assert [chunk.start for chunk in read_chunks(source, elements, rows=150)] == [0, 200, 550]


def test_names_stand_for_what_they_say() -> None:
    number, array, jagged = Column("number"), Column("number", (2, 2)), Column("jagged", (), "float[]")
    columns = {"a": number, "b[0]": number, "v": array, "j": jagged}

    def names(text: str) -> list[str]:
        return [element.name for element in resolve(text, columns, "")]

    assert names("b[0]") == ["b[0]"]
    assert names("v") == ["v[0][0]", "v[0][1]", "v[1][0]", "v[1][1]"]
    assert names("v[?][1]") == ["v[0][1]", "v[1][1]"]
    assert names("j[1:3]") == ["j[1]", "j[2]"]
    for text in ("v[2][0]", "v[0]", "j[0][0]", "j[3:3]", "j[:9999]", "j", "x*", "*"):
        with pytest.raises(InputError):
            names(text)
    with pytest.raises(InputError, match="'v' stands for 4 columns, expected one"):
        resolve_one("v", columns, "")
    with pytest.raises(InputError, match=r"the file has 40 columns"):
        resolve("q", {f"column{i}": Column("number") for i in range(40)}, "")
