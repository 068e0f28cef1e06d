"""Tables of reports: what is read, and what is refused with file and line."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from qap.cost.report_table import read_pairs, read_table
from qap.errors import InputError

LAYER = {
    "n_mac": 12, "nnz": 8, "n_gen": 6, "n_p2": 2, "bops": 12 * 7 * 5, "ebops": 100, "add_bits": 140, "n_add": 10, "n_in": 4,
    "n_out": 3, "n_dspcand": 4, "n_uniq": 5, "tree": 2, "xb": 7, "wb": 5, "ab": 14, "R": 2, "strategy": "resource",
    "clk": 3.3, "LUT": 500, "FF": 200, "DSP": 4, "BRAM": 3, "lat": 7, "II": 6, "source": "by hand, xcu250-figd2104-2L-e, 5 ns",
}  # fmt: skip
NETWORK = {
    **{name: value for name, value in LAYER.items() if name not in ("xb", "wb", "ab", "strategy", "II")},
    "m": "tagger", "dsp": "False", "smax": 5, "nl": 3, "ii": 6, "source": "by hand",
}  # fmt: skip


def _write(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_rows_of_layers(tmp_path: Path) -> None:
    (row,) = read_table(_write(tmp_path / "layers.csv", [LAYER]))
    assert row.figures == {"LUT": 500, "FF": 200, "DSP": 4, "BRAM_18K": 3, "latency_cycles": 7, "II": 6}
    assert (row.group, row.part, row.source) == ("4x3", "xcu250-figd2104-2L-e", LAYER["source"])
    network = row.network
    assert (network.strategy, network.reuse_factor, network.layers, network.clock_ns) == ("resource", 2, 1, 3.3)
    assert network.multipliers is None
    assert network.features["shift_bits"] == 2 * 7
    assert network.features["fabric_bits"] == 4 * 35


def test_rows_of_networks(tmp_path: Path) -> None:
    rows = list(read_table(_write(tmp_path / "networks.csv", [NETWORK, {**NETWORK, "dsp": "True", "smax": 0, "R": 100}])))
    assert [row.group for row in rows] == ["tagger", "tagger"]
    assert [row.part for row in rows] == [None, None]
    assert [row.network.multipliers for row in rows] == ["lut", "dsp"]
    assert [(row.network.softmax, row.network.reuse_factor) for row in rows] == [(5, 2), (0, 100)]
    assert {(row.network.layers, row.network.strategy) for row in rows} == {(3, "latency")}
    assert rows[0].figures["II"] == 6


@pytest.mark.parametrize("table", [LAYER, NETWORK])
@pytest.mark.parametrize(
    "change",
    [{"LUT": "many"}, {"LUT": ""}, {"n_gen": None}, {"R": "1.x"}, {"n_mac": 0}, {"FF": "nan"}, {"add_bits": "inf"}, {"DSP": -3}],
)
def test_bad_values_are_named_with_their_line(tmp_path: Path, table: dict[str, object], change: dict[str, object]) -> None:
    path = _write(tmp_path / "table.csv", [table, table, {**table, **change}])
    with pytest.raises(InputError, match=r"table\.csv, line 4: expected"):
        list(read_table(path))


@pytest.mark.parametrize("name", ["LUT", "n_mac", "R", "source", "lat", "clk"])
def test_a_missing_column_is_named(tmp_path: Path, name: str) -> None:
    path = _write(tmp_path / "table.csv", [{key: value for key, value in LAYER.items() if key != name}])
    with pytest.raises(InputError, match=rf"table\.csv, line 2.*{name}"):
        list(read_table(path))


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none.csv"):
        list(read_table(tmp_path / "none.csv"))
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="binary.csv"):
        read_pairs(tmp_path / "binary.csv")


def _stage(model: str, stage: str, *figures: float) -> dict[str, object]:
    return {
        "model": model,
        "stage": stage,
        **dict(zip(("LUT", "FF", "DSP", "BRAM"), figures, strict=True)),
        "source": f"of {model}",
    }


def test_pairs_divide_synthesis_by_csynth(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "pairs.csv",
        [
            _stage("a", "HLS csynth", 1000, 500, 10, 8), _stage("a", "vsynth", 400, 450, 10, 3),
            _stage("b", "HLS csynth", 1000, 500, 0, 0), _stage("b", "vsynth", 700, 100, 0, 2),
            _stage("alone", "HLS csynth", 5, 5, 5, 5), _stage("placed", "P&R", 5, 5, 5, 5),
        ],
    )  # fmt: skip
    pairs = {pair.source: pair.ratios for pair in read_pairs(path)}
    # the table counts tiles of two BRAM_18K after synthesis
    assert pairs == {"of a": {"LUT": 0.4, "FF": 0.9, "DSP": 1, "BRAM_18K": 0.75}, "of b": {"LUT": 0.7, "FF": 0.2}}


def test_a_copied_synthesis_report_counts_once(tmp_path: Path) -> None:
    rows = [
        _stage("wrong", "HLS csynth", 1000, 500, 90, 8), _stage("wrong", "vsynth", 300, 200, 40, 3),
        _stage("right", "HLS csynth", 900, 400, 41, 8), _stage("right", "vsynth", 300, 200, 40, 3),
        _stage("other", "HLS csynth", 900, 400, 41, 8), _stage("other", "vsynth", 301, 200, 40, 3),
    ]  # fmt: skip
    for order in (rows, rows[::-1]):
        assert {pair.source for pair in read_pairs(_write(tmp_path / "pairs.csv", order))} == {"of right", "of other"}


def test_pairs_refuse_bad_values(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pairs.csv, line 2"):
        read_pairs(_write(tmp_path / "pairs.csv", [_stage("a", "vsynth", 1, 2, 3, 4) | {"FF": "x"}]))
