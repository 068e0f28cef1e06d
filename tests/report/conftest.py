"""A whole study in a second: an MLP of scikit-learn on a synthetic task, its weights pruned and quantized by plans."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pytest
from sklearn.datasets import make_classification, make_regression
from sklearn.neural_network import MLPClassifier, MLPRegressor

from qap.candidate import Candidate, Parity
from qap.cost.counts import count
from qap.metrics import classification, regression
from qap.metrics.bootstrap import bootstrap
from qap.models.architecture import Architecture
from qap.models.builders import quantize_weights
from qap.plan import LayerPlan, Plan
from qap.precision import Precision
from qap.report.data import FrontEntry, PlanLayer, Report, Tried, layer_entries
from qap.report.distributions import Distribution
from qap.report.quality import Curve, Reference, Residuals, TargetErrors
from qap.report.scoring import efficiencies
from qap.report.sections import (
    BootstrapSection,
    Calibration,
    DataSection,
    ModelSection,
    PartSection,
    SearchSection,
    TimingSection,
)

CLASSES = ("g", "q", "w", "z", "t")
TARGETS = ("pT", "mass")
PARTS = {"train": slice(0, 4000), "validation": slice(4000, 6000), "test": slice(6000, 10_000)}
INPUTS = Precision(10, 3)


def make_plan(architecture: Architecture, bits: int, sparsity: float) -> Plan:
    """Uniform bits and sparsity, the first layer one bit wider, the output layer dense."""
    layers = []
    for i, layer in enumerate(architecture.layers):
        last = layer.activation == "linear"
        width = min(bits + (i == 0), 12)
        activation = None if last else Precision(bits, min(3, bits), signed=False)
        precisions = Precision(width, 1), Precision(16, 4), activation
        layers.append((layer.name, LayerPlan(*precisions, 0.0 if last else sparsity)))
    return Plan(tuple(layers))


def prune(plan: Plan, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Set the smallest weights to zero."""
    found = dict(weights)
    for name, layer in plan.items():
        kernel = weights[f"{name}/kernel"]
        removed = round(layer.sparsity * kernel.size)
        cut = np.sort(np.abs(kernel), axis=None)[removed - 1] if removed else -1.0
        found[f"{name}/kernel"] = np.where(np.abs(kernel) > cut, kernel, 0.0)
    return found


def outputs(plan: Plan, weights: dict[str, np.ndarray], x: np.ndarray, quantized: bool = True) -> np.ndarray:
    """Run the network: Dense, then relu, where asked rounded to the plan's activations."""
    for name, layer in plan.items():
        x = x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"]
        if layer.activation is not None:
            x = layer.activation.quantize(x) if quantized else np.maximum(x, 0)
    return x


def quality(task: str, y: np.ndarray, found: np.ndarray) -> dict:
    """Score a model's outputs for all events on the validation and the test split."""
    validation, test = (y[PARTS[part]] for part in ("validation", "test"))
    found_validation, found_test = (found[PARTS[part]] for part in ("validation", "test"))
    if task == "regression":
        columns = zip(
            TARGETS,
            regression.rmse_per_target(test, found_test),
            regression.bias_per_target(test, found_test),
            regression.resolution_per_target(test, found_test),
            (Residuals.of(column) for column in (found_test - test).T),
            strict=True,
        )
        return {
            "rmse_validation": regression.rmse(validation, found_validation),
            "rmse": bootstrap(partial(regression.rmse, test, found_test), len(test), replicas=50),
            "targets": [TargetErrors(name=n, rmse=r, bias=b, resolution=s, residuals=h) for n, r, b, s, h in columns],
        }
    return {
        "accuracy_validation": classification.accuracy(validation, found_validation),
        "accuracy": bootstrap(partial(classification.accuracy, test, found_test), len(test), replicas=50),
        "auc": classification.auc(test, found_test),
        "auc_per_class": classification.auc_per_class(test, found_test),
        "efficiency": efficiencies(test, found_test, np.ones(len(test))),
        "calibration": Calibration.of(test, found_test, None),
        "roc": [Curve.of(*curve) for curve in classification.roc(test, found_test)],
        "confusion": classification.confusion(test, found_test).tolist(),
    }


def non_dominated(entries: list[FrontEntry], sign: int) -> list[FrontEntry]:
    """Keep the candidates that no cheaper one equals on the validation split."""
    kept: list[FrontEntry] = []
    for entry in sorted(entries, key=lambda entry: (entry.ebops, -sign * entry.score_validation)):
        if not kept or sign * entry.score_validation > sign * kept[-1].score_validation:
            kept.append(entry)
    return kept


