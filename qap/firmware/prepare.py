"""Bring a model onto grids that firmware holds: the model changes, and the firmware then means the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qap.firmware.lowering import EPSILON
from qap.firmware.quantizers import MAX_UNQUANTIZED_BITS
from qap.firmware.rebuild import leaves, rebuild
from qap.firmware.rules.normalisation import scale_shift
from qap.firmware.values import Grid

NORMALISATIONS = ("BatchNormalization", "QBatchNormalization")


@dataclass(frozen=True)
class Prepared:
    """A model whose constants stand on grids.

    Parameters
    ----------
    model : keras.Model
        The model to convert, to compare and to quote: a copy where something had to change.
    changes : tuple of str
        What was changed, layer by layer, with the largest change of a constant; empty when nothing was.
    """

    model: Any
    changes: tuple[str, ...]


def prepare(model: Any, bits: int = 12) -> Prepared:
    """Round the constants that have no quantizer of their own: batch normalizations and float biases.

    A batch normalization becomes ``x·s + b`` with s = γ/√(σ² + ε) and b = β - µ·s on a grid; a bias without a quantizer
    is rounded. Kernels without a quantizer stay as they are, and are refused by `convert`.

    Parameters
    ----------
    model : keras.Model
    bits : int, default 12
        Bits of the largest constant of each kind in a layer.

    Returns
    -------
    Prepared
        The given model itself when it needs no change.
    """
    constants = {id(layer): found for layer in leaves(model) if (found := _constants(layer, bits))}
    if not constants:
        return Prepared(model, ())
    changes = tuple(f"{layer.name}: {constants[id(layer)][1]}" for layer in leaves(model) if id(layer) in constants)
    names = {layer.name for layer in leaves(model) if id(layer) in constants and type(layer).__name__ in NORMALISATIONS}

    def rewrite(value: Any) -> Any:
        if not isinstance(value, dict) or value.get("class_name") not in NORMALISATIONS:
            return value
        config = value["config"]
        if config["name"] not in names:
            return value
        kept = {key: config[key] for key in ("name", "axis", "trainable", "dtype", "momentum") if key in config}
        entry = {key: item for key, item in value.items() if key not in ("module", "registered_name")}
        return {**entry, "class_name": "BatchNormalization", "config": {**kept, "epsilon": EPSILON}}

    def weights(old: Any, _: Any) -> list[np.ndarray]:
        return constants[id(old)][0] if id(old) in constants else old.get_weights()

    return Prepared(rebuild(model, rewrite, weights), changes)


def round_to_bits(values: np.ndarray, bits: int) -> np.ndarray:
    """Round constants to the grid on which the largest of them has `bits` bits."""
    largest = np.abs(values).max(initial=0.0)
    if not largest:
        return values
    lsb = int(np.frexp(largest)[1]) - bits
    return np.ldexp(np.rint(np.ldexp(values, -lsb)), lsb)


def _constants(layer: Any, bits: int) -> tuple[list[np.ndarray], str] | None:
    """Return the layer's weights on a grid and what was changed, or None when it has none to round."""
    if type(layer).__name__ in NORMALISATIONS:
        return _normalisation(layer, bits)
    if not getattr(layer, "use_bias", False) or getattr(layer, "bias_quantizer_internal", "none") is not None:
        return None
    weights = layer.get_weights()
    exact = np.asarray(weights[-1], np.float64)
    if Grid.of(exact).bits <= MAX_UNQUANTIZED_BITS:
        return None
    rounded = round_to_bits(exact, bits)
    text = f"bias without a quantizer rounded to {bits} bits, largest change {np.abs(rounded - exact).max():.2g}"
    return [*weights[:-1], rounded], text


def _normalisation(layer: Any, bits: int) -> tuple[list[np.ndarray], str] | None:
    scale, shift = scale_shift(layer)
    plain = type(layer).__name__ == "BatchNormalization"
    if plain and max(Grid.of(scale).bits, Grid.of(shift).bits) <= MAX_UNQUANTIZED_BITS and not layer.moving_mean.numpy().any():
        return None
    exact = scale, shift
    scale, shift = round_to_bits(scale, bits), round_to_bits(shift, bits)
    change = max(np.abs(scale - exact[0]).max(), np.abs(shift - exact[1]).max())
    kind = type(layer).__name__
    text = f"{kind} as x·s + b, s and b rounded to {bits} bits, largest change {change:.2g}"
    return [scale, shift, np.zeros_like(scale), np.full_like(scale, 1 - EPSILON)], text
