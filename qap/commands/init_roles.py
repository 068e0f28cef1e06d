"""Which column is what: the guesses of ``qap init``, each with its reason, and the user's own words before all of them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qap.commands.init_answer import Answer, Hot, Wishes, answer, find, named_like, plain, shown
from qap.commands.init_look import Look, Seen
from qap.datasets.classes import PARTS
from qap.errors import InputError

WEIGHTS = ("weight", "weights", "w", "wgt")
PART_NAMES = ("split", "part", "subset", "set", "fold", "sample", "dataset", "traintest")
COUNTERS = (
    "event", "events", "eventnumber", "eventid", "evt", "evtid", "eventno", "run", "runnumber", "runid", "lumi", "lumiblock",
    "luminosityblock", "id", "index", "entry", "row", "rownumber", "unnamed0",
)  # fmt: skip
FEWEST_OF_A_CLASS = 20
MOST_BAD = 0.05
"""Fraction of the events with a NaN up to which these events are cut; above it the column is left out."""


@dataclass(frozen=True, eq=False)
class Roles:
    """What each column is.

    Parameters
    ----------
    features : tuple of str
        As the study file names them: columns, elements of arrays, ranges of jagged arrays.
    elements : tuple of Seen
        The same, number by number.
    label, weight, part : str or None
    labels : mapping of class to its one-hot column
    targets : tuple of str
    why : mapping of role to the reason
    counts : mapping of class to its events; empty for a regression
    left_out : mapping of column to the reason
    cut : str or None
    every : bool
        The features are all columns without another role.
    """

    features: tuple[str, ...]
    elements: tuple[Seen, ...]
    label: str | None
    labels: Mapping[str, str]
    targets: tuple[str, ...]
    weight: str | None
    part: str | None
    why: Mapping[str, str]
    counts: Mapping[str, int]
    left_out: Mapping[str, str]
    cut: str | None
    every: bool


def _part(look: Look) -> Seen | None:
    """Return the column that says which part of the split an event belongs to."""
    for one in named_like(look, PART_NAMES):
        if one.values is not None and not one.bad and (one.text or one.whole):
            names = [str(int(value) if isinstance(value, float) else value).strip().lower() for value in one.values]
            if all(name in PARTS for name in names) and {0, 2} <= {PARTS[name] for name in names}:
                return one
    return None


def _weight(look: Look, wishes: Wishes) -> tuple[Seen | None, dict[str, str]]:
    """Return the column of event weights, and others of that kind with why they are none."""
    if wishes.weight is not None:
        one = find(look, wishes.weight, "--weight")
        if one.text or one.bad or one.low < 0 or one.high <= 0:
            what = "text" if one.text else "NaN or infinite values" if one.bad else f"values down to {one.low:g}"
            raise InputError(f"--weight: '{one.name}' has {what}: expected 0 or more")
        return one, {}
    found, out = None, {}
    named = named_like(look, WEIGHTS, ("weight",))
    if look.roles.weight in look.seen:
        named = [look.seen[str(look.roles.weight)], *(one for one in named if one.name != look.roles.weight)]
    for one in named:
        if one.text or one.bad or one.low < 0 or one.high <= 0:
            out[one.name] = "a weight by its name, but not everywhere 0 or more"
        elif found is not None:
            out[one.name] = "another weight by its name"
        elif one.constant:
            out[one.name] = "the same weight in all events"
        else:
            found = one
    return found, out


def _unfit(one: Seen, events: int) -> str | None:
    """Return why a column is no feature."""
    if one.odd:
        return f"{shown(map(repr, one.odd), 2)} among its numbers: write nan there, and these events are cut"
    if one.text:
        return f"text: {shown(one.values)}" if one.values is not None else "text"
    if one.bad > MOST_BAD * events:
        return f"{one.bad / events:.0%} of its values are NaN or infinite"
    if one.constant:
        return f"constant, {one.low:g} in all events"
    if one.counter or (plain(one.name) in COUNTERS and one.whole):
        return "counts events, it measures nothing"
    return None


def _cut_name(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*(\[\d+\])*", name) else f"`{name}`"


def _names(look: Look, features: Sequence[Seen]) -> tuple[str, ...]:
    """Return the features as a study file names them: whole arrays where nothing of them is left out."""
    by_base: dict[str, list[str]] = defaultdict(list)
    for one in features:
        by_base[one.base].append(one.name)
    names: list[str] = []
    for base, elements in by_base.items():
        every = [one.name for one in look.seen.values() if one.base == base]
        if elements != every:
            names += elements
        elif base in look.lengths:
            names.append(f"{base}[:{look.lengths[base]}]" if len(elements) > 1 else elements[0])
        else:
            names.append(base)
    return tuple(names)


def roles(look: Look, wishes: Wishes, hot: Hot) -> Roles:
    """Say what each column is.

    Parameters
    ----------
    look : Look
    wishes : Wishes
    hot : callable
        Groups of columns → the first that is one-hot, or None.

    Raises
    ------
    InputError
        No label can be guessed, one that the user names cannot be used, a class of too few events, or no feature is left.
    """
    learnt, part = answer(look, wishes, hot), _part(look)
    weight, out = _weight(look, wishes)
    taken = {one.name for one in (learnt.label, part, weight, *learnt.targets) if one is not None} | set(
        (learnt.labels or {}).values()
    )
    left_out = {**look.unread, **out}
    for name in learnt.others:
        if name not in taken:
            left_out.setdefault(name, "may be the answer in other words, by its name")
    counts = _counts(look, learnt, wishes)
    features = _features(look, taken, counts, left_out)
    unlabelled = counts.pop("", None) is not None and learnt.label is not None
    _enough(counts, look)
    bad = [one for one in (*features, *([learnt.label] if learnt.label else []), *learnt.targets) if one.bad]
    own = set(look.roles.features)
    return Roles(
        _names(look, features), tuple(features), None if learnt.label is None else learnt.label.name, learnt.labels or {},
        tuple(one.name for one in learnt.targets), None if weight is None else weight.name, None if part is None else part.name,
        {"answer": learnt.why}, counts, left_out, _cut(wishes.cut, bad, learnt.label if unlabelled else None),
        not look.lengths and not (own & set(left_out) if own else left_out),
    )  # fmt: skip


def _features(look: Look, taken: set[str], counts: Mapping[str, int], left_out: dict[str, str]) -> list[Seen]:
    """Return the features, and note why other columns are none."""
    features, own = [], set(look.roles.features)
    for one in look.seen.values():
        if own and one.name not in own and one.name not in taken:
            left_out.setdefault(one.name, "not among the file's features")
        if one.name not in taken and one.name not in left_out:
            why = _unfit(one, look.events)
            if why is None:
                features.append(one)
            else:
                left_out[one.name] = why
    features = _without_copies(features, counts, left_out)
    features = _image(look, features, left_out) or features
    if not features:
        raise InputError(f"{look.files[0]}: no column is left for the features: {_reasons(left_out)}")
    return features


def _cut(wish: str | None, bad: Sequence[Seen], unlabelled: Seen | None) -> str | None:
    """Return the user's cut, and with it what keeps events without NaN, infinite values and missing labels."""
    parts = [f"isfinite({_cut_name(one.name)})" for one in bad]
    parts += [] if unlabelled is None else [f"{_cut_name(unlabelled.name)} != ''"]
    if wish is None or not parts:
        return wish if wish is not None else " & ".join(parts) or None
    return " & ".join([f"({wish})", *parts])


