"""Single-event upsets: bits of stored weights flipped by radiation, and what the accuracy loses.

A weight is a word in two's complement, as in a memory or register that holds it. Weights that the synthesis builds into the
logic have no such word: their upsets are those of the configuration memory and not described here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qap.errors import InputError
from qap.metrics.classification import Kind, accuracy
from qap.metrics.spread import Spread
from qap.models.architecture import Architecture
from qap.models.builders import Weights
from qap.plan import Plan
from qap.precision import Precision

Predict = Callable[[Weights], np.ndarray]
"""Quantized weights → scores on fixed events."""

_MANTISSA = 53


@dataclass(frozen=True, slots=True, order=True)
class Flip:
    """One bit of one weight.

    Parameters
    ----------
    tensor : str
        ``layer/kernel`` or ``layer/bias``.
    index : tuple of int
        Position in the tensor.
    bit : int
        0 is the last bit; bits − 1 the sign of a signed type.
    """

    tensor: str
    index: tuple[int, ...]
    bit: int


def tensor_precisions(plan: Plan) -> dict[str, Precision]:
    """Return the type of each tensor of `qap.models.builders.quantize_weights` by its name."""
    found = {}
    for name, layer in plan.items():
        found[f"{name}/kernel"], found[f"{name}/bias"] = layer.weight, layer.bias
    return found


def _check_kind(precision: Precision) -> None:
    if precision.kind not in ("fixed", "binary"):
        raise InputError(f"upsets: {precision} has no word that hls4ml fixes for all its values; use quantized_bits or binary")


def to_words(values: np.ndarray, precision: Precision) -> np.ndarray:
    """Return quantized weights as two's complement words.

    Parameters
    ----------
    values : array of any shape
        On the grid of the type.
    precision : Precision
        Fixed point, or binary (−1 is stored as 0, 1 as 1).

    Returns
    -------
    int64 array of the same shape, 0 to 2**bits − 1

    Raises
    ------
    InputError
        Values that the type does not have, or a type without such words (ternary, power of two).
    """
    _check_kind(precision)
    numbers = np.asarray(values, np.float64)
    off = numbers != precision.quantize(numbers) if precision.kind == "fixed" else np.abs(numbers) != 1
    if np.any(off):
        raise InputError(f"upsets: {int(np.sum(off))} weights are no values of {precision}, such as {numbers[off].flat[0]:g}")
    if precision.kind == "binary":
        return (numbers > 0).astype(np.int64)
    return np.ldexp(numbers, precision.fractional).astype(np.int64) & ((1 << precision.bits) - 1)


def from_words(words: np.ndarray, precision: Precision) -> np.ndarray:
    """Return the float64 values of two's complement words; the reverse of `to_words`."""
    _check_kind(precision)
    numbers = np.asarray(words, np.int64)
    if precision.kind == "binary":
        return np.where(numbers > 0, 1.0, -1.0)
    if precision.signed:
        numbers = numbers - ((numbers >> (precision.bits - 1)) << precision.bits)
    return np.ldexp(numbers.astype(np.float64), -precision.fractional)


def flipped(network: Weights, precisions: Mapping[str, Precision], flips: Iterable[Flip]) -> dict[str, np.ndarray]:
    """Return the weights with some bits flipped; tensors without a flip are the same arrays.

    Raises
    ------
    InputError
        A bit that is not there.
    """
    found = dict(network)
    for flip in flips:
        if flip.tensor not in precisions or flip.tensor not in network:
            raise InputError(f"upsets: no tensor {flip.tensor!r}; known: {', '.join(precisions)}")
        precision, shape = precisions[flip.tensor], np.shape(network[flip.tensor])
        inside = len(flip.index) == len(shape) and all(0 <= i < n for i, n in zip(flip.index, shape, strict=True))
        if not inside or not 0 <= flip.bit < precision.bits:
            raise InputError(f"upsets: {flip.tensor} of shape {shape} and {precision.bits} bits has no {flip}")
        if found[flip.tensor] is network[flip.tensor]:
            found[flip.tensor] = np.array(network[flip.tensor], np.float64)
        word = to_words(found[flip.tensor][flip.index], precision) ^ (1 << flip.bit)
        found[flip.tensor][flip.index] = from_words(word, precision)
    return found


