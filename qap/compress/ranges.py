"""Power-of-two ranges: how many integer bits a tensor needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from qap.errors import InputError
from qap.models.architecture import Architecture
from qap.models.builders import Weights, float_logits
from qap.precision import MAX_BITS, Precision

CALIBRATION_EVENTS = 4096
GUARD_BITS = 1  # integer bits a bias gets beyond the parent's largest, for training to move it


@dataclass(frozen=True)
class Calibration:
    """What the float parent tells of ranges.

    Parameters
    ----------
    weights : mapping
        The parent's folded weights.
    outputs : mapping of str to array
        Every layer's output on a sample of training events, after the activation.
    """

    weights: Weights
    outputs: Mapping[str, np.ndarray]
    _found: dict[tuple[str, str, int, bool], int] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, architecture: Architecture, weights: Weights, x: np.ndarray) -> Calibration:
        """Take the ranges from folded float weights and the first training events."""
        return cls(weights, float_logits(architecture, weights, x[:CALIBRATION_EVENTS]))

    def weight_integer(self, layer: str, bits: int) -> int:
        """Return the best integer bits of a layer's kernel."""
        return self._integer("kernel", layer, self.weights[f"{layer}/kernel"], bits, signed=True)

    def activation_integer(self, layer: str, bits: int, signed: bool) -> int:
        """Return the best integer bits of a layer's output."""
        return self._integer("output", layer, self.outputs[layer], bits, signed)

    def _integer(self, kind: str, layer: str, values: np.ndarray, bits: int, signed: bool) -> int:
        key = kind, layer, bits, signed
        if key not in self._found:  # a search asks for the same few thousands of times
            self._found[key] = best_integer(values, bits, signed)
        return self._found[key]


def best_integer(values: np.ndarray, bits: int, signed: bool) -> int:
    """Return the integer bits with the smallest mean squared error of quantizing the values; ties go to fewer bits."""
    choices = range(0, bits - int(signed) + 1)
    errors = [float(np.mean((Precision(bits, i, signed).quantize(values) - values) ** 2)) for i in choices]
    return int(np.argmin(errors))


def holding_integer(values: np.ndarray, bits: int, signed: bool, percentile: float) -> int:
    """Return the fewest integer bits whose range holds a percentile of the magnitudes, as many as there are at most.

    Parameters
    ----------
    percentile : float
        Above 0, up to 100 (all values).

    Raises
    ------
    InputError
        A percentile outside that.
    """
    if not 0 < percentile <= 100:
        raise InputError(f"ptq.percentile: expected a number above 0, up to 100, received {percentile}")
    wanted = float(np.percentile(np.abs(values), percentile))
    choices = range(0, bits - int(signed) + 1)
    return next((integer for integer in choices if Precision(bits, integer, signed).high >= wanted), choices[-1])


def bias_precision(bias: np.ndarray, bits: int | str, weight: Precision, inputs: Precision) -> Precision:
    """Return the bias's type: the accumulator's grid for ``'auto'``, else the given bits around the parent's range."""
    integer = max(int(np.ceil(np.log2(max(float(np.abs(bias).max()), 2.0**-20)))), 0) + GUARD_BITS
    if bits == "auto":
        return Precision(min(weight.fractional + inputs.fractional + integer + 1, MAX_BITS), integer)
    return Precision(int(bits), min(integer, int(bits) - 1))
