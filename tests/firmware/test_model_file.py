"""Model files of others: read without running what they hold."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qap.backend import custom_objects, stack
from qap.errors import InputError
from qap.firmware.model_file import load_model, quantized_inputs
from qap.precision import Precision

BOTH = pytest.mark.parametrize("suffix", [".keras", ".h5"])


def _model(layer: Any = None) -> Any:
    libraries = stack()
    keras, qkeras = libraries.keras, libraries.qkeras
    inputs = keras.layers.Input((4,), name="inputs")
    x = qkeras.QActivation("quantized_bits(8,2,alpha=1)", name="type")(inputs)
    bias = qkeras.quantized_bits(6, 1, alpha=1)
    dense = qkeras.QDense(5, name="fc", kernel_quantizer="quantized_bits(4,0,alpha=1)", bias_quantizer=bias)
    if layer == "pruned":
        x = libraries.sparsity.prune_low_magnitude(dense, libraries.sparsity.PolynomialDecay(0.0, 0.5, 0, 10))(x)
    else:
        x = dense(x)
        x = x if layer is None else layer(x)
    x = keras.layers.BatchNormalization(name="bn")(qkeras.QActivation("quantized_relu(6,2)", name="relu")(x))
    return keras.Model(inputs, keras.layers.Dense(2, name="out")(x))


@BOTH
@pytest.mark.parametrize("layer", [None, "pruned"], ids=["plain", "pruning wrapper"])
def test_a_saved_model_comes_back_with_its_outputs(suffix: str, layer: Any, tmp_path: Path) -> None:
    model = _model(layer)
    model.compile("adam", "mse")
    model.save(tmp_path / f"model{suffix}")
    loaded = load_model(tmp_path / f"model{suffix}")
    x = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    assert np.array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert not any("prune" in part.name for part in loaded.layers)
    assert quantized_inputs(loaded) == {"inputs": Precision(8, 2)}


@BOTH
def test_a_lambda_is_refused_without_being_run(suffix: str, tmp_path: Path) -> None:
    """The function would write a file when the model is built again."""
    witness = tmp_path / "witness"

    def write(x: Any, path: str = str(witness)) -> Any:
        import pathlib

        pathlib.Path(path).write_text("run")
        return x

    path = tmp_path / f"model{suffix}"
    _model(stack().keras.layers.Lambda(write, name="harmless")).save(path)
    assert witness.exists(), "the function is one that would be noticed"
    witness.unlink()
    with pytest.raises(InputError, match=r"harmless: a Lambda layer holds code: it is not run"):
        load_model(path)
    assert not witness.exists()
    stack().keras.models.load_model(path, safe_mode=False, compile=False, custom_objects=custom_objects())
    assert witness.exists(), "Keras itself would have run it"


@BOTH
def test_operators_and_unknown_layers_are_refused(suffix: str, tmp_path: Path) -> None:
    keras = stack().keras
    inputs = keras.layers.Input((4,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs) * 2).save(tmp_path / f"operator{suffix}")
    with pytest.raises(InputError, match="TFOpLambda layer holds code"):
        load_model(tmp_path / f"operator{suffix}")

    class Mine(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    _model(Mine(name="own")).save(tmp_path / f"mine{suffix}")
    with pytest.raises(InputError, match=r"own: (\w+>)?Mine is not a layer of Keras or QKeras that qap knows"):
        load_model(tmp_path / f"mine{suffix}")


def _edit(source: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Copy a .keras file with another configuration."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "config.json":
                config = json.loads(data)
                change(config)
                data = json.dumps(config).encode()
            new.writestr(name, data)


def _layer(config: dict[str, Any], name: str) -> dict[str, Any]:
    return next(layer for layer in config["config"]["layers"] if layer["name"] == name)


def _other_package(config: dict[str, Any]) -> None:
    _layer(config, "out")["module"] = "os"


def _other_function(config: dict[str, Any]) -> None:
    _layer(config, "out")["config"]["activation"] = {
        "class_name": "function", "config": "get_file", "module": "keras.utils", "registered_name": "get_file",
    }  # fmt: skip


def _other_call(config: dict[str, Any]) -> None:
    _layer(config, "type")["config"]["activation"] = "safe_eval('x')"


def _saved_model(config: dict[str, Any]) -> None:
    _layer(config, "out").update(class_name="TFSMLayer")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_other_package, r"out: os\.Dense is not of Keras or QKeras"),
        (_other_function, "the function 'get_file' is not of Keras or QKeras"),
        (_other_call, "activation: \"safe_eval"),
        (_saved_model, "out: a TFSMLayer layer holds code"),
    ],
)
def test_a_file_that_was_made_to_run_something_is_refused(
    change: Callable[[dict[str, Any]], None], message: str, tmp_path: Path
) -> None:
    _model().save(tmp_path / "model.keras")
    _edit(tmp_path / "model.keras", tmp_path / "bad.keras", change)
    with pytest.raises(InputError, match=message):
        load_model(tmp_path / "bad.keras")
    _edit(tmp_path / "model.keras", tmp_path / "good.keras", lambda config: None)
    load_model(tmp_path / "good.keras")


def _write(folder: Path) -> None:
    (folder / "text.keras").write_text("no model")
    (folder / "text.h5").write_text("no model")
    (folder / "other.txt").write_text("no model")
    (folder / "folder").mkdir()
    _model().save_weights(folder / "weights.h5")
    _model().save(folder / "model.keras")
    whole = (folder / "model.keras").read_bytes()
    (folder / "short.keras").write_bytes(whole[: len(whole) // 2])
    with zipfile.ZipFile(folder / "empty.keras", "w") as archive:
        archive.writestr("config.json", "[]")
    _edit(folder / "model.keras", folder / "unloadable.keras", lambda config: _layer(config, "fc")["config"].update(units="many"))


WRONG = {
    "none.keras": "no such model file",
    "text.keras": "expected a Keras model saved as .keras or .h5",
    "text.h5": "not an HDF5 file",
    "other.txt": "expected a Keras model saved as .keras or .h5",
    "folder": "another directory",
    "weights.h5": "holds weights but no model",
    "short.keras": "expected a Keras model saved as .keras or .h5",
    "empty.keras": "its configuration is not a Keras model's",
    "unloadable.keras": r"Keras 2 \(tf-keras\) cannot load it",
}


def test_files_that_are_no_models_are_named(tmp_path: Path) -> None:
    _write(tmp_path)
    for name, message in WRONG.items():
        with pytest.raises(InputError, match=message) as stop:
            load_model(tmp_path / name)
        assert name in str(stop.value)
        assert len(str(stop.value).splitlines()) == 1
