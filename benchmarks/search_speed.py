"""Candidates per CPU second: the population engine against QKeras + TF-MOT, interleaved in one run, on the embedded jets.

    python benchmarks/search_speed.py [--quick] [--json] [--memory] [--repeats 3] [--epochs 4]

Every trial is a whole one: random precisions and sparsities of a 16-64-32-32-5, quantization-aware pruning, the logits of the
validation split. QKeras + TF-MOT runs by `model.fit` at its default settings, by `fit` with an epoch in one graph call
(steps_per_execution), and by qap's keras engine, which traces the step once; the best of the three is its fastest setting.
The population engine is measured in populations of 16 and 32, with what its first population pays for compilation beside
it, and with short trainings from inherited weights. AutoQKeras follows in a process of its own (not with --quick). CPU time
is that of the process, all threads; TensorFlow has one thread for each operation, as qap sets it (with two, `fit` takes more
CPU time, not less).

--memory    instead: memory of 64 candidates, and cost against events and weights
--json      the last line is one object: trial_ratio, trial_ratio_fastest, inherited_ratio, and more
--quick     about one minute: one repeat
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import qap
from qap.backend import stack
from qap.datasets.dataset import Dataset, Split
from qap.models.architecture import Architecture
from qap.models.builders import get_weights
from qap.plan import LayerPlan, Plan
from qap.precision import Precision
from qap.training.job import Job, Pruning, Trained, steps_per_epoch
from qap.training.keras_engine import KerasEngine, compile_for, fresh_model, wrap_for_pruning
from qap.training.population.engine import PopulationEngine

JETS = Architecture.mlp(16, [64, 32, 32], 5)
BATCH = 1024
SHORT = (1.0, 0.5, 0.25)
"""Epochs of short trainings from inherited weights; `inherited_ratio` is that of the second."""
COMPILATION = "population, compilation"


class Time(NamedTuple):
    """Seconds for one candidate."""

    cpu: float
    wall: float


def timed(work: Callable[[], object], candidates: int = 1) -> Time:
    """Run and divide by the number of candidates."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Time((time.process_time() - cpu) / candidates, (time.perf_counter() - wall) / candidates)


def median(times: Sequence[Time]) -> Time:
    """Return the medians."""
    return Time(*(statistics.median(column) for column in zip(*times, strict=True)))


def random_plan(architecture: Architecture, generator: np.random.Generator) -> Plan:
    """Return 2 to 8 bits for weights and activations, sparsities up to 0.9, layer by layer."""

    def layer(last: bool) -> LayerPlan:
        activation = None if last else Precision(int(generator.integers(2, 9)), 2, signed=False)
        weight = Precision(int(generator.integers(2, 9)))
        return LayerPlan(weight, Precision(16, 3), activation, float(generator.choice([0.3, 0.5, 0.7, 0.8, 0.9])))

    return Plan(tuple((one.name, layer(one is architecture.layers[-1])) for one in architecture.layers))


def make_jobs(
    data: Dataset, number: int, epochs: float, seed: int, architecture: Architecture = JETS, batch: int = BATCH
) -> list[Job]:
    """Return jobs with plans, schedules and seeds of their own, all from the same start weights."""
    generator = np.random.default_rng(seed)
    steps = round(epochs * steps_per_epoch(len(data.train), batch))
    weights = {}
    for name, (inputs, units) in architecture.shapes.items():
        weights[f"{name}/kernel"] = generator.normal(0, (2 / inputs) ** 0.5, (inputs, units)).astype(np.float32)
        weights[f"{name}/bias"] = np.zeros(units, np.float32)
    jobs = []
    for _ in range(number):
        plan = random_plan(architecture, generator)
        pruning = dict.fromkeys(plan, Pruning.from_fractions("polynomial", 0.0, 0.5, 16, steps))
        whole = max(1, int(np.ceil(epochs)))
        order = int(generator.integers(2**31))
        jobs.append(Job(architecture, plan, weights, whole, batch, 5e-3, "cosine", order, pruning, steps=steps))
    return jobs


def by_fit(job: Job, data: Dataset, **options: Any) -> None:
    """Train and evaluate as a script with QKeras and TF-MOT does."""
    libraries = stack()
    model = wrap_for_pruning(fresh_model(job), job)
    compile_for(model, job, data)
    model.compile(model.optimizer, model.loss, **options)
    callbacks = [libraries.sparsity.UpdatePruningStep()]
    model.fit(data.train.x, data.train.y, batch_size=job.batch, epochs=job.epochs, verbose=0, callbacks=callbacks)
    get_weights(libraries.sparsity.strip_pruning(model), job.architecture)
    model.predict(data.validation.x, batch_size=job.batch, verbose=0)


