"""The parsers of binary files that fuzz.py tries: tables of events, exported integers, models."""

from __future__ import annotations

import io
import json
import random
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_changes import of_bytes, of_json, of_text, of_zip, one_of
from fuzz_parsers import add, written

from qap.config.data import Data
from qap.datasets.files import read_table
from qap.datasets.load import read_npz
from qap.datasets.table import Table
from qap.precision import Precision

# Files of events


def _columns() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {
        "pt": rng.normal(50, 9, 40).astype(np.float32), "eta": rng.normal(size=40), "n": rng.integers(-5, 90, 40),
        "w": rng.random(40),
        "label": rng.integers(0, 3, 40),
    }  # fmt: skip


def _text_table(separator: str) -> bytes:
    columns = _columns()
    rows = [
        separator.join(columns),
        *(separator.join(map(repr, row)) for row in zip(*(one.tolist() for one in columns.values()), strict=True)),
    ]
    return ("\n".join(rows) + "\n").encode()


def _zipped_text() -> bytes:
    import gzip

    return gzip.compress(_text_table(","), mtime=0)


def _npz(arrays: Mapping[str, np.ndarray], packed: bool) -> bytes:
    target = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(target, **arrays)
    return target.getvalue()


def _own_arrays() -> dict[str, np.ndarray]:
    columns = _columns()
    return {
        "features": np.stack([columns["pt"], columns["eta"].astype(np.float32)], 1), "labels": columns["label"],
        "weights": columns["w"],
        "feature_names": np.array(["pt", "eta"]), "class_names": np.array(["a", "b", "c"]),
    }  # fmt: skip


def _of_array(data: bytes, rng: random.Random, samples: list[bytes]) -> bytes:
    """Change an array: its values, type, shape."""
    array = np.load(io.BytesIO(data), allow_pickle=False)
    kind = rng.randrange(7)
    if kind == 0 and array.dtype.kind in "fiu" and array.size:
        array = array.astype(np.float64)
        array.flat[rng.randrange(array.size)] = rng.choice((np.nan, np.inf, -np.inf, 1e300, -1.0))
    elif kind == 1:
        array = array[: rng.randrange(len(array) + 1)] if array.ndim else array
    elif kind == 2:
        array = array.reshape(*rng.choice(((-1, 1), (1, -1), (1, 1, -1))))
    elif kind == 3:
        array = np.array(rng.choice(([], 3, [["a"]], [True], [1 + 2j], "text", [2**63], [[0.5] * 4] * 3)))
    elif kind == 4 and array.dtype.kind in "fiu":
        with np.errstate(all="ignore"):
            array = array.astype(rng.choice(("<f2", "<i1", "<u8", ">f4", "?", "<c8", "<M8[s]")))
    elif kind == 5:
        return of_bytes(data[:128], rng, [data]) + data[128:]
    else:
        return of_bytes(data, rng, samples)
    target = io.BytesIO()
    np.save(target, array, allow_pickle=False)
    return target.getvalue()


def _hdf5(folder: Path) -> list[bytes]:
    import h5py

    found = []
    for how in ({}, {"compression": "gzip", "chunks": (16,)}):
        path = folder / "s.h5"
        with h5py.File(path, "w") as file:
            for name, values in _columns().items():
                file.create_dataset(name, data=values, **how)
        found.append(path.read_bytes())
    return found


def _parquet(folder: Path) -> list[bytes]:
    import pyarrow
    import pyarrow.parquet

    path = folder / "s.parquet"
    pyarrow.parquet.write_table(pyarrow.table(_columns()), path)
    return [path.read_bytes()]


def _root(folder: Path) -> list[bytes]:
    import uproot

    path = folder / "s.root"
    with uproot.recreate(path) as file:
        file.mktree("events", {name: values.dtype for name, values in _columns().items()}).extend(_columns())
    return [path.read_bytes()]


def _table(name: str) -> Callable[[bytes, Path], Table]:
    return lambda data, folder: read_table(Data(name=str(written(data, folder, f"events.{name}")), label="label"))


def _table_wrong(table: Table) -> str:
    if table.features.ndim != 2 or not len(table.features) or len(table.feature_names) != table.features.shape[1]:
        return f"features of shape {table.features.shape} with {len(table.feature_names)} names"
    if not np.isfinite(table.features).all():
        return "features that are not finite"
    for name, array in (("labels", table.labels), ("weights", table.weights), ("targets", table.targets)):
        if array is not None and len(array) != len(table.features):
            return f"{len(array)} {name} of {len(table.features)} events"
    if table.labels is None and table.targets is None:
        return "neither labels nor targets"
    if table.labels is not None and not 0 <= table.labels.min() <= table.labels.max() < len(table.class_names):
        return f"labels up to {table.labels.max()} of {len(table.class_names)} classes"
    return ""


