"""Cuts on columns, written as physicists write them and evaluated without running code.

An expression is parsed by Python's `ast`; only numbers, texts, columns, arithmetic, comparisons, ``&``, ``|``, ``~`` and the
functions of `FUNCTIONS` are known. As in ROOT, ``&`` and ``|`` bind less tightly than comparisons.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, cast

import numpy as np

from qap.errors import InputError, suggestion

FUNCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "abs": (np.abs, 1), "sqrt": (np.sqrt, 1), "exp": (np.exp, 1), "log": (np.log, 1), "log10": (np.log10, 1),
    "sin": (np.sin, 1), "cos": (np.cos, 1), "tan": (np.tan, 1), "sinh": (np.sinh, 1), "cosh": (np.cosh, 1),
    "tanh": (np.tanh, 1), "atan2": (np.arctan2, 2), "hypot": (np.hypot, 2), "min": (np.minimum, 2), "max": (np.maximum, 2),
    "isfinite": (np.isfinite, 1), "isnan": (np.isnan, 1),
}  # fmt: skip
"""Name → function, number of arguments."""
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}  # fmt: skip
_COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}  # fmt: skip
_TOKENS = re.compile(r"""("[^"]*"|'[^']*')|`([^`]*)`|(&&?)|(\|\|?)|(~|!(?!=))""")
LONGEST = 4000
EXACT = 2**53
"""Integers up to here are exact as float64."""


