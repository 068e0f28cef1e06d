"""What a project holds, and what is refused: layer, what, why, cure."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qap.backend import stack
from qap.config.schema import Firmware
from qap.errors import InputError, ToolMissingError
from qap.firmware import Comparison, Project, build, compare, convert, prepare, rule, simulate, supported
from qap.firmware.lowering import _RULES

from .helpers import P, grid, mlp

LAYER = ("quantized_bits(4,0)", "quantized_bits(4,0)", "quantized_relu(4,1)")
INPUT = P("quantized_bits(6,2)")


def _small() -> Any:
    return mlp({"fc1": LAYER, "output": (*LAYER[:2], None)}, 3, [4, 2])


def _model(*layers: Any, shape: tuple[int, ...] = (3,)) -> Any:
    return stack().keras.Sequential([stack().keras.layers.Input(shape), *layers])


def test_a_project_is_complete_and_names_no_machine(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = _small()
    before = [weight.copy() for weight in model.get_weights()]
    x = grid("quantized_bits(6,2)", (3,), 7)
    settings = Firmware(Part="xcu250-figd2104-2L-e", ClockPeriod=2.5)
    project = convert(
        model, INPUT, tmp_path / "deep" / "project", settings, test_inputs=x, test_outputs=model.predict(x, verbose=0)
    )
    assert capfd.readouterr() == ("", "")
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    for name in ("build_prj.tcl", "project.tcl", "firmware/qap.cpp", "firmware/weights/w2.h", "qap_test.cpp", "project.json"):
        assert (project.directory / name).is_file(), name
    tcl = (project.directory / "project.tcl").read_text()
    assert "xcu250-figd2104-2L-e" in tcl
    assert "2.5" in tcl
    assert np.array_equal(np.loadtxt(project.directory / "tb_data/tb_input_features.dat"), x)
    assert np.loadtxt(project.directory / "tb_data/tb_output_predictions.dat").shape == (7, 2)
    for path in project.directory.rglob("*"):
        if path.is_file() and path.suffix in (".tcl", ".cpp", ".h", ".json", ".yml"):
            assert str(tmp_path) not in path.read_text(), path
    assert Project.load(project.directory) == project
    assert list(tmp_path.glob("deep/.*")) == []


def test_converting_again_replaces_the_project_but_nothing_else(tmp_path: Path) -> None:
    convert(_small(), INPUT, tmp_path / "project")
    convert(_small(), INPUT, tmp_path / "project")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("x")
    with pytest.raises(InputError, match="it holds other files"):
        convert(_small(), INPUT, tmp_path / "mine")


def _refusals() -> dict[str, tuple[Callable[[], Any], str]]:
    def q() -> Any:
        return stack().qkeras

    def keras() -> Any:
        return stack().keras.layers

    def bits() -> Any:
        return q().quantized_bits(4, 0, alpha=1)

    return {
        "float kernel": (lambda: _model(keras().Dense(2, name="d")), r"d: kernel: no quantizer.*kernel_quantizer"),
        "alpha": (
            lambda: _model(q().QDense(2, kernel_quantizer=q().quantized_bits(4, 0, alpha=0.7), name="d")),
            r"d: kernel: quantized_bits with alpha=0.7.*alpha=1",
        ),
        "float batch normalization": (
            lambda: _trained(_model(keras().BatchNormalization(name="bn"))), r"bn: the float scale and shift.*prepare"
        ),
        "axis": (lambda: _model(keras().BatchNormalization(axis=1, name="bn"), shape=(3, 4)), r"bn: .*over axis \[1\].*last"),
        "activation": (lambda: _model(keras().Activation("elu", name="a")), r"a: the activation 'elu' has no exact conversion"),
        "tanh": (lambda: _model(keras().Activation("tanh", name="a")), r"a: tanh comes from a table.*accept=\['a'\]"),
        "lambda": (lambda: _model(keras().Lambda(lambda x: x + 1, name="f")), r"f: Lambda is not converted: it holds Python"),
        "unknown": (lambda: _model(keras().LayerNormalization(name="n")), r"n: no conversion for the layer LayerNormalization"),
        "average": (
            lambda: _model(keras().GlobalAveragePooling1D(name="g"), q().QDense(
                2, kernel_quantizer=bits(), bias_quantizer=bits(), name="d"), shape=(5, 3)),
            r"d: its input is an average over 5.*put a quantizer",
        ),
        "fine average": (
            lambda: _model(keras().GlobalAveragePooling1D(name="g"), q().QActivation("quantized_bits(30,2,alpha=1)", name="a"),
                           shape=(5, 3)),
            r"a: rounds an average over 5.*fewer fractional bits",
        ),
        "dilation": (
            lambda: _model(
                q().QConv1D(2, 2, dilation_rate=2, kernel_quantizer=bits(), bias_quantizer=bits(), name="c"), shape=(8, 3)
            ),
            r"c: dilation_rate .* is not converted: use 1",
        ),
        "upper bound": (
            lambda: _model(q().QActivation(q().quantized_relu(6, 3, relu_upper_bound=6, is_quantized_clip=False), name="a")),
            r"a: quantized_relu with relu_upper_bound",
        ),
        "batch scale": (
            lambda: _model(q().QActivation("quantized_bits(4,0,alpha='auto_po2')", name="a")),
            r"a: alpha='auto_po2' in an activation",
        ),
        "broken weights": (lambda: _poisoned(), r"fc1: kernel: the weights hold NaN"),
    }  # fmt: skip


def _trained(model: Any) -> Any:
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.3, 1.7, weight.shape) for weight in model.get_weights()])
    return model


def _poisoned() -> Any:
    model = _small()
    kernel, bias = model.get_layer("fc1").get_weights()
    model.get_layer("fc1").set_weights([np.where(np.eye(*kernel.shape), np.nan, kernel), bias])
    return model


@pytest.mark.parametrize("name", [
    "float kernel", "alpha", "float batch normalization", "axis", "activation", "tanh", "lambda", "unknown", "average",
    "fine average", "dilation", "upper bound", "batch scale", "broken weights",
])  # fmt: skip
def test_what_is_not_exact_is_refused_by_name_reason_and_cure(name: str, tmp_path: Path) -> None:
    make, message = _refusals()[name]
    with pytest.raises(InputError, match=message) as caught:
        convert(make(), INPUT, tmp_path / "project")
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "project").exists()


def test_settings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fc1: 5 is not valid with Strategy Resource; valid are 1, 3, 6, 12"):
        convert(_small(), INPUT, tmp_path / "p", Firmware(Strategy="Resource", ReuseFactor={"Model": 1, "fc1": 5}))
    with pytest.raises(InputError, match="no layer 'fc9'"):
        convert(_small(), INPUT, tmp_path / "p", Firmware(ReuseFactor={"fc9": 2}))
    with pytest.raises(InputError, match="fc1: Unrolled is not available .*a ReuseFactor above 1"):
        convert(_small(), INPUT, tmp_path / "p", Firmware(Strategy="Unrolled"))
    with pytest.raises(InputError, match="the model has no input 'x'"):
        convert(_small(), {"x": INPUT}, tmp_path / "p")


def test_distributed_arithmetic_needs_da4ml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _small()  # Keras looks for modules too
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ToolMissingError, match="pip install 'da4ml"):
        convert(model, INPUT, tmp_path / "p", Firmware(Strategy="distributed_arithmetic"))


def test_distributed_arithmetic_is_exact(proven: Callable[..., tuple[Project, Comparison]]) -> None:
    pytest.importorskip("da4ml")
    proven(_small(), "quantized_bits(6,2)", grid("quantized_bits(6,2)", (3,), 500), Strategy="distributed_arithmetic")


def test_an_argmax_head_gives_the_class(tmp_path: Path) -> None:
    model = mlp({"fc1": LAYER, "output": ("quantized_bits(2,0)", "quantized_bits(2,0)", None)}, 3, [4, 4])
    x = grid("quantized_bits(6,2)", (3,), 1000)
    project = convert(model, INPUT, tmp_path / "project", head="argmax")
    build(project)
    comparison = compare(model, project, x)
    assert comparison.parity.proven, comparison.to_dict()
    logits = model.predict(x, verbose=0)
    assert (np.sort(logits, axis=1)[:, -1] == np.sort(logits, axis=1)[:, -2]).any(), "no tie was tried"
    assert np.array_equal(simulate(project, x).argmax(axis=1), logits.argmax(axis=1))
    assert set(np.unique(simulate(project, x))) == {0.0, 1.0}


def test_users_add_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keras = stack().keras

    class Twice(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def call(self, inputs: Any) -> Any:
            return 2 * inputs

    monkeypatch.setattr("qap.firmware.lowering._RULES", dict(_RULES))
    model = _model(Twice(name="twice"))
    with pytest.raises(InputError, match="no conversion for the layer Twice"):
        convert(model, INPUT, tmp_path / "project")

    @rule("Twice")
    def twice(call: Any, lowering: Any, sources: Any) -> Any:
        return lowering.emit(
            lambda name: keras.layers.Add(name=name), call.name, [sources[0], sources[0]], sources[0].values.scaled(1)
        )

    assert "Twice" in supported()
    project = convert(model, INPUT, tmp_path / "project")
    build(project)
    x = grid("quantized_bits(6,2)", (3,), 100)
    assert np.array_equal(simulate(project, x), 2 * x)


def test_prepare_leaves_an_exact_model_alone() -> None:
    model = _small()
    prepared = prepare(model)
    assert prepared.model is model
    assert prepared.changes == ()


def test_the_manifest_is_plain_json(tmp_path: Path) -> None:
    project = convert(_small(), INPUT, tmp_path / "project")
    values = json.loads((project.directory / "project.json").read_text())
    assert values["inputs"] == [
        {"name": "inputs", "shape": [3], "type": "fixed<6,3,RND_CONV,SAT>", "precision": "quantized_bits(6,2)", "features": []}
    ]
    with pytest.raises(InputError, match="not a firmware project"):
        Project.load(tmp_path)
