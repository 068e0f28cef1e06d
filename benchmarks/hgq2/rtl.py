"""Turn snapshots of a front of `train.py` into pipelined Verilog the way HGQ2 does it, with da4ml.

    hgq2-env/bin/python benchmarks/hgq2/rtl.py front.npz folder --snapshots 3 17 --data jets.npz --input 1 2 7

Runs in the environment of `requirements.txt`. Each snapshot gets a folder `folder/<number>` with da4ml's project (Verilog in
`src`, the top module is `network`) and `rtl.json`: da4ml's cost, about one LUT each, pipeline stages, register bits, and how many
logits of the test split differ from those of the network. With ``--input`` the ports have that type (sign, integer, fractional
bits) and the network's own rounding of its inputs is part of the circuit; without it the inputs arrive already rounded, each
with the type that the network gives it, as in HGQ2's own examples.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from model import build, load, state

# isort: split
import keras
from da4ml.codegen import RTLModel
from da4ml.converter import trace_model
from da4ml.trace import HWConfig, comb_trace

ADDERS = 5.0
SOLVER = {"hard_dc": 2}


def rebuild(result: Mapping[str, np.ndarray], number: int) -> keras.Model:
    """Return the network of one snapshot."""
    meta = json.loads(str(result["meta"]))
    settings, inputs = meta["settings"], result["kernel_0"].shape[1]
    names = ("weights", "activations", "batchnorm")
    model = build(inputs, meta["hidden"], meta["classes"], **{name: settings[name] for name in names})
    values = [
        [result[f"{kind}_{n}"][number] for n in range(len(part))]
        for kind, part in zip(("trained", "other"), state(model), strict=True)
    ]
    load(model, (values[0], values[1]))
    return model


def write(
    model: keras.Model,
    folder: Path,
    *,
    adders: float = ADDERS,
    port: tuple[int, int, int] | None = None,
    events: np.ndarray | None = None,
    logits: np.ndarray | None = None,
) -> dict[str, Any]:
    """Write the Verilog of a network and return its figures.

    Parameters
    ----------
    model : keras.Model
        With traced ranges.
    folder : Path
    adders : float
        Depth of a pipeline stage in da4ml's unit, about one adder.
    port : (int, int, int), optional
        Sign, integer and fractional bits of the inputs; None: what the network makes of them.
    events, logits : arrays, optional
        Events (events, inputs) and the network's outputs for them, to count differences.
    """
    started = time.process_time()
    inputs, outputs = trace_model(model, HWConfig(1, -1, -1), SOLVER, inputs_kif=port)
    logic = comb_trace(inputs, outputs)
    project = RTLModel(logic, "network", folder, flavor="verilog", latency_cutoff=adders)
    project.write()
    pipeline = project._pipe
    figures: dict[str, Any] = {
        "cost": float(logic.cost),
        "stages": len(pipeline.solutions),
        "register_bits": int(pipeline.reg_bits),
        "adders_per_stage": adders,
        "port": port,
        "cpu_seconds": time.process_time() - started,
    }
    if events is not None and logits is not None:
        figures["differing_logits"] = int((logic.predict(events.astype(np.float64)) != logits).sum())
        figures["logits"] = int(logits.size)
    (folder / "rtl.json").write_text(json.dumps(figures, indent=1) + "\n")
    return figures


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("front", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--snapshots", type=int, nargs="+", required=True, help="their numbers in the front, from 0")
    parser.add_argument("--data", type=Path, help="the data of the training, to compare the logits of the test split")
    parser.add_argument("--input", type=int, nargs=3, metavar=("SIGN", "INTEGER", "FRACTION"), help="type of the ports")
    parser.add_argument("--adders", type=float, default=ADDERS, help=f"adders in a row per pipeline stage ({ADDERS:g})")
    options = parser.parse_args()
    with np.load(options.front) as file:
        result = dict(file)
    events = None
    if options.data is not None:
        with np.load(options.data) as file:
            events = file["x_test"]
    for number in options.snapshots:
        folder = options.folder / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        port = tuple(options.input) if options.input else None
        logits = result["test_logits"][number] if events is not None else None
        figures = write(rebuild(result, number), folder, adders=options.adders, port=port, events=events, logits=logits)
        accuracy = float(result["test_accuracy"][number])
        print(json.dumps({"snapshot": number, "test_accuracy": accuracy, "ebops": float(result["ebops"][number]), **figures}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
