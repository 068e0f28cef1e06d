"""Training of a circuit: every weight on its own grid, straight through; and what a probe tells of its units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qap.backend import stack
from qap.models.circuit import LIMIT, Circuit
from qap.precision import Precision
from qap.training.job import Soft
from qap.training.population.network import UNSIGNED, Topology
from qap.training.population.program import BETA_1, BETA_2, Events, Plans, Program, Schedule, State
from qap.training.population.quantizers import GRID

WIDEST = 8
"""Integer bits of activations while a circuit is trained: none saturates."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Adam's moments of the packed weights, the mean gradient of the last epoch, and the steps taken."""

    first: np.ndarray
    second: np.ndarray
    slope: np.ndarray
    steps: int = 0

    @classmethod
    def zeros(cls, size: int) -> Moments:
        """Return the moments before the first step."""
        return cls(np.zeros(size, np.float32), np.zeros(size, np.float32), np.zeros(size, np.float32))


@dataclass(frozen=True, eq=False)
class Seen:
    """What a probe tells of the features and hidden units, (units,) arrays.

    Parameters
    ----------
    largest : array
        Largest magnitude over the events, as the next layer takes it.
    sensitivity : array
        Mean over the events of the squared derivative of an event's loss by the value: the diagonal of Fisher's matrix.
    """

    largest: np.ndarray
    sensitivity: np.ndarray


@dataclass(frozen=True, eq=False)
class Trainer:
    """Trains and probes circuits on a dataset.

    Parameters
    ----------
    program : callable
        Topology → its compiled program.
    events : Events
    inputs : Precision
        Type of the data.
    teacher : Soft or None
    """

    program: Callable[[Topology], Program]
    events: Events
    inputs: Precision
    teacher: Soft | None

    def epoch(self, circuit: Circuit, moments: Moments, order: np.ndarray, rates: np.ndarray) -> tuple[Circuit, Moments, float]:
        """Train for an epoch: see `train_epoch`."""
        plans = circuit_tensors(circuit, self.inputs, self.teacher)
        return train_epoch(self.program(topology(circuit)), circuit, moments, plans, self.events, order, rates)

    def probe(self, circuit: Circuit, order: np.ndarray) -> Seen:
        """Run on events: see `probe`."""
        plans = circuit_tensors(circuit, self.inputs, self.teacher)
        return probe(self.program(topology(circuit)), circuit, plans, self.events, order)


def topology(circuit: Circuit) -> Topology:
    """Return what a program for a circuit is compiled for."""
    layers = len(circuit.architecture.layers)
    return Topology(circuit.architecture, (UNSIGNED,) * (layers - 1) + (None,), rounded=True)


def _rows(steps: np.ndarray, low: float, high: float, limit: float = 0.0) -> np.ndarray:
    """Return rows of `quantizers.grid`, low and high in values."""
    scale = np.ldexp(1.0, steps)
    return np.stack([scale, low * scale, np.maximum(high * scale - 1, 0), 1 / scale, np.full_like(scale, limit)], axis=-1)


def circuit_tensors(circuit: Circuit, inputs: Precision, teacher: Soft | None) -> Plans:
    """Return the grids of a circuit, one lane."""
    here, most = circuit.layout, 2.0**LIMIT
    features, hidden = np.split(circuit.steps, [here.widths[0]])
    weight = _rows(circuit.fractions, -most, most, most)
    of_inputs = _rows(features, inputs.low, inputs.high + inputs.step)
    of_hidden = _rows(hidden, 0.0, 2.0**WIDEST)
    none = np.zeros((here.widths[-1], GRID))
    knobs = (1.0, 0.0) if teacher is None else (teacher.temperature, teacher.alpha)
    parts = (weight, of_inputs, np.concatenate([of_hidden, none]), np.array(knobs))
    tf = stack().tf
    return Plans(*(tf.constant(part[None], tf.float32) for part in parts))


def train_epoch(
    program: Program, circuit: Circuit, moments: Moments, plans: Plans, events: Events, order: np.ndarray, rates: np.ndarray
) -> tuple[Circuit, Moments, float]:
    """Train a circuit for an epoch.

    Parameters
    ----------
    program : Program
        Of the circuit's topology.
    circuit : Circuit
    moments : Moments
    plans : Plans
        Of `circuit_tensors`.
    events : Events
    order : (steps, batch) int32 array
    rates : (steps,) array
        Learning rates.

    Returns
    -------
    Circuit, Moments
    float
        Mean loss.
    """
    tf = stack().tf
    count = len(rates)
    number = moments.steps + np.arange(1, count + 1)
    size = (rates * np.sqrt(1 - BETA_2**number) / (1 - BETA_1**number)).astype(np.float32)
    packed = (circuit.weights, moments.first, moments.second, circuit.alive)
    state = State(*(tf.constant(part[None], tf.float32) for part in packed))
    schedule = Schedule(tf.constant(order[:, None]), None, tf.constant(size[:, None]))
    state, slope, loss = program.settle(state, plans, events, schedule, tf.constant(count))
    trained = circuit.with_(weights=state.weights.numpy()[0])
    first, second, mean = (part.numpy()[0] for part in (state.first, state.second, slope))
    return trained, Moments(first, second, mean, moments.steps + count), float(loss[0, 0])


def probe(program: Program, circuit: Circuit, plans: Plans, events: Events, order: np.ndarray) -> Seen:
    """Run a circuit on events.

    Parameters
    ----------
    program, circuit, plans, events
        As for `train_epoch`.
    order : (steps, batch) int32 array
    """
    tf = stack().tf
    largest, sensitivity = program.probe(
        tf.constant((circuit.weights * circuit.alive)[None], tf.float32), plans, events, tf.constant(order[:, None])
    )
    return Seen(largest.numpy()[0].astype(np.float64), sensitivity.numpy()[0].astype(np.float64))
