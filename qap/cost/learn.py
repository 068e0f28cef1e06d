"""Learn from the lab's own reports: read them, store them, correct the csynth-equivalent model by them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from qap.cost.correction import Correction, Learned, Sample, choose, folds
from qap.cost.csynth import Prediction, predict, whole_network
from qap.cost.fit import residual_band
from qap.cost.model import Model, Ratio
from qap.cost.scopes import FIGURES, RECIPES, kind
from qap.cost.store import Entry, Store, load_store, read_entry
from qap.cost.terms import terms
from qap.errors import QapError

__all__ = ["Change", "Lesson", "Store", "learn", "lines", "load_store", "refit"]
Setting = tuple[str, str, str]
Rated = tuple[Entry, dict[str, Sample]]
"""A report beside its estimates by figure."""


@dataclass(frozen=True, slots=True)
class Change:
    """How far estimates of one figure miss the reports of one's own, before and after.

    Parameters
    ----------
    setting : (str, str, str)
        Backend, tool with version, family of the part.
    kind : str
        Of network.
    figure : str
    rows, groups : int
        Reports, and shapes of networks among them.
    before, after : (float, float) or None
        Median and 90 % quantile of |estimate − report| / report, reports of 0 counted as 1; after: each shape estimated by a
        correction made without it, None where there is one shape only.
    inside_before, inside_after : float or None
        Share of the reports within the band.
    """

    setting: Setting
    kind: str
    figure: str
    rows: int
    groups: int
    before: tuple[float, float]
    after: tuple[float, float] | None
    inside_before: float
    inside_after: float | None


@dataclass(frozen=True)
class Lesson:
    """What was learnt.

    Parameters
    ----------
    added, known : tuple of str
        Projects that are new in the store, and those that were there already.
    refused : tuple of (str, str)
        Projects that cannot be used, with the reason.
    unused : tuple of (str, str)
        Projects whose csynth figures the model has no estimate for, with the reason; their figures after synthesis count.
    changes : tuple of Change
        Of the settings of these projects, on all entries of the store.
    entries : int
        In the store.
    """

    added: tuple[str, ...]
    known: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]
    unused: tuple[tuple[str, str], ...]
    changes: tuple[Change, ...]
    entries: int

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form."""
        return asdict(self)


def find_projects(directory: Path) -> Iterator[Path]:
    """Yield the HLS projects in a folder in the order of their names: folders with project.tcl or firmware/*.cpp.

    Links to folders are not followed, hidden folders left out; a folder without projects yields nothing.
    """
    for folder, below, found in os.walk(directory):
        if "project.tcl" in found or any((Path(folder) / "firmware").glob("*.cpp")):
            below.clear()
            yield Path(folder)
        below[:] = sorted(name for name in below if not name.startswith("."))


def _name(project: Path, store: Path) -> str:
    """Return the folder relative to the store's, where it lies below it, else as it was given."""
    real, base = project.resolve(), store.resolve().parent
    return real.relative_to(base).as_posix() if real.is_relative_to(base) else str(project)


def _estimate(entry: Entry, model: Model) -> Prediction:
    """Return the estimate beside an entry's csynth figures; without guesses, and with the reason, where there is none."""
    if entry.outside:
        return Prediction({}, False, entry.outside)
    return predict(replace(model, learned={}), entry.layers, softmax=entry.softmax, part=entry.part)


def _samples(entries: Iterable[Entry], model: Model) -> dict[str, list[Rated]]:
    """Put the reports beside their estimates, by kind of network."""
    found: dict[str, list[Rated]] = {}
    for entry in entries:
        guesses = _estimate(entry, model).guesses
        if not guesses:
            continue
        whole = whole_network(entry.layers, entry.softmax)
        values = terms(whole, model.sharing)
        samples = {
            figure: Sample(guess.value, guess.low, guess.high, entry.csynth[figure], entry.shape, values)
            for figure, guess in guesses.items()
            if figure in entry.csynth
        }
        found.setdefault(kind(whole, {layer.strategy for layer in entry.layers}), []).append((entry, samples))
    return found


