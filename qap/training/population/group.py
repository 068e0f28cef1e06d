"""Groups of jobs that one call of a compiled program can train, and their training."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qap.backend import stack
from qap.models.builders import Weights, get_weights
from qap.plan import Plan
from qap.training.job import Job, epoch_orders, steps_per_epoch
from qap.training.keras_engine import fresh_model
from qap.training.population.network import Topology
from qap.training.population.program import Events, Program, start
from qap.training.population.tensors import plan_tensors, schedule_tensors, step_sizes, weight_arrays, weight_tensor


@dataclass(frozen=True, eq=False)
class Task:
    """A job that has a plan and start weights.

    Parameters
    ----------
    number : int
        Its place among the jobs.
    job : Job
    plan : Plan
    weights : mapping
    """

    number: int
    job: Job
    plan: Plan
    weights: Weights

    @classmethod
    def of(cls, number: int, job: Job, plan: Plan) -> Task:
        """Take the job's start weights, or those that Keras's initialisation gives for its seed."""
        weights = get_weights(fresh_model(job), job.architecture) if job.weights is None else job.weights
        return cls(number, job, plan, weights)

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
) -> tuple[list[dict[str, np.ndarray]], np.ndarray]:
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
    loss : (tasks,) array
        Mean loss of the last epoch, not finite where the training diverged.
    """
    tf = stack().tf
    filled = [*group, *[group[-1]] * (lanes - len(group))]
    jobs = [task.job for task in filled]
    number, batch = len(events.x), jobs[0].batch
    epoch, total = steps_per_epoch(number, batch), jobs[0].total_steps(number)
    plans = plan_tensors([task.plan for task in filled], [job.teacher for job in jobs])
    state = start(weight_tensor(jobs[0].architecture, [task.weights for task in filled]))
    rates = np.stack([step_sizes(job, total) for job in jobs], axis=1)
    orders = {job.seed: epoch_orders(number, batch, job.seed) for job in jobs}
    loss = np.full(lanes, np.nan)
    bad = np.zeros(lanes, bool)
    for first in range(0, total, epoch):
        drawn = {seed: next(order) for seed, order in orders.items()}
        steps = min(epoch, total - first)
        order = np.stack([drawn[job.seed] for job in jobs], axis=1)
        state, losses = program.train(
            state, plans, events, schedule_tensors(jobs, order, rates, first, steps), tf.constant(steps)
        )
        loss = np.where(bad, loss, losses.numpy())
        bad |= ~np.isfinite(loss)
        if bad.all() or stop.is_set():
            break
    packed = state.weights.numpy()
    return [weight_arrays(jobs[0].architecture, packed[lane]) for lane in range(len(group))], loss[: len(group)]
