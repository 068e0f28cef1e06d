"""Compare searches at equal CPU time: the hypervolume of their fronts on the test split of the jets.

    python benchmarks/search_front.py                 three seeds, 60 CPU seconds each, the keras engine 600
    python benchmarks/search_front.py --quick         one seed, short, no keras engine
    python benchmarks/search_front.py --json          the last line is one JSON object

All searches run in one process, one after the other within each seed, so that a busy machine is busy for all. CPU time is
the process's, of all threads, float parents and Optuna included. The front is chosen on the validation split; its
hypervolume is that of the test split: accuracy from 0.2, pure guessing, up to that of a float network of the same shape,
against log10 EBOPs from 2 to 5.5.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from qap.config.load import load_config
from qap.config.schema import Study as Config
from qap.datasets.dataset import Dataset
from qap.datasets.load import load_dataset
from qap.metrics.classification import accuracy
from qap.search.run import run_search, search_front
from qap.search.searcher import Progress
from qap.search.study import Study
from qap.training.population.engine import PopulationEngine

BASE = ["search.trials=null", "search.seconds=1e9", "firmware.build=false", "train.parent_epochs=20", "train.epochs=4"]
METHODS: dict[str, list[str]] = {
    "keras engine, random": ["train.engine=keras", "search.strategy=random"],
    "keras engine, NSGA-II": ["train.engine=keras", "search.strategy=nsga2"],
    "population, random": ["search.strategy=random", "search.population=32"],
    "integer programming": ["search.strategy=allocation", "search.population=32"],
    "population, NSGA-II": ["search.strategy=nsga2", "search.population=32", "search.anchors=false"],
    "… with anchors": ["search.strategy=nsga2", "search.population=32"],
    "hybrid without inheritance": ["search.strategy=hybrid", "search.population=32", "search.hybrid.inherit=false"],
    "hybrid without growing budgets": ["search.strategy=hybrid", "search.population=32", "search.hybrid.rungs=0"],
    "hybrid without allocations": ["search.strategy=hybrid", "search.population=32", "search.hybrid.allocations=0"],
    "hybrid without anchors": ["search.strategy=hybrid", "search.population=32", "search.anchors=false"],
    "hybrid with supernet": ["search.strategy=hybrid", "search.population=32", "search.hybrid.supernet_epochs=5"],
    "hybrid": ["search.strategy=hybrid", "search.population=32"],
}
LOWEST, CHEAPEST, DEAREST = 0.2, 2.0, 5.5


class OutOfTimeError(Exception):
    """The CPU time is used up."""


def _until(seconds: float) -> Callable[[Progress], None]:
    end = time.process_time() + seconds

    def watch(progress: Progress) -> None:
        if time.process_time() > end and progress.done:
            raise OutOfTimeError

    return watch


def hypervolume(points: Sequence[tuple[float, float]], best: float) -> float:
    """Return the share of the box that points of (EBOPs, accuracy) dominate."""
    width = DEAREST - CHEAPEST
    scaled = sorted(
        (1 - (np.log10(max(ebops, 1.0)) - CHEAPEST) / width, (score - LOWEST) / (best - LOWEST)) for ebops, score in points
    )
    volume = reached = 0.0
    for cheap, score in reversed(scaled):
        if score > reached and cheap > 0:
            volume += (min(score, 1.0) - min(reached, 1.0)) * min(cheap, 1.0)
            reached = score
    return volume


def _at(points: Sequence[tuple[float, float]], most: float) -> float:
    return max((score for ebops, score in points if ebops <= most), default=float("nan"))


def run(config: Config, data: Dataset, seconds: float, best: float, folder: Path) -> dict[str, float]:
    """Search for so many CPU seconds and judge the front on the test split."""
    started, cpu = time.perf_counter(), time.process_time()
    with contextlib.suppress(OutOfTimeError):
        run_search(config, folder, data=data, watch=_until(seconds))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - started
    study = Study.open(folder)
    front = search_front(study)
    engine = PopulationEngine()
    points = []
    for candidate in front:
        outputs = engine.evaluate(candidate.architecture, [candidate.plan], [candidate.weights or {}], data.test)[0]
        cost = candidate.cost
        points.append((0.0 if cost is None else cost["ebops"], accuracy(data.test.y, outputs, data.test.weight, kind="logits")))
    return {
        "cpu_seconds": cpu,
        "wall_seconds": wall,
        "trained": sum(1 for _ in study.records()),
        "front": len(front),
        "hypervolume": hypervolume(points, best),
        **{f"accuracy_at_{most}": _at(points, most) for most in (1000, 2000, 5000, 10000, 20000)},
        "best": max(score for _, score in points),
    }


def float_accuracy(data: Dataset, folder: Path) -> float:
    """Train one float parent and return its accuracy on the test split."""
    from qap.search.context import make_context
    from qap.search.judge import float_outputs
    from qap.search.run import trained

    config = load_config(None, [*BASE, "search.trials=1", "search.strategy=random"])
    study = run_search(config, folder, data=data)
    outputs = float_outputs(study, next(trained(study)), make_context(config, data))
    return float(accuracy(data.test.y, outputs, data.test.weight, kind="logits"))


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="CPU seconds of a search (default: 60)")
    parser.add_argument("--keras-seconds", type=float, default=600.0, help="CPU seconds of the keras engine (default: 600)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), help="default: all")
    parser.add_argument("--quick", action="store_true", help="one seed, 20 CPU seconds, fewer events, the population engine only")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    unknown = [name for name in options.methods if name not in METHODS]
    if unknown:
        parser.error(f"unknown methods: {', '.join(unknown)}; known: {', '.join(METHODS)}")
    base = list(BASE)
    if options.quick:
        options.seeds, options.seconds = 1, 20.0
        options.methods = [name for name in options.methods if "keras" not in name]
        base += ["data.train_events=30000", "train.parent_epochs=8"]
    console = Console(stderr=True, highlight=False)
    data = load_dataset(load_config(None, base).data)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in options.methods}
    with tempfile.TemporaryDirectory() as folder:
        best = float_accuracy(data, Path(folder) / "float")
        for seed in range(1, options.seeds + 1):
            for number, name in enumerate(options.methods):
                seconds = options.keras_seconds if name.startswith("keras") else options.seconds
                config = load_config(None, [*base, f"seed={seed}", *METHODS[name]])
                found[name].append(run(config, data, seconds, best, Path(folder) / f"{seed}_{number}"))
                one = found[name][-1]
                console.print(f"seed {seed}, {name}: {one['trained']:.0f} trained, hypervolume {one['hypervolume']:.4f}")
    show(found, best)
    if options.json:
        plain = {name: [{key: _finite(value) for key, value in one.items()} for one in runs] for name, runs in found.items()}
        print(json.dumps({"float_accuracy": best, "methods": plain}))
    return 0


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def show(found: dict[str, list[dict[str, float]]], best: float) -> None:
    """Print the means over the seeds."""
    table = Table(box=None, pad_edge=False, header_style="bold", title=f"float network: {best:.4f}; means over the seeds")
    table.add_column("search")
    columns = ("cpu_seconds", "wall_seconds", "trained", "front", "hypervolume", "spread", "best")
    limits = [name for name in next(iter(found.values()))[0] if name.startswith("accuracy_at")]
    for name in (*columns, *(name.replace("accuracy_at_", "≤ ") for name in limits)):
        table.add_column(name, justify="right")
    for method, runs in found.items():
        mean = {name: float(np.mean([one[name] for one in runs])) for name in runs[0]}
        volumes = [one["hypervolume"] for one in runs]
        table.add_row(
            method, f"{mean['cpu_seconds']:.0f}", f"{mean['wall_seconds']:.0f}", f"{mean['trained']:.0f}", f"{mean['front']:.0f}",
            f"{mean['hypervolume']:.4f}", f"{min(volumes):.3f}–{max(volumes):.3f}", f"{mean['best']:.4f}",
            *(f"{mean[name]:.3f}" for name in limits),
        )  # fmt: skip
    Console(width=200, highlight=False).print(table)


if __name__ == "__main__":
    sys.exit(main())