def _of_figure(rows: Sequence[Rated], figure: str) -> list[Sample]:
    return [samples[figure] for _, samples in rows if figure in samples]


def _fit_terms(name: str, figure: str) -> tuple[str, ...]:
    recipe = RECIPES.get(name, {}).get(figure)
    return () if recipe is None or recipe.fixed is not None else recipe.terms


def _says(setting: Setting) -> str:
    return f"{setting[1]}, {setting[2]}"


def _learned(name: str, rows: Sequence[Rated], setting: Setting) -> Learned:
    corrections = {}
    for figure in FIGURES:
        samples = _of_figure(rows, figure)
        if samples:
            corrections[figure] = choose(samples, _fit_terms(name, figure))
    sizes = [sum(layer.features["n_mac"] for layer in entry.layers) for entry, _ in rows]
    groups = len({entry.shape for entry, _ in rows})
    return Learned(corrections, (min(sizes), max(sizes)), len(rows), groups, _says(setting))


def _ratios(shipped: Mapping[str, Ratio], entries: Sequence[Entry], setting: Setting) -> dict[str, Ratio]:
    """Join the ratios of synthesis to csynth with those of one's own.

    The shipped median counts as one design more. One design: the extremes of all. More: the prediction interval of one's own,
    no wider than the extremes of all, no narrower than one's own.
    """
    joined = dict(shipped)
    for figure, known in shipped.items():
        pairs = [(one.vsynth[figure], one.csynth[figure]) for one in entries if figure in one.vsynth and figure in one.csynth]
        own = np.array([after / before for after, before in pairs if before > 0])
        if not own.size:
            continue
        median = float(np.median([*own, known.median]))
        low, high = min(float(own.min()), known.low), max(float(own.max()), known.high)
        if own.size > 1:
            half = residual_band(own - median, np.arange(own.size))
            low, high = max(low, min(median - half[0], own.min())), min(high, max(median + half[1], own.max()))
        joined[figure] = Ratio(median, float(low), float(high), own.size, f"one's own, {_says(setting)}")
    return joined


def _version(entries: Iterable[Entry]) -> str | None:
    """Return the tool of most entries, of several the newest."""
    tools = [entry.tool for entry in entries]
    return max(tools, key=lambda tool: (tools.count(tool), tool), default=None)


def refit(model: Model, store: Store, *, backend: str, part: str | None, version: str | None = None) -> Model:
    """Correct a model by the reports of one backend, version and family of parts.

    For each kind of network and figure the estimate is kept, multiplied by a factor, or replaced by a fit of one's own,
    whatever misses shapes that were left out least; the band is what they show.

    Parameters
    ----------
    model : Model
    store : Store
    backend : {'vitis', 'vivado'}
    part : str or None
        Reports of its family are used; none where there is no part.
    version : str, optional
        Of the vendor's tool, such as ``2023.2``; the default takes the one that most reports are of.

    Returns
    -------
    Model
        For `qap.cost.csynth.predict`; the same model where the store has no such reports.
    """
    probe = Entry("", backend, "", part or "", 0, (), (), {}, {}).setting
    near = [one for one in store.entries if (one.setting[0], one.setting[2]) == (probe[0], probe[2]) and part]
    tool = _version(one for one in near if version is None or one.tool.split()[-1] == version)
    entries = [one for one in near if one.tool == tool]
    if tool is None:
        return model
    setting = (backend, tool, probe[2])
    learned = {name: _learned(name, rows, setting) for name, rows in _samples(entries, model).items()}
    said = (f"{name}: {one.rows} own reports of {one.groups} shapes, {one.source}" for name, one in learned.items())
    return replace(
        model, learned=learned, synthesis=_ratios(model.synthesis, entries, setting), sources=(*model.sources, *said)
    )  # fmt: skip


def _error(samples: Sequence[Sample], values: Sequence[float]) -> tuple[float, float]:
    relative = [abs(value - one.truth) / max(one.truth, 1) for one, value in zip(samples, values, strict=True)]
    return float(np.median(relative)), float(np.quantile(relative, 0.9))


