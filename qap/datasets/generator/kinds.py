"""The kinds of data that can be made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qap.config.fields import Section
from qap.datasets.generator import jets
from qap.datasets.generator.settings import Constituents, Jets

OBSERVABLES = (
    "zlogz", "c1_b0_mmdt", "c1_b1_mmdt", "c1_b2_mmdt", "c2_b1_mmdt", "c2_b2_mmdt", "d2_b1_mmdt", "d2_b2_mmdt", "d2_a1_b1_mmdt",
    "d2_a1_b2_mmdt", "m2_b1_mmdt", "m2_b2_mmdt", "n2_b1_mmdt", "n2_b2_mmdt", "mass_mmdt", "multiplicity",
)  # fmt: skip
"""Names of the benchmark's 16 features; what they are stands in `observables.observables`."""


@dataclass(frozen=True)
class Kind:
    """How one kind of data is made.

    Parameters
    ----------
    settings : class of settings
    classes : tuple of str
    feature_names : callable(settings) → sequence of str
    part : callable(class name, events, settings, seed sequence) → arrays by name
        ``tried`` among them, the others one row per event.
    event : str
        What one row is, in the plural.
    """

    settings: type[Section]
    classes: tuple[str, ...]
    feature_names: Callable[[Any], tuple[str, ...]]
    part: Callable[[str, int, Any, np.random.SeedSequence], dict[str, np.ndarray]]
    event: str


def _constituent_names(settings: Constituents) -> tuple[str, ...]:
    return tuple(f"{name}_{i}" for i in range(settings.constituents) for name in ("pt", "deta", "dphi"))


KINDS = {
    "jets": Kind(Jets, jets.CLASSES, lambda settings: OBSERVABLES, jets.jet_part, "jets"),
    "constituents": Kind(Constituents, jets.CLASSES, _constituent_names, jets.jet_part, "jets"),
}
