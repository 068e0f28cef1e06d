"""Model files and zip files of others, judged before anything of them is loaded; nothing in the package reads pickles."""

from __future__ import annotations

import ast
import json
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import h5py
import pytest

import qap
from qap.archive import check_zip, configuration, refuse_code
from qap.backend import allowed, read_model, read_model_of_user, stack
from qap.datasets.readers.read import open_source
from qap.errors import InputError

PACKAGE = Path(qap.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
PICKLES = {"pickle", "cPickle", "dill", "joblib", "cloudpickle", "shelve", "marshal"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "commands.getoutput"}


def _said(node: ast.AST) -> str:
    return ast.unparse(node)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_pickle_no_unsafe_yaml_no_shell_no_eval(path: Path) -> None:
    """Also text that is run by another Python, such as the solver's, is read."""
    text = path.read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            assert not PICKLES & {name.split(".")[0] for name in names}, f"line {node.lineno}"
        if not isinstance(node, ast.Call):
            continue
        name, given = _said(node.func), {word.arg: _said(word.value) for word in node.keywords}
        assert name not in ("eval", "exec", "compile", "__import__", *SHELLS), f"line {node.lineno}: {name}"
        assert given.get("shell", "False") == "False", f"line {node.lineno}"
        assert given.get("allow_pickle", "False") == "False", f"line {node.lineno}"
        if name in ("np.load", "numpy.load"):
            assert given.get("allow_pickle") == "False", f"line {node.lineno}: NumPy's default may change: say it"
        if name.startswith("yaml.") and name.split(".")[1] in ("load", "load_all"):
            loader = given.get("Loader") or (_said(node.args[1]) if len(node.args) > 1 else "")
            assert loader in ("_Loader", "yaml.SafeLoader"), f"line {node.lineno}"
        assert not re.fullmatch(r"yaml\.(unsafe_|full_)load(_all)?", name), f"line {node.lineno}"
    for parent in re.findall(r"class _Loader\(([\w.]+)\)", text):
        assert parent == "yaml.SafeLoader"


def test_only_the_backend_loads_keras_files() -> None:
    """So that no other place forgets to look at them first."""
    found = [path.name for path in MODULES if re.search(r"models\.load_model\(", path.read_text())]
    assert found == ["backend.py"]


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A model whose Lambda layer writes a file, saved in three forms."""
    keras, folder = stack().keras, tmp_path_factory.mktemp("models")
    noted = folder / "noted"

    def write(x: Any, path: str = str(noted)) -> Any:
        import pathlib

        pathlib.Path(path).write_text("run")
        return x

    inputs = keras.layers.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Lambda(write, name="hidden")(inputs)))
    for name in ("m.keras", "m.h5", "saved"):
        model.save(folder / name)
    noted.unlink()
    return {"folder": folder, "noted": noted}


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "saved"])
def test_code_runs_only_when_it_is_trusted(name: str, witness: dict[str, Any]) -> None:
    path, noted = witness["folder"] / name, witness["noted"]
    said = r"^distill.teachers: .*(hidden: a Lambda layer holds code.*--trust|a SavedModel is a program)"
    with pytest.raises(InputError, match=said):
        read_model_of_user(path, "distill.teachers")
    assert not noted.exists()
    assert read_model(path, trust=True).input_shape == (None, 2)
    if name != "saved":
        assert noted.exists()
        noted.unlink()


def test_layers_without_firmware_are_still_read(tmp_path: Path) -> None:
    layers = stack().keras.layers
    inputs = layers.Input((4, 3))
    stack().keras.Model(inputs, layers.Dense(1)(layers.Dropout(0.1)(layers.LSTM(5)(inputs)))).save(tmp_path / "m.keras")
    assert len(read_model(tmp_path / "m.keras").layers) == 4


def _dense(**changes: Any) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": {"units": 3, **changes}}]}}


DEEP = _dense()
for _ in range(3000):
    DEEP = {"config": DEEP}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (_dense(units=10**12), "units: expected at most 16,777,216, received 1000000000000"),
        (_dense(batch_input_shape=[None, 10**9]), "batch_input_shape: expected at most"),
        (_dense(activation={"class_name": "function", "config": {"name": "x"}}), "the function"),
        (_dense(kernel_quantizer="__import__('os')"), "is not a QKeras quantizer"),
        (_dense(activation={"class_name": "Lambda", "config": {}}), "a Lambda layer holds code: CURE"),
        (_dense(kernel_initializer={"class_name": "Zeros", "module": "os.path"}), "os.path.Zeros is not of Keras or QKeras"),
        ({"class_name": ["Dense"], "config": DEEP}, "nested too deeply"),
        ({"class_name": "quantized_bits", "config": {"keep_negative": -(10**30)}}, "expected at most 65,536, received -1000"),
        ({"class_name": "stochastic_ternary", "config": {"number_of_unrolls": 10**5}}, "number_of_unrolls: expected at most 100"),
        (_dense(kernel_quantizer="quantized_bits(99999999999999999999,0)"), "expected at most 65,536, received 99999"),
        (_dense(kernel_quantizer=f"quantized_bits({'9' * 5000})"), "expected at most 65,536, received 99999"),
        (_dense(kernel_quantizer="stochastic_ternary(1, 0.33, 8, 1000)"), "expected at most 100, received 1000"),
    ],
)
def test_configurations_that_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        refuse_code(config, Path("m.keras"), allowed(), "CURE")


def test_seeds_are_large_and_fractions_long() -> None:
    initializer = {"class_name": "HeNormal", "config": {"seed": 2**31}}
    config = _dense(kernel_initializer=initializer, kernel_quantizer="quantized_bits(4,0,alpha=0.123456789)")
    refuse_code(config, Path("m.keras"), allowed(), "")


def test_what_is_a_layer_or_nothing_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    keras = stack().keras
    keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)]).save(path)
    with zipfile.ZipFile(path) as archive:
        config, weights = json.loads(archive.read("config.json")), archive.read("model.weights.h5")
    del config["class_name"]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights)
    with pytest.raises(InputError, match=r"damaged: its configuration is not a Keras model's"):
        read_model(path)


def test_bombs_and_members_outside_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qap.archive.LARGEST_UNPACKED", 1 << 22)
    bomb = tmp_path / "bomb.npz"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w", force_zip64=True) as member:
        member.write(bytes(1 << 23))
    assert bomb.stat().st_size < 1 << 14
    with pytest.raises(InputError, match=r"bomb: [\d,]+ bytes that unpack to [\d,]+: expected at most 200 times as many"):
        check_zip(bomb, "bomb")
    for name in ("../x", "/etc/x", "a/../../x", "..\\x", "C:\\x"):
        path = tmp_path / "m.keras"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps(_dense()))
            archive.writestr(name, "x")
        with pytest.raises(InputError, match="lies outside of the file"):
            configuration(path)


def test_layers_that_wait_for_each_other_are_refused() -> None:
    """Keras 2 would wait for ever."""

    def functional(first: list[Any], second: list[Any]) -> dict[str, Any]:
        layers = [
            {"class_name": "InputLayer", "name": "x", "config": {}, "inbound_nodes": []},
            {"class_name": "Dense", "name": "a", "config": {}, "inbound_nodes": first},
            {"class_name": "Dense", "name": "b", "config": {}, "inbound_nodes": second},
        ]
        return {"class_name": "Functional", "config": {"layers": layers}}

    x, a, b = [[["x", 0, 0, {}]]], [[["a", 0, 0, {}]]], [[["b", 0, 0, {}]]]
    refuse_code(functional(x, a), Path("m.keras"), allowed(), "")
    refuse_code(functional(b, x), Path("m.keras"), allowed(), "")
    calls = [(x, [[["a", call, 0, {}]]]) for call in (1, -1, 2**31, -(10**30), -1e308, "0", "1e999", None)]
    for first, second in ((b, a), ([], a), *calls):
        with pytest.raises(InputError, match="the inputs of the layer '[ab]' come from no layer"):
            refuse_code(functional(first, second), Path("m.keras"), allowed(), "")


def _endless(path: Path) -> Path:
    """Write a file that HDF5 never comes back from."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = '{"config": {}}'
        file.create_dataset("text", data=["a", "b"], dtype=h5py.string_dtype())
    good = bytearray(path.read_bytes())
    size = good.index(b"GCOL") + 24  # of the first text: with its header it is nothing, so that the next one is itself
    good[size : size + 8] = struct.pack("<Q", 2**64 - 16)
    path.write_bytes(good)
    return path


@pytest.fixture
def one_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose patience sooner."""
    for module in ("archive", "datasets.readers.hdf5"):
        monkeypatch.setattr(f"qap.{module}.seconds_for", lambda path: 1)


@pytest.mark.usefixtures("one_second")
def test_files_that_hdf5_never_comes_back_from_are_refused(tmp_path: Path) -> None:
    """As a model, as the weights in one, as a table of events; the next file is read as ever."""
    path = _endless(tmp_path / "m.h5")
    with pytest.raises(InputError, match=r"m\.h5: damaged: HDF5 gets lost in it"):
        configuration(path)
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", json.dumps(_dense()))
        archive.write(path, "model.weights.h5")
    with pytest.raises(InputError, match=r"m\.keras: damaged: HDF5 gets lost in it"):
        configuration(tmp_path / "m.keras")
    source = open_source(path)
    with pytest.raises(InputError, match=r"data\.name: .*m\.h5: HDF5 gets lost in it"):
        list(source.chunks(["text"], 10))
    with h5py.File(tmp_path / "good.h5", "w") as file:
        file.attrs["model_config"] = '{"config": {}}'
    assert configuration(tmp_path / "good.h5") == {"config": {}}


@pytest.mark.usefixtures("one_second")
def test_groups_that_multiply_are_refused(tmp_path: Path) -> None:
    """Thirty groups, each twice in the one above it: a thousand million names."""
    with h5py.File(tmp_path / "e.h5", "w") as file:
        for number in range(30):
            group = file.create_group(f"g{number}")
            if number:
                group["a"] = group["b"] = file[f"g{number - 1}"]
    with pytest.raises(InputError, match="HDF5 gets lost in it"):
        open_source(tmp_path / "e.h5")
