"""Fit the csynth-equivalent model to tables of reports, and print how far it misses shapes and models left out whole.

    python benchmarks/csynth_model.py                                            the errors stored with the package's model
    python benchmarks/csynth_model.py TABLE... --pairs TABLE --output FILE.json  a new model from tables of csynth reports

A table is a CSV with the columns of `qap.cost.features.FEATURES`, the reuse factor R, and LUT, FF, DSP, BRAM, lat, II of the
report. The package's model is `qap/cost/data/csynth.json`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from qap.candidate import Candidate
from qap.config.schema import Firmware
from qap.cost.candidate_cost import prediction
from qap.cost.counts import count
from qap.cost.model import Model, make_model, shipped_model
from qap.cost.report_table import read_pairs, read_table
from qap.errors import QapError
from qap.files import write_text
from qap.models.architecture import Architecture
from qap.plan import LayerPlan, Plan
from qap.precision import Precision


def show(model: Model) -> None:
    """Print the errors by kind of network and figure."""
    for name, scope in model.scopes.items():
        error = next(iter(scope.fits.values())).error
        print(f"\n{name}: {error.rows} reports of {error.groups} shapes or models, each left out in turn")
        print(f"  {'figure':15} {'median':>8} {'90 %':>8} {'largest':>8} {'in band':>8}   band")
        for figure, fit in scope.fits.items():
            low, high = fit.bounds(100.0)
            band = f"−{fit.band[0]:.1f} … +{fit.band[1]:.1f}" if fit.absolute else f"−{100 - low:.0f} % … +{high - 100:.0f} %"
            e = fit.error
            print(f"  {figure:15} {e.median:8.1%} {e.p90:8.1%} {e.largest:8.1%} {e.covered:8.0%}   {band}")
    print("\nafter synthesis over csynth")
    for figure, ratio in model.synthesis.items():
        print(f"  {figure:15} median {ratio.median:.2f}, {ratio.low:.2f} to {ratio.high:.2f}, {ratio.designs} designs")


def speed(repeats: int = 200) -> None:
    """Print the CPU time of an estimate beside that of the exact counts, for a tagger of 16-64-32-32-5."""
    architecture = Architecture.mlp(16, [64, 32, 32], 5)
    layer = LayerPlan(Precision(6, 0), Precision(12, 2), Precision(6, 2, signed=False))
    names = list(architecture.shapes)
    plan = Plan((*((name, layer) for name in names[:-1]), (names[-1], replace(layer, activation=None))))
    generator = np.random.default_rng(0)
    weights = {}
    for name, shape in architecture.shapes.items():
        kernel = generator.normal(0, 0.3, shape)
        weights[f"{name}/kernel"] = np.where(generator.random(shape) < 0.5, 0, kernel).astype(np.float32)
        weights[f"{name}/bias"] = generator.normal(0, 0.3, shape[1]).astype(np.float32)
    candidate, inputs, model = Candidate(architecture, plan, weights), Precision(10, 2), shipped_model()
    spent = {"counts": 0.0, "csynth-equivalent": 0.0}
    for _ in range(repeats):
        started = time.process_time()
        counted = count(architecture, plan, weights, inputs)
        middle = time.process_time()
        prediction(candidate, counted, inputs, Firmware(), model)
        spent["counts"] += middle - started
        spent["csynth-equivalent"] += time.process_time() - middle
    said = ", ".join(f"{name} {1000 * seconds / repeats:.2f} ms" for name, seconds in spent.items())
    print(f"\nCPU time of one candidate of 16-64-32-32-5: {said}")


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", type=Path, metavar="TABLE")
    parser.add_argument("--pairs", type=Path, help="table with csynth and vsynth rows of the same designs")
    parser.add_argument("--output", type=Path, help="write the model")
    options = parser.parse_args()
    try:
        if not options.tables:
            show(shipped_model())
            speed()
            return 0
        rows = [row for table in options.tables for row in read_table(table)]
        model = make_model(rows, read_pairs(options.pairs) if options.pairs else [])
    except QapError as error:
        print(f"csynth_model: {error}", file=sys.stderr)
        return 2
    show(model)
    if options.output:
        write_text(options.output, json.dumps(model.to_dict(), indent=1, ensure_ascii=False) + "\n")
        print(f"\nwritten to {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
