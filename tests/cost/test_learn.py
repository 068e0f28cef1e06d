"""Learning from reports: real conversions, report files in the vendors' formats, figures from formulas that are known."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qap.backend import hls4ml, stack
from qap.cost.csynth import predict, synthesis_cost
from qap.cost.hls_project import read_project
from qap.cost.learn import learn, lines, load_store, refit
from qap.cost.model import shipped_model
from qap.cost.project_networks import networks
from qap.cost.scopes import FIGURES
from qap.errors import InputError

from .vendor_reports import PART, TOP, VERSION, port, write_csynth, write_vsynth

SHAPES = ((6, 5, 3), (8, 6, 2), (5, 9, 4), (7, 4, 2), (9, 8, 3), (4, 12, 5), (10, 7, 4), (12, 6, 6))
MODEL = shipped_model()


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Projects of two Dense layers, one of each shape, as hls4ml writes them."""
    layers, keras = stack().keras.layers, stack().keras
    folder = tmp_path_factory.mktemp("converted")
    for index, (inputs, hidden, outputs) in enumerate(SHAPES):
        keras.utils.set_random_seed(index)
        tensor = start = layers.Input((inputs,), name="data")
        for units, name in ((hidden, "fc1"), (outputs, "out")):
            tensor = layers.Dense(units, name=name, kernel_initializer="random_normal")(tensor)
        with hls4ml() as library:
            library.converters.convert_from_keras_model(
                keras.Model(start, tensor), output_dir=str(folder / f"p{index}"), backend="Vitis", part=PART, project_name=TOP,
                hls_config={"Model": {"Precision": f"ap_fixed<{10 + index % 3},4>", "ReuseFactor": 1, "Strategy": "Latency"}},
            ).write()  # fmt: skip
    return [folder / f"p{index}" for index in range(len(SHAPES))]


@pytest.fixture
def lab(converted: list[Path], tmp_path: Path) -> Path:
    """A folder with three of them, still without reports."""
    for path in converted[:3]:
        shutil.copytree(path, tmp_path / "lab" / path.name)
    return tmp_path / "lab"


def _base(project: Path) -> dict[str, float]:
    """What the shipped model says of a project, rounded to whole numbers."""
    prediction = predict(MODEL, networks(read_project(project)).layers, part=PART)
    return {name: round(guess.value) for name, guess in prediction.guesses.items()}


def _fill(lab: Path, lut: float = 1.5) -> None:
    """Reports that say what the shipped model says, but for the LUTs."""
    for project in sorted(lab.iterdir()):
        base = _base(project)
        write_csynth(project, {**base, "LUT": round((base["LUT"] + 1) * lut - 1)})


def test_a_factor_common_to_all_reports_is_learnt_as_far_as_they_prove_it(lab: Path, converted: list[Path]) -> None:
    _fill(lab)
    lesson = learn([lab], lab / "store.json", MODEL)
    assert (lesson.added, lesson.known, lesson.refused, lesson.unused) == (("p0", "p1", "p2"), (), (), ())
    (lut,) = [change for change in lesson.changes if change.figure == "LUT"]
    assert (lut.rows, lut.groups, lut.setting) == (3, 3, ("vitis", f"Vitis HLS {VERSION}", "UltraScale+"))
    assert lut.before == pytest.approx((1 / 3, 1 / 3), abs=2e-3)
    left_out = 1 - 1.5 ** (-1 / 3)  # two groups believe 2/3 of log 1.5, the third misses the rest
    assert lut.after == pytest.approx((left_out, left_out), abs=2e-3)
    model = refit(MODEL, load_store(lab / "store.json"), backend="vitis", part=PART)
    layers = networks(read_project(converted[4])).layers
    before, after = (predict(one, layers, part=PART) for one in (MODEL, model))
    ratio = (after.guesses["LUT"].value + 1) / (before.guesses["LUT"].value + 1)
    assert ratio == pytest.approx(1.5**0.75, rel=2e-3)
    assert after.guesses["LUT"].low <= (before.guesses["LUT"].value + 1) * 1.5 <= after.guesses["LUT"].high
    assert after.covered
    assert "3 own reports of 3 shapes" in after.notes[0]
    for figure in ("DSP", "BRAM_18K", "II"):  # where the reports agree nothing changes
        assert abs(after.guesses[figure].value - before.guesses[figure].value) <= 0.01 * before.guesses[figure].value
    assert any("several layers" in source for source in model.sources[len(MODEL.sources) :])
    text = "\n".join(lines(lesson))
    assert json.loads(json.dumps(lesson.to_dict()))["changes"][0]["figure"] == "LUT"
    assert "median 33%" in text
    assert "median 13%" in text


