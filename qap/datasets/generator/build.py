"""Build a file of generated data: in parts, over processes, resumable, the same for every number of processes."""

from __future__ import annotations

import io
import json
import multiprocessing
import shutil
import signal
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qap.datasets.generator.events import write_tables
from qap.datasets.generator.kinds import KINDS, Kind
from qap.datasets.generator.libraries import versions
from qap.datasets.generator.packing import packed
from qap.datasets.generator.settings import Sample
from qap.errors import InputError, QapError
from qap.files import write_arrays, write_bytes, write_text

TABLES = "minimum_bias.tables"
PART = 1000
"""Events of one class in one part."""


@dataclass(frozen=True)
class Task:
    """One part of a file.

    Parameters
    ----------
    label : int
        Class.
    number : int
        Of the part within its class.
    events : int
    """

    label: int
    number: int
    events: int

    def path(self, folder: Path) -> Path:
        """Return the part's file."""
        return folder / f"{self.label:02d}_{self.number:05d}.npz"


@dataclass(frozen=True)
class Built:
    """What `build` did.

    Parameters
    ----------
    path : Path
    events : int
        In the file.
    made : int
        Of them made by this call; the others were kept from an earlier one.
    """

    path: Path
    events: int
    made: int


def tasks(classes: int, events: int) -> list[Task]:
    """Divide events over the classes and into parts; the first classes have one more where it does not come out even."""
    found = []
    for label in range(classes):
        count = events // classes + (label < events % classes)
        found += [Task(label, number, min(PART, count - first)) for number, first in enumerate(range(0, count, PART))]
    return found


def build(
    kind: str,
    settings: Sample,
    output: Path,
    *,
    processes: int = 1,
    progress: Callable[[int, int], None] = lambda done, kept: None,
) -> Built:
    """Make a file of events.

    Parameters
    ----------
    kind : str
        Key of `kinds.KINDS`.
    settings : Sample
        Of that kind's class of settings.
    output : Path
        ``.npz`` as `qap.datasets.load.read_npz` takes it, with the array ``provenance``: JSON with the command, the settings, the
        versions of qap and the libraries, the events made and kept of each class.
    processes : int, default 1
        Above 1 they are started afresh: a script that calls this needs ``if __name__ == "__main__":``.
    progress : callable, optional
        Called with the events that are done and those of them that an earlier call made.

    Returns
    -------
    Built

    Raises
    ------
    InputError
        Too few events for the classes, an output that cannot be written or holds something else.
    ToolMissingError
        A library of the extra `generator` is not installed.
    QapError
        A process died.

    Notes
    -----
    Parts are kept in ``OUTPUT.parts`` until the file is whole: the same call goes on from there.
    """
    recipe = KINDS[kind]
    _check(kind, settings, output)
    provenance = {"command": command(kind, settings), "settings": settings.model_dump(mode="json"), "versions": versions()}
    if output.exists():
        return Built(output, _same(output, provenance), 0)
    folder = output.with_name(f"{output.name}.parts")
    try:
        _open_folder(folder, provenance)
        todo = tasks(len(recipe.classes), settings.n)
        left = [task for task in todo if not _is_whole(task.path(folder))]
        done = kept = sum(task.events for task in todo) - sum(task.events for task in left)
        progress(done, kept)
        if left and recipe.tables(settings) and not (folder / TABLES).exists():
            write_tables(folder / TABLES)
        for task in _made(kind, settings, left, folder, processes):
            done += task.events
            progress(done, kept)
        _write(output, _joined(kind, settings, todo, folder, provenance), settings.packed)
        shutil.rmtree(folder)
    except OSError as error:
        raise InputError(f"--output: {error.filename or output}: cannot be written: {error.strerror}") from None
    finally:
        if folder.is_dir() and not any(folder.glob("*.npz")):  # nothing to go on from: other settings may follow
            shutil.rmtree(folder)
    return Built(output, done, done - kept)


def command(kind: str, settings: Sample) -> str:
    """Return what a user types to make the same events."""
    chosen = {"n": settings.n, "seed": settings.seed} | settings.model_dump(mode="json", exclude_defaults=True)
    return " ".join(["qap data build", kind, *(f"{key}={json.dumps(value)}" for key, value in chosen.items())])


def _write(output: Path, arrays: Mapping[str, np.ndarray], small: bool) -> None:
    if not small:
        return write_arrays(output, arrays)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **packed(arrays))  # type: ignore[arg-type]
    write_bytes(output, buffer.getvalue())


def _check(kind: str, settings: Sample, output: Path) -> None:
    classes, events = KINDS[kind].classes, settings.n
    if events < len(classes):
        raise InputError(
            f"n: expected at least {len(classes)}, one event of each class ({', '.join(classes)}), received {events}"
        )
    if output.suffix != ".npz" or output.is_dir():
        raise InputError(f"--output: {output}: expected the name of a file .npz")
    if not output.parent.is_dir():
        raise InputError(f"--output: {output}: the folder {output.parent} does not exist")


