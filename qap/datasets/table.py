"""Table: events as read from a file, and what makes one unfit to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from qap.errors import InputError, suggestion


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
    part : (events,) array of int8, or None
        The source's own split: 0 training, 1 validation, 2 test. Without a validation part the training events are divided.
    lsb : (features,) array, or None
        What one of the hardware integers behind the features stands for; NaN where a feature is none.
    source : str
        File or files, for messages (default: the name).
    """

    name: str
    features: np.ndarray
    feature_names: Sequence[str]
    labels: np.ndarray | None = None
    targets: np.ndarray | None = None
    weights: np.ndarray | None = None
    class_names: Sequence[str] = ()
    part: np.ndarray | None = None
    lsb: np.ndarray | None = None
    source: str = ""

    @property
    def where(self) -> str:
        """What messages call it."""
        return self.source or self.name


def _check_features(table: Table) -> None:
    features = table.features
    if features.ndim != 2 or features.dtype.kind not in "fiu" or not features.size:
        raise InputError(
            f"{table.where}: features: expected numbers of shape (events, features), received {features.dtype} of shape "
            f"{features.shape}"
        )
    if len(table.feature_names) != features.shape[1]:
        raise InputError(f"{table.where}: feature_names: expected {features.shape[1]} names, received {len(table.feature_names)}")
    for column, name in enumerate(table.feature_names):  # one at a time: a million events have to fit
        bad = ~np.isfinite(features[:, column])
        if bad.any():
            raise InputError(
                f"{table.where}: {int(bad.sum())} feature values are NaN or infinite, the first in column '{name}', event "
                f"{int(np.argmax(bad))}: remove or replace them"
            )


def _check_labels(table: Table) -> None:
    labels, events = table.labels, len(table.features)
    if labels is None:
        return
    if labels.shape != (events,) or labels.dtype.kind not in "iub":
        raise InputError(
            f"{table.where}: labels: expected {events} integers, one for each event, received {labels.dtype} of shape "
            f"{labels.shape}"
        )
    classes = len(table.class_names)
    if labels.size and (classes < 2 or labels.min() == labels.max()):
        name = table.class_names[int(labels[0])] if 0 <= labels[0] < classes else labels[0]
        raise InputError(f"{table.where}: labels: expected two classes or more, received one only, '{name}'")
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"{table.where}: labels: expected classes 0 to {classes - 1}, received {labels.min()} to {labels.max()}")


def _check_targets(table: Table) -> None:
    targets, events = table.targets, len(table.features)
    if targets is None:
        return
    if targets.ndim != 2 or len(targets) != events or targets.dtype.kind not in "fiu" or not targets.shape[1]:
        raise InputError(
            f"{table.where}: targets: expected numbers of shape ({events}, outputs), received {targets.dtype} of shape "
            f"{targets.shape}"
        )
    if not np.isfinite(targets).all():
        raise InputError(f"{table.where}: targets: {int((~np.isfinite(targets)).sum())} values are NaN or infinite")


def _check_weights(table: Table) -> None:
    weights, events = table.weights, len(table.features)
    if weights is None:
        return
    if weights.shape != (events,) or weights.dtype.kind not in "fiu" or not np.isfinite(weights).all():
        raise InputError(
            f"{table.where}: weights: expected {events} finite numbers, received {weights.dtype} of shape {weights.shape}"
        )
    if weights.min() < 0 or not weights.sum() > 0:
        raise InputError(f"{table.where}: weights: expected 0 or more with a sum above 0, received {weights.min()} as least")


def check(table: Table, *, answers: bool = True) -> None:
    """Refuse a table that no network can learn from.

    Parameters
    ----------
    table : Table
    answers : bool, default True
        False: neither labels nor targets are needed, for the targets are made from the inputs.

    Raises
    ------
    InputError
        Shapes that do not fit, NaN or infinite values, labels outside the classes, negative weights, neither or both of
        labels and targets.
    """
    _check_features(table)
    if answers and (table.labels is None) == (table.targets is None):
        raise InputError(f"{table.where}: expected either labels (classes) or targets (regression)")
    _check_labels(table)
    _check_targets(table)
    _check_weights(table)


def without_answers(table: Table) -> Table:
    """Return the table without labels and targets."""
    return replace(table, labels=None, targets=None, class_names=())


def members(table: Table, classes: Sequence[str]) -> np.ndarray:
    """Return which events are of one of the classes.

    Parameters
    ----------
    table : Table
    classes : sequence of str
        At least one.

    Returns
    -------
    (events,) array of bool

    Raises
    ------
    InputError
        No such class, a class without events, or a table without classes; see `check` too.
    """
    check(table, answers=False)
    if table.labels is None:
        raise InputError(f"data.classes: received {', '.join(classes)}, but {table.where} has no classes")
    names = [str(name) for name in table.class_names]
    for name in classes:
        if name not in names:
            raise InputError(f"data.classes: {table.where} has no class {name!r}{suggestion(name, names)}")
        if not (table.labels == names.index(name)).any():
            raise InputError(f"data.classes: {table.where} has no event of class {name!r}")
    found: np.ndarray = np.isin(table.labels, [names.index(name) for name in classes])
    return found


def take(table: Table, chosen: np.ndarray) -> Table:
    """Return the events that a mask chooses; the classes keep their numbers."""

    def some(array: np.ndarray | None) -> np.ndarray | None:
        return None if array is None else array[chosen]

    return replace(
        table,
        features=table.features[chosen],
        labels=some(table.labels),
        targets=some(table.targets),
        weights=some(table.weights),
        part=some(table.part),
    )


def only_classes(table: Table, classes: Sequence[str]) -> Table:
    """Return the events of some classes, which are numbered anew in the order given; parameters as for `members`."""
    names = [str(name) for name in table.class_names]
    chosen = take(table, members(table, classes))
    number = np.full(len(names), -1, np.int32)
    number[[names.index(name) for name in classes]] = np.arange(len(classes))
    return replace(chosen, labels=None if chosen.labels is None else number[chosen.labels], class_names=tuple(classes))


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
        raise InputError(f"data.signal: received {signal!r}, but {table.where} is for regression and has no classes")
    if isinstance(signal, str):
        if signal not in names:
            raise InputError(f"data.signal: {table.where} has no class {signal!r}{suggestion(signal, names)}")
        signal = names.index(signal)
    if not 0 <= signal < len(names):
        raise InputError(f"data.signal: {table.where}: expected a number from 0 to {len(names) - 1}, received {signal}")
    name = names[signal]
    binary = (table.labels == signal).astype(np.int32)
    return replace(table, name=f"{table.name}, {name} against the rest", labels=binary, class_names=(f"not {name}", name))
