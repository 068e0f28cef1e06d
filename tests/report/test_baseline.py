"""Every figure against a stored picture of it: what is drawn, not only what axes and legends say.

``QAP_BASELINE=1 pytest tests/report/test_baseline.py`` draws the pictures anew; look at them before they are committed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.testing.compare import compare_images

from qap.candidate import Candidate, Cost
from qap.candidate import Figure as Amount
from qap.datasets.dataset import Split
from qap.metrics.anomaly import AnomalyPoint
from qap.metrics.bootstrap import Interval
from qap.metrics.scores import Scores
from qap.models.architecture import Architecture
from qap.plan import LayerPlan, Plan
from qap.precision import Precision
from qap.report import candidate_figures, figures, plots
from qap.report.anomaly_figure import anomaly_figure
from qap.report.comparison import methods
from qap.report.comparison_figure import comparison
from qap.report.data import FrontEntry, Report, Tried, layer_entries
from qap.report.distributions import Distribution
from qap.report.quality import Curve, Reference, Residuals
from qap.report.sections import BootstrapSection, Calibration, DataSection, ModelSection, PartSection, SearchSection
from qap.report.style import save_figure
from qap.training.job import Losses

BASELINE = Path(__file__).parent / "baseline"
DPI = 45
TOLERANCE = 4.0
"""Root mean square over the pixels, of 255: other versions of a font move letters by parts of a pixel."""
ARCHITECTURE = Architecture.mlp(16, (32, 16), 3)
CLASSES = ("q", "g", "t")


def candidate(bits: int, sparsity: float = 0.5) -> Candidate:
    """A candidate whose figures follow from its bits: nothing here is trained."""
    layers, costs = [], {}
    for place, layer in enumerate(ARCHITECTURE.layers):
        activation = None if layer.activation == "linear" else Precision(bits, 2, signed=False)
        asked = sparsity if activation else 0.0
        layers.append((layer.name, LayerPlan(Precision(bits + place, 1), Precision(16, 4), activation, asked)))
        weights = float(np.prod(ARCHITECTURE.shapes[layer.name]))
        found = {"ebops": weights * bits**2 * (1 - asked), "sparsity": min(asked + 0.1 + 0.05 * place, 1), "sparsity_mask": asked}
        costs[layer.name] = {name: Amount(value, "made up") for name, value in found.items()}
    ebops = sum(one["ebops"].value for one in costs.values())
    total = {"ebops": Amount(ebops, "made up"), "sparsity": Amount(sparsity, "made up")}
    accuracy = 0.8 - 0.3 * 2.0**-bits - 0.05 * sparsity
    return Candidate(ARCHITECTURE, Plan(tuple(layers)), None, {"accuracy_validation": accuracy}, Cost(total, costs))


def quality(accuracy: float) -> dict:
    """Fields of a model: an AUC and a ROC curve b = s**k for each class."""
    signal = np.linspace(0, 1, 101)
    powers = [4 + 20 * (accuracy - 0.7) + k for k in range(len(CLASSES))]
    areas = [power / (power + 1) for power in powers]
    return {
        "accuracy_validation": accuracy, "accuracy": Interval(accuracy - 0.002, accuracy - 0.006, accuracy + 0.003),
        "auc": float(np.mean(areas)), "auc_per_class": areas, "roc": [Curve.of(signal, signal**power) for power in powers],
    }  # fmt: skip


def made_report() -> Report:
    tried = [candidate(bits, sparsity) for bits in (2, 3, 4, 6, 8) for sparsity in (0.0, 0.4, 0.8)]
    members = [one for one in tried if one.plan["fc1"].sparsity == 0.8] + [candidate(8, 0.0)]
    entries = [
        FrontEntry(
            id=f"{one.plan['fc1'].weight.bits}bits{100 * one.plan['fc1'].sparsity:.0f}", architecture=str(ARCHITECTURE),
            layers=layer_entries(one.plan, one.cost), cost=one.cost, **quality(one.metrics["accuracy_validation"]),
        )
        for one in members
    ]  # fmt: skip
    return Report(
        name="made", command="none", seed=1,
        data=DataSection(
            name="made up", task="classification", features=[f"x{k}" for k in range(16)], classes=CLASSES, n_train=10,
            n_validation=10, n_test=32_000, input_precision="ap_fixed<10,3>",
        ),
        model=ModelSection.of(ARCHITECTURE),
        search=SearchSection(
            strategy="grid", engine="keras", trials=15, wall_seconds=1.0, cpu_seconds=1.0, objectives=("accuracy", "ebops")
        ),
        bootstrap=BootstrapSection(replicas=200),
        reference=Reference(architecture=str(ARCHITECTURE), **quality(0.79)),
        tried=[
            Tried(id=f"t{k}", ebops=one.cost["ebops"], accuracy_validation=one.metrics["accuracy_validation"])
            for k, one in enumerate(tried)
        ],
        front=entries,
    )  # fmt: skip


def made_scores(right: float) -> Scores:
    """Every class with the same part of right answers."""
    labels = np.tile([0, 1, 2], 300).astype(np.int32)
    guess = np.where(np.arange(900) < 900 * right, labels, (labels + 1) % 3)
    return Scores("made", "classification", Split(np.zeros((900, 1)), labels, np.ones(900)), np.eye(3)[guess])


def draw_front() -> Figure:
    return figures.front(made_report())


def draw_roc() -> Figure:
    report = made_report()
    return figures.roc(report, report.front[-1])


def draw_layers() -> Figure:
    return figures.layers(made_report())


def draw_comparison() -> Figure:
    names = ("float", "ptq", "qap", "a row with a long name")
    lines = [
        {"method": name, "seed": seed, "accuracy": 0.76 - 0.01 * place + 0.002 * seed, "compress": ["qap"]}
        | ({"ebops": 5000.0 * place} if place else {})
        for seed in (1, 2, 3)
        for place, name in enumerate(names)
    ]
    return comparison(methods(lines, list(names), "float"), lines, "made up", 32_000)


def draw_anomaly() -> Figure:
    def points(power: float) -> list[AnomalyPoint]:
        found = []
        for fraction in (1e-4, 1e-3, 1e-2, 1e-1, 0.5):
            kept = {name: fraction**p for name, p in (("top", power), ("W", 1.3 * power), ("dijet", 1.6 * power))}
            efficiency = {name: Interval(value, 0.9 * value, min(1.1 * value, 1)) for name, value in kept.items()}
            found.append(AnomalyPoint(fraction, 0.0, Interval(fraction, fraction, fraction), efficiency))
        return found

    return anomaly_figure({"autoencoder": points(0.3), "student": points(0.4)}, "made up", "minimum bias", 30_000.0)


def draw_fronts() -> Figure:
    members = {name: [candidate(bits, sparsity) for bits in (2, 3, 4, 6)] for name, sparsity in (("dense", 0.0), ("pruned", 0.8))}
    scores = {name: [made_scores(one.metrics["accuracy_validation"]) for one in some] for name, some in members.items()}
    return plots.fronts(members, scores, title="made up, 900 test events", reference=("float 16-32-16-3", 0.79))


def draw_plans() -> Figure:
    return plots.plans({"narrow": candidate(4, 0.8), "wide": candidate(8, 0.2)})


def draw_schedules() -> Figure:
    steps = np.array([0, 20, 40, 60, 80, 100])
    curves = {"linear": np.array([0, 0.2, 0.4, 0.6, 0.75, 0.75]), "constant": np.array([0.0, 0.75, 0.75, 0.75, 0.75, 0.75])}
    return plots.schedules({name: (steps, sparsity) for name, sparsity in curves.items()}, title="100 steps")


def draw_losses() -> Figure:
    histories = {
        f"α = {alpha:g}": [Losses(1 / k, 1 / k + alpha / 5, alpha / k if alpha else None) for k in range(1, 9)]
        for alpha in (0.0, 0.9)
    }
    return plots.losses(histories, title="made up, training batches", pruning=(0.2, 0.7))


def draw_training() -> Figure:
    hard = [0.9 * 0.7**epoch + 0.3 for epoch in range(12)]
    soft = [0.4 * 0.6**epoch + 0.02 for epoch in range(12)]
    lines = {"total": [(h + s) / 2 for h, s in zip(hard, soft, strict=True)], "hard": hard, "soft": soft}
    return candidate_figures.training_curves(lines, title="made up, candidate x", unit="nat")


def draw_resources() -> Figure:
    values = {
        "LUT": (60_000, 40_000, 90_000), "LUT_post_synthesis": (45_000, 30_000, 70_000), "FF": (20_000, 20_000, 20_000),
        "DSP": (0, 0, 0), "BRAM_18K": (140, 120, 300), "latency_cycles": (9, 9, 9),
    }  # fmt: skip
    found = {name: Amount(value, "made up", "", low, high) for name, (value, low, high) in values.items()}
    return candidate_figures.resources(found, PartSection.of("xc7z020clg400-1"), title="made up, candidate x, estimates")


def draw_reliability() -> Figure:
    def made(slope: float) -> Calibration:
        middles = [(k + 0.5) / 15 for k in range(15)]
        empty = [middle < 1 / 3 for middle in middles]
        return Calibration(
            events=[0 if none else 100 * k for k, none in enumerate(empty)],
            confidence=[None if none else middle for middle, none in zip(middles, empty, strict=True)],
            accuracy=[None if none else slope * middle for middle, none in zip(middles, empty, strict=True)],
            expected_error=1 - slope,
        )

    return candidate_figures.reliability({"candidate": made(0.8), "float": made(0.95)}, title="made up, 9,000 test events")


def draw_confusion() -> Figure:
    events = [[80, 15, 5], [300, 600, 100], [0, 0, 0]]
    return candidate_figures.confusion(events, ("quark", "gluon", "top $t$"), title="made up, the last class without events")


def draw_distributions() -> Figure:
    grid = np.linspace(-1, 1, 201)
    values = np.sign(grid) * np.abs(grid) ** 3
    one = candidate(4)
    drawn = {
        name: (
            Distribution.of((1 + 0.6 * place) * values, layer.weight),
            layer.activation and Distribution.of(6 * values, layer.activation),
        )
        for place, (name, layer) in enumerate(one.plan.items())
    }
    return candidate_figures.distributions(layer_entries(one.plan, one.cost, drawn), title="made up")


def draw_residuals() -> Figure:
    grid = np.linspace(-4, 4, 4001)
    bell = np.exp(-(grid**2) / 2)
    found = {
        target: {"candidate": Residuals.of(scale * grid + 0.3 * scale, bell), "float": Residuals.of(0.8 * scale * grid, bell)}
        for target, scale in (("pT", 5.0), ("mass", 0.02))
    }
    return candidate_figures.residuals(found, title="made up, 9,000 test events", unit="GeV")


DRAWN: dict[str, Callable[[], Figure]] = {
    "front": draw_front, "roc": draw_roc, "layers": draw_layers, "comparison": draw_comparison, "anomaly": draw_anomaly,
    "fronts": draw_fronts, "plans": draw_plans, "schedules": draw_schedules, "losses": draw_losses,
    "training": draw_training, "resources": draw_resources, "reliability": draw_reliability, "confusion": draw_confusion,
    "distributions": draw_distributions, "residuals": draw_residuals,
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_looks_like_its_picture(name: str, tmp_path: Path) -> None:
    drawn, stored = tmp_path / f"{name}.png", BASELINE / f"{name}.png"
    DRAWN[name]().savefig(drawn, dpi=DPI)
    if os.environ.get("QAP_BASELINE"):
        shutil.copy(drawn, stored)
    difference = compare_images(str(shutil.copy(stored, tmp_path / "stored.png")), str(drawn), TOLERANCE)
    assert difference is None, difference


def test_one_point_elsewhere_is_seen(tmp_path: Path) -> None:
    """The tolerance lets through less than the smallest change that matters."""
    report = made_report()
    first = report.front[0]
    low = Interval(first.score.value - 0.01, first.score.low - 0.01, first.score.high - 0.01)
    other = report.model_copy(update={"front": (first.model_copy(update={"accuracy": low}), *report.front[1:])})
    figures.front(other).savefig(tmp_path / "moved.png", dpi=DPI)
    stored = str(shutil.copy(BASELINE / "front.png", tmp_path / "stored.png"))
    assert compare_images(stored, str(tmp_path / "moved.png"), TOLERANCE) is not None


def test_no_picture_is_left_over() -> None:
    assert sorted(path.stem for path in BASELINE.iterdir()) == sorted(DRAWN)
    assert sum(path.stat().st_size for path in BASELINE.iterdir()) < 350_000


@pytest.mark.parametrize("name", ["front", "losses"])
def test_a_pdf_holds_the_figure_and_is_the_same_each_time(name: str, tmp_path: Path) -> None:
    for number in (1, 2):
        save_figure(DRAWN[name](), tmp_path / f"{number}.pdf")
    first, second = ((tmp_path / f"{number}.pdf").read_bytes() for number in (1, 2))
    assert first == second
    assert first.startswith(b"%PDF")
    assert b"/Font" in first


def test_a_candidate_without_costs_is_named() -> None:
    bare = replace(candidate(4), cost=None)
    with pytest.raises(plots.InputError, match=f"candidate {bare.id} has no such figure"):
        plots.plans({"bare": bare})
    with pytest.raises(plots.InputError, match="scores of the same candidates"):
        plots.fronts({"a": [bare]}, {"a": []})
