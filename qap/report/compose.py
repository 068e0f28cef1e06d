"""From a judged study to its report."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
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
from qap.metrics.bootstrap import paired_difference
from qap.metrics.evaluate import Metrics, evaluate
from qap.models.builders import set_weights
from qap.report.data import (
    Comparison,
    FrontEntry,
    Left,
    PlanLayer,
    Report,
    Tried,
    layer_entries,
)
from qap.report.distributions import distributions
from qap.report.quality import Reference
from qap.report.scoring import drawn, scored, statistic, target_names
from qap.report.sections import (
    BootstrapSection,
    DataSection,
    ModelSection,
    PartSection,
    RtlSection,
    SearchSection,
    TimingSection,
)
from qap.search.estimates import cost_model
from qap.search.judge import Judged, Verdict, firmware_directory, float_outputs, rtl_directory
from qap.search.objectives import wanted_metrics
from qap.search.rtl_route import Say
from qap.search.run import trained
from qap.search.study import Study
from qap.training.keras_engine import logits

TRIED_FIGURES = (
    "ebops_traced", "bops", "weight_memory_bits", "nonzero_weights", "sparsity", "LUT", "FF", "DSP", "BRAM_18K",
    "latency_cycles", "latency_ns", "II",
)  # fmt: skip
"""Figures of cost that are kept of every candidate tried, beside its EBOPs."""


def _validation(metrics: Mapping[str, float], metric: str) -> dict[str, Any]:
    """Return the fields of `Quality` that come from the validation split."""
    found: dict[str, Any] = {f"{metric}_validation": metrics[f"{metric}_validation"]}
    if f"{metric}_selection" in metrics:
        found[f"{metric}_selection"] = metrics[f"{metric}_selection"]
    further = {name.removesuffix("_validation"): value for name, value in metrics.items() if name.endswith("_validation")}
    return {**found, "validation": {name: value for name, value in further.items() if name != metric}}


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


def _model(candidate: Candidate, context: Context) -> Any:
    """Return a candidate as a QKeras model."""
    model = context.builder(candidate.architecture, candidate.plan)
    set_weights(model, candidate.weights or {})
    return model


def _energy(model: Any, context: Context) -> Cost:
    """Return the energy by QTools; nothing for a user's model with layers that QTools has no sound figure for."""
    try:
        return energy(model, context.data.input)
    except InputError:
        return Cost({})


def _whole_cost(study: Study, candidate: Candidate, model: Any, context: Context) -> tuple[Cost, tuple[str, ...]]:
    """Add energy and what is left after synthesis, and say in words what the figures mean for the trigger and the part."""
    cost, firmware, estimates = _cost(candidate), study.config.firmware, cost_model(study)
    estimated = prediction(candidate, cost, context.data.input, firmware, estimates)
    after = {f"{name}_post_synthesis": figure for name, figure in synthesis_cost(estimated, estimates).figures.items()}
    said = [sentence(cost.figures, budget(firmware, study.config.timing))] if estimated.guesses else []
    part = find_part(firmware.Part)
    if part is not None and estimated.guesses:
        shares = ((name, part.share(name, cost[name])) for name in shown_resources(cost))
        said.append(f"of {part.name}: " + ", ".join(f"{name} {100 * share:.2g} %" for name, share in shares if share is not None))
    used = _energy(model, context)
    layers = {name: {**figures, **used.layers.get(name, {})} for name, figures in cost.layers.items()}
    return Cost({**cost.figures, **after, **used.figures}, layers), (*said, *estimated.notes)


