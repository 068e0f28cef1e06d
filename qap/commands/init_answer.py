"""What is to be learnt: the user's word, the file's, else a guess of ``qap init`` with its reason."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from qap.commands.init_look import Look, Seen
from qap.datasets.readers.source import Column, resolve
from qap.errors import InputError

LABELS = (
    "label", "labels", "class", "classes", "classlabel", "truelabel", "truthlabel", "target", "targets", "y", "truth",
    "signal", "issignal", "sig", "issig", "category", "flavour", "flavor", "species", "type", "kind", "process", "particle",
)  # fmt: skip
"""Names of label columns, letters and digits only, the surest first."""
LABEL_ENDS = ("label", "class", "flavour", "flavor", "issignal", "truthtype")
MOST_GUESSED = 64
"""Different values that a column may have to be taken for a label without being named."""
MOST_AT_THE_END = 20
"""The same of a first or last column of whole numbers whose name says nothing."""


@dataclass(frozen=True)
class Wishes:
    """What the user has said.

    Parameters
    ----------
    label, weight : str or None
    targets : tuple of str
    classes : tuple of str
        One for each file, where each class has its own.
    cut : str or None
    """

    label: str | None = None
    weight: str | None = None
    targets: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    cut: str | None = None


def plain(name: str) -> str:
    """Return the letters and digits of the last part of a name."""
    return re.sub(r"[^a-z0-9]", "", name.rpartition("/")[2].rpartition(".")[2].lower())


def shown(values: Iterable[str | float], most: int = 4) -> str:
    """Return the first values as text."""
    texts = [value if isinstance(value, str) else f"{value:g}" for value in values]
    return ", ".join([*texts[:most], *(["…"] if len(texts) > most else [])])


def _classes(one: Seen, most: int = MOST_GUESSED) -> bool:
    """Tell whether a column's values could be classes."""
    return one.values is not None and 2 <= len(one.values) <= most and (one.text or one.whole)


def named_like(look: Look, names: Sequence[str], ends: tuple[str, ...] = ()) -> list[Seen]:
    """Return the columns of one number or text with certain names, the surest first."""
    single = Counter(one.base for one in look.seen.values())
    texts = {one.name: plain(one.base) for one in look.seen.values() if single[one.base] == 1}
    exact = [look.seen[column] for name in names for column, text in texts.items() if text == name]
    longer = [look.seen[column] for column, text in texts.items() if ends and text.endswith(ends) and text not in names]
    return [*exact, *longer]


def _ends(look: Look) -> list[Seen]:
    """Return the first or last column where it alone looks like class numbers."""
    names = [one.name for one in look.seen.values() if one.name == one.base]
    like = [name for name in names if _class_numbers(look.seen[name])]
    return [look.seen[like[0]]] if len(like) == 1 and like[0] in (names[0], names[-1]) else []


def _class_numbers(one: Seen) -> bool:
    """Tell whether a column has the values 0 to k, 1 to k, or -1 and 1."""
    if one.text or not _classes(one, MOST_AT_THE_END) or one.values is None:
        return False
    values = sorted(float(value) for value in one.values)
    return values == [-1.0, 1.0] or (values[0] in (0.0, 1.0) and values == [values[0] + i for i in range(len(values))])


def one_hot_groups(look: Look) -> list[list[str]]:
    """Return groups of columns of 0 and 1 that may be one-hot labels: all of them, or those with a common beginning."""
    names = [one.name for one in look.seen.values() if one.binary]
    groups = [names]
    by_start: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_start[name.rpartition("_")[0]].append(name)
    groups += [group for start, group in by_start.items() if start and len(group) < len(names)]
    return [group for group in groups if len(group) > 1]


def _matching(look: Look, text: str, option: str) -> list[Seen]:
    """Return what a word of the user stands for: a column, an element, a whole array, a pattern."""
    whole = [one for one in look.seen.values() if one.base == text]
    if whole:
        return whole
    columns = {one.name: Column("text" if one.text else "number") for one in look.seen.values()}
    return [look.seen[element.name] for element in resolve(text, columns, f"{option}: {look.files[0]}")]


