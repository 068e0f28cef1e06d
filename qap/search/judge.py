"""The judgement of a front: rebuilt as QKeras models, proven against their firmware, scored on the test split.

This is the only module of the search that reads the test split.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qap.backend import custom_objects, stack
from qap.candidate import Candidate, Parity
from qap.compress.qap import Context
from qap.errors import InputError, QapError
from qap.files import write_arrays, write_text
from qap.firmware.convert import convert, write_test_vectors
from qap.firmware.csim import build_all
from qap.firmware.parity import compare
from qap.firmware.project import Project
from qap.metrics.evaluate import evaluate
from qap.models.builders import set_weights
from qap.search.objectives import front, limits, nothing_left
from qap.search.run import trained
from qap.search.study import Study
from qap.training.keras_engine import logits

TEST_VECTORS = 200
"""Test events that the HLS project's own test bench gets."""

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Judged:
    """A front candidate after judgement.

    Parameters
    ----------
    candidate : Candidate
        With weights, cost, parity (None without firmware) and its metrics on the test split.
    outputs : (events, outputs) array
        Of the firmware on the test split; of the QKeras model where no firmware was asked for.
    """

    candidate: Candidate
    outputs: np.ndarray


@dataclass(frozen=True, eq=False)
class Verdict:
    """What became of a front.

    Parameters
    ----------
    judged : sequence of Judged
        Cheapest first.
    refused : mapping of candidate id → reason
        Candidates that no exact firmware can be made of; they are not on the front.
    """

    judged: Sequence[Judged]
    refused: dict[str, str]

    @property
    def unproven(self) -> list[Candidate]:
        """Candidates whose firmware is not bit-exact on every test event."""
        return [one.candidate for one in self.judged if one.candidate.parity is not None and not one.candidate.parity.proven]


def rebuild(study: Study, candidate: Candidate, context: Context) -> Any:
    """Build a candidate as a QKeras model without pruning wrappers, save it, load it again and hold it to its score.

    Returns
    -------
    keras.Model
        As loaded from ``candidates/<id>/model.keras``.

    Raises
    ------
    QapError
        The reloaded model scores otherwise on the validation split than the search has noted.
    """
    keras = stack().keras
    keras.backend.clear_session()
    path = study.candidate_directory(candidate) / "model.keras"
    model = context.builder(candidate.architecture, candidate.plan)
    set_weights(model, candidate.weights or {})
    temporary = path.with_name(".part.keras")
    model.save(temporary)
    temporary.replace(path)
    model = keras.models.load_model(path, custom_objects=custom_objects(), compile=False)
    again = evaluate(context.data.task, context.data.validation, logits(model, context.data.validation.x))
    for name, value in again.items():
        noted = candidate.metrics[f"{name}_validation"]
        if value != noted:
            raise QapError(
                f"{candidate.id}: rebuilt from its file the model has {name} {value:.6f} on the validation split, the search "
                f"noted {noted:.6f}: the study was made on another machine or with other versions; search again"
            )
    return model


def _convert(study: Study, candidate: Candidate, model: Any, context: Context) -> Project:
    data, folder = context.data, study.candidate_directory(candidate) / "firmware"
    project = convert(model, data.input, folder, study.config.firmware)
    sample = data.test.x[:TEST_VECTORS]
    write_test_vectors(project, sample, logits(model, sample))
    return project


def _prepare(
    study: Study, candidates: Sequence[Candidate], context: Context, say: Say
) -> tuple[dict[str, tuple[Candidate, Any, Project]], dict[str, str]]:
    """Rebuild and convert the front; where a candidate is refused, the front without it takes its place."""
    ready: dict[str, tuple[Candidate, Any, Project]] = {}
    refused: dict[str, str] = {}
    while True:
        rest = [candidate for candidate in candidates if candidate.id not in refused]
        members = front(rest, study.config.search.objectives, limits(study.config))
        todo = [candidate for candidate in members if candidate.id not in ready]
        if not todo:
            return {candidate.id: ready[candidate.id] for candidate in members}, refused
        for number, candidate in enumerate(todo, 1):
            say(f"converting {candidate.id} ({number} of {len(todo)})")
            candidate = candidate.with_(weights=study.weights(candidate))
            model = rebuild(study, candidate, context)
            try:
                ready[candidate.id] = candidate, model, _convert(study, candidate, model, context)
            except InputError as error:
                refused[candidate.id] = str(error)
                study.log(f"candidate {candidate.id} refused: {error}")


