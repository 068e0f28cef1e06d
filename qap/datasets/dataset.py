"""Dataset: events that are ready for a network whose input is a fixed-point type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from qap.errors import InputError, suggestion
from qap.plan import Precision


@dataclass(frozen=True, eq=False)
class Table:
    """Events as read from a file, before any preparation.

    Parameters
    ----------
    name : str
        The data's name, shown in reports and figures.
    features : (events, features) array
    labels : (events,) integer array of classes, or None
    targets : (events, outputs) array for regression, or None
    weights : (events,) array of event weights, or None
    feature_names, class_names : sequence of str
    test_events : int, default 0
        So many events at the end are the source's own test part.
    """

    name: str
    features: np.ndarray
    feature_names: Sequence[str]
    labels: np.ndarray | None = None
    targets: np.ndarray | None = None
    weights: np.ndarray | None = None
    class_names: Sequence[str] = ()
    test_events: int = 0


Scale = str | float | Sequence[float]
"""How features become inputs: ``'standard'``, ``'unit'``, or what they are divided by."""
MOST_SATURATED = 0.01
"""Fraction of the training values that a divisor from the user may put outside the grid."""


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a dataset.

    Parameters
    ----------
    x : (events, features) float32 array
        Scaled features, exactly on the input grid.
    y : (events,) int32 array of classes, or (events, outputs) float32 array of targets
    weight : (events,) float32 array
    """

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    def head(self, events: int) -> Split:
        """Return the first events."""
        return Split(self.x[:events], self.y[:events], self.weight[:events])


