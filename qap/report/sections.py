"""The parts of report.json that say what was done: data, topology, search, error bars."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from qap.cost.parts import find_part
from qap.cost.timing import Budget
from qap.errors import InputError
from qap.metrics.calibration import reliability
from qap.models.architecture import Architecture
from qap.precision import Precision


class Section(BaseModel):
    """A part of the report: frozen, unknown keys refused, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _precision(value: Any) -> Precision:
    try:
        return value if isinstance(value, Precision) else Precision.parse(value)
    except InputError as error:
        raise ValueError(str(error)) from None


PrecisionText = Annotated[Precision, BeforeValidator(_precision), PlainSerializer(str)]
"""A Precision, in the file the text that `Precision.parse` reads."""


class DataSection(Section):
    """The events."""

    name: str
    task: Literal["classification", "regression"]
    features: tuple[str, ...]
    classes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    """Names of the regression targets."""
    n_train: int
    n_validation: int
    n_held_back: int = 0
    """Validation events that the search did not see."""
    n_test: int
    input_precision: str
    """Type of the firmware's inputs, for example ``ap_fixed<10,3>``."""


class ModelLayer(Section):
    """A layer of the float topology."""

    name: str
    inputs: int
    """Of each unit: in a convolution those of its window."""
    units: int
    activation: str
    batchnorm: bool = False


class ModelSection(Section):
    """The float topology that the study starts from."""

    architecture: str
    layers: tuple[ModelLayer, ...]

    @classmethod
    def of(cls, architecture: Architecture) -> Self:
        """Describe an architecture."""
        layers = tuple(
            ModelLayer(
                name=layer.name,
                inputs=math.prod(architecture.shapes[layer.name][:-1]),
                units=layer.units,
                activation=layer.activation,
                batchnorm=layer.batchnorm,
            )
            for layer in architecture.layers
        )
        return cls(architecture=str(architecture), layers=layers)


class SearchSection(Section):
    """What the search did."""

    strategy: str
    engine: str
    trials: int
    """Candidates trained."""
    untrained: int = 0
    """Further candidates that were evaluated without training."""
    flattering: float | None = None
    """Mean over the search's front of how much better the score of the choice is than that on the events held back."""
    wall_seconds: float
    cpu_seconds: float
    objectives: tuple[str, ...]
    signal: str | None = None
    """Class of the signal efficiency (None: the mean over the classes)."""
    background_efficiency: float | None = None
    """At which the signal efficiency is taken; None for a regression."""


class BootstrapSection(Section):
    """What the error bars are: a central interval over replicas of the test events."""

    replicas: int
    coverage: float = 0.68


class RtlSection(Section):
    """The RTL route of the front: how it was built, and what could not be."""

    adders_per_stage: int
    synthesis_seconds: float | None = None
    """The most that the synthesis of one design might take; None: no synthesis was asked for."""
    missing: tuple[str, ...] = ()
    """A sentence for each reason why something could not be made."""


class PartSection(Section):
    """What the FPGA of the study holds."""

    name: str
    resources: dict[str, int]
    """``LUT``, ``FF``, ``DSP``, ``BRAM_18K``; what the part lacks is left out."""

    @classmethod
    def of(cls, name: str) -> Self | None:
        """Return what a part holds, None for one that is not listed (see `qap.cost.parts`)."""
        part = find_part(name)
        if part is None:
            return None
        held = {resource: getattr(part, resource) for resource in ("LUT", "FF", "DSP", "BRAM_18K")}
        return cls(name=part.name, resources={resource: number for resource, number in held.items() if number})


class TimingSection(Section):
    """What the trigger grants."""

    clock_ns: float
    bunch_crossing_ns: float
    time_multiplexing: int
    """Of so many copies of the firmware each takes every so-manieth event."""
    latency_ns: float | None = None
    """The longest latency; None: none was named."""

    @classmethod
    def of(cls, budget: Budget) -> Self:
        """Write a budget down."""
        return cls(
            clock_ns=budget.clock_ns,
            bunch_crossing_ns=budget.bunch_crossing_ns,
            time_multiplexing=budget.time_multiplexing,
            latency_ns=budget.latency_ns,
        )


class Calibration(Section):
    """The reliability diagram: the probability of the predicted class against how often it is right, test split."""

    events: tuple[int, ...]
    """By bin; the bins have equal width between 0 and 1."""
    confidence: tuple[float | None, ...]
    """Mean probability in the bin, None without events."""
    accuracy: tuple[float | None, ...]
    expected_error: float
    """Expected calibration error."""

    @classmethod
    def of(cls, labels: np.ndarray, logits: np.ndarray, weights: np.ndarray | None) -> Self:
        """Bin logits (see `qap.metrics.calibration.reliability`), rounded to 5 digits after the point."""
        found = reliability(labels, logits, weights, "logits")

        def rounded(values: np.ndarray) -> tuple[float | None, ...]:
            return tuple(None if np.isnan(value) else round(float(value), 5) for value in values)

        return cls(
            events=tuple(found.events.tolist()),
            confidence=rounded(found.confidence),
            accuracy=rounded(found.accuracy),
            expected_error=found.expected_error,
        )