def _change(setting: Setting, name: str, figure: str, samples: Sequence[Sample]) -> Change:
    """Measure the errors before and after, the choice of the correction made anew without each group."""
    groups, none = len({one.group for one in samples}), Correction()
    before = _error(samples, [one.value for one in samples])
    inside = float(np.mean([one.held(none) for one in samples]))
    if groups == 1:
        return Change(setting, name, figure, len(samples), groups, before, None, inside, None)
    names = _fit_terms(name, figure)
    made = [(one, correction) for rest, out in folds(samples) for correction in [choose(rest, names)] for one in out]
    after = _error([one for one, _ in made], [one.corrected(correction)[0] for one, correction in made])
    held = float(np.mean([one.held(correction) for one, correction in made]))
    return Change(setting, name, figure, len(samples), groups, before, after, inside, held)


def _changes(entries: Sequence[Entry], settings: Iterable[Setting], model: Model) -> Iterator[Change]:
    for setting in sorted(set(settings)):
        for name, rows in sorted(_samples([one for one in entries if one.setting == setting], model).items()):
            for figure in FIGURES:
                samples = _of_figure(rows, figure)
                if samples:
                    yield _change(setting, name, figure, samples)


def learn(directories: Sequence[Path], store: Path, model: Model) -> Lesson:
    """Read the reports beside their projects, append them to a store, and say what they do to the errors.

    Parameters
    ----------
    directories : sequence of Path
        Projects, or folders that hold some.
    store : Path
        JSON file, made where there is none; a project that is in it with the same weights, settings and figures is not
        added again.
    model : Model
        The estimates to correct; `qap.cost.model.shipped_model()`.

    Returns
    -------
    Lesson
        A project that cannot be used is among the refused and stops no other.

    Raises
    ------
    InputError
        A damaged store (it is left as it is), or one that cannot be written.
    """
    store = Path(store)
    entries = {entry.key: entry for entry in load_store(store).entries}
    added: list[str] = []
    known: list[str] = []
    refused: list[tuple[str, str]] = []
    touched: list[Entry] = []
    for directory in dict.fromkeys(Path(one) for one in directories):
        projects = list(find_projects(directory))
        if not projects:
            refused.append((str(directory), "expected an HLS project or a folder that holds some, found none"))
        for project in projects:
            name = _name(project, store)
            try:
                entry = read_entry(project, name)
            except QapError as error:
                refused.append((name, str(error)))
                continue
            (known if entry.key in entries else added).append(name)
            touched.append(entries.setdefault(entry.key, entry))
    if added:
        Store(tuple(entries.values())).save(store)
    estimates = ((entry.project, _estimate(entry, model)) for entry in touched)
    unused = ((project, estimate.notes[0]) for project, estimate in estimates if not estimate.guesses)
    changes = _changes(list(entries.values()), (entry.setting for entry in touched), model)
    return Lesson(tuple(added), tuple(known), tuple(refused), tuple(dict.fromkeys(unused)), tuple(changes), len(entries))


def _percent(error: tuple[float, float] | None, inside: float | None) -> str:
    if error is None or inside is None:
        return "not known: one shape only"
    return f"median {error[0]:.0%}, 90 % within {error[1]:.0%}, {inside:.0%} in the band"


def lines(lesson: Lesson) -> list[str]:
    """Return the lesson as text.

    Parameters
    ----------
    lesson : Lesson
    """
    said = [f"{len(lesson.added)} projects added, {len(lesson.known)} known already, {lesson.entries} in the store"]
    said += [f"  refused: {project}: {reason}" for project, reason in lesson.refused]
    said += [f"  no estimate to correct: {project}: {reason}" for project, reason in lesson.unused]
    previous = None
    for change in lesson.changes:
        head = f"{_says(change.setting)}; {change.kind}; {change.rows} reports of {change.groups} shapes"
        if head != previous:
            said.append(head)
            previous = head
        before = _percent(change.before, change.inside_before)
        said.append(f"  {change.figure:15} before: {before}; after: {_percent(change.after, change.inside_after)}")
    return said