class _Bits:
    """All bits of a network in one row: tensor by tensor, word by word, from the last bit up."""

    def __init__(self, network: Weights, precisions: Mapping[str, Precision], zeros: bool) -> None:
        self.shapes = {name: np.shape(network[name]) for name in precisions}
        for name, precision in precisions.items():
            to_words(network[name], precision)
        everywhere = {name: np.arange(np.size(network[name])) for name in precisions}
        self.stored = everywhere if zeros else {name: np.flatnonzero(network[name]) for name in precisions}
        self.widths = {name: precision.bits for name, precision in precisions.items()}
        self.ends = np.cumsum([len(self.stored[name]) * self.widths[name] for name in precisions])
        self.count = int(self.ends[-1])

    def __getitem__(self, position: int) -> Flip:
        at = int(np.searchsorted(self.ends, position, side="right"))
        name = list(self.shapes)[at]
        word, bit = divmod(position - (int(self.ends[at - 1]) if at else 0), self.widths[name])
        index = np.unravel_index(self.stored[name][word], self.shapes[name])
        return Flip(name, tuple(map(int, index)), bit)

    def draw(self, count: int, generator: np.random.Generator) -> list[Flip]:
        """Choose different bits, each as likely as any other."""
        if not 0 <= count <= self.count:
            raise InputError(f"upsets: expected 0 to {self.count} flips, one per stored bit, received {count}")
        return [self[int(position)] for position in generator.choice(self.count, count, replace=False)]


def random_flips(
    network: Weights, precisions: Mapping[str, Precision], count: int, *, seed: int = 0, zeros: bool = True
) -> list[Flip]:
    """Return different bits, drawn with equal chance from all stored bits.

    Parameters
    ----------
    network : mapping
        Quantized weights by tensor (`qap.models.builders.quantize_weights`).
    precisions : mapping
        Their types (`tensor_precisions`); tensors that are not in it are not hit.
    count : int
    seed : int, default 0
    zeros : bool, default True
        False where zero weights (the pruned ones) are not stored, so that nothing can hit them.
    """
    return _Bits(network, precisions, zeros).draw(count, np.random.default_rng(seed))


@dataclass(frozen=True, slots=True)
class Upset:
    """Accuracy after so many random flips."""

    flips: int
    accuracy: Spread


def upset_curve(
    predict: Predict,
    network: Weights,
    precisions: Mapping[str, Precision],
    labels: np.ndarray,
    counts: Sequence[int],
    *,
    repetitions: int = 20,
    seed: int = 0,
    zeros: bool = True,
    event_weights: np.ndarray | None = None,
    kind: Kind = "auto",
) -> tuple[Upset, ...]:
    """Return the accuracy against the number of random bit flips.

    Parameters
    ----------
    predict : callable
        Weights → scores, for example `mlp_predict`.
    network, precisions, seed, zeros
        As for `random_flips`.
    labels : (events,) integers from 0
    counts : sequence of int
        Numbers of flips.
    repetitions : int, default 20
        Draws of the flips for each number.
    event_weights : (events,) array, optional
    kind : {'auto', 'logits', 'probabilities'}, default 'auto'
    """
    if repetitions < 1:
        raise InputError(f"repetitions: expected 1 or more, received {repetitions}")
    bits = _Bits(network, precisions, zeros)

    def once(count: int, repetition: int) -> float:
        draws = np.random.SeedSequence(seed, spawn_key=(count, repetition))
        flips = bits.draw(count, np.random.default_rng(draws))
        return accuracy(labels, predict(flipped(network, precisions, flips)), event_weights, kind)

    return tuple(Upset(count, Spread.of(once(count, i) for i in range(repetitions))) for count in counts)