@dataclass(frozen=True, eq=False)
class Dataset:
    """A fixed split of scaled events on a fixed-point grid.

    Parameters
    ----------
    name : str
    train, validation, test : Split
        The test split is for the final judgement only; no search reads it.
    feature_names, class_names : tuple of str
        No class names mean regression.
    input : Precision
        The grid of the features and the type of the firmware's input.
    mean, scale : (features,) float64 arrays
        x = (feature − mean) / scale, then rounded to the grid and saturated. Standardised: mean and standard deviation of the
        training split; divided only: zeros and the divisors.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    input: Precision
    mean: np.ndarray
    scale: np.ndarray

    @property
    def task(self) -> str:
        """``'classification'`` or ``'regression'``."""
        return "classification" if self.class_names else "regression"

    @property
    def outputs(self) -> int:
        """Outputs that a network for this dataset has."""
        return len(self.class_names) if self.class_names else self.train.y.shape[1]

    @property
    def saturated(self) -> float:
        """Fraction of the training features that lie on the ends of the grid."""
        x = self.train.x
        return float(np.mean((x <= self.input.low) | (x >= self.input.high)))


def _check_features(table: Table) -> None:
    features = table.features
    if features.ndim != 2 or features.dtype.kind not in "fiu" or not features.size:
        raise InputError(
            f"{table.name}: features: expected numbers of shape (events, features), received {features.dtype} of shape "
            f"{features.shape}"
        )
    if len(table.feature_names) != features.shape[1]:
        raise InputError(f"{table.name}: feature_names: expected {features.shape[1]} names, received {len(table.feature_names)}")
    bad = ~np.isfinite(features)
    if bad.any():
        column = int(np.argmax(bad.any(axis=0)))
        raise InputError(
            f"{table.name}: {int(bad.sum())} feature values are NaN or infinite, the first in column "
            f"'{table.feature_names[column]}', event {int(np.argmax(bad[:, column]))}: remove or replace them"
        )


def _check_labels(table: Table) -> None:
    labels, events = table.labels, len(table.features)
    if labels is None:
        return
    if labels.shape != (events,) or labels.dtype.kind not in "iub":
        raise InputError(
            f"{table.name}: labels: expected {events} integers, one for each event, received {labels.dtype} of shape "
            f"{labels.shape}"
        )
    classes = len(table.class_names)
    if classes < 2:
        raise InputError(f"{table.name}: labels: expected two classes or more, received {classes}")
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"{table.name}: labels: expected classes 0 to {classes - 1}, received {labels.min()} to {labels.max()}")


def _check_targets(table: Table) -> None:
    targets, events = table.targets, len(table.features)
    if targets is None:
        return
    if targets.ndim != 2 or len(targets) != events or targets.dtype.kind not in "fiu" or not targets.shape[1]:
        raise InputError(
            f"{table.name}: targets: expected numbers of shape ({events}, outputs), received {targets.dtype} of shape "
            f"{targets.shape}"
        )
    if not np.isfinite(targets).all():
        raise InputError(f"{table.name}: targets: {int((~np.isfinite(targets)).sum())} values are NaN or infinite")


def _check_weights(table: Table) -> None:
    weights, events = table.weights, len(table.features)
    if weights is None:
        return
    if weights.shape != (events,) or weights.dtype.kind not in "fiu" or not np.isfinite(weights).all():
        raise InputError(
            f"{table.name}: weights: expected {events} finite numbers, received {weights.dtype} of shape {weights.shape}"
        )
    if weights.min() < 0 or not weights.sum() > 0:
        raise InputError(f"{table.name}: weights: expected 0 or more with a sum above 0, received {weights.min()} as least")


def check(table: Table) -> None:
    """Refuse a table that no network can learn from.

    Raises
    ------
    InputError
        Shapes that do not fit, NaN or infinite values, labels outside the classes, negative weights, neither or both of
        labels and targets.
    """
    _check_features(table)
    if (table.labels is None) == (table.targets is None):
        raise InputError(f"{table.name}: expected either labels (classes) or targets (regression)")
    _check_labels(table)
    _check_targets(table)
    _check_weights(table)


def against_rest(table: Table, signal: int | str) -> Table:
    """Return the table of a binary task: one class against all others.

    Parameters
    ----------
    table : Table
    signal : int or str
        Number (from 0) or name of the class; it becomes class 1, all others class 0.

    Raises
    ------
    InputError
        No such class, or a table for regression; see `check` too.
    """
    check(table)
    names = [str(name) for name in table.class_names]
    if table.labels is None:
        raise InputError(f"data.signal: received {signal!r}, but {table.name} is for regression and has no classes")
    if isinstance(signal, str):
        if signal not in names:
            raise InputError(f"data.signal: {table.name} has no class {signal!r}{suggestion(signal, names)}")
        signal = names.index(signal)
    if not 0 <= signal < len(names):
        raise InputError(f"data.signal: {table.name}: expected a number from 0 to {len(names) - 1}, received {signal}")
    name = names[signal]
    binary = (table.labels == signal).astype(np.int32)
    return replace(table, name=f"{table.name}, {name} against the rest", labels=binary, class_names=(f"not {name}", name))


def _parts(table: Table, split: Sequence[float], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the events of the training, validation and test part, shuffled; a test part of the source's own stays whole."""
    events, own = len(table.features), table.test_events
    order = np.random.default_rng(seed).permutation(events - own)
    if own:
        first = round(split[0] / (split[0] + split[1]) * (events - own))
        parts = order[:first], order[first:], np.arange(events - own, events)
    else:
        first, second = round(split[0] * events), round((split[0] + split[1]) * events)
        parts = order[:first], order[first:second], order[second:]
    if min(len(part) for part in parts) < 1:
        raise InputError(f"{table.name}: {events} events are too few for the split {list(split)}")
    return parts


