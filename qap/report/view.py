"""What page and figures share: ranges, labels, colours, and the candidate that is shown first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qap.report.data import FrontEntry, Report, Tried
from qap.report.quality import Quality
from qap.report.sections import PartSection

PALETTE = (
    "#3f90da", "#bd1f01", "#ffa90e", "#832db6", "#2f9e44", "#a96b59", "#e76300", "#717581", "#92dadb", "#b9ac70",
)  # fmt: skip
"""M. A. Petroff's accessible colours (arXiv:2107.02270), reordered, with a green for the fifth class."""

NEAR = 0.01
"""A candidate this close to the float accuracy counts as near."""


@dataclass(frozen=True)
class Window:
    """Ranges of the axes of the front, and how many tried candidates lie outside."""

    ebops: tuple[float, float]
    score: tuple[float, float]
    outside: int


def window(report: Report) -> Window:
    """Return axes that hold the front with its error bars and the float model; others tried may lie outside."""
    front = report.front
    bounds = [bound for model in (report.reference, *front) for bound in (model.score.low, model.score.high)]
    margin = 0.06 * (max(bounds) - min(bounds)) or 0.01
    score = (max(0.0, min(bounds) - margin), max(bounds) + margin)
    costs = [*(entry.ebops for entry in front), *(candidate.ebops for candidate in report.tried)]
    ebops = (max(min(costs, default=1.0), 1.0) / 1.4, max(max(costs, default=10.0), 1.0) * 1.4)
    outside = sum(not (inside(candidate, score)) for candidate in report.tried)
    return Window(ebops, score, outside)


def inside(candidate: Tried, score: tuple[float, float]) -> bool:
    """Tell whether a tried candidate lies on the axes of the front."""
    return score[0] <= candidate.score_validation <= score[1] and candidate.ebops >= 1


def best(report: Report) -> FrontEntry:
    """Return the candidate of the front with the best validation score."""
    better = max if report.metric == "accuracy" else min
    return better(report.front, key=lambda entry: entry.score_validation)


def near(report: Report, margin: float = NEAR) -> FrontEntry | None:
    """Return the candidate of least EBOPs whose validation accuracy is at most `margin` below the float model's.

    None for a regression, or where no candidate is that close. The choice reads the validation split only.
    """
    if report.metric != "accuracy":
        return None
    goal = report.reference.score_validation - margin
    return next((entry for entry in report.front if entry.score_validation >= goal), None)


def tagger(report: Report, model: Quality, k: int) -> str:
    """Return the legend of one ROC curve: ``g tagger, AUC = 93.8 %``."""
    return f"{report.data.classes[k]} tagger, AUC = {100 * model.auc_per_class[k]:.1f} %"


def part_of(report: Report) -> PartSection | None:
    """Return what the part holds; a report of an earlier version names it only."""
    return report.part or PartSection.of(str(report.firmware.get("Part", "")))


def shown_losses(losses: Mapping[str, Sequence[float]]) -> dict[str, Sequence[float]]:
    """Return the losses that are drawn: the total only where it is not the loss on labels or targets."""
    hard = losses.get("hard")
    shown = {name: losses[name] for name in ("total", "hard", "soft") if losses.get(name)}
    return {name: line for name, line in shown.items() if name != "total" or hard is None or list(line) != list(hard)}


def logarithmic(values: Sequence[float]) -> bool:
    """Tell whether an axis of losses is logarithmic: they are all above 0 and differ by more than a factor of 10."""
    return min(values, default=0.0) > 0 and max(values) > 10 * min(values)
