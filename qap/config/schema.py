"""The sections of a study file and their defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from qap.config.comparison import Compare
from qap.config.data import Data
from qap.config.fields import (
    MAX_BITS,
    AboveZero,
    Bits,
    Criterion,
    Fraction,
    GranularityText,
    Positive,
    Section,
    Sparsity,
    WeightBits,
)
from qap.config.model import Model

CSYNTH_FIGURES = ("LUT", "FF", "DSP", "BRAM_18K", "II", "latency_cycles", "latency_ns")
"""Figures of cost that are estimated; the others are counted."""


def _as_list(value: Any) -> Any:
    """Take a single value for a list of one: `weight_bits: 6` fixes the bits."""
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else value


BitChoices = Annotated[list[Bits], BeforeValidator(_as_list), Field(min_length=1)]
WeightBitChoices = Annotated[list[WeightBits], BeforeValidator(_as_list), Field(min_length=1)]
SparsityChoices = Annotated[list[Sparsity], BeforeValidator(_as_list), Field(min_length=1)]
UnitChoices = Annotated[list[Positive], BeforeValidator(_as_list), Field(min_length=1)]


Score = Literal["accuracy", "auc", "auc_worst", "signal_efficiency", "rmse", "resolution"]
CostFigure = Literal[
    "ebops", "ebops_traced", "bops", "weight_memory_bits", "LUT", "FF", "DSP", "BRAM_18K", "II", "latency_cycles", "latency_ns"
]  # fmt: skip


class Train(Section):
    """How the float parent and the candidates are trained."""

    engine: Literal["population", "keras"] = "population"
    """`population` trains many candidates by one compiled program; what it does not cover goes to `keras`, the reference."""
    batch: Positive = 1024
    """Events of a training step."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-3
    """Of Adam, at the beginning."""
    decay: Literal["constant", "cosine"] = "cosine"
    """Learning rate over the candidate's steps: constant, or cosine down to 0."""
    parent_epochs: Positive = 20
    """Epochs of the float parent."""
    epochs: Positive = 4
    """Epochs of quantization-aware pruning for each candidate, from the float parent."""


class Schedule(Section):
    """When pruning acts, as fractions of the training steps; masks are renewed every `frequency` steps."""

    schedule: Literal["constant", "polynomial", "cosine"] = "polynomial"
    """How the sparsity rises ([formulas](methods.md#prune))."""
    begin: Fraction = 0.0
    """Where pruning begins, as a fraction of the training."""
    end: Fraction = 0.5
    """Where the sparsity is reached."""
    frequency: Positive = 16
    """Steps between two renewals of a mask."""

    @model_validator(mode="after")
    def _ordered(self) -> Schedule:
        if self.begin >= self.end:
            raise ValueError(f"expected begin below end, received {self.begin} and {self.end}")
        return self


class Prune(Schedule):
    """The pruning schedule of all layers, and of single layers where they differ; how the weights to go are chosen."""

    layers: dict[str, Schedule] = {}
    """Layers whose schedule differs."""
    criterion: Criterion = "magnitude"
    """Importance of a weight. Magnitudes of single weights go by TF-MOT's schedule, all else is renewed `rounds` times."""
    rounds: Positive = 4
    """Renewals of the masks between begin and end where TF-MOT does not do them; rounds of iterative pruning."""
    rewind: Fraction = 0.05
    """Lottery ticket: the survivors go back to their values at this part of the first training."""


class PTQ(Section):
    """How post-training quantization finds ranges."""

    events: Annotated[int, Field(ge=2)] = 4096
    """Training events to calibrate with."""
    range: Literal["mse", "percentile"] = "mse"
    """Power-of-two range with the smallest mean squared error, or the smallest one that holds `percentile` of the values."""
    percentile: Annotated[float, Field(gt=50, le=100)] = 99.9
    """Per cent of the magnitudes that the range holds."""