def _standard(table: Table, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, scale = train.mean(axis=0), train.std(axis=0)
    if (scale == 0).any():
        column = int(np.argmax(scale == 0))
        raise InputError(
            f"{table.name}: feature '{table.feature_names[column]}' is constant in the training part: leave it out, or set "
            "data.scale to unit"
        )
    return mean, scale


def _divisors(table: Table, train: np.ndarray, scale: Scale, input: Precision) -> tuple[np.ndarray, np.ndarray]:
    """Return zeros and what the features are divided by."""
    count = train.shape[1]
    if scale == "unit":
        largest = float(np.abs(train).max())
        if not largest:
            raise InputError(f"{table.name}: data.scale: every feature of the training part is 0")
        scale = math.ldexp(1.0, math.frexp(largest)[1])
    values = np.asarray(scale, np.float64)
    if values.shape not in ((), (count,)) or not (np.isfinite(values) & (values > 0)).all():
        raise InputError(f"{table.name}: data.scale: expected a number above 0, or {count} of them, received {scale!r}")
    scaled = train / values
    outside = float(np.mean((scaled < input.low - input.step) | (scaled > input.high + input.step)))
    if outside > MOST_SATURATED:
        raise InputError(
            f"{table.name}: data.scale: divided by {scale}, {outside:.1%} of the training values lie outside the grid "
            f"{input.ap_fixed} ({input.low:g} to {input.high:g}): divide by more, or give data.input more integer bits"
        )
    if not np.ptp(input.quantize(scaled), axis=0).any():
        raise InputError(f"{table.name}: data.scale: divided by {scale}, every feature is constant on the grid {input.ap_fixed}")
    return np.zeros(count), np.broadcast_to(values, (count,)).copy()


def prepare(
    table: Table,
    input: Precision,
    *,
    split: Sequence[float] = (0.7, 0.1, 0.2),
    seed: int = 42,
    train_events: int | None = None,
    scale: Scale = "standard",
) -> Dataset:
    """Split, scale, and round to the input grid.

    Parameters
    ----------
    table : Table
    input : Precision
        Signed fixed-point type of the scaled features.
    split : three fractions, default (0.7, 0.1, 0.2)
        Training, validation, test. Where the source has a test part of its own, that is the test part, and the first two
        fractions divide the other events in their ratio.
    seed : int, default 42
        Seed of the permutation behind the split.
    train_events : int, optional
        Keep only the first so many training events. The scaling is that of the whole training part.
    scale : {'standard', 'unit'}, number or sequence of (features,) numbers, default 'standard'
        ``standard``: subtract the training part's mean, divide by its standard deviation. ``unit``: divide all features by
        one power of two, the smallest above the training part's largest absolute value (256 for pixels up to 255), so that
        ``ap_fixed<N+1,1>`` holds unsigned integers of N bits exactly and firmware takes their bits as they are. Numbers:
        divide by them. What is only divided may be constant.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        See `check`; also a constant feature where features are standardised, numbers that put more than 1 % of the training
        values outside the grid or leave nothing on it, or a part of the split that stays empty or lacks a class.
    """
    check(table)
    parts = _parts(table, split, seed)
    train = table.features[parts[0]].astype(np.float64)
    mean, divisor = _standard(table, train) if scale == "standard" else _divisors(table, train, scale, input)
    y = table.labels.astype(np.int32) if table.labels is not None else np.asarray(table.targets, np.float32)
    weights = np.ones(len(table.features), np.float32) if table.weights is None else table.weights.astype(np.float32)

    def take(index: np.ndarray) -> Split:
        x = input.quantize((table.features[index].astype(np.float64) - mean) / divisor)
        return Split(x.astype(np.float32), y[index], weights[index])

    splits = [take(part) for part in parts]
    if table.labels is not None:
        for name, part in zip(("training", "validation", "test"), splits, strict=True):
            missing = sorted(set(range(len(table.class_names))) - set(part.y.tolist()))
            if missing:
                raise InputError(
                    f"{table.name}: the {name} part has no event of class '{table.class_names[missing[0]]}': give more "
                    "events or another data.split"
                )
    return Dataset(
        table.name,
        splits[0].head(train_events or len(splits[0])),
        splits[1],
        splits[2],
        tuple(map(str, table.feature_names)),
        tuple(map(str, table.class_names)),
        input,
        mean,
        divisor,
    )
