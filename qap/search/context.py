"""What a search works with: the methods, their data and settings, as the study file names them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from qap.compress.context import Context
from qap.compress.pipeline import Chain, parse_chain, quantizes
from qap.config.schema import Study as Config
from qap.datasets.dataset import Dataset
from qap.errors import InputError
from qap.models.builders import builder_of
from qap.search.objectives import wanted_metrics
from qap.training.job import Engine
from qap.training.keras_engine import KerasEngine
from qap.training.population.engine import PopulationEngine


def digest(data: Dataset) -> str:
    """Return the SHA-256 of the events, in all three splits."""
    total = hashlib.sha256()
    for split in (data.train, data.validation, data.test):
        for array in (split.x, split.y, split.weight):
            total.update(array.tobytes())
    return total.hexdigest()


def make_context(
    config: Config, data: Dataset, folder: Path | None = None, say: Callable[[str], None] = lambda message: None
) -> Context:
    """Return what the compression methods of a study work with; `say` is told what the engine hands over to another."""
    builder = builder_of(config.model.function, folder)
    engine: Engine = PopulationEngine(say=say) if config.train.engine == "population" else KerasEngine()
    metrics = wanted_metrics(config, data.class_names or ())
    return Context(
        data, engine, config.train, config.prune, config.seed, builder, metrics=metrics,
        ptq=config.ptq, low_rank=config.low_rank, cluster=config.cluster,
    )  # fmt: skip


def search_chain(config: Config) -> Chain:
    """Return the methods that a search sends every plan through.

    Raises
    ------
    InputError
        A chain that ends in a float network, or changes the plan that the search has chosen.
    """
    chain = parse_chain(config.compress)
    if not quantizes(chain):
        raise InputError(f"compress: {config.compress} ends in a float network; a search needs a quantized one: add qat or qap")
    for link in chain:
        if not link.method.keeps_plan:
            raise InputError(f"compress: {link.name} changes the plan that a search has chosen; use it in qap compare")
    return chain
