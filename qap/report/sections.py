"""The parts of report.json that say what was done: data, topology, search, error bars."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict

from qap.models.architecture import Architecture


class Section(BaseModel):
    """A part of the report: frozen, unknown keys refused, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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
    """At which the signal efficiency is taken."""


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
