"""Objectives by name: where a candidate's value is found, and which way is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qap.candidate import Candidate
from qap.errors import InputError


@dataclass(frozen=True, slots=True)
class Objective:
    """One axis of a front.

    Parameters
    ----------
    direction : {'maximize', 'minimize'}
    metric : str or None
        Name among the candidate's metrics; None: the objective's name among the figures of cost.
    task : str or None
        The only task that has it.
    """

    direction: Literal["maximize", "minimize"]
    metric: str | None = None
    task: str | None = None


OBJECTIVES = {
    "accuracy": Objective("maximize", "accuracy_validation", "classification"),
    "auc": Objective("maximize", "auc_validation", "classification"),
    "rmse": Objective("minimize", "rmse_validation", "regression"),
    "ebops": Objective("minimize"),
    "bops": Objective("minimize"),
    "weight_memory_bits": Objective("minimize"),
}


def check_objectives(names: Sequence[str], task: str) -> None:
    """Refuse objectives that the task does not have.

    Raises
    ------
    InputError
    """
    for name in names:
        wanted = OBJECTIVES[name].task
        if wanted not in (None, task):
            instead = "rmse" if task == "regression" else "accuracy or auc"
            raise InputError(f"search.objectives: {name} is for {wanted}, this data is for {task}: use {instead}")


def values(candidate: Candidate, names: Sequence[str]) -> tuple[float, ...]:
    """Return a trained and counted candidate's objective values."""
    found = []
    for name in names:
        metric = OBJECTIVES[name].metric
        if metric is not None:
            found.append(float(candidate.metrics[metric]))
        elif candidate.cost is not None:
            found.append(float(candidate.cost[name]))
    return tuple(found)


def front(candidates: Sequence[Candidate], names: Sequence[str]) -> list[Candidate]:
    """Return the candidates that no other one dominates, cheapest first; of equal ones the first tried.

    Parameters
    ----------
    candidates : sequence of Candidate
        In the order in which they were tried.
    names : sequence of str
        Objectives.
    """
    signs = np.array([-1.0 if OBJECTIVES[name].direction == "maximize" else 1.0 for name in names])
    table = np.array([values(candidate, names) for candidate in candidates]).reshape(len(candidates), len(names)) * signs
    kept = []
    for i, row in enumerate(table):
        no_worse = (table <= row).all(axis=1)
        better = no_worse & (table < row).any(axis=1)
        equal_before = no_worse[:i] & (table[:i] == row).all(axis=1)
        if not better.any() and not equal_before.any():
            kept.append(i)
    cost_first = sorted(range(len(names)), key=lambda j: OBJECTIVES[names[j]].metric is not None)
    kept.sort(key=lambda i: tuple(table[i, cost_first]))
    return [candidates[i] for i in kept]