def _same(output: Path, provenance: Mapping[str, object]) -> int:
    """Return the events of a file that an earlier call finished with the same recipe."""
    try:
        with np.load(output, allow_pickle=False) as file:
            found = json.loads(str(file["provenance"]))
            events = len(file["labels"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        found, events = {}, 0
    if {key: found.get(key) for key in provenance} != provenance:
        raise InputError(f"--output: {output}: is there already and was made otherwise: delete it, or give another name")
    return events


def _open_folder(folder: Path, provenance: Mapping[str, object]) -> None:
    folder.mkdir(exist_ok=True)
    recipe, text = folder / "recipe.json", json.dumps(provenance, indent=1) + "\n"
    if recipe.exists() and recipe.read_text() != text:
        raise InputError(f"--output: {folder} holds parts of other settings or versions: delete it, or give another name")
    write_text(recipe, text)


def _is_whole(path: Path) -> bool:
    """Parts are renamed when they are whole; a disk may lose them all the same."""
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def _make(kind: str, settings: Sample, task: Task, folder: Path) -> None:
    seed = np.random.SeedSequence([settings.seed, task.label, task.number])
    arrays = KINDS[kind].part(KINDS[kind].classes[task.label], task.events, settings, seed, folder / TABLES)
    write_arrays(task.path(folder), arrays)


def _made(kind: str, settings: Sample, todo: list[Task], folder: Path, processes: int) -> Iterator[Task]:
    """Yield each part when it is on the disk."""
    if min(processes, len(todo)) <= 1:
        for task in todo:
            _make(kind, settings, task, folder)
            yield task
        return
    context, others = multiprocessing.get_context("spawn"), multiprocessing.active_children()
    pool = ProcessPoolExecutor(min(processes, len(todo)), context, signal.signal, (signal.SIGINT, signal.SIG_IGN))
    futures: dict[Future[None], Task] = {pool.submit(_make, kind, settings, task, folder): task for task in todo}
    whole = False
    try:
        for future in as_completed(futures):
            future.result()
            yield futures[future]
        whole = True
    except BrokenProcessPool:
        raise QapError(
            f"a process of the generator died, for want of memory perhaps: the same command goes on from the parts in {folder}"
        ) from None
    finally:
        if not whole:  # Ctrl-C, an error: the processes would finish their parts first
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                if process not in others:
                    process.terminate()
        pool.shutdown(wait=True)


def _joined(
    kind: str, settings: Sample, todo: list[Task], folder: Path, provenance: Mapping[str, object]
) -> dict[str, np.ndarray]:
    recipe = KINDS[kind]
    parts = []
    for task in todo:
        with np.load(task.path(folder), allow_pickle=False) as file:
            parts.append({key: file[key] for key in file.files})
    labels = np.repeat([task.label for task in todo], [task.events for task in todo]).astype(np.int8)
    order = np.random.default_rng(settings.seed).permutation(len(labels))
    tried = dict.fromkeys(recipe.classes, 0)
    sections: dict[str, list[float]] = {name: [] for name in recipe.classes}
    for task, part in zip(todo, parts, strict=True):
        tried[recipe.classes[task.label]] += int(part.pop("tried"))
        if recipe.mix:
            sections[recipe.classes[task.label]].append(float(part.pop("cross_section_pb")))
    arrays = {key: np.concatenate([part[key] for part in parts])[order] for key in parts[0]}
    counts = np.bincount(labels)
    said: dict[str, object] = {
        "events_made": tried,
        "events_kept": {name: int(count) for name, count in zip(recipe.classes, counts, strict=True)},
    }
    if recipe.mix:
        means = {name: float(np.mean(found)) for name, found in sections.items()}
        said["cross_sections_pb"] = means
        arrays["weights"] = _weights(recipe, means, counts)[labels[order]].astype(np.float32)
    return {
        **arrays,
        "labels": labels[order],
        "feature_names": np.array(recipe.feature_names(settings)),
        "class_names": np.array(recipe.classes),
        "provenance": np.array(json.dumps({**provenance, **said})),
    }


def _weights(recipe: Kind, sections: Mapping[str, float], counts: np.ndarray) -> np.ndarray:
    """Return the weight of an event of each class: in the mix by cross section with a mean of 1, else 1."""
    mixed = np.isin(recipe.classes, recipe.mix)
    each = np.array([sections[name] for name in recipe.classes]) / counts
    return np.where(mixed, each * counts[mixed].sum() / (each * counts)[mixed].sum(), 1.0)
