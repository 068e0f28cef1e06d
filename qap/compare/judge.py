"""The judgement of a compressed network: its firmware's outputs on the test split, its costs, its distance to the float one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from qap.candidate import Candidate, Cost, Parity
from qap.compare.entries import Row
from qap.compress.context import Context
from qap.compress.pipeline import outputs
from qap.config.schema import CSYNTH_FIGURES
from qap.config.schema import Study as Config
from qap.cost.candidate_cost import candidate_cost
from qap.cost.model import Model
from qap.errors import InputError, QapError
from qap.exports.tflite import convert as to_tflite
from qap.exports.tflite import tflite_outputs
from qap.firmware.convert import convert
from qap.firmware.csim import build_all
from qap.firmware.parity import compare
from qap.firmware.project import Project
from qap.granularity import TOLERANCE
from qap.metrics import classification
from qap.metrics.agreement import agreement
from qap.metrics.calibration import ece
from qap.metrics.evaluate import evaluate
from qap.models.builders import set_weights
from qap.search.rtl_route import judge_rtl

FLOAT_BITS = 32
"""Of a weight of the float network, and of a bias of a TFLite model."""
COUNTED = ("sparsity_mask", "sparsity", "weight_memory_bits", "nonzero_weights", "ebops", "bops")


@dataclass(frozen=True, eq=False)
class Result:
    """A row with one seed.

    Parameters
    ----------
    row : Row
    candidate : Candidate or None
        None where the row has failed.
    values : mapping
        Metrics on the test split, costs, parity; what does not apply is missing.
    remark : str
        Why it has failed, or what does not apply.
    scores : (events, outputs) array or None
        On the test split: the firmware's, where there is one.
    """

    row: Row
    candidate: Candidate | None
    values: Mapping[str, Any]
    remark: str = ""
    scores: np.ndarray | None = None


def metrics(context: Context, scores: np.ndarray, reference: np.ndarray, delta: float) -> dict[str, Any]:
    """Return the scores on the test split, the distance to the float network's outputs, and the verdict of the gate."""
    test = context.data.test
    found: dict[str, Any] = dict(evaluate(context.data.task, test, scores, replace(context.metrics, names=None)))
    if context.data.task != "classification":
        return found
    counts = classification.confusion(test.y, scores, test.weight, kind="logits")
    found["ece"] = ece(test.y, scores, test.weight, kind="logits")
    found["worst_recall"] = float((np.diag(counts) / counts.sum(axis=1)).min())
    found["agreement"] = agreement(reference, scores, test.weight, kind="logits").same_class
    found["drop"] = classification.accuracy(test.y, reference, test.weight, kind="logits") - found["accuracy"]
    return {**found, "gate": found["drop"] <= delta}


def float_values(candidate: Candidate, weight_bits: int = FLOAT_BITS) -> dict[str, float]:
    """Return what can be counted of a float network, or of one whose kernels an export stores in fewer bits."""
    weights = candidate.weights or {}
    kernels = [value for key, value in weights.items() if key.endswith("/kernel")]
    biases = sum(value.size for key, value in weights.items() if key.endswith("/bias"))
    size = sum(kernel.size for kernel in kernels)
    zeros = sum(int(np.count_nonzero(kernel == 0)) for kernel in kernels) / size
    return {"sparsity_mask": zeros, "sparsity": zeros, "weight_memory_bits": size * weight_bits + biases * FLOAT_BITS}


