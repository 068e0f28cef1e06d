"""The rows of a comparison: which chain, which plan."""

from __future__ import annotations

from dataclasses import dataclass, replace

from qap.compress.pipeline import Chain, parse_chain, quantizes
from qap.compress.ranges import Calibration
from qap.config.comparison import Entry
from qap.config.schema import Space
from qap.config.schema import Study as Config
from qap.datasets.dataset import Dataset
from qap.errors import InputError
from qap.granularity import Granularity
from qap.models.architecture import OUTPUT, Architecture
from qap.plan import LayerPlan, Plan
from qap.precision import Precision
from qap.search.space import PlanSpace

EXPORTS = {"tflite-dynamic": "dynamic", "tflite-int8": "int8"}
"""Last words of a chain that are exports with metrics: no firmware, no parity."""


@dataclass(frozen=True)
class Row:
    """A method of the comparison.

    Parameters
    ----------
    name : str
    chain : Chain
    export : str or None
        Kind of TFLite model that the chain's float network becomes.
    entry : Entry
    """

    name: str
    chain: Chain
    export: str | None
    entry: Entry

    @property
    def quantized(self) -> bool:
        """True where the result is a QKeras model, which goes through the firmware gate."""
        return self.export is None and quantizes(self.chain)

    @property
    def prunes(self) -> bool:
        """True where the masks are to have the sparsities asked for."""
        return any(link.method.prunes for link in self.chain)


def parse_rows(config: Config) -> list[Row]:
    """Read the methods of the section `compare`.

    Raises
    ------
    InputError
        Methods, granularities or exports that do not exist or do not fit; the message names the row.
    """
    rows = []
    for name, entry in config.compare.methods.items():
        names = list(entry.compress)
        export = EXPORTS.get(names[-1])
        try:
            chain = parse_chain(names[:-1] if export else names)
            Granularity.parse(entry.granularity)
        except InputError as error:
            raise InputError(f"compare.methods.{name}: {error}") from None
        if export and quantizes(chain):
            raise InputError(f"compare.methods.{name}: {names[-1]} takes a float network: put train or prune before it")
        rows.append(Row(name, chain, export, entry))
    return rows


def base_plan(config: Config, data: Dataset, architecture: Architecture, calibration: Calibration) -> Plan:
    """Return the plan that all rows share: the bits of the section `compare`, integer bits from the float parent."""
    section, space = config.compare, config.search.space
    fixed = Space(
        weight_bits=[section.weight_bits], activation_bits=[section.activation_bits], sparsity=[section.sparsity],
        weight_integer=space.weight_integer, activation_integer=space.activation_integer, bias_bits=space.bias_bits,
    )  # fmt: skip
    inputs = Precision(data.input.bits, data.input.integer)
    return PlanSpace(fixed, config.model, architecture.inputs, data.outputs, inputs).plan({}, architecture, calibration)


def row_plan(row: Row, plan: Plan, sparsity: float) -> Plan:
    """Return the plan of a row: its sparsity and granularity where it prunes, none where it does not.

    Of structured granularities the output layer is left out, whose units are the network's outputs.
    """
    granularity = Granularity.parse(row.entry.granularity)
    wanted = sparsity if row.entry.sparsity is None else row.entry.sparsity
    if granularity.kind == "N:M" and row.entry.sparsity is None:
        wanted = granularity.numbers[0] / granularity.numbers[1]

    def own(name: str, layer: LayerPlan) -> LayerPlan:
        if not row.prunes or (granularity.structured and name == OUTPUT):
            return replace(layer, sparsity=0.0)
        return replace(layer, sparsity=wanted, granularity=granularity)

    return plan.map(own)
