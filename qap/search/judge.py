"""The judgement of a front: rebuilt as QKeras models, proven against their firmware, scored on the test split.

This is the only module of the search that reads the test split.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from qap.candidate import Candidate, Parity
from qap.compress.context import Context
from qap.errors import InputError, QapError, ToolMissingError
from qap.files import write_arrays, write_text
from qap.firmware.convert import convert, write_test_vectors
from qap.firmware.csim import build_all
from qap.firmware.parity import compare
from qap.firmware.project import Project
from qap.metrics.evaluate import evaluate
from qap.search.objectives import limits, nothing_left, wanted_metrics
from qap.search.rescore import Rescorer
from qap.search.rtl_route import FOLDER, Say, judge_rtl
from qap.search.run import trained
from qap.search.study import Study
from qap.training.keras_engine import logits

TEST_VECTORS = 200
"""Test events that the HLS project's own test bench gets."""


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
    left : sequence of Candidate
        The search had them on its front, but on the events held back others are as good or better.
    missing : sequence of str
        Sentences on what of the RTL route could not be made, and why.
    """

    judged: Sequence[Judged]
    refused: dict[str, str]
    left: Sequence[Candidate] = ()
    missing: Sequence[str] = ()

    @property
    def unproven(self) -> list[Candidate]:
        """Candidates whose firmware or RTL is not bit-exact on every test event."""
        return [one.candidate for one in self.judged if one.candidate.unproven]


def _convert(study: Study, candidate: Candidate, model: Any, context: Context) -> Project:
    data, folder = context.data, study.candidate_directory(candidate) / "firmware"
    project = convert(model, data.input, folder, study.config.firmware)
    sample = data.test.x[:TEST_VECTORS]
    write_test_vectors(project, sample, logits(model, sample))
    return project


def _prepare(
    rescorer: Rescorer, candidates: Sequence[Candidate], say: Say
) -> tuple[dict[str, tuple[Candidate, Any, Project]], dict[str, str], list[Candidate]]:
    """Rebuild and convert the front; where a candidate is refused, the front without it takes its place."""
    study, context = rescorer.study, rescorer.context
    ready: dict[str, tuple[Candidate, Any, Project]] = {}
    refused: dict[str, str] = {}
    while True:
        rest = [candidate for candidate in candidates if candidate.id not in refused]
        members, left = rescorer.front(rest)
        if not members:
            reason = next(iter(refused.values()))
            raise QapError(f"{study.directory}: no candidate can be converted exactly; the first reason: {reason}")
        todo = [candidate for candidate in members if candidate.id not in ready]
        if not todo:
            return {candidate.id: ready[candidate.id] for candidate in members}, refused, left
        noted = {candidate.id: candidate for candidate in rest}
        for number, candidate in enumerate(todo, 1):
            say(f"converting {candidate.id} ({number} of {len(todo)})")
            candidate = candidate.with_(weights=study.weights(candidate))
            model = rescorer.model(noted[candidate.id])
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
        metrics = dict(noted["metrics"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if any(metrics.get(name) != value for name, value in candidate.metrics.items()):
        return None  # of another training
    if len(outputs) != len(context.data.test) or (parity is None) == study.config.firmware.build:
        return None
    return Judged(candidate.with_(metrics=metrics, parity=parity, weights=study.weights(candidate)), outputs)


def _score(study: Study, candidate: Candidate, outputs: np.ndarray, parity: Parity | None, context: Context) -> Judged:
    wanted = replace(wanted_metrics(study.config, context.data.class_names), names=None)
    metrics = {**candidate.metrics, **evaluate(context.data.task, context.data.test, outputs, wanted)}
    candidate = candidate.with_(metrics=metrics, parity=parity)
    folder = study.candidate_directory(candidate)
    write_arrays(folder / "outputs.npz", {"outputs": outputs})
    noted = {"metrics": metrics, "parity": None if parity is None else asdict(parity)}
    write_text(folder / "metrics.json", json.dumps(noted, indent=1) + "\n")
    return Judged(candidate, outputs)


def judge(study: Study, context: Context, say: Say = lambda message: None) -> Verdict:
    """Judge the front of a study on the test split.

    The front that the search has found is scored again on the events held back from it, and what is no front there leaves
    (see `qap.search.rescore`). Every member is rebuilt as a QKeras model, saved and reloaded, converted by hls4ml,
    C-simulated on the whole test split and compared bit by bit; its metrics are those of the firmware's outputs. Where the
    study asks for it, the RTL route follows (see `qap.search.rtl_route`).

    Parameters
    ----------
    study : Study
    context : Context
        With the whole dataset: the validation split is divided here as the search did.
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
        No build came to an end, nothing was trained, nothing keeps the constraints, or every candidate was refused.
    """
    candidates = list(trained(study))
    if not candidates:
        raise QapError(f"{study.directory}: no candidate could be trained; see {study.directory / 'log.txt'}")
    rescorer = Rescorer.of(study, context)
    say("scoring the front on the events held back")
    members, left = rescorer.front(candidates)
    if not members:
        where = "on the events held back " if left else ""
        raise QapError(f"{study.directory}: {where}{nothing_left(left or candidates, limits(study.config))}")
    verdict = _judge(rescorer, candidates, members, left, say)
    if not study.config.firmware.rtl:
        return verdict
    noted = {candidate.id: candidate for candidate in candidates}
    found, missing = judge_rtl(
        study.config.firmware, study.candidate_directory, [one.candidate for one in verdict.judged],
        lambda candidate: rescorer.model(noted[candidate.id]), context.data.input, context.data.test.x, say,
    )  # fmt: skip
    for sentence in missing:
        study.log(sentence)
    judged = [replace(one, candidate=candidate) for one, candidate in zip(verdict.judged, found, strict=True)]
    return replace(verdict, judged=judged, missing=missing)


def _judge(
    rescorer: Rescorer, candidates: Sequence[Candidate], members: Sequence[Candidate], left: Sequence[Candidate], say: Say
) -> Verdict:
    """Judge a front by its C-simulations, or by QKeras where no firmware was asked for."""
    study, context = rescorer.study, rescorer.context
    stored = [_stored(study, candidate, context) for candidate in members]
    judged = [one for one in stored if one is not None]
    if len(judged) == len(members):
        return Verdict(judged, {}, left)
    if not study.config.firmware.build:
        noted = {candidate.id: candidate for candidate in candidates}
        models = (rescorer.model(noted[candidate.id]) for candidate in members)
        judged = [_without_firmware(study, *pair, context) for pair in zip(members, models, strict=True)]
        return Verdict(judged, {}, left)
    ready, refused, left = _prepare(rescorer, candidates, say)
    count = iter(range(1, len(ready) + 1))
    results = build_all(
        [project for _, _, project in ready.values()],
        done=lambda project, result: say(f"C-simulation built ({next(count)} of {len(ready)})"),
    )
    judged, failed = [], {}
    for (candidate, model, project), result in zip(ready.values(), results, strict=True):
        if isinstance(result, ToolMissingError):
            raise result
        if isinstance(result, QapError):  # a compiler that hangs must not cost the rest of the front
            failed[candidate.id] = str(result)
            study.log(f"candidate {candidate.id} refused: {result}")
            continue
        comparison = compare(model, project, context.data.test.x)
        judged.append(_score(study, candidate, comparison.logits, comparison.parity, context))
        say(f"{candidate.id}: {comparison.parity.exact:,} of {comparison.parity.events:,} test events bit-exact")
    if not failed:
        return Verdict(judged, refused, left)
    rest = [candidate for candidate in candidates if candidate.id not in failed]
    members, left = rescorer.front(rest)
    if not members:
        raise QapError(f"{study.directory}: no firmware could be built; the first reason: {next(iter(failed.values()))}")
    verdict = _judge(rescorer, rest, members, left, say)
    return replace(verdict, refused={**failed, **verdict.refused})


def _without_firmware(study: Study, candidate: Candidate, model: Any, context: Context) -> Judged:
    candidate = candidate.with_(weights=study.weights(candidate))
    return _score(study, candidate, logits(model, context.data.test.x), None, context)


def float_outputs(study: Study, candidate: Candidate, context: Context) -> np.ndarray:
    """Return the float parent's outputs on the test split, for the architecture of a candidate."""
    return logits(study.parent_model(candidate.architecture), context.data.test.x)


def firmware_directory(study: Study, candidate: Candidate) -> Path:
    """Return where a candidate's HLS project lies, relative to the study."""
    return study.candidate_directory(candidate).relative_to(study.directory) / "firmware"


def rtl_directory(study: Study, candidate: Candidate) -> Path:
    """Return where a candidate's Verilog lies, relative to the study."""
    return study.candidate_directory(candidate).relative_to(study.directory) / FOLDER
