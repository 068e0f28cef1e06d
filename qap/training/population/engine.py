"""The population engine: many candidates trained by one compiled program, several at the same time.

A lane is one candidate within a call of the program. On a processor one lane is fastest: its activations stay in the cache,
while a batch of candidates streams through main memory. On a GPU many lanes fill the device.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from qap.backend import stack
from qap.datasets.dataset import Dataset, Split
from qap.errors import InputError
from qap.models.architecture import Architecture
from qap.models.builders import Weights, build, set_weights
from qap.plan import Plan
from qap.training.job import Failed, Job, Losses, Soft, Trained, diverged, steps_per_epoch
from qap.training.keras_engine import KerasEngine, logits
from qap.training.population.circuits import Trainer
from qap.training.population.exact import sums_are_exact
from qap.training.population.group import Task, make_groups, train_group
from qap.training.population.memory import available, check_lanes, lane_bytes
from qap.training.population.network import Topology
from qap.training.population.program import EVALUATION_BATCH, Events, Program
from qap.training.population.quantizers import MAX_UNSIGNED_BITS
from qap.training.population.supernet import train_shared
from qap.training.population.tensors import check_weights, evaluation_tensor, event_tensors, plan_tensors, weight_tensor

GPU_LANES = 32
TRACED = 16384
"""Training events over which input widths are traced."""

Say = Callable[[str], None]


def traced_events(data: Dataset) -> np.ndarray:
    """Return the numbers of the first `TRACED` training events, (steps, batch); what does not fill a batch is left out."""
    batch = min(EVALUATION_BATCH, len(data.train))
    steps = max(min(TRACED, len(data.train)) // batch, 1)
    return np.arange(steps * batch, dtype=np.int32).reshape(steps, batch)


def unsupported(job: Job) -> str | None:
    """Return why the population engine does not train a job, None when it does."""
    if job.quantizers is None and (job.weights is None or any(layer.batchnorm for layer in job.architecture.layers)):
        return "a float network"
    if not job.architecture.is_mlp:
        return "convolutions or residual connections"
    if job.builder is not build:
        return "a model function of the user's own"
    if job.clusters is not None:
        return "weight clustering"
    if job.teacher is not None and job.teacher.features is not None:
        return "features that are to match a teacher's"
    for _, layer in job.quantizers.items() if job.quantizers is not None else ():
        for precision in (layer.weight, layer.bias, layer.activation):
            if precision is not None and precision.kind != "fixed":
                return f"{precision.kind} quantizers"
        if layer.activation is not None and not layer.activation.signed and layer.activation.bits > MAX_UNSIGNED_BITS:
            return f"quantized_relu of more than {MAX_UNSIGNED_BITS} bits"
    return None


def _ignore(message: str) -> None:
    """Say nothing."""


class PopulationEngine:
    """Trains fixed-point candidates many times faster than one Keras model after another.

    Equal weights give the masks and logits of `KerasEngine` bit for bit; trained weights differ by float32 rounding in the
    sums of the gradients. What it does not cover goes to the keras engine.

    Parameters
    ----------
    lanes : int, optional
        Candidates in one call of the compiled program; None takes 1 on a processor and 32 on a GPU.
    workers : int, optional
        Calls in flight; None takes 2, so that one is prepared while the other runs.
    say : callable, optional
        Told once for each reason why jobs go to the keras engine.
    """

    name = "population"

    def __init__(self, lanes: int | None = None, workers: int | None = None, say: Say = _ignore) -> None:
        for key, value in (("lanes", lanes), ("workers", workers)):
            if value is not None and value < 1:
                raise InputError(f"population: {key}: expected 1 or more, received {value}")
        self._lanes, self._workers, self._say = lanes, workers, say
        self._said: set[str] = set()
        self._keras = KerasEngine()
        self._lock = threading.Lock()
        self._programs: dict[tuple[Topology, bool], Program] = {}
        self._events: WeakKeyDictionary[Dataset, Events] = WeakKeyDictionary()
        self._soft: WeakKeyDictionary[Soft, Any] = WeakKeyDictionary()
        self._splits: WeakKeyDictionary[Split, Any] = WeakKeyDictionary()

    @property
    def lanes(self) -> int:
        """Candidates in one call of the compiled program."""
        return self._lanes or (GPU_LANES if stack().tf.config.list_physical_devices("GPU") else 1)

    @property
    def workers(self) -> int:
        """Calls in flight."""
        return self._workers or 2

    @property
    def traces(self) -> int:
        """How often TensorFlow has traced anything for this engine."""
        return sum(program.traces for program in self._programs.values())

    def train(self, jobs: Sequence[Job], data: Dataset) -> Iterator[Trained | Failed]:
        """Train jobs of any plans, schedules and seeds at once.

        Parameters
        ----------
        jobs : sequence of Job
        data : Dataset

        Yields
        ------
        Trained or Failed
            In the order of the jobs, each as soon as it and those before it are done. A candidate whose loss is not finite
            fails alone.

        Raises
        ------
        InputError
            A batch larger than the training split, a plan, weights or a teacher that do not fit, more lanes than fit into
            the memory.
        """
        for job in jobs:
            self._check(job, data)
        for here, part in itertools.groupby(jobs, key=lambda job: unsupported(job) is None):
            batch = list(part)
            if here:
                yield from self._train_here(batch, data)
                continue
            for reason in dict.fromkeys(str(unsupported(job)) for job in batch):
                if reason not in self._said:
                    self._said.add(reason)
                    self._say(f"{reason}: trained by the keras engine")
            yield from self._keras.train(batch, data)

    def evaluate(
        self, architecture: Architecture, plans: Sequence[Plan | None], weights: Sequence[Weights], split: Split
    ) -> list[np.ndarray]:
        """Return the logits of candidates that need no training, (events, outputs) each.

        They are QKeras's bit for bit where no sum needs more than 24 bits (see `exact.sums_are_exact`).

        Parameters
        ----------
        architecture : Architecture
        plans : sequence of Plan or None
            Fixed point; None runs a float network.
        weights : sequence of mapping
            Latent weights of each.
        split : Split

        Raises
        ------
        InputError
            A plan that does not fit the architecture or that this engine does not cover.
        """
        found: dict[int, np.ndarray] = {}
        groups: dict[Topology, list[int]] = {}
        for number, plan in enumerate(plans):
            if plan is not None:
                architecture.check(plan)
            job = Job(architecture, plan, weights[number], 1, 1, 1.0, "constant", 0)
            if (reason := unsupported(job)) is not None:
                raise InputError(f"evaluate: the population engine does not cover {reason}")
            groups.setdefault(Topology.of(architecture, plan), []).append(number)
            check_weights(architecture, weights[number])
        x = self._split(split)
        for topology, members in groups.items():
            program = self._program(topology, split.y.ndim == 1)
            for first in range(0, len(members), self.lanes):
                group = members[first : first + self.lanes]
                padded = group + [group[-1]] * (self.lanes - len(group))
                lanes = plan_tensors(architecture, [plans[n] for n in padded], [None] * len(padded))
                outputs = program.evaluate(weight_tensor(architecture, [weights[n] for n in padded]), lanes, x).numpy()
                for lane, number in enumerate(group):
                    found[number] = outputs[lane, :, : len(split)].T
        return [found[number] for number in range(len(plans))]

    def train_shared(self, job: Job, plans: Sequence[Sequence[Plan]], data: Dataset) -> tuple[dict[str, np.ndarray], float]:
        """Train weights that many plans share: a row of plans for each step (see `supernet.train_shared`).

        With `evaluate` and `masks.pruned` a plan is then judged in milliseconds.
        """
        if not plans or not plans[0]:
            raise InputError("supernet: expected a row of plans for each step, received none")
        topology = Topology.of(job.architecture, plans[0][0])
        program = self._program(topology, data.task == "classification")
        return train_shared(program, job, plans, self._events_for(data, job.teacher))

    def trainer(self, data: Dataset, teacher: Soft | None) -> Trainer:
        """Return what trains circuits (see `qap.models.circuit`) on a dataset."""
        classes = data.task == "classification"
        return Trainer(lambda topology: self._program(topology, classes), self._events_for(data, teacher), data.input, teacher)

    def largest(self, architecture: Architecture, plan: Plan, weights: Weights, data: Dataset) -> list[np.ndarray]:
        """Return the largest magnitudes that each layer of a network is given, over the first `TRACED` training events.

        Parameters
        ----------
        architecture, plan, weights
            As for `evaluate`.
        data : Dataset

        Returns
        -------
        list of (inputs,) arrays
            By layer; the first one of the features as the network rounds them.
        """
        program = self._program(Topology.of(architecture, plan), data.task == "classification")
        order = traced_events(data)[:, None]
        plans = plan_tensors(architecture, [plan], [None])
        found, _ = program.probe(weight_tensor(architecture, [weights]), plans, self._events_for(data, None), order)
        widths = [inputs for inputs, _ in architecture.shapes.values()]
        return np.split(found.numpy()[0].astype(np.float64), np.cumsum(widths)[:-1])

    def _check(self, job: Job, data: Dataset) -> None:
        steps_per_epoch(len(data.train), job.batch)
        if job.plan is not None:
            job.architecture.check(job.plan)
        if job.weights is not None:
            check_weights(job.architecture, job.weights)
        if job.teacher is not None:
            job.teacher.check(len(data.train), data.outputs)

    def _program(self, topology: Topology, classes: bool) -> Program:
        with self._lock:
            if (topology, classes) not in self._programs:
                self._programs[topology, classes] = Program(topology, classes)
            return self._programs[topology, classes]

    def _split(self, split: Split) -> Any:
        if split not in self._splits:
            self._splits[split] = evaluation_tensor(split)
        return self._splits[split]

    def _events_for(self, data: Dataset, teacher: Soft | None) -> Events:
        if data not in self._events:
            self._events[data] = event_tensors(data)
        if teacher is None:
            return self._events[data]
        if teacher not in self._soft:
            self._soft[teacher] = stack().tf.constant(teacher.outputs, stack().tf.float32)
        return self._events[data]._replace(soft=self._soft[teacher])

    def _train_here(self, jobs: Sequence[Job], data: Dataset) -> Iterator[Trained | Failed]:
        """Keep the workers busy, a few groups ahead of what has been yielded."""
        tasks = [Task.of(number, job) for number, job in enumerate(jobs)]
        groups = make_groups(tasks, self.lanes, len(data.train))
        self._check_memory(tasks, len(groups), data)
        stop = threading.Event()
        found: dict[int, Trained | Failed] = {}
        pending: deque[tuple[list[Task], Future[Any]]] = deque()
        wanted = 0
        with ThreadPoolExecutor(self.workers, thread_name_prefix="population") as pool:
            try:
                for group in groups:
                    pending.append((group, pool.submit(self._train_group, group, data, stop)))
                    while pending and (len(pending) > 2 * self.workers or group is groups[-1]):
                        done, future = pending.popleft()
                        weights, history, outputs = future.result()
                        found.update(self._results(done, weights, history, outputs, data))
                        while wanted in found:
                            yield found.pop(wanted)
                            wanted += 1
            finally:
                stop.set()
                pool.shutdown(cancel_futures=True)

    def _train_group(self, group: Sequence[Task], data: Dataset, stop: threading.Event) -> Any:
        """Train and evaluate a group; runs in a worker."""
        teacher = group[0].job.teacher
        events = self._events_for(data, teacher)
        program = self._program(group[0].topology, data.task == "classification")
        weights, history = train_group(program, group, self.lanes, events, stop)
        plans = [task.plan for task in group]
        return weights, history, self.evaluate(group[0].job.architecture, plans, weights, data.validation)

    def _results(
        self, group: Sequence[Task], weights: list[Any], epochs: list[np.ndarray], outputs: list[np.ndarray], data: Dataset
    ) -> dict[int, Trained | Failed]:
        found: dict[int, Trained | Failed] = {}
        for lane, task in enumerate(group):
            job, value = task.job, float(epochs[-1][lane, 0])
            if not np.isfinite(value):
                found[task.number] = diverged(job, value)
                continue
            validation = outputs[lane]
            if task.plan is not None and not sums_are_exact(job.architecture, task.plan, weights[lane], data.input):
                model = build(job.architecture, task.plan)
                set_weights(model, weights[lane])
                validation = logits(model, data.validation.x)
            taught = job.teacher is not None
            history = tuple(Losses(*map(float, losses[lane] if taught else losses[lane, :2])) for losses in epochs)
            found[task.number] = Trained(weights[lane], validation, value, None, history)
        return found

    def _check_memory(self, tasks: Sequence[Task], groups: int, data: Dataset) -> None:
        needs = [lane_bytes(t.job.architecture, t.job.batch, steps_per_epoch(len(data.train), t.job.batch)) for t in tasks]
        bytes_of_data = sum(part.x.nbytes + part.y.nbytes for part in (data.train, data.validation))
        check_lanes(self.lanes, min(self.workers, groups) * max(needs), bytes_of_data, available())
