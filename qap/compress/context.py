"""What a compression method works with."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from qap.candidate import Candidate
from qap.config.schema import PTQ, Cluster, LowRank, Prune, Train
from qap.datasets.dataset import Dataset
from qap.metrics.evaluate import ALL, Metrics
from qap.models.architecture import Architecture
from qap.models.builders import Builder, build
from qap.training.job import Engine, Job, Soft, steps_per_epoch

FEWEST_STEPS = 8
"""Of a budget in parts of epochs: on few events a schedule still needs steps to act in."""


@dataclass(frozen=True, eq=False)
class Context:
    """Data, engine, budget and settings.

    Parameters
    ----------
    data : Dataset
    engine : Engine
    train : Train
        Budget and optimiser (section `train` of the study file).
    prune : Prune
        Schedules and criterion (section `prune`).
    seed : int
        Seed of the study; every candidate derives its own from it.
    builder : Builder
    epochs : float, optional
        Budget of a training, parts of an epoch too (None: ``train.epochs``).
    metrics : Metrics, optional
        Computed for every candidate on the validation split (default: all).
    teacher : callable, optional
        Architecture of a student → its soft targets (None: labels only).
    ptq, low_rank, cluster : PTQ, LowRank, Cluster
        Settings of these methods (sections of the same names).
    """

    data: Dataset
    engine: Engine
    train: Train
    prune: Prune
    seed: int
    builder: Builder = build
    epochs: float | None = None
    metrics: Metrics = ALL
    teacher: Callable[[Architecture], Soft] | None = None
    ptq: PTQ = field(default_factory=PTQ)
    low_rank: LowRank = field(default_factory=LowRank)
    cluster: Cluster = field(default_factory=Cluster)

    @property
    def epoch(self) -> int:
        """Training steps of an epoch."""
        return steps_per_epoch(len(self.data.train), self.train.batch)

    @property
    def steps(self) -> int:
        """Training steps of a training."""
        return self.train.epochs * self.epoch if self.epochs is None else max(round(self.epochs * self.epoch), FEWEST_STEPS)

    def job(self, candidate: Candidate, *, steps: int | None = None, part: str = "", **changes: Any) -> Job:
        """Return the training of a candidate from its weights.

        Parameters
        ----------
        candidate : Candidate
        steps : int, optional
            Budget (None: the whole).
        part : str
            Tells trainings of one candidate apart: each draws its own order of events.
        **changes
            Further fields of `Job`; ``quantized=False`` trains the float network with BatchNormalization folded.
        """
        steps = self.steps if steps is None else steps
        architecture = candidate.architecture if changes.get("quantized", True) else candidate.architecture.folded
        settings: dict[str, Any] = {
            "weights": candidate.weights,
            "builder": self.builder,
            "teacher": None if self.teacher is None else self.teacher(candidate.architecture),
        }
        return Job(
            architecture=architecture,
            plan=candidate.plan,
            epochs=math.ceil(steps / self.epoch),
            batch=self.train.batch,
            learning_rate=self.train.learning_rate,
            decay=self.train.decay,
            seed=candidate_seed(self.seed, candidate.id + part),
            steps=steps,
            **{**settings, **changes},
        )


def candidate_seed(study_seed: int, candidate_id: str) -> int:
    """Return a seed that depends only on the study's seed and the candidate: the order of trials does not matter."""
    return int.from_bytes(hashlib.sha256(f"{study_seed}/{candidate_id}".encode()).digest()[:4], "big")
