"""Deliveries of models that qap has not trained: what comes out, what it says, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qap.backend import stack
from qap.config.schema import Firmware
from qap.errors import InputError, QapError
from qap.firmware import deliver as module
from qap.firmware import simulate
from qap.firmware.deliver import Delivery, Events, deliver
from qap.firmware.loader import Emulator
from qap.firmware.model_file import load_model, quantized_inputs
from qap.precision import Precision

from .helpers import P, grid, mlp
from .test_parity import _flip

LAYER = ("quantized_bits(4,0)", "quantized_bits(4,0)", "quantized_relu(8,3)")
INPUT = P("quantized_bits(8,2)")


def _mlp(seed: int = 0) -> Any:
    return mlp({"fc1": LAYER, "output": (*LAYER[:2], None)}, 6, [8, 3], seed=seed)


def _two_inputs() -> Any:
    """A model with an input quantizer on each input and a batch normalization with any constants."""
    libraries = stack()
    layers, qkeras = libraries.keras.layers, libraries.qkeras
    tracks, muons = layers.Input((4,), name="tracks"), layers.Input((2,), name="muons")
    first = qkeras.QActivation("quantized_bits(8,2,alpha=1)", name="tracks_type")(tracks)
    second = qkeras.QActivation("quantized_relu(6,3)", name="muons_type")(muons)
    dense = {"kernel_quantizer": "quantized_bits(5,0,alpha=1)", "bias_quantizer": "quantized_bits(6,1,alpha=1)"}
    x = layers.Concatenate()([qkeras.QDense(5, name="fc_tracks", **dense)(first), second])
    x = layers.BatchNormalization(name="bn")(x)
    x = qkeras.QActivation("quantized_relu(8,3)", name="relu")(x)
    model = libraries.keras.Model([tracks, muons], qkeras.QDense(2, name="logits", **dense)(x), name="two")
    rng = np.random.default_rng(4)
    for layer in model.layers:
        layer.set_weights([np.abs(rng.normal(0.8, 0.3, weight.shape)).astype(np.float32) for weight in layer.get_weights()])
    return model


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, np.ndarray, Delivery]:
    """A delivery with everything: data that are off the grid, labels, working points."""
    model = _mlp()
    rng = np.random.default_rng(1)
    x, labels = rng.normal(0, 2, (900, 6)), rng.integers(0, 3, 900)
    events = Events(x, "toy events", labels, rng.uniform(0.5, 2, 900), ["quark", "W", "top"])
    output = tmp_path_factory.mktemp("whole") / "a" / "delivery"
    return model, x, deliver(model, INPUT, output, Firmware(ClockPeriod=2.5), events=events, name="my-tagger", rates=[0.05])


def test_everything_that_is_promised_is_there(whole: tuple[Any, np.ndarray, Delivery]) -> None:
    _, _, delivery = whole
    for name in (
        "project/build_prj.tcl", "project/tb_data/tb_input_features.dat", "project/tb_data/tb_output_predictions.dat",
        "emulator/my_tagger_1.0.0.so", "emulator/my_tagger_emulator.h", "emulator/vectors/vectors.npz", "model.keras",
        "parity.json", "delivery.json", "summary.md",
    ):  # fmt: skip
        assert (delivery.directory / name).is_file(), name
    assert delivery.verdict == "exact"
    assert Delivery.load(delivery.directory).record == json.loads(json.dumps(delivery.record))
    assert not [path for path in delivery.directory.parent.iterdir() if path != delivery.directory], "no scratch is left"


def test_the_parity_report_counts_every_set_output_and_layer(whole: tuple[Any, np.ndarray, Delivery]) -> None:
    _, _, delivery = whole
    parity = json.loads((delivery.directory / "parity.json").read_text())
    assert parity["events"] == parity["exact"] == 10_900
    assert {name: one["events"] for name, one in parity["sets"].items()}.keys() == {"data", "boundary", "extremes", "random"}
    for one in parity["sets"].values():
        assert one["outputs"]["output"] == {"exact": one["events"], "max_difference": 0.0}
        assert one["layers"] == dict.fromkeys(("fc1", "relu1", "output"), one["traced_events"])
        assert one["traced_events"] == min(one["events"], 256)


def test_the_delivered_parts_are_the_model_computed_in_integers(whole: tuple[Any, np.ndarray, Delivery]) -> None:
    """NumPy on the delivered Keras file, the emulator through its own loader, and the test vectors of both."""
    _, x, delivery = whole
    model = load_model(delivery.directory / "model.keras")
    h = INPUT.quantize(x)
    for name, relu in (("fc1", P("quantized_relu(8,3)")), ("output", None)):
        kernel, bias = (P("quantized_bits(4,0)").quantize(weight) for weight in model.get_layer(name).get_weights())
        h = h @ kernel + bias
        h = h if relu is None else relu.quantize(h)
    assert np.array_equal(Emulator(delivery.directory / "emulator")(x), h)
    assert np.array_equal(simulate(delivery.project, x), h)
    bench = np.loadtxt(delivery.directory / "project/tb_data/tb_output_predictions.dat")
    inputs = np.loadtxt(delivery.directory / "project/tb_data/tb_input_features.dat")
    assert np.array_equal(simulate(delivery.project, inputs), bench)
    command = [sys.executable, str(delivery.directory / "emulator" / "emulator.py"), str(delivery.directory / "emulator")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split()[0] == done.stdout.split()[2] == str(len(bench)), done


def test_the_summary_says_what_was_proven_and_with_what(whole: tuple[Any, np.ndarray, Delivery]) -> None:
    _, x, delivery = whole
    text = (delivery.directory / "summary.md").read_text()
    rounded = delivery.record["rounded_inputs"]["inputs"]
    assert rounded["rounded"] == (INPUT.quantize(x) != x).sum() == x.size
    assert rounded["saturated"] == ((x > INPUT.high + INPUT.step) | (x < INPUT.low - INPUT.step)).sum() > 0
    for part in (
        "all 10,900 events", "| toy events | 900 | 900 |", "2.5 ns", "float32", "fixed<8,3,RND_CONV,SAT>",
        f"{rounded['saturated']} of\nthem saturated", "No vendor tool has run",
    ):  # fmt: skip
        assert part in text, part
    assert len(text.splitlines()) < 80, "one page"


def test_the_summary_shows_names_as_they_are(whole: tuple[Any, np.ndarray, Delivery], tmp_path: Path) -> None:
    _, _, delivery = whole
    evil = "</td><script>alert(1)</script> ![x](http://x) | `a`\n# a_b_"
    point = {**delivery.record["thresholds"][0], "name": evil}
    moved = {"events": 9, "largest": 0.5, "range": 4.0}
    changes = {"origin": evil, "events_origin": evil, "changes": [evil], "change_of_outputs": moved, "thresholds": [point]}
    Delivery(tmp_path, delivery.record).noted(**changes)
    text = (tmp_path / "summary.md").read_text()
    shown = r"\</td\>\<script\>alert(1)\</script\> !\[x\](http://x) \| \`a\` # a_b\_"
    assert f"Firmware of {shown}." in text
    assert f"| {shown} | 900 | 900 |" in text
    assert text.count("alert") == text.count(shown) == 5


def test_thresholds_are_integers_that_pass_no_more_than_the_rate(whole: tuple[Any, np.ndarray, Delivery]) -> None:
    _, x, delivery = whole
    rng = np.random.default_rng(1)
    rng.normal(0, 2, (900, 6))
    labels, weights = rng.integers(0, 3, 900), rng.uniform(0.5, 2, 900)
    logits = simulate(delivery.project, x)
    lsb = 2.0 ** -8
    assert [point["name"] for point in delivery.record["thresholds"]] == ["quark", "W", "top"]
    for point in delivery.record["thresholds"]:
        background = labels != point["element"]
        scores = logits[background, point["element"]] / lsb
        passes = np.average(scores >= point["threshold"], weights=weights[background])
        looser = np.average(scores >= point["threshold"] - 1, weights=weights[background])
        assert passes == pytest.approx(point["passed"])
        assert passes <= 0.05 < looser
        assert point["value"] == point["threshold"] * lsb


def test_two_inputs_batch_normalization_and_types_from_the_model(tmp_path: Path) -> None:
    """The constants are rounded and named, and raw inputs mean the same on both sides."""
    model = _two_inputs()
    assert quantized_inputs(model) == {"tracks": Precision(8, 2), "muons": Precision(6, 3, signed=False)}
    said: list[str] = []
    rng = np.random.default_rng(0)
    x = {"muons": rng.uniform(-2, 12, (300, 2)), "tracks": rng.normal(0, 3, (300, 4))}
    delivery = deliver(model, None, tmp_path / "two", events=x, vectors=600, say=said.append)
    assert delivery.verdict == "exact"
    assert delivery.record["rounded_inputs"] == {}, "the model rounds its inputs itself"
    assert delivery.record["changes"][0].startswith("bn: BatchNormalization as x·s + b")
    assert any(line.startswith("rounded bn:") for line in said)
    proven = load_model(tmp_path / "two" / "model.keras")
    arrays = [x["tracks"].astype(np.float32), x["muons"].astype(np.float32)]
    expected = np.asarray(proven(arrays), np.float64)
    assert np.array_equal(simulate(delivery.project, arrays), expected)
    given = np.asarray(model(arrays), np.float64)
    effect = delivery.record["change_of_outputs"]
    assert effect["largest"] == np.abs(given - expected).max() > 0, "the rounded constants are another model"
    assert effect["largest"] < 0.05 * effect["range"], "if a near one"
    assert f"moves the outputs by up to {effect['largest']:.3g}" in (tmp_path / "two" / "summary.md").read_text()
    assert "generated vectors only" not in (tmp_path / "two" / "summary.md").read_text()


def _softmax() -> Any:
    model = _mlp(seed=3)
    output = stack().keras.layers.Activation("softmax", name="probabilities")(model.output)
    return stack().keras.Model(model.input, output, name="tagger")


def test_an_accepted_softmax_is_bounded_and_the_bound_is_measured(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"probabilities: softmax comes from a table"):
        deliver(_softmax(), INPUT, tmp_path / "refused")
    assert not list(tmp_path.iterdir()), "nothing is left behind"
    model = _softmax()
    delivery = deliver(model, INPUT, tmp_path / "soft", accept=["probabilities"], vectors=800)
    assert delivery.verdict == "bounded"
    parity = json.loads((tmp_path / "soft" / "parity.json").read_text())
    x = grid("quantized_bits(8,2)", (6,), 500)
    difference = np.abs(simulate(delivery.project, x) - model.predict(x, verbose=0)).max()
    bound = parity["outputs"]["probabilities"]["max_difference"]
    assert 0 < difference < 3 * bound < 0.1, (difference, bound)
    for one in parity["sets"].values():
        assert one["traced_events"] == one["events"], "the layers before the table are held to every event"
        assert one["layers"]["output"] == one["events"]
    text = (tmp_path / "soft" / "summary.md").read_text()
    assert "bounded, not bit-exact" in text
    assert "softmax from tables" in text
    assert "proof rests on generated vectors only" in text


def test_a_corrupted_weight_stops_the_delivery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last bit of one weight of the first layer flips between conversion and build."""
    build = module.build
    monkeypatch.setattr(module, "build", lambda project: _flip(project, 0) or build(project))
    with pytest.raises(QapError, match=r"fc1 is the first layer that differs \([\d,]+ of [\d,]+ events") as stop:
        deliver(_mlp(), INPUT, tmp_path / "out", vectors=600)
    assert "QKeras" in str(stop.value)
    assert stop.value.exit_code == 1
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_an_earlier_delivery_is_replaced_by_one_with_an_argmax_head_and_other_files_are_not(tmp_path: Path) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty and no earlier delivery"):
        deliver(_mlp(), INPUT, output)
    assert [path.name for path in output.iterdir()] == ["notes.txt"]
    (output / "notes.txt").unlink()
    (output / "delivery.json").write_text('{"format": 1}')
    (output / "old.txt").write_text("")
    tiny = mlp({"output": (*LAYER[:2], None)}, 2, [3])
    delivery = deliver(tiny, P("quantized_bits(4,1)"), output, version="2", head="argmax")
    assert not (output / "old.txt").exists()
    assert delivery.record["parity"]["sets"] == {"exhaustive": {"events": 256, "exact": 256}}
    text = (output / "summary.md").read_text()
    assert "every input there is" in text
    assert "1 for the largest logit" in text
    x = grid("quantized_bits(4,1)", (2,), 100)
    assert np.array_equal(simulate(delivery.project, x), np.eye(3)[tiny.predict(x, verbose=0).argmax(axis=1)])