def check_masks(candidate: Candidate, cost: Cost) -> None:
    """Refuse a result whose masks do not have the sparsities of its plan.

    Raises
    ------
    InputError
        With layer, request and what the mask has.
    """
    for name, layer in candidate.plan.items():
        found = cost.layers[name]["sparsity_mask"].value
        allowed = max(TOLERANCE, 0.5 / np.prod(candidate.architecture.shapes[name])) + 1e-9
        masked = layer.sparsity and layer.granularity.kind != "digit"  # of digits the plan says what has gone
        if masked and abs(found - layer.sparsity) > allowed:
            raise InputError(f"{name}: the mask removes {found:.4f} of the weights, {layer.sparsity:.4f} were asked for")


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A quantized network before its build: the project is None where no firmware is asked for, the model without RTL too."""

    candidate: Candidate
    cost: Cost
    model: Any = None
    project: Project | None = None


@dataclass(frozen=True, eq=False)
class Judge:
    """What rows are judged with.

    Parameters
    ----------
    config : Config
    context : Context
        Of the seed.
    model : Model
        For the csynth-equivalent figures.
    reference : (events, outputs) array
        The float network's outputs on the test split, trained as long as every row.
    folder : Path
        Where the firmware is built.
    """

    config: Config
    context: Context
    model: Model
    reference: np.ndarray
    folder: Path

    def judge(self, results: Sequence[tuple[Row, Candidate]]) -> list[Result]:
        """Judge compressed networks; the firmware of all of them is built side by side."""
        prepared = {number: self._prepared(row, one) for number, (row, one) in enumerate(results) if row.quantized}
        projects = [found.project for found in prepared.values() if isinstance(found, _Prepared) and found.project is not None]
        built = iter(build_all(projects) if projects else [])
        judged = []
        for number, (row, candidate) in enumerate(results):
            found = prepared.get(number)
            if isinstance(found, Result):
                judged.append(found)
            elif found is not None and found.project is not None:
                judged.append(self._proven(row, found, found.project, next(built)))
            elif found is not None:
                judged.append(self._unbuilt(row, found.candidate, _figures(found.cost), "no firmware was asked for"))
            elif row.export is not None:
                judged.append(self._exported(row, candidate))
            else:
                judged.append(self._unbuilt(row, candidate, float_values(candidate), "float network: no firmware"))
        if not self.config.firmware.rtl:
            return judged
        models = [found.model if isinstance(found := prepared.get(number), _Prepared) else None for number in range(len(judged))]
        return [one if model is None else self._in_rtl(one, model) for one, model in zip(judged, models, strict=True)]

    def _result(self, row: Row, candidate: Candidate, scores: np.ndarray, further: Mapping[str, Any], remark: str = "") -> Result:
        values = {**metrics(self.context, scores, self.reference, self.config.compare.delta), **further}
        return Result(row, candidate, values, remark, scores)

    def _cost(self, row: Row, candidate: Candidate) -> Cost:
        """Return the cost of a quantized network, its masks checked."""
        config, data = self.config, self.context.data
        cost = candidate_cost(candidate, data.input, config.firmware, config.timing, self.model)
        if row.prunes:
            check_masks(candidate, cost)
        return cost

    def _prepared(self, row: Row, candidate: Candidate) -> _Prepared | Result:
        """Count a quantized network and convert it where firmware is asked for, or say why it is refused."""
        try:
            cost = self._cost(row, candidate)
            candidate = candidate.with_(cost=cost)
            if not self.config.firmware.build and not self.config.firmware.rtl:
                return _Prepared(candidate, cost)
            model = self.context.builder(candidate.architecture, candidate.plan)
            set_weights(model, candidate.weights or {})
            if not self.config.firmware.build:
                return _Prepared(candidate, cost, model)
            project = convert(model, self.context.data.input, self.folder / row.name, self.config.firmware)
        except InputError as error:
            return Result(row, candidate, {}, f"refused: {error}")
        return _Prepared(candidate, cost, model, project)

    def _proven(self, row: Row, found: _Prepared, project: Project, built: Path | QapError) -> Result:
        if isinstance(built, QapError):
            raise built
        compared = compare(found.model, project, self.context.data.test.x)
        further = {**_figures(found.cost), "parity": compared.parity.fraction}
        candidate = found.candidate.with_(parity=compared.parity)
        return self._result(row, candidate, compared.logits, further, _said(compared.parity))

    def _in_rtl(self, result: Result, model: Any) -> Result:
        """Add what the RTL route finds of a quantized network: costs, `parity_rtl`, and what could not be made."""
        data, candidate = self.context.data, result.candidate
        if candidate is None or candidate.cost is None:
            return result
        (found,), problems = judge_rtl(
            self.config.firmware, lambda _: self.folder / f"{result.row.name}-rtl", [candidate], lambda _: model, data.input,
            data.test.x,
        )  # fmt: skip
        figures = found.cost.figures if found.cost is not None else {}
        values = {**result.values, **{name: one.value for name, one in figures.items() if name not in candidate.cost.figures}}
        parity = found.parity_rtl
        if parity is not None:
            values["parity_rtl"] = parity.fraction
            problems += () if parity.proven else (f"RTL {_said(parity)}",)
        return replace(result, candidate=found, values=values, remark="; ".join(filter(None, (*problems, result.remark))))

    def _unbuilt(self, row: Row, candidate: Candidate, further: Mapping[str, Any], remark: str) -> Result:
        """Judge a float network, or a quantized one where no firmware is asked for."""
        scores = outputs(candidate, self.context.data.test.x, quantized=row.quantized, builder=self.context.builder)
        return self._result(row, candidate, scores, further, remark)

    def _exported(self, row: Row, candidate: Candidate) -> Result:
        """Judge a TFLite model, run by its interpreter."""
        model = self.context.builder(candidate.architecture.folded, None)
        set_weights(model, candidate.weights or {})
        events = self.context.data.train.x[: self.config.ptq.events]
        file = to_tflite(model, str(row.export), events if row.export == "int8" else None)
        scores = tflite_outputs(file, self.context.data.test.x)
        further = {**float_values(candidate, weight_bits=8), "file_bytes": len(file)}
        return self._result(row, candidate, scores, further, "TFLite: run by its interpreter, no firmware")


def _figures(cost: Cost) -> dict[str, float]:
    """Return the figures of cost by column."""
    return {name.lower(): cost[name] for name in (*COUNTED, *CSYNTH_FIGURES) if name in cost.figures}


def _said(parity: Parity) -> str:
    return "" if parity.proven else f"not bit-exact: {parity.first_layer} differs first"
