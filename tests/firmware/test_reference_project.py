"""The committed reference project: what make_reference.py writes, and bit-exact with its own test bench."""

import filecmp
import importlib.util
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from qap.firmware import Project, build, simulate
from qap.firmware.reports import project_settings

FIRMWARE = Path(__file__).parents[2] / "firmware"
REFERENCE = FIRMWARE / "reference"


def files(folder: Path) -> set[str]:
    """The files of the project, those that runs leave behind left out."""
    listed = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {name for name in listed if not re.search(r"_prj/|ap_types|\.(so|log|jou|rpt|dcp|xdc)$|\.flow|\.Xil", name)}


def test_holds_no_path_of_a_machine_and_stays_small():
    for name in files(REFERENCE):
        text = (REFERENCE / name).read_text()
        assert not re.search(r"/(home|tmp|root|work|Users)/", text), name
    assert sum((REFERENCE / name).stat().st_size for name in files(REFERENCE)) < 250_000


def test_is_what_the_script_writes(tmp_path):
    made_with = re.search(r"hls4ml (\d+\.\d+\.\d+)", (REFERENCE / "README.md").read_text()).group(1)
    if version("hls4ml") != made_with:
        pytest.skip(f"the reference project is of hls4ml {made_with}")
    spec = importlib.util.spec_from_file_location("make_reference", FIRMWARE / "make_reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.make(tmp_path / "reference")
    assert files(tmp_path / "reference") == files(REFERENCE), "run python firmware/make_reference.py"
    _, differ, errors = filecmp.cmpfiles(tmp_path / "reference", REFERENCE, files(REFERENCE), shallow=False)
    assert (differ, errors) == ([], []), "run python firmware/make_reference.py"


def test_is_bit_exact_with_its_test_bench(tmp_path):
    project = tmp_path / "reference"
    shutil.copytree(REFERENCE, project)
    shutil.rmtree(project / "firmware" / "ap_types", ignore_errors=True)
    made = subprocess.run(
        ["make", "-C", FIRMWARE, "ap_types", f"PROJECT={project}", f"PYTHON={sys.executable}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    loaded = Project.load(project)
    build(loaded)
    x, y = (np.loadtxt(project / "tb_data" / f"tb_{name}.dat") for name in ("input_features", "output_predictions"))
    exact = (simulate(loaded, x) == y).all(axis=1)
    assert exact.all(), f"{exact.sum()} of {len(exact)} events bit-exact"
    assert len(np.unique(y, axis=0)) > 90


def test_is_the_default_of_make():
    checked = subprocess.run(["make", "-C", FIRMWARE, "check"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert project_settings(REFERENCE)["backend"] == "vitis"


def test_ap_types_without_hls4ml_is_one_sentence(tmp_path):
    project = tmp_path / "reference"
    shutil.copytree(REFERENCE, project)
    shutil.rmtree(project / "firmware" / "ap_types", ignore_errors=True)
    made = subprocess.run(
        ["make", "-C", FIRMWARE, "ap_types", f"PROJECT={project}", "PYTHON=/nonexistent/python"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode != 0
    assert "hls4ml is not installed for /nonexistent/python: set PYTHON" in made.stderr