def events(task: str, outs: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw 10,000 events, the features standardised and on the input grid."""
    if task == "classification":
        shape = {"n_informative": 10, "n_redundant": 3, "n_classes": outs, "class_sep": 1.6, "flip_y": 0.08}
        x, y = make_classification(10_000, 16, **shape, random_state=1)
    else:
        x, y = make_regression(10_000, 16, n_targets=outs, n_informative=10, noise=20.0, random_state=1)
        y = y / y.std(axis=0)
    return INPUTS.quantize((x - x.mean(axis=0)) / x.std(axis=0)), y


def learn(task: str, architecture: Architecture, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Train the float network for 25 epochs and return its weights."""
    learner = {"classification": MLPClassifier, "regression": MLPRegressor}[task]
    model = learner(hidden_layer_sizes=[layer.units for layer in architecture.layers[:-1]], random_state=1)
    labels = {"classes": np.unique(y)} if task == "classification" else {}
    for _ in range(25):
        model.partial_fit(x[PARTS["train"]], y[PARTS["train"]], **labels)
    weights = {}
    for layer, kernel, bias in zip(architecture.layers, model.coefs_, model.intercepts_, strict=True):
        weights |= {f"{layer.name}/kernel": kernel, f"{layer.name}/bias": bias}
    return weights


def grid(task: str, architecture: Architecture, weights: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray):
    """Yield a candidate for each pair of bits and sparsity."""
    for bits, sparsity in itertools.product((2, 3, 4, 5, 6, 8), (0.0, 0.3, 0.5, 0.7, 0.85)):
        plan = make_plan(architecture, bits, sparsity)
        pruned = prune(plan, weights)
        cost = count(architecture, plan, pruned, INPUTS)
        name = Candidate(architecture, plan).id
        drawn = {
            layer: (
                Distribution.of(pruned[f"{layer}/kernel"], part.weight),
                part.activation and Distribution.of(x, part.activation),
            )
            for layer, part in plan.items()
        }
        yield FrontEntry(
            id=name,
            architecture=str(architecture),
            layers=layer_entries(plan, cost, drawn),
            cost=cost,
            parity=Parity(4000, 4000, 0.0),
            firmware=f"candidates/{name}/firmware",
            losses={name: [2.5 * 0.8**epoch / bits for epoch in range(20)] for name in ("total", "hard")},
            **quality(task, y, outputs(plan, quantize_weights(plan, pruned), x)),
        )


def tried(entry: FrontEntry, metric: str) -> Tried:
    """Return what the report keeps of every candidate tried."""
    plan = [PlanLayer(name=p.name, weight=p.weight, activation=p.activation, sparsity=p.sparsity_target) for p in entry.layers]
    scores = {f"{metric}_validation": entry.score_validation}
    return Tried(id=entry.id, ebops=entry.ebops, cost={"bops": entry.cost["bops"]}, plan=plan, **scores)


def make_report(task: str = "classification", classes: tuple[str, ...] = CLASSES, **changes) -> Report:
    """Train, compress and judge; `changes` replace fields of the report."""
    classification_task = task == "classification"
    outs, metric = (len(classes), "accuracy") if classification_task else (len(TARGETS), "rmse")
    architecture = Architecture.mlp(16, (32, 16), outs)
    x, y = events(task, outs)
    weights = learn(task, architecture, x, y)
    entries = list(grid(task, architecture, weights, x, y))
    scores = outputs(make_plan(architecture, 8, 0.0), weights, x, quantized=False)
    data = {
        "name": "synthetic",
        "task": task,
        "features": [f"x{i}" for i in range(16)],
        "classes": classes if classification_task else (),
        "targets": () if classification_task else TARGETS,
        "n_train": 4000,
        "n_validation": 2000,
        "n_test": 4000,
        "input_precision": INPUTS.ap_fixed,
    }
    search = {"strategy": "grid", "engine": "keras", "trials": len(entries), "objectives": (metric, "ebops")}
    values = {
        "name": "jets",
        "command": "python -m qap.search configs/jets.yaml seed=1 --output runs/jets",
        "seed": 1,
        "data": DataSection(**data),
        "model": ModelSection.of(architecture),
        "search": SearchSection(wall_seconds=183.4, cpu_seconds=340.1, **search),
        "bootstrap": BootstrapSection(replicas=50),
        "firmware": {"Backend": "Vitis", "Part": "xcvu13p-flga2577-2-e", "ClockPeriod": 5.0, "IOType": "io_parallel"},
        "reference": Reference(architecture=str(architecture), **quality(task, y, scores)),
        "part": PartSection.of("xcvu13p-flga2577-2-e"),
        "timing": TimingSection(clock_ns=5.0, bunch_crossing_ns=25.0, time_multiplexing=1, latency_ns=100.0),
        "tried": [tried(entry, metric) for entry in entries],
        "front": non_dominated(entries, 1 if classification_task else -1),
    }
    return Report(**(values | changes))


@pytest.fixture(scope="session")
def report() -> Report:
    """A classification study."""
    return make_report()


@pytest.fixture(scope="session")
def regression_report() -> Report:
    """A regression study."""
    return make_report("regression", name="calibration")