class LowRank(Section):
    """Dense kernels as products of two thinner ones."""

    rank: Annotated[float, Field(gt=0, le=1)] = 0.4
    """Rank as a fraction of the largest that a hidden layer's kernel has; kernels that would not get smaller stay."""


class Cluster(Section):
    """Weight clustering by TF-MOT."""

    values: Annotated[int, Field(ge=2)] = 16
    """Distinct values of a kernel."""


Teacher = Literal["parent"] | Annotated[str, Field(pattern=r".\.keras$")] | Annotated[list[Positive], Field(min_length=1)]


class Distill(Section):
    """Knowledge distillation: the students of the methods ``distill`` and ``distill+…`` learn from frozen teachers."""

    teachers: Annotated[list[Teacher], Field(min_length=1)] = ["parent"]
    """The student's own float parent, a .keras file, or hidden widths of a network to train; of several the mean counts."""
    seeds: Positive = 1
    """Networks that are trained for each teacher that is given by its widths."""
    temperature: Annotated[float, Field(gt=0)] = 3.0
    """T: softens the outputs of teacher and student ([formula](methods.md#distill))."""
    alpha: Fraction = 0.5
    """Share of the soft loss."""
    features: str | None = None
    """Hidden layer whose values are to match those of the first teacher's layer of that name (None: outputs only)."""
    feature_weight: Annotated[float, Field(gt=0)] = 1.0
    """Weight of the term for `features` in the loss."""


class LayerSpace(Section):
    """What the search may choose for one layer; a single value fixes it."""

    weight_bits: WeightBitChoices | None = None
    """Bits of the weights, sign included."""
    activation_bits: BitChoices | None = None
    """Bits of the hidden activations."""
    sparsity: SparsityChoices | None = None
    """Fractions of the weights that the mask removes."""
    units: UnitChoices | None = None
    """Units of the layer."""


class Space(Section):
    """What the search may choose; a single value fixes it, `tie` makes all layers share one choice."""

    weight_bits: WeightBitChoices = [2, 3, 4, 5, 6, 7, 8]
    """Bits of the weights, sign included."""
    activation_bits: BitChoices = [2, 3, 4, 5, 6, 7, 8]
    """Bits of the hidden activations."""
    sparsity: SparsityChoices = [0.0, 0.3, 0.5, 0.7, 0.8, 0.9]
    """Fractions of the weights that the mask removes."""
    weight_integer: Annotated[int, Field(ge=0, le=MAX_BITS - 1)] | Literal["auto"] = "auto"
    """Integer bits of the weights; `auto` takes those with the smallest squared error on the parent's weights."""
    activation_integer: Annotated[int, Field(ge=0, le=MAX_BITS - 1)] | Literal["auto"] = "auto"
    """Integer bits of the activations; `auto` takes those with the smallest squared error on training events."""
    granularity: GranularityText = "weight"
    """What pruning removes as one in every layer: weight, 2:4, block(4,1), dsp(4)."""
    bias_bits: Bits | Literal["auto"] = "auto"
    """Bits of the biases; `auto` takes the accumulator's grid, so that a bias is never coarser than a product."""
    units: UnitChoices | None = None
    """Units of the hidden layers (None: as in the section `model`)."""
    depth: UnitChoices | None = None
    """Numbers of hidden layers, taken from the front of the model's (None: all)."""
    tie: list[Literal["weight_bits", "activation_bits", "sparsity", "units"]] = []
    """Settings that all layers share."""
    layers: dict[str, LayerSpace] = {}
    """Layers whose choices differ."""


class Hybrid(Section):
    """The strategy `hybrid`: children inherit weights and are fine-tuned shortly, survivors are trained on."""

    inherit: bool = True
    """Start from the nearest trained candidate (false: from the float parent, with `train.epochs`)."""
    fine_tune: Annotated[float, Field(gt=0)] = 0.5
    """Epochs of a child."""
    every: Positive = 4
    """Generations until the front is trained on."""
    rungs: Annotated[int, Field(ge=0)] = 2
    """How often a candidate is trained on, each time twice as long; 0 turns it off."""
    allocations: Annotated[int, Field(ge=0)] = 64
    """Plans of the strategy `allocation` (integer programming) that are trained first, at most a quarter of `trials`."""
    supernet_epochs: Annotated[float, Field(ge=0)] = 0.0
    """Epochs of training weights that all plans share, on which plans are judged without training; 0 turns it off."""
    supernet_plans: Annotated[int, Field(ge=2)] = 512
    """Plans judged on them."""


