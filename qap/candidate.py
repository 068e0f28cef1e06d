"""Candidate, Cost and Parity: plain records and their files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from qap.models.architecture import Architecture
from qap.models.builders import Weights
from qap.plan import Plan


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of cost: value, band, unit and where it comes from.

    Parameters
    ----------
    value : float
    source : str
        For example ``'counted on the quantized weights'``.
    unit : str, default ''
    low, high : float, optional
        Band; both equal to the value where the figure is exact.
    """

    value: float
    source: str
    unit: str = ""
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, self.value)

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form."""
        return {"value": self.value, "source": self.source, "unit": self.unit, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Cost:
    """Figures of cost by name, in total and by layer.

    Parameters
    ----------
    figures : mapping of str to Figure
        Totals, for example ``ebops``.
    layers : mapping of str to (mapping of str to Figure)
        The same by layer name.
    """

    figures: Mapping[str, Figure]
    layers: Mapping[str, Mapping[str, Figure]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        return self.figures[name].value

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form."""
        return {
            "figures": {name: figure.to_dict() for name, figure in self.figures.items()},
            "layers": {
                layer: {name: figure.to_dict() for name, figure in figures.items()} for layer, figures in self.layers.items()
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cost:
        """Read the plain form."""

        def read(figures: Mapping[str, Any]) -> dict[str, Figure]:
            return {name: Figure(**figure) for name, figure in figures.items()}

        return cls(read(values["figures"]), {layer: read(figures) for layer, figures in values["layers"].items()})


@dataclass(frozen=True, slots=True)
class Parity:
    """QKeras against its firmware, event by event, at the outputs: the C-simulation, or the Verilog clock by clock.

    Parameters
    ----------
    events : int
        Number of events compared.
    exact : int
        Events whose outputs agree in every bit.
    max_difference : float
        Largest absolute difference of any output.
    first_layer : str or None
        The first layer whose output differs, None when all events are exact.
    reference : {'float32', 'float64'}
        Arithmetic of the QKeras side.
    """

    events: int
    exact: int
    max_difference: float
    first_layer: str | None = None
    reference: str = "float32"

    @property
    def fraction(self) -> float:
        """Fraction of events bit-exact."""
        return self.exact / self.events

    @property
    def proven(self) -> bool:
        """True when every event is bit-exact."""
        return self.exact == self.events > 0


@dataclass(frozen=True, eq=False)
class Candidate:
    """An architecture and a plan, and what is known of them so far.

    Parameters
    ----------
    architecture : Architecture
    plan : Plan
    weights : mapping, optional
        Latent weights by ``layer/kernel`` and ``layer/bias``, pruned ones zero.
    metrics : mapping of str to float
    cost : Cost, optional
    parity : Parity, optional
        Of the C-simulation.
    parity_rtl : Parity, optional
        Of the Verilog of the RTL route.
    """

    architecture: Architecture
    plan: Plan
    weights: Weights | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    cost: Cost | None = None
    parity: Parity | None = None
    parity_rtl: Parity | None = None

    @property
    def unproven(self) -> bool:
        """True where a firmware was compared and is not bit-exact on every event."""
        return any(found is not None and not found.proven for found in (self.parity, self.parity_rtl))

    @cached_property
    def id(self) -> str:
        """12 hexadecimal digits that name architecture and plan."""
        text = json.dumps([self.architecture.to_dict(), self.plan.to_dict()], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def with_(self, **changes: Any) -> Candidate:
        """Return a copy with other values."""
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form, weights left out; `parity_rtl` only where there is one."""
        rtl = {} if self.parity_rtl is None else {"parity_rtl": asdict(self.parity_rtl)}
        return {
            "id": self.id,
            "architecture": self.architecture.to_dict(),
            "plan": self.plan.to_dict(),
            "metrics": dict(self.metrics),
            "cost": None if self.cost is None else self.cost.to_dict(),
            "parity": None if self.parity is None else asdict(self.parity),
            **rtl,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Candidate:
        """Read the plain form."""
        return cls(
            Architecture.from_dict(values["architecture"]),
            Plan.from_dict(values["plan"]),
            None,
            dict(values["metrics"]),
            None if values.get("cost") is None else Cost.from_dict(values["cost"]),
            *(None if values.get(name) is None else Parity(**values[name]) for name in ("parity", "parity_rtl")),
        )
