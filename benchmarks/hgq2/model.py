"""The HGQ2 network of the benchmark: building it, its state as plain arrays and tracing its element types.

Runs in the environment of `requirements.txt` (see `train.py`) and knows nothing of qap.
"""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import keras
import numpy as np
from hgq.config import LayerConfigScope, QuantizerConfig, QuantizerConfigScope
from hgq.layers import QDense, QEinsumDenseBatchnorm
from hgq.utils.minmax_trace import TrainingFlagWrapper

State = tuple[list[jax.Array], list[jax.Array]]  # trainable and other variables, in the order of the model


@dataclass(frozen=True)
class Elements:
    """Types of the elements that enter one layer: sign, integer and fractional bits, shape (inputs,)."""

    k: np.ndarray
    i: np.ndarray
    f: np.ndarray

    @property
    def bits(self) -> np.ndarray:
        """Bits without the sign."""
        return np.maximum(self.i + self.f, 0)


def build(
    inputs: int,
    hidden: Sequence[int],
    classes: int,
    *,
    weights: Sequence[float] = (4, 0),
    activations: Sequence[float] = (3, 4),
    beta: float = 5e-7,
    batchnorm: bool = False,
) -> keras.Model:
    """Return HGQ2's dense network with a width of its own for every weight and every activation.

    Parameters
    ----------
    inputs, hidden, classes : int, sequence of int, int
        Widths of the layers.
    weights : (float, float)
        Bits without sign and integer bits of the weights at the start.
    activations : (float, float)
        Integer and fractional bits of inputs and activations at the start; the integer bits follow the values seen.
    beta : float
        Price of an EBOP at the start.
    batchnorm : bool
        Normalise the outputs of hidden layers (fused into their kernels), as HGQ2's jet tagger does.
    """
    bits, integer = weights
    with (
        QuantizerConfigScope(place=("weight", "bias"), default_q_type="kbi", overflow_mode="SAT_SYM", b0=bits, i0=integer),
        QuantizerConfigScope(place="datalane", default_q_type="kif", overflow_mode="WRAP", i0=activations[0], f0=activations[1]),
        LayerConfigScope(enable_ebops=True, beta0=beta),
    ):
        tensor = first = keras.Input((inputs,))
        for number, units in enumerate(hidden):
            conf = QuantizerConfig(place="datalane", k0=number == 0)
            name = f"dense_{number}"
            if batchnorm:
                layer = QEinsumDenseBatchnorm("bc,cC->bC", units, bias_axes="C", activation="relu", iq_conf=conf, name=name)
            else:
                layer = QDense(units, activation="relu", iq_conf=conf, name=name)
            tensor = layer(tensor)
        tensor = QDense(classes, iq_conf=QuantizerConfig(place="datalane", k0=not hidden), name="outputs")(tensor)
    return keras.Model(first, tensor)


def layers(model: keras.Model) -> list[keras.Layer]:
    """Return the quantized layers from the input on."""
    return [layer for layer in model.layers if hasattr(layer, "_ebops")]


def state(model: keras.Model) -> State:
    """Return the values of the model's variables."""
    return [v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables]


def load(model: keras.Model, values: State) -> None:
    """Write a state into the model."""
    for variable, value in zip(model.trainable_variables, values[0], strict=True):
        variable.assign(value)
    for variable, value in zip(model.non_trainable_variables, values[1], strict=True):
        variable.assign(value)


def positions(model: keras.Model, name: str) -> list[int]:
    """Return where the layers' own variable of that name (``_beta``, ``_ebops``) stands among the untrained ones."""
    order = {id(variable): place for place, variable in enumerate(model.non_trainable_variables)}
    return [order[id(getattr(layer, name))] for layer in layers(model)]


def tracing(model: keras.Model) -> Callable[[State, jax.Array], tuple[jax.Array, list[jax.Array]]]:
    """Return the pure function (state, events) → (logits, untrained variables with the ranges grown over the events)."""

    def run(values: State, events: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
        return model.stateless_call(*values, events, training=TrainingFlagWrapper("tracing"))

    return run


def forget_ranges(model: keras.Model, values: State) -> State:
    """Return the state with the ranges of all traced quantizers empty, as `hgq.utils.trace_minmax` begins."""
    order = {id(variable): place for place, variable in enumerate(model.non_trainable_variables)}
    other = list(values[1])
    for part in model._flatten_layers():
        if hasattr(part, "_i_decay_speed") and part.trainable:
            place = order[id(part._i)]
            other[place] = np.full(other[place].shape, -1e9, np.float32)
            place = order[id(part._k)]
            other[place] = np.zeros(other[place].shape, np.uint8)
    return values[0], other


def elements(layer: keras.Layer) -> Elements:
    """Return the types of the elements that enter the layer, after tracing."""
    width = layer.iq.quantizer._f.shape[-1]
    k, i, f = (np.broadcast_to(np.asarray(part).ravel(), (width,)).astype(np.int32) for part in layer.iq.quantizer.kif)
    return Elements(k, i, f)