class Ramp(Section):
    """The strategy `ramp`: from the float parent to the smallest useful circuit, digit by digit; a trial is an epoch."""

    trajectories: Positive = 1
    """Ways down, one after the other, that share the budget."""
    smallest: Annotated[float, Field(gt=0, lt=0.1)] = 4e-4
    """Where a trajectory ends: the part of its first circuit's cost."""
    cost: Literal["ebops_traced", "ebops", "LUT", "da4ml"] = "ebops_traced"
    """What falls along a trajectory."""
    learning_rate: AboveZero = 0.005
    """Falls to a fourteenth along a trajectory."""
    distill: Fraction = 0.5
    """Share of the soft loss, the float parent being the teacher; 0 turns it off."""
    temperature: AboveZero = 1.0
    """T of that loss."""
    regrow: bool = True
    """Let digits come back that gain more than those lose that must go for them."""
    tie_free: bool = False
    """Give each bias a last digit that is always set, below the accumulator's: nothing is left to round half to even."""
    polish: Annotated[float, Field(ge=0, lt=1)] = 0.15
    """Part of the budget, at its end, in which members of the front are trained on."""


class Signal(Section):
    """The working point of the objective `signal_efficiency`."""

    class_: Annotated[int, Field(ge=0)] | str | None = Field(default=None, alias="class")
    """Name or number (from 0) of the signal class against all others; null: the mean over the classes."""
    background_efficiency: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Fraction of the background that may pass."""


class Search(Section):
    """How plans are chosen and when the search ends."""

    strategy: Literal["hybrid", "ramp", "allocation", "grid", "random", "nsga2", "tpe"] = "hybrid"
    """`ramp`: digits of single weights, in circuits for distributed arithmetic. `allocation`: plans from an integer program over
    what single layers suffer, the baseline that a search must beat."""
    objectives: list[Score | CostFigure] = ["accuracy", "ebops"]
    """What the front is chosen by ([searching](search.md#objectives-and-constraints))."""
    signal: Signal = Signal()
    constraints: dict[CostFigure | Literal["accuracy_drop"], Annotated[float, Field(ge=0)]] = {}
    """The most that a candidate of the front may have; `accuracy_drop` is how far below the float parent, on validation."""
    keep_timing: bool = False
    """Keep only candidates whose estimated interval and latency keep the budget of the section `timing`."""
    trials: Positive | None = 300
    """Budget in trainings of candidates."""
    seconds: Annotated[float, Field(gt=0)] | None = None
    """Budget in seconds; with both budgets the search ends at whichever is reached first."""
    clock: Literal["wall", "cpu"] = "wall"
    """What counts the seconds: the clock, or the CPU time of all threads, which a busy machine does not shorten."""
    population: Annotated[int, Field(ge=2)] = 32
    """Candidates that are trained together, and the population of hybrid and nsga2."""
    window: Annotated[int, Field(ge=2)] | None = None
    """Trainings under way at most, a new one begun whenever the oldest is told: no generation waits for its last member. At least
    twice the workers (null: generations)."""
    candidate_seconds: AboveZero | None = None
    """The most that the training of one candidate may take on a worker; one that takes longer is dropped (null: no limit)."""
    anchors: bool = True
    """Begin hybrid, nsga2 and tpe with uniform plans from the coarsest to the finest."""
    holdback: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Fraction of the validation split that the search never sees: its winners are scored on it again (0: none)."""
    final_epochs: Annotated[float, Field(ge=0)] = 0.0
    """Epochs of quantization-aware pruning by the keras engine for the front, at the end (0: none)."""
    hybrid: Hybrid = Hybrid()
    ramp: Ramp = Ramp()
    space: Space = Space()

    @model_validator(mode="after")
    def _has_budget_and_objectives(self) -> Search:
        if self.trials is None and self.seconds is None:
            raise ValueError("expected a budget: trials (candidates) or seconds")
        if len(self.objectives) < 2 or len(set(self.objectives)) != len(self.objectives):
            raise ValueError(f"objectives: expected two or more different ones, received {self.objectives}")
        return self


class Firmware(Section):
    """Conversion by hls4ml, under hls4ml's keys, and the RTL route."""

    Backend: Literal["Vitis", "Vivado"] = "Vitis"
    """Vitis: Vitis HLS 2022.2 or later; Vivado: Vivado HLS 2019.2 or 2020.1."""
    Part: str = Field(default="xcvu13p-flga2577-2-e", pattern=r"^[A-Za-z0-9._-]+$")
    """The FPGA, as the vendor's tools name it."""
    ClockPeriod: Annotated[float, Field(gt=0)] = 5.0
    """Nanoseconds."""
    IOType: Literal["io_parallel", "io_stream"] = "io_parallel"
    """`io_parallel`: all inputs at once; `io_stream`: one position after the other."""
    Strategy: Literal["Latency", "Resource", "distributed_arithmetic", "Unrolled"] = "Latency"
    """How HLS multiplies: see [glossary](glossary.md)."""
    ReuseFactor: Positive | dict[str, Positive] = 1
    """One for all layers, or by layer name with ``Model`` for the rest."""
    build: bool = True
    """False leaves the firmware, its C-simulation and parity out; the report then says that nothing is proven."""
    rtl: bool = False
    """Beside it the front as pipelined Verilog by distributed arithmetic, simulated on the whole test split."""
    adders_per_stage: Positive = 5
    """Adder levels between two registers of the Verilog at most."""
    synthesis: bool = False
    """Synthesise that Verilog by Yosys."""
    synthesis_seconds: AboveZero = 1800.0
    """The most that the synthesis of one design may take."""

    @model_validator(mode="after")
    def _has_rtl(self) -> Firmware:
        if self.synthesis and not self.rtl:
            raise ValueError("synthesis: what is synthesised is the RTL: set firmware.rtl=true too")
        return self


class Timing(Section):
    """What the trigger grants: how often an event comes, and how long the answer may take."""

    bunch_crossing_ns: Annotated[float, Field(gt=0)] = 25.0
    """Nanoseconds between bunch crossings."""
    time_multiplexing: Positive = 1
    """Copies of the firmware that take events in turn."""
    latency_ns: Annotated[float, Field(gt=0)] | None = None
    """Longest latency in nanoseconds (None: no limit)."""


class Estimates(Section):
    """What the csynth-equivalent figures are taken from."""

    reports: str | None = None
    """The lab's own reports, as `qap estimate --learn` stores them (None: the package's fits alone)."""


class Report(Section):
    """How the front is judged on the test split."""

    bootstrap: Annotated[int, Field(ge=2)] = 500
    """Replicas for the error bars."""


class Study(Section):
    """A whole study file."""

    name: str = Field(default="study", pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]*$")
    """Of the study: in the report, and the directory's name by default."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """The one seed that all randomness comes from."""
    data: Data = Data()
    model: Model = Model()
    train: Train = Train()
    compress: Annotated[list[str], Field(min_length=1)] = ["qap"]
    """Methods one after another, for example [distill, qap]; ``distill+qap`` does both in one pass."""
    prune: Prune = Prune()
    ptq: PTQ = PTQ()
    low_rank: LowRank = LowRank()
    cluster: Cluster = Cluster()
    distill: Distill = Distill()
    search: Search = Search()
    firmware: Firmware = Firmware()
    timing: Timing = Timing()
    estimates: Estimates = Estimates()
    report: Report = Report()
    compare: Compare = Compare()
