"""How a search grows with its workers: candidates per hour, what the driver takes, messages, simulated workers.

    python benchmarks/scaling.py [--workers 0 1 2] [--light 10 50] [--stored 3000] [--quick] [--json] [--table docs/scaling.md]

Four measurements, all of configs/jets.yaml's network, each search in a process of its own:

1. Real workers, one study after the other, with the CPU time of the driver by what it does.
2. The bytes of a start and of its result, for several networks.
3. The real driver (Optuna, the costs, the store with its fsync, the messages) with simulated workers on a clock of their own:
   what a candidate costs the driver as the store grows, and how busy 10 and 100 workers are.
4. Dask's part: workers that train nothing, encrypted as the real ones.

CPU time of the driver is that of its main thread by part; what its other threads take while it does not train is Dask's
(scheduler, messages, idling). Imports come before the clock starts. With --table the tables between the marks of that file are
replaced and the figure is drawn (docs/figures/scaling.png). Half an hour on two cores; --quick: some minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scaling_tables import FIGURE, PARTS, SPREAD, draw, fill, tables

STUDY = Path("configs/jets.yaml")
NETWORKS = {"16-32-5": [32], "16-64-32-32-5": [64, 32, 32], "16-256-256-256-5": [256, 256, 256]}
GROWTH = 100, 300, 1000, 3000, 10000
FARMS = (10, 1.0, 20), (100, 1.0, 200), (100, 10.0, 200)
"""Workers, mean seconds of a training, window."""


def blocks(laps: Sequence[Mapping[str, float]]) -> list[tuple[int, dict[str, float]]]:
    """Return seconds for a candidate by part, between one mark of `GROWTH` and the next."""
    found = []
    for begin, end in pairwise((1, *GROWTH)):
        if end <= len(laps):
            took = {part: laps[end - 1].get(part, 0.0) - laps[begin - 1].get(part, 0.0) for part in PARTS}
            found.append((end, {part: seconds / (end - begin) for part, seconds in took.items()}))
    return found


def one(kind: str, count: int, trials: int, seconds: float, each: float, words: Sequence[str]) -> dict[str, Any]:
    """Run one search under the stopwatch in this process."""
    import distributed
    import psutil
    from scaling_driver import Farm, Light, Stopwatch, driven

    from qap.backend import stack
    from qap.config.load import load_config
    from qap.search.workers import Workers

    stack()
    begun = psutil.Process().cpu_times()
    config = load_config(STUDY, [f"search.trials={trials}", *words])
    watch = Stopwatch()
    workers: Any = {
        "real": lambda: Workers(count) if count else None,
        "light": lambda: Light(count),
        "farm": lambda: Farm(watch, count, seconds, SPREAD, each),
    }[kind]()
    with tempfile.TemporaryDirectory() as folder:
        run = driven(config, Path(folder) / "study", workers, watch, train=kind != "light")
    found = {
        "kind": kind, "count": count, "trials": run.trials, "window": config.search.window, "strategy": config.search.strategy,
        "cpu": dict(run.cpu), "driver": run.driver, "workers": run.workers, "trained": run.trained, "seconds": run.seconds,
        "fsync": run.fsync, "imports": begun.user + begun.system, "distributed": distributed.__version__,
        "blocks": blocks(run.laps),
    }  # fmt: skip
    if isinstance(workers, Farm):
        end = workers.ends[-1]
        middle = [when for when in workers.ends if 0.4 * end < when < 0.9 * end]
        found |= {"training": seconds, "busy": workers.busy / count / end, "rate": 3600 * len(middle) / (0.5 * end)}
    return found


def apart(kind: str, count: int, trials: int, *words: str, seconds: float = 1.0, each: float = 0.0) -> dict[str, Any]:
    """Run one search in a process of its own."""
    given = json.dumps([kind, count, trials, seconds, each, words])
    done = subprocess.run([sys.executable, __file__, "--one", given], stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"{kind} {count} {' '.join(words)}: {found['trials']} candidates", file=sys.stderr, flush=True)
    return dict(found)


def messages() -> list[dict[str, Any]]:
    """Measure messages."""
    from scaling_driver import stand_in

    from qap.candidate import Candidate
    from qap.config.load import load_config
    from qap.models.architecture import Architecture
    from qap.plan import LayerPlan, Plan
    from qap.precision import Precision
    from qap.search.messages import Assignment, Message, start_message
    from qap.search.work import Start
    from qap.search.worker import DONE

    def size(message: Message) -> int:
        weights = message.get("weights", b"")
        return len(weights) + len(json.dumps({key: value for key, value in message.items() if key != "weights"}))

    found, generator = [], np.random.default_rng(1)
    task = size(Assignment.of(load_config(STUDY, []), Path(), "0" * 64).to_dict())
    for name, hidden in NETWORKS.items():
        network = Architecture.mlp(16, hidden, 5)
        weights = {}
        for layer, shape in network.shapes.items():
            weights[f"{layer}/kernel"] = generator.normal(0, 0.2, shape).astype(np.float32)
            weights[f"{layer}/bias"] = generator.normal(0, 0.1, shape[-1]).astype(np.float32)
        row = {"network": name, "weights": sum(values.size for values in weights.values()), "assignment": task}
        for sparsity in (0.0, 0.5, 0.9):
            layers = [
                (
                    layer.name,
                    LayerPlan(
                        Precision(6), Precision(16, 3), None if layer.name == "output" else Precision(6, 2, False), sparsity
                    ),
                )
                for layer in network.layers
            ]
            start = start_message(Start(Candidate(network, Plan(tuple(layers)), weights)))
            row["start"], row[f"result {sparsity:g}"] = size(start), size(stand_in({}, [start])[DONE][0])
        found.append(row)
    return found


def asking(strategy: str, most: int, cap: float) -> list[tuple[int, float]]:
    """Return what a sampler costs for a point, asked and told, as its study grows, until `cap` CPU seconds are used up."""
    import time

    from qap.config.load import load_config
    from qap.precision import Precision
    from qap.search.space import PlanSpace
    from qap.search.strategies import Told, make_strategy

    config = load_config(STUDY, [f"search.strategy={strategy}"])
    space = PlanSpace(config.search.space, config.model, 16, 5, Precision(config.data.input.bits, config.data.input.integer))
    sampler, draw, found = make_strategy(config.search, space, 1), np.random.default_rng(1), []
    begun, times = time.process_time(), [time.process_time()]
    while len(times) <= most and times[-1] - begun < cap:
        sampler.ask(1)
        sampler.tell(Told([float(draw.random()), float(draw.random())]))
        times.append(time.process_time())
        count = len(times) - 1
        if count in GROWTH:
            last = max(count // 10, 10)
            found.append((count, (times[-1] - times[-1 - last]) / last))
    return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run everything."""
    quick = options.quick
    trials, window, short = (60 if quick else options.trials), f"search.window={options.window}", "train.parent_epochs=2"
    real = [apart("real", count, trials, window) for count in options.workers]
    whole = [] if quick else [apart("real", 2, trials * 3 // 10, window, "search.strategy=nsga2")]
    light = [apart("light", count, 100 if quick else 300, f"search.window={2 * count}", short) for count in options.light]
    each = float(np.median([run["cpu"]["dask"] / run["trials"] for run in light])) if light else 0.0
    grown = apart("farm", 30, 300 if quick else options.stored, "search.window=64", short, seconds=60.0, each=each)
    farms = []
    for count, seconds, width in FARMS[:2] if quick else FARMS:
        most = max(300, 8 * count)
        farms.append(apart("farm", count, most, f"search.window={width}", short, seconds=seconds, each=each))
    samplers = {name: asking(name, 10000, 3.0 if quick else 12.0) for name in ("random", "nsga2", "tpe")}
    return {
        "real": real, "whole": whole, "messages": messages(), "light": light, "grown": grown, "farms": farms,
        "samplers": samplers, "each": each,
    }  # fmt: skip


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--light", type=int, nargs="*", default=[10, 50])
    parser.add_argument("--trials", type=int, default=200, help="of each search with real workers")
    parser.add_argument("--window", type=int, default=8, help="of each search with real workers")
    parser.add_argument("--stored", type=int, default=3000, help="candidates of the search that shows how costs grow")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true", help="the last line is one object with everything")
    parser.add_argument("--table", type=Path, help="Markdown file whose tables are replaced; draws the figure too")
    parser.add_argument("--from", type=Path, dest="known", help="results of --json instead of measuring")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        kind, count, trials, seconds, each, words = json.loads(options.one)
        print("\n" + json.dumps(one(kind, count, trials, seconds, each, words)), flush=True)
        os._exit(0)  # TensorFlow may hang while it is taken down
    found = json.loads(options.known.read_text().splitlines()[-1]) if options.known else measure(options)
    made = tables(found)
    if options.table:
        fill(options.table, made)
        draw(found, FIGURE)
    for name, table in made.items():
        print(f"{name}\n\n{table}\n", file=sys.stderr if options.json else sys.stdout)
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