def train(engine: KerasEngine | PopulationEngine, jobs: Sequence[Job], data: Dataset) -> None:
    """Train and evaluate by an engine; all must come to an end."""
    results = list(engine.train(jobs, data))
    if not all(isinstance(result, Trained) for result in results):
        raise SystemExit("a training diverged")


def measure(data: Dataset, repeats: int, epochs: int) -> dict[str, list[Time]]:
    """Run all settings in turn, again and again."""
    engine, keras = PopulationEngine(), KerasEngine()
    steps = steps_per_epoch(len(data.train), BATCH)
    settings: list[tuple[str, int, float, Callable[[list[Job]], None]]] = [  # name, candidates, epochs, work
        ("fit, default", 1, epochs, lambda jobs: by_fit(jobs[0], data)),
        ("population of 16", 16, epochs, lambda jobs: train(engine, jobs, data)),
        ("keras engine", 1, epochs, lambda jobs: train(keras, jobs, data)),
        *((f"inherited, {part:g} epoch", 16, part, lambda jobs: train(engine, jobs, data)) for part in SHORT),
        ("fit, an epoch in a call", 1, epochs, lambda jobs: by_fit(jobs[0], data, steps_per_execution=steps)),
        ("population of 32", 32, epochs, lambda jobs: train(engine, jobs, data)),
        ("population of 1", 1, epochs, lambda jobs: train(engine, jobs, data)),
        ("evaluation alone", 32, epochs, lambda jobs: evaluate(engine, jobs, data)),
    ]
    by_fit(replace(make_jobs(data, 1, epochs, 0)[0], epochs=1), data)  # the first training of a process also loads kernels
    first = make_jobs(data, 1, 4 / steps, 0)
    times = {COMPILATION: [timed(lambda: train(engine, first, data))]}
    for repeat in range(repeats):
        for name, candidates, budget, work in settings:
            jobs = make_jobs(data, candidates, budget, 100 + repeat)
            times.setdefault(name, []).append(timed(lambda work=work, jobs=jobs: work(jobs), candidates))  # type: ignore[misc]
    if engine.traces != 2:
        raise SystemExit(f"expected one trace for training and one for evaluation, received {engine.traces}")
    return times


def evaluate(engine: PopulationEngine, jobs: Sequence[Job], data: Dataset) -> None:
    """Score untrained candidates on the validation split."""
    plans = [job.plan for job in jobs if job.plan is not None]
    engine.evaluate(JETS, plans, [job.weights or {} for job in jobs], data.validation)


def summary(times: dict[str, list[Time]], epochs: int, repeats: int) -> dict[str, Any]:
    """Return the ratios of CPU time."""
    cpu = {name: median(values).cpu for name, values in times.items()}
    wall = {name: median(values).wall for name, values in times.items()}
    sequential = ["fit, default", "fit, an epoch in a call", "keras engine"]
    fastest = min(sequential, key=lambda name: cpu[name])
    steady = cpu["population of 16"]
    whole = steady + cpu[COMPILATION] / 16
    short = cpu[f"inherited, {SHORT[1]:g} epoch"]
    default = cpu["fit, default"]
    return {
        "trial_ratio": round(default / steady, 2),
        "trial_ratio_fastest": round(cpu[fastest] / steady, 2),
        "inherited_ratio": round(default / short, 2),
        "trial_ratio_with_compilation": round(default / whole, 2),
        "trial_ratio_wall": round(wall["fit, default"] / wall["population of 16"], 2),
        "inherited_epochs": SHORT[1],
        "fastest": fastest,
        "epochs": epochs,
        "repeats": repeats,
        "cpu_seconds": {name: round(value, 4) for name, value in cpu.items()},
        "wall_seconds": {name: round(value, 4) for name, value in wall.items()},
    }