def _prepared(data: bytes, folder: Path) -> Table:
    """Read an .npz file of qap's own format; what is wrong with the events is said when they are prepared."""
    from qap.datasets.dataset import prepare

    table = read_npz(written(data, folder, "events.npz"))
    prepare(table, Precision(10, 3))
    return table


add("csv", lambda folder: [_text_table(",")], one_of(of_bytes, of_text), _table("csv"), _table_wrong)
add("tsv", lambda folder: [_text_table("\t")], one_of(of_bytes, of_text), _table("tsv"), _table_wrong)
add("csv.gz", lambda folder: [_zipped_text()], of_bytes, _table("csv.gz"), _table_wrong)
add(
    "npz",
    lambda folder: [_npz(_columns(), False), _npz(_columns(), True)],
    of_zip({".npy": _of_array}),
    _table("npz"),
    _table_wrong,
)
add("npz.own", lambda folder: [_npz(_own_arrays(), False)], of_zip({".npy": _of_array}), _prepared, _table_wrong)
add("hdf5", _hdf5, of_bytes, _table("h5"), _table_wrong)
add("parquet", _parquet, of_bytes, _table("parquet"), _table_wrong)
add("root", _root, of_bytes, _table("root"), _table_wrong)


# Exported integers


def _integers(folder: Path) -> list[bytes]:
    from qap.exports.integers import FORMAT, VERSION

    entry = {
        "type": "ap_fixed<4,1>",
        "fractional_bits": 3,
        "precision": "quantized_bits(4,0)",
        "shape": [2, 2],
        "integers": [[1, -8], [7, 0]],
    }
    return [json.dumps({"format": FORMAT, "version": VERSION, "weights": {"fc1/kernel": entry, "fc1/bias": entry}}).encode()]


def _integers_read(data: bytes, folder: Path) -> Any:
    from qap.exports.integers import read_integers

    return read_integers(written(data, folder, "w.json"))


def _integers_wrong(tensors: Any) -> str:
    for name, tensor in tensors.items():
        if not np.isfinite(tensor.values).all() or tensor.type.bits < 1:
            return f"{name}: {tensor.type}"
    return ""


def _packed(folder: Path) -> list[bytes]:
    from qap.exports.integers import packed, unpacked

    return [packed(unpacked(_integers(folder)[0], "json"), "npz")]


def _packed_read(data: bytes, folder: Path) -> Any:
    from qap.exports.integers import read_integers

    return read_integers(written(data, folder, "w.npz"))


add("integers.json", _integers, one_of(of_bytes, of_text, of_json, of_json), _integers_read, _integers_wrong)
add("integers.npz", _packed, of_zip({".npy": _of_array}), _packed_read, _integers_wrong)


# Models


def _models(folder: Path, suffix: str) -> list[bytes]:
    from qap.backend import stack

    libraries = stack()
    keras, qkeras = libraries.keras, libraries.qkeras
    inputs = keras.layers.Input((3,), name="inputs")
    bits = qkeras.quantized_bits(6, 1, alpha=1)
    typed = qkeras.QActivation("quantized_bits(8,2,alpha=1)", name="type")(inputs)
    dense = qkeras.QDense(2, name="fc1", kernel_quantizer="quantized_bits(4,0,alpha=1)", bias_quantizer=bits)(typed)
    scaled = keras.layers.BatchNormalization(name="bn")(inputs)
    out = keras.layers.Dense(2, activation="softmax", name="out")(scaled)
    path, found = folder / f"m{suffix}", []
    for outputs in (dense, out):  # two small ones, since Keras takes long
        keras.Model(inputs, outputs).save(path)
        found.append(path.read_bytes())
    return found


def _h5_config(data: bytes, rng: random.Random, samples: list[bytes]) -> bytes:
    """Change the configuration in an HDF5 file."""

    import h5py

    with tempfile.NamedTemporaryFile(suffix=".h5") as file:
        Path(file.name).write_bytes(data)
        with h5py.File(file.name, "r+") as opened:
            text = opened.attrs["model_config"]
            text = text.encode() if isinstance(text, str) else text
            made = one_of(of_json, of_json, of_bytes)(text, rng, [text])
            opened.attrs["model_config"] = np.bytes_(made.replace(b"\0", b"") or b" ")
        return Path(file.name).read_bytes()


def _model_read(suffix: str) -> Callable[[bytes, Path], Any]:
    def read(data: bytes, folder: Path) -> Any:
        from qap.backend import stack
        from qap.firmware.model_file import load_model

        stack().keras.backend.clear_session()
        return load_model(written(data, folder, f"m{suffix}"))

    return read


def _model_wrong(model: Any) -> str:
    return "" if model.count_params() < 10**6 and all(np.isfinite(one).all() for one in model.get_weights()) else "absurd weights"


add("model.keras", lambda folder: _models(folder, ".keras"), of_zip({".json": of_json}, 0.8), _model_read(".keras"), _model_wrong)
add("model.h5", lambda folder: _models(folder, ".h5"), one_of(of_bytes, _h5_config), _model_read(".h5"), _model_wrong)
