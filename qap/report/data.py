"""report.json: everything that a report shows. The schema is explained in docs/report.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import (
    AliasChoices,
    AwareDatetime,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

import qap
from qap.backend import versions
from qap.candidate import Cost, Parity
from qap.errors import InputError
from qap.files import write_text
from qap.metrics.bootstrap import Interval
from qap.plan import Plan
from qap.report.distributions import Distribution
from qap.report.quality import Quality, Reference
from qap.report.sections import (
    BootstrapSection,
    DataSection,
    ModelSection,
    PartSection,
    PrecisionText,
    RtlSection,
    SearchSection,
    Section,
    TimingSection,
)

FORMAT_VERSION = 1


CandidateId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
"""12 hexadecimal digits as a rule; it names files and places in the page."""


class LayerEntry(Section):
    """One layer of a candidate: what the plan says and what was measured on the weights."""

    name: str
    weight: PrecisionText
    bias: PrecisionText
    activation: PrecisionText | None = None
    sparsity_target: float
    """Fraction of weights that the plan asks the mask to remove."""
    sparsity_mask: float
    """Fraction of weights that the mask removes."""
    sparsity: float
    """Fraction of quantized weights that are zero."""
    weights: Distribution | None = None
    """Of the weights before they are quantized, those that are exactly zero left out."""
    outputs: Distribution | None = None
    """Of the layer's sums before they are quantized; None where no quantizer follows."""


def layer_entries(
    plan: Plan, cost: Cost, found: Mapping[str, tuple[Distribution, Distribution | None]] | None = None
) -> tuple[LayerEntry, ...]:
    """Join a plan with the sparsities that were counted for each layer.

    Parameters
    ----------
    plan : Plan
    cost : Cost
        With the figures ``sparsity_mask`` and ``sparsity`` for each layer of the plan.
    found : mapping, optional
        Distributions of weights and outputs by layer (see `qap.report.distributions.distributions`).
    """
    drawn = found or {}
    return tuple(
        LayerEntry(
            name=name,
            weight=layer.weight,
            bias=layer.bias,
            activation=layer.activation,
            sparsity_target=layer.sparsity,
            sparsity_mask=cost.layers[name]["sparsity_mask"].value,
            sparsity=cost.layers[name]["sparsity"].value,
            weights=drawn[name][0] if name in drawn else None,
            outputs=drawn[name][1] if name in drawn else None,
        )
        for name, layer in plan.items()
    )


class FrontEntry(Quality):
    """A candidate of the front."""

    id: CandidateId
    architecture: str
    layers: tuple[LayerEntry, ...]
    cost: Cost
    remarks: tuple[str, ...] = ()
    """What the cost means for the trigger and the part, and where an estimate has no reports behind it."""
    parity: Parity | None = None
    """None: no firmware was built, nothing is proven."""
    firmware: str | None = None
    """Directory of the HLS project, relative to the report."""
    parity_rtl: Parity | None = None
    """Of the Verilog, clock by clock; None: it was not simulated."""
    rtl: str | None = None
    """Directory of the Verilog, relative to the report."""
    losses: Mapping[str, tuple[float, ...]] = {}
    """Of its training, by epoch: ``total``, ``hard`` and, with a teacher, ``soft``; empty in older studies."""

    @field_validator("firmware", "rtl")
    @classmethod
    def _inside(cls, value: str | None) -> str | None:
        if value is not None and (PurePosixPath(value).is_absolute() or ".." in value.split("/") or ":" in value):
            raise ValueError(f"expected a path inside the study, received {value!r}")
        return value

    @property
    def ebops(self) -> float:
        """EBOPs of the whole network."""
        return self.cost["ebops"]

    def objective(self, name: str) -> float | None:
        """Return the value of an objective: a score on the test split, else a figure of cost; None where it is not known."""
        if name in ("accuracy", "rmse"):
            return self.score.value
        if name == "auc_worst":
            return min(self.auc_per_class, default=None)
        if name == "resolution":
            return float(np.mean([target.resolution for target in self.targets])) if self.targets else None
        if name in ("auc", "signal_efficiency"):
            return self.auc if name == "auc" else self.signal_efficiency
        return self.cost[name] if name in self.cost.figures else None


class Comparison(Section):
    """Two neighbours of the front on the same test events: is the dearer one really better?"""

    cheaper: CandidateId
    dearer: CandidateId
    difference: Interval
    """Score of the dearer one minus that of the cheaper one, with the interval of the paired bootstrap."""


class PlanLayer(Section):
    """One layer of a plan."""

    name: str
    weight: PrecisionText
    activation: PrecisionText | None = None
    sparsity: float = 0.0


