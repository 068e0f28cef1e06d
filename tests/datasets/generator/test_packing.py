"""Small files: what rounding costs, values of any range; the embedded set is what it says it is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qap.datasets import load
from qap.datasets.generator.build import build
from qap.datasets.generator.kinds import KINDS, OBSERVABLES
from qap.datasets.generator.packing import LARGEST, SMALLEST, STEPS, packed
from qap.datasets.generator.settings import Jets, read_settings
from qap.datasets.load import read_npz

from .helpers import install_dice


@given(arrays(np.float32, (7, 3), elements=st.floats(-1e6, 1e6, width=32)))
def test_every_value_is_kept_within_half_a_step(features: np.ndarray) -> None:
    found = packed({"features": features})
    integers, lsb = found["features"], found["lsb"].astype(np.float64)
    assert integers.dtype == np.int16
    assert (np.abs(integers * lsb - features) <= lsb / 2).all()
    assert (np.frexp(lsb)[0] == 0.5).all(), "powers of two"
    spread, largest = features.std(axis=0, dtype=np.float64), np.abs(features).max(axis=0).astype(np.float64)
    for step, sigma, top in zip(lsb, spread, largest, strict=True):
        if step > sigma / STEPS and top > 0:
            assert step == 2.0**SMALLEST or step / 2 * LARGEST < top, "coarser only where the range asks for it"
        elif top > 0:
            assert 2 * step > sigma / STEPS, "no finer than it has to be"


def test_a_packed_file_reads_as_the_other_one_rounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_dice(monkeypatch)
    for name, small in (("small", True), ("full", False)):
        build("dice", Jets(n=200, packed=small), tmp_path / f"{name}.npz")
    full, small = (read_npz(tmp_path / f"{name}.npz") for name in ("full", "small"))
    worst = np.abs(full.features - small.features).max(axis=0) / full.features.std(axis=0)
    print(worst)
    assert (worst > 0).all()
    assert (worst <= 0.5 / STEPS).all()
    assert small.lsb is not None
    assert (full.labels == small.labels).all()
    with np.load(tmp_path / "small.npz") as file:
        assert json.loads(str(file["provenance"]))["command"] == "qap data build dice n=200 seed=1 packed=true"


def test_the_embedded_jets_are_those_of_the_command_in_them() -> None:
    """The checksum is that of the file; its provenance names the command, whose options are those that the file records."""
    path = Path(load.__file__).with_name("jets.npz")
    sum_, name = path.with_suffix(".npz.sha256").read_text().split()
    assert (name, sum_) == (path.name, hashlib.sha256(path.read_bytes()).hexdigest())
    with np.load(path, allow_pickle=False) as file:
        provenance, labels, names = json.loads(str(file["provenance"])), file["labels"], file["feature_names"]
    qap, data, build_, kind, *options = provenance["command"].split()
    assert (qap, data, build_, kind) == ("qap", "data", "build", "jets")
    settings = read_settings(KINDS[kind].settings, options)
    assert provenance["settings"] == settings.model_dump(mode="json")
    assert settings == Jets(n=settings.n, seed=settings.seed, packed=True), "the default recipe"
    assert np.bincount(labels).tolist() == [settings.n // 5] * 5 == list(provenance["events_kept"].values())
    assert tuple(names) == OBSERVABLES
    assert {"qap", "pythia8mc", "fastjet", "numba", "numpy"} <= set(provenance["versions"])