def _entry(study: Study, one: Judged, context: Context) -> FrontEntry:
    candidate = one.candidate
    firmware = firmware_directory(study, candidate)
    model = _model(candidate, context)
    cost, remarks = _whole_cost(study, candidate, model, context)
    where = distributions(model, candidate.architecture, candidate.plan, candidate.weights or {}, context.data.validation.x)
    return FrontEntry(
        **scored(context.data, one.outputs, study.config),
        **_validation(candidate.metrics, _metric(context.data)),
        id=candidate.id,
        architecture=str(candidate.architecture),
        layers=layer_entries(candidate.plan, _cost(candidate), where),
        cost=cost,
        remarks=remarks,
        parity=candidate.parity,
        firmware=None if candidate.parity is None else firmware.as_posix(),
        parity_rtl=candidate.parity_rtl,
        losses={name: tuple(values) for name, values in candidate.losses.items()},
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
        **scored(data, float_outputs(study, best, context), study.config),
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
                statistic(data, dearer.outputs), statistic(data, cheaper.outputs), len(data.test),
                weights=data.test.weight, **drawn(config),
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
    classes = context.data.task == "classification"
    return SearchSection(
        strategy=config.search.strategy,
        engine=context.engine.name,
        trials=len(records),
        untrained=int(study.info.get("untrained", 0)),
        flattering=_flattering(verdict, _metric(context.data)),
        wall_seconds=round(sum(record.seconds for record in records), 1),
        cpu_seconds=round(sum(record.cpu_seconds for record in records), 1),
        objectives=tuple(config.search.objectives),
        signal=None if wanted.signal is None or not classes else context.data.class_names[wanted.signal],
        background_efficiency=wanted.background_efficiency if classes else None,
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
    scores: dict[str, Any] = {name: candidate.metrics[name] for name in (f"{metric}_selection", f"{metric}_validation")}
    return Left(id=candidate.id, ebops=_cost(candidate)["ebops"], **scores)


def _tried(candidate: Candidate, metric: str, model: str) -> Tried:
    scores, cost = _validation(candidate.metrics, metric), _cost(candidate)
    return Tried(
        id=candidate.id,
        architecture=None if str(candidate.architecture) == model else str(candidate.architecture),
        ebops=cost["ebops"],
        validation=scores.pop("validation"),
        cost={name: cost[name] for name in TRIED_FIGURES if name in cost.figures},
        plan=tuple(
            PlanLayer(name=name, weight=layer.weight, activation=layer.activation, sparsity=layer.sparsity)
            for name, layer in candidate.plan.items()
        ),
        **{f"{metric}_validation": scores[f"{metric}_validation"]},
    )


def _entries(study: Study, verdict: Verdict, context: Context, say: Say) -> Iterator[FrontEntry]:
    for number, one in enumerate(verdict.judged, 1):
        say(f"report: error bars and curves of {one.candidate.id} ({number} of {len(verdict.judged)})")
        yield _entry(study, one, context)


def compose(study: Study, verdict: Verdict, context: Context, command: str, say: Say = lambda message: None) -> Report:
    """Gather everything that the report of a study shows.

    Parameters
    ----------
    study : Study
    verdict : Verdict
        From `qap.search.judge.judge`.
    context : Context
    command : str
        The command line that makes the study again.
    say : callable, optional
        Called with a line of text before each candidate of the front.

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
    return Report(
        name=config.name,
        command=command,
        seed=config.seed,
        data=_data(context.data, held),
        model=ModelSection.of(best.architecture),
        search=_search(study, verdict, context),
        bootstrap=BootstrapSection(replicas=config.report.bootstrap),
        firmware=config.firmware.model_dump(mode="json", include=set(SETTINGS)),
        part=PartSection.of(config.firmware.Part),
        timing=TimingSection.of(budget(config.firmware, config.timing)),
        rtl=_rtl(config, verdict),
        reference=_reference(study, best, context, held),
        tried=tuple(_tried(candidate, metric, str(best.architecture)) for candidate in trained(study)),
        front=tuple(_entries(study, verdict, context, say)),
        neighbours=_neighbours(verdict, context, config),
        left=tuple(_left(candidate, metric) for candidate in verdict.left),
        refused=verdict.refused,
    )
