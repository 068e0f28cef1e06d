"""One value on a wire, and QKeras's cast of it built from adders, multiplexers and wires.

An element is a da4ml variable plus a constant that no adder holds yet. A cast adds half a step to that constant, so that
rounding half up costs nothing beside the bias. Half to even differs from it on a tie with an odd result: there the lowest
bit is cleared, one gate more, and only where a tie can occur. Saturation looks at the bits above the result instead of
subtracting its bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from typing import Any

from qap.rtl.tools import da4ml


@dataclass(frozen=True, slots=True)
class Element:
    """A value: variable + offset.

    Parameters
    ----------
    variable : da4ml FixedVariable or None
        None for a constant.
    offset : Fraction
    """

    variable: Any
    offset: Fraction = Fraction(0)

    @property
    def low(self) -> Fraction:
        """Smallest value."""
        return self.offset + (0 if self.variable is None else Fraction(self.variable.low))

    @property
    def high(self) -> Fraction:
        """Largest value."""
        return self.offset + (0 if self.variable is None else Fraction(self.variable.high))

    def plus(self, other: Element) -> Element:
        """Return the sum."""
        offset = self.offset + other.offset
        if self.variable is None or other.variable is None:
            return Element(other.variable if self.variable is None else self.variable, offset)
        return element(self.variable + other.variable, offset)

    def times(self, factor: Fraction) -> Element:
        """Return the product with a constant."""
        if self.variable is None or factor == 0:
            return Element(None, self.offset * factor)
        return element(self.variable * float(factor), self.offset * factor)


def element(variable: Any, offset: Fraction = Fraction(0)) -> Element:
    """Return variable + offset; a variable that is a constant goes into the offset."""
    if variable.low == variable.high:
        return Element(None, offset + Fraction(variable.low))
    return Element(variable, offset)


@dataclass(frozen=True, slots=True)
class Target:
    """The fixed-point type that a cast ends in.

    Parameters
    ----------
    bits, integer : int
        Width, and integer bits without the sign.
    signed : bool
    rounding : {'TRN', 'RND', 'RND_CONV'}
    symmetric : bool
        Saturate at -(2**integer - step).
    """

    bits: int
    integer: int
    signed: bool
    rounding: str = "RND_CONV"
    symmetric: bool = False

    @property
    def lsb(self) -> int:
        """Exponent of the step."""
        return self.integer + self.signed - self.bits

    @property
    def low(self) -> Fraction:
        """Smallest value."""
        if not self.signed:
            return Fraction(0)
        return (power(self.lsb) if self.symmetric else 0) - power(self.integer)

    @property
    def high(self) -> Fraction:
        """Largest value."""
        return power(self.integer) - power(self.lsb)

    def value(self, number: Fraction) -> Fraction:
        """Return what the cast makes of a number."""
        scaled = number / power(self.lsb)
        if self.rounding == "RND_CONV":
            whole = round(scaled)  # Python rounds fractions half to even
        else:
            whole = math.floor(scaled + (Fraction(1, 2) if self.rounding == "RND" else 0))
        return min(max(whole * power(self.lsb), self.low), self.high)


def power(exponent: int) -> Fraction:
    """Return 2**exponent exactly."""
    return Fraction(2) ** exponent


def exponent(number: Any) -> int:
    """Return the exponent of a power of two."""
    value = Fraction(number)
    return value.numerator.bit_length() - value.denominator.bit_length()


def decimal(number: Fraction) -> Decimal:
    """Return a dyadic fraction as da4ml's number; exact in the context of `qap.rtl.trace.trace`."""
    return Decimal(number.numerator) / Decimal(number.denominator)


def node(
    operation: str,
    sources: tuple[Any, ...],
    bounds: tuple[Fraction, Fraction],
    lsb: int | None = None,
    *,
    cost: float = 0,
    level: int = 0,
) -> Any:
    """Make a da4ml variable whose range, cost and depth are known better here than to da4ml.

    Without `lsb` its last bit is the finest of its operands, which is what da4ml's adders and multiplexers give.
    """
    values = sources[1:] if operation == "msb_mux" else sources
    step = min(Fraction(value.step) for value in values) if lsb is None else power(lsb)
    variable = da4ml("trace.fixed_variable").FixedVariable
    return variable(
        *map(decimal, (*bounds, step)), _from=sources, _factor=abs(values[0]._factor), opr=operation,
        latency=max(source.latency for source in sources) + level, cost=cost, hwconf=values[-1].hwconf,
    )  # fmt: skip


def constant(value: Fraction, like: Any) -> Any:
    """Make a da4ml constant."""
    return type(like).from_const(decimal(value), hwconf=like.hwconf, _factor=1)


def total(value: Element, like: Any) -> Any:
    """Return the variable that holds an element; a negated one is subtracted from its constant with one adder."""
    variable, offset = value.variable, value.offset
    if variable is None:
        return constant(offset, like)
    if not offset:
        return variable
    if variable._factor > 0:
        return variable + decimal(offset)
    minuend = constant(offset, variable)
    step = min(Fraction(minuend.step), Fraction(variable.step))
    width = math.ceil(math.log2((value.high - value.low) / step + 1))
    return node("vadd", (minuend, variable), (value.low, value.high), cost=width, level=1)


def field(variable: Any, low: int, high: int) -> Any:
    """Return bits of a variable of positive factor: from the one worth 2**low to the one below 2**high, unsigned."""
    return node("wrap", (variable,), (Fraction(0), power(high) - power(low)), low)


FLAG = (Fraction(-1), Fraction(0))
"""Range of a flag: a signed bit, since da4ml's interpreter misreads an unsigned one as a key."""


