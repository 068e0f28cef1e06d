"""Objectives and constraints by name: where a candidate's value is found, which way is better, what is too much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from qap.candidate import Candidate
from qap.config.schema import CSYNTH_FIGURES
from qap.config.schema import Study as Config
from qap.cost.candidate_cost import budget
from qap.errors import InputError, suggestion
from qap.metrics.evaluate import Metrics


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
    "auc_worst": Objective("maximize", "auc_worst_validation", "classification"),
    "signal_efficiency": Objective("maximize", "signal_efficiency_validation", "classification"),
    "rmse": Objective("minimize", "rmse_validation", "regression"),
    "resolution": Objective("minimize", "resolution_validation", "regression"),
    **{name: Objective("minimize") for name in ("ebops", "ebops_traced", "bops", "weight_memory_bits", *CSYNTH_FIGURES)},
}
DROP = "accuracy_drop"
"""Metric: how far the accuracy on the validation split lies below the float parent's."""


def limits(config: Config) -> dict[str, float]:
    """Return what a candidate of the front may have at most, by figure of cost or ``accuracy_drop``.

    Parameters
    ----------
    config : Config
        Its ``search.constraints``, and with ``search.keep_timing`` the budget of ``timing``.
    """
    found = {str(name): most for name, most in config.search.constraints.items()}
    if config.search.keep_timing:
        granted = budget(config.firmware, config.timing)
        found["II"] = min(found.get("II", granted.longest_interval), granted.longest_interval)
        if granted.latency_ns is not None:
            found["latency_ns"] = min(found.get("latency_ns", granted.latency_ns), granted.latency_ns)
    return found


def _limited(candidate: Candidate, name: str) -> float:
    return float(candidate.metrics[name]) if name == DROP else _cost(candidate, name)


def _cost(candidate: Candidate, name: str) -> float:
    if candidate.cost is None or name not in candidate.cost.figures:
        raise InputError(
            f"{name}: candidate {candidate.id} has no such figure: the study was made by another version, search again"
        )
    return float(candidate.cost[name])


def violations(candidate: Candidate, allowed: Mapping[str, float]) -> tuple[float, ...]:
    """Return how far each limit is exceeded, as a fraction of it (of 1 for a limit of 0); 0 or less where it is kept.

    Parameters
    ----------
    candidate : Candidate
        Trained and counted.
    allowed : mapping
        Of `limits`.
    """
    return tuple((_limited(candidate, name) - most) / (most or 1.0) for name, most in allowed.items())


def feasible(candidates: Sequence[Candidate], allowed: Mapping[str, float]) -> list[Candidate]:
    """Return the candidates that keep every limit."""
    return [candidate for candidate in candidates if all(by <= 0 for by in violations(candidate, allowed))]


def nothing_left(candidates: Sequence[Candidate], allowed: Mapping[str, float]) -> str:
    """Say that no candidate keeps the limits, and how near the nearest comes.

    Parameters
    ----------
    candidates : sequence of Candidate
        At least one.
    allowed : mapping
        Of `limits`.
    """
    nearest = min(candidates, key=lambda candidate: max(violations(candidate, allowed)))
    named = ", ".join(f"{name} {_limited(nearest, name):g} (at most {most:g})" for name, most in allowed.items())
    return f"none of {len(candidates)} candidates keeps the constraints; the nearest, {nearest.id}, has {named}"


def check_objectives(config: Config, task: str) -> None:
    """Refuse objectives and constraints that the task or the firmware's settings do not have.

    Raises
    ------
    InputError
    """
    firmware, wanted_figures = config.firmware, [*config.search.objectives, *limits(config)]
    if firmware.IOType != "io_parallel" or firmware.Strategy not in ("Latency", "Resource"):
        for name in (name for name in wanted_figures if name in CSYNTH_FIGURES):
            raise InputError(
                f"search: {name} cannot be estimated for firmware.IOType {firmware.IOType} and firmware.Strategy "
                f"{firmware.Strategy}: no reports of them are at hand; use ebops"
            )
    if task == "regression" and DROP in config.search.constraints:
        raise InputError(f"search.constraints: {DROP} is for classification, this data is for regression")
    for name in config.search.objectives:
        wanted = OBJECTIVES[name].task
        if wanted not in (None, task):
            *others, last = [other for other, objective in OBJECTIVES.items() if objective.task == task]
            raise InputError(
                f"search.objectives: {name} is for {wanted}, this data is for {task}: use {', '.join(others)} or {last}"
            )


def wanted_metrics(config: Config, classes: Sequence[str]) -> Metrics:
    """Return the metrics that a search needs of every candidate.

    Parameters
    ----------
    config : Config
        Its ``search.objectives`` and ``search.signal``.
    classes : sequence of str
        Names of the data's classes; none for a regression.

    Raises
    ------
    InputError
        ``search.signal.class`` is none of the classes.
    """
    signal = config.search.signal
    names = tuple(name for name in config.search.objectives if OBJECTIVES[name].metric is not None)
    return Metrics(names, _signal_class(signal.class_, classes), signal.background_efficiency)


def _signal_class(wanted: int | str | None, classes: Sequence[str]) -> int | None:
    if wanted is None:
        return None
    if not classes:
        raise InputError(f"search.signal.class: received {wanted!r}, but this data is for regression and has no classes")
    if isinstance(wanted, str):
        if wanted not in classes:
            raise InputError(f"search.signal.class: no class {wanted!r}{suggestion(wanted, classes)}")
        return list(classes).index(wanted)
    if wanted >= len(classes):
        raise InputError(f"search.signal.class: expected a number from 0 to {len(classes) - 1}, received {wanted}")
    return wanted


def values(candidate: Candidate, names: Sequence[str]) -> tuple[float, ...]:
    """Return a trained and counted candidate's objective values."""
    found = []
    for name in names:
        metric = OBJECTIVES[name].metric
        if metric is not None:
            found.append(float(candidate.metrics[metric]))
        else:
            found.append(_cost(candidate, name))
    return tuple(found)


def front(candidates: Sequence[Candidate], names: Sequence[str], allowed: Mapping[str, float] | None = None) -> list[Candidate]:
    """Return the candidates within all limits that no other one dominates, cheapest first; of equal ones the first tried.

    Parameters
    ----------
    candidates : sequence of Candidate
        In the order in which they were tried.
    names : sequence of str
        Objectives.
    allowed : mapping, optional
        Of `limits`.
    """
    candidates = feasible(candidates, allowed or {})
    signs = np.array([-1.0 if OBJECTIVES[name].direction == "maximize" else 1.0 for name in names])
    table = np.array([values(candidate, names) for candidate in candidates]).reshape(len(candidates), len(names)) * signs
    kept: list[int] = []
    for i in np.lexsort(table.T[::-1]):  # what dominates a row, and the first of equal ones, comes before it
        if not (table[kept] <= table[i]).all(axis=1).any():
            kept.append(int(i))
    cost_first = sorted(range(len(names)), key=lambda j: OBJECTIVES[names[j]].metric is not None)
    kept.sort(key=lambda i: tuple(table[i, cost_first]))
    return [candidates[i] for i in kept]
