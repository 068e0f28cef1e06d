"""From a judged study to its report."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from qap.candidate import Candidate, Cost
from qap.compress.context import Context
from qap.config.schema import Study as Config
from qap.cost.candidate_cost import budget, prediction
from qap.cost.csynth import synthesis_cost
from qap.cost.energy import energy
from qap.cost.parts import find_part
from qap.cost.project_cost import shown_resources
from qap.cost.timing import sentence
from qap.datasets.dataset import Dataset, Split
from qap.datasets.hold_back import hold_back
from qap.errors import InputError, QapError
from qap.firmware.project import SETTINGS
from qap.metrics import classification, regression
from qap.metrics.bootstrap import Statistic, bootstrap, paired_difference
from qap.metrics.evaluate import Metrics, evaluate
from qap.models.builders import set_weights
from qap.report.data import (
    Comparison,
    Curve,
    FrontEntry,
    Left,
    Reference,
    Report,
    TargetErrors,
    Tried,
    layer_entries,
)
from qap.report.sections import BootstrapSection, DataSection, ModelSection, RtlSection, SearchSection
from qap.search.estimates import cost_model
from qap.search.judge import Judged, Verdict, firmware_directory, float_outputs, rtl_directory
from qap.search.objectives import wanted_metrics
from qap.search.run import trained
from qap.search.study import Study
from qap.training.keras_engine import logits


def _quality(data: Dataset, outputs: np.ndarray, config: Config) -> dict[str, Any]:
    """Return the fields of `Quality` for outputs on the test split."""
    test, drawn = data.test, _drawn(config)
    if data.task == "regression":
        errors = zip(
            regression.rmse_per_target(test.y, outputs, test.weight),
            regression.bias_per_target(test.y, outputs, test.weight),
            regression.resolution_per_target(test.y, outputs, test.weight),
            strict=True,
        )
        return {
            "rmse": bootstrap(_statistic(data, outputs), len(test), weights=test.weight, **drawn),
            "targets": tuple(
                TargetErrors(name=name, rmse=rmse, bias=bias, resolution=resolution)
                for name, (rmse, bias, resolution) in zip(target_names(data), errors, strict=True)
            ),
        }
    metrics = replace(wanted_metrics(config, data.class_names), names=("auc", "signal_efficiency"))
    found = evaluate(data.task, test, outputs, metrics)
    return {
        "accuracy": bootstrap(_statistic(data, outputs), len(test), weights=test.weight, **drawn),
        "auc": found["auc"],
        "auc_per_class": tuple(classification.auc_per_class(test.y, outputs, test.weight, "logits")),
        "signal_efficiency": found["signal_efficiency"],
        "roc": tuple(Curve.of(*curve) for curve in classification.roc(test.y, outputs, test.weight, "logits")),
        "confusion": tuple(map(tuple, classification.confusion(test.y, outputs, test.weight, "logits").tolist())),
    }


def _drawn(config: Config) -> dict[str, int]:
    """Return how replicas are drawn: the same events for all candidates."""
    return {"replicas": config.report.bootstrap, "seed": config.seed}


def _statistic(data: Dataset, outputs: np.ndarray) -> Statistic:
    """Return the score on the test split as a function of event weights."""
    test = data.test
    if data.task == "regression":
        return lambda weight: regression.rmse(test.y, outputs, weight)
    right = (classification.predicted(outputs, "logits") == test.y).astype(np.float64)
    return lambda weight: float(weight @ right / weight.sum())


def _validation(metrics: Mapping[str, float], metric: str) -> dict[str, Any]:
    """Return the fields of `Quality` that come from the validation split."""
    found: dict[str, Any] = {f"{metric}_validation": metrics[f"{metric}_validation"]}
    if f"{metric}_selection" in metrics:
        found[f"{metric}_selection"] = metrics[f"{metric}_selection"]
    further = {name.removesuffix("_validation"): value for name, value in metrics.items() if name.endswith("_validation")}
    return {**found, "validation": {name: value for name, value in further.items() if name != metric}}


def target_names(data: Dataset) -> tuple[str, ...]:
    """Return names for the regression targets."""
    return tuple(f"target {i}" for i in range(1, data.outputs + 1)) if data.task == "regression" else ()


def _data(data: Dataset, held: Split) -> DataSection:
    return DataSection(
        name=data.name,
        task=data.task,  # type: ignore[arg-type]
        features=data.feature_names,
        classes=data.class_names,
        targets=target_names(data),
        n_train=len(data.train),
        n_validation=len(data.validation),
        n_held_back=len(held),
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
    candidate = one.candidate
    firmware = firmware_directory(study, candidate)
    cost, remarks = _whole_cost(study, candidate, context)
    return FrontEntry(
        **_quality(context.data, one.outputs, study.config),
        **_validation(candidate.metrics, _metric(context.data)),
        id=candidate.id,
        architecture=str(candidate.architecture),
        layers=layer_entries(candidate.plan, _cost(candidate)),
        cost=cost,
        remarks=remarks,
        parity=candidate.parity,
        firmware=None if candidate.parity is None else firmware.as_posix(),
        parity_rtl=candidate.parity_rtl,
        rtl=rtl_directory(study, candidate).as_posix() if "latency_cycles_rtl" in cost.figures else None,
    )


def _metric(data: Dataset) -> str:
    return "rmse" if data.task == "regression" else "accuracy"


def _reference(study: Study, best: Candidate, context: Context, held: Split) -> Reference:
    """Describe the float parent of the most accurate candidate."""
    data, metric = context.data, _metric(context.data)
    parent = study.load_parent(best.architecture)
    if parent is None:
        raise QapError(f"{study.directory}: the float parent of {best.architecture} is missing: search again")
    metrics = dict(parent.metrics)
    if len(held):
        outputs = logits(study.parent_model(best.architecture), held.x)
        again = evaluate(data.task, held, outputs, Metrics(()))[metric]
        metrics[f"{metric}_selection"] = metrics[f"{metric}_validation"]
        metrics[f"{metric}_validation"] = again
    return Reference(
        **_quality(data, float_outputs(study, best, context), study.config),
        **{**_validation(metrics, metric), "validation": {}},
        architecture=str(best.architecture),
    )


def _neighbours(verdict: Verdict, context: Context, config: Config) -> tuple[Comparison, ...]:
    """Compare each candidate of the front with the next cheaper one by EBOPs, on the same draws of the test events."""
    data = context.data
    members = sorted(verdict.judged, key=lambda one: _cost(one.candidate)["ebops"])
    return tuple(
        Comparison(
            cheaper=cheaper.candidate.id,
            dearer=dearer.candidate.id,
            difference=paired_difference(
                _statistic(data, dearer.outputs), _statistic(data, cheaper.outputs), len(data.test),
                weights=data.test.weight, **_drawn(config),
            ),
        )
        for cheaper, dearer in itertools.pairwise(members)
    )  # fmt: skip


def _flattering(verdict: Verdict, metric: str) -> float | None:
    """Return how much better the search's front is on the events of the choice than on those held back, on average."""
    chosen = [*(one.candidate for one in verdict.judged), *verdict.left]
    gains = [
        c.metrics[f"{metric}_selection"] - c.metrics[f"{metric}_validation"] for c in chosen if f"{metric}_selection" in c.metrics
    ]
    if not gains:
        return None
    return float(np.mean(gains)) * (-1 if metric == "rmse" else 1)


