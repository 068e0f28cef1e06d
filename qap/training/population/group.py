"""Groups of jobs that one call of a compiled program can train, and their training."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qap.backend import stack
from qap.models.builders import Weights, get_weights
from qap.models.circuit import layout
from qap.plan import Plan
from qap.training.job import Job, epoch_orders, steps_per_epoch
from qap.training.keras_engine import fresh_model
from qap.training.population.network import Topology
from qap.training.population.program import Events, Program, start
from qap.training.population.tensors import (
    mask_tensor,
    plan_tensors,
    schedule_tensors,
    step_sizes,
    weight_tensor,
)


@dataclass(frozen=True, eq=False)
class Task:
    """A job with its start weights.

    Parameters
    ----------
    number : int
        Its place among the jobs.
    job : Job
    plan : Plan or None
        None trains a float network.
    weights : mapping
    """

    number: int
    job: Job
    plan: Plan | None
    weights: Weights

    @classmethod
    def of(cls, number: int, job: Job) -> Task:
        """Take the job's start weights, or those that Keras's initialisation gives for its seed."""
        weights = get_weights(fresh_model(job), job.architecture) if job.weights is None else job.weights
        return cls(number, job, job.quantizers, weights)

    @property
    def topology(self) -> Topology:
        """What the program for this job is compiled for."""
        return Topology.of(self.job.architecture, self.plan)


def make_groups(tasks: Sequence[Task], lanes: int, events: int) -> list[list[Task]]:
    """Put tasks of the same topology, batch, number of steps and teacher's outputs together, at most `lanes` in a group."""
    groups: list[list[Task]] = []
    last: dict[object, list[Task]] = {}
    for task in tasks:
        job = task.job
        teacher = None if job.teacher is None else id(job.teacher.outputs)
        key = (task.topology, job.batch, job.total_steps(events), teacher)
        if key not in last or len(last[key]) == lanes:
            last[key] = []
            groups.append(last[key])
        last[key].append(task)
    return groups


def train_group(
    program: Program, group: Sequence[Task], lanes: int, events: Events, stop: threading.Event
) -> tuple[list[dict[str, np.ndarray]], list[np.ndarray]]:
    """Train a group.

    Parameters
    ----------
    program : Program
    group : sequence of Task
    lanes : int
        Lanes of the program; those that the group leaves empty repeat its last task.
    events : Events
    stop : threading.Event
        Set to end after the epoch under way.

    Returns
    -------
    weights : list of dict
        By task.
    history : list of (tasks, 3) arrays
        Mean losses of each epoch: total, hard, soft; not finite where the training diverged.
    """
    tf = stack().tf
    filled = [*group, *[group[-1]] * (lanes - len(group))]
    jobs = [task.job for task in filled]
    number, batch = len(events.x), jobs[0].batch
    epoch, total = steps_per_epoch(number, batch), jobs[0].total_steps(number)
    architecture = jobs[0].architecture
    plans = plan_tensors(architecture, [task.plan for task in filled], [job.teacher for job in jobs])
    masks = mask_tensor(architecture, [job.masks for job in jobs]) if any(job.masks for job in jobs) else None
    state = start(weight_tensor(architecture, [task.weights for task in filled]), masks)
    rates = np.stack([step_sizes(job, total) for job in jobs], axis=1)
    orders = {job.seed: epoch_orders(number, batch, job.seed) for job in jobs}
    history: list[np.ndarray] = []
    bad = np.zeros(lanes, bool)
    for first in range(0, total, epoch):
        drawn = {seed: next(order) for seed, order in orders.items()}
        steps = min(epoch, total - first)
        order = np.stack([drawn[job.seed] for job in jobs], axis=1)
        state, losses = program.train(
            state, plans, events, schedule_tensors(jobs, order, rates, first, steps), tf.constant(steps)
        )
        history.append(np.where(bad[:, None], history[-1] if history else np.nan, losses.numpy()))
        bad |= ~np.isfinite(history[-1][:, 0])
        if bad.all() or stop.is_set():
            break
    packed = state.weights.numpy()
    found = [layout(architecture).unpack(packed[lane]) for lane in range(len(group))]
    return found, [losses[: len(group)] for losses in history]