def _without_copies(features: Sequence[Seen], counts: Mapping[str, int], left_out: dict[str, str]) -> list[Seen]:
    """Leave out what says the answer in other words: the same numbers of events by value, or one column for each class."""
    classes = sorted(counts.values())
    copies = {one.name for one in features if counts and one.values is not None and sorted(one.values.values()) == classes}
    ones = {one.name: int((one.values or {}).get(1.0, 0)) for one in features if one.binary and one.name not in copies}
    if counts and set(classes) <= set(ones.values()):
        copies |= {name for name, count in ones.items() if count in classes}
    left_out.update(dict.fromkeys(copies, "has as many events of each value as the classes have: the answer in other words?"))
    return [one for one in features if one.name not in copies]


def _image(look: Look, features: Sequence[Seen], left_out: dict[str, str]) -> list[Seen]:
    """Take constant elements back where all features are one array of two dimensions or more, an image; else nothing."""
    bases = {one.base for one in features}
    if len(bases) != 1 or not all(one.name.count("[") - one.base.count("[") > 1 for one in features):
        return []
    pixels = [one for one in look.seen.values() if one.base in bases]
    for one in pixels:
        left_out.pop(one.name, None)
    return pixels


def _reasons(left_out: Mapping[str, str]) -> str:
    return "; ".join(f"'{name}' {why}" for name, why in list(left_out.items())[:3])


def _counts(look: Look, learnt: Answer, wishes: Wishes) -> dict[str, int]:
    """Return the events of each class."""
    if learnt.label is not None and learnt.label.values is not None:
        names, values = look.roles.class_names, learnt.label.values
        known = names and not learnt.label.text and all(0 <= float(value) < len(names) for value in values)
        return {(names[int(value)] if known else _class_name(value)): values[value] for value in sorted(values, key=_order)}
    if learnt.labels:
        return {name: int((look.seen[column].values or {}).get(1.0, 0)) for name, column in learnt.labels.items()}
    found: dict[str, int] = defaultdict(int)
    for name, count in zip(wishes.classes, look.counts, strict=False):
        found[name] += count
    return found


def _class_name(value: str | float) -> str:
    return value if isinstance(value, str) else str(int(value))


def _order(value: str | float) -> tuple[bool, str | float]:
    return isinstance(value, str), value


def _enough(counts: Mapping[str, int], look: Look) -> None:
    """Refuse a class that training, validation and test cannot share."""
    for name, count in counts.items():
        if count < FEWEST_OF_A_CLASS:
            raise InputError(
                f"{look.files[0]}: class '{name}' has {count} events, too few for training, validation and test: leave it out "
                f"by --cut, or give {FEWEST_OF_A_CLASS} or more"
            )
