"""From a judged study to its report."""

from __future__ import annotations

import numpy as np

from qap.candidate import Candidate, Cost
from qap.compress.qap import Context
from qap.cost.candidate_cost import budget, prediction
from qap.cost.csynth import synthesis_cost
from qap.cost.energy import energy
from qap.cost.parts import find_part
from qap.cost.project_cost import shown_resources
from qap.cost.timing import sentence
from qap.datasets.dataset import Dataset
from qap.errors import InputError
from qap.metrics import classification, regression
from qap.metrics.bootstrap import bootstrap
from qap.metrics.evaluate import evaluate
from qap.models.builders import set_weights
from qap.report.data import (
    BootstrapSection,
    Curve,
    DataSection,
    FrontEntry,
    ModelSection,
    Reference,
    Report,
    SearchSection,
    TargetErrors,
    Tried,
    layer_entries,
)
from qap.search.estimates import cost_model
from qap.search.judge import Judged, Verdict, firmware_directory, float_outputs
from qap.search.run import trained
from qap.search.study import Study


def _quality(data: Dataset, outputs: np.ndarray, replicas: int, seed: int, validation: float) -> dict[str, object]:
    """Return the fields of `Quality` for outputs on the test split."""
    test = data.test
    if data.task == "regression":
        errors = zip(
            regression.rmse_per_target(test.y, outputs, test.weight),
            regression.bias_per_target(test.y, outputs, test.weight),
            regression.resolution_per_target(test.y, outputs, test.weight),
            strict=True,
        )
        return {
            "rmse_validation": validation,
            "rmse": bootstrap(
                lambda weight: regression.rmse(test.y, outputs, weight), len(test), weights=test.weight,
                replicas=replicas, seed=seed,
            ),
            "targets": tuple(
                TargetErrors(name=name, rmse=rmse, bias=bias, resolution=resolution)
                for name, (rmse, bias, resolution) in zip(target_names(data), errors, strict=True)
            ),
        }  # fmt: skip
    right = (classification.predicted(outputs, "logits") == test.y).astype(np.float64)
    return {
        "accuracy_validation": validation,
        "accuracy": bootstrap(
            lambda weight: float(weight @ right / weight.sum()),
            len(test),
            weights=test.weight,
            replicas=replicas,
            seed=seed,
        ),
        "auc": classification.auc(test.y, outputs, test.weight, "logits"),
        "auc_per_class": tuple(classification.auc_per_class(test.y, outputs, test.weight, "logits")),
        "roc": tuple(Curve.of(*curve) for curve in classification.roc(test.y, outputs, test.weight, "logits")),
        "confusion": tuple(map(tuple, classification.confusion(test.y, outputs, test.weight, "logits").tolist())),
    }


def target_names(data: Dataset) -> tuple[str, ...]:
    """Return names for the regression targets."""
    return tuple(f"target {i}" for i in range(1, data.outputs + 1)) if data.task == "regression" else ()


def _data(data: Dataset) -> DataSection:
    return DataSection(
        name=data.name,
        task=data.task,  # type: ignore[arg-type]
        features=data.feature_names,
        classes=data.class_names,
        targets=target_names(data),
        n_train=len(data.train),
        n_validation=len(data.validation),
        n_test=len(data.test),
        input_precision=data.input.ap_fixed,
    )


def _cost(candidate: Candidate) -> Cost:
    return candidate.cost or Cost({})


def _energy(candidate: Candidate, context: Context) -> Cost:
    """Return the energy by QTools; nothing for a user's model with layers that QTools has no sound figure for."""
    model = context.builder(candidate.architecture, candidate.plan)
    set_weights(model, candidate.weights or {})
    try:
        return energy(model, context.data.input)
    except InputError:
        return Cost({})


