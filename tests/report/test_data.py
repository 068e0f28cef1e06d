"""report.json and front.csv: what is written is read back, what is broken is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from qap.candidate import Parity
from qap.errors import InputError
from qap.report.data import Report
from qap.report.quality import Curve
from qap.report.table import front_table, write_front_csv

COLUMNS = [
    "id", "accuracy_validation", "accuracy", "accuracy_low", "accuracy_high", "auc", "ebops", "bops",
    "nonzero_weights", "sparsity_mask", "sparsity", "weight_memory_bits", "parity",
]  # fmt: skip


@pytest.fixture
def saved(report, tmp_path) -> Path:
    report.save(tmp_path / "report.json")
    return tmp_path / "report.json"


def changed(path: Path, change) -> Path:
    """Apply a change to the values of a saved report."""
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    return path


def test_round_trip(report, regression_report, tmp_path):
    for original in (report, regression_report):
        original.save(tmp_path / "report.json")
        read = Report.load(tmp_path / "report.json")
        assert read == original
        read.save(tmp_path / "again.json")
        assert (tmp_path / "again.json").read_bytes() == (tmp_path / "report.json").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.json", "report.json"]  # no temporary file stays


def test_the_file_is_plain(saved, report):
    values = json.loads(saved.read_text())
    assert values["format_version"] == 1
    assert values["float"]["accuracy"]["value"] == report.reference.accuracy.value
    assert values["created"].endswith("Z")
    entry = values["front"][-1]
    assert entry["layers"][0]["weight"].startswith("quantized_bits(")
    assert entry["cost"]["figures"]["ebops"]["source"]
    assert set(entry["cost"]["layers"]) == {"fc1", "fc2", "output"}
    assert entry["parity"] == {"events": 4000, "exact": 4000, "max_difference": 0.0, "reference": "float32"}
    assert len(values["tried"]) == 30
    assert saved.stat().st_size < 500_000


def test_the_front_is_sorted_and_judged_apart(report):
    assert len(report.front) >= 8
    ebops = [entry.ebops for entry in report.front]
    validation = [entry.accuracy_validation for entry in report.front]
    assert ebops == sorted(ebops)
    assert validation == sorted(validation)
    reverse = report.model_copy(update={"front": report.front[::-1]})
    assert Report.model_validate(reverse.model_dump()).front == report.front
    assert report.proven == len(report.front)


def test_front_table(report, regression_report, tmp_path):
    rows = front_table(report)
    assert [list(row) for row in rows] == [COLUMNS] * len(report.front)
    entry, row = report.front[3], rows[3]
    assert row["accuracy"] == entry.accuracy.value
    assert row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"]
    assert (row["ebops"], row["parity"]) == (entry.cost["ebops"], 1.0)
    write_front_csv(report, tmp_path / "front.csv")
    with (tmp_path / "front.csv").open() as stream:
        read = list(csv.DictReader(stream))
    assert [float(row["auc"]) for row in read] == [entry.auc for entry in report.front]
    assert all("." not in row["ebops"] for row in read)
    columns = list(front_table(regression_report)[0])
    assert columns == ["id", "rmse_validation", "rmse", "rmse_low", "rmse_high", *COLUMNS[6:]]


def test_parity_of_a_candidate_that_is_not_exact_or_not_built(report):
    front = list(report.front)
    front[0] = front[0].model_copy(update={"parity": Parity(4000, 3999, 0.125, "fc2")})
    front[1] = front[1].model_copy(update={"parity": None, "firmware": None})
    found = report.model_copy(update={"front": tuple(front)})
    assert [row["parity"] for row in front_table(found)][:3] == [0.99975, None, 1.0]
    assert found.proven == len(front) - 2


def test_layers_join_plan_and_measurement(report):
    for entry in report.front:
        for layer in entry.layers:
            assert layer.sparsity_mask == pytest.approx(layer.sparsity_target, abs=1 / 160)
            assert layer.sparsity >= layer.sparsity_mask
    assert report.front[0].layers[0].weight.bits == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(format_version=2), "format_version 1, received 2"),
        (lambda v: v.pop("format_version"), "received None"),
        (lambda v: v.pop("seed"), "seed: Field required"),
        (lambda v: v.update(colour="red"), "colour: Extra inputs"),
        (lambda v: v["front"][1].update(id=v["front"][0]["id"]), "same id"),
        (lambda v: v["front"][2]["layers"][0].update(weight="quantized_bits(99,0)"), "front.2.layers.0.weight"),
        (lambda v: v["front"][2].update(firmware="javascript:alert(1)"), "inside the study"),
        (lambda v: v["front"][2].update(firmware="../../etc"), "inside the study"),
        (lambda v: v["front"][0]["accuracy"].update(value=float("nan")), "front.0.accuracy.value: .*finite"),
        (lambda v: v["float"].pop("accuracy"), "float: a classification needs accuracy"),
        (lambda v: v["float"]["roc"].pop(), "a ROC curve for each of 5 classes"),
        (lambda v: v["data"].update(task="regression"), "float: a regression needs rmse"),
        (lambda v: v["data"].update(classes=[]), "two classes or more"),
    ],
)
def test_wrong_values_name_file_and_key(saved, change, message):
    with pytest.raises(InputError, match=f"report.json: .*{message}"):
        Report.load(changed(saved, change))


def test_broken_files(saved, tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.json: cannot be read: No such file"):
        Report.load(tmp_path / "nowhere.json")
    saved.write_text(saved.read_text()[:-400])
    with pytest.raises(InputError, match="broken file"):
        Report.load(saved)
    saved.write_bytes(b"\x80\x81")
    with pytest.raises(InputError, match="broken file"):
        Report.load(saved)
    saved.write_text("[1, 2]")
    with pytest.raises(InputError, match="received None"):
        Report.load(saved)


def test_a_report_is_frozen(report):
    with pytest.raises(ValidationError):
        report.name = "other"


def test_curves_keep_six_digits():
    curve = Curve.of(np.array([0.0, 1 / 3, 1.0]), np.array([0.0, np.float32(1e-4) / 3, 1.0]))
    np.testing.assert_allclose(curve.signal, [0, 1 / 3, 1], rtol=1e-6)
    assert len(repr(curve.background[1])) < 14


def test_a_file_without_the_later_keys_is_read(saved, report):
    """What was added within format version 1 has defaults."""

    def older(values):
        for key in ("left", "neighbours"):
            values.pop(key)
        values["data"].pop("n_held_back")
        values["search"].pop("untrained")
        for model in (values["float"], *values["front"]):
            model.pop("validation")

    assert Report.load(changed(saved, older)) == report


def test_the_value_of_an_objective(report, regression_report):
    entry = report.front[2]
    assert entry.objective("accuracy") == entry.accuracy.value
    assert entry.objective("auc_worst") == sorted(entry.auc_per_class)[0] < entry.objective("auc") == entry.auc
    assert entry.objective("weight_memory_bits") == entry.cost["weight_memory_bits"]
    assert [entry.objective(name) for name in ("LUT", "resolution", "signal_efficiency")] == [None] * 3
    entry = regression_report.front[0]
    assert entry.objective("rmse") == entry.rmse.value
    assert entry.objective("resolution") == pytest.approx(sum(target.resolution for target in entry.targets) / 2)
    assert entry.objective("auc_worst") is None
