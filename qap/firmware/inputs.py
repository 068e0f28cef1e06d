"""Inputs as the hardware has them: one type for all features, or one per feature; integers with a step (LSB)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qap.backend import float32, stack
from qap.errors import InputError, suggestion
from qap.firmware.lowering import EPSILON
from qap.firmware.prepare import round_to_bits
from qap.precision import Precision


@dataclass(frozen=True)
class HardwareFeature:
    """A feature as the trigger hardware sends it: an integer times a step.

    Parameters
    ----------
    name : str
        For example ``hwPt``.
    bits : int
        Width of the integer, sign included.
    lsb : float
        Physical value of one count, for example 0.25 (GeV).
    signed : bool, default True
    """

    name: str
    bits: int
    lsb: float
    signed: bool = True

    def __post_init__(self) -> None:
        if not np.isfinite(self.lsb) or self.lsb <= 0:
            raise InputError(f"{self.name}: expected a positive lsb, received {self.lsb!r}")

    @property
    def precision(self) -> Precision:
        """The integer's fixed-point type."""
        return Precision(self.bits, self.bits - self.signed, self.signed)

    def counts(self, values: Any) -> np.ndarray:
        """Return the integers of physical values, rounded half to even and saturated."""
        return self.precision.quantize(np.asarray(values, np.float64) / self.lsb)


def with_standardisation(
    model: Any,
    features: Sequence[HardwareFeature],
    mean: Any,
    std: Any,
    inputs: Precision,
    bits: int = 16,
) -> Any:
    """Put the standardisation before a model as a fixed-point step, so that it takes the hardware's integers.

    With counts h and step l the network wants (h·l - µ)/σ = h·(l/σ) - µ/σ: a scale and a shift per feature on a grid of
    `bits` bits, then the quantizer to the network's own input type. Both sides compute exactly this.

    Parameters
    ----------
    model : keras.Model
        One input of shape (features,).
    features : sequence of HardwareFeature
    mean, std : arrays (features,)
        Of the training features, in physical units.
    inputs : Precision
        Fixed-point type of the network's standardised inputs.
    bits : int, default 16
        Bits of the largest scale and of the largest shift.

    Returns
    -------
    keras.Model
        Convert it with ``inputs=tuple(feature.precision for feature in features)``.

    Raises
    ------
    InputError
        Lengths that do not fit, or a standard deviation that is not positive.
    """
    if len(model.inputs) != 1 or tuple(model.inputs[0].shape[1:]) != (len(features),):
        raise InputError(
            f"with_standardisation: expected a model with one input ({len(features)},), received {model.input_shape}"
        )
    mean, std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    if mean.shape != (len(features),) or std.shape != mean.shape or not (std > 0).all():
        raise InputError(
            f"with_standardisation: expected {len(features)} means and positive deviations, received {mean.shape}, {std}"
        )
    lsb = np.array([feature.lsb for feature in features])
    scale, shift = round_to_bits(lsb / std, bits), round_to_bits(-mean / std, bits)
    libraries = stack()
    with float32():
        counts = libraries.keras.layers.Input((len(features),), name=model.inputs[0].name)
        step = libraries.keras.layers.BatchNormalization(epsilon=EPSILON, name="standardisation")
        rounded = libraries.qkeras.QActivation(inputs.quantizer, name="standardised")(step(counts))
        step.set_weights([scale, shift, np.zeros_like(scale), np.full_like(scale, 1 - EPSILON)])
        return libraries.keras.Model(counts, model(rounded), name=f"hardware_{model.name}")


def with_input_quantizer(model: Any, inputs: Precision | Mapping[str, Precision]) -> Any:
    """Put a quantizer equal to the firmware's input type before every input of a model.

    Off-grid and out-of-range inputs then mean the same on both sides: rounded half to even and saturated.

    Parameters
    ----------
    model : keras.Model
    inputs : Precision or mapping of input name → Precision

    Returns
    -------
    keras.Model
        With the same input names; the given model is nested in it.
    """
    libraries = stack()
    names = [tensor.name for tensor in model.inputs]
    precisions = dict.fromkeys(names, inputs) if isinstance(inputs, Precision) else dict(inputs)
    for name in precisions:
        if name not in names:
            raise InputError(f"inputs: the model has no input {name!r}{suggestion(name, names)}")
    with float32():
        ends = [libraries.keras.layers.Input(tensor.shape[1:], name=tensor.name) for tensor in model.inputs]
        rounded = [
            libraries.qkeras.QActivation(precisions[tensor.name].quantizer, name=f"{tensor.name}_quantizer")(end)
            for tensor, end in zip(model.inputs, ends, strict=True)
        ]
        nested = libraries.tf.nest.pack_sequence_as(model.input, rounded) if len(rounded) > 1 else rounded[0]
        return libraries.keras.Model(ends if len(ends) > 1 else ends[0], model(nested), name=f"quantized_{model.name}")
