"""Write the two reference pages that are made from the package itself.

    python docs/tools/reference.py            writes docs/configuration.md and docs/api.md
    python docs/tools/reference.py --check    writes nothing; exit code 1 where a page is out of date

The first comes from the types of the study file (`qap.config.schema`), the second from the docstrings of the public names.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from qap.config.schema import Study
from qap.files import write_text

DOCS = Path(__file__).resolve().parents[1]
COMMAND = "python docs/tools/reference.py"
PACKAGES = ("qap", "qap.firmware", "qap.rtl")
"""Whose `__all__` is the public interface."""
WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false", type(None): "null"}
PLURALS = {"whole number": "whole numbers", "number": "numbers", "text": "texts"}
CONFIGURATION = f"""# Keys of a study file

Made by `{COMMAND}` from the types that read the file.

A study file is YAML with the sections below. Every key has a default, so a file holds only what differs. Each key can be
set on the command line as `section.key=value`, the value in YAML. A key that does not exist, a wrong type or a wrong value
ends with exit code 2 and a line that names key, expectation and value ([the command line](commands.md)). `config.yaml` in the
directory of a study has all keys as they were used. NAME stands for a name of your own, such as that of a layer, N for a
place in a list.

"""
API = f"""# Python interface

Made by `{COMMAND}` from the docstrings.

Importing qap loads neither TensorFlow nor hls4ml; what needs them loads them when it is called. Every error that a user can
cause is a `qap.InputError`. From data to firmware in a few lines: [getting started](start.md#from-python).

| on the command line | from Python |
|---|---|
| `qap search` | `qap.run_study`, or in steps `qap.run_search`, `qap.search_front`, `qap.judge` |
| `qap train` | `qap.train`; with firmware and report `qap.run_study(…, plans=[plan])` |
| `qap compare` | `qap.run_compare`, `qap.write_comparison` |
| `qap firmware` | `qap.deliver` |
| `qap estimate` | `qap.read_project`, `qap.project_cost` |
| `qap report` | `qap.Report` |
| `qap metrics` | `qap.summarise` |
| `qap anomaly` | `qap.anomaly_score`, `qap.anomaly_points` |
| `qap export` | `qap.to_tflite`, `qap.to_onnx`, `qap.to_qonnx`, `qap.integers_of` |
| `qap data build` | `qap.build_events` |
| any other | `qap.main(["init", "jets.csv"])` |

"""
SECTION = re.compile(r"^(Parameters|Attributes|Returns|Yields|Raises|Notes|Examples|See Also)\n-+\n", re.MULTILINE)


def docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return what stands below each field of a section in its source."""
    tree = ast.parse(inspect.getsource(model)).body[0]
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        named = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if named and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str):
            found[field.target.id] = " ".join(text.value.value.split()).replace("``", "`")
    return found


def _bounds(metadata: Sequence[Any]) -> str:
    """Say in words which values pydantic's constraints leave."""
    rules = [rule for item in metadata for rule in (item.metadata if isinstance(item, FieldInfo) else [item])]
    values = {name: getattr(rule, name) for rule in rules for name in ("ge", "gt", "le", "lt") if hasattr(rule, name)}
    words = {"ge": "from {}", "gt": "above {}", "le": "up to {}", "lt": "below {}"}
    return " ".join(words[name].format(value) for name, value in sorted(values.items()))


def place(hint: Any, key: str) -> str:
    """Return where the keys of a section stand that a key holds, one or many."""
    origin = get_origin(hint)
    if origin is Annotated:
        return place(get_args(hint)[0], key)
    if origin in (Union, types.UnionType):
        return place(next(one for one in get_args(hint) if one is not type(None)), key)
    return f"{key}.NAME" if origin is dict else f"{key}[N]" if origin is list else key


def anchor(heading: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def kind(hint: Any, where: str = "") -> str:
    """Say a type in words; `where` is the heading under which the section stands that it holds."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner, limits = kind(arguments[0], where), _bounds(arguments[1:])
        return f"{inner} {limits}".strip()
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(kind(one, where) for one in arguments if one is not type(None)))
    if origin is list:
        inner = kind(arguments[0], where)
        plain = next((word for word in PLURALS if inner == word or inner.startswith(f"{word} ")), None)
        return f"list of {inner.replace(plain, PLURALS[plain], 1) if plain else inner}"
    if origin is dict:
        return f"mapping: {kind(arguments[0])} → {kind(arguments[1], where)}"
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return f"[keys](#{anchor(where)})"
    return WORDS.get(hint, "anything" if hint is Any else str(hint))


def default(value: Any) -> str:
    """Return a default as YAML writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, BaseModel):
        return ""
    if value is PydanticUndefined:
        return "required"
    if value == "":
        return '""'
    return str(value).replace("'", "")


