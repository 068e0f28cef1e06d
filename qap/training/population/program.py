"""The compiled program: whole epochs of training and evaluation for candidates of one topology, whatever their plans.

Everything that differs between candidates is a tensor: precisions, numbers of weights to keep, learning rates, orders of
events, start weights. The number of steps is a loop bound. So a topology is traced and compiled once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from qap.backend import stack
from qap.training.population.losses import loss_and_gradient
from qap.training.population.masks import renew
from qap.training.population.network import Topology, backward, forward, quantize

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # Keras's Adam
EVALUATION_BATCH = 2048


class Plans(NamedTuple):
    """The plans of the lanes as tensors.

    Parameters
    ----------
    weight, bias, activation : (lanes, layers, 4) tensors
        Rows of `quantizers.grid`.
    limits : (lanes, 2 · layers) tensor
        Bounds of the latent kernels, then of the biases.
    knobs : (lanes, 2) tensor
        Temperature and α of the soft loss.
    """

    weight: Any
    bias: Any
    activation: Any
    limits: Any
    knobs: Any


class State(NamedTuple):
    """Latent weights, Adam's moments and masks: lists by layer, the kernels before the biases in `weights` and the moments.

    Kernels are (lanes, inputs, units), biases (lanes, units, 1).
    """

    weights: list[Any]
    first: list[Any]
    second: list[Any]
    masks: list[Any]


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
        Weights that a renewal of the mask keeps, 0 for no renewal.
    rate : (steps, lanes) tensor
        Adam's step size, its bias correction included.
    """

    order: Any
    keep: Any
    rate: Any


def start(weights: list[Any]) -> State:
    """Return the state before the first step."""
    tf = stack().tf
    zeros = [tf.zeros_like(values) for values in weights]
    return State(weights, zeros, zeros, [tf.ones_like(values) for values in weights[: len(weights) // 2]])


def adam(state: State, gradients: list[Any], rate: Any, limits: Any) -> State:
    """Take one step of Keras's Adam, then clip as QKeras's constraints do."""
    tf = stack().tf
    weights, first, second = [], [], []
    moments = zip(state.weights, state.first, state.second, gradients, strict=True)
    for number, (values, mean, square, gradient) in enumerate(moments):
        mean += (gradient - mean) * (1 - BETA_1)
        square += (gradient * gradient - square) * (1 - BETA_2)
        moved = values - mean * rate[:, None, None] / (tf.sqrt(square) + EPSILON)
        bound = limits[:, number, None, None]
        weights.append(tf.clip_by_value(moved, -bound, bound))
        first.append(mean)
        second.append(square)
    return State(weights, first, second, state.masks)


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
        `count` steps of an epoch, the masks applied once more at the end, as TF-MOT does; loss (lanes,) is the mean of
        the batches.
    evaluate : (weights, Plans, x) → (lanes, outputs, events)
        `x` is (batches, `EVALUATION_BATCH`, features).
    """

    def __init__(self, topology: Topology, classes: bool) -> None:
        tf = stack().tf
        self.topology, self.classes = topology, classes
        self.train = tf.function(self._train, jit_compile=True, autograph=False)
        self.evaluate = tf.function(self._evaluate, jit_compile=True, autograph=False)

    @property
    def traces(self) -> int:
        """How often TensorFlow has traced the two functions."""
        return self.train.experimental_get_tracing_count() + self.evaluate.experimental_get_tracing_count()

    def _quantized(self, weights: list[Any], plans: Plans) -> tuple[list[Any], list[Any]]:
        layers = len(weights) // 2
        return quantize(weights[:layers], plans.weight), quantize(weights[layers:], plans.bias)

    def _batch(self, events: Events, index: Any) -> tuple[Any, Any, Any, Any]:
        """Return (lanes, …, events) tensors of one batch for each lane."""
        tf = stack().tf
        x, y, weight = (tf.gather(values, index) for values in (events.x, events.y, events.weight))
        soft = None if events.soft is None else tf.transpose(tf.gather(events.soft, index), (0, 2, 1))
        return tf.transpose(x, (0, 2, 1)), y if self.classes else tf.transpose(y, (0, 2, 1)), weight, soft

    def gradients(self, weights: list[Any], plans: Plans, events: Events, index: Any) -> tuple[Any, list[Any]]:
        """Return the loss of a batch by lane and the gradients of the latent weights."""
        x, y, weight, soft = self._batch(events, index)
        kernels, biases = self._quantized(weights, plans)
        values, sums = forward(self.topology, kernels, biases, plans.activation, x)
        loss, slope = loss_and_gradient(values[-1], y, weight, soft, plans.knobs, classes=self.classes)
        of_kernels, of_biases = backward(self.topology, kernels, plans.activation, values, sums, slope)
        return loss, of_kernels + of_biases

    def _train(self, state: State, plans: Plans, events: Events, schedule: Schedule, count: Any) -> tuple[State, Any]:
        tf = stack().tf
        layers = len(state.masks)

        def step(number: Any, state: State, total: Any) -> tuple[Any, State, Any]:
            keep = schedule.keep[number]
            kernels = state.weights[:layers]
            masks = tf.cond(tf.reduce_any(keep > 0), lambda: renew(kernels, state.masks, keep), lambda: list(state.masks))
            weights = [kernel * mask for kernel, mask in zip(kernels, masks, strict=True)] + state.weights[layers:]
            loss, gradients = self.gradients(weights, plans, events, schedule.order[number])
            masked = State(weights, state.first, state.second, masks)
            return number + 1, adam(masked, gradients, schedule.rate[number], plans.limits), total + loss

        zero = tf.zeros(tf.shape(schedule.rate)[1:])
        _, state, total = tf.while_loop(
            lambda number, *_: number < count, step, (tf.constant(0), state, zero), parallel_iterations=1
        )
        kernels = [kernel * mask for kernel, mask in zip(state.weights[:layers], state.masks, strict=True)]
        return state._replace(weights=kernels + state.weights[layers:]), total / tf.cast(count, tf.float32)

    def _evaluate(self, weights: list[Any], plans: Plans, x: Any) -> Any:
        tf = stack().tf
        kernels, biases = self._quantized(weights, plans)
        lanes = weights[0].shape[0]

        def run(part: Any) -> Any:
            values = tf.broadcast_to(tf.transpose(part)[None], (lanes, x.shape[2], x.shape[1]))
            return forward(self.topology, kernels, biases, plans.activation, values)[0][-1]

        outputs = tf.map_fn(run, x)
        return tf.reshape(tf.transpose(outputs, (1, 2, 0, 3)), (lanes, outputs.shape[2], -1))