class Tried(Section):
    """A candidate that the search tried, whether or not it is on the front."""

    id: CandidateId
    ebops: float
    architecture: str | None = None
    """None where it is that of the model, or in an older file."""
    accuracy_validation: float | None = None
    rmse_validation: float | None = None
    validation: Mapping[str, float] = {}
    """Further metrics that the search noted."""
    cost: Mapping[str, float] = {}
    """Further figures of cost."""
    plan: tuple[PlanLayer, ...] = ()

    @property
    def score_validation(self) -> float:
        """Accuracy or RMSE on the validation split."""
        found = self.accuracy_validation if self.accuracy_validation is not None else self.rmse_validation
        if found is None:
            raise InputError(f"report: candidate {self.id} has neither accuracy_validation nor rmse_validation")
        return found


class Left(Tried):
    """A candidate of the search's front that is none on the events held back."""

    accuracy_selection: float | None = None
    rmse_selection: float | None = None

    @property
    def score_selection(self) -> float | None:
        """Accuracy or RMSE on the events that the search chose with."""
        return self.accuracy_selection if self.accuracy_selection is not None else self.rmse_selection


class Report(Section):
    """The whole of report.json."""

    format_version: Literal[1] = 1
    name: str
    created: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))
    qap_version: str = qap.__version__
    command: str
    """Command line that makes the study again."""
    seed: int
    versions: Mapping[str, str] = Field(default_factory=versions)
    data: DataSection
    model: ModelSection
    search: SearchSection
    bootstrap: BootstrapSection
    firmware: Mapping[str, str | int | float | Mapping[str, int]] = {}
    """hls4ml's settings by hls4ml's key: Backend, Part, ClockPeriod (ns), IOType, Strategy, ReuseFactor."""
    part: PartSection | None = None
    """None: a part that is not listed."""
    timing: TimingSection | None = None
    rtl: RtlSection | None = None
    """None: the RTL route was not asked for."""
    reference: Reference = Field(validation_alias=AliasChoices("reference", "float"), serialization_alias="float")
    tried: tuple[Tried, ...]
    front: tuple[FrontEntry, ...] = Field(min_length=1)
    """Sorted by EBOPs."""
    neighbours: tuple[Comparison, ...] = ()
    """Each candidate of the front against the next cheaper one by EBOPs."""
    left: tuple[Left, ...] = ()
    """Candidates of the search's front that others equal or beat on the events held back."""
    refused: Mapping[str, str] = {}
    """Candidates that would be on the front but of which no exact firmware can be made: id → reason."""

    @field_validator("front")
    @classmethod
    def _sorted(cls, front: tuple[FrontEntry, ...]) -> tuple[FrontEntry, ...]:
        if len({entry.id for entry in front}) != len(front):
            raise ValueError("two candidates have the same id")
        return tuple(sorted(front, key=lambda entry: entry.ebops))

    @model_validator(mode="after")
    def _complete(self) -> Self:
        """Hold every model to the metrics of the task."""
        classes = len(self.data.classes)
        if self.data.task == "classification" and classes < 2:
            raise ValueError(f"data.classes: expected two classes or more, received {classes}")
        for name, model in [("float", self.reference), *((entry.id, entry) for entry in self.front)]:
            if self.data.task == "regression":
                if model.rmse is None or model.rmse_validation is None:
                    raise ValueError(f"{name}: a regression needs rmse and rmse_validation")
            elif model.accuracy is None or model.accuracy_validation is None or model.auc is None:
                raise ValueError(f"{name}: a classification needs accuracy, accuracy_validation and auc")
            elif len(model.auc_per_class) != classes or len(model.roc) not in (0, classes):
                raise ValueError(f"{name}: expected an AUC and a ROC curve for each of {classes} classes")
        return self

    @property
    def metric(self) -> str:
        """``'accuracy'`` or ``'rmse'``."""
        return "accuracy" if self.data.task == "classification" else "rmse"

    def better(self, found: Comparison) -> bool:
        """Tell whether the interval of a difference lies wholly on the side of the dearer candidate."""
        return found.difference.low > 0 if self.metric == "accuracy" else found.difference.high < 0

    @property
    def proven(self) -> int:
        """How many candidates of the front are bit-exact on every test event."""
        return sum(entry.parity is not None and entry.parity.proven for entry in self.front)

    @property
    def proven_rtl(self) -> int:
        """The same of their Verilog."""
        return sum(entry.parity_rtl is not None and entry.parity_rtl.proven for entry in self.front)

    def save(self, path: Path) -> None:
        """Write report.json, under a temporary name first: a reader sees the old file or the new one, never a part."""
        values = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        lines = (f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())
        write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read report.json.

        Raises
        ------
        InputError
            No such file, not JSON, another format version, a value missing or wrong; the message names the key.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}") from None
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise InputError(f"{path}: expected a report in JSON, received a broken file: {error}") from None
        found = values.get("format_version") if isinstance(values, dict) else None
        if found != FORMAT_VERSION:
            raise InputError(
                f"{path}: expected a report of format_version {FORMAT_VERSION}, received {found!r}; make it again with "
                f"this version of qap ({qap.__version__})"
            )
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "report"
            raise InputError(f"{path}: {where}: {first['msg']}") from None
