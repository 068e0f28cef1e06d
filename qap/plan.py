"""Precision, LayerPlan and Plan: the only carriers of bits and sparsities.

A Precision counts integer bits as QKeras does, sign left out; its text form is the QKeras quantizer, for example
``quantized_bits(6,0)`` for signed and ``quantized_relu(6,2)`` for unsigned fixed point. `Precision.ap_fixed` gives the
hls4ml spelling, whose integer bits include the sign.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from qap.backend import stack
from qap.errors import InputError, suggestion
from qap.granularity import WEIGHT, Granularity

MAX_BITS = 32
MAX_EXPONENT = 24
INPUTS = "inputs"
"""Key of the inputs' precision in a plan's plain form, beside the layers."""
KINDS = ("fixed", "binary", "ternary", "po2")
UNPRUNABLE = {
    "binary": "binary weights have no zero",
    "po2": "power-of-two weights have no zero",
}
_FORM = re.compile(r"^(quantized_bits|quantized_relu|quantized_po2|binary|ternary)\(([^()]*)\)$")


def _is_int(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Precision:
    """Bits, integer bits and sign of one tensor.

    Parameters
    ----------
    bits : int
        Width in bits, the sign included, 1 to 32.
    integer : int, default 0
        Bits left of the binary point, the sign left out (QKeras's convention), 0 to `bits`.
    signed : bool, default True
    kind : {'fixed', 'binary', 'ternary', 'po2'}, default 'fixed'
        Value set: fixed point, {-1, 1}, {-1, 0, 1}, or signed powers of two with `bits` of sign and exponent.

    Raises
    ------
    InputError
        A width that no quantizer has.
    """

    bits: int
    integer: int = 0
    signed: bool = True
    kind: str = "fixed"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"precision: expected one of {', '.join(KINDS)}, received {self.kind!r}")
        if not _is_int(self.bits) or not 1 <= self.bits <= MAX_BITS:
            raise InputError(f"precision: expected bits from 1 to {MAX_BITS}, received {self.bits!r}")
        if not _is_int(self.integer) or not 0 <= self.integer <= self.bits - self.sign_bits:
            if self.kind == "fixed":
                raise InputError(
                    f"precision: expected integer bits from 0 to {self.bits - self.sign_bits} (sign left out) for "
                    f"{self.bits} bits, received {self.integer!r}"
                )
            raise InputError(f"precision: expected integer 0 for {self.kind}, received {self.integer!r}")
        if self.kind == "fixed" and self.signed and self.bits == 1:
            raise InputError("precision: 1 signed bit is a sign without a value; write binary() for {-1, 1}")
        object.__setattr__(self, "bits", int(self.bits))
        object.__setattr__(self, "integer", int(self.integer))

    @property
    def sign_bits(self) -> int:
        """1 for signed fixed point, else 0."""
        return int(self.signed and self.kind == "fixed")

    @property
    def fractional(self) -> int:
        """Bits right of the binary point; the step is 2**-fractional."""
        return self.bits - self.sign_bits - self.integer if self.kind == "fixed" else 0

    @property
    def step(self) -> float:
        """Distance between neighbouring values (least significant bit)."""
        return math.ldexp(1.0, -self.fractional)

    @property
    def low(self) -> float:
        """Smallest value."""
        if self.kind == "po2":
            return -self.high
        if self.kind != "fixed":
            return -1.0
        return -math.ldexp(1.0, self.integer) if self.signed else 0.0

    @property
    def high(self) -> float:
        """Largest value."""
        return math.ldexp(1.0, self.integer) - self.step if self.kind == "fixed" else 1.0

    @property
    def ap_fixed(self) -> str:
        """The type in hls4ml's spelling, integer bits including the sign."""
        if self.kind != "fixed":
            raise InputError(f"precision: {self} has no ap_fixed type")
        return f"ap_{'' if self.signed else 'u'}fixed<{self.bits},{self.integer + self.sign_bits}>"

    @property
    def quantizer(self) -> str:
        """The QKeras quantizer as text that `.keras` files keep, scale fixed to 1."""
        if self.kind == "po2":
            return f"quantized_po2({self.bits},1)"
        if self.kind != "fixed":
            return f"{self.kind}(alpha=1)"
        name = "quantized_bits({},{},alpha=1)" if self.signed else "quantized_relu({},{})"
        return name.format(self.bits, self.integer)

    def quantize(self, values: np.ndarray) -> np.ndarray:
        """Give the values that the QKeras quantizer gives; fixed point: round half to even and saturate.

        Parameters
        ----------
        values : array of any shape

        Returns
        -------
        float64 array of the same shape, exactly on the grid.
        """
        if self.kind != "fixed":
            libraries = stack()
            quantizer = libraries.qkeras.get_quantizer(self.quantizer)
            return np.asarray(quantizer(libraries.tf.constant(values, libraries.tf.float32)), np.float64)
        scaled = np.rint(np.ldexp(np.asarray(values, np.float64), self.fractional))
        return np.ldexp(
            np.clip(scaled, np.ldexp(self.low, self.fractional), np.ldexp(self.high, self.fractional)), -self.fractional
        )

    @classmethod
    def parse(cls, text: str) -> Precision:
        """Read the text form: ``quantized_bits(6,0)``, ``quantized_relu(6,2)``, ``binary()``, ``ternary()``.

        ``alpha=1`` may stand in it; any other option is refused.
        """
        match = _FORM.match(str(text).replace(" ", ""))
        if not match:
            raise InputError(
                f"precision: expected for example quantized_bits(6,0), quantized_relu(6,2), binary(), ternary() or "
                f"quantized_po2(4), received {text!r}"
            )
        name, inside = match.groups()
        arguments = [part for part in inside.split(",") if part and part not in ("alpha=1", "alpha=1.0")]
        if not all(re.fullmatch(r"-?\d+", part) for part in arguments) or len(arguments) > 2:
            raise InputError(f"precision: expected only bits and integer bits in {text!r} (qap fixes alpha to 1)")
        numbers = [int(part) for part in arguments]
        if name in ("binary", "ternary"):
            if numbers:
                raise InputError(f"precision: {name}() takes no numbers, received {text!r}")
            return cls(1 if name == "binary" else 2, 0, True, name)
        if not numbers:
            raise InputError(f"precision: expected the bits in {text!r}")
        if name == "quantized_po2":
            return cls(numbers[0], 0, True, "po2")
        return cls(numbers[0], numbers[1] if len(numbers) > 1 else 0, name == "quantized_bits")

    def __str__(self) -> str:
        return self.quantizer.replace(",alpha=1", "").replace("alpha=1", "").replace(f"po2({self.bits},1", f"po2({self.bits}")


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
    if not isinstance(values, list | tuple) or not all(_is_int(value) and abs(value) <= MAX_EXPONENT for value in values):
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
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # ten times faster where libyaml is there
        path.write_text(yaml.dump(self.to_dict(), Dumper=dumper, sort_keys=False))

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read a plan from YAML.

        Raises
        ------
        InputError
            No such file, not YAML, or not a plan; the message names file and layer.
        """
        try:
            return cls.from_dict(yaml.safe_load(Path(path).read_text()))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            why = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise InputError(f"{path}: not a readable plan file: {why}") from None
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
