"""The RTL route of candidates: each as pipelined Verilog, simulated on given events, synthesised where asked for."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qap.candidate import Candidate, Cost, Figure, Parity
from qap.config.schema import Firmware
from qap.errors import InputError, QapError, ToolMissingError
from qap.files import write_text
from qap.firmware.processes import Processes
from qap.precision import Precision
from qap.rtl import Design, build_simulation, compare_rtl, load_design, load_synthesis, synthesise, write_design
from qap.rtl.simulate import TIMEOUT
from qap.rtl.solver import TIMEOUT as SEARCH

FOLDER, NOTES = "rtl", "rtl.json"
YOSYS = {
    "lut": "LUT_yosys", "ff": "FF_yosys", "carry": "CARRY4_yosys", "dsp": "DSP_yosys", "bram_18k": "BRAM_18K_yosys",
    "logic_levels": "logic_levels_yosys",
}  # fmt: skip
"""Figures of the synthesis by Yosys and their names in the study, apart from those of the C synthesis."""

Say = Callable[[str], None]
Models = Callable[[Candidate], Any]
"""Returns a candidate's QKeras model."""


def rtl_figures(design: Design, synthesis: Cost | None = None) -> dict[str, Figure]:
    """Return what the RTL of a candidate costs.

    Parameters
    ----------
    design : Design
    synthesis : Cost, optional
        Of `qap.rtl.synthesise`.

    Returns
    -------
    dict of str to Figure
        ``da4ml_cost, latency_cycles_rtl, II_rtl, register_bits_rtl`` and, with a synthesis, `YOSYS`.
    """
    counted = "counted in the pipelined Verilog"
    figures = {
        "da4ml_cost": Figure(design.cost, "da4ml's cost of the RTL, about one LUT each"),
        "latency_cycles_rtl": Figure(float(design.stages), counted, "cycles"),
        "II_rtl": Figure(float(design.initiation_interval), counted, "cycles"),
        "register_bits_rtl": Figure(float(design.register_bits), counted, "bit"),
    }
    if synthesis is not None:
        figures |= {name: synthesis.figures[key] for key, name in YOSYS.items()}
    return figures


@dataclass(eq=False)
class _Circuit:
    """A candidate's design, and what is noted of it in ``rtl.json``: parity, and what took too long."""

    candidate: Candidate
    design: Design
    notes: dict[str, Any]
    synthesis: Cost | None = None

    @property
    def parity(self) -> Parity | None:
        return Parity(**self.notes["parity"]) if "parity" in self.notes else None

    def note(self, **values: Any) -> None:
        self.notes |= values
        write_text(self.design.directory.with_name(NOTES), json.dumps(self.notes, indent=1) + "\n")

    def judged(self) -> Candidate:
        cost = self.candidate.cost or Cost({})
        figures = {**cost.figures, **rtl_figures(self.design, self.synthesis)}
        return self.candidate.with_(parity_rtl=self.parity, cost=Cost(figures, cost.layers))


@dataclass(eq=False)
class _Problems:
    """Why something could not be made, each reason once."""

    found: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    def add(self, what: str, candidate: Candidate, reason: str) -> None:
        ids = self.found.setdefault((what, reason), [])
        if candidate.id not in ids:
            ids.append(candidate.id)

    def sentences(self, candidates: int) -> tuple[str, ...]:
        """Return a sentence for each reason; candidates are named where it is not that of all."""
        named = {key: "" if len(ids) == candidates else f" ({', '.join(ids)})" for key, ids in self.found.items()}
        return tuple(f"{what}{named[what, reason]}: {reason}" for what, reason in self.found)


WHAT = {"design": "no RTL", "simulation": "RTL not simulated", "synthesis": "RTL not synthesised"}


def _digest(candidate: Candidate, inputs: Precision, adders: int) -> str:
    """Return 16 hexadecimal digits of all that a design is made of."""
    digest = hashlib.sha256(json.dumps([candidate.plan.to_dict(), str(inputs), adders]).encode())
    for name, values in sorted((candidate.weights or {}).items()):
        digest.update(name.encode() + np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:16]


