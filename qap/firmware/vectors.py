"""Inputs that test firmware beyond the data: boundaries, the random grid, accumulators at their extremes, or all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from qap.backend import stack
from qap.firmware.graph import flatten
from qap.firmware.lowering import Inputs, features, holding, input_types
from qap.precision import Precision

EXHAUSTIVE_BITS = 16
"""Inputs with at most this many bits together are tried exhaustively."""
UNITS = 64
"""Units of a layer that are driven to their extremes."""


def parity_vectors(model: Any, inputs: Inputs, events: int = 10_000, seed: int = 0) -> list[np.ndarray]:
    """Return inputs for a comparison beyond the data.

    Parameters
    ----------
    model : keras.Model
    inputs : as `qap.firmware.convert` takes them
    events : int, default 10,000
    seed : int

    Returns
    -------
    list of float64 arrays (events, …), one per input
        The sets of `vector_sets`, one after the other.
    """
    sets = vector_sets(model, inputs, events, seed)
    return [np.concatenate(arrays) for arrays in zip(*sets.values(), strict=True)]


def vector_sets(model: Any, inputs: Inputs, events: int = 10_000, seed: int = 0) -> dict[str, list[np.ndarray]]:
    """Return inputs for a comparison beyond the data, by what they test.

    Parameters
    ----------
    model, inputs, events, seed
        As in `parity_vectors`.

    Returns
    -------
    dict of set → list of float64 arrays (events, …), one per input
        ``boundary``, a quarter of the events: extremes, zero and their neighbours; ``extremes``, up to a quarter, drive
        the sums of every layer to their extremes along the sign of their gradient; ``random``, the rest, on the grid.
        Or ``exhaustive``, every combination of input values, where all inputs together have at most 16 bits.
    """
    graph = flatten(model)
    shapes = {call.name: call.shape for call in graph.calls}
    kinds = input_types(graph.inputs, inputs)
    each = [(shapes[name], features(name, kinds[name], shapes[name][-1])) for name in graph.inputs]
    if sum(int(np.prod(shape[:-1])) * sum(kind.bits for kind in types) for shape, types in each) <= EXHAUSTIVE_BITS:
        return {"exhaustive": _exhaustive(each)}
    ports = [(shape, holding(types)) for shape, types in each]
    rng = np.random.default_rng(seed)
    sets = {"boundary": _boundary(rng, ports, events // 4), "extremes": extremes(model, ports, events // 4, rng)}
    rest = max(events - sum(len(arrays[0]) for arrays in sets.values()), 0)
    sets["random"] = [_random(rng, shape, precision, rest) for shape, precision in ports]
    return {name: [_snap(array, types) for array, (_, types) in zip(arrays, each, strict=True)] for name, arrays in sets.items()}


def _snap(array: np.ndarray, types: Sequence[Precision]) -> np.ndarray:
    """Round and saturate each feature to its own type."""
    return np.stack([kind.quantize(array[..., i]) for i, kind in enumerate(types)], axis=-1)


Ports = Sequence[tuple[tuple[int, ...], Precision]]


def _exhaustive(ports: Sequence[tuple[tuple[int, ...], Sequence[Precision]]]) -> list[np.ndarray]:
    axes = [
        np.ldexp(np.arange(np.ldexp(kind.low, kind.fractional), np.ldexp(kind.high, kind.fractional) + 1), -kind.fractional)
        for shape, types in ports
        for kind in list(types) * int(np.prod(shape[:-1]))
    ]
    table = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    ends = np.cumsum([int(np.prod(shape)) for shape, _ in ports])[:-1]
    return [part.reshape(-1, *shape) for part, (shape, _) in zip(np.split(table, ends, axis=1), ports, strict=True)]


def _random(rng: np.random.Generator, shape: tuple[int, ...], precision: Precision, events: int) -> np.ndarray:
    """Half over the whole range, half near zero, where the rounding of small sums happens."""
    wide = rng.uniform(precision.low, precision.high, (events // 2, *shape))
    near = rng.normal(0, max(precision.high / 8, 2 * precision.step), (events - events // 2, *shape))
    return precision.quantize(np.concatenate([wide, near]))


def _boundary(rng: np.random.Generator, ports: Ports, events: int) -> list[np.ndarray]:
    arrays = []
    for shape, kind in ports:
        step = kind.step
        values = np.array([kind.low, kind.low + step, -step, 0.0, step, kind.high - step, kind.high])
        array = rng.choice(values, (events, *shape))
        for event, value in enumerate(values[:events]):
            array[event] = value
        arrays.append(kind.quantize(array))
    return arrays


def extremes(model: Any, ports: Ports, events: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return inputs that drive the sums of every layer up and down along the sign of their gradient."""
    tf = stack().tf
    graph = flatten(model)
    centre = [_random(rng, shape, precision, 2)[1:] for shape, precision in ports]
    found: list[list[np.ndarray]] = []
    with tf.GradientTape(persistent=True) as tape:
        values = {name: tf.constant(x, tf.float32) for name, x in zip(graph.inputs, centre, strict=True)}
        sources = [values[name] for name in graph.inputs]
        tape.watch(sources)
        sums: list[Any] = []
        for call in graph.calls:
            if call.name in values:
                continue
            parts = [values[name] for name in call.inputs]
            values[call.name] = call.layer(parts[0] if len(parts) == 1 else parts)
            if call.layer.weights:
                units = tf.reshape(values[call.name], (-1, call.shape[-1]))
                sums.extend(tf.reduce_sum(units[:, unit]) for unit in range(min(call.shape[-1], UNITS)))
    for total in sums:
        if 2 * len(found) >= events:
            break
        slopes = tape.gradient(total, sources, unconnected_gradients="zero")
        found.append([np.sign(slope.numpy()) for slope in slopes])
    del tape
    arrays = []
    for index, (shape, kind) in enumerate(ports):
        signs = np.concatenate([part[index] for part in found]) if found else np.zeros((0, *shape))
        signs = np.concatenate([signs, -signs])[:events]
        arrays.append(np.where(signs > 0, kind.high, np.where(signs < 0, kind.low, 0.0)))
    return arrays
