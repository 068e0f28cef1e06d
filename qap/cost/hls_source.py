"""Read the C++ that hls4ml writes: integer expressions, typedefs, configuration structs, calls of nnet:: functions."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qap.errors import InputError

ROUNDINGS = ("AP_TRN", "AP_TRN_ZERO", "AP_RND", "AP_RND_ZERO", "AP_RND_INF", "AP_RND_MIN_INF", "AP_RND_CONV")
OVERFLOWS = ("AP_WRAP", "AP_WRAP_SM", "AP_SAT", "AP_SAT_ZERO", "AP_SAT_SYM")


def _shifted(value: int, by: int) -> int:
    if by > 64:
        raise ValueError("no number of the firmware is that large")
    return value << by


_OPERATORS: dict[type, Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.RShift: operator.rshift,
    ast.Mod: operator.mod, ast.FloorDiv: operator.floordiv, ast.LShift: _shifted,
}  # fmt: skip
_COMPARISONS: dict[type, Callable[[int, int], bool]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[[int, int], int]] = {"DIV_ROUNDUP": lambda a, b: -(-a // b), "MIN": min, "MAX": max}


MOST_BITS = 4096
"""Of a type: ap_fixed itself holds no more."""


@dataclass(frozen=True, slots=True)
class HLSType:
    """A fixed-point type as the firmware declares it.

    Parameters
    ----------
    signed : bool
    bits : int
        W of ``ap_fixed<W, I>``, the sign included.
    integer : int
        I of ``ap_fixed<W, I>``, the sign included; equal to W for ``ap_int``.
    rounding, overflow : str
        AP_TRN and AP_WRAP, cheap, unless the type says otherwise.
    """

    signed: bool
    bits: int
    integer: int
    rounding: str = "AP_TRN"
    overflow: str = "AP_WRAP"

    @property
    def fractional(self) -> int:
        """Bits behind the binary point; the step is 2**-fractional."""
        return self.bits - self.integer

    def __str__(self) -> str:
        modes = f",{self.rounding},{self.overflow}" if (self.rounding, self.overflow) != ("AP_TRN", "AP_WRAP") else ""
        return f"ap_{'' if self.signed else 'u'}fixed<{self.bits},{self.integer}{modes}>"


@dataclass(frozen=True, slots=True)
class Struct:
    """A configuration struct: what it derives from, its integers as written, its type names, its templates."""

    name: str
    base: str
    title: str
    constants: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    templates: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """A call of an nnet:: function: name, template arguments, operands, the comment behind it, where it starts."""

    function: str
    arguments: tuple[str, ...]
    operands: tuple[str, ...]
    title: str
    start: int


def strip_comments(text: str) -> str:
    """Blank out comments, lengths and lines unchanged; hls4ml writes no strings that hold comment signs."""
    return re.sub(r"//[^\n]*|/\*.*?\*/", lambda found: re.sub(r"[^\n]", " ", found[0]), text, flags=re.DOTALL)


def synthesised(text: str) -> str:
    """Blank out what is left out of the synthesis (``#ifndef __SYNTHESIS__``, ``#if 0``), lengths unchanged.

    Of other conditions both sides are kept, with their directives.
    """
    kept: list[str] = []
    stack: list[bool | None] = []  # whether the lines are kept; None for other conditions
    for line in text.splitlines(keepends=True):
        word = re.match(r"\s*#\s*(ifndef|ifdef|if|else|endif)\b\s*(\S*)", line)
        ours = bool(stack) and stack[-1] is not None
        if word and word[1].startswith("if"):
            decided = {("ifndef", "__SYNTHESIS__"): False, ("ifdef", "__SYNTHESIS__"): True, ("if", "0"): False}
            stack.append(decided.get((word[1], word[2])))
            ours = stack[-1] is not None
        elif word and word[1] == "else" and ours:
            stack[-1] = not stack[-1]
        elif word and word[1] == "endif" and stack:
            stack.pop()
        visible = not (word and ours) and False not in stack
        kept.append(line if visible else re.sub(r"[^\n]", " ", line))
    return "".join(kept)


def closing(text: str, start: int) -> int:
    """Return where the bracket that opens at `start` closes; the length of the text where it does not."""
    pairs = {"<": ">", "(": ")", "{": "}"}
    opening, close, depth = text[start], pairs[text[start]], 0
    for i in range(start, len(text)):
        depth += (text[i] == opening) - (text[i] == close)
        if depth == 0:
            return i
    return len(text)


def split(text: str) -> tuple[str, ...]:
    """Split at the commas outside all brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "<({[") - (character in ">)}]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return tuple(" ".join(part.split()) for part in parts if part.strip())


def evaluate(text: str, known: Callable[[str], int | None]) -> int | None:
    """Evaluate an integer expression of C++.

    Parameters
    ----------
    text : str
        Numbers, names, ``+ - * / %``, comparisons, ``c ? a : b``, ``DIV_ROUNDUP``, ``MIN``, ``MAX``.
    known : callable
        Name → value, or None.

    Returns
    -------
    int or None
        None for what is no integer expression, holds unknown names, or does not fit 64 bits.
    """
    text = re.sub(r"\b(\d+)[uUlL]+\b", r"\1", text.strip()).replace("::", "__").replace("&&", " and ").replace("||", " or ")
    text = re.sub(r"\b(true|false)\b", lambda found: found[0].title(), text)
    text = re.sub(r"^(.*?)\?(.*?):(.*)$", r"(\2) if (\1) else (\3)", text, flags=re.DOTALL).replace("/", "//")
    try:
        value = _value(ast.parse(" ".join(text.split()), mode="eval").body, known)
    except (SyntaxError, ZeroDivisionError, ValueError, RecursionError, MemoryError):  # the last two: nested too deeply
        return None
    return value if value is None or abs(value) < 1 << 64 else None


def _value(node: ast.AST, known: Callable[[str], int | None]) -> int | None:
    def values(*nodes: ast.AST) -> list[int] | None:
        found = [_value(one, known) for one in nodes]
        return None if None in found else [one for one in found if one is not None]

    match node:
        case ast.Constant(value=int(number)):
            return int(number)
        case ast.Name(id=name):
            return known(name.replace("__", "::"))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = values(operand)
            return None if inner is None else -inner[0]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            inner = values(left, right)
            return None if inner is None else _OPERATORS[type(op)](*inner)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
            inner = values(left, right)
            return None if inner is None else int(_COMPARISONS[type(op)](*inner))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            condition = _value(test, known)
            return None if condition is None else _value(body if condition else orelse, known)
        case ast.Call(func=ast.Name(id=name), args=[left, right]) if name in _FUNCTIONS:
            inner = values(left, right)
            return None if inner is None else _FUNCTIONS[name](*inner)
    return None


def parse_type(text: str, resolve: Callable[[str], str | None], known: Callable[[str], int | None], where: str) -> HLSType:
    """Parse a type of the firmware; of ``nnet::array<T, N>`` and ``hls::stream<T>`` the element's.

    Parameters
    ----------
    text : str
        A type or a name of one.
    resolve : callable
        Name → what a typedef gives it, or None.
    known : callable
        Name → integer, for types such as ``ap_fixed<WIDTH, 6>``.
    where : str
        File and place, for the error.

    Raises
    ------
    InputError
        float, structs and other types that are not fixed-point.
    """
    seen: list[str] = []
    word = " ".join(text.split())
    while True:
        wrapped = re.fullmatch(r"(?:nnet::array|hls::stream|std::array)\s*<(.*)>", word)
        following = split(wrapped[1])[0] if wrapped and split(wrapped[1]) else resolve(word)
        if following is None or word in seen:
            break
        seen.append(word)
        word = " ".join(following.split())
    found = re.fullmatch(r"ap_(u?)(fixed|int)\s*<(.*)>", word)
    parts = split(found[3]) if found else ()
    numbers = [evaluate(part, known) for part in parts[: 1 if found and found[2] == "int" else 2]]
    rest = (*parts[2:4], *("AP_TRN", "AP_WRAP")[len(parts[2:4]) :])
    sound = bool(numbers) and None not in numbers and (found is not None and (found[2] == "int") == (len(parts) == 1))
    if word == "bool":
        return HLSType(False, 1, 1)
    sound = sound and all(one is not None and abs(one) <= MOST_BITS for one in numbers)
    if not sound or found is None or numbers[0] is None or numbers[0] < 1 or rest[0] not in ROUNDINGS or rest[1] not in OVERFLOWS:
        via = f" (through {' → '.join(seen)})" if seen else ""
        raise InputError(
            f"{where}: expected ap_fixed<W,I>, ap_ufixed, ap_int or ap_uint, received {word!r}{via}: give the layer a "
            "fixed-point precision in hls4ml's configuration and convert again"
        )
    return HLSType(not found[1], numbers[0], int(numbers[-1] or 0), rest[0], rest[1])


def typedefs(text: str) -> dict[str, str]:
    """Return the typedefs outside structs by name."""
    found = {name: " ".join(what.split()) for what, name in re.findall(r"\btypedef\s+([^;{}]+?)\s*\b(\w+)\s*;", text)}
    return found | {name: " ".join(what.split()) for name, what in re.findall(r"\busing\s+(\w+)\s*=\s*([^;{}]+);", text)}


def constants(text: str) -> dict[str, str]:
    """Return ``#define NAME value`` and ``[static] const[expr] TYPE name = value;`` by name, as written."""
    found = dict(re.findall(r"^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+(\S.*?)[ \t]*$", text, re.MULTILINE))
    declared = r"(?:static\s+)?const(?:expr)?\s+[\w:]+(?:\s+(?:int|long))?\s+(\w+)\s*=\s*([^;{}]+);"
    return found | dict(re.findall(declared, text))


def structs(source: str) -> tuple[dict[str, Struct], str]:
    """Return the configuration structs by name, and the text (comments blanked) without them."""
    text, rest, found = strip_comments(source), "", {}
    position = 0
    for head in re.finditer(r"\bstruct\s+(\w+)\s*(?::\s*(?:public\s+)?nnet::(\w+)[^{;]*)?\{", text):
        if head.start() < position or not (head[2] or "config" in head[1].lower()):
            continue
        end = closing(text, head.end() - 1)
        body = text[head.end() : end]
        above = re.search(r"//[ \t]*([^\n]*?)[ \t]*\n\s*\Z", source[: head.start()])
        title = above[1] if above and "insert" not in above[1] else ""
        templates = dict(re.findall(r"\busing\s+(\w+)\s*=\s*([^;]+);", body))
        plain = re.sub(r"\btemplate\s*<[^;]*;", " ", body)
        found[head[1]] = Struct(head[1], head[2] or "", title, constants(plain), typedefs(plain), templates)
        rest += text[position : head.start()]
        position = end + 1
    return found, rest + text[position:]


def calls(source: str) -> list[Call]:
    """Return the calls ``nnet::function<…>(…);`` that are synthesised, in their order."""
    text = synthesised(strip_comments(source))
    found = []
    for head in re.finditer(r"\bnnet::(\w+)\s*<", text):
        angle = closing(text, head.end() - 1)
        bracket = re.match(r"\s*\(", text[angle + 1 :])
        if bracket is None:
            continue
        end = closing(text, angle + bracket.end())
        behind = re.match(r"\s*;[ \t]*//[ \t]*([^\n]*)", source[end + 1 :])
        operands = split(text[angle + bracket.end() + 1 : end])
        title = behind[1].strip() if behind else ""
        found.append(Call(head[1], split(text[head.end() : angle]), operands, title, head.start()))
    return found


def lookup(*scopes: Mapping[str, Any]) -> Callable[[str], int | None]:
    """Return a function that evaluates names by the expressions of the scopes, the first one first."""
    found: dict[str, int | None] = {}

    def known(name: str) -> int | None:
        if name not in found:
            found[name] = None  # while it is evaluated: a name that stands for itself has no value
            text = next((scope[name] for scope in scopes if name in scope), "")
            found[name] = evaluate(str(text), known)
        return found[name]

    return known