def flags(variable: Any, low: int, high: int) -> list[Any]:
    """Return single bits of a variable, set where they are -1."""
    return [node("wrap", (variable,), (-power(at), Fraction(0)), at) * 2.0**-at for at in range(low, high)]


def choose(key: Any, yes: Any, no: Any, bounds: tuple[Fraction, Fraction] = FLAG) -> Any:
    """Return `yes` where the flag is set, else `no`."""
    return node("msb_mux", (key, yes, no), bounds)


def any_of(keys: list[Any]) -> Any:
    """Return the OR of flags."""
    one = constant(Fraction(-1), keys[0])
    return reduce(lambda found, key: choose(key, one, found), keys)


def not_all(keys: list[Any]) -> Any:
    """Return the NAND of flags."""
    one, zero = constant(Fraction(-1), keys[0]), constant(Fraction(0), keys[0])
    return reduce(lambda found, key: choose(key, found, one), keys, zero)


def cast(value: Element, target: Target) -> Element:
    """Round and saturate exactly as QKeras and ``ap_fixed`` do.

    Parameters
    ----------
    value : Element
    target : Target

    Returns
    -------
    Element
        Without an offset, unless it is a constant.
    """
    if value.variable is None:
        return Element(None, target.value(value.offset))
    inner = Target(target.bits, target.integer, target.signed, target.rounding)
    low, high = inner.value(value.low), inner.value(value.high)
    if low == high:
        return Element(None, target.value(low))
    shifted, even = _rounded(value, inner)
    if shifted._factor < 0:  # no constant to subtract it from
        shifted = node("wrap", (shifted,), (Fraction(shifted.low), Fraction(shifted.high)), exponent(shifted.step),
                       cost=_width(shifted), level=1)  # fmt: skip
    result = _saturated(shifted, even, inner, (low, high))
    if target.symmetric and low < target.low:
        result = result.max_of(decimal(target.low))
    return element(result)


def drops_ties(value: Element, target: Target) -> bool:
    """Tell whether a cast needs logic that sends ties to even."""
    if value.variable is None or target.rounding != "RND_CONV":
        return False
    step = power(target.lsb)
    return (value.offset + step / 2) % min(Fraction(value.variable.step), step) == 0


def _rounded(value: Element, target: Target) -> tuple[Any, bool]:
    """Return a variable whose floor on the target's grid is the value rounded, and whether ties must still go to even."""
    step = power(target.lsb)
    grid = min(Fraction(value.variable.step), step)
    offset = value.offset if target.rounding == "TRN" else value.offset + step / 2
    return total(Element(value.variable, offset // grid * grid), value.variable), drops_ties(value, target)


def _width(variable: Any) -> int:
    keep, integer, fraction = variable.kif
    return int(keep) + integer + fraction


def _top(variable: Any) -> int:
    """Return the exponent above the highest bit, the sign left out."""
    step, low, high = (Fraction(number) for number in (variable.step, variable.low, variable.high))
    magnitude = max(int(high / step).bit_length() if high > 0 else 0, (int(-low / step) - 1).bit_length() if low < 0 else 0)
    return magnitude + exponent(step)


def _body(word: Any, even: bool, lsb: int, bounds: tuple[Fraction, Fraction]) -> tuple[Any, int]:
    """Return the bits of a word within bounds on the grid 2**lsb, ties to even; and the LUTs of that."""
    step = exponent(word.step)
    if not even:
        grid = power(max(lsb, step))
        low, high = -(-bounds[0] // grid) * grid, bounds[1] // grid * grid
        return (node("wrap", (word,), (low, high), max(lsb, step)) if low < high else constant(low, word)), 0
    pair = power(lsb + 1)
    low, high = (bound // pair * pair for bound in bounds)
    upper = None if low == high == 0 else node("wrap", (word,), (low, high), lsb + 1)
    if step == lsb:  # half a step below: every value is a tie
        return constant(Fraction(0), word) if upper is None else upper, 0
    below = flags(word, step, lsb)
    kept = choose(any_of(below), field(word, lsb, lsb + 1), constant(Fraction(0), word), (Fraction(0), power(lsb)))
    cost = math.ceil(len(below) / 5)
    joined = kept if upper is None else node("vadd", (upper, kept), bounds)  # wires: da4ml has only its adder to say it
    return joined, cost


def _saturated(word: Any, even: bool, target: Target, bounds: tuple[Fraction, Fraction]) -> Any:
    """Return the floor of a word on the target's grid, saturated where its range needs it."""
    lsb, edge = target.lsb, power(target.integer)
    even = even and exponent(word.step) <= lsb
    over, under = Fraction(word.high) >= edge, Fraction(word.low) < target.low
    if not over and not under and not even:
        return _body(word, even, lsb, bounds)[0]
    word = node("wrap", (word,), (Fraction(word.low), Fraction(word.high)), exponent(word.step), level=1)
    zero = constant(Fraction(0), word)
    inside = (target.low if under else bounds[0], target.high if over else bounds[1])
    body, cost = _body(word, even, lsb, inside)
    top = _top(word)
    above = flags(word, max(target.integer, exponent(word.step)), top)
    sign = flags(word, top, top + 1)[0] if word.low < 0 else None
    if over:
        flag = any_of(above)
        if sign is not None and target.signed:
            flag = choose(sign, zero, flag)
        body = choose(flag, constant(target.high, word), body, inside)
    if under:
        whole = target.signed and Fraction(word.step) <= edge  # else any negative value is too low
        flag = choose(sign, not_all(above), zero) if whole else sign
        body = choose(flag, constant(target.low, word), body, bounds)
    if over or under:
        cost += target.bits + math.ceil(max(len(above) - 1, 0) / 5)
    return body._with(cost=cost)
