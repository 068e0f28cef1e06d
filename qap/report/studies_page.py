"""One page for several studies: their fronts on the same axes, and a table of what each has found."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from qap.errors import InputError
from qap.files import write_text
from qap.report.axes import AXES, axes, costs, scores
from qap.report.data import FrontEntry, Report
from qap.report.page import COLOURS, environment, script
from qap.report.payload import embedded
from qap.report.view import NEAR, best, near

EVENTS = ("name", "task", "classes", "n_train", "n_validation", "n_test")
"""What must be equal where scores are compared; features and their precision may differ."""


@dataclass(frozen=True)
class Shown:
    """A study on the page.

    Parameters
    ----------
    report : Report
    page : str
        Address of its own page, relative to this one.
    best : FrontEntry
        With the best validation score.
    near : FrontEntry or None
        The cheapest within a point of the float model, where the study is a classification.
    """

    report: Report
    page: str
    best: FrontEntry
    near: FrontEntry | None


def differing(reports: Sequence[Report]) -> list[str]:
    """Return a sentence for each study whose events are not those of the first one, as far as the reports tell."""
    first = reports[0]
    found = []
    for report in reports[1:]:
        other = [name for name in EVENTS if getattr(report.data, name) != getattr(first.data, name)]
        if other:
            what = ", ".join(f"{name} {getattr(report.data, name)} and not {getattr(first.data, name)}" for name in other)
            found.append(f"{report.name} is not on the events of {first.name} ({what}): do not compare their scores.")
    return found


def studies_payload(named: Iterable[tuple[str, Report]]) -> dict[str, Any]:
    """Return what the script draws of several studies' fronts.

    Parameters
    ----------
    named : iterable of (str, Report)
        Address of each study's page, relative to the one that is made; reports of one task.
    """
    pairs = list(named)
    reports = [report for _, report in pairs]
    return {
        "percent": reports[0].metric == "accuracy",
        "axes": axes(reports),
        "studies": [
            {
                "name": report.name,
                "data": report.data.name,
                "page": page,
                "reference": scores(report.reference),
                "front": [
                    {
                        "id": entry.id,
                        "architecture": entry.architecture,
                        "scores": scores(entry),
                        "cost": {name: value for name, value in costs(entry.cost.figures).items() if name in AXES},
                        "plan": [
                            f"{layer.name}: {layer.weight}"
                            + (f" → {layer.activation}" if layer.activation is not None else "")
                            + f", {100 * layer.sparsity:.0f} % zero"
                            for layer in entry.layers
                        ],
                    }
                    for entry in report.front
                ],
            }
            for page, report in pairs
        ],
    }


def render_studies(directories: Sequence[Path], reports: Sequence[Report], folder: Path) -> str:
    """Return the page as HTML; like the page of one study it requests nothing from anywhere.

    Parameters
    ----------
    directories : sequence of path
        Where the studies lie, each with a report.html.
    reports : sequence of Report
    folder : path
        Where the page will lie: it links to the studies' own pages.

    Raises
    ------
    InputError
        Classifications and regressions together.
    """
    for directory, report in zip(directories, reports, strict=True):
        wanted, received = reports[0].data.task, report.data.task
        if received != wanted:
            raise InputError(
                f"{directory}: expected a {wanted} like {directories[0]}, received a {received}: their scores have no common axis"
            )
    shown = []
    for directory, report in zip(directories, reports, strict=True):
        address = quote(Path(os.path.relpath(directory / "report.html", folder)).as_posix())
        shown.append(Shown(report, address, best(report), near(report)))
    found = environment()
    text, digest = script(found, "dom.js", "plot.js", "front.js", "studies.js")
    return found.get_template("studies.html.j2").render(
        shown=shown,
        metric=reports[0].metric,
        percent=reports[0].metric == "accuracy",
        margin=NEAR,
        differing=differing(reports),
        colours=COLOURS,
        data=embedded(studies_payload((one.page, one.report) for one in shown)),
        script=text,
        script_hash=digest,
    )


def write_studies_page(directories: Sequence[Path], reports: Sequence[Report], path: Path) -> None:
    """Write the page, under a temporary name first; parameters as of `render_studies`."""
    write_text(path, render_studies(directories, reports, path.resolve().parent))
