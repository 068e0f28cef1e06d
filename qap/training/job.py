"""What an engine is asked to train, and the interface that every engine has."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from qap.datasets.dataset import Dataset
from qap.errors import InputError
from qap.models.architecture import Architecture
from qap.models.builders import Builder, Weights, build
from qap.plan import Plan


@dataclass(frozen=True, slots=True)
class Pruning:
    """A pruning schedule in training steps, as TF-MOT counts them (the first step is 1).

    Parameters
    ----------
    schedule : {'constant', 'polynomial', 'cosine'}
        The target from `begin` on; or a rise from 0 at `begin` to the target at `end`: cubic (Zhu and Gupta,
        arXiv:1710.01878), or half a cosine.
    begin, end : int
        First and last step of pruning; `end` − `begin` is a multiple of `frequency`, so that the last renewal of the masks
        reaches the target.
    frequency : int
        Steps between renewals of the masks.
    """

    schedule: str
    begin: int
    end: int
    frequency: int

    @classmethod
    def from_fractions(cls, schedule: str, begin: float, end: float, frequency: int, steps: int) -> Pruning:
        """Turn fractions of the training steps into steps, the end moved back onto a renewal.

        Raises
        ------
        InputError
            Fewer steps than one renewal needs.
        """
        first, last = round(begin * steps), min(round(end * steps), steps)
        if last - first < 1:
            raise InputError(
                f"prune: no step lies between begin {begin} and end {end} of {steps} steps: train longer or widen them"
            )
        frequency = min(frequency, last - first)
        return cls(schedule, first, first + (last - first) // frequency * frequency, frequency)


@dataclass(frozen=True, eq=False)
class Features:
    """A teacher's hidden values that a student's layer is to match through a linear layer that is thrown away afterwards.

    Romero et al., "FitNets: hints for thin deep nets", arXiv:1412.6550, in one stage: `weight` times the mean squared
    difference is added to the loss.

    Parameters
    ----------
    layer : str
        The student's layer; its values after the activation count.
    values : (training events, width) float32 array
    weight : float
        Above 0.
    """

    layer: str
    values: np.ndarray
    weight: float


@dataclass(frozen=True, eq=False)
class Soft:
    """Soft targets from a teacher: loss = (1 − α)·hard + α·T²·KL(softmax(teacher/T) ‖ softmax(logits/T)).

    Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", arXiv:1503.02531. In regression the second
    term is α times the mean squared difference to the teacher; T has no meaning there.

    Parameters
    ----------
    outputs : (training events, outputs) float32 array
        The teacher's logits, or its predictions in regression.
    temperature : float, default 1.0
    alpha : float, default 0.5
        Share of the soft loss, 0 to 1.
    features : Features, optional
        What a hidden layer is to match besides.

    Raises
    ------
    InputError
        A temperature of 0 or less, or a share outside [0, 1].
    """

    outputs: np.ndarray
    temperature: float = 1.0
    alpha: float = 0.5
    features: Features | None = None

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise InputError(f"teacher: expected a temperature above 0, received {self.temperature}")
        if not 0 <= self.alpha <= 1:
            raise InputError(f"teacher: expected alpha from 0 to 1, received {self.alpha}")

    def check(self, events: int, outputs: int) -> None:
        """Refuse targets that are not one row for each training event."""
        if self.outputs.shape != (events, outputs):
            raise InputError(f"teacher: expected outputs of shape {(events, outputs)}, received {self.outputs.shape}")


@dataclass(frozen=True, eq=False)
class Job:
    """One training: start weights, plan, schedules, budget and seed.

    Parameters
    ----------
    architecture : Architecture
    plan : Plan or None
        Quantizers and sparsities; None trains the float parent.
    weights : mapping or None
        Start weights; None leaves the initialisation to Keras.
    epochs, batch : int
    learning_rate : float
    decay : {'constant', 'cosine'}
    seed : int
        Decides initialisation and the order of the events.
    pruning : mapping of str to Pruning
        Schedule by layer name, for the layers whose plan asks for sparsity.
    builder : Builder
    steps : int, optional
        End after so many steps, in the middle of an epoch if need be (None: all of `epochs`).
    teacher : Soft, optional
        Soft targets beside the labels.
    quantized : bool, default True
        False trains a float network: the plan then gives sparsities only.
    masks : mapping of str to array
        By layer name, of the kernel's shape: weights that are 0 there stay 0. For layers without a schedule.
    clusters : int, optional
        Distinct values that each kernel may have (TF-MOT's weight clustering).
    window : (int, int), optional
        The first step (from 0) and the number of steps of a longer training that this one is a piece of: the learning rate
        goes on as there (None: a training of its own).

    Raises
    ------
    InputError
        A layer that has both a mask and a schedule.
    """

    architecture: Architecture
    plan: Plan | None
    weights: Weights | None
    epochs: int
    batch: int
    learning_rate: float
    decay: str
    seed: int
    pruning: Mapping[str, Pruning] = field(default_factory=dict)
    builder: Builder = build
    steps: int | None = None
    teacher: Soft | None = None
    quantized: bool = True
    masks: Mapping[str, np.ndarray] = field(default_factory=dict)
    clusters: int | None = None
    window: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.clusters is not None and self.masks:
            raise InputError("clusters: keep zeros by themselves; give no masks beside them")
        for name in self.masks:
            if name in self.pruning:
                raise InputError(f"{name}: has a fixed mask and a pruning schedule: give one of them")
            expected, received = self.architecture.shapes.get(name), np.shape(self.masks[name])
            if expected != received:
                raise InputError(f"masks: {name}: expected shape {expected}, received {received}")

    @property
    def quantizers(self) -> Plan | None:
        """The plan of the network that is trained, None where it is a float network."""
        return self.plan if self.quantized else None

    def total_steps(self, events: int) -> int:
        """Return the number of training steps with so many training events."""
        whole = self.epochs * steps_per_epoch(events, self.batch)
        return whole if self.steps is None else min(self.steps, whole)


@dataclass(frozen=True, slots=True)
class Losses:
    """Mean losses of an epoch's batches.

    Parameters
    ----------
    total : float
        What is minimised.
    hard : float
        Against the labels or targets.
    soft : float or None
        Against the teacher, T² included; None without one.
    """

    total: float
    hard: float
    soft: float | None = None


@dataclass(frozen=True, eq=False)
class Trained:
    """What an engine returns.

    Parameters
    ----------
    weights : dict
        Latent weights by ``layer/kernel`` and ``layer/bias``, pruned ones zero, BatchNormalization folded.
    validation : (events, outputs) float32 array
        Logits of the validation split.
    loss : float
        Training loss of the last epoch.
    model : keras.Model or None
        The trained model without pruning wrappers; the population engine makes none.
    history : tuple of Losses
        By epoch.
    """

    weights: dict[str, np.ndarray]
    validation: np.ndarray
    loss: float
    model: Any
    history: tuple[Losses, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """A training that came to nothing; the others of its population go on.

    Parameters
    ----------
    reason : str
    """

    reason: str


def diverged(job: Job, loss: float) -> Failed:
    """Return the failure of a training whose loss is not finite."""
    return Failed(f"the training loss became {loss}: lower train.learning_rate (now {job.learning_rate})")


class Engine(Protocol):
    """Trains jobs, yields their results in the same order."""

    name: str

    def train(self, jobs: Sequence[Job], data: Dataset) -> Iterator[Trained | Failed]:
        """Train the jobs on the training split and evaluate them on the validation split."""
        ...


def steps_per_epoch(events: int, batch: int) -> int:
    """Return the number of whole batches in an epoch; the events left over change from epoch to epoch.

    Raises
    ------
    InputError
        A batch larger than the number of events.
    """
    if batch > events:
        raise InputError(f"train.batch: expected at most {events} (the training events), received {batch}")
    return events // batch


def epoch_orders(events: int, batch: int, seed: int) -> Iterator[np.ndarray]:
    """Yield the events of every batch, epoch after epoch without end, the same for every engine.

    Yields
    ------
    (steps, batch) int32 array
        A fresh permutation, what does not fill a batch left out.
    """
    generator = np.random.default_rng(seed)
    steps = steps_per_epoch(events, batch)
    while True:
        yield generator.permutation(events)[: steps * batch].reshape(steps, batch).astype(np.int32)


def event_order(events: int, batch: int, epochs: int, seed: int) -> np.ndarray:
    """Return the order of several epochs as one (epochs · steps, batch) int32 array (see `epoch_orders`)."""
    return np.concatenate(list(itertools.islice(epoch_orders(events, batch, seed), epochs)))
