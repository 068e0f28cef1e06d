"""A study as Optuna knows it, for optuna-dashboard and Optuna's own plots."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from qap.candidate import Candidate
from qap.errors import InputError, QapError
from qap.precision import MAX_BITS
from qap.search.objectives import OBJECTIVES, values
from qap.search.study import Study


def to_optuna(study: Study, path: Path | str) -> optuna.Study:
    """Write a study into a journal file of Optuna: ``optuna-dashboard study.journal`` shows it.

    Every training becomes a trial: its objectives are the values, its plan the parameters (bits of weights and
    activations, sparsity asked for, by layer), whatever strategy has chosen it; metrics and costs are user attributes.

    Parameters
    ----------
    study : Study
    path : path
        A file that is not there yet.

    Returns
    -------
    optuna.Study

    Raises
    ------
    InputError
        The file is there already, or its folder is not.
    QapError
        Nothing has been trained yet.
    """
    path, objectives = Path(path), study.config.search.objectives
    if path.exists() or not path.parent.is_dir():
        raise InputError(f"{path}: {'is there already' if path.exists() else 'no such folder'}: choose another name")
    trials = [_trial(record.candidate, objectives) for record in study.records() if record.error is None]
    if not trials:
        raise QapError(f"{study.directory}: no candidate could be trained; see {study.directory / 'log.txt'}")
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        found = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path))), study_name=study.config.name,
            directions=[OBJECTIVES[name].direction for name in objectives],
        )  # fmt: skip
        with warnings.catch_warnings():  # names of the axes in the dashboard, since Optuna 3.2
            warnings.simplefilter("ignore", ExperimentalWarning)
            found.set_metric_names([str(name) for name in objectives])
        found.add_trials(trials)
    finally:
        optuna.logging.set_verbosity(level)
    return found


def _trial(candidate: Candidate, objectives: Any) -> optuna.trial.FrozenTrial:
    parameters: dict[str, Any] = {}
    distributions: dict[str, Any] = {}
    for name, layer in candidate.plan.items():
        bits = {"weight_bits": layer.weight.bits} | ({"activation_bits": layer.activation.bits} if layer.activation else {})
        for key, value in bits.items():
            parameters[f"{name}.{key}"], distributions[f"{name}.{key}"] = value, IntDistribution(1, MAX_BITS)
        parameters[f"{name}.sparsity"], distributions[f"{name}.sparsity"] = layer.sparsity, FloatDistribution(0.0, 1.0)
    costs = {} if candidate.cost is None else {name: figure.value for name, figure in candidate.cost.figures.items()}
    known = {"candidate": candidate.id, "architecture": str(candidate.architecture), **candidate.metrics, **costs}
    return optuna.trial.create_trial(
        params=parameters, distributions=distributions, values=list(values(candidate, objectives)), user_attrs=known
    )
