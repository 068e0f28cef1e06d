"""Scores: a model's outputs on a split, and what they are worth, with bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qap.datasets.dataset import Split
from qap.errors import InputError, suggestion
from qap.metrics import classification, regression
from qap.metrics.bootstrap import Interval, Statistic, bootstrap
from qap.metrics.evaluate import Metrics, evaluate

METRICS = {
    "classification": ("accuracy", "auc", "auc_worst", "signal_efficiency"),
    "regression": ("rmse", "resolution"),
}
"""By task; the first is the one that is meant where none is named."""
LOWER_IS_BETTER = METRICS["regression"]


@dataclass(frozen=True, eq=False, repr=False)
class Scores:
    """A model's outputs on the events of a split.

    Parameters
    ----------
    name : str
        Of the model, for example a candidate's id.
    task : {'classification', 'regression'}
    split : Split
    outputs : (events, outputs) array
        Logits or predictions.

    Examples
    --------
    >>> import numpy as np
    >>> import qap
    >>> from qap.datasets.dataset import Split
    >>> events = Split(np.zeros((4, 2)), np.array([0, 1, 1, 0]), np.ones(4))
    >>> logits = np.array([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0], [4.0, 1.0]])
    >>> qap.Scores("tagger", "classification", events, logits).value("accuracy")
    0.75
    """

    name: str
    task: str
    split: Split
    outputs: np.ndarray

    def metric(self, name: str | None = None) -> str:
        """Return the name of a metric of the task (None: accuracy or rmse).

        Raises
        ------
        InputError
            The task has no such metric.
        """
        known = METRICS[self.task]
        if name is not None and name not in known:
            raise InputError(f"metric: expected one of {', '.join(known)}, received {name!r}{suggestion(name, known)}")
        return name or known[0]

    def statistic(self, metric: str | None = None) -> Statistic:
        """Return a metric as a function of event weights: what `qap.metrics.bootstrap` draws."""
        name, split, outputs = self.metric(metric), self.split, self.outputs
        if name == "accuracy":
            right = (classification.predicted(outputs, "logits") == split.y).astype(np.float64)
            return lambda weight: float(weight @ right / weight.sum())
        if name == "rmse":
            return lambda weight: regression.rmse(split.y, outputs, weight)
        return lambda weight: evaluate(self.task, replace(split, weight=weight), outputs, Metrics((name,)))[name]

    def value(self, metric: str | None = None) -> float:
        """Return a metric on all events."""
        return self.statistic(metric)(self.split.weight.astype(np.float64))

    def interval(
        self, metric: str | None = None, *, replicas: int = 200, seed: int = 0, coverage: float = 0.68
    ) -> Interval:
        """Return a metric with the interval of the bootstrap over the events.

        Parameters
        ----------
        metric : str, optional
            ``accuracy``, ``auc``, ``auc_worst``, ``signal_efficiency``; ``rmse``, ``resolution`` (None: the first of the task).
        replicas, seed, coverage
            As for `qap.metrics.bootstrap.bootstrap`.
        """
        return bootstrap(
            self.statistic(metric), len(self.split), weights=self.split.weight, replicas=replicas, seed=seed, coverage=coverage
        )

    def __repr__(self) -> str:
        found = self.interval()
        said = f"{self.metric()} {found.value:.4f} ({found.low:.4f}–{found.high:.4f})"
        return f"Scores({self.name}: {said} on {len(self.split):,} events)"