@dataclass(frozen=True, slots=True)
class Scan:
    """Single flips, one at a time.

    Parameters
    ----------
    accuracy : float
        Without a flip.
    bits : int
        Stored bits of the network.
    ranked : tuple of (Flip, float)
        The flips tried and the accuracy that each one loses (negative: gains), the largest loss first, equal ones by
        tensor, index and bit.
    """

    accuracy: float
    bits: int
    ranked: tuple[tuple[Flip, float], ...]

    @property
    def by_bit(self) -> dict[tuple[str, int], float]:
        """Mean loss by tensor and bit, over the flips tried."""
        losses: dict[tuple[str, int], list[float]] = {}
        for flip, loss in self.ranked:
            losses.setdefault((flip.tensor, flip.bit), []).append(loss)
        return {place: float(np.mean(values)) for place, values in sorted(losses.items())}


def sensitive_bits(
    predict: Predict,
    network: Weights,
    precisions: Mapping[str, Precision],
    labels: np.ndarray,
    *,
    sample: int | None = None,
    seed: int = 0,
    zeros: bool = True,
    event_weights: np.ndarray | None = None,
    kind: Kind = "auto",
) -> Scan:
    """Flip stored bits one at a time and rank them by the accuracy that they cost.

    Parameters
    ----------
    predict, network, precisions, labels, zeros, event_weights, kind
        As for `upset_curve`.
    sample : int, optional
        Try so many bits, drawn with equal chance (default: every stored bit).
    seed : int, default 0
        Of the sample.
    """
    bits = _Bits(network, precisions, zeros)
    tried = [bits[i] for i in range(bits.count)] if sample is None else bits.draw(sample, np.random.default_rng(seed))
    plain = accuracy(labels, predict(network), event_weights, kind)
    losses = []
    for flip in tried:
        scores = predict(flipped(network, precisions, [flip]))
        losses.append((flip, plain - accuracy(labels, scores, event_weights, kind)))
    return Scan(plain, bits.count, tuple(sorted(losses, key=lambda entry: (-entry[1], entry[0]))))


def mlp_predict(architecture: Architecture, plan: Plan, grid: Precision, x: np.ndarray) -> Predict:
    """Return the outputs of a quantized MLP as a function of its quantized weights, in NumPy and exact.

    Parameters
    ----------
    architecture : Architecture
        BatchNormalization is folded into the weights already.
    plan : Plan
    grid : Precision
        Type of the input; x is rounded to it.
    x : (events, inputs) array

    Returns
    -------
    callable
        Weights by ``layer/kernel`` and ``layer/bias`` → (events, outputs) float64 array, the values that QKeras and the
        firmware have where their accumulators are exact.

    Raises
    ------
    InputError
        The plan does not describe the architecture, its weights have no words (see `to_words`), or a sum could need more
        than the 53 bits of float64.
    """
    architecture.check(plan)
    architecture.require_mlp("upsets")
    source = grid
    for name, (inputs, _) in architecture.shapes.items():
        layer = plan[name]
        _check_kind(layer.weight)
        _check_kind(layer.bias)
        largest = inputs * max(-source.low, source.high) * max(-layer.weight.low, layer.weight.high)
        largest += max(-layer.bias.low, layer.bias.high)
        last = max(source.fractional + layer.weight.fractional, layer.bias.fractional)
        if np.log2(largest) + last >= _MANTISSA:
            raise InputError(f"upsets: {name}: its sums can need {np.log2(largest) + last:.0f} bits, float64 holds {_MANTISSA}")
        source = layer.activation or source
    start = grid.quantize(x)

    def predict(network: Weights) -> np.ndarray:
        values = start
        for layer in architecture.layers:
            values = values @ network[f"{layer.name}/kernel"] + network[f"{layer.name}/bias"]
            activation = plan[layer.name].activation
            values = values if activation is None else activation.quantize(values)
        return values

    return predict
