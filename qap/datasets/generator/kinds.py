"""The kinds of data that can be made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qap.datasets.generator import jets, level1
from qap.datasets.generator.settings import Constituents, Jets, Level1, Sample

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
    part : callable(class name, events, settings, seed sequence, minimum-bias tables) → arrays by name
        ``tried`` among them, the others one row per event.
    event : str
        What one row is, in the plural.
    tables : callable(settings) → bool
        Whether minimum-bias events are made, which need Pythia's tables.
    mix : tuple of str
        Classes whose events are weighted by their cross sections, to a mean of 1; the parts give ``cross_section_pb``.
    """

    settings: type[Sample]
    classes: tuple[str, ...]
    feature_names: Callable[[Any], tuple[str, ...]]
    part: Callable[[str, int, Any, np.random.SeedSequence, Path], dict[str, np.ndarray]]
    event: str
    tables: Callable[[Any], bool]
    mix: tuple[str, ...] = ()


def _constituent_names(settings: Constituents) -> tuple[str, ...]:
    return tuple(f"{name}_{i}" for i in range(settings.constituents) for name in ("pt", "deta", "dphi"))


def _pileup(settings: Jets) -> bool:
    return settings.pileup > 0


KINDS = {
    "jets": Kind(Jets, jets.CLASSES, lambda settings: OBSERVABLES, jets.jet_part, "jets", _pileup),
    "constituents": Kind(Constituents, jets.CLASSES, _constituent_names, jets.jet_part, "jets", _pileup),
    "l1": Kind(
        Level1,
        level1.CLASSES,
        lambda settings: level1.FEATURES,
        level1.level1_part,
        "events",
        lambda settings: True,
        tuple(level1.STANDARD_MODEL),
    ),
}