def test_a_formula_of_ones_own_is_found_by_enough_shapes(converted: list[Path], tmp_path: Path) -> None:
    def truth(project: Path) -> dict[str, float]:
        layers = networks(read_project(project)).layers
        bits = sum(layer.features["add_bits"] for layer in layers)
        return {"LUT": 3 * bits + 200 * len(layers), "FF": 7, "DSP": 0, "BRAM_18K": 0, "latency_cycles": 9, "II": 1}

    for path in converted[:7]:
        write_csynth(Path(shutil.copytree(path, tmp_path / path.name)), truth(path))
    lesson = learn([tmp_path / path.name for path in converted[:7]], tmp_path / "store.json", MODEL)
    (change,) = [one for one in lesson.changes if one.figure == "LUT"]
    assert change.after is not None
    assert change.after[1] < 1e-3 < change.before[0], change
    model = refit(MODEL, load_store(tmp_path / "store.json"), backend="vitis", part=PART)
    found = predict(model, networks(read_project(converted[7])).layers, part=PART).guesses
    expected = truth(converted[7])
    assert found["LUT"].value == pytest.approx(expected["LUT"], rel=1e-3)
    assert found["LUT"].high / found["LUT"].low == pytest.approx(np.exp(0.2), rel=0.01)  # never narrower than that
    wrong = {
        name: (guess, expected[name]) for name, guess in found.items() if not guess.low - 1 <= expected[name] <= guess.high + 1
    }
    assert not wrong


def test_only_reports_of_the_same_setting_count(lab: Path) -> None:
    _fill(lab)
    base = _base(lab / "p2")
    write_csynth(lab / "p2", {**base, "LUT": 9 * base["LUT"]}, version="2024.1")
    lesson = learn([lab], lab / "store.json", MODEL)
    assert {change.setting[1] for change in lesson.changes} == {"Vitis HLS 2022.2", "Vitis HLS 2024.1"}
    assert [c.after for c in lesson.changes if c.setting[1].endswith("2024.1") and c.figure == "LUT"] == [None]
    store = load_store(lab / "store.json")
    for setting in ({"backend": "vivado", "part": PART}, {"backend": "vitis", "part": "xc7z020clg400-1"}):
        assert refit(MODEL, store, **setting) is MODEL
    assert refit(MODEL, store, backend="vitis", part=None) is MODEL
    assert refit(MODEL, store, backend="vitis", part=PART, version="2030.1") is MODEL
    layers = networks(read_project(lab / "p0")).layers
    shipped = predict(MODEL, layers, part=PART).guesses["LUT"].value
    sizes = {}
    for version in ("2022.2", "2024.1", None):
        model = refit(MODEL, store, backend="vitis", part="xczu9eg-ffvb1156-2-e", version=version)  # of the same family
        sizes[version] = (predict(model, layers, part=PART).guesses["LUT"].value + 1) / (shipped + 1)
    assert sizes["2022.2"] == sizes[None] == pytest.approx(1.5 ** (2 / 3), rel=2e-3)
    assert sizes["2024.1"] == pytest.approx(9**0.5, rel=2e-2)


