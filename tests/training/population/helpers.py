"""Random plans, jobs and their exact counterparts."""

from __future__ import annotations

import numpy as np

from qap.models.architecture import Architecture
from qap.plan import LayerPlan, Plan
from qap.precision import Precision
from qap.training.job import Job, Pruning

MLP = Architecture.mlp(6, [12, 8], 3)
NAMES = ["fc1", "fc2", "output"]


def random_plan(architecture: Architecture, generator: np.random.Generator, *, output: Precision | None = None) -> Plan:
    """Return a plan of 2 to 8 bits, any integer bits, and sparsities of 0 to 0.95."""

    def precision(signed: bool) -> Precision:
        bits = int(generator.integers(2, 9))
        return Precision(bits, int(generator.integers(0, min(bits - int(signed), 3) + 1)), signed)

    layers = []
    for layer in architecture.layers:
        last = layer is architecture.layers[-1]
        activation = output if last else precision(layer.activation == "linear")
        bias = Precision(int(generator.integers(6, 18)), int(generator.integers(0, 4)))
        layers.append(
            (layer.name, LayerPlan(precision(True), bias, activation, float(generator.choice([0, 0.3, 0.5, 0.8, 0.95]))))
        )
    return Plan(tuple(layers))


def random_weights(architecture: Architecture, generator: np.random.Generator, spread: float = 0.4) -> dict[str, np.ndarray]:
    """Return normal kernels and biases."""
    weights = {}
    for name, shape in architecture.shapes.items():
        weights[f"{name}/kernel"] = generator.normal(0, spread, shape).astype(np.float32)
        weights[f"{name}/bias"] = generator.normal(0, spread / 2, shape[1]).astype(np.float32)
    return weights


def random_job(
    architecture: Architecture,
    generator: np.random.Generator,
    *,
    steps: int,
    epochs: int = 9,
    batch: int = 100,
    rate: float = 5e-3,
) -> Job:
    """Return a job with a schedule of its own for each layer."""
    plan = random_plan(architecture, generator)
    pruning = {}
    for name, layer in plan.items():
        if layer.sparsity:
            kind = str(generator.choice(["constant", "polynomial"]))
            begin, frequency = float(generator.choice([0.0, 0.1, 0.3])), int(generator.integers(1, 20))
            pruning[name] = Pruning.from_fractions(kind, begin, float(generator.uniform(0.5, 1)), frequency, steps)
    seed, decay = int(generator.integers(1000)), str(generator.choice(["constant", "cosine"]))
    weights = random_weights(architecture, generator)
    return Job(architecture, plan, weights, epochs, batch, rate, decay, seed, pruning, steps=steps)
