"""The compiled program: whole epochs of training and evaluation for candidates of one topology, whatever their plans.

Everything that differs between candidates is a tensor: precisions, numbers of weights to keep, learning rates, orders of
events, start weights. The number of steps is a loop bound. So a topology is traced and compiled once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from qap.backend import stack
from qap.training.population.losses import loss_and_gradient
from qap.training.population.masks import renew
from qap.training.population.network import Grids, Topology, backward, forward
from qap.training.population.quantizers import signed

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # Keras's Adam
EVALUATION_BATCH = 2048


class Plans(NamedTuple):
    """The plans of the lanes as tensors.

    Parameters
    ----------
    weight : (lanes, 2 · layers or weights, 5) tensor
        Rows of `quantizers.grid` for the kernels, then for the biases; or for every single weight.
    inputs : (lanes, features, 5) tensor
        Of the features, where the topology rounds them.
    activation : (lanes, layers or units, 5) tensor
        By layer, or for every single unit.
    knobs : (lanes, 2) tensor
        Temperature and α of the soft loss.
    """

    weight: Any
    inputs: Any
    activation: Any
    knobs: Any


class State(NamedTuple):
    """Latent weights, Adam's moments and masks, (lanes, weights) each: kernels of all layers, then biases.

    Few tensors keep the calls short and the program small. The mask of a bias is 1.
    """

    weights: Any
    first: Any
    second: Any
    masks: Any


class Events(NamedTuple):
    """The training split: (events, …) tensors; `soft` is None without a teacher."""

    x: Any
    y: Any
    weight: Any
    soft: Any


class Schedule(NamedTuple):
    """What happens at each step.

    Parameters
    ----------
    order : (steps, lanes, batch) int32 tensor of events
    keep : (steps, lanes, layers) int32 tensor
        Weights that a renewal of the mask keeps, 0 for no renewal; None for `Program.settle`.
    rate : (steps, lanes) tensor
        Adam's step size, its bias correction included.
    """

    order: Any
    keep: Any
    rate: Any


def start(weights: Any, masks: Any = None) -> State:
    """Return the state before the first step; no masks prune nothing."""
    tf = stack().tf
    zeros = tf.zeros_like(weights)
    return State(weights, zeros, zeros, tf.ones_like(weights) if masks is None else masks)


def adam(state: State, gradient: Any, rate: Any, limits: Any) -> State:
    """Take one step of Keras's Adam, then clip as QKeras's constraints do."""
    tf = stack().tf
    first = state.first + (gradient - state.first) * (1 - BETA_1)
    second = state.second + (gradient * gradient - state.second) * (1 - BETA_2)
    moved = state.weights - first * rate[:, None] / (tf.sqrt(second) + EPSILON)
    return State(tf.clip_by_value(moved, -limits, limits), first, second, state.masks)


class Program:
    """The compiled functions of a topology.

    Parameters
    ----------
    topology : Topology
    classes : bool
        Classification, else regression.

    Attributes
    ----------
    train : (State, Plans, Events, Schedule, count) → (State, loss)
        `count` steps of an epoch, the masks applied once more at the end, as TF-MOT does; loss (lanes, 3) is the mean of
        the batches: total, hard, soft.
    settle : (State, Plans, Events, Schedule, count) → (State, gradient, loss)
        The same with masks that stay (`Schedule.keep` is None), a smaller program; gradient (lanes, weights) is the mean over the
        steps, of pruned weights too.
    share : (State, Plans, Events, Schedule, count) → (State, loss)
        The same for one set of weights that many plans share (a supernet, after Cai et al., arXiv:1908.09791): state and rate
        have one lane; the tensors of the plans have a first axis of steps and a second of plans. Each plan prunes a copy of the
        shared weights; their mean gradient moves all of them. Schedule.keep says how many weights each plan keeps, never 0.
    probe : (weights, Plans, Events, order) → (largest, sensitivity)
        Over (steps, lanes, batch) events: largest magnitude of each feature and activation as the next layer takes it, and the
        mean over the events of the square of the loss's derivative by it, (lanes, features and hidden units).
    evaluate : (weights, Plans, x) → (lanes, outputs, events)
        `x` is (batches, `EVALUATION_BATCH`, features).
    """

    def __init__(self, topology: Topology, classes: bool) -> None:
        tf = stack().tf
        self.topology, self.classes = topology, classes
        self._shapes = list(topology.architecture.shapes.values())
        self._kernels = [inputs * units for inputs, units in self._shapes]
        self._sizes = self._kernels + [units for _, units in self._shapes]
        self.train = tf.function(self._train, jit_compile=True, autograph=False)
        self.settle = tf.function(self._settle, jit_compile=True, autograph=False)
        self.share = tf.function(self._share, jit_compile=True, autograph=False)
        self.evaluate = tf.function(self._evaluate, jit_compile=True, autograph=False)
        self.probe = tf.function(self._probe, jit_compile=True, autograph=False)

    @property
    def traces(self) -> int:
        """How often TensorFlow has traced the functions."""
        functions = (self.train, self.settle, self.share, self.evaluate, self.probe)
        return sum(one.experimental_get_tracing_count() for one in functions)

    def _unpack(self, weights: Any) -> tuple[list[Any], list[Any]]:
        """Return kernels (lanes, inputs, units) and biases (lanes, units, 1)."""
        tf = stack().tf
        layers = len(self._shapes)
        parts = tf.split(weights, self._sizes, axis=1)
        kernels = [tf.reshape(part, (-1, *shape)) for part, shape in zip(parts[:layers], self._shapes, strict=True)]
        return kernels, [part[..., None] for part in parts[layers:]]

    def _batch(self, events: Events, index: Any) -> tuple[Any, Any, Any, Any]:
        """Return (lanes, …, events) tensors of one batch for each lane."""
        tf = stack().tf
        x, y, weight = (tf.gather(values, index) for values in (events.x, events.y, events.weight))
        soft = None if events.soft is None else tf.transpose(tf.gather(events.soft, index), (0, 2, 1))
        return tf.transpose(x, (0, 2, 1)), y if self.classes else tf.transpose(y, (0, 2, 1)), weight, soft

    def gradient(self, quantized: Any, plans: Plans, events: Events, index: Any) -> tuple[Any, Any]:
        """Return the losses of a batch by lane (total, hard, soft), and the gradient of the quantized weights, packed alike."""
        tf = stack().tf
        x, y, weight, soft = self._batch(events, index)
        kernels, biases = self._unpack(quantized)
        grids = self._value_grids(plans)
        values, sums = forward(self.topology, kernels, biases, grids, x)
        loss, slope = loss_and_gradient(values[-1], y, weight, soft, plans.knobs, classes=self.classes)
        of_kernels, of_biases, _ = backward(self.topology, kernels, grids, values, sums, slope)
        lanes = quantized.shape[0]
        return loss, tf.concat([tf.reshape(part, (lanes, -1)) for part in of_kernels + of_biases], axis=1)

    def _probe(self, weights: Any, plans: Plans, events: Events, order: Any) -> tuple[Any, Any]:
        tf = stack().tf
        kernels, biases = self._unpack(signed(weights, self.grids(plans)))
        grids, lanes, units = self._value_grids(plans), weights.shape[0], sum(inputs for inputs, _ in self._shapes)

        def step(number: Any, largest: Any, squares: Any) -> tuple[Any, Any, Any]:
            x, y, weight, soft = self._batch(events, order[number])
            values, sums = forward(self.topology, kernels, biases, grids, x)
            _, slope = loss_and_gradient(values[-1], y, weight, soft, plans.knobs, classes=self.classes)
            *_, of_values = backward(self.topology, kernels, grids, values, sums, slope)
            here = tf.concat([tf.reduce_max(tf.abs(part), axis=2) for part in values[:-1]], axis=1)
            square = tf.concat([tf.reduce_sum(part * part, axis=2) for part in of_values], axis=1)
            return number + 1, tf.maximum(largest, here), squares + square

        zero = tf.zeros((lanes, units))
        steps = tf.shape(order)[0]
        _, largest, squares = tf.while_loop(
            lambda number, *_: number < steps, step, (tf.constant(0), zero, zero), parallel_iterations=1
        )
        return largest, squares * tf.cast(tf.shape(order)[2], tf.float32) / tf.cast(steps, tf.float32)

    def grids(self, plans: Plans) -> Any:
        """Return the grid of every weight, (lanes, weights, 5)."""
        single = plans.weight.shape[1] == sum(self._sizes)
        return plans.weight if single else stack().tf.repeat(plans.weight, self._sizes, axis=1)

    def _value_grids(self, plans: Plans) -> Grids:
        tf = stack().tf
        units = [layer.units for layer in self.topology.architecture.layers]
        rows = plans.activation[:, :, None]
        parts = tf.split(rows, units if rows.shape[1] == sum(units) else [1] * len(units), axis=1)
        return Grids(plans.inputs[:, :, None], parts)

    def renewed(self, state: State, keep: Any) -> State:
        """Return the state with its masks renewed where `keep` is above 0, and with pruned weights set to 0."""
        tf = stack().tf
        weights, prunable = state.weights, sum(self._kernels)

        def renewal() -> Any:
            masks = renew(weights[:, :prunable], state.masks[:, :prunable], keep, self._kernels)
            return tf.concat([masks, state.masks[:, prunable:]], axis=1)

        masks = tf.cond(tf.reduce_any(keep > 0), renewal, lambda: state.masks)
        return state._replace(weights=weights * masks, masks=masks)

    def _train(self, state: State, plans: Plans, events: Events, schedule: Schedule, count: Any) -> tuple[State, Any]:
        tf = stack().tf
        grids = self.grids(plans)

        def step(number: Any, state: State, total: Any) -> tuple[Any, State, Any]:
            state = self.renewed(state, schedule.keep[number])
            loss, gradient = self.gradient(signed(state.weights, grids), plans, events, schedule.order[number])
            return number + 1, adam(state, gradient, schedule.rate[number], grids[..., 4]), total + loss

        zero = tf.zeros((tf.shape(schedule.rate)[1], 3))
        _, state, total = tf.while_loop(
            lambda number, *_: number < count, step, (tf.constant(0), state, zero), parallel_iterations=1
        )
        return state._replace(weights=state.weights * state.masks), total / tf.cast(count, tf.float32)

    def _settle(self, state: State, plans: Plans, events: Events, schedule: Schedule, count: Any) -> tuple[State, Any, Any]:
        tf = stack().tf
        grids = self.grids(plans)

        def step(number: Any, state: State, slope: Any, total: Any) -> tuple[Any, State, Any, Any]:
            state = state._replace(weights=state.weights * state.masks)
            loss, gradient = self.gradient(signed(state.weights, grids), plans, events, schedule.order[number])
            return number + 1, adam(state, gradient, schedule.rate[number], grids[..., 4]), slope + gradient, total + loss

        zeros = tf.zeros_like(state.weights), tf.zeros((tf.shape(schedule.rate)[1], 3))
        _, state, slope, total = tf.while_loop(
            lambda number, *_: number < count, step, (tf.constant(0), state, *zeros), parallel_iterations=1
        )
        steps = tf.cast(count, tf.float32)
        return state._replace(weights=state.weights * state.masks), slope / steps, total / steps

    def _share(self, state: State, plans: Plans, events: Events, schedule: Schedule, count: Any) -> tuple[State, Any]:
        tf = stack().tf
        prunable, number_of_plans = sum(self._kernels), plans.weight.shape[1]
        widest = tf.reduce_max(plans.weight[..., 4], axis=(0, 1))  # reduced first: (steps, plans, weights) would be too much
        limits = tf.repeat(widest[None], self._sizes, axis=1)

        def step(number: Any, state: State, total: Any) -> tuple[Any, State, Any]:
            here = Plans(*(part[number] for part in plans))
            weights = tf.repeat(state.weights, number_of_plans, axis=0)
            kernels = weights[:, :prunable]
            masks = renew(kernels, tf.ones_like(kernels), schedule.keep[number], self._kernels)
            weights = tf.concat([kernels * masks, weights[:, prunable:]], axis=1)
            order = tf.repeat(schedule.order[number], number_of_plans, axis=0)
            loss, gradient = self.gradient(signed(weights, self.grids(here)), here, events, order)
            moved = adam(state, tf.reduce_mean(gradient, axis=0, keepdims=True), schedule.rate[number], limits)
            return number + 1, moved, total + tf.reduce_mean(loss[:, 0])

        _, state, total = tf.while_loop(
            lambda number, *_: number < count, step, (tf.constant(0), state, tf.constant(0.0)), parallel_iterations=1
        )
        return state, total / tf.cast(count, tf.float32)

    def _evaluate(self, weights: Any, plans: Plans, x: Any) -> Any:
        tf = stack().tf
        kernels, biases = self._unpack(signed(weights, self.grids(plans)))
        lanes, grids = weights.shape[0], self._value_grids(plans)

        def run(part: Any) -> Any:
            values = tf.broadcast_to(tf.transpose(part)[None], (lanes, x.shape[2], x.shape[1]))
            return forward(self.topology, kernels, biases, grids, values)[0][-1]

        outputs = tf.map_fn(run, x)
        return tf.reshape(tf.transpose(outputs, (1, 2, 0, 3)), (lanes, outputs.shape[2], -1))
