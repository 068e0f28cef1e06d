"""One QAP candidate on the jets at several settings of Keras, side by side: CPU and wall time as ratios, equality of the weights.

python benchmarks/keras_settings.py [--repeats 3] [--epochs 4]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import qap
from qap.backend import stack
from qap.datasets.dataset import Dataset
from qap.models.architecture import Architecture
from qap.models.builders import get_weights
from qap.plan import LayerPlan, Plan
from qap.precision import Precision
from qap.training.job import Job, Pruning, steps_per_epoch
from qap.training.keras_engine import KerasEngine, _batches, compile_for, wrap_for_pruning

Weights = dict[str, np.ndarray]


def make_job(data: Dataset, epochs: int) -> Job:
    """The jet tagger at 6 bits, half of its weights pruned."""
    architecture = Architecture.mlp(16, [64, 32, 32], 5)
    hidden = LayerPlan(Precision(6), Precision(12, 2), Precision(6, 2, signed=False), 0.5)
    layers = [(layer.name, hidden) for layer in architecture.layers[:-1]]
    plan = Plan((*layers, ("output", LayerPlan(Precision(6), Precision(12, 2), None, 0.5))))
    steps = epochs * steps_per_epoch(len(data.train), 1024)
    pruning = dict.fromkeys(plan, Pruning.from_fractions("polynomial", 0.0, 0.5, 16, steps))
    return Job(architecture, plan, None, epochs, 1024, 5e-3, "cosine", 1, pruning)


def by_fit(job: Job, data: Dataset, **options: Any) -> Weights:
    """Train by ``model.fit`` with options of ``compile``."""
    libraries = stack()
    libraries.keras.backend.clear_session()
    libraries.keras.utils.set_random_seed(job.seed)
    model = wrap_for_pruning(job.builder(job.architecture, job.plan), job)
    compile_for(model, job, data)
    model.compile(model.optimizer, model.loss, **options)
    model.fit(
        _batches(data.train, job),
        epochs=job.epochs,
        steps_per_epoch=steps_per_epoch(len(data.train), job.batch),
        verbose=0,
        callbacks=[libraries.sparsity.UpdatePruningStep()],
    )
    return get_weights(libraries.sparsity.strip_pruning(model), job.architecture)


def by_engine(job: Job, data: Dataset) -> Weights:
    """Train by qap's keras engine."""
    return next(iter(KerasEngine().train([job], data))).weights


def main() -> None:
    """Run the settings in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    data = qap.load_dataset()
    job = make_job(data, options.epochs)
    steps = steps_per_epoch(len(data.train), job.batch)
    settings: dict[str, Callable[[], Weights]] = {
        "fit, default": lambda: by_fit(job, data),
        f"fit, steps_per_execution={steps}": lambda: by_fit(job, data, steps_per_execution=steps),
        f"fit, steps_per_execution={steps}, jit": lambda: by_fit(job, data, steps_per_execution=steps, jit_compile=True),
        "keras engine": lambda: by_engine(job, data),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in settings}
    results: dict[str, Weights] = {}
    by_engine(job, data)  # the first training of a process also loads kernels
    for _ in range(options.repeats):
        for name, train in settings.items():
            wall, cpu = time.perf_counter(), time.process_time()
            results[name] = train()
            times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    reference = np.median(times["fit, default"], axis=0)
    print(f"{'setting':44}{'wall, times faster':>20}{'CPU, times less':>18}{'weights as fit':>18}")
    for name, measured in times.items():
        wall, cpu = reference / np.median(measured, axis=0)
        largest = max(np.abs(results[name][key] - results["fit, default"][key]).max() for key in results[name])
        print(f"{name:44}{wall:>20.2f}{cpu:>18.2f}{'equal' if largest == 0 else f'within {largest:.1e}':>18}")


if __name__ == "__main__":
    main()
