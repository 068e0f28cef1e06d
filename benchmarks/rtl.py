"""What the RTL of small networks takes: da4ml's cost against Yosys, with and without tie-free biases.

    python benchmarks/rtl.py [--models 7] [--output rtl.csv]

Each row is proven against QKeras with Verilator on 10,000 vectors before it is synthesised. One to five minutes a row.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from pathlib import Path

import numpy as np

from qap import Architecture, LayerPlan, Plan, Precision
from qap.firmware.vectors import parity_vectors
from qap.models.builders import build, set_weights
from qap.rtl import compare_rtl, synthesise, tie_free, write_design
from qap.rtl.trace import trace

SMALL, TAGGER = ((16, 16), Precision(8, 2)), ((64, 32, 32), Precision(10, 3))
"""Hidden layers and type of the 16 inputs; 5 outputs."""
MODELS = (
    (SMALL, 6, 0.5, True),
    (SMALL, 4, 0.5, True),
    (SMALL, 8, 0.8, True),
    (SMALL, 3, 0.0, True),
    (TAGGER, 6, 0.8, False),
    (TAGGER, 5, 0.9, False),
    (TAGGER, 6, 0.95, False),
)
"""Network, weight bits, fraction of zero weights, whether it is measured with tie-free biases too."""


def network(
    hidden: tuple[int, ...], bits: int, sparsity: float, seed: int = 0
) -> tuple[Architecture, Plan, dict[str, np.ndarray]]:
    """Return a network with normal weights of which the smallest are zero."""
    architecture = Architecture.mlp(16, hidden, 5)
    activation = Precision(bits, 2 if bits > 3 else 1, signed=False)
    layers = [
        (layer.name, LayerPlan(Precision(bits), Precision(bits), activation if layer.activation == "relu" else None))
        for layer in architecture.layers
    ]
    generator = np.random.default_rng(seed)
    weights = {}
    for name, shape in architecture.shapes.items():
        kernel = generator.normal(0, 0.25, shape)
        kernel[np.abs(kernel) < np.quantile(np.abs(kernel), sparsity)] = 0
        weights[f"{name}/kernel"], weights[f"{name}/bias"] = kernel, generator.normal(0, 0.1, shape[1])
    return architecture, Plan(tuple(layers)), weights


def measure(
    hidden: tuple[int, ...], inputs: Precision, bits: int, sparsity: float, without_ties: bool, folder: Path
) -> dict[str, object]:
    """Build, prove and synthesise one network."""
    architecture, plan, weights = network(hidden, bits, sparsity)
    if without_ties:
        plan, weights = tie_free(plan, weights, inputs)
    model = build(architecture, plan)
    set_weights(model, weights)
    started = time.monotonic()
    design = write_design(model, inputs, folder / f"{architecture}_{bits}_{sparsity}_{without_ties}")
    parity = compare_rtl(model, design, parity_vectors(model, inputs)[0])
    cost = synthesise(design, timeout=3600)
    return {
        "network": str(architecture), "bits": bits, "sparsity": sparsity, "tie_free": without_ties,
        "ties": trace(model, inputs).ties, "exact": parity.fraction, "stages": design.stages, "depth": design.depth,
        "register_bits": design.register_bits, "da4ml": design.cost, "lut": cost["lut"], "ff": cost["ff"],
        "carry": cost["carry"], "logic_levels": cost["logic_levels"], "ratio": round(cost["lut"] / design.cost, 3),
        "seconds": round(time.monotonic() - started),
    }  # fmt: skip


def main() -> None:
    """Run the table and print it row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=len(MODELS))
    parser.add_argument("--output", type=Path, default=Path("rtl.csv"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, arguments.output.open("w", newline="") as file:
        writer = None
        for (hidden, inputs), bits, sparsity, both in MODELS[: arguments.models]:
            for without_ties in (False, True)[: 1 + both]:
                row = measure(hidden, inputs, bits, sparsity, without_ties, Path(folder))
                writer = writer or csv.DictWriter(file, row)
                if file.tell() == 0:
                    writer.writeheader()
                writer.writerow(row)
                file.flush()
                print(row, flush=True)


if __name__ == "__main__":
    main()