def test_what_is_known_is_not_added_again(lab: Path) -> None:
    _fill(lab)
    store = lab / "store.json"
    learn([lab], store, MODEL)
    content = store.read_bytes()
    shutil.copytree(lab / "p1", lab / "copy")
    again = learn([lab, lab / "p0"], store, MODEL)
    assert again.added == ()
    assert set(again.known) == {"p0", "p1", "p2", "copy"}
    assert store.read_bytes() == content
    write_csynth(lab / "copy", {**_base(lab / "p1"), "LUT": 4321})
    assert learn([lab / "copy"], store, MODEL).added == ("copy",)
    assert [entry.csynth["LUT"] for entry in load_store(store).entries][-1] == 4321
    assert str(lab) not in store.read_text()  # paths are relative to the store


def test_one_bad_project_stops_no_other(lab: Path, converted: list[Path]) -> None:
    _fill(lab)
    bad = ("top", "none", "cut", "half", "backend", "ports", "bits")
    for name in bad:
        shutil.copytree(converted[3], lab / name)
        if name != "none":
            ports = {"ports": port("other_input", 60, "other_input"), "bits": port("data", 61, "data")}.get(name, "")
            write_csynth(lab / name, _base(converted[3]), top="another" if name == "top" else TOP, ports=ports)
    file = next((lab / "cut").rglob("*_csynth.xml"))
    file.write_text(file.read_text()[:900])
    (lab / "half" / "firmware" / "parameters.h").unlink()
    script = lab / "backend" / "project.tcl"
    script.write_text(script.read_text().replace('"vitis"', '"quartus"'))
    (lab / "empty").mkdir()
    lesson = learn([lab, lab / "empty", lab / "missing"], lab / "store.json", MODEL)
    assert lesson.added == ("p0", "p1", "p2")
    refused = dict(lesson.refused)
    assert len(refused) == len(bad) + 2
    for name, words in {
        "top": "another", "none": "no csynth report", "cut": "csynth.xml", "half": "half-written", "backend": "quartus",
        "ports": "of another project", "bits": "61", str(lab / "empty"): "found none", str(lab / "missing"): "found none",
    }.items():  # fmt: skip
        assert words in refused[name], (name, refused[name])
    assert "refused: half" in "\n".join(lines(lesson))


def test_ports_of_the_project_itself_are_accepted(lab: Path) -> None:
    project = lab / "p0"
    (entry,) = [one for one in read_project(project).ports if not one.output]
    assert entry.size is not None
    assert entry.hls_type is not None
    ports = port(f"{entry.name}_ap_vld", 1, entry.name) + port(entry.name, entry.size * entry.hls_type.bits, entry.name)
    write_csynth(project, _base(project), ports=ports + port("layer5_out_0", 12, "layer5_out_0"))
    assert learn([project], lab / "store.json", MODEL).added == ("p0",)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-300],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace('"format": 1', '"format": 7'),
        lambda text: text.replace('"n_mac"', '"n_mak"'),
        lambda text: text.replace('"clock_ns": 5.0', '"clock_ns": NaN'),
        lambda text: text.replace('"reuse_factor": 1', '"reuse_factor": "one"'),
        lambda text: text.replace('"softmax": 0', '"softmax": -1'),
    ],
)
def test_a_damaged_store_is_named_and_left_alone(lab: Path, damage: Callable[[str], str]) -> None:
    _fill(lab)
    store = lab / "store.json"
    learn([lab], store, MODEL)
    broken = damage(store.read_text())
    assert broken != store.read_text()
    store.write_text(broken)
    with pytest.raises(InputError, match=r"store\.json.*(damaged|expected a store)"):
        learn([lab], store, MODEL)
    assert store.read_text() == broken


