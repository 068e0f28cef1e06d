"""From columns to classes: numbers, names, values with names, one-hot columns; and the source's own split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qap.errors import InputError

MOST_CLASSES = 256
PARTS = {"train": 0, "training": 0, "validation": 1, "valid": 1, "val": 1, "test": 2, "0": 0, "1": 1, "2": 2}
"""What a column may call the parts of a split."""


def _whole(values: np.ndarray, where: str, column: str) -> np.ndarray:
    """Return whole numbers as integers, text as it is."""
    if values.dtype.kind != "f":
        return values.astype(np.int64) if values.dtype.kind == "b" else values
    wrong = ~(np.isfinite(values) & (values == np.rint(values)))
    if wrong.any():
        event = int(np.argmax(wrong))
        raise InputError(
            f"{where}: column '{column}': expected class numbers or names, received {values[event]}; for numbers to be learnt "
            "use data.targets"
        )
    return values.astype(np.int64)


def from_values(
    values: np.ndarray, column: str, where: str, names: Mapping[str, str | int] | None = None, known: Sequence[str] = ()
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return labels and class names from a column of class numbers or names.

    Parameters
    ----------
    values : (events,) array
        Whole numbers or text.
    column, where : str
        For messages.
    names : mapping, optional
        Class → its value. Without it the values, sorted, are the classes.
    known : sequence of str, optional
        Names of the classes 0, 1, …, where the file gives them.

    Raises
    ------
    InputError
        No class numbers, more than 256 values, a value without a class, one class only.
    """
    values = _whole(values, where, column)
    found = np.unique(values)
    if names is not None:
        wanted = {str(value): number for number, value in enumerate(names.values())}
        others = [str(value) for value in found if str(value) not in wanted]
        if others:
            raise InputError(
                f"{where}: column '{column}': '{others[0]}' is no class of data.labels ({', '.join(wanted)}): name it there, or "
                "remove its events by data.cut"
            )
        missing = [name for name, value in names.items() if str(value) not in {str(one) for one in found}]
        if missing:
            raise InputError(f"{where}: column '{column}': no event of class '{missing[0]}' ({names[missing[0]]})")
        numbers = np.array([wanted[str(value)] for value in found], np.int32)
        return numbers[np.searchsorted(found, values)], tuple(names)
    if len(found) > MOST_CLASSES:
        raise InputError(
            f"{where}: column '{column}' has {len(found)} different values, expected at most {MOST_CLASSES} classes; for numbers "
            "to be learnt use data.targets"
        )
    if len(found) < 2:
        raise InputError(f"{where}: column '{column}': one class only, '{found[0]}': two or more are needed")
    if known and values.dtype.kind in "iu" and found[0] >= 0 and found[-1] < len(known):
        return values.astype(np.int32), tuple(known)
    return np.searchsorted(found, values).astype(np.int32), tuple(map(str, found))


def from_one_hot(columns: Mapping[str, np.ndarray], where: str) -> np.ndarray:
    """Return labels from one column for each class, of which one is 1 and the others 0.

    Parameters
    ----------
    columns : mapping of (events,) arrays
    where : str

    Raises
    ------
    InputError
        An event of no class or of several; a class without events.
    """
    hot = np.column_stack([np.asarray(values, np.float64) for values in columns.values()])
    wrong = (hot.sum(axis=1) != 1) | ((hot != 0) & (hot != 1)).any(axis=1)
    if wrong.any():
        event = int(np.argmax(wrong))
        shown = ", ".join(f"{name} = {value:g}" for name, value in zip(columns, hot[event], strict=True))
        raise InputError(
            f"{where}: data.labels: expected one 1 and else 0 in each event, received {shown} in {int(wrong.sum())} events like "
            f"event {event} of those kept: remove them by data.cut"
        )
    empty = [name for name, some in zip(columns, (hot != 0).any(axis=0).tolist(), strict=True) if not some]
    if empty:
        raise InputError(f"{where}: data.labels: no event has '{empty[0]}' = 1: two classes or more with events are needed")
    return np.argmax(hot, axis=1).astype(np.int32)


def parts(values: np.ndarray, column: str, where: str) -> np.ndarray:
    """Return the part of each event from a column of names or numbers.

    Parameters
    ----------
    values : (events,) array
        Of `PARTS`.
    column, where : str

    Returns
    -------
    (events,) int8 array
        0 training, 1 validation, 2 test.

    Raises
    ------
    InputError
        Another value; no event to train with or to test on.
    """
    found, inverse = np.unique(_whole(values, where, column), return_inverse=True)
    names = [str(value).strip().lower() for value in found]
    wrong = [name for name in names if name not in PARTS]
    if wrong:
        raise InputError(
            f"{where}: data.split_column: '{column}': expected train, validation, test or 0, 1, 2, received '{wrong[0]}'"
        )
    numbers = np.array([PARTS[name] for name in names], np.int8)
    for number, name in ((0, "train"), (2, "test")):
        if number not in numbers:
            raise InputError(f"{where}: data.split_column: '{column}': no event is marked as '{name}' ({number})")
    return numbers[inverse]
