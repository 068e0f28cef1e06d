"""Write the reference project, firmware/reference: a small QKeras MLP, converted for Vitis, with its test bench.

``python firmware/make_reference.py [DIRECTORY]`` gives the same files every time. To stay small the project holds only
the hls4ml headers that it includes, and not ap_types, which Vitis HLS brings along; ``make ap_types`` puts them in
place for g++.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from qap.backend import versions
from qap.firmware import Project, convert
from qap.models.architecture import Architecture
from qap.models.builders import build
from qap.plan import LayerPlan, Plan
from qap.precision import Precision

INPUT = Precision.parse("quantized_bits(10,3)")
EVENTS = 100
STAMP = "00000000"
"""Instead of hls4ml's random one."""
README = """# Reference project

A 16-8-5 MLP, weights of 6 bits, half of them zero, converted by qap with hls4ml {hls4ml} for Vitis. The weights are
random numbers, not a trained network. `tb_data` holds {events} events and the outputs of the QKeras model.

Made by `python firmware/make_reference.py`; `make -C firmware csynth` runs C synthesis on it. `ap_types` are left out:
Vitis HLS brings its own; `make -C firmware ap_types` copies those of the installed hls4ml, for g++.

The code in `firmware/` and the scripts are written by hls4ml; `firmware/nnet_utils` are headers of hls4ml, unchanged.
Both are under the Apache License 2.0, see <https://github.com/fastmachinelearning/hls4ml>.
"""


def model() -> Any:
    """Build the QKeras model with fixed weights, half of the kernels zero."""
    architecture = Architecture.mlp(16, [8], 5)
    weight, bias = Precision.parse("quantized_bits(6,0)"), Precision.parse("quantized_bits(8,2)")
    hidden = LayerPlan(weight, bias, Precision.parse("quantized_relu(6,2)"))
    network = build(architecture, Plan((("fc1", hidden), ("output", LayerPlan(weight, bias)))))
    rng = np.random.default_rng(16)
    for layer in network.layers:
        values = [rng.normal(size=array.shape) / 2 for array in layer.get_weights()]
        layer.set_weights([np.where(rng.random(v.shape) < 0.5, 0, v) if v.ndim == 2 else v for v in values])
    return network


def trim(project: Project) -> None:
    """Drop ap_types and the headers that nothing includes, and what is random or of this machine."""
    folder = project.directory
    command = ["g++", "-MM", "-std=c++17", "-Ifirmware/ap_types"]
    sources = [f"firmware/{project.name}.cpp", f"{project.name}_bridge.cpp", f"{project.name}_test.cpp"]
    listed = subprocess.run([*command, *sources], cwd=folder, capture_output=True, text=True, check=True).stdout
    included = {Path(word).name for word in listed.split() if "nnet_utils/" in word}
    for header in (folder / "firmware" / "nnet_utils").iterdir():
        if header.name not in included:
            shutil.rmtree(header) if header.is_dir() else header.unlink()
    shutil.rmtree(folder / "firmware" / "ap_types")
    for name, pattern in (("hls4ml_config.yml", r"(?m)^Stamp: .*$"), ("build_lib.sh", r"(?m)^LIB_STAMP=.*$")):
        text = (folder / name).read_text()
        key = "Stamp: '{}'" if name.endswith("yml") else "LIB_STAMP={}"
        (folder / name).write_text(re.sub(pattern, key.format(STAMP), text))


def make(directory: Path) -> None:
    """Write the reference project, in the place of an earlier one."""
    network = model()
    rng = np.random.default_rng(5)
    x = INPUT.quantize(rng.normal(size=(EVENTS, 16)) * 2)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".reference.") as folder:
        made = Path(folder) / "reference"
        y = np.asarray(network.predict(x, verbose=0), np.float64)
        trim(convert(network, INPUT, made, test_inputs=x, test_outputs=y))
        (made / "README.md").write_text(README.format(hls4ml=versions()["hls4ml"], events=EVENTS))
        (made / ".gitignore").write_text("*_prj/\nap_types/\n*.so\n*.log\n*.jou\n*.rpt\n*.dcp\n*.xdc\n.flow.*\n.Xil/\n")
        if directory.exists():
            shutil.rmtree(directory)
        made.replace(directory)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("directory", nargs="?", type=Path, default=Path(__file__).parent / "reference")
    make(parser.parse_args().directory)
