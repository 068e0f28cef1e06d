"""LayerPlan and Plan: the only carriers of bits and sparsities."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from qap.config.load import dump_yaml, parse_yaml
from qap.errors import InputError, suggestion
from qap.granularity import WEIGHT, Granularity
from qap.precision import Precision, is_whole
from qap.tables import Table

MAX_EXPONENT = 24
INPUTS = "inputs"
"""Key of the inputs' precision in a plan's plain form, beside the layers."""
UNPRUNABLE = {
    "binary": "binary weights have no zero",
    "po2": "power-of-two weights have no zero",
}


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """Precisions and sparsity target of one layer.

    Parameters
    ----------
    weight, bias : Precision
    activation : Precision or None, default None
        Type of the layer's output; None leaves the accumulator as it is (logits).
    sparsity : float, default 0.0
        Fraction of the weights that pruning must remove, 0 to less than 1.
    granularity : Granularity, default single weights
        What pruning removes as one.
    exponents : tuple of int, default ()
        By unit k: its weights and bias carry 2**−k, the following weights 2**k (see `qap.models.scaling`), so that the
        activation's step is 2**k times as large for it, seen from the float network. Empty: 0 for all.

    Raises
    ------
    InputError
        A sparsity outside [0, 1), or a sparsity above 0 with weights that have no zero.

    Examples
    --------
    >>> import qap
    >>> layer = qap.LayerPlan(qap.Precision(6), qap.Precision(10, 2), qap.Precision(6, 2, signed=False), sparsity=0.5)
    >>> print(layer.weight, layer.activation)
    quantized_bits(6,0) quantized_relu(6,2)
    >>> layer.activation.ap_fixed
    'ap_ufixed<6,2>'
    """

    weight: Precision
    bias: Precision
    activation: Precision | None = None
    sparsity: float = 0.0
    granularity: Granularity = WEIGHT
    exponents: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.sparsity, bool) or not isinstance(self.sparsity, int | float) or not 0 <= self.sparsity < 1:
            raise InputError(f"sparsity: expected a number from 0 to less than 1, received {self.sparsity!r}")
        if self.sparsity and self.weight.kind in UNPRUNABLE:
            raise InputError(
                f"sparsity {self.sparsity} with {self.weight}: {UNPRUNABLE[self.weight.kind]}, so the pruned weights would "
                "come back; use ternary() or quantized_bits with 2 bits or more"
            )
        if not self.weight.signed:
            raise InputError(f"weight: expected a signed precision, received {self.weight}")
        object.__setattr__(self, "sparsity", float(self.sparsity))
        object.__setattr__(self, "exponents", _exponents(self.exponents))

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form, precisions as text; granularity and exponents only where they are not the default."""
        found: dict[str, Any] = {
            "weight": str(self.weight),
            "bias": str(self.bias),
            "activation": None if self.activation is None else str(self.activation),
            "sparsity": self.sparsity,
        }
        if self.granularity != WEIGHT:
            found["granularity"] = str(self.granularity)
        return {**found, "exponents": list(self.exponents)} if self.exponents else found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LayerPlan:
        """Read the plain form.

        Raises
        ------
        InputError
            Unknown or missing keys, or values that no precision has.
        """
        _check_keys(values, ("weight", "bias", "activation", "sparsity", "granularity", "exponents"))
        for key in ("weight", "bias"):
            if key not in values:
                raise InputError(f"{key}: expected a precision such as quantized_bits(6,0), received nothing")
        activation = values.get("activation")
        return cls(
            Precision.parse(values["weight"]),
            Precision.parse(values["bias"]),
            None if activation is None else Precision.parse(activation),
            values.get("sparsity", 0.0),
            Granularity.parse(values.get("granularity", "weight")),
            values.get("exponents", ()),
        )


@dataclass(frozen=True, slots=True)
class InputPlan:
    """What the network rounds its inputs to, coarser than the data's own grid.

    Parameters
    ----------
    precision : Precision
        Signed fixed point.
    exponents : tuple of int, default ()
        By feature k: it is multiplied by 2**−k before it is rounded, and the first kernel's row carries 2**k, so that its step
        is 2**k times as large. Empty: 0 for all.

    Raises
    ------
    InputError
        A precision that is not signed fixed point.
    """

    precision: Precision
    exponents: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.precision.kind != "fixed" or not self.precision.signed:
            raise InputError(f"inputs: expected a signed precision such as quantized_bits(8,3), received {self.precision}")
        object.__setattr__(self, "exponents", _exponents(self.exponents))

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form."""
        return {"precision": str(self.precision), "exponents": list(self.exponents)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> InputPlan:
        """Read the plain form.

        Raises
        ------
        InputError
            Unknown or missing keys, or values that no precision has.
        """
        _check_keys(values, ("precision", "exponents"))
        if "precision" not in values:
            raise InputError("precision: expected for example quantized_bits(8,3), received nothing")
        return cls(Precision.parse(values["precision"]), values.get("exponents", ()))


def _exponents(values: Any) -> tuple[int, ...]:
    """Return exponents as integers of Python's own, all 0 as none."""
    if not isinstance(values, list | tuple) or not all(is_whole(value) and abs(value) <= MAX_EXPONENT for value in values):
        raise InputError(f"exponents: expected whole numbers from −{MAX_EXPONENT} to {MAX_EXPONENT}, received {values!r}")
    return tuple(map(int, values)) if any(values) else ()


