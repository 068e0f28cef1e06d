"""Candidate, Cost and Parity: plain records and their files."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from qap.errors import InputError
from qap.models.architecture import Architecture
from qap.models.builders import Weights
from qap.plan import Plan, plan_table
from qap.tables import Table, html, number


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


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

    def __str__(self) -> str:
        if self.low is None or self.high is None or self.low == self.high:
            return number(self.value)
        return f"{number(self.value)} ({number(self.low)}–{number(self.high)})"

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form."""
        return {"value": self.value, "source": self.source, "unit": self.unit, "low": self.low, "high": self.high}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Figure:
        """Read the plain form.

        Raises
        ------
        InputError
            Anything else than finite numbers, the low one not above the high one, and text.
        """
        found = cls(**values)
        numbers = (found.value, found.low, found.high)
        if not all(map(_is_number, numbers)) or not found.low <= found.value <= found.high:  # type: ignore[operator]
            raise InputError(f"cost: expected a finite value between low and high, received {numbers}")
        if not isinstance(found.source, str) or not isinstance(found.unit, str):
            raise InputError(f"cost: expected text as source and unit, received {found.source!r} and {found.unit!r}")
        return found


@dataclass(frozen=True, slots=True)
class Cost:
    """Figures of cost by name, in total and by layer.

    Parameters
    ----------
    figures : mapping of str to Figure
        Totals, for example ``ebops``.
    layers : mapping of str to (mapping of str to Figure)
        The same by layer name.

    Examples
    --------
    >>> import qap
    >>> from qap.candidate import Figure
    >>> ebops = Figure(45_498, "counted on the quantized weights")
    >>> cost = qap.Cost({"ebops": ebops, "LUT": Figure(54_000, "estimated", low=39_000, high=89_000)})
    >>> cost["ebops"]
    45498
    >>> cost
    Cost(ebops 45,498, LUT 54,000 (39,000–89,000))
    """

    figures: Mapping[str, Figure]
    layers: Mapping[str, Mapping[str, Figure]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        return self.figures[name].value

    @property
    def table(self) -> Table:
        """Figure by figure the total with its band, the layers, the unit and the source."""
        rows = [
            (name, figure, *(layer.get(name) for layer in self.layers.values()), figure.unit, figure.source)
            for name, figure in self.figures.items()
        ]
        return Table.of(("cost", "total", *self.layers, "unit", "source"), rows)

    def __str__(self) -> str:
        return str(self.table)

    def __repr__(self) -> str:
        return f"Cost({', '.join(f'{name} {figure}' for name, figure in self.figures.items())})"

    def _repr_html_(self) -> str:
        return self.table._repr_html_()

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
        """Read the plain form.

        Raises
        ------
        InputError
            Another form, or figures that are no numbers.
        """

        def read(figures: Mapping[str, Any]) -> dict[str, Figure]:
            return {str(name): Figure.from_dict(figure) for name, figure in figures.items()}

        try:
            return cls(read(values["figures"]), {str(layer): read(figures) for layer, figures in values["layers"].items()})
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"cost: expected figures and layers, {type(error).__name__}: {error}") from None


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

    Examples
    --------
    >>> import qap
    >>> parity = qap.Parity(events=1000, exact=999, max_difference=0.125, first_layer="fc2")
    >>> parity.proven, parity.fraction
    (False, 0.999)
    """

    events: int
    exact: int
    max_difference: float
    first_layer: str | None = None
    reference: str = "float32"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Parity:
        """Read the plain form.

        Raises
        ------
        InputError
            Counts that cannot be, or a difference that is no number.
        """
        found = cls(**values)
        counts = (found.events, found.exact)
        sound = all(isinstance(one, int) and not isinstance(one, bool) for one in counts) and 0 <= found.exact <= found.events
        if not sound or not _is_number(found.max_difference) or found.max_difference < 0:
            raise InputError(f"parity: expected counts and a largest difference, received {dict(values)}")
        if found.reference not in ("float32", "float64") or not isinstance(found.first_layer, str | None):
            raise InputError(f"parity: expected a layer and float32 or float64, received {dict(values)}")
        return found

    @property
    def fraction(self) -> float:
        """Fraction of events bit-exact."""
        return self.exact / self.events

    @property
    def proven(self) -> bool:
        """True when every event is bit-exact."""
        return self.exact == self.events > 0

    def __str__(self) -> str:
        said = f"{self.exact:,} of {self.events:,} events bit-exact"
        where = f", first difference at {self.first_layer}" if self.first_layer else ""
        return said if self.proven else f"{said}, largest difference {self.max_difference:g}{where}"

    def _repr_html_(self) -> str:
        rows = [(f"{self.events:,}", f"{self.exact:,}", f"{self.max_difference:g}", self.first_layer, self.reference)]
        titles = ("events", "bit-exact", "largest difference", "first layer that differs", "QKeras in")
        return Table.of(titles, rows)._repr_html_()


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
    losses : mapping of str to sequence of float
        Of its training, by epoch: ``total``, ``hard`` against the labels and, with a teacher, ``soft``.
    """

    architecture: Architecture
    plan: Plan
    weights: Weights | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    cost: Cost | None = None
    parity: Parity | None = None
    parity_rtl: Parity | None = None
    losses: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def unproven(self) -> bool:
        """True where a firmware was compared and is not bit-exact on every event."""
        return any(found is not None and not found.proven for found in (self.parity, self.parity_rtl))

    @cached_property
    def id(self) -> str:
        """12 hexadecimal digits that name architecture and plan."""
        text = json.dumps([self.architecture.to_dict(), self.plan.to_dict()], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def tables(self) -> tuple[Table, ...]:
        """The plan with what was counted layer by layer, and what is known of the whole."""
        costs = {} if self.cost is None else {name: layer for name, layer in self.cost.layers.items() if name in self.plan}
        counted = {
            title: [costs.get(name, {}).get(figure) for name in self.plan]
            for title, figure in (("zero weights", "sparsity"), ("EBOPs", "ebops"))
        }
        plan = plan_table(self.plan, counted, f"candidate {self.id}: {self.architecture}")
        known: list[tuple[str, Any]] = [(name, number(value)) for name, value in self.metrics.items()]
        known += [] if self.cost is None else [(name, figure) for name, figure in self.cost.figures.items()]
        known += [("C-simulation", self.parity)] if self.parity else []
        known += [("RTL", self.parity_rtl)] if self.parity_rtl else []
        return (plan, Table.of(("known", "value"), known)) if known else (plan,)

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.tables))

    def __repr__(self) -> str:
        known = [f"{name} {value:.4g}" for name, value in self.metrics.items() if name.endswith("_validation")]
        known += [f"{number(self.cost['ebops'])} EBOPs"] if self.cost is not None and "ebops" in self.cost.figures else []
        return f"Candidate({', '.join([self.id, str(self.architecture), *known])})"

    def _repr_html_(self) -> str:
        return html(self.tables)

    def with_(self, **changes: Any) -> Candidate:
        """Return a copy with other values."""
        made = replace(self, **changes)
        if "id" in vars(self) and not changes.keys() & {"architecture", "plan"}:
            vars(made)["id"] = self.id  # counted once: it names architecture and plan alone
        return made

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form, weights left out; `parity_rtl` and `losses` only where there are any."""
        rtl = {} if self.parity_rtl is None else {"parity_rtl": asdict(self.parity_rtl)}
        losses = {"losses": {name: list(values) for name, values in self.losses.items()}} if self.losses else {}
        return {
            "id": self.id,
            "architecture": self.architecture.to_dict(),
            "plan": self.plan.to_dict(),
            "metrics": dict(self.metrics),
            "cost": None if self.cost is None else self.cost.to_dict(),
            "parity": None if self.parity is None else asdict(self.parity),
            **rtl,
            **losses,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Candidate:
        """Read the plain form.

        Raises
        ------
        InputError
            Values that cannot be, or another id than that of architecture and plan.
        KeyError, TypeError, ValueError, AttributeError
            Another form.
        """

        def parity(name: str) -> Parity | None:
            return None if values.get(name) is None else Parity.from_dict(values[name])

        for name, value in values["metrics"].items():
            if not _is_number(value):
                raise InputError(f"metrics: {name}: expected a finite number, received {value!r}")
        for name, losses in values.get("losses", {}).items():
            if not all(map(_is_number, losses)):
                raise InputError(f"losses: {name}: expected finite numbers, received {losses!r}")

        found = cls(
            Architecture.from_dict(values["architecture"]),
            Plan.from_dict(values["plan"]),
            metrics=dict(values["metrics"]),
            cost=None if values.get("cost") is None else Cost.from_dict(values["cost"]),
            parity=parity("parity"),
            parity_rtl=parity("parity_rtl"),
            losses={name: tuple(map(float, losses)) for name, losses in values.get("losses", {}).items()},
        )
        if values.get("id", found.id) != found.id:
            raise InputError(f"candidate: {values['id']!r} is not the id of its architecture and plan, {found.id}")
        return found