def inner_sections(hint: Any) -> list[type[BaseModel]]:
    """Return the sections that a type mentions."""
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return [hint]
    return [found for argument in get_args(hint) for found in inner_sections(argument)]


def rows(model: type[BaseModel], path: str) -> tuple[list[tuple[str, str, str, str]], list[tuple[type[BaseModel], str]]]:
    """Return the keys of a section (key, type, default, meaning), and the sections in it with their paths."""
    hints, texts = get_type_hints(model, include_extras=True), docstrings(model)
    for base in model.__mro__[1:]:
        if issubclass(base, BaseModel) and base is not BaseModel:
            texts = {**docstrings(base), **texts}
    table, inside = [], []
    for name, field in model.model_fields.items():
        key = f"{path}{field.alias or name}"
        where = place(hints[name], key)
        # constraints of a `= Field(…)` stand on the field, those of the annotation in the hint
        limits = "" if get_origin(hints[name]) is Annotated else _bounds(field.metadata)
        shown = f"{kind(hints[name], where)} {limits}".strip()
        value = "the rows below" if key == "compare.methods" else default(field.get_default(call_default_factory=True))
        sections = inner_sections(hints[name])
        meaning = texts.get(name) or _summary(sections)
        table.append((key, shown, value, re.sub(r"\bNone\b", "null", meaning)))
        inside += [(section, f"{where}.") for section in sections]
    return table, inside


def _summary(sections: list[type[BaseModel]]) -> str:
    return " ".join((sections[0].__doc__ or "").split()).replace("``", "`") if sections else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _section(model: type[BaseModel], path: str, depth: int) -> Iterator[str]:
    table, inside = rows(model, path)
    title = path.rstrip(".") or "The top"
    if path:
        yield f"{'#' * min(depth, 3)} {title}\n\n"
    yield f"{_summary([model])}\n\n"
    yield "| key | type | default | meaning |\n|---|---|---|---|\n"
    for key, shown, value, meaning in table:
        yield f"| `{key}` | {_cell(shown)} | {f'`{_cell(value)}`' if value else ''} | {_cell(meaning)} |\n"
    yield "\n"
    if path == "compare.":
        yield from _methods()
    for section, place in inside:
        yield from _section(section, place, depth + 1)


def _methods() -> Iterator[str]:
    """List the rows of a comparison by default."""
    yield "The rows of `compare.methods` by default:\n\n| row | methods | otherwise |\n|---|---|---|\n"
    for name, entry in Study().compare.methods.items():
        others = [f"`{key}: {getattr(entry, key)}`" for key in sorted(entry.model_fields_set - {"compress"})]
        yield f"| `{name}` | `[{', '.join(entry.compress)}]` | {', '.join(others)} |\n"
    yield "\n"


def configuration() -> str:
    """Return the page of all keys of a study file."""
    return CONFIGURATION + "".join(_section(Study, "", 1)).rstrip() + "\n"


def _text(text: str) -> str:
    """Turn the few marks of reStructuredText that docstrings have into Markdown, and keep angle brackets."""
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    pieces = re.split(r"(`[^`\n]+`)", text)
    return "".join(piece if piece.startswith("`") else re.sub(r"([<*])", r"\\\1", piece) for piece in pieces)


def _entries(body: str) -> Iterator[str]:
    """Yield the entries of a NumPy section as items of a list."""
    lines: list[str] = []
    for line in [*body.rstrip().splitlines(), ""]:
        if line.strip() and not line.startswith(" "):
            if lines:
                yield " ".join(lines)
            head, colon, rest = line.partition(" : ")
            lines = [f"- **`{head}`**{f' : {_text(rest)}' if colon else ''}".rstrip()]
            if re.fullmatch(r"\*\*\w+", line):
                lines = [f"- **`{line}`**"]
        elif line.strip():
            lines.append(("— " if len(lines) == 1 else "") + _text(line.strip()))
    if lines:
        yield " ".join(lines)