def _search(study: Study, verdict: Verdict, context: Context) -> SearchSection:
    config, records = study.config, list(study.records())
    wanted = wanted_metrics(config, context.data.class_names)
    efficiency = "signal_efficiency" in config.search.objectives
    return SearchSection(
        strategy=config.search.strategy,
        engine=context.engine.name,
        trials=len(records),
        untrained=int(study.info.get("untrained", 0)),
        flattering=_flattering(verdict, _metric(context.data)),
        wall_seconds=round(sum(record.seconds for record in records), 1),
        cpu_seconds=round(sum(record.cpu_seconds for record in records), 1),
        objectives=tuple(config.search.objectives),
        signal=None if wanted.signal is None or not efficiency else context.data.class_names[wanted.signal],
        background_efficiency=wanted.background_efficiency if efficiency else None,
    )


def _rtl(config: Config, verdict: Verdict) -> RtlSection | None:
    firmware = config.firmware
    if not firmware.rtl:
        return None
    return RtlSection(
        adders_per_stage=firmware.adders_per_stage,
        synthesis_seconds=firmware.synthesis_seconds if firmware.synthesis else None,
        missing=tuple(verdict.missing),
    )


def _left(candidate: Candidate, metric: str) -> Left:
    scores = {name: candidate.metrics[name] for name in (f"{metric}_selection", f"{metric}_validation")}
    return Left(id=candidate.id, ebops=_cost(candidate)["ebops"], **scores)


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
    config = study.config
    _, held = hold_back(context.data, config.search.holdback, config.seed)
    tried = []
    for candidate in trained(study):
        scores = {f"{metric}_validation": candidate.metrics[f"{metric}_validation"]}
        tried.append(Tried(id=candidate.id, ebops=_cost(candidate)["ebops"], **scores))
    return Report(
        name=config.name,
        command=command,
        seed=config.seed,
        data=_data(context.data, held),
        model=ModelSection.of(best.architecture),
        search=_search(study, verdict, context),
        bootstrap=BootstrapSection(replicas=config.report.bootstrap),
        firmware=config.firmware.model_dump(mode="json", include=set(SETTINGS)),
        rtl=_rtl(config, verdict),
        reference=_reference(study, best, context, held),
        tried=tuple(tried),
        front=tuple(_entry(study, one, context) for one in verdict.judged),
        neighbours=_neighbours(verdict, context, config),
        left=tuple(_left(candidate, metric) for candidate in verdict.left),
        refused=verdict.refused,
    )
