"""Dataset: events that are ready for a network whose input is a fixed-point type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qap.datasets.scaling import Scale, divisors, on_grid, standard
from qap.datasets.table import Table, check, without_answers
from qap.errors import InputError
from qap.precision import Precision


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


def _parts(table: Table, split: Sequence[float], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the events of the training, validation and test part; those that are divided by fractions are shuffled."""
    part = np.full(len(table.features), -1, np.int8) if table.part is None else table.part
    own = [np.flatnonzero(part == number) for number in range(3)]
    generator = np.random.default_rng(seed)
    if table.part is None:
        order = generator.permutation(len(part))
        first, second = round(split[0] * len(part)), round((split[0] + split[1]) * len(part))
        own = [order[:first], order[first:second], order[second:]]
    elif not len(own[1]):
        order = own[0][generator.permutation(len(own[0]))]
        first = round(split[0] / (split[0] + split[1]) * len(order))
        own = [order[:first], order[first:], own[2]]
    else:
        own[0] = own[0][generator.permutation(len(own[0]))]
    if min(len(events) for events in own) < 1:
        raise InputError(f"{table.where}: {len(part)} events are too few for the split {list(split)}")
    return own[0], own[1], own[2]


def prepare(
    table: Table,
    input: Precision,
    *,
    split: Sequence[float] = (0.7, 0.1, 0.2),
    seed: int = 42,
    train_events: int | None = None,
    scale: Scale = "standard",
    answer: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Dataset:
    """Split, scale, and round to the input grid.

    Parameters
    ----------
    table : Table
    input : Precision
        Signed fixed-point type of the scaled features.
    split : three fractions, default (0.7, 0.1, 0.2)
        Training, validation, test. Where the source has parts of its own, they stay; if it has no validation part, the first
        two fractions divide its training events in their ratio.
    seed : int, default 42
        Seed of the permutation behind the split.
    train_events : int, optional
        Keep only the first so many training events. The scaling is that of the whole training part.
    scale : {'standard', 'unit', 'lsb'}, number, (features,) numbers or numbers by feature name, default 'standard'
        ``standard``: subtract the training part's mean, divide by its standard deviation. ``unit``: divide all features by
        one power of two, the smallest above the training part's largest absolute value (256 for pixels up to 255), so that
        ``ap_fixed<N+1,1>`` holds unsigned integers of N bits exactly and firmware takes their bits as they are. ``lsb``: divide
        each feature of hardware integers by its LSB times the power of two that all its integers fit in: all of them lie on the
        grid exactly, and firmware shifts their bits by wiring. Numbers: divide by them, of names and patterns by the first
        that fits. What is only divided may be constant.
    answer : callable, optional
        Makes the targets (events, outputs) from the inputs (events, features) as the network sees them; the table's labels and
        targets are then left out.

    Returns
    -------
    Dataset

    Raises
    ------
    InputError
        See `check`; also a constant feature where features are standardised, numbers that put more than 1 % of the training
        values outside the grid or leave nothing on it, or a part of the split that stays empty or lacks a class.
    """
    table = table if answer is None else without_answers(table)
    check(table, answers=answer is None)
    parts = _parts(table, split, seed)
    mean, divisor = standard(table, parts[0]) if scale == "standard" else divisors(table, parts[0], scale, input)
    weights = np.ones(len(table.features), np.float32) if table.weights is None else table.weights.astype(np.float32)
    inputs = [on_grid(table.features, part, mean, divisor, input) for part in parts]
    if answer is not None:
        answers = [answer(x).astype(np.float32) for x in inputs]
    else:
        y = table.labels.astype(np.int32) if table.labels is not None else np.asarray(table.targets, np.float32)
        answers = [y[part] for part in parts]
    splits = [Split(x, y, weights[part]) for x, y, part in zip(inputs, answers, parts, strict=True)]
    if table.labels is not None:
        for name, part in zip(("training", "validation", "test"), splits, strict=True):
            missing = sorted(set(range(len(table.class_names))) - set(np.unique(part.y).tolist()))
            if missing:
                raise InputError(
                    f"{table.where}: the {name} part has no event of class '{table.class_names[missing[0]]}': give more "
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
