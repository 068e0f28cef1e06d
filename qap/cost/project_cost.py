"""What an hls4ml project costs: counted from its own C-simulation, estimated as csynth would report, and as reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qap.candidate import Cost, Figure
from qap.cost.csynth import Guess, Prediction, csynth_cost, deserved, predict, synthesis_cost
from qap.cost.hls_project import HLSProject, read_project
from qap.cost.model import Model
from qap.cost.operations import Operations, count_operations
from qap.cost.parts import RESOURCES, Part, find_part
from qap.cost.project_networks import Networks, networks
from qap.cost.terms import REFERENCE_CLOCK, Network
from qap.cost.timing import Budget, keeps, timing_figures
from qap.errors import InputError
from qap.firmware.reports import read_reports

SHARED = ("LUT", "FF", "DSP")
"""Figures that are shared out among the layers."""


@dataclass(frozen=True)
class ProjectCost:
    """What is known of a project's cost, each figure with its source.

    Parameters
    ----------
    project : HLSProject
    operations : Operations
        T0, by layer.
    prediction : Prediction
        How the csynth-equivalent figures came about.
    csynth : Cost
        T1, in total and shared out among the layers; empty where no reports are of the project's kind.
    synthesis : Cost
        T1b, what is left after synthesis.
    reports : mapping of stage → Cost
        What the vendor's tools left in the project; never mixed with the estimates.
    part : Part or None
        What it is for, None where the part is not listed.
    budget : Budget
    notes : tuple of str
    """

    project: HLSProject
    operations: Operations
    prediction: Prediction
    csynth: Cost
    synthesis: Cost
    reports: Mapping[str, Cost]
    part: Part | None
    budget: Budget
    notes: tuple[str, ...]

    @property
    def weight_memory_bits(self) -> int:
        """Bits of all weights and biases as declared, zeros included."""
        bits = 0
        for layer in self.project.layers:
            for values, kind in ((layer.kernel, layer.weight), (layer.bias_values, layer.bias or layer.weight)):
                bits += 0 if values is None or kind is None else values.size * kind.bits
        return bits

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form: the csynth-equivalent figures by name, then the other sources."""

        def plain(figures: Mapping[str, Figure]) -> dict[str, Any]:
            return {name: _plain(name, figure, self.part) for name, figure in figures.items()}

        project = self.project
        return {
            "project": str(project.directory),
            "backend": project.backend,
            "part": project.part if self.part is None else self.part.name,
            "clock_ns": self.budget.clock_ns,
            **plain(self.csynth.figures),
            "covered": self.prediction.covered,
            "kind": self.prediction.kind,
            "post_synthesis": plain(self.synthesis.figures),
            "reports": {stage: plain(cost.figures) for stage, cost in self.reports.items()},
            "timing": {
                "longest_II": self.budget.longest_interval,
                "time_multiplexing": self.budget.time_multiplexing,
                "bunch_crossing_ns": self.budget.bunch_crossing_ns,
                "kept": keeps(self.csynth.figures, self.budget),
            },
            "counts": {**self.operations.totals(), "weight_memory_bits": self.weight_memory_bits},
            "counted": {key: getattr(self.operations, key) for key in ("counted", "reason", "inputs")},
            "layers": [
                {"name": one.name, "kind": one.kind, **one.totals(), **plain(self.csynth.layers.get(one.name, {}))}
                for one in self.operations.layers
            ],
            "notes": list(self.notes),
        }


def _plain(name: str, figure: Figure, part: Part | None) -> dict[str, Any]:
    share = part.share(name, figure.value) if part else None
    values: dict[str, Any] = {key: _number(getattr(figure, key)) for key in ("value", "low", "high")}
    values["stage"] = figure.source
    return {**values, **({"unit": figure.unit} if figure.unit else {}), **({} if share is None else {"share": round(share, 5)})}


def _number(value: float) -> int | float:
    return int(value) if float(value).is_integer() else value