def find(look: Look, name: str, option: str) -> Seen:
    """Return the one column that the user names.

    Raises
    ------
    InputError
        None of that name, or several.
    """
    found = _matching(look, name, option)
    if len(found) != 1:
        raise InputError(f"{option}: '{name}' stands for {len(found)} columns, expected one")
    return found[0]


def _checked_label(one: Seen, option: str) -> Seen:
    """Refuse a label column whose values are no classes."""
    if not one.text and not one.whole:
        raise InputError(f"{option}: '{one.name}' has numbers with fractions: for numbers to be learnt use --targets {one.name}")
    if one.values is None:
        more = "" if one.text else f"; for numbers to be learnt use --targets {one.name}"
        raise InputError(f"{option}: '{one.name}' has more than 256 different values{more}")
    if len(one.values) < 2:
        raise InputError(f"{option}: '{one.name}' has one value only, {shown(one.values)}: two classes or more are needed")
    return one


@dataclass(frozen=True)
class Answer:
    """What is to be learnt, and the columns that say the same in other words."""

    label: Seen | None = None
    labels: Mapping[str, str] | None = None
    targets: tuple[Seen, ...] = ()
    why: str = ""
    others: tuple[str, ...] = ()


Hot = Callable[[Sequence[Sequence[str]]], Sequence[str] | None]
"""Groups of columns → the first that is one-hot."""


def answer(look: Look, wishes: Wishes, hot: Hot) -> Answer:
    """Return what is to be learnt: the user's word, the file's, else a guess."""
    named = named_like(look, LABELS, LABEL_ENDS)
    others = tuple(one.name for one in named if _classes(one))
    if wishes.targets:
        chosen = [one for text in wishes.targets for one in _matching(look, text, "--targets")]
        return Answer(targets=_numbers_only(chosen), why="as you said")
    if wishes.classes:
        return Answer(why="one file for each class, as you said", others=others)
    if wishes.label is not None:
        return Answer(_checked_label(find(look, wishes.label, "--label"), "--label"), why="as you said", others=others)
    if look.roles.label in look.seen:
        return Answer(_checked_label(look.seen[str(look.roles.label)], "data.label"), why="named in the file", others=others)
    own = [look.seen[name] for name in look.roles.targets if name in look.seen]
    if own:
        return Answer(targets=_numbers_only(own), why="named in the file", others=others)
    for one in named:
        if _classes(one):
            return Answer(one, why="by its name", others=others)
    for one in named:
        if not one.text and plain(one.name) in ("target", "targets", "y") and not one.constant:
            return Answer(targets=(one,), why="by its name; its values are no classes", others=others)
    texts = [one for one in look.seen.values() if one.text]
    if len(texts) == 1 and _classes(texts[0]):
        return Answer(texts[0], why="the only column of text", others=others)
    group = hot(one_hot_groups(look))
    if group is not None:
        start = group[0][: group[0].rfind("_") + 1]
        start = start if all(name.startswith(start) for name in group) else ""
        labels = {name.removeprefix(start): name for name in group}
        return Answer(labels=labels, why="in each event one of these is 1, the others are 0", others=others)
    for one in _ends(look):
        return Answer(one, why="the only column of few whole numbers, at an end of the table", others=others)
    raise InputError(_which(look))


def _numbers_only(targets: Sequence[Seen]) -> tuple[Seen, ...]:
    for one in targets:
        if one.text or one.constant:
            what = "holds text" if one.text else "is constant"
            raise InputError(f"--targets: '{one.name}' {what}: nothing can be learnt of it")
    return tuple(targets)


def _which(look: Look) -> str:
    """Ask for the label, with what could be it."""
    likely = [one.name for one in look.seen.values() if _classes(one)]
    few = f" (perhaps {shown(likely, 6)})" if likely else ""
    if len(look.files) > 1:
        each = " ".join(f"{re.sub(r'[^A-Za-z0-9_.-]', '_', path.name.partition('.')[0])}={path}" for path in look.files[:2])
        files = f"one file for each class: qap init {each}"
    else:
        files = "one file for each class: qap init signal=FILE background=FILE"
    return (
        f"{look.files[0]}: which column holds the class? Give --label COLUMN{few}, --targets COLUMN for numbers to be learnt, "
        f"or {files}"
    )
