"""How good a model's outputs are on the test split: scores with their intervals, curves and errors."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from qap.config.schema import Study as Config
from qap.datasets.dataset import Dataset
from qap.metrics import classification, regression
from qap.metrics.bootstrap import Statistic, bootstrap
from qap.metrics.calibration import probabilities
from qap.metrics.evaluate import evaluate
from qap.report.quality import Curve, Residuals, TargetErrors
from qap.report.sections import Calibration
from qap.search.objectives import wanted_metrics

CUTS = 41
"""Cuts on a class's probability at which its efficiency is given, from 0 to 1."""


def scored(data: Dataset, outputs: np.ndarray, config: Config) -> dict[str, Any]:
    """Return the fields of `Quality` for outputs on the test split."""
    test, draws = data.test, drawn(config)
    if data.task == "regression":
        truth, found = (values.reshape(len(test), -1) for values in (test.y, outputs))
        errors = zip(
            regression.rmse_per_target(test.y, outputs, test.weight),
            regression.bias_per_target(test.y, outputs, test.weight),
            regression.resolution_per_target(test.y, outputs, test.weight),
            (Residuals.of(column, test.weight) for column in (found - truth).T),
            strict=True,
        )
        return {
            "rmse": bootstrap(statistic(data, outputs), len(test), weights=test.weight, **draws),
            "targets": tuple(
                TargetErrors(name=name, rmse=rmse, bias=bias, resolution=resolution, residuals=residuals)
                for name, (rmse, bias, resolution, residuals) in zip(target_names(data), errors, strict=True)
            ),
        }
    wanted = replace(wanted_metrics(config, data.class_names), names=("auc", "signal_efficiency"))
    metrics = evaluate(data.task, test, outputs, wanted)
    return {
        "accuracy": bootstrap(statistic(data, outputs), len(test), weights=test.weight, **draws),
        "auc": metrics["auc"],
        "auc_per_class": tuple(classification.auc_per_class(test.y, outputs, test.weight, "logits")),
        "signal_efficiency": metrics["signal_efficiency"],
        "roc": tuple(Curve.of(*curve) for curve in classification.roc(test.y, outputs, test.weight, "logits")),
        "efficiency": efficiencies(test.y, outputs, test.weight),
        "calibration": Calibration.of(test.y, outputs, test.weight),
        "confusion": tuple(map(tuple, classification.confusion(test.y, outputs, test.weight, "logits").tolist())),
    }


def efficiencies(labels: np.ndarray, outputs: np.ndarray, weights: np.ndarray) -> tuple[Curve, ...]:
    """Return for each class what a cut p ≥ c on its probability keeps of its events and of all others.

    Parameters
    ----------
    labels : (events,) integers from 0
    outputs : (events, classes) or (events, 1) array
        Logits.
    weights : (events,) array

    Returns
    -------
    tuple of Curve
        At 41 cuts c at equal steps from 0 to 1, rounded to 4 digits after the point.
    """
    found, truth = probabilities(outputs, "logits"), np.asarray(labels).astype(np.int64)
    cuts = np.linspace(0.0, 1.0, CUTS)
    curves = []
    for k in range(found.shape[1]):
        passed = np.clip(np.floor(found[:, k] * (CUTS - 1) + 1e-9).astype(np.int64), 0, CUTS - 1)
        sides = []
        for side in (truth == k, truth != k):
            counts = np.bincount(passed[side], weights[side], len(cuts))
            kept = counts[::-1].cumsum()[::-1] / (counts.sum() or 1.0)
            sides.append(tuple(round(float(value), 4) for value in kept))
        curves.append(Curve(signal=sides[0], background=sides[1]))
    return tuple(curves)


def drawn(config: Config) -> dict[str, int]:
    """Return how replicas are drawn: the same events for all candidates."""
    return {"replicas": config.report.bootstrap, "seed": config.seed}


def statistic(data: Dataset, outputs: np.ndarray) -> Statistic:
    """Return the score on the test split as a function of event weights."""
    test = data.test
    if data.task == "regression":
        return lambda weight: regression.rmse(test.y, outputs, weight)
    right = (classification.predicted(outputs, "logits") == test.y).astype(np.float64)
    return lambda weight: float(weight @ right / weight.sum())


def target_names(data: Dataset) -> tuple[str, ...]:
    """Return names for the regression targets."""
    return tuple(f"target {i}" for i in range(1, data.outputs + 1)) if data.task == "regression" else ()
