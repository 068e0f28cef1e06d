"""report.json: everything that a report shows, and the rows of front.csv. The schema is explained in docs/report.md."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    AliasChoices,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
    model_validator,
)

import qap
from qap.backend import versions
from qap.candidate import Cost, Parity
from qap.config.schema import CSYNTH_FIGURES
from qap.errors import InputError
from qap.files import write_text
from qap.metrics.bootstrap import Interval
from qap.models.architecture import Architecture
from qap.plan import Plan, Precision

FORMAT_VERSION = 1
COST_COLUMNS = ("ebops", "bops", "nonzero_weights", "sparsity_mask", "sparsity", "weight_memory_bits")


def _precision(value: Any) -> Precision:
    try:
        return value if isinstance(value, Precision) else Precision.parse(value)
    except InputError as error:
        raise ValueError(str(error)) from None


PrecisionText = Annotated[Precision, BeforeValidator(_precision), PlainSerializer(str)]
"""A Precision, in the file the text that `Precision.parse` reads."""


CandidateId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
"""12 hexadecimal digits as a rule; it names files and places in the page."""


class Section(BaseModel):
    """A part of the report: frozen, unknown keys refused, no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Curve(Section):
    """A ROC curve from (0, 0) to (1, 1)."""

    signal: tuple[float, ...]
    background: tuple[float, ...]

    @classmethod
    def of(cls, signal: np.ndarray, background: np.ndarray) -> Self:
        """Take the arrays of `qap.metrics.classification.roc`, rounded to 6 digits after the leading one."""
        return cls(
            signal=tuple(float(f"{value:.6e}") for value in signal),
            background=tuple(float(f"{value:.6e}") for value in background),
        )


class TargetErrors(Section):
    """The errors of one regression target on the test split, in its unit."""

    name: str
    rmse: float
    bias: float
    resolution: float
    """Half the width of the central 68 %."""


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


def layer_entries(plan: Plan, cost: Cost) -> tuple[LayerEntry, ...]:
    """Join a plan with the sparsities that were counted for each layer.

    Parameters
    ----------
    plan : Plan
    cost : Cost
        With the figures ``sparsity_mask`` and ``sparsity`` for each layer of the plan.
    """
    return tuple(
        LayerEntry(
            name=name,
            weight=layer.weight,
            bias=layer.bias,
            activation=layer.activation,
            sparsity_target=layer.sparsity,
            sparsity_mask=cost.layers[name]["sparsity_mask"].value,
            sparsity=cost.layers[name]["sparsity"].value,
        )
        for name, layer in plan.items()
    )


class Quality(Section):
    """How good a model is; without `_validation` on the test split. Fractions from 0 to 1, errors in target units."""

    accuracy_validation: float | None = None
    accuracy: Interval | None = None
    auc: float | None = None
    """Macro one-vs-rest mean."""
    auc_per_class: tuple[float, ...] = ()
    roc: tuple[Curve, ...] = ()
    """One curve per class."""
    confusion: tuple[tuple[float, ...], ...] = ()
    """Events by true class (rows) and predicted class (columns)."""
    rmse_validation: float | None = None
    rmse: Interval | None = None
    targets: tuple[TargetErrors, ...] = ()

    @property
    def score(self) -> Interval:
        """Accuracy of a classifier, RMSE of a regression, on the test split."""
        found = self.accuracy if self.accuracy is not None else self.rmse
        if found is None:
            raise InputError("report: a model has neither accuracy nor rmse")
        return found

    @property
    def score_validation(self) -> float:
        """The same on the validation split."""
        found = self.accuracy_validation if self.accuracy_validation is not None else self.rmse_validation
        if found is None:
            raise InputError("report: a model has neither accuracy_validation nor rmse_validation")
        return found


class Reference(Quality):
    """The float model that the candidates started from."""

    architecture: str


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

    @field_validator("firmware")
    @classmethod
    def _inside(cls, value: str | None) -> str | None:
        if value is not None and (PurePosixPath(value).is_absolute() or ".." in value.split("/") or ":" in value):
            raise ValueError(f"expected a path inside the study, received {value!r}")
        return value

    @property
    def ebops(self) -> float:
        """EBOPs of the whole network."""
        return self.cost["ebops"]


