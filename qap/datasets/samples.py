"""Events by class, as a network sees them: also those of classes that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from qap.config.data import Data
from qap.datasets.dataset import prepare
from qap.datasets.files import Reading
from qap.datasets.load import load_table
from qap.datasets.scaling import on_grid
from qap.datasets.table import members, take
from qap.errors import InputError
from qap.precision import Precision


@dataclass(frozen=True, eq=False)
class Sample:
    """Events of one or more classes.

    Parameters
    ----------
    x : (events, features) float32 array
        Scaled, on the input grid.
    weight : (events,) float64 array
        The data's own event weights, ones where there are none.
    """

    x: np.ndarray
    weight: np.ndarray

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, eq=False)
class Samples:
    """What an anomaly trigger is judged on.

    Parameters
    ----------
    name : str
        The data's name.
    known : mapping of str to Sample
        The test part of each class in `data.classes`.
    others : mapping of str to Sample
        All events of each other class: training has seen none of them.
    feature_names : tuple of str
    """

    name: str
    known: Mapping[str, Sample]
    others: Mapping[str, Sample]
    feature_names: tuple[str, ...]


def load_samples(
    data: Data,
    folder: Path | None = None,
    *,
    watch: Callable[[Reading], None] | None = None,
    say: Callable[[str], None] = lambda message: None,
) -> Samples:
    """Load the events that training has not seen, scaled as it was.

    Parameters
    ----------
    data : Data
        With `classes`: what a network is trained on. Split and scale are those of `load_dataset`; `weighted`, `signal`,
        `reconstruct` and `score_of` play no part.
    folder, watch, say
        As for `load_dataset`.

    Raises
    ------
    InputError
        No `data.classes`, data without classes, or none but these; see `load_dataset` too.
    """
    if data.classes is None:
        raise InputError("data.classes: expected the classes that the networks are trained on; the others are the anomalies")
    table = load_table(data, folder, watch=watch, say=say)
    chosen = members(table, data.classes)
    if chosen.all():
        raise InputError(f"data.classes: {table.where} has no other classes: nothing is left to be an anomaly")
    # the class numbers as targets: one class alone will do, and one may be missing in a part of the split
    numbered = replace(table, labels=None, targets=None if table.labels is None else table.labels[:, None], class_names=())
    data_known = prepare(
        take(numbered, chosen),
        Precision(data.input.bits, data.input.integer),
        split=data.split,
        seed=data.split_seed,
        scale=data.scale,
    )
    test, names = data_known.test, [str(name) for name in table.class_names]
    weights = np.ones(len(table.features)) if table.weights is None else table.weights.astype(np.float64)
    known, others = {}, {}
    for number, name in enumerate(names):
        seen = test.y[:, 0] == number
        events = np.flatnonzero((table.labels == number) & ~chosen)
        if seen.any():
            known[name] = Sample(test.x[seen], test.weight[seen].astype(np.float64))
        elif len(events):
            x = on_grid(table.features, events, data_known.mean, data_known.scale, data_known.input)
            others[name] = Sample(x, weights[events])
    return Samples(table.name, known, others, data_known.feature_names)
