"""A candidate with random weights, and a context of few epochs."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from qap.candidate import Candidate
from qap.compress.context import Context
from qap.config.schema import Prune, Train
from qap.datasets.dataset import Dataset
from qap.granularity import WEIGHT, Granularity
from qap.models.architecture import Architecture
from qap.plan import LayerPlan, Plan
from qap.precision import Precision
from qap.training.job import Engine
from qap.training.population.engine import PopulationEngine

MLP = Architecture.mlp(6, [12, 8], 3)


def random_weights(architecture: Architecture, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    weights = {}
    for name, shape in architecture.shapes.items():
        weights[f"{name}/kernel"] = generator.normal(0, 0.5, shape).astype(np.float32)
        weights[f"{name}/bias"] = generator.normal(0, 0.1, shape[1]).astype(np.float32)
    return weights


def candidate(
    sparsity: float = 0.0, granularity: Granularity = WEIGHT, *, output: float | None = None, bits: int = 5,
    architecture: Architecture = MLP, seed: int = 0,
) -> Candidate:  # fmt: skip
    """Hidden layers of one sparsity and granularity; the output layer has single weights where `output` is given."""
    layers = []
    for layer in architecture.layers:
        last = layer is architecture.layers[-1]
        activation = None if last else Precision(bits, 2, layer.activation == "linear")
        own = (output, WEIGHT) if last and output is not None else (sparsity, granularity)
        layers.append((layer.name, LayerPlan(Precision(bits), Precision(12, 2), activation, *own)))
    return Candidate(architecture, Plan(tuple(layers)), random_weights(architecture, seed))


@lru_cache(maxsize=1)
def shared_engine() -> PopulationEngine:
    """One for all tests: what it has compiled serves them all."""
    return PopulationEngine()


def context(data: Dataset, engine: Engine | None = None, **settings: Any) -> Context:
    prune = settings.pop("prune", {})
    train = Train(batch=100, epochs=settings.pop("epochs", 3), parent_epochs=3, learning_rate=5e-3)
    return Context(data, engine or shared_engine(), train, Prune(**{"frequency": 4, **prune}), seed=1, **settings)


def zeros(found: Candidate) -> dict[str, float]:
    """Mask sparsity by layer."""
    return {name: float(np.mean((found.weights or {})[f"{name}/kernel"] == 0)) for name in found.architecture.shapes}