def test_vendor_reports_come_into_the_summary_with_their_stage(whole: tuple[Any, np.ndarray, Delivery], tmp_path: Path) -> None:
    """A report written as Vitis HLS writes it is shown; one of another clock is refused."""
    source = Path(__file__).parent / "reports" / "vitis_2023.2"
    folder = tmp_path / "delivery"
    shutil.copytree(whole[2].directory, folder)
    for name in ("project.tcl", "vivado_synth.rpt"):
        shutil.copy(source / name, folder / "project" / name)
    refreshed = Delivery.load(folder).refresh()
    figures = refreshed.record["vendor"]["vsynth"]
    assert figures["LUT"]["value"] > 0
    assert f"| vsynth | LUT | {figures['LUT']['value']:g} " in (folder / "summary.md").read_text()
    assert json.loads((folder / "delivery.json").read_text())["vendor"] == refreshed.record["vendor"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"inputs": None}, r"type of the input 'inputs' is not known: give it, for example --precision 'quantized_bits\(10,2\)'"),
    ({"version": "1 0"}, "version: expected letters"),
    ({"name": "1"}, "name: expected a C name"),
    ({"rates": [0.1]}, "working points need events"),
    ({"settings": Firmware(Strategy="Resource", ReuseFactor=7)}, "7 is not valid"),
    ({"events": np.full((4, 6), np.nan)}, "NaN or infinity in event 0"),
    ({"events": np.zeros((4, 5))}, r"expected an array \(events, 6\)"),
    ({"events": Events(np.zeros((4, 6)), labels=np.zeros(3, int)), "rates": [0.5]}, "labels: expected 4 numbers"),
]


def test_a_pruning_wrapper_is_refused_with_the_cure(tmp_path: Path) -> None:
    libraries = stack()
    inputs = libraries.keras.layers.Input((4,))
    dense = libraries.qkeras.QDense(2, kernel_quantizer="quantized_bits(4,0,alpha=1)", name="fc")
    model = libraries.keras.Model(inputs, libraries.sparsity.prune_low_magnitude(dense)(inputs))
    with pytest.raises(InputError, match=r"fc: a pruning wrapper: call tfmot\.sparsity\.keras\.strip_pruning"):
        deliver(model, INPUT, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("changes", "message"), WRONG, ids=[message[:20] for _, message in WRONG])
def test_wrong_arguments_are_refused_and_leave_nothing(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    inputs = changes.pop("inputs", INPUT)
    with pytest.raises(InputError, match=message) as stop:
        deliver(_mlp(), inputs, tmp_path / "a" / "b", vectors=100, **changes)
    assert len(str(stop.value).splitlines()) <= 2
    assert not list(tmp_path.iterdir())