def show(times: dict[str, list[Time]], result: dict[str, Any]) -> None:
    """Print a table."""
    default = median(times["fit, default"])
    print(f"{'one candidate':28}{'CPU s':>10}{'spread':>18}{'wall s':>10}{'CPU, times less':>18}")
    for name, values in times.items():
        cpu, wall = median(values)
        spread = f"{min(v.cpu for v in values):.3f}…{max(v.cpu for v in values):.3f}"
        ratio = "" if name == COMPILATION or "evaluation" in name else f"{default.cpu / cpu:.1f}"
        print(f"{name:28}{cpu:>10.3f}{spread:>18}{wall:>10.3f}{ratio:>18}")
    print(
        f"per CPU second, {result['epochs']} epochs: {result['trial_ratio']:.1f} × default fit "
        f"({result['trial_ratio_with_compilation']:.1f} × with the compilation spread over 16), "
        f"{result['trial_ratio_fastest']:.1f} × {result['fastest']}; inherited weights and {SHORT[1]:g} epoch: "
        f"{result['inherited_ratio']:.1f} × default fit"
    )


def autoqkeras(epochs: int) -> dict[str, float]:
    """Return CPU and wall time of an AutoQKeras trial, in a process of its own: it needs packages mended."""
    command = [sys.executable, str(Path(__file__).with_name("autoqkeras.py")), "--epochs", str(epochs)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def line(amounts: Sequence[float], seconds: Sequence[float]) -> dict[str, float]:
    """Fit seconds = fixed + each · amount; `worst` is the largest relative residual."""
    each, fixed = np.polyfit(amounts, seconds, 1, w=1 / np.asarray(seconds))
    residuals = (fixed + each * np.asarray(amounts)) / np.asarray(seconds) - 1
    return {"fixed": float(fixed), "each": float(each), "worst": float(np.abs(residuals).max())}


def best(engine: PopulationEngine, jobs: Sequence[Job], data: Dataset, repeats: int = 3) -> float:
    """Return the least CPU time of a candidate, compilation left out."""
    train(engine, jobs[:1], data)
    return min(timed(lambda: train(engine, jobs, data), len(jobs)).cpu for _ in range(repeats))


def memory() -> dict[str, Any]:
    """Measure memory with 64 candidates, and the growth of the cost; for a process of its own."""
    data = qap.load_dataset()
    train(PopulationEngine(), make_jobs(data, 64, 0.25, 1), data)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    events, by_events = [14_000, 28_000, 56_000, 112_000], []
    for number in events:
        part = replace(data, train=Split(data.train.x[:number], data.train.y[:number], data.train.weight[:number]))
        by_events.append(best(PopulationEngine(), make_jobs(part, 4, 2, 2), part))
    factors, weights, by_weights = [1, 2, 4], [], []
    for factor in factors:
        architecture = Architecture.mlp(16, [64, 32 * factor, 32 * factor], 5)
        weights.append(sum(inputs * units for inputs, units in architecture.shapes.values()))
        by_weights.append(best(PopulationEngine(), make_jobs(data, 4, 1, 3, architecture), data))
    return {
        "peak_MB_64": round(peak),
        "events": events,
        "cpu_by_events": [round(value, 4) for value in by_events],
        "line_events": line(events, by_events),
        "weights": weights,
        "cpu_by_weights": [round(value, 4) for value in by_weights],
        "line_weights": line(weights, by_weights),
    }


def show_memory(result: dict[str, Any]) -> None:
    """Print memory and growth."""
    print(f"peak memory of a process that trains 64 candidates at once: {result['peak_MB_64']:,} MB")
    for name, unit in (("events", "training events"), ("weights", "weights")):
        for amount, seconds in zip(result[name], result[f"cpu_by_{name}"], strict=True):
            print(f"{amount:>10,} {unit:18}{seconds:>8.3f} CPU s for one candidate")
        fit = result[f"line_{name}"]
        print(
            f"{'':10} = {fit['fixed']:.3f} s + {1e6 * fit['each']:.2f} µs for each of the {unit}; "
            f"off by at most {100 * fit['worst']:.0f} %"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--memory-child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    if options.memory_child:
        print(json.dumps(memory()))
        return
    if options.memory:
        command = [sys.executable, __file__, "--memory-child"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        result = json.loads(done.stdout.splitlines()[-1])
        show_memory(result)
    else:
        repeats = 1 if options.quick else options.repeats
        times = measure(qap.load_dataset(), repeats, options.epochs)
        result = summary(times, options.epochs, repeats)
        show(times, result)
        if not options.quick:
            found = autoqkeras(options.epochs)
            result["autoqkeras_ratio"] = round(found["cpu_seconds"] / result["cpu_seconds"]["population of 16"], 2)
            print(
                f"AutoQKeras, random, without pruning: {found['cpu_seconds']:.2f} CPU s and {found['wall_seconds']:.2f} s of "
                f"wall time a trial, {result['autoqkeras_ratio']:.1f} × the CPU time of the population's"
            )
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