def _whole_cost(study: Study, candidate: Candidate, context: Context) -> tuple[Cost, tuple[str, ...]]:
    """Add energy and what is left after synthesis, and say in words what the figures mean for the trigger and the part."""
    cost, firmware, model = _cost(candidate), study.config.firmware, cost_model(study)
    estimated = prediction(candidate, cost, context.data.input, firmware, model)
    after = {f"{name}_post_synthesis": figure for name, figure in synthesis_cost(estimated, model).figures.items()}
    said = [sentence(cost.figures, budget(firmware, study.config.timing))] if estimated.guesses else []
    part = find_part(firmware.Part)
    if part is not None and estimated.guesses:
        shares = ((name, part.share(name, cost[name])) for name in shown_resources(cost))
        said.append(f"of {part.name}: " + ", ".join(f"{name} {100 * share:.2g} %" for name, share in shares if share is not None))
    used = _energy(candidate, context)
    layers = {name: {**figures, **used.layers.get(name, {})} for name, figures in cost.layers.items()}
    return Cost({**cost.figures, **after, **used.figures}, layers), (*said, *estimated.notes)


def _entry(study: Study, one: Judged, context: Context) -> FrontEntry:
    candidate, metric = one.candidate, _metric(context.data)
    firmware = firmware_directory(study, candidate)
    validation = candidate.metrics[f"{metric}_validation"]
    cost, remarks = _whole_cost(study, candidate, context)
    return FrontEntry(
        **_quality(context.data, one.outputs, study.config.report.bootstrap, study.config.seed, validation),  # type: ignore[arg-type]
        id=candidate.id,
        architecture=str(candidate.architecture),
        layers=layer_entries(candidate.plan, _cost(candidate)),
        cost=cost,
        remarks=remarks,
        parity=candidate.parity,
        firmware=None if candidate.parity is None else firmware.as_posix(),
    )


def _metric(data: Dataset) -> str:
    return "rmse" if data.task == "regression" else "accuracy"


def _reference(study: Study, best: Candidate, context: Context) -> Reference:
    """Describe the float parent of the most accurate candidate."""
    parent = study.load_parent(best.architecture)
    outputs = float_outputs(study, best, context)
    validation = parent.metrics if parent else evaluate(context.data.task, context.data.validation, outputs)
    return Reference(
        **_quality(
            context.data, outputs, study.config.report.bootstrap, study.config.seed,
            validation[f"{_metric(context.data)}_validation"],
        ),  # type: ignore[arg-type]
        architecture=str(best.architecture),
    )  # fmt: skip


def compose(study: Study, verdict: Verdict, context: Context, command: str) -> Report:
    """Gather everything that the report of a study shows.

    Parameters
    ----------
    study : Study
    verdict : Verdict
        From `qap.search.judge.judge`.
    context : Context
    command : str
        The command line that makes the study again.

    Returns
    -------
    Report
        The error bars are 68 % bootstrap intervals over the test events, drawn with the study's seed.
    """
    metric = _metric(context.data)
    sign = -1 if metric == "rmse" else 1
    best = max((one.candidate for one in verdict.judged), key=lambda c: sign * c.metrics[f"{metric}_validation"])
    records = list(study.records())
    config = study.config
    tried = []
    for candidate in trained(study):
        scores = {f"{metric}_validation": candidate.metrics[f"{metric}_validation"]}
        tried.append(Tried(id=candidate.id, ebops=_cost(candidate)["ebops"], **scores))
    return Report(
        name=config.name,
        command=command,
        seed=config.seed,
        data=_data(context.data),
        model=ModelSection.of(best.architecture),
        search=SearchSection(
            strategy=config.search.strategy,
            engine=context.engine.name,
            trials=len(records),
            wall_seconds=round(sum(record.seconds for record in records), 1),
            cpu_seconds=round(sum(record.cpu_seconds for record in records), 1),
            objectives=tuple(config.search.objectives),
        ),
        bootstrap=BootstrapSection(replicas=config.report.bootstrap),
        firmware=config.firmware.model_dump(mode="json", exclude={"build"}),
        reference=_reference(study, best, context),
        tried=tuple(tried),
        front=tuple(_entry(study, one, context) for one in verdict.judged),
        refused=verdict.refused,
    )
