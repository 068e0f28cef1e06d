"""Everything that predictions alone say about a classifier, as a plain record; docs/metrics.md explains the keys."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from qap.errors import InputError
from qap.metrics import calibration, classification, per_class, working_points
from qap.metrics.agreement import agreement, gate
from qap.metrics.classification import SUM_AUTO, SUM_ROUNDED, Curve, Kind
from qap.metrics.weights import event_weights

_LARGEST = 1e100
_TAKEN = f"taken as {calibration.FLOOR:.2g}"


@dataclass(frozen=True, slots=True)
class Options:
    """What to summarise.

    Parameters
    ----------
    kind : {'auto', 'logits', 'probabilities'}, default 'auto'
        ``'auto'`` also takes rounded probabilities, rows that add up to 1 within 0.1, and says so.
    bins : int, default 15
        Of the reliability diagram.
    background_efficiency : float, default 0.01
        Of the working points.
    input_rate_khz : float, optional
        Gives the accepted rates of the working points.
    delta : float, default 0.01
        Of the gate.
    edges : sequence of float, optional
        Bins of the feature (default: 10 with equally many events).
    """

    kind: Kind = "auto"
    bins: int = calibration.BINS
    background_efficiency: float = 0.01
    input_rate_khz: float | None = None
    delta: float = 0.01
    edges: Sequence[float] | None = None


def kind_of(scores: np.ndarray, kind: Kind, name: str = "scores") -> tuple[Kind, list[str]]:
    """Say whether scores are logits or probabilities, with remarks where that is not certain.

    Raises
    ------
    InputError
        Scores that are not finite numbers, (events, classes) or (events,), or no probabilities where these are asked for.
    """
    values, given = _named(name, classification.checked_scores, scores, kind)
    if np.abs(values).max(initial=0) > _LARGEST:
        raise InputError(f"{name}: expected scores up to {_LARGEST:g}, received {np.abs(values).max():g}")
    if kind == "logits" or not np.all((values >= 0) & (values <= 1)):
        return "logits", []
    if values.shape[1] == 1:
        ask = "the one column lies between 0 and 1: taken as the probability of class 1; if it is a logit, --kind logits"
        return "probabilities", [f"{name}: {ask}"] if kind == "auto" else []
    sums = values.sum(axis=1)
    said = f"{name}: all lie between 0 and 1 and the rows add up to {sums.min():.6g} to {sums.max():.6g}"
    if not given and np.any(np.abs(sums - 1) >= SUM_ROUNDED):
        return "logits", [f"{said}: taken as logits, through the softmax"]
    if np.any(np.abs(sums - 1) >= SUM_AUTO):
        return "probabilities", [f"{said}: taken as probabilities, as they are; if they are logits, --kind logits"]
    return "probabilities", []


def _named(name: str, function: Any, *arguments: Any) -> Any:
    """Call a check that speaks of scores, for an array of another name."""
    try:
        return function(*arguments)
    except InputError as error:
        raise InputError(str(error).replace("scores:", f"{name}:", 1)) from None


def summary(arrays: Mapping[str, np.ndarray], options: Options | None = None) -> dict[str, Any]:
    """Return the metrics of predictions.

    Parameters
    ----------
    arrays : mapping
        ``labels`` (events,) class numbers; ``scores`` (events, classes), (events, 1) or (events,); optionally ``weights``
        (events,), ``reference`` (the float model's scores) and ``feature`` (events,).
    options : Options, optional

    Returns
    -------
    dict
        Plain numbers, lists and text, all finite; None where something is not defined, with a remark.

    Raises
    ------
    InputError
        Arrays that do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import qap
    >>> found = qap.summarise({"labels": np.array([0, 0, 1, 1]), "scores": np.array([0.1, 0.4, 0.35, 0.8])})
    >>> found["accuracy"], found["auc"], found["confusion"]
    (0.75, 0.75, [[2.0, 0.0], [1.0, 1.0]])
    """
    wanted = options or Options()
    kind, remarks = kind_of(arrays["scores"], wanted.kind)
    ranked = classification.class_scores(arrays["scores"], kind)
    truth = classification.checked_labels(arrays["labels"], *ranked.shape)
    events = _Events(truth, arrays["scores"], event_weights(arrays.get("weights"), len(ranked)), kind, ranked)
    points = _points(events, wanted)
    found = {
        "events": len(ranked),
        "classes": ranked.shape[1],
        "kind": kind,
        "weighted": "weights" in arrays,
        **_classes(events, remarks),
        **_calibration(events, wanted.bins, remarks),
        "background_efficiency": wanted.background_efficiency,
        "signal_efficiency": [None if point is None else point["signal_efficiency"] for point in points],
        "working_points": [point for point in points if point is not None],
        "confusion": classification.confusion(*events.arguments).tolist(),
    }
    if "reference" in arrays:
        found |= _reference(events, arrays["reference"], wanted, remarks)
    if "feature" in arrays:
        found["turn_on"] = _turn_on(events, arrays["feature"], points, wanted, remarks)
    return {**found, "remarks": remarks}


@dataclass(frozen=True, eq=False)
class _Events:
    """Checked arrays: class numbers, scores as given, event weights, what they are, what each class is ranked by."""

    truth: np.ndarray
    scores: np.ndarray
    weight: np.ndarray
    kind: Kind
    ranked: np.ndarray

    @property
    def arguments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, Kind]:
        """What every metric takes."""
        return self.truth, self.scores, self.weight, self.kind

    def passing(self, k: int, fraction: float) -> tuple[float, np.ndarray]:
        """Return the lowest threshold on a class that at most a fraction of the other events passes, and what passes."""
        rest = self.truth != k
        threshold = working_points.threshold_for_fraction(self.ranked[rest, k], fraction, self.weight[rest])
        return threshold, self.ranked[:, k] >= threshold


def _classes(events: _Events, remarks: list[str]) -> dict[str, Any]:
    recalls = per_class.recalls(*events.arguments)
    areas = [None if one is None else classification.area(*one) for one in classification.defined_curves(*events.arguments)]
    defined = [one for one in areas if one is not None]
    worst, least = per_class.worst_class(*events.arguments)
    remarks += _gaps(recalls, areas)
    return {
        "accuracy": classification.accuracy(*events.arguments),
        "accuracy_per_class": recalls,
        "balanced_accuracy": per_class.balanced_accuracy(*events.arguments),
        "worst_class": {"class": worst, "accuracy": least},
        "auc_per_class": areas,
        "auc": float(np.mean(defined)) if defined else None,
    }


def _calibration(events: _Events, bins: int, remarks: list[str]) -> dict[str, Any]:
    found = calibration.reliability(*events.arguments, bins)
    remarks += _bounded(events)
    return {
        "ece": found.expected_error,
        "mce": found.maximum_error,
        "nll": calibration.nll(*events.arguments),
        "brier": calibration.brier(*events.arguments),
        "reliability": _bins(found),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _gaps(recalls: Sequence[float | None], areas: Sequence[float | None]) -> list[str]:
    """Say which classes have no events and what the means leave out."""
    empty = [k for k, recall in enumerate(recalls) if recall is None]
    undefined = [k for k, one in enumerate(areas) if one is None]
    remarks = []
    if empty:
        remarks.append(f"no events (or no weight) of class {_list(empty)}: balanced_accuracy is the mean over the others")
    if len(undefined) == len(areas):
        remarks.append("all events are of one class: no AUC, signal efficiency or working point is defined")
    elif undefined:
        remarks.append(f"the AUC of class {_list(undefined)} is not defined: auc is the mean over the others")
    return remarks


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _bounded(events: _Events) -> list[str]:
    if events.kind == "logits":
        return []
    p = events.ranked[np.arange(len(events.truth)), events.truth]
    low = int(np.sum((p < calibration.FLOOR) & (events.weight > 0)))
    return [f"nll: the probability of the true class is 0 in {low} of {len(p)} events: {_TAKEN}"] if low else []


def _bins(found: calibration.Reliability) -> list[dict[str, Any]]:
    rows = zip(found.edges[:-1], found.edges[1:], found.events, found.weight, found.confidence, found.accuracy, strict=True)
    return [
        {
            "low": float(low),
            "high": float(high),
            "events": int(events),
            "weight": float(weight),
            "confidence": _finite(float(confidence)),
            "accuracy": _finite(float(accuracy)),
        }
        for low, high, events, weight, confidence, accuracy in rows
    ]


def _points(events: _Events, wanted: Options) -> list[dict[str, Any] | None]:
    """Return each class's working point, None where its ROC curve is not defined."""
    curves = classification.defined_curves(*events.arguments)
    return [None if curve is None else _point(k, events, curve, wanted) for k, curve in enumerate(curves)]


def _point(k: int, events: _Events, curve: Curve, wanted: Options) -> dict[str, Any]:
    threshold, passed = events.passing(k, wanted.background_efficiency)
    rest = events.truth != k
    background = float(np.average(passed[rest], weights=events.weight[rest]))
    point: dict[str, Any] = {
        "class": k,
        "threshold": threshold,
        "threshold_on": "log-odds" if events.kind == "logits" else "probability",
        "signal_efficiency": classification.efficiency_at(*curve, wanted.background_efficiency),
        "background_efficiency": background,
        "background_rejection": 1 / background if background > 0 else None,
    }
    if wanted.input_rate_khz is not None:
        rate = working_points.accepted_rate(passed[rest], events.weight[rest], input_rate_khz=wanted.input_rate_khz)
        point["rate_khz"] = asdict(rate)
    return point


def _reference(events: _Events, reference: np.ndarray, wanted: Options, remarks: list[str]) -> dict[str, Any]:
    other, said = kind_of(reference, wanted.kind, "reference")
    remarks += said
    alike = agreement(reference, events.scores, events.weight, events.kind, other)
    if alike.correlation is None:
        remarks.append("correlation: all probabilities of one model are equal, none is defined")
    judged = gate(events.truth, reference, events.scores, wanted.delta, events.weight, events.kind, other)
    return {"agreement": asdict(alike), "gate": asdict(judged)}


def _turn_on(
    events: _Events, feature: np.ndarray, points: Sequence[Mapping[str, Any] | None], wanted: Options, remarks: list[str]
) -> list[dict[str, Any] | None]:
    """Return each class's efficiency against the feature at its working point, in class order."""
    values = np.asarray(feature, np.float64)
    if values.shape != events.truth.shape or not np.all(np.isfinite(values)):
        raise InputError(f"feature: expected a finite number for each of {len(events.truth)} events, received {_said(values)}")
    edges = working_points.equal_edges(values) if wanted.edges is None else working_points.checked_edges(np.asarray(wanted.edges))
    inside = (events.weight > 0) & (values >= edges[0]) & (values <= edges[-1])
    found: list[dict[str, Any] | None] = []
    for k, point in enumerate(points):
        chosen = inside & (events.truth == k)
        if point is None or not chosen.any():
            remarks.append(f"turn_on: class {k} has no working point or no events between {edges[0]:g} and {edges[-1]:g}")
            found.append(None)
            continue
        passed = events.passing(k, wanted.background_efficiency)[1]
        found.append({"class": k, **asdict(working_points.turn_on(values[chosen], passed[chosen], edges, events.weight[chosen]))})
    return found


def _said(values: np.ndarray) -> str:
    return (
        f"shape {values.shape}" if values.ndim != 1 else f"{len(values)}, {int(np.sum(~np.isfinite(values)))} of them not finite"
    )