class Tried(Section):
    """A candidate that the search tried, whether or not it is on the front."""

    id: CandidateId
    ebops: float
    accuracy_validation: float | None = None
    rmse_validation: float | None = None

    @property
    def score_validation(self) -> float:
        """Accuracy or RMSE on the validation split."""
        found = self.accuracy_validation if self.accuracy_validation is not None else self.rmse_validation
        if found is None:
            raise InputError(f"report: candidate {self.id} has neither accuracy_validation nor rmse_validation")
        return found


class DataSection(Section):
    """The events."""

    name: str
    task: Literal["classification", "regression"]
    features: tuple[str, ...]
    classes: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    """Names of the regression targets."""
    n_train: int
    n_validation: int
    n_test: int
    input_precision: str
    """Type of the firmware's inputs, for example ``ap_fixed<10,3>``."""


class ModelLayer(Section):
    """A layer of the float topology."""

    name: str
    inputs: int
    units: int
    activation: str
    batchnorm: bool = False


class ModelSection(Section):
    """The float topology that the study starts from."""

    architecture: str
    layers: tuple[ModelLayer, ...]

    @classmethod
    def of(cls, architecture: Architecture) -> Self:
        """Describe an architecture."""
        layers = tuple(
            ModelLayer(
                name=layer.name,
                inputs=architecture.shapes[layer.name][0],
                units=layer.units,
                activation=layer.activation,
                batchnorm=layer.batchnorm,
            )
            for layer in architecture.layers
        )
        return cls(architecture=str(architecture), layers=layers)


class SearchSection(Section):
    """What the search did."""

    strategy: str
    engine: str
    trials: int
    """Candidates trained."""
    wall_seconds: float
    cpu_seconds: float
    objectives: tuple[str, ...]


class BootstrapSection(Section):
    """What the error bars are: a central interval over replicas of the test events."""

    replicas: int
    coverage: float = 0.68


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
    reference: Reference = Field(validation_alias=AliasChoices("reference", "float"), serialization_alias="float")
    tried: tuple[Tried, ...]
    front: tuple[FrontEntry, ...] = Field(min_length=1)
    """Sorted by EBOPs."""
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

    @property
    def proven(self) -> int:
        """How many candidates of the front are bit-exact on every test event."""
        return sum(entry.parity is not None and entry.parity.proven for entry in self.front)

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
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
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


def front_columns(report: Report) -> list[str]:
    """Return the columns of front.csv: the score is the accuracy, for regression the rmse."""
    metric = report.metric
    scores = ["id", f"{metric}_validation", metric, f"{metric}_low", f"{metric}_high"]
    estimated = [name for name in CSYNTH_FIGURES if any(name in entry.cost.figures for entry in report.front)]
    return [*scores, *(["auc"] if metric == "accuracy" else []), *COST_COLUMNS, *estimated, "parity"]


def front_table(report: Report) -> list[dict[str, Any]]:
    """Return the rows of front.csv, one per candidate of the front, by rising EBOPs.

    Scores without ``_validation`` are those of the firmware's outputs on the test split, with the bounds of their
    bootstrap interval; `parity` is the fraction of test events that are bit-exact, None where no firmware was built.
    """
    rows = []
    columns = front_columns(report)
    for entry in report.front:
        score, figures = entry.score, entry.cost.figures
        values = [entry.id, entry.score_validation, score.value, score.low, score.high]
        values += [entry.auc] if report.metric == "accuracy" else []
        values += [_whole(entry.cost[name]) for name in COST_COLUMNS]
        values += [_whole(figures[name].value) if name in figures else None for name in CSYNTH_FIGURES if name in columns]
        values.append(None if entry.parity is None else entry.parity.fraction)
        rows.append(dict(zip(columns, values, strict=True)))
    return rows


def _whole(value: float) -> float | int:
    """Write counts without a decimal point."""
    return int(value) if float(value).is_integer() else value


def write_front_csv(report: Report, path: Path) -> None:
    """Write front.csv: a header and the rows of `front_table`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, front_columns(report), lineterminator="\n")
    writer.writeheader()
    writer.writerows(front_table(report))
    write_text(path, text.getvalue())
