"""Read a study file with overrides, and say in one line what is wrong with it."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from qap.config.schema import Study
from qap.errors import InputError, suggestion

LARGEST = 1_000_000
"""Values of a file: lists of aliases of lists of aliases would fill the memory."""
DEEPEST = 200
TABLES = ".root", ".h5", ".hdf5", ".parquet", ".npz", ".csv", ".tsv"
"""Ends of the names of files with events, which `qap init` looks at."""
_BRANCH = re.compile(r"int|float|str|.*[\[(-].*")  # pydantic's names for the branches of a union


class _Loader(yaml.SafeLoader):
    """YAML's safe loader that reads 1e-3 as a number and refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None):
                raise yaml.YAMLError(f"line {key_node.start_mark.line + 1}: a key must be a word")
            if key in seen:
                raise yaml.YAMLError(f"line {key_node.start_mark.line + 1}: the key '{key}' is given twice")
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_text(self, node: yaml.ScalarNode) -> str:
        text = str(self.construct_scalar(node))
        if re.search("[\ud800-\udfff]", text):  # half of a sign, which no file takes
            raise yaml.constructor.ConstructorError(None, None, f"{text[:40]!r} is no text", node.start_mark)
        return text

    def construct_finite(self, node: yaml.ScalarNode) -> float:
        value = self.construct_yaml_float(node)
        if not math.isfinite(value):
            problem = f"expected a finite number, received {node.value}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return float(value)


_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_finite)
_Loader.add_constructor("tag:yaml.org,2002:str", _Loader.construct_text)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # ten times faster where libyaml is there
    """YAML's safe dumper that quotes text which the loader would take for a number."""


for _side in (_Loader, _Dumper):
    _side.add_implicit_resolver(  # YAML 1.1 wants a dot in a float; physicists write 1e-3
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
    )


def parse_yaml(text: str, where: str) -> Any:
    """Read plain values from YAML.

    Parameters
    ----------
    text : str
    where : str
        For messages.

    Raises
    ------
    InputError
        No YAML, a tag that is no plain value, a key given twice, more than `LARGEST` values, branches within themselves.
    """
    if nesting(text) > DEEPEST:  # beyond some thousands the scanner takes minutes
        raise InputError(f"{where}: not valid YAML: nested too deeply")
    try:
        found = yaml.load(text, Loader=_Loader)
        if _size(found, {}) > LARGEST:
            raise InputError(f"{where}: its aliases stand for more than {LARGEST:,} values")
        return found
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise InputError(f"{where}{f', line {mark.line + 1}' if mark else ''}: not valid YAML: {problem}") from None
    except RecursionError:
        raise InputError(f"{where}: not valid YAML: nested too deeply") from None
    except (ValueError, OverflowError, TypeError) as error:  # a date, number or text that YAML's rules match and Python does not
        raise InputError(f"{where}: not valid YAML: {error}") from None


def nesting(text: str) -> int:
    """Return how deeply brackets are nested, those in texts too."""
    depth = deepest = 0
    for sign in re.findall(r"[][{}]", text):
        depth = max(depth + (1 if sign in "[{" else -1), 0)
        deepest = max(deepest, depth)
    return deepest


