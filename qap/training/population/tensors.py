"""Jobs, datasets and splits as the tensors of a compiled program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qap.backend import stack
from qap.datasets.dataset import Dataset, Split
from qap.errors import InputError
from qap.models.architecture import Architecture
from qap.models.builders import Weights
from qap.models.circuit import layout
from qap.plan import Plan
from qap.precision import Precision
from qap.training.job import Job, Soft
from qap.training.population.masks import keep_counts
from qap.training.population.program import BETA_1, BETA_2, EVALUATION_BATCH, Events, Plans, Schedule
from qap.training.population.quantizers import GRID, grid, identity


def _grids(precisions: Sequence[Precision | None]) -> np.ndarray:
    return np.stack([np.zeros(GRID, np.float32) if precision is None else grid(precision) for precision in precisions])


def _rows(plan: Plan | None, layers: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the grids of kernels, then biases; and those of the activations."""
    if plan is None:
        return np.stack([identity(signed=True)] * (2 * layers)), np.stack([identity(signed=False)] * layers)
    found = [layer for _, layer in plan.items()]
    weights = _grids([layer.weight for layer in found] + [layer.bias for layer in found])
    return weights, _grids([layer.activation for layer in found])


def _input_rows(plan: Plan | None, features: int) -> np.ndarray:
    """Return the grids of the features: their exponents are in the steps per unit."""
    rows = np.zeros((features, GRID), np.float32)
    if plan is not None and plan.inputs is not None:
        rows[:] = grid(plan.inputs.precision)
        rows[:, 0] = np.ldexp(rows[:, 0], -np.array(plan.inputs.exponents or [0] * features))
    return rows


def plan_tensors(architecture: Architecture, plans: Sequence[Plan | None], teachers: Sequence[Soft | None]) -> Plans:
    """Return plans (None: float) and the settings of their soft losses, one for each lane."""
    tf = stack().tf
    weight, activation = zip(*(_rows(plan, len(architecture.layers)) for plan in plans), strict=True)
    knobs = [(1.0, 0.0) if soft is None else (soft.temperature, soft.alpha) for soft in teachers]
    inputs = np.stack([_input_rows(plan, architecture.inputs) for plan in plans])
    return Plans(*(tf.constant(part, tf.float32) for part in (np.stack(weight), inputs, np.stack(activation), knobs)))


def check_weights(architecture: Architecture, weights: Weights) -> None:
    """Refuse weights of other names or shapes than the architecture has.

    Raises
    ------
    InputError
    """
    for name, shape in architecture.shapes.items():
        for key, expected in ((f"{name}/kernel", shape), (f"{name}/bias", shape[-1:])):
            received = np.shape(weights[key]) if key in weights else "nothing"
            if received != expected:
                raise InputError(f"weights: {key}: expected shape {expected}, received {received}")


def weight_tensor(architecture: Architecture, weights: Sequence[Weights]) -> Any:
    """Return the latent weights of the lanes, (lanes, weights)."""
    lanes = [layout(architecture).pack(lane) for lane in weights]
    return stack().tf.constant(np.stack(lanes), stack().tf.float32)


def mask_tensor(architecture: Architecture, lanes: Sequence[Mapping[str, np.ndarray]]) -> Any:
    """Return the fixed masks of the lanes, (lanes, weights), 1 where there is none."""
    ones: dict[str, np.ndarray] = {}
    for name, shape in architecture.shapes.items():
        ones[f"{name}/kernel"], ones[f"{name}/bias"] = np.ones(shape), np.ones(shape[1])
    full = [{**ones, **{f"{name}/kernel": mask for name, mask in masks.items()}} for masks in lanes]
    return weight_tensor(architecture, full)


def event_tensors(data: Dataset) -> Events:
    """Return the training split, its weights with a mean of 1."""
    tf = stack().tf
    train = data.train
    weight = train.weight / np.float32(train.weight.mean(dtype=np.float64))
    return Events(tf.constant(train.x), tf.constant(train.y), tf.constant(weight), None)


def evaluation_tensor(split: Split) -> Any:
    """Return a split in batches of `EVALUATION_BATCH`, the last one filled up with zeros."""
    batches = -(-len(split) // EVALUATION_BATCH)
    padded = np.zeros((batches * EVALUATION_BATCH, split.x.shape[1]), np.float32)
    padded[: len(split)] = split.x
    return stack().tf.constant(padded.reshape(batches, EVALUATION_BATCH, -1))


def learning_rates(rate: float, decay: str, first: int, count: int, length: int) -> np.ndarray:
    """Return the learning rates of `count` steps from step `first` (from 0) of a training of `length` steps."""
    number = first + np.arange(count)
    return rate * 0.5 * (1 + np.cos(np.pi * number / length)) if decay == "cosine" else np.full(count, rate)


def step_sizes(job: Job, total: int) -> np.ndarray:
    """Return Adam's step size at each of `total` steps: learning rate × √(1 − β₂ᵗ) / (1 − β₁ᵗ), float32.

    The powers are rounded to float32 before the subtraction, as Keras does: at the first steps this is what counts.
    """
    number = np.arange(1, total + 1)
    before, length = job.window or (0, total)
    rate = learning_rates(job.learning_rate, job.decay, before, total, length)
    one = np.float32(1)
    first, second = (one - (np.float64(np.float32(beta)) ** number).astype(np.float32) for beta in (BETA_1, BETA_2))
    return rate.astype(np.float32) * np.sqrt(second) / first


def keep_tensor(jobs: Sequence[Job], first: int, steps: int) -> np.ndarray:
    """Return the numbers of weights that the masks keep, (steps, lanes, layers), 0 for no renewal; `first` counts from 1."""
    keep = np.zeros((steps, len(jobs), len(jobs[0].architecture.layers)), np.int32)
    for lane, job in enumerate(jobs):
        for layer, (name, (inputs, units)) in enumerate(job.architecture.shapes.items()):
            if name in job.pruning and job.plan is not None:
                sparsity = job.plan[name].sparsity
                keep[:, lane, layer] = keep_counts(job.pruning[name], sparsity, inputs * units, first, steps)
    return keep


def schedule_tensors(jobs: Sequence[Job], order: np.ndarray, rates: np.ndarray, start: int, steps: int) -> Schedule:
    """Return the schedule of one epoch.

    Parameters
    ----------
    jobs : sequence of Job
        One for each lane.
    order : (steps of an epoch, lanes, batch) int32 array
    rates : (all steps, lanes) float32 array
    start : int
        Steps done before.
    steps : int
        Steps of this epoch; tensors keep the length of a whole one, so that nothing is compiled again.
    """
    tf = stack().tf
    length = len(order)
    keep = np.zeros((length, len(jobs), len(jobs[0].architecture.layers)), np.int32)
    keep[:steps] = keep_tensor(jobs, start + 1, steps)
    rate = np.zeros((length, len(jobs)), np.float32)
    rate[:steps] = rates[start : start + steps]
    return Schedule(tf.constant(order), tf.constant(keep), tf.constant(rate))