@dataclass(frozen=True)
class Cut:
    """A cut that has been parsed.

    Parameters
    ----------
    text : str
        As the user wrote it.
    names : tuple of str
        Columns that it reads, in the order in which they come; an element of an array is ``name[0]``.
    """

    text: str
    names: tuple[str, ...]
    _body: ast.expr
    _quoted: tuple[str, ...]

    def __call__(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return for which events the cut holds.

        Parameters
        ----------
        columns : mapping of (events,) arrays
            All of `names`. Numbers are compared as float64.

        Returns
        -------
        (events,) bool array

        Raises
        ------
        InputError
            Text in a calculation, a number in the place of a condition, integers above 2⁵³.
        """
        with np.errstate(all="ignore"):
            found = _condition(self._value(self._body, columns), self.text, "the cut as a whole")
        return np.asarray(found)

    def _value(self, node: ast.expr, columns: Mapping[str, np.ndarray]) -> Any:
        name = _name(node, self._quoted)
        if name is not None:
            return _as_numbers(name, columns[name], self.text)
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str | bool) else np.float64(cast(float, node.value))
        if isinstance(node, ast.BoolOp):
            sign = "&" if isinstance(node.op, ast.And) else "|"
            parts = [_condition(self._value(part, columns), self.text, f"a side of {sign}") for part in node.values]
            return reduce(np.logical_and if sign == "&" else np.logical_or, parts)
        if isinstance(node, ast.UnaryOp):
            value = self._value(node.operand, columns)
            if isinstance(node.op, ast.Not):
                return np.logical_not(_condition(value, self.text, "what ~ stands before"))
            value = _number(value, self.text)
            return -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.BinOp):
            left, right = (_number(self._value(side, columns), self.text) for side in (node.left, node.right))
            return _ARITHMETIC[type(node.op)](left, right)
        if isinstance(node, ast.Compare):
            return self._comparison(node, columns)
        call = cast(ast.Call, node)  # `_check` has refused the rest
        function = FUNCTIONS[cast(ast.Name, call.func).id][0]
        return function(*(_number(self._value(one, columns), self.text) for one in call.args))

    def _comparison(self, node: ast.Compare, columns: Mapping[str, np.ndarray]) -> Any:
        values = [self._value(side, columns) for side in (node.left, *node.comparators)]
        found: Any = True
        for kind, left, right in zip(node.ops, values[:-1], values[1:], strict=True):
            texts = [np.asarray(side).dtype.kind in "UO" for side in (left, right)]
            if any(texts) and (not all(texts) or not isinstance(kind, ast.Eq | ast.NotEq)):
                raise InputError(f"data.cut: {self.text!r}: text can only be compared with text, by == or !=")
            found = np.logical_and(found, _COMPARISONS[type(kind)](left, right))
        return found


def _number(value: Any, text: str) -> Any:
    if np.asarray(value).dtype.kind in "UO":
        raise InputError(f"data.cut: {text!r}: text can only be compared, by == or !=")
    return np.asarray(value, np.float64)


def _condition(value: Any, text: str, which: str) -> Any:
    if np.asarray(value).dtype != bool:
        raise InputError(
            f"data.cut: {text!r}: {which} is no condition: expected a comparison or a column of truth values; for a flag stored "
            "as a number write flag != 0"
        )
    return value


def _as_numbers(name: str, values: np.ndarray, text: str) -> np.ndarray:
    """Return a column as bool, float64 or text."""
    if values.dtype.kind in "iu":
        if values.size and (int(values.max()) > EXACT or int(values.min()) < -EXACT):
            raise InputError(f"data.cut: {text!r}: column '{name}' has integers above 2^53, which cannot be compared exactly")
        return values.astype(np.float64)
    return values.astype(np.float64) if values.dtype.kind == "f" else values


def _name(node: ast.expr, quoted: tuple[str, ...]) -> str | None:
    """Return the column that a node stands for."""
    if isinstance(node, ast.Name):
        number = re.fullmatch(r"__quoted_(\d+)", node.id)
        return quoted[int(number[1])] if number and int(number[1]) < len(quoted) else node.id
    if isinstance(node, ast.Attribute):
        base = _name(node.value, quoted)
        return None if base is None else f"{base}.{node.attr}"
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and type(node.slice.value) is int:
        base = _name(node.value, quoted)
        return None if base is None else f"{base}[{node.slice.value}]"
    return None


def _check(node: ast.expr, text: str, quoted: tuple[str, ...]) -> list[str]:
    """Return the columns under a node; refuse what the grammar does not know."""
    name = _name(node, quoted)
    if name is not None:
        return [name]
    if isinstance(node, ast.Constant) and type(node.value) in (int, float, str, bool):
        if type(node.value) is int and abs(node.value) > EXACT:
            raise InputError(f"data.cut: {text!r}: {node.value} is above 2^53 and cannot be compared exactly")
        return []
    inner: list[ast.expr] | None = None
    if isinstance(node, ast.BoolOp):
        inner = node.values
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.UAdd):
        inner = [node.operand]
    elif isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        inner = [node.left, node.right]
    elif isinstance(node, ast.Compare) and all(type(kind) in _COMPARISONS for kind in node.ops):
        inner = [node.left, *node.comparators]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id not in FUNCTIONS:
            raise InputError(f"data.cut: {text!r}: unknown function '{node.func.id}'{suggestion(node.func.id, FUNCTIONS)}")
        count = FUNCTIONS[node.func.id][1]
        if len(node.args) != count or node.keywords:
            raise InputError(f"data.cut: {text!r}: {node.func.id} takes {count} argument{'s' * (count > 1)}")
        inner = node.args
    if inner is None:
        raise InputError(
            f"data.cut: {text!r}: {type(node).__name__} is not allowed: columns, numbers, + - * / % **, comparisons, & | ~ and "
            f"{', '.join(FUNCTIONS)} are"
        )
    return [one for part in inner for one in _check(part, text, quoted)]


def parse_cut(text: str) -> Cut:
    """Parse a cut.

    Parameters
    ----------
    text : str
        Such as ``jet_pt > 20 & abs(jet_eta) < 2.4``, ``20 < pt < 50 | channel == 'ee'``, ``jet_pt[0] > 30``; a name that is no
        word stands in backquotes.

    Raises
    ------
    InputError
        Anything that is not an expression of this grammar.
    """
    quoted: list[str] = []

    def plain(found: re.Match[str]) -> str:
        string, name, both, either, _ = found.groups()
        if string is not None:
            return string
        if name is not None:
            quoted.append(name)
            return f"__quoted_{len(quoted) - 1}"
        return " and " if both else " or " if either else " not "

    if len(text) > LONGEST:
        raise InputError(f"data.cut: expected at most {LONGEST} characters, received {len(text)}")
    try:
        body = ast.parse(_TOKENS.sub(plain, text).strip(), mode="eval").body
        names = _check(body, text, tuple(quoted))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        why = error.msg if isinstance(error, SyntaxError) else "nested too deeply" if not str(error) else str(error)
        raise InputError(f"data.cut: {text!r}: not a cut: {why}; expected such as 'jet_pt > 20 & abs(jet_eta) < 2.4'") from None
    if not names:
        raise InputError(f"data.cut: {text!r}: names no column")
    return Cut(text, tuple(dict.fromkeys(names)), body, tuple(quoted))