def _stored(study: Study, candidate: Candidate, context: Context) -> Judged | None:
    """Return an earlier judgement of a candidate, None when there is none."""
    folder = study.candidate_directory(candidate)
    try:
        noted = json.loads((folder / "metrics.json").read_text())
        with np.load(folder / "outputs.npz", allow_pickle=False) as file:
            outputs = file["outputs"]
        parity = None if noted["parity"] is None else Parity(**noted["parity"])
        metrics = {**candidate.metrics, **noted["metrics"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if len(outputs) != len(context.data.test) or (parity is None) == study.config.firmware.build:
        return None
    return Judged(candidate.with_(metrics=metrics, parity=parity, weights=study.weights(candidate)), outputs)


def _score(study: Study, candidate: Candidate, outputs: np.ndarray, parity: Parity | None, context: Context) -> Judged:
    metrics = {**candidate.metrics, **evaluate(context.data.task, context.data.test, outputs)}
    candidate = candidate.with_(metrics=metrics, parity=parity)
    folder = study.candidate_directory(candidate)
    write_arrays(folder / "outputs.npz", {"outputs": outputs})
    noted = {"metrics": metrics, "parity": None if parity is None else asdict(parity)}
    write_text(folder / "metrics.json", json.dumps(noted, indent=1) + "\n")
    return Judged(candidate, outputs)


def judge(study: Study, context: Context, say: Say = lambda message: None) -> Verdict:
    """Judge the front of a study on the test split.

    Every member is rebuilt as a QKeras model, saved and reloaded, converted by hls4ml, C-simulated on the whole test split
    and compared bit by bit; its metrics are those of the firmware's outputs.

    Parameters
    ----------
    study : Study
    context : Context
    say : callable, optional
        Called with a line of text whenever something has happened.

    Returns
    -------
    Verdict

    Raises
    ------
    InputError
        No g++, or firmware settings that do not fit the models.
    QapError
        A build failed, nothing was trained, or every candidate was refused.
    """
    candidates = list(trained(study))
    if not candidates:
        raise QapError(f"{study.directory}: no candidate could be trained; see {study.directory / 'log.txt'}")
    members = front(candidates, study.config.search.objectives, limits(study.config))
    if not members:
        raise QapError(f"{study.directory}: {nothing_left(candidates, limits(study.config))}")
    stored = [_stored(study, candidate, context) for candidate in members]
    judged = [one for one in stored if one is not None]
    if len(judged) == len(members):
        return Verdict(judged, {})
    if not study.config.firmware.build:
        return Verdict([_without_firmware(study, candidate, context) for candidate in members], {})
    ready, refused = _prepare(study, candidates, context, say)
    if not ready:
        raise QapError(
            f"{study.directory}: no candidate can be converted exactly; the first reason: {next(iter(refused.values()))}"
        )
    count = iter(range(1, len(ready) + 1))
    results = build_all(
        [project for _, _, project in ready.values()],
        done=lambda project, result: say(f"C-simulation built ({next(count)} of {len(ready)})"),
    )
    judged = []
    for (candidate, model, project), result in zip(ready.values(), results, strict=True):
        if isinstance(result, QapError):
            raise result
        comparison = compare(model, project, context.data.test.x)
        judged.append(_score(study, candidate, comparison.logits, comparison.parity, context))
        say(f"{candidate.id}: {comparison.parity.exact:,} of {comparison.parity.events:,} test events bit-exact")
    return Verdict(judged, refused)


def _without_firmware(study: Study, candidate: Candidate, context: Context) -> Judged:
    candidate = candidate.with_(weights=study.weights(candidate))
    return _score(study, candidate, logits(rebuild(study, candidate, context), context.data.test.x), None, context)


def float_outputs(study: Study, candidate: Candidate, context: Context) -> np.ndarray:
    """Return the float parent's outputs on the test split, for the architecture of a candidate."""
    return logits(study.parent_model(candidate.architecture), context.data.test.x)


def firmware_directory(study: Study, candidate: Candidate) -> Path:
    """Return where a candidate's HLS project lies, relative to the study."""
    return study.candidate_directory(candidate).relative_to(study.directory) / "firmware"