def _notes(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
        _ = [Parity(**found["parity"])] if "parity" in found else []
        return dict(found)
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _gave_up(notes: Mapping[str, Any], step: str, seconds: float) -> str | None:
    """Return why a step failed earlier with as much time."""
    noted = notes.get(step)
    return None if noted is None or noted["seconds"] < seconds else str(noted["failed"])


def _synthesis(design: Design) -> Cost | None:
    try:
        return load_synthesis(design)
    except InputError:
        return None  # damaged: made again


@dataclass(eq=False)
class _Route:
    """What the steps share."""

    firmware: Firmware
    folder: Callable[[Candidate], Path]
    model: Models
    inputs: Precision
    x: np.ndarray
    say: Say
    problems: _Problems = field(default_factory=_Problems)

    def failed(self, step: str, candidate: Candidate, error: QapError | str, folder: Path) -> str:
        """Note a reason without the place that only one candidate has."""
        reason = str(error).removeprefix(f"{folder}: ")
        self.problems.add(WHAT[step], candidate, reason)
        return reason

    def circuit(self, candidate: Candidate, count: str) -> _Circuit | None:
        """Return a candidate's design, the earlier one where it is of the same weights; None where there can be none."""
        directory, adders = self.folder(candidate), self.firmware.adders_per_stage
        folder, of, notes = directory / FOLDER, _digest(candidate, self.inputs, adders), _notes(directory / NOTES)
        try:
            if notes.get("of") == of:
                reason = _gave_up(notes, "design", SEARCH)
                if reason is not None:
                    self.problems.add(WHAT["design"], candidate, reason)
                    return None
                design = load_design(folder)
                if design.stamp() == notes.get("verilog"):
                    if notes.get("parity", {}).get("events") != len(self.x):
                        notes.pop("parity", None)
                    return _Circuit(candidate, design, notes, _synthesis(design))
        except InputError:
            pass  # no design there, or a damaged one: made again
        self.say(f"writing the RTL of {candidate.id} ({count})")
        try:
            design = write_design(self.model(candidate), self.inputs, folder, adders_per_stage=adders, timeout=SEARCH)
        except QapError as error:
            reason = self.failed("design", candidate, error, folder)
            if _lasting(error):
                directory.mkdir(parents=True, exist_ok=True)
                write_text(directory / NOTES, json.dumps({"of": of, **_failure("design", reason, SEARCH)}) + "\n")
            return None
        circuit = _Circuit(candidate, design, {})
        circuit.note(of=of, verilog=design.stamp())
        return circuit

    def jobs(self, circuits: Sequence[_Circuit]) -> Iterator[tuple[str, _Circuit, float, Callable[..., Any]]]:
        """Yield what is left to do: step, circuit, time limit, function; the simulations first."""
        steps: list[tuple[str, float, Callable[..., Any]]] = [("simulation", TIMEOUT, build_simulation)]
        steps += [("synthesis", self.firmware.synthesis_seconds, synthesise)] if self.firmware.synthesis else []
        for step, seconds, function in steps:
            for circuit in circuits:
                if (circuit.parity if step == "simulation" else circuit.synthesis) is not None:
                    continue
                reason = _gave_up(circuit.notes, step, seconds)
                if reason is None:
                    yield step, circuit, seconds, function
                else:
                    self.problems.add(WHAT[step], circuit.candidate, reason)

    def finish(self, job: Future[Any], step: str, circuit: _Circuit, seconds: float) -> None:
        """Take what a job has made, or note why it could not."""
        candidate, design = circuit.candidate, circuit.design
        try:
            result = job.result()
            circuit.notes.pop(step, None)  # an earlier failure
            if step == "simulation":
                parity = compare_rtl(self.model(candidate), design, self.x)
                circuit.note(parity=asdict(parity))
                self.say(f"{candidate.id}: RTL exact on {parity.exact:,} of {parity.events:,} test events")
            else:
                circuit.synthesis = result
                circuit.note()
                self.say(f"{candidate.id}: {result['lut']:,.0f} LUT by Yosys")
        except QapError as error:
            reason = self.failed(step, candidate, error, design.directory)
            if _lasting(error):
                circuit.note(**_failure(step, reason, seconds))


def _lasting(error: QapError) -> bool:
    """Return whether only more time helps: a tool may be installed before the next run."""
    return not isinstance(error, ToolMissingError | InputError)


def _failure(step: str, reason: str, seconds: float) -> dict[str, Any]:
    return {step: {"seconds": seconds, "failed": reason}}


def judge_rtl(
    firmware: Firmware,
    folder: Callable[[Candidate], Path],
    candidates: Sequence[Candidate],
    model: Models,
    inputs: Precision,
    x: np.ndarray,
    say: Say = lambda message: None,
) -> tuple[list[Candidate], tuple[str, ...]]:
    """Write candidates as Verilog, simulate it and synthesise it where the settings ask for it.

    What was simulated or synthesised earlier is read; what has failed is tried again with more time only. Ctrl-C ends the tools.

    Parameters
    ----------
    firmware : Firmware
        ``adders_per_stage``, ``synthesis``, ``synthesis_seconds``.
    folder : callable
        Returns where a candidate's files lie: its design in ``rtl``, notes on it in ``rtl.json``.
    candidates : sequence of Candidate
        With weights.
    model : callable
        Returns a candidate's QKeras model.
    inputs : Precision
    x : array (events, features)
        On the grid of `inputs`; all are simulated.
    say : callable, optional
        Called with a line of text whenever something has happened.

    Returns
    -------
    list of Candidate
        As given, with `parity_rtl` and the figures of `rtl_figures` where there are any.
    tuple of str
        A sentence for each reason why something could not be made.
    """
    route = _Route(firmware, folder, model, inputs, x, say)
    found = [route.circuit(one, f"{number} of {len(candidates)}") for number, one in enumerate(candidates, 1)]
    circuits = [circuit for circuit in found if circuit is not None]
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool, Processes() as processes:
        jobs: Mapping[Future[Any], Any] = {
            pool.submit(function, circuit.design, timeout=seconds, run=processes.run): (step, circuit, seconds)
            for step, circuit, seconds, function in route.jobs(circuits)
        }
        if jobs:
            say(f"simulating the RTL of {len(circuits)} candidates" + " and synthesising it" * firmware.synthesis)
        for job in as_completed(jobs):
            route.finish(job, *jobs[job])
    missing = route.problems.sentences(len(candidates))
    for sentence in missing:
        say(sentence)
    return [one if circuit is None else circuit.judged() for one, circuit in zip(candidates, found, strict=True)], missing