def _check_keys(values: Any, known: Sequence[str]) -> None:
    if not isinstance(values, Mapping):
        raise InputError(f"expected the keys {', '.join(known)}, received {values!r}")
    for key in values:
        if key not in known:
            raise InputError(f"unknown key {key!r}{suggestion(str(key), known)}")


@dataclass(frozen=True)
class Plan:
    """Layer plans by layer name, in the order of the network. Hashable and serialisable.

    Parameters
    ----------
    layers : tuple of (str, LayerPlan)
    inputs : InputPlan, optional
        What the network rounds its inputs to (None: it takes them on the data's own grid).

    Examples
    --------
    >>> from dataclasses import replace
    >>> import qap
    >>> hidden = qap.LayerPlan(qap.Precision(6), qap.Precision(10, 2), qap.Precision(6, 2, signed=False), sparsity=0.5)
    >>> output = qap.LayerPlan(qap.Precision(8), qap.Precision(12, 3))
    >>> plan = qap.Plan((("fc1", hidden), ("output", output)))
    >>> plan
    Plan(df02cb1472b3: fc1 w6a6 50%, output w8)
    >>> plan.map(lambda name, layer: replace(layer, sparsity=0.8))["output"].sparsity
    0.8
    >>> qap.Plan.from_dict(plan.to_dict()) == plan
    True
    """

    layers: tuple[tuple[str, LayerPlan], ...]
    inputs: InputPlan | None = None
    _index: Mapping[str, LayerPlan] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", dict(self.layers))
        if len(self._index) != len(self.layers) or not self.layers:
            raise InputError(f"plan: expected distinct layer names, received {[name for name, _ in self.layers]}")

    def __getitem__(self, name: str) -> LayerPlan:
        if name not in self._index:
            raise InputError(f"plan: no layer {name!r}{suggestion(name, self._index)}")
        return self._index[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self.layers)

    def items(self) -> tuple[tuple[str, LayerPlan], ...]:
        """Return (name, LayerPlan) pairs in order."""
        return self.layers

    @property
    def id(self) -> str:
        """12 hexadecimal digits that name this plan: equal plans, equal id."""
        text = json.dumps(self.to_dict(), separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def map(self, change: Callable[[str, LayerPlan], LayerPlan]) -> Plan:
        """Return the plan with each layer's plan changed."""
        return replace(self, layers=tuple((name, change(name, layer)) for name, layer in self.layers))

    def entering(self, given: Precision) -> Precision:
        """Return the type of the first layer's inputs, where the network is given events of a type."""
        return given if self.inputs is None else self.inputs.precision

    def __str__(self) -> str:
        return str(plan_table(self))

    def __repr__(self) -> str:
        return f"Plan({self.id}: {', '.join(f'{name} {_short(layer)}' for name, layer in self.layers)})"

    def _repr_html_(self) -> str:
        return plan_table(self)._repr_html_()

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return the plain form, layer name → keys of `LayerPlan`, before them the inputs' where they are rounded."""
        found = {name: layer.to_dict() for name, layer in self.layers}
        return found if self.inputs is None else {INPUTS: self.inputs.to_dict(), **found}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plan:
        """Read the plain form; errors name the layer."""
        if not isinstance(values, Mapping) or not values:
            raise InputError(f"plan: expected layers by name, received {values!r}")
        layers, inputs = [], None
        for name, layer in values.items():
            try:
                if name == INPUTS:
                    inputs = InputPlan.from_dict(layer)
                else:
                    layers.append((str(name), LayerPlan.from_dict(layer)))
            except InputError as error:
                raise InputError(f"plan: {name}: {error}") from None
        return cls(tuple(layers), inputs)

    def save(self, path: Path) -> None:
        """Write YAML that `load` reads."""
        path.write_text(dump_yaml(self.to_dict()))

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read a plan from YAML.

        Raises
        ------
        InputError
            No such file, not YAML, or not a plan; the message names file and layer.
        """
        try:
            text = Path(path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not a readable plan file: {getattr(error, 'strerror', None) or error}") from None
        values = parse_yaml(text, str(path))
        try:
            return cls.from_dict(values)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None


def _short(layer: LayerPlan) -> str:
    """Write a layer's plan in a word or two: bits of weights and activation, sparsity."""
    bits = f"w{layer.weight.bits}" + ("" if layer.activation is None else f"a{layer.activation.bits}")
    return f"{bits} {layer.sparsity:.0%}" if layer.sparsity else bits


def plan_table(plan: Plan, counted: Mapping[str, Sequence[Any]] | None = None, caption: str = "") -> Table:
    """Return a plan as a table.

    Parameters
    ----------
    plan : Plan
    counted : mapping of str to sequence, optional
        Further columns, a cell for each layer.
    caption : str, default ''
    """
    counted = counted or {}
    rows: list[Sequence[Any]] = [
        (
            name, layer.weight, layer.bias, layer.activation, f"{layer.sparsity:.0%}" if layer.sparsity else None,
            None if layer.granularity == WEIGHT else layer.granularity, *(cells[place] for cells in counted.values()),
        )
        for place, (name, layer) in enumerate(plan.layers)
    ]  # fmt: skip
    if plan.inputs is not None:
        rows.insert(0, (INPUTS, None, None, plan.inputs.precision, None, None, *([None] * len(counted))))
    return Table.of(("layer", "weight", "bias", "output", "sparsity", "granularity", *counted), rows, caption)