def test_a_store_that_cannot_be_written_or_read_is_named(lab: Path) -> None:
    _fill(lab)
    (lab / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        learn([lab / "p0"], lab / "file" / "store.json", MODEL)
    with pytest.raises(InputError, match="cannot be read"):
        load_store(lab)


def test_folders_are_searched_in_order_and_links_left_alone(lab: Path, converted: list[Path], tmp_path: Path) -> None:
    _fill(lab)
    shutil.move(lab / "p0", lab / "z" / "deep" / "p0")
    shutil.copytree(lab / "p1", lab / ".hidden")
    shutil.copytree(lab / "p1", tmp_path / "elsewhere")
    (lab / "link").symlink_to(tmp_path / "elsewhere")
    lesson = learn([lab], tmp_path / "stores" / "store.json", MODEL)
    assert [Path(name).relative_to(lab).as_posix() for name in lesson.added] == ["p1", "p2", "z/deep/p0"]
    assert not lesson.refused


def test_pairs_move_the_ratio_after_synthesis(lab: Path) -> None:
    ratios = (0.5, 0.6, 0.7)
    for project, ratio in zip(sorted(lab.iterdir()), ratios, strict=True):
        base = {**_base(project), "LUT": 2000, "FF": 1000, "DSP": 0}
        write_csynth(project, base)
        write_vsynth(project, {"LUT": int(2000 * ratio), "FF": 900, "DSP": 0, "BRAM_18K": 0})
    learn([lab], lab / "store.json", MODEL)
    model = refit(MODEL, load_store(lab / "store.json"), backend="vitis", part=PART)
    lut, shipped = model.synthesis["LUT"], MODEL.synthesis["LUT"]
    median = (shipped.median + 0.6) / 2 if shipped.median > 0.5 else 0.55  # of the three and the shipped one
    spread = np.sqrt(np.mean([(ratio - median) ** 2 for ratio in ratios]) * 4 / 3) * 2.919986  # Student's t, 2 degrees, 95 %
    expected = max(median - spread, min(shipped.low, 0.5)), min(median + spread, max(shipped.high, 0.7))
    assert (lut.median, lut.low, lut.high, lut.designs) == pytest.approx((median, *expected, 3))
    assert model.synthesis["DSP"] == MODEL.synthesis["DSP"]  # no DSP before, no ratio
    layers = networks(read_project(lab / "p0")).layers
    source = synthesis_cost(predict(model, layers, part=PART), model).figures["LUT"].source
    assert "3 designs, one's own, Vitis HLS 2022.2" in source
    assert "CNN" not in source


def test_a_network_with_other_layers_counts_after_synthesis_only(lab: Path, tmp_path: Path) -> None:
    layers = stack().keras.layers
    start = layers.Input((6, 6, 1), name="image")
    model = stack().keras.Model(start, layers.Dense(2, name="out")(layers.Flatten()(layers.Conv2D(2, 3, name="conv")(start))))
    with hls4ml() as library:
        library.converters.convert_from_keras_model(
            model, output_dir=str(lab / "cnn"), backend="Vitis", part=PART, project_name=TOP, hls_config=None
        ).write()
    write_csynth(lab / "cnn", {"LUT": 1000, "FF": 500})
    write_vsynth(lab / "cnn", {"LUT": 900, "FF": 450, "DSP": 24, "BRAM_18K": 0})
    lesson = learn([lab / "cnn"], tmp_path / "store.json", MODEL)
    assert len(lesson.added) == 1
    assert not lesson.changes
    ((_, reason),) = lesson.unused
    assert "convolution" in reason
    model = refit(MODEL, load_store(tmp_path / "store.json"), backend="vitis", part=PART)
    assert not model.learned
    assert model.synthesis["LUT"].designs == 1
    assert model.synthesis["LUT"].high == 0.9
    entry = json.loads((tmp_path / "store.json").read_text())["entries"][0]
    assert entry["csynth"] == {"LUT": 1000, "FF": 500, "DSP": 24, "BRAM_18K": 0, "latency_cycles": 11, "II": 1}
    assert set(entry["csynth"]) == set(FIGURES)
