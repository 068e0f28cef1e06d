"""How much a model loses when its inputs are not as in training: noise, and features off in position or scale.

Inputs are standardised features (`qap.datasets.dataset.Split.x`), so all sizes are in standard deviations of the training
split. A model enters as a function from inputs to scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qap.errors import InputError
from qap.metrics.classification import Kind, accuracy
from qap.metrics.spread import Spread
from qap.precision import Precision

Predict = Callable[[np.ndarray], np.ndarray]
"""(events, features) inputs → scores."""


def _on_grid(x: np.ndarray, grid: Precision | None) -> np.ndarray:
    return x if grid is None else grid.quantize(x)


def _features(x: np.ndarray) -> np.ndarray:
    values = np.asarray(x, np.float64)
    if values.ndim < 2 or not len(values):
        raise InputError(f"x: expected inputs (events, features), received shape {values.shape}")
    return values


@dataclass(frozen=True, slots=True)
class Noise:
    """Accuracy at one level of noise."""

    level: float
    accuracy: Spread


def under_noise(
    predict: Predict,
    x: np.ndarray,
    labels: np.ndarray,
    levels: Sequence[float],
    *,
    grid: Precision | None = None,
    repetitions: int = 5,
    seed: int = 0,
    weights: np.ndarray | None = None,
    kind: Kind = "auto",
) -> tuple[Noise, ...]:
    """Return the accuracy with Gaussian noise added to every input.

    Parameters
    ----------
    predict : callable
    x : (events, features) array
    labels : (events,) integers from 0
    levels : sequence of float
        Standard deviations of the noise, from 0.
    grid : Precision, optional
        The type of the firmware's input: noisy inputs are rounded to it and saturate, as there (default: left as they are).
    repetitions : int, default 5
        Draws of the noise at each level; the levels share them, scaled.
    seed : int, default 0
    weights : (events,) array, optional
        Event weights from 0.
    kind : {'auto', 'logits', 'probabilities'}, default 'auto'

    Raises
    ------
    InputError
        No repetition, or a negative level.
    """
    inputs = _features(x)
    if repetitions < 1 or not all(0 <= level < np.inf for level in levels):
        raise InputError(f"noise: expected levels from 0 and 1 or more repetitions, received {list(levels)} and {repetitions}")

    def once(level: float, repetition: int) -> float:
        draws = np.random.SeedSequence(seed, spawn_key=(repetition,))  # no stream that data made with the same seed have
        noise = np.random.default_rng(draws).normal(0.0, 1.0, inputs.shape)
        return accuracy(labels, predict(_on_grid(inputs + level * noise, grid)), weights, kind)

    return tuple(Noise(level, Spread.of(once(level, i) for i in range(repetitions))) for level in levels)


@dataclass(frozen=True, slots=True)
class Variation:
    """Accuracy with features moved: x → scale · x + shift.

    Parameters
    ----------
    feature : int or None
        None: all features together.
    shift, scale : float
    accuracy, drop : float
        Drop: accuracy without the variation − accuracy with it.
    """

    feature: int | None
    shift: float
    scale: float
    accuracy: float
    drop: float


def varied(
    x: np.ndarray, *, feature: int | None = None, shift: float = 0.0, scale: float = 1.0, grid: Precision | None = None
) -> np.ndarray:
    """Return the inputs with one feature (None: all) as scale · x + shift, rounded to the grid where one is given."""
    inputs = _features(x).copy()
    if feature is not None and not 0 <= feature < inputs.shape[-1]:
        raise InputError(f"feature: expected a number from 0 to {inputs.shape[-1] - 1}, received {feature}")
    chosen = slice(None) if feature is None else feature
    inputs[..., chosen] = scale * inputs[..., chosen] + shift
    return _on_grid(inputs, grid)


def systematics(
    predict: Predict,
    x: np.ndarray,
    labels: np.ndarray,
    *,
    shift: float = 0.0,
    scale: float = 0.0,
    features: Sequence[int | None] | None = None,
    grid: Precision | None = None,
    weights: np.ndarray | None = None,
    kind: Kind = "auto",
) -> tuple[Variation, ...]:
    """Return the accuracy with each feature, and with all of them, moved up and down.

    Parameters
    ----------
    predict, x, labels, grid, weights, kind
        As for `under_noise`.
    shift : float, default 0.0
        Features are moved by ± shift.
    scale : float, default 0.0
        Features are multiplied by 1 ± scale (about the mean of the training split, where standardised features are 0).
    features : sequence of int or None, optional
        Which ones; None in it means all together (default: each one, then all).

    Returns
    -------
    tuple of Variation
        Shift up, shift down, scale up, scale down for each feature; those of size 0 are left out.
    """
    inputs = _features(x)
    chosen = (*range(inputs.shape[-1]), None) if features is None else features
    moves = [(s, 1.0) for s in (shift, -shift) if s] + [(0.0, 1 + s) for s in (scale, -scale) if s]
    if not moves:
        raise InputError("systematics: expected a shift or a scale other than 0")
    plain = accuracy(labels, predict(_on_grid(inputs, grid)), weights, kind)
    found = []
    for feature in chosen:
        for by, factor in moves:
            moved = varied(inputs, feature=feature, shift=by, scale=factor, grid=grid)
            value = accuracy(labels, predict(moved), weights, kind)
            found.append(Variation(feature, by, factor, value, plain - value))
    return tuple(found)