def _layers(model: Model, found: Networks, figures: Mapping[str, Figure], part: str | None) -> dict[str, dict[str, Figure]]:
    """Share the totals out by what each layer alone would take."""
    if not figures:
        return {}
    single = [csynth_cost(predict(model, [layer], part=part)) for layer in found.layers]
    layers: dict[str, dict[str, Figure]] = {name: {} for name in found.names}
    for figure in SHARED:
        total = sum(one[figure].value for one in single) or 1.0
        for name, one in zip(found.names, single, strict=True):
            share, whole = one[figure].value / total, figures[figure]
            low, high = (whole.value if bound is None else bound for bound in (whole.low, whole.high))
            shown = deserved(Guess(whole.value * share, low * share, high * share))
            source = f"{whole.source}, shared out by single layers"
            layers[name][figure] = Figure(shown.value, source, "", shown.low, shown.high)
    return layers


def _predict(model: Model, found: Networks, project: HLSProject, part: str | None) -> Prediction:
    if found.outside:
        return Prediction({}, False, tuple(f"{reason}: no number" for reason in found.outside))
    return predict(model, found.layers, softmax=found.softmax, part=part)


def _reports(directory: Path) -> tuple[dict[str, Cost], list[str]]:
    if not (directory / "project.tcl").is_file() and not list(directory.glob("*_prj/solution1")):
        return {}, []
    try:
        return dict(read_reports(directory)), []
    except InputError as error:
        return {}, [f"the vendor's reports are left out: {error}"]


def project_cost(
    directory: Path | str | HLSProject,
    model: Model,
    *,
    inputs: Any = None,
    part: str | None = None,
    clock_ns: float | None = None,
    time_multiplexing: int = 1,
    bunch_crossing_ns: float | None = None,
    latency_ns: float | None = None,
) -> ProjectCost:
    """Say what an hls4ml project costs, without a vendor's tools.

    Parameters
    ----------
    directory : path or HLSProject
        Of a project for Vitis or Vivado, made by qap or by hls4ml alone.
    model : Model
        Of the csynth-equivalent figures: `qap.cost.model.shipped_model()`, or one refitted to reports of one's own.
    inputs : array (events, …), or a list of one per input, optional
        For the count; by default the project's own test events, else random ones.
    part : str, optional
        By default the project's.
    clock_ns : float, optional
        By default the project's, else 5.
    time_multiplexing : int, default 1
    bunch_crossing_ns : float, default 25
    latency_ns : float, optional
        See `qap.cost.timing.Budget`.

    Returns
    -------
    ProjectCost

    Raises
    ------
    InputError
        Not a project that can be read, inputs that do not fit.
    """
    project = directory if isinstance(directory, HLSProject) else read_project(Path(directory))
    clock = clock_ns or project.clock_ns or REFERENCE_CLOCK
    notes = [] if clock_ns or project.clock_ns else [f"the project states no clock: {REFERENCE_CLOCK:g} ns are taken"]
    budget = Budget(clock, time_multiplexing, latency_ns=latency_ns)
    budget = budget if bunch_crossing_ns is None else replace(budget, bunch_crossing_ns=bunch_crossing_ns)
    wanted = part or project.part
    found = networks(project)
    layers: Sequence[Network] = [replace(layer, clock_ns=clock) for layer in found.layers]
    found = replace(found, layers=tuple(layers))
    prediction = _predict(model, found, project, wanted)
    estimated = csynth_cost(prediction)
    estimated |= timing_figures(estimated, budget)
    reports, refused = _reports(project.directory)
    operations = count_operations(project, inputs)
    return ProjectCost(
        project,
        operations,
        prediction,
        Cost(estimated, _layers(model, found, estimated, wanted)),
        synthesis_cost(prediction, model),
        reports,
        find_part(wanted) if wanted else None,
        budget,
        (*notes, *prediction.notes, *operations.remarks, *refused),
    )


def shown_resources(cost: Cost) -> tuple[str, ...]:
    """Return the resources that a cost has figures for, in their usual order."""
    return tuple(name for name in RESOURCES if name in cost.figures)
