"""Precision: bits, integer bits and sign of one tensor.

Integer bits are counted as QKeras does, sign left out; the text form is the QKeras quantizer, for example
``quantized_bits(6,0)`` for signed and ``quantized_relu(6,2)`` for unsigned fixed point. `Precision.ap_fixed` gives the
hls4ml spelling, whose integer bits include the sign.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from qap.backend import stack
from qap.errors import InputError

MAX_BITS = 32
KINDS = ("fixed", "binary", "ternary", "po2")
_FORM = re.compile(r"^(quantized_bits|quantized_relu|quantized_po2|binary|ternary)\(([^()]*)\)$")


def is_whole(value: Any) -> bool:
    """Tell whether a value is a whole number, of Python or of numpy."""
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

    Examples
    --------
    >>> import qap
    >>> precision = qap.Precision.parse("quantized_bits(6,0)")
    >>> precision.step, precision.low, precision.high
    (0.03125, -1.0, 0.96875)
    >>> precision.ap_fixed
    'ap_fixed<6,1>'
    >>> precision.quantize([0.1, 0.5, 3.0]).tolist()
    [0.09375, 0.5, 0.96875]
    """

    bits: int
    integer: int = 0
    signed: bool = True
    kind: str = "fixed"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"precision: expected one of {', '.join(KINDS)}, received {self.kind!r}")
        if not is_whole(self.bits) or not 1 <= self.bits <= MAX_BITS:
            raise InputError(f"precision: expected bits from 1 to {MAX_BITS}, received {self.bits!r}")
        if not is_whole(self.integer) or not 0 <= self.integer <= self.bits - self.sign_bits:
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
