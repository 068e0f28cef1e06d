"""``qap metrics`` as a user calls it, on files of every kind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from qap.__main__ import main
from qap.metrics.classification import class_scores, efficiency_at, full_roc

from ..metrics.test_classification import softmax, task
from ..metrics.test_working_points import turn_on


def _file(folder: Path, **arrays: Any) -> Path:
    path = folder / "predictions.npz"
    np.savez(path, **arrays)
    return path


def _no_constant(word: str) -> None:
    raise AssertionError(f"{word} is no JSON")


def _run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> dict[str, Any]:
    code = main(["metrics", *map(str, arguments)])
    captured = capsys.readouterr()
    assert (code, captured.err) == (0, ""), captured.err
    found: dict[str, Any] = json.loads(captured.out, parse_constant=_no_constant)
    return found


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("given", ["logits", "probabilities"])
def test_the_figures_are_scikit_learns(tmp_path, capsys, weighted, given):
    labels, logits, weights = task()
    p = softmax(logits)
    chosen = weights if weighted else None
    path = _file(tmp_path, labels=labels, scores=logits if given == "logits" else p, **({"weights": weights} if weighted else {}))
    found = _run(capsys, path)
    assert (found["events"], found["classes"], found["kind"], found["weighted"]) == (4000, 5, given, weighted)
    named = p.argmax(axis=1)
    expected = {
        "accuracy": sk.accuracy_score(labels, named, sample_weight=chosen),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, named, sample_weight=chosen),
        "nll": sk.log_loss(labels, p, sample_weight=chosen),
        "brier": sk.brier_score_loss(labels, p, sample_weight=chosen),
        "auc": np.mean([sk.roc_auc_score(labels == k, p[:, k], sample_weight=chosen) for k in range(5)]),
    }
    if not weighted:
        expected["auc"] = sk.roc_auc_score(labels, p, multi_class="ovr", average="macro")
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-12), name
    areas = [sk.roc_auc_score(labels == k, p[:, k], sample_weight=chosen) for k in range(5)]
    assert found["auc_per_class"] == pytest.approx(areas, abs=1e-12)
    assert found["accuracy_per_class"] == pytest.approx(sk.recall_score(labels, named, average=None, sample_weight=chosen))
    assert found["worst_class"]["accuracy"] == min(found["accuracy_per_class"])
    np.testing.assert_allclose(found["confusion"], sk.confusion_matrix(labels, named, sample_weight=chosen), rtol=1e-12)
    curves = full_roc(labels, logits, chosen)
    assert found["signal_efficiency"] == pytest.approx([efficiency_at(*curve, 0.01) for curve in curves], abs=1e-12)
    assert found["remarks"] == []


def test_calibration_adds_up(tmp_path, capsys):
    labels, logits, weights = task()
    found = _run(capsys, _file(tmp_path, labels=labels, scores=logits, weights=weights), "--bins", 10)
    bins = found["reliability"]
    assert [one["low"] for one in bins] == pytest.approx(np.linspace(0, 0.9, 10))
    assert sum(one["events"] for one in bins) == 4000
    assert sum(one["weight"] for one in bins) == pytest.approx(weights.sum())
    filled = [one for one in bins if one["weight"]]
    gaps = [abs(one["accuracy"] - one["confidence"]) for one in filled]
    assert found["ece"] == pytest.approx(np.average(gaps, weights=[one["weight"] for one in filled]), abs=1e-12)
    assert found["mce"] == pytest.approx(max(gaps), abs=1e-12)
    assert all(one["low"] < one["confidence"] <= one["high"] for one in filled)
    assert bins[0] == {"low": 0.0, "high": 0.1, "events": 0, "weight": 0.0, "confidence": None, "accuracy": None}


@pytest.mark.parametrize("given", ["logits", "probabilities"])
def test_working_points_and_rates(tmp_path, capsys, given):
    labels, logits, weights = task(step=0.25)
    scores = logits if given == "logits" else softmax(logits)
    path = _file(tmp_path, labels=labels, scores=scores, weights=weights)
    found = _run(capsys, path, "--background-efficiency", 0.05, "--input-rate-khz", 1000)
    ranked = class_scores(scores, given)
    for k, point in enumerate(found["working_points"]):
        passed = ranked[:, k] >= point["threshold"]
        rest = labels != k
        background = np.average(passed[rest], weights=weights[rest])
        assert point["class"] == k
        assert background <= 0.05
        assert point["background_efficiency"] == pytest.approx(background)
        assert point["signal_efficiency"] == pytest.approx(np.average(passed[~rest], weights=weights[~rest]), abs=1e-12)
        assert point["background_rejection"] == pytest.approx(1 / background)
        assert point["rate_khz"]["value"] == pytest.approx(1000 * background)
        assert point["rate_khz"]["low"] < 1000 * background < point["rate_khz"]["high"]
        lower = ranked[rest & ~passed, k].max()
        assert np.average(ranked[rest, k] >= lower, weights=weights[rest]) > 0.05, "the threshold is the lowest"


def test_reference_and_gate(tmp_path, capsys):
    labels, logits, weights = task()
    other = logits + np.random.default_rng(0).normal(0, 0.7, logits.shape)
    path = _file(tmp_path, labels=labels, scores=other, reference=softmax(logits), weights=weights)
    lost = np.average((logits.argmax(1) == labels) * 1.0 - (other.argmax(1) == labels), weights=weights)
    for delta in (0.0, 0.5):
        found = _run(capsys, path, "--delta", delta)
        assert found["gate"]["passed"] == (lost <= delta)
        assert found["gate"]["drop"] == pytest.approx(lost, abs=1e-12)
        assert found["gate"]["low"] < found["gate"]["drop"] < found["gate"]["high"]
    assert lost > 0.02
    same = np.average(logits.argmax(1) == other.argmax(1), weights=weights)
    assert found["agreement"]["same_class"] == pytest.approx(same)
    assert found["agreement"]["max_difference"] == pytest.approx(np.abs(softmax(logits) - softmax(other)).max())


def test_turn_on(tmp_path, capsys):
    labels, logits, weights = task(classes=2, events=6000)
    pt = np.random.default_rng(0).uniform(0, 100, 6000)
    logits[:, 1] += np.where(labels == 1, pt / 10 - 4, 0)
    path = _file(tmp_path, labels=labels, scores=logits, weights=weights, feature=pt)
    found = _run(capsys, path, "--edges", *range(0, 101, 10), "--background-efficiency", 0.05)
    ranked = class_scores(logits, "logits")
    for k in (0, 1):
        passed = ranked[:, k] >= found["working_points"][k]["threshold"]
        chosen = labels == k
        expected = turn_on(pt[chosen], passed[chosen], np.arange(0, 101, 10), weights[chosen])
        assert found["turn_on"][k]["half"] == expected.half
        values = [one["value"] for one in found["turn_on"][k]["efficiency"]]
        assert values == [one.value for one in expected.efficiency if one is not None]
    assert 20 < found["turn_on"][1]["half"] < 70
    assert len(_run(capsys, path)["turn_on"][0]["events"]) == 10
    outside = _run(capsys, path, "--edges", 200, 300)
    assert outside["turn_on"] == [None, None]
    assert "no events between 200 and 300" in outside["remarks"][0]


LABELS, LOGITS, WEIGHTS = task(events=400, classes=4)
TWO = (LABELS > 1).astype(int)
SATURATED = np.where(LOGITS.max(axis=1, keepdims=True) == LOGITS, 1e4, -1e4)


@pytest.mark.parametrize(
    ("same", "arrays"),
    [
        ("logits", {"labels": LABELS.astype(np.uint8), "scores": LOGITS}),
        ("logits", {"labels": LABELS.astype(np.float32), "scores": LOGITS.astype(np.longdouble)}),
        ("float32", {"labels": LABELS.astype(np.int8), "scores": LOGITS.astype(np.float32)}),
        ("float32", {"labels": LABELS, "scores": softmax(LOGITS).astype(np.float32)}),
        ("float16", {"labels": LABELS, "scores": LOGITS.astype(np.float16)}),
        ("float16", {"labels": LABELS, "scores": softmax(LOGITS).astype(np.float16)}),
        ("rounded", {"labels": LABELS, "scores": softmax(LOGITS).round(3)}),
        ("two", {"labels": TWO.astype(bool), "scores": LOGITS[:, 0]}),
        ("two", {"labels": TWO, "scores": LOGITS[:, :1]}),
        ("two", {"labels": TWO, "scores": 1 / (1 + np.exp(-LOGITS[:, 0]))}),
        ("two", {"labels": TWO, "scores": np.stack([0 * LOGITS[:, 0], LOGITS[:, 0]], axis=1)}),
        ("saturated", {"labels": LABELS, "scores": SATURATED}),
        ("saturated", {"labels": LABELS, "scores": SATURATED.astype(np.float16)}),
        ("saturated", {"labels": LABELS, "scores": (SATURATED > 0).astype(np.uint8)}),
        ("saturated", {"labels": LABELS, "scores": SATURATED > 0}),
    ],
)
def test_types_and_forms_say_the_same(tmp_path, capsys, same, arrays):
    reference = {
        "two": (TWO, softmax(np.stack([0 * LOGITS[:, 0], LOGITS[:, 0]], axis=1))),
        "saturated": (LABELS, softmax(SATURATED)),
    }
    truth, p = reference.get(same, (LABELS, softmax(LOGITS)))
    within = {"float32": 1e-5, "float16": 2e-3, "rounded": 5e-3}.get(same, 1e-9)
    found = _run(capsys, _file(tmp_path, **arrays))
    assert found["accuracy"] == pytest.approx(np.mean(p.argmax(axis=1) == truth), abs=within)
    areas = [sk.roc_auc_score(truth == k, p[:, k]) for k in range(p.shape[1])]
    assert found["auc_per_class"] == pytest.approx(areas, abs=within)
    inside = np.clip(np.ceil(p.max(axis=1) * 15 - 1e-9).astype(int) - 1, 0, 14)
    right = p.argmax(axis=1) == truth
    gaps = [abs(np.sum((right - p.max(axis=1))[inside == b])) / len(p) for b in range(15)]
    assert found["ece"] == pytest.approx(sum(gaps), abs=max(within, 3 * within))


def test_rounded_probabilities_get_a_remark(tmp_path, capsys):
    p = softmax(LOGITS).round(2)
    path = _file(tmp_path, labels=LABELS, scores=p)
    found = _run(capsys, path)
    assert (found["kind"], len(found["remarks"])) == ("probabilities", 1 + bool((p[np.arange(400), LABELS] == 0).any()))
    assert "rows add up to" in found["remarks"][0]
    assert _run(capsys, path, "--kind", "logits")["kind"] == "logits"
    assert _run(capsys, path, "--kind", "probabilities")["ece"] == found["ece"]
    sigmoids = _run(capsys, _file(tmp_path, labels=LABELS, scores=1 / (1 + np.exp(-LOGITS))))
    assert sigmoids["kind"] == "logits"
    assert "taken as logits" in sigmoids["remarks"][0]
    column = _run(capsys, _file(tmp_path, labels=TWO, scores=np.full(400, 0.5)))
    assert (column["auc"], column["signal_efficiency"]) == (0.5, [0.0, 0.0])
    assert "taken as the probability of class 1" in column["remarks"][0]


def test_classes_without_events(tmp_path, capsys):
    keep = LABELS != 2
    for arrays in (
        {"labels": LABELS[keep], "scores": LOGITS[keep]},
        {"labels": LABELS, "scores": LOGITS, "weights": keep * 1.0, "feature": np.arange(400), "reference": LOGITS},
    ):
        found = _run(capsys, _file(tmp_path, **arrays))
        p = softmax(LOGITS[keep])
        assert found["accuracy"] == pytest.approx(sk.accuracy_score(LABELS[keep], p.argmax(axis=1)))
        areas = [None if k == 2 else sk.roc_auc_score(LABELS[keep] == k, p[:, k]) for k in range(4)]
        assert found["auc_per_class"] == [None if one is None else pytest.approx(one, abs=1e-12) for one in areas]
        assert found["auc"] == pytest.approx(np.mean([one for one in areas if one is not None]), abs=1e-12)
        assert found["ece"] > 0
        assert found["signal_efficiency"][2] is None
        assert [point["class"] for point in found["working_points"]] == [0, 1, 3]
        assert any("AUC of class 2 is not defined: auc is the mean over the others" in remark for remark in found["remarks"])


@pytest.mark.parametrize("scores", [[[0.3, 0.6, 0.1]], [[3.0, 4, 5]], [[1e4, -1e4, 0]], [[0.0, 1, 0]]])
def test_one_event(tmp_path, capsys, scores):
    found = _run(
        capsys, _file(tmp_path, labels=np.array([1]), scores=np.array(scores), reference=np.array(scores), feature=[3.0])
    )
    p = max(scores[0]) if max(scores[0]) <= 1 else softmax(np.array(scores)).max()
    right = np.argmax(scores[0]) == 1
    assert (found["accuracy"], found["ece"]) == (right, pytest.approx(abs(right - p)))
    assert (found["auc"], found["auc_per_class"]) == (None, [None] * 3)
    assert any("all events are of one class" in remark for remark in found["remarks"])
    assert found["gate"] == {"passed": True, "drop": 0.0, "delta": 0.01, "low": 0.0, "high": 0.0}


def _fails(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    assert main(["metrics", *map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("qap metrics: ")
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": LABELS[:, None]}, "labels: expected one class number per event (400)"),
        ({"labels": LABELS[:-1]}, "received shape (399,)"),
        ({"labels": LABELS + 1}, "received 1 to 4"),
        ({"labels": LABELS - 1}, "received -1 to 2"),
        ({"labels": LABELS + 0.5}, "received 0.5"),
        ({"labels": LABELS * 1e300}, "0.0 to 3e+300"),
        ({"labels": np.full(400, 2**63, np.uint64)}, "9223372036854775808"),
        ({"labels": np.where(LABELS > 2, np.nan, LABELS)}, "received nan"),
        ({"labels": LABELS.astype(str)}, "labels: expected numbers"),
        ({"labels": LABELS.astype(object)}, "received Python objects"),
        ({"labels": np.int64(1)}, "labels: expected one entry per event"),
        ({"labels": None}, "expected the arrays labels and scores, received scores"),
        ({"scores": None}, "expected the arrays labels and scores, received labels"),
        ({"scores": LOGITS[:, 0]}, "0 to 1 for the scores' 2 classes"),
        ({"scores": LOGITS.T}, "received shape (400,)"),
        ({"scores": LOGITS[:, :, None]}, "received shape (400, 4, 1)"),
        ({"scores": LOGITS[:, :0]}, "received shape (400, 0)"),
        ({"scores": LOGITS.astype(object)}, "received Python objects"),
        ({"scores": LOGITS * 1j}, "scores: expected numbers, received complex128"),
        ({"scores": np.where(LOGITS > 4, np.nan, LOGITS)}, "scores: expected finite numbers"),
        ({"scores": np.where(LOGITS > 4, -np.inf, LOGITS)}, "scores: expected finite numbers"),
        ({"scores": LOGITS * 1e300}, "scores: expected scores up to 1e+100"),
        ({"weights": WEIGHTS[:-1]}, "weights: expected one per event"),
        ({"weights": -WEIGHTS}, "weights: expected finite numbers from 0"),
        ({"weights": WEIGHTS * np.nan}, "weights: expected finite numbers from 0"),
        ({"weights": WEIGHTS * 0}, "some of them above 0"),
        ({"weights": WEIGHTS.astype(str)}, "weights: expected numbers"),
        ({"reference": LOGITS[:-1]}, "reference: expected the events and classes of the scores (400, 4), received (399, 4)"),
        ({"reference": LOGITS[:, :3]}, "received (400, 3)"),
        ({"reference": LOGITS * np.nan}, "reference: expected finite numbers"),
        ({"feature": LOGITS}, "feature: expected a finite number for each of 400 events, received shape (400, 4)"),
        ({"feature": LOGITS[:, 0] * np.inf}, "400 of them not finite"),
    ],
)
def test_wrong_arrays_are_refused_in_a_line(tmp_path, capsys, changes, message):
    arrays = {"labels": LABELS, "scores": LOGITS, **changes}
    path = _file(tmp_path, **{name: values for name, values in arrays.items() if values is not None})
    assert message in _fails(capsys, path)


def test_wrong_files_are_refused_in_a_line(tmp_path, capsys):
    whole = _file(tmp_path, labels=LABELS, scores=LOGITS).read_bytes()
    for name, content in {
        "text.npz": b"labels",
        "empty.npz": b"",
        "half.npz": whole[: len(whole) // 2],
        "broken.npz": whole[:300] + b"\0" * 50 + whole[350:],
    }.items():
        (tmp_path / name).write_bytes(content)
        _fails(capsys, tmp_path / name)
    np.save(tmp_path / "array.npy", LOGITS)
    assert "expected an .npz file" in _fails(capsys, tmp_path / "array.npy")
    assert "expected an .npz file" in _fails(capsys, tmp_path)
    assert "no such file" in _fails(capsys, tmp_path / "none.npz")


def test_wrong_options(tmp_path, capsys):
    path = _file(tmp_path, labels=LABELS, scores=LOGITS, reference=LOGITS, feature=LOGITS[:, 0])
    assert "adding up to 1" in _fails(capsys, path, "--kind", "probabilities")
    assert "delta: expected" in _fails(capsys, path, "--delta", "2")
    assert "rising" in _fails(capsys, path, "--edges", 3, 2)
    assert "--output" in _fails(capsys, path, "--output", tmp_path / "none" / "x.json")
    for option, value in (("--bins", "0"), ("--background-efficiency", "1"), ("--input-rate-khz", "0"), ("--kind", "odds")):
        with pytest.raises(SystemExit) as stop:
            main(["metrics", str(path), option, value])
        assert stop.value.code == 2


def test_output_is_what_was_printed(tmp_path, capsys):
    path = _file(tmp_path, labels=LABELS, scores=LOGITS)
    found = _run(capsys, path, "--output", tmp_path / "metrics.json")
    assert json.loads((tmp_path / "metrics.json").read_text()) == found
    assert found["file"] == "predictions.npz"


def test_it_is_light(tmp_path):
    """TensorFlow takes seconds to load: nothing here needs it."""
    path = _file(tmp_path, labels=LABELS, scores=LOGITS, reference=LOGITS, feature=LOGITS[:, 0], weights=WEIGHTS)
    code = (
        "import resource, sys; from qap.__main__ import main\n"
        f"code = main(['metrics', {str(path)!r}])\n"
        "heavy = {'tensorflow', 'tf_keras', 'keras', 'qkeras', 'hls4ml', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "usage = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print(code, heavy, usage.ru_utime + usage.ru_stime, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    print(done.stderr)
    first, heavy, seconds = done.stderr.split()
    assert (first, heavy) == ("0", "set()")
    assert float(seconds) < 3  # 0.8 s on an idle core


def test_a_reader_that_stops_early_sees_no_traceback(tmp_path):
    path = _file(tmp_path, labels=LABELS, scores=LOGITS)
    done = subprocess.run(
        f"{sys.executable} -m qap metrics {path} --bins 20000 | head -2", shell=True, capture_output=True, text=True, check=True
    )
    assert (done.stdout.splitlines()[0], done.stderr) == ("{", "")
