"""Training of weights that many plans share, so that a plan can be judged without training of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qap.backend import stack
from qap.errors import InputError
from qap.models.builders import Weights
from qap.models.circuit import layout
from qap.plan import Plan
from qap.training.job import Job, epoch_orders, steps_per_epoch
from qap.training.population.network import Topology
from qap.training.population.program import Events, Plans, Program, Schedule, start
from qap.training.population.tensors import plan_tensors, step_sizes, weight_tensor


def _check(job: Job, weights: Weights | None, plans: Sequence[Sequence[Plan]], topology: Topology) -> None:
    """Refuse rows of plans that one program cannot share."""
    if weights is None:
        raise InputError("supernet: expected start weights, received none")
    if len({len(row) for row in plans}) != 1:
        raise InputError("supernet: expected the same number of plans for every step")
    for plan in {plan for row in plans for plan in row}:
        job.architecture.check(plan)
        if Topology.of(job.architecture, plan) != topology:
            raise InputError("supernet: expected plans with the same kinds of activations")


def _keep(job: Job, rows: Sequence[Sequence[Plan]]) -> np.ndarray:
    """Return how many weights each plan keeps, (steps, plans, layers)."""
    sizes = np.array([inputs * units for inputs, units in job.architecture.shapes.values()], np.float32)
    sparsities = np.array([[[layer.sparsity for _, layer in plan.items()] for plan in row] for row in rows], np.float32)
    return np.maximum(np.rint(sizes * (1 - sparsities)), 1).astype(np.int32)


def train_shared(
    program: Program, job: Job, plans: Sequence[Sequence[Plan]], events: Events
) -> tuple[dict[str, np.ndarray], float]:
    """Train shared weights.

    Parameters
    ----------
    program : Program
        Of the plans' topology.
    job : Job
        Architecture, start weights, batch, learning rate, decay, seed and teacher; its plan and pruning are not used.
    plans : sequence of rows of Plan
        One row for each training step.
    events : Events

    Returns
    -------
    weights : dict
        Latent, not pruned (see `masks.pruned`).
    loss : float
        Mean of the last epoch.

    Raises
    ------
    InputError
        No start weights, rows of different lengths, or plans that do not fit.
    """
    tf = stack().tf
    _check(job, job.weights, plans, program.topology)
    total, width, epoch = len(plans), len(plans[0]), steps_per_epoch(len(events.x), job.batch)
    state = start(weight_tensor(job.architecture, [job.weights or {}]))
    rates, orders, loss = step_sizes(job, total), epoch_orders(len(events.x), job.batch, job.seed), float("nan")
    for first in range(0, total, epoch):
        rows = list(plans[first : first + epoch])
        steps = len(rows)
        rows += [rows[-1]] * (epoch - steps)  # the tensors keep their shape, so that nothing is compiled again
        flat = plan_tensors(job.architecture, [plan for row in rows for plan in row], [job.teacher] * (epoch * width))
        shared = Plans(*(tf.reshape(part, (epoch, width, *part.shape[1:])) for part in flat))
        rate = np.zeros((epoch, 1), np.float32)
        rate[:steps, 0] = rates[first : first + steps]
        schedule = Schedule(tf.constant(next(orders)[:, None]), tf.constant(_keep(job, rows)), tf.constant(rate))
        state, mean = program.share(state, shared, events, schedule, tf.constant(steps))
        loss = float(mean)
    return layout(job.architecture).unpack(state.weights.numpy()[0]), loss