def _size(value: Any, known: dict[int, int]) -> int:
    """Count values, those behind an alias as often as they are named."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = LARGEST + 1  # until it is counted: a branch within itself has no end
        known[id(value)] = 1 + sum(_size(one, known) for one in (value.values() if isinstance(value, dict) else value))
    return known[id(value)]


def _set(tree: dict[str, Any], path: Sequence[str], value: Any, text: str) -> None:
    for depth, key in enumerate(path[:-1]):
        node = tree.setdefault(key, {})
        if not isinstance(node, dict):
            raise InputError(f"{text}: {'.'.join(path[: depth + 1])} is a value, it has no keys")
        tree = node
    tree[path[-1]] = value


def _known_keys(location: Sequence[str | int]) -> list[str]:
    """Return the keys of the section that holds a location."""
    model: Any = Study
    for part in location:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:  # a layer name under `layers`
            continue
        kinds = [kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)]
        model = next((kind for kind in kinds if issubclass(kind, BaseModel)), model)
    return [field.alias or name for name, field in model.model_fields.items()]


def _explain(error: ValidationError) -> str:
    """Turn pydantic's first complaint into ``key: expected …, received …``."""
    problems = error.errors(include_url=False)
    # A union reports every branch that failed; the one that came furthest into the value says most.
    problem = max(problems, key=lambda item: (item["type"] == "extra_forbidden", len(item["loc"])))
    *above, last = map(str, problem["loc"] or ("",))
    section = [part for part in above if not _BRANCH.fullmatch(part)]
    if problem["type"] == "extra_forbidden":
        return f"unknown key {'.'.join([*section, last])}{suggestion(last, _known_keys(problem['loc'][:-1]))}"
    key, received = ".".join([*section, *([] if _BRANCH.fullmatch(last) else [last])]), problem["input"]
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ").removeprefix("String should ")
    if problem["type"] == "value_error":
        return f"{key}: {message}" if key else message
    message = message.replace("match pattern", "a name that matches")
    others = [item["msg"].removeprefix("Input should be ") for item in problems if item is not problem]
    if others and problem["type"] in ("literal_error", "int_type", "dict_type", "list_type"):
        message = " or ".join(dict.fromkeys([message, *others]))
    return f"{key}: expected {message}, received {received!r}"


def _nearby(path: Path) -> str:
    """Return `` (did you mean …?)`` where a study file of a like name lies beside a path that does not exist."""
    found = suggestion(path.name, [one.name for one in path.parent.glob("*.y*ml")])
    return found if "did you mean" in found else ""


def load_config(path: Path | str | None = None, overrides: Sequence[str] = ()) -> Study:
    """Read a study file and apply overrides.

    Parameters
    ----------
    path : path, optional
        YAML file; without one the defaults hold.
    overrides : sequence of str
        ``section.key=value``, the value in YAML, for example ``search.space.weight_bits=[4,6]``.

    Returns
    -------
    Study
        Typed and frozen, every default filled in.

    Raises
    ------
    InputError
        A missing file, no YAML, an unknown key (with the nearest known one), a wrong type or value.

    Examples
    --------
    >>> import qap
    >>> config = qap.load_config(None, ["search.trials=50", "model.hidden=[32, 16]"])
    >>> config.search.trials, config.model.hidden, config.train.batch
    (50, [32, 16], 1024)
    >>> qap.load_config(None, ["search.trails=50"])
    Traceback (most recent call last):
        ...
    qap.errors.InputError: study: unknown key search.trails (did you mean 'trials'?)
    """
    tree: Any = {}
    where = "study"
    if path is not None:
        where = str(path)
        if Path(path).suffix.lower() in TABLES and Path(path).is_file():
            raise InputError(f"{path}: holds events, not a study: `qap init {path}` looks at it and writes a study file")
        try:
            tree = parse_yaml(Path(path).read_text(), where)
        except FileNotFoundError:
            raise InputError(f"{path}: no such study file{_nearby(Path(path))}") from None
        except IsADirectoryError:
            begun = (Path(path) / "config.yaml").is_file()
            cure = f"the study in it is {path}/config.yaml" if begun else "expected a study file (YAML)"
            raise InputError(f"{path}: is a directory: {cure}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read as text: {error}") from None
        tree = {} if tree is None else tree
        if not isinstance(tree, dict):
            raise InputError(f"{path}: expected sections such as data, model, search; received {type(tree).__name__}")
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*", key):
            raise InputError(f"expected section.key=value, received {text!r}")
        _set(tree, key.split("."), parse_yaml(value, text), text)
    try:
        return Study.model_validate(tree)
    except ValidationError as error:
        raise InputError(f"{where}: {_explain(error)}") from None


def dump_config(config: Study) -> str:
    """Return the resolved configuration as YAML that `load_config` reads back to an equal one."""
    return dump_yaml(config.model_dump(mode="json"))


def dump_yaml(values: Any) -> str:
    """Return plain values as YAML that `parse_yaml` reads back to equal ones."""
    return str(yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=False))