def described(docstring: str) -> str:
    """Return a NumPy docstring as Markdown."""
    parts = SECTION.split(inspect.cleandoc(docstring))
    out = [_text(parts[0]).strip()]
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        if name in ("Parameters", "Attributes", "Returns", "Yields", "Raises"):
            out.append(f"*{name}*\n\n" + "\n".join(_entries(body)))
        elif name == "Examples":
            out.append(f"*{name}*\n\n```pycon\n{inspect.cleandoc(body)}\n```")
        else:
            out.append(f"*{name}*\n\n{_text(body).strip()}")
    return "\n\n".join(part for part in out if part)


def signature(name: str, item: Callable[..., Any]) -> str:
    """Return how something is called, one argument a line where it is long."""
    found = inspect.signature(item)
    arguments, marked = [], False
    for argument in found.parameters.values():
        if argument.name == "self":
            continue
        if argument.kind is argument.KEYWORD_ONLY and not marked:
            arguments.append("*")
        marked |= argument.kind in (argument.KEYWORD_ONLY, argument.VAR_POSITIONAL)
        given = argument.annotation
        annotation = given if isinstance(given, str) else inspect.formatannotation(given)
        text = argument.name if argument.annotation is argument.empty else f"{argument.name}: {annotation}"
        text = {argument.VAR_POSITIONAL: "*", argument.VAR_KEYWORD: "**"}.get(argument.kind, "") + text
        text += "" if argument.default is argument.empty else f" = {argument.default!r}"
        arguments.append(re.sub(r"<function .*>|<factory>|<object .*>", "…", text))
    result = found.return_annotation
    arrow = "" if result is found.empty or result in ("None", None) else f" -> {str(result).strip(chr(39))}"
    line = f"{name}({', '.join(arguments)}){arrow}"
    return line if len(line) <= 110 else f"{name}(\n" + "".join(f"    {text},\n" for text in arguments) + f"){arrow}"


def _members(item: type) -> Iterator[str]:
    """Describe the public methods and properties of a class."""
    for name, member in vars(item).items():
        plain = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        getter = plain.fget if isinstance(plain, property) else plain.func if isinstance(plain, cached_property) else None
        text = inspect.getdoc(getter or plain)
        if name.startswith("_") or not text:
            continue
        if getter is not None:
            yield f"- `.{name}`: {_text(text.split(chr(10) * 2)[0].replace(chr(10), ' '))}"
        elif inspect.isfunction(plain):
            call = re.sub(r"\s*\n\s*", " ", signature(name, plain)).replace("( ", "(").replace(", )", ")")
            call = call.replace("(cls, ", "(").replace("(cls)", "()")
            yield f"- `.{call}`: {_text(text.split(chr(10) * 2)[0].replace(chr(10), ' '))}"


def api() -> str:
    """Return the page of the public names."""
    out = [API]
    for package in PACKAGES:
        module = import_module(package)
        out.append(f"## {package}\n\n{_text(inspect.getdoc(module) or '')}\n\n")
        for name in sorted(module.__all__, key=str.lower):
            item = getattr(module, name)
            if inspect.ismodule(item) or getattr(item, "__doc__", None) is None:
                continue
            out.append(f"### {package}.{name}\n\n")
            if inspect.isclass(item) and issubclass(item, Exception):
                out.append(f"{_text(inspect.getdoc(item) or '')}\n\n")
                continue
            fields = list(item.model_fields) if inspect.isclass(item) and issubclass(item, BaseModel) else []
            out.append("" if fields else f"```python\n{signature(name, item)}\n```\n\n")
            out.append(f"{described(item.__doc__)}\n\n")
            out.append(f"*Fields*: {', '.join(f'`{field}`' for field in fields)}.\n\n" if fields else "")
            members = list(_members(item)) if inspect.isclass(item) else []
            if members:
                out.append("*Methods and properties*\n\n" + "\n".join(members) + "\n\n")
    return re.sub(r"\n{3,}", "\n\n", "".join(out)).rstrip() + "\n"


PAGES = {"configuration.md": configuration, "api.md": api}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or say which are out of date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where a page is out of date")
    check = parser.parse_args(arguments).check
    old = False
    for name, make in PAGES.items():
        text, path = make(), DOCS / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        old = True
        print(f"docs/{name}: {'out of date: run ' + COMMAND if check else 'written'}")
        if not check:
            write_text(path, text)
    return int(check and old)


if __name__ == "__main__":
    sys.exit(main())
