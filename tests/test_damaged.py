"""What benchmarks/fuzz.py has found, and the property that it looks for: read, or refused in one sentence."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qap.archive import read_arrays
from qap.candidate import Candidate, Cost, Figure, Parity
from qap.config.load import dump_config, load_config, parse_yaml
from qap.cost.hls_source import parse_type
from qap.cost.hls_weights import _numbers as hls_numbers
from qap.cost.store import load_store
from qap.datasets.cut import parse_cut
from qap.datasets.load import read_npz
from qap.datasets.readers.npz import NpzSource
from qap.datasets.readers.read import read_chunks
from qap.datasets.readers.source import Element, Source
from qap.errors import InputError, QapError
from qap.exports.integers import unpacked
from qap.firmware.deliver import FORMAT, KEYS, Delivery
from qap.firmware.graph import identifier
from qap.firmware.project import Project
from qap.plan import LayerPlan, Plan
from qap.precision import Precision
from qap.rtl.design import Design, Wire, load_design
from qap.rtl.synthesis import load_synthesis, logic_levels

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
from fuzz import PARSERS, inputs, outcome  # noqa: E402
from fuzz_parsers import sample_candidate  # noqa: E402
from fuzz_reports import sample_design  # noqa: E402

DEEP = "[" * 100_000
QUICK = (
    "strings", "plan", "csynth.xml", "csynth.rpt", "cosim.rpt", "utilization", "timing", "yosys", "synthesis.json",
    "reports.json", "project.json", "design.json", "integers.json", "integers.npz", "overrides", "record", "record.1", "hls4ml",
)  # fmt: skip


@pytest.mark.parametrize("name", QUICK)
def test_changed_inputs_are_read_or_refused(name: str, tmp_path: Path) -> None:
    parser = PARSERS[name]
    samples = parser.samples(tmp_path)
    found = [outcome(parser, data, tmp_path) for _, data in inputs(parser, samples, 2, range(25))]
    assert {kind for kind, _ in found} <= {"accepted", "refused"}, [one for one in found if one[0] not in ("accepted", "refused")]
    assert all(outcome(parser, data, tmp_path)[0] == "accepted" for data in samples), "the samples themselves are good"


@pytest.mark.slow
@pytest.mark.parametrize("name", PARSERS)
def test_many_changed_inputs_are_read_or_refused(name: str) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "fuzz.py"), "--inputs", "300", "--seed", "3", "--parser", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_message_is_one_line_that_a_terminal_does_not_obey() -> None:
    error = InputError("a\nb\x1b[31mc\u2028d\ud800")
    assert str(error) == r"a b\x1b[31mc\u2028d\ud800"
    assert len(str(error).splitlines()) == 1


NINE = "\n".join([f"a0: &a0 [{', '.join('x' * 10)}]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9))])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NINE, "aliases stand for more than 1,000,000 values"),
        ("a: &a [*a]", "aliases stand for more than"),
        ('a: "\\ud800"', "'.ud800' is no text"),
        ('"\\ud800": 1', "'.ud800' is no text"),
        ("a: .inf", "expected a finite number, received .inf"),
        ("a: 1e999", "expected a finite number, received 1e999"),
        ("a: 2024-13-45", "not valid YAML"),
        (f"a: {'9' * 5000}", "not valid YAML"),
        (DEEP, "nested too deeply"),
        ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
    ],
)
def test_yaml_that_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_yaml(text, "study.yaml")


def test_a_layer_that_stands_twice_in_a_plan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    line = "fc1: {weight: 'quantized_bits(6,0)', bias: 'quantized_bits(6,0)'}\n"
    path.write_text(line)
    assert len(Plan.load(path)) == 1
    path.write_text(2 * line)
    with pytest.raises(InputError, match="'fc1' is given twice"):
        Plan.load(path)


@pytest.mark.parametrize("key", ["int", "x[0]", "a-(b"])
def test_unknown_keys_that_look_like_types(key: str, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(f"search: {{'{key}': 1}}\n")
    with pytest.raises(InputError, match=re.escape(f"study.yaml: unknown key search.{key} (known: ")):
        load_config(tmp_path / "study.yaml")


PRECISIONS = st.builds(
    lambda bits, integer, signed: Precision(bits, min(integer, bits - signed), signed),
    st.integers(2, 32), st.integers(0, 31), st.booleans(),
)  # fmt: skip
LAYERS = st.builds(
    LayerPlan, PRECISIONS.filter(lambda one: one.signed), PRECISIONS, st.none() | PRECISIONS, st.floats(0, 0.99),
    exponents=st.lists(st.integers(-24, 24), max_size=4),
)  # fmt: skip
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=9)


@settings(max_examples=30, deadline=None)
@given(plan=st.dictionaries(NAMES.filter(lambda name: name != "inputs"), LAYERS, min_size=1, max_size=4))
def test_every_plan_is_read_as_it_was_written(plan: dict[str, LayerPlan], tmp_path_factory: pytest.TempPathFactory) -> None:
    written = Plan(tuple(plan.items()))
    path = tmp_path_factory.getbasetemp() / "plan.yaml"
    written.save(path)
    assert Plan.load(path) == written
    assert Plan.load(path).id == written.id


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8,
)  # fmt: skip
SETTINGS = st.sampled_from(
    ["name", "seed", "data.split", "data.input.bits", "search.trials", "search.space.weight_bits", "train.learning_rate"]
)


@settings(max_examples=50, deadline=None)
@given(key=SETTINGS, value=PLAIN)
def test_every_setting_is_taken_as_it_is_or_refused(key: str, value: Any) -> None:
    try:
        config = load_config(None, [f"{key}={json.dumps(value)}"])
    except InputError:
        return
    again = parse_yaml(dump_config(config), "x")
    for part in key.split("."):
        again = again[part]
    assert again == value or np.allclose(np.asarray(again, float), np.asarray(value, float), rtol=1e-12)


def test_a_cut_of_several_shapes() -> None:
    columns = {"x": np.array([1.0, 5.0]), "__quoted_3": np.array([1.0, 0.0])}
    assert parse_cut("x > 2 & 1 < 2").__call__(columns).tolist() == [False, True]
    assert parse_cut("__quoted_3 > 0")(columns).tolist() == [True, False]


@pytest.mark.parametrize(
    "change",
    [
        {"value": float("nan")}, {"low": float("inf")}, {"high": "x"}, {"value": 1e9}, {"source": 3}, {"value": True}, {"x": 1},
    ],
)  # fmt: skip
def test_figures_that_are_none_are_refused(change: dict[str, Any]) -> None:
    plain = {**Figure(3.0, "counted", "", 2.0, 4.0).to_dict()}
    assert Cost.from_dict({"figures": {"LUT": plain}, "layers": {}})["LUT"] == 3.0
    for values in ({"figures": {"LUT": {**plain, **change}}, "layers": {}}, {"figures": [], "layers": {}}, {"figures": 3.0}):
        with pytest.raises(InputError, match="cost: expected"):
            Cost.from_dict(values)


def test_records_that_contradict_themselves_are_refused() -> None:
    plain = json.loads(json.dumps(sample_candidate().to_dict()))
    assert Candidate.from_dict(plain).id == plain["id"]
    metrics = [{"metrics": {"accuracy_validation": value}} for value in (float("nan"), True, "0.5", None)]
    for change in ({"id": "0" * 12}, *metrics):
        with pytest.raises(InputError):
            Candidate.from_dict({**plain, **change})
    for change in ({"exact": 11}, {"events": -1}, {"max_difference": -1.0}, {"max_difference": float("nan")}, {"first_layer": 3}):
        with pytest.raises(InputError, match="parity: expected"):
            Parity.from_dict({**plain["parity"], **change})


def _project(**changes: Any) -> str:
    values = json.loads((ROOT / "firmware" / "reference" / "project.json").read_text())
    return json.dumps({**values, **changes})


HOSTILE = (
    "; rm -rf /", "$(touch x)", "[exec touch x]", "a\nb", "../x", "</script>", '"', "'", "", "a b", "`x`", "é", "-x", "a" * 999,
)  # fmt: skip
PORT = {"name": "x", "shape": [4], "type": "fixed<4,2>", "precision": "", "features": []}


@pytest.mark.parametrize("text", HOSTILE)
def test_names_in_projects_stay_names(text: str, tmp_path: Path) -> None:
    """They stand in paths, C++, Makefiles and scripts of Yosys and Verilator."""
    (tmp_path / "project.json").write_text(_project())
    assert Project.load(tmp_path).name == "qap"
    for changes in ({"name": text}, {"inputs": [{**PORT, "name": text}]}, {"outputs": [{**PORT, "type": text}]}):
        (tmp_path / "project.json").write_text(_project(**changes))
        with pytest.raises(InputError, match="project.json: "):
            Project.load(tmp_path)
    design = json.dumps({**sample_design(tmp_path).to_dict(), "name": text})
    (tmp_path / "design.json").write_text(design)
    with pytest.raises(InputError, match="design.json: not a readable design: expected a name that Verilog takes"):
        load_design(tmp_path)
    assert identifier(text, set()).isascii()
    assert identifier(text, set()).isidentifier()
    for key in ("firmware.Part", "name"):
        if text not in ("a b", "-x", "a" * 999):
            with pytest.raises(InputError):
                load_config(None, [f"{key}={json.dumps(text)}"])


@pytest.mark.parametrize(
    "change", [{"shape": []}, {"inputs": 3}, {"inputs": []}, {"traces": []}, {"head": 1}, {"settings": []}, {"x": 1}]
)
def test_projects_of_another_form_are_refused(change: dict[str, Any], tmp_path: Path) -> None:
    changes = {"inputs": [{**PORT, "shape": ["a"]}]} if "shape" in change else change
    (tmp_path / "project.json").write_text(_project(**changes))
    with pytest.raises(InputError, match="make one with qap.firmware.convert"):
        Project.load(tmp_path)


def test_sources_of_a_design_stay_in_it(tmp_path: Path) -> None:
    directory = tmp_path / "design"
    (directory / "src").mkdir(parents=True)
    (directory / "design.json").write_text(json.dumps(sample_design(directory).to_dict()))
    (directory / "src" / "top.v").write_text("")
    assert load_design(directory).sources == (Path("src/top.v"),)
    (tmp_path / "secret.v").write_text("")
    for name, target in (("a; shell true.v", None), ("link.v", tmp_path / "secret.v")):
        path = directory / "src" / name
        path.write_text("") if target is None else path.symlink_to(target)
        with pytest.raises(InputError, match="expected Verilog files in src"):
            load_design(directory)
        path.unlink()


def test_a_netlist_that_drives_itself_is_refused() -> None:
    def cell(kind: str, given: dict[str, list[Any]], made: dict[str, list[Any]]) -> dict[str, Any]:
        ways = {**dict.fromkeys(given, "input"), **dict.fromkeys(made, "output")}
        return {"type": kind, "port_directions": ways, "connections": {**given, **made}}

    cells = {"a": cell("LUT1", {"I": [4]}, {"O": [3]}), "b": cell("LUT1", {"I": [3]}, {"O": [4]})}
    cells["c"] = cell("FDRE", {"D": [3]}, {"Q": [5]})
    with pytest.raises(ValueError, match="drives itself"):
        logic_levels({"cells": cells, "netnames": {"model_out": {"bits": [5]}}}, 1)


def test_deliveries_of_another_form_are_refused(tmp_path: Path) -> None:
    plain = {key: kind() for key, kind in KEYS.items()} | {"format": FORMAT, "name": "qap", "version": "1.0.0"}
    (tmp_path / "delivery.json").write_text(json.dumps(plain))
    assert Delivery.load(tmp_path).record["name"] == "qap"
    changes: list[dict[str, Any]] = [{key: 3} for key in KEYS] + [{"name": text} for text in HOSTILE if text != "a" * 999]
    for change in [*changes, {"version": "../x"}, {"version": "$(true)"}]:
        (tmp_path / "delivery.json").write_text(json.dumps({**plain, **change}))
        with pytest.raises(InputError):
            Delivery.load(tmp_path)


def test_types_of_absurd_widths_are_refused() -> None:
    def read(text: str) -> Any:
        return parse_type(text, lambda name: None, lambda name: None, "x.h")

    assert read("ap_fixed<12,5>").bits == 12
    for text in ("ap_fixed<12345678901234,2>", "ap_int<0>", "ap_fixed<8,99999>", "ap_ufixed<1e3,2>"):
        with pytest.raises(InputError, match="expected ap_fixed"):
            read(text)


def _deep_json(read: Callable[[Path], Any], name: str, folder: Path) -> None:
    (folder / name).write_text(DEEP)
    with pytest.raises(QapError):
        read(folder)


def test_json_that_is_nested_too_deeply(tmp_path: Path) -> None:
    _deep_json(Project.load, "project.json", tmp_path)
    _deep_json(load_design, "design.json", tmp_path)
    _deep_json(lambda folder: load_store(folder / "store.json"), "store.json", tmp_path)
    design = Design(tmp_path, "top", (1,), (1,), (Wire(True, 1, 2),), (Wire(True, 1, 2),), 1, 4, 1.0, 1, (1,))
    _deep_json(lambda folder: load_synthesis(design), "synthesis.json", tmp_path)
    with pytest.raises(InputError):
        unpacked(DEEP.encode(), "json")


def test_columns_of_different_lengths_are_refused(tmp_path: Path) -> None:
    class Torn(Source):
        path = tmp_path / "events.root"

        def chunks(self, names: Any, rows: int) -> Any:
            yield 1.0, {"x": np.zeros(3), "y": np.zeros(2)}

    with pytest.raises(InputError, match=r"columns of \[2, 3\] events: damaged"):
        list(read_chunks(Torn(), [Element("x", "x"), Element("y", "y")]))


def test_numbers_of_a_project_are_finite(tmp_path: Path) -> None:
    assert hls_numbers("{1, 2.5f}", tmp_path).tolist() == [1, 2.5]
    for word in ("nan", "1e999"):
        with pytest.raises(InputError, match=f"expected finite numbers, received {word}"):
            hls_numbers(f"{{1, {word}}}", tmp_path)


def test_arrays_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, features=np.zeros((4, 2)), labels=np.zeros(4, int), feature_names=np.array("x"))
    with pytest.raises(InputError, match=r"feature_names: expected a list of names, received the shape \(\)"):
        read_npz(path)
    broken = np.frombuffer(np.array([0x110000, 65], np.uint32).tobytes(), "<U1")
    np.savez(path, features=np.zeros((4, 2)), labels=np.zeros(4, int), class_names=broken)
    with pytest.raises(InputError, match="class_names: damaged: its text holds 0x110000, which is no sign"):
        read_npz(path)
    with pytest.raises(InputError, match="class_names: damaged"):
        NpzSource(path)
    np.savez(path, x=np.array([{}], object))
    with pytest.raises(InputError, match="holds Python objects"):
        read_arrays(path, str(path))
    assert read_arrays(path, str(path), ["y"]) == {}
    with pytest.raises(InputError, match="no such file"):
        read_arrays(tmp_path / "none.npz", "none.npz")
