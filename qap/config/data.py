"""The section of the data: which events, which columns, how they are split and scaled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from qap.config.fields import MAX_BITS, AboveZero, Bits, Fraction, Positive, Section


def _names(value: Any) -> Any:
    """Take one name for a list of one."""
    return [value] if isinstance(value, str) else value


def _names_of_each(value: Any) -> Any:
    return {key: _names(entry) for key, entry in value.items()} if isinstance(value, Mapping) else value


Names = Annotated[list[str], BeforeValidator(_names), Field(min_length=1)]


Scaling = (
    Literal["standard", "unit", "lsb"]
    | AboveZero
    | Annotated[list[AboveZero], Field(min_length=1)]
    | Annotated[dict[str, AboveZero], Field(min_length=1)]
)


class Grid(Section):
    """Fixed-point type of a tensor; integer bits leave the sign out, as in ``quantized_bits``."""

    bits: Bits = 10
    """All bits, sign included."""
    integer: Annotated[int, Field(ge=0, le=MAX_BITS - 1)] = 2
    """Bits above the binary point, sign left out."""

    @model_validator(mode="after")
    def _fits(self) -> Grid:
        if self.bits < 2 or self.integer > self.bits - 1:
            raise ValueError(f"expected 2 bits or more and integer bits up to bits − 1, received {self.bits},{self.integer}")
        return self


class Data(Section):
    """Which events, how they are split and scaled, and the grid that the scaled features are rounded to."""

    name: str = "jets"
    """`jets` (embedded), `mnist`, `digits`, `hls4ml_lhc_jets_hlf` (OpenML), or a file: .root, .h5, .parquet, .npz, .csv, .tsv;
    `*` and `?` stand for several files."""
    files: Annotated[dict[str, Names], BeforeValidator(_names_of_each)] | None = None
    """Class → its file or files, where each class has its own; `name` is then only the data's name."""
    tree: str | None = None
    """The TTree of a ROOT file, the group or dataset of an HDF5 file (None: the only one)."""
    columns: Names | None = None
    """Features: names, patterns (`jet_*`), elements of arrays (`jet_pt[0]`, `jet_pt[:4]`); None: every column without a role."""
    padding: float = 0.0
    """What an element has that a jagged array is too short for."""
    cut: str | None = None
    """Keep the events for which this holds: ``jet_pt > 20 & abs(jet_eta) < 2.4``."""
    label: str | None = None
    """Column of class numbers or names."""
    labels: dict[str, str | int] | None = None
    """Class → its one-hot column; with `label`: class → its value there."""
    targets: Names | None = None
    """Columns of the targets: regression."""
    weight: str | None = None
    """Column of event weights."""
    lsb: dict[str, AboveZero] = {}
    """Columns of hardware integers: physical value = integer × LSB."""
    split_column: str | None = None
    """Column that says which part an event belongs to: train, validation, test or 0, 1, 2; without a validation part the
    first two fractions of `split` divide the training events."""
    cache: str | None = None
    """Folder in which OpenML's file is kept (None: scikit-learn's)."""
    classes: Names | None = None
    """Keep only events of these classes; a network never sees the others (None: all)."""
    weighted: bool = True
    """False: every event counts alike, whatever weights the data have."""
    signal: Annotated[int, Field(ge=0)] | str | None = None
    """Name or number (from 0) of a class to tell from all others: two classes, two outputs."""
    reconstruct: bool = False
    """The targets are the network's own inputs, scaled and on the grid: an autoencoder."""
    score_of: Annotated[str, Field(min_length=1)] | None = None
    """A trained autoencoder, as .keras file or as the directory of its study (then its float network): the target is the
    logarithm of its reconstruction error, one number for each event."""
    train_events: Positive | None = None
    """Use only the first so many training events (None: all)."""
    split: list[Fraction] = [0.7, 0.1, 0.2]
    """Fractions for training, validation and test."""
    split_seed: int = 42
    """Of the draw of the split."""
    scale: Scaling = "standard"
    """`standard`ise; `unit`: divide by one power of two, into (-1, 1); `lsb`: hardware integers shifted, exact on the grid; or
    divide by a number, one for each feature, or one for each name or pattern (the first that fits counts)."""
    input: Grid = Grid()

    @model_validator(mode="after")
    def _split_sums_to_one(self) -> Data:
        if len(self.split) != 3 or abs(sum(self.split) - 1) > 1e-9 or min(self.split) <= 0:
            raise ValueError(f"split: expected three fractions above 0 that add up to 1, received {self.split}")
        return self

    @model_validator(mode="after")
    def _has_one_kind_of_answer(self) -> Data:
        answers = [key for key in ("files", "label", "labels", "targets") if getattr(self, key) is not None]
        if len(answers) > 1 and answers != ["label", "labels"]:
            raise ValueError(f"expected one of files, label, labels, targets, received {', '.join(answers)}")
        if self.files is not None and len(self.files) < 2 and not self.self_supervised:
            raise ValueError(f"files: expected two classes or more, received {len(self.files)}")
        if self.files is not None and self.name == "jets":
            raise ValueError("name: give the data of `files` a name of its own")
        if self.labels is not None and len(self.labels) < 2:
            raise ValueError(f"labels: expected two classes or more, received {len(self.labels)}")
        if self.labels is not None and self.label is None and not all(isinstance(one, str) for one in self.labels.values()):
            raise ValueError("labels: expected a one-hot column for each class, or label, the column that holds these values")
        if self.scale == "lsb" and not self.lsb:
            raise ValueError("scale: lsb needs the LSB of each column in data.lsb")
        return self

    @property
    def self_supervised(self) -> bool:
        """Whether the targets are made of the inputs: neither labels nor targets are needed."""
        return self.reconstruct or self.score_of is not None

    @model_validator(mode="after")
    def _makes_one_kind_of_target(self) -> Data:
        if self.reconstruct and self.score_of is not None:
            raise ValueError("expected one of reconstruct and score_of, received both")
        made = "reconstruct" if self.reconstruct else "score_of"
        for key in ("targets", "signal"):
            if self.self_supervised and getattr(self, key) is not None:
                raise ValueError(f"{made} makes the targets from the inputs: leave {key} out")
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            raise ValueError(f"classes: expected each class once, received {', '.join(self.classes)}")
        return self
