"""Builds of the jet tagger's C-simulation side by side: -O1 against -O3, two at a time against one after the other.

    python benchmarks/csim_build.py [--events 2000]

Prints ratios of wall time and whether every output bit is the same.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from qap.firmware import Project, build, build_all, convert, simulate
from qap.models.architecture import Architecture
from qap.models.builders import build as build_model
from qap.plan import LayerPlan, Plan
from qap.precision import Precision

INPUT = Precision(10, 2)


def make_project(folder: Path, seed: int) -> Project:
    """Convert a 16-64-32-32-5 of 6 bits with random weights."""
    architecture = Architecture.mlp(16, [64, 32, 32], 5)
    hidden = LayerPlan(Precision(6), Precision(12, 2), Precision(6, 2, signed=False))
    plan = Plan(
        (*((layer.name, hidden) for layer in architecture.layers[:-1]), ("output", LayerPlan(Precision(6), Precision(12, 2))))
    )
    model = build_model(architecture, plan)
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        layer.set_weights([generator.normal(0, 0.3, weight.shape) for weight in layer.get_weights()])
    return convert(model, INPUT, folder)


def timed(work: Callable[[], object]) -> float:
    """Return the wall time of a call in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Build, time, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=2000)
    events = parser.parse_args().events
    os.environ["CCACHE_DISABLE"] = "1"
    x = INPUT.quantize(np.random.default_rng(0).normal(0, 1, (events, 16)))
    with tempfile.TemporaryDirectory() as folder:
        one, *others = (make_project(Path(folder) / f"p{i}", i) for i in range(5))
        light = timed(lambda: build(one))
        full = timed(lambda: build(one, optimise="-O3"))
        fast, slow = (timed(lambda level=level: simulate(one, x, optimise=level)) for level in ("-O3", "-O1"))  # type: ignore[misc]
        same = np.array_equal(simulate(one, x, optimise="-O1"), simulate(one, x, optimise="-O3"))
        in_turn = timed(lambda: build_all(others[:2], jobs=1))
        together = timed(lambda: build_all(others[2:], jobs=2))
    print(f"build -O3 / build -O1: {full / light:.2f}")
    print(
        f"simulate -O1 / simulate -O3, {events:,} events: {slow / fast:.2f}; "
        f"outputs {'equal in every bit' if same else 'DIFFERENT'}"
    )
    print(f"two builds in turn / two at a time on {os.cpu_count()} cores: {in_turn / together:.2f}")


if __name__ == "__main__":
    main()
