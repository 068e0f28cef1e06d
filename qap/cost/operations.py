"""Operation counts of an HLS project: what its own C++ computes for one inference, by kind and width (tier T0)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from qap.cost.hls_project import HLSProject, HLSType, Layer, read_project
from qap.cost.instrument import NotCountedError, Row, count, input_widths
from qap.digits import significant_bits
from qap.errors import InputError

KINDS = {"*": "multiplication", "/": "division", "+": "addition", "-": "subtraction", "<": "comparison", "=": "cast"}
LIVE = ("constant", "variable")
REAL_EVENTS, RANDOM_EVENTS = 2, 1
TIMEOUT = 600.0
"""Seconds that the compiler may take, and again each of the two runs."""


@dataclass(frozen=True, slots=True)
class Operation:
    """Operations of one kind and one pair of widths.

    Parameters
    ----------
    kind : {'multiplication', 'division', 'addition', 'subtraction', 'comparison', 'cast'}
    what : str
        Multiplications and divisions: ``zero``, ``power_of_two`` or ``general``, by the constant operand, or ``variable``
        for two values of the network. The others: ``constant`` (one operand is one), ``variable``, or ``zero``: adding a
        constant zero, which is no operation.
    a, b : int
        Declared bits of the operands; of a comparison with a constant 0 for the constant; of a cast from and to.
    rounded, saturated : int
        Of a cast: fractional bits that a rounding mode looks at, leading bits that a saturation looks at.
    count : int
        Per inference.
    """

    kind: str
    what: str
    a: int
    b: int
    rounded: int
    saturated: int
    count: int


@dataclass(frozen=True)
class LayerOperations:
    """The operations of one nnet:: call.

    Parameters
    ----------
    name, kind, strategy, reuse_factor
        As in `Layer`.
    operations : tuple of Operation
        Per inference; what is computed from constants alone is left out.
    distinct : int
        Different general constants.
    ebops : float
        Σ over multiplications of b(w)·b(x), b(w) the digits of the constant between its highest and lowest set bit, b(x)
        the declared bits without the sign; of two variables both declared.
    bops : float
        Σ over multiplications, those by zero included, of the product of the declared bits.
    applications : int
        How often the kernel is applied per inference: output positions of a convolution.
    multipliers : int or None
        Multiplier instances: with reuse factor 1 the general and variable products of one application, above it all
        products divided by it (a multiplier that is shared cannot be left out for a zero), times the positions that are
        computed at a time. None where the project does not say how many these are.
    iterations : int or None
        Trips of the loop over positions, where there is one: partitions of a convolution with io_parallel, pixels with
        io_stream. The initiation interval is at least this times the reuse factor.
    """

    name: str
    kind: str
    strategy: str | None
    reuse_factor: int
    operations: tuple[Operation, ...]
    distinct: int
    ebops: float
    bops: float
    applications: int
    multipliers: int | None
    iterations: int | None

    def number(self, *kinds: str, what: Iterable[str] = ()) -> int:
        """Return the number of operations of these kinds, and of these classes where given."""
        classes = tuple(what)
        return sum(one.count for one in self.operations if one.kind in kinds and (not classes or one.what in classes))

    def totals(self) -> dict[str, float]:
        """Return the numbers by name; additions hold the subtractions, without those of a constant zero."""
        products = {
            f"multiplications_{what}": self.number("multiplication", what=(what,))
            for what in ("zero", "power_of_two", "general", "variable")
        }
        casts = [one for one in self.operations if one.kind == "cast"]
        return {
            "multiplications": self.number("multiplication"),
            **products,
            "divisions": self.number("division"),
            "additions": self.number("addition", "subtraction", what=LIVE),
            "comparisons": self.number("comparison"),
            "casts": sum(one.count for one in casts),
            "casts_rounding": sum(one.count for one in casts if one.rounded),
            "casts_saturating": sum(one.count for one in casts if one.saturated),
            "distinct_constants": self.distinct,
            "ebops": self.ebops,
            "bops": self.bops,
        }


@dataclass(frozen=True)
class Operations:
    """The operations of a project per inference.

    Parameters
    ----------
    directory : Path
    counted : {'C-simulation', 'weights and types'}
    reason : str
        Why it is not the C-simulation; '' where it is.
    inputs : str
        What the C-simulation was given.
    remarks : tuple of str
        What the reader should know: files that were lent, layers that are not counted.
    layers : tuple of LayerOperations
        In the order of the calls.
    """

    directory: Path
    counted: str
    reason: str
    inputs: str
    remarks: tuple[str, ...]
    layers: tuple[LayerOperations, ...]

    def totals(self) -> dict[str, float]:
        """Return the sums over the layers, by name."""
        layers = [layer.totals() for layer in self.layers]
        return {name: sum(layer[name] for layer in layers) for name in layers[0]} if layers else {}

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form, totals included."""
        return {
            "directory": str(self.directory),
            "counted": self.counted,
            "reason": self.reason,
            "inputs": self.inputs,
            "remarks": list(self.remarks),
            "totals": self.totals(),
            "layers": [{**asdict(layer), "totals": layer.totals()} for layer in self.layers],
        }


def fixed(values: np.ndarray, kind: HLSType) -> np.ndarray:
    """Return numbers as a fixed-point type holds them, by its rounding and overflow modes, as integers of its step.

    Parameters
    ----------
    values : array
    kind : HLSType
        Up to 53 bits.

    Returns
    -------
    int64 array
    """
    scaled = np.ldexp(np.asarray(values, np.float64), kind.fractional)
    half = {"AP_RND": np.floor(scaled + 0.5), "AP_RND_CONV": np.rint(scaled), "AP_TRN_ZERO": np.trunc(scaled)}
    half["AP_RND_MIN_INF"] = np.ceil(scaled - 0.5)
    half["AP_RND_INF"] = np.trunc(scaled + np.copysign(0.5, scaled))
    half["AP_RND_ZERO"] = np.copysign(np.ceil(np.abs(scaled) - 0.5), scaled)
    whole = half.get(kind.rounding, np.floor(scaled)).astype(np.int64)
    low, high = (-(1 << (kind.bits - 1)), (1 << (kind.bits - 1)) - 1) if kind.signed else (0, (1 << kind.bits) - 1)
    if kind.overflow == "AP_SAT_ZERO":
        return np.where((whole < low) | (whole > high), 0, whole)
    if kind.overflow in ("AP_SAT", "AP_SAT_SYM"):
        return np.clip(whole, -high if kind.overflow == "AP_SAT_SYM" and kind.signed else low, high)
    return (whole - low) % (1 << kind.bits) + low


def _parallel(project: HLSProject, layer: Layer) -> tuple[int | None, int | None]:
    """Return the positions that are computed at a time, and the trips of the loop over them."""
    sizes = layer.sizes
    positioned = "conv_" in layer.kind or "pooling" in layer.kind
    if project.io_type == "io_stream":
        trips = sizes["in_width"] * sizes.get("in_height", 1) if positioned and "in_width" in sizes else None
        return 1, trips
    if layer.kind == "normalize" or not positioned:
        return layer.repeats, None
    partitions = sizes.get("n_partitions")
    return (None, None) if partitions is None else (max(layer.repeats // max(partitions, 1), 1), partitions)


def _multipliers(project: HLSProject, layer: Layer, operations: Iterable[Operation]) -> int | None:
    parallel, _ = _parallel(project, layer)
    if layer.kernel is None or layer.weight is None:
        products = [one for one in operations if one.kind == "multiplication"]
        needed = sum(one.count for one in products if layer.reuse_factor > 1 or one.what in ("general", "variable"))
        return math.ceil(needed / layer.reuse_factor)
    if parallel is None:
        return None
    digits = significant_bits(fixed(layer.kernel, layer.weight).astype(np.float64), 0)
    one = int((digits > 1).sum()) if layer.reuse_factor == 1 else math.ceil(layer.kernel.size / layer.reuse_factor)
    return one * parallel


def _assemble(project: HLSProject, layer: Layer, rows: Iterable[Row]) -> LayerOperations:
    rows = list(rows)
    operations = tuple(
        Operation(KINDS[row.kind], row.what, row.a, row.b, row.rounded, row.saturated, row.count)
        for row in rows
        if row.kind in KINDS and row.what != "folded"
    )
    products = [row for row in rows if row.kind == "*" and row.what != "folded"]
    return LayerOperations(
        layer.name, layer.kind, layer.strategy, layer.reuse_factor, operations,
        sum(row.count for row in rows if row.kind == "d"), sum(row.ebops for row in products),
        sum(row.bops for row in products), layer.repeats, _multipliers(project, layer, operations), _parallel(project, layer)[1],
    )  # fmt: skip


def _cast(what: str, source: HLSType, target: HLSType, number: int) -> Row:
    """Return the row of casts between two types."""
    lost = source.fractional - target.fractional
    top = (source.integer - source.signed) - (target.integer - target.signed)
    down = source.signed and not target.signed
    symmetric = target.overflow == "AP_SAT_SYM" and target.signed
    saturates = target.overflow != "AP_WRAP" and (top > 0 or down or symmetric)
    rounded = lost if target.rounding != "AP_TRN" and lost > 0 else 0
    return Row(0, "=", what, source.bits, target.bits, rounded, max(top, 0) + down if saturates else 0, number, 0.0, 0.0)


def _kernel_rows(layer: Layer, kernel: np.ndarray, weight: HLSType, inputs: HLSType) -> list[Row]:
    """Count a matrix multiplication from its constants: products, sums in the accumulator, casts of products and results."""
    whole = fixed(kernel, weight)
    digits = significant_bits(whole.astype(np.float64), 0)
    x_bits, times = max(inputs.bits - inputs.signed, 1), layer.repeats
    rows = []
    for what, mask in (("zero", digits == 0), ("power_of_two", digits == 1), ("general", digits > 1)):
        if mask.any():
            number = int(mask.sum()) * times
            ebops, bops = float(digits[mask].sum()) * x_bits * times, float(number * inputs.bits * weight.bits)
            rows.append(Row(0, "*", what, inputs.bits, weight.bits, 0, 0, number, ebops, bops))
    rows.append(Row(0, "d", "general", 0, 0, 0, 0, len(np.unique(whole[digits > 1])), 0.0, 0.0))
    accum = layer.accum or layer.result or inputs
    bias = layer.bias_values if layer.bias_values is not None else np.zeros(kernel.shape[1])
    biased = (fixed(bias, layer.bias) if layer.bias else bias) != 0
    fan_in = (digits > 0).sum(axis=0)
    variable, constant = int(np.maximum(fan_in - 1, 0).sum()) * times, int((biased & (fan_in > 0)).sum()) * times
    rows += [Row(0, "+", "variable", accum.bits, accum.bits, 0, 0, variable, 0.0, 0.0)] if variable else []
    rows += [Row(0, "+", "constant", accum.bits, accum.bits, 0, 0, constant, 0.0, 0.0)] if constant else []
    fractional = inputs.fractional + weight.fractional
    product = HLSType(inputs.signed or weight.signed, inputs.bits + weight.bits, inputs.bits + weight.bits - fractional)
    rows += [_cast("variable", product, accum, int(fan_in.sum()) * times)] if fan_in.any() and product != accum else []
    results = int((fan_in > 0).sum()) * times
    if layer.result and layer.result != accum and results:
        rows.append(_cast("variable", accum, layer.result, results))
    return rows


def _static(project: HLSProject) -> tuple[list[LayerOperations], list[str]]:
    """Count from weights and types what they tell; return also the remarks on what they do not."""
    layers, missing = [], []
    for layer in project.layers:
        rows: list[Row] = []
        if layer.kernel is not None and layer.weight is not None and layer.inputs is not None:
            rows = _kernel_rows(layer, layer.kernel, layer.weight, layer.inputs)
        elif layer.kind == "relu" and layer.inputs and layer.result and "n_in" in layer.sizes:
            number = layer.sizes["n_in"]
            rows = [Row(0, "<", "constant", layer.inputs.bits, 0, 0, 0, number, 0.0, 0.0)]
            rows += [_cast("variable", layer.inputs, layer.result, number)] if layer.inputs != layer.result else []
        else:
            missing.append(f"{layer.name} (nnet::{layer.kind})")
        layers.append(_assemble(project, layer, rows))
    return layers, [f"not counted, their operations are not seen in weights and types: {', '.join(missing)}"] if missing else []


def _random(project: HLSProject, widths: Mapping[str, int], events: int, seed: int) -> np.ndarray:
    """Return events over the full range of the input types, on their grid."""
    rng, parts = np.random.default_rng(seed), []
    for port in project.ports:
        if port.name in widths and port.hls_type is not None:
            kind = port.hls_type
            low, high = (-(2.0 ** (kind.bits - 1)), 2.0 ** (kind.bits - 1)) if kind.signed else (0.0, 2.0**kind.bits)
            parts.append(np.ldexp(np.floor(rng.uniform(low, high, (events, widths[port.name]))), -kind.fractional))
    return np.concatenate(parts, axis=1)


def _given(x: Any, widths: Mapping[str, int]) -> np.ndarray:
    """Return the user's inputs as one array (events, numbers).

    Raises
    ------
    InputError
        Another number of inputs or of numbers per event, no events, NaN.
    """
    parts = [np.asarray(part, np.float64) for part in (x if isinstance(x, list | tuple) else [x])]
    if len(parts) == 1 and parts[0].ndim > 1 and parts[0][:1].size == sum(widths.values()):
        found = parts[0].reshape(len(parts[0]), -1)
    elif len(parts) != len(widths) or any(
        part.ndim < 2 or part[:1].size != size for part, size in zip(parts, widths.values(), strict=True)
    ):
        expected = ", ".join(f"{name} (events, {size})" for name, size in widths.items())
        raise InputError(f"inputs: expected {expected}, received {', '.join(str(part.shape) for part in parts)}")
    else:
        found = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
    if not len(found) or not np.isfinite(found).all():
        raise InputError("inputs: expected at least one event, and neither NaN nor infinity")
    return found


def _events(project: HLSProject, x: Any, widths: Mapping[str, int], seed: int) -> tuple[np.ndarray, str]:
    """Return the events that the C-simulation is given, and what they are."""
    file = project.directory / "tb_data" / "tb_input_features.dat"
    real, source = None, "the given inputs"
    if x is not None:
        real = _given(x, widths)
    elif file.is_file():
        try:
            rows = np.loadtxt(file, max_rows=REAL_EVENTS, ndmin=2)
        except ValueError:
            rows = np.zeros((0, 0))
        fits = rows.size and rows.shape[1] == sum(widths.values()) and np.isfinite(rows).all()
        real, source = (rows, "tb_data/tb_input_features.dat") if fits else (None, "")
    if real is None:
        number = REAL_EVENTS + RANDOM_EVENTS
        unfit = ", tb_data/tb_input_features.dat does not fit the inputs" if file.is_file() else ""
        return _random(project, widths, number, seed), f"{number} full-range random events (seed {seed}){unfit}"
    real = real[:REAL_EVENTS]
    said = f"{len(real)} events of {source}, {RANDOM_EVENTS} full-range random (seed {seed})"
    return np.concatenate([real, _random(project, widths, RANDOM_EVENTS, seed)]), said


def count_operations(directory: Path | HLSProject, x: Any = None, *, seed: int = 0, timeout: float = TIMEOUT) -> Operations:
    """Count the operations of a project for one inference.

    The project's own C++ is compiled, in a temporary directory, against fixed-point types that note every operation: an
    operand is a constant where it does not depend on the network's inputs. Both sides of every branch on such values are
    run, so that the counts do not depend on which inputs are given; these only tell values out of tables from constants.

    Parameters
    ----------
    directory : path or HLSProject
        An hls4ml project for Vitis or Vivado.
    x : array (events, …), or a list of one per input, optional
        By default the project's tb_data/tb_input_features.dat, else random over the full range of the input types.
    seed : int, default 0
        Of the random events.
    timeout : float
        Seconds for the compiler, and again for each of the two runs.

    Returns
    -------
    Operations
        ``counted`` says 'weights and types', and ``reason`` why, where the project cannot be compiled or run.

    Raises
    ------
    InputError
        Not a project that can be read, inputs that do not fit.
    """
    project = directory if isinstance(directory, HLSProject) else read_project(Path(directory))
    try:
        widths = input_widths(project)
        events, said = _events(project, x, widths, seed)
        counted = count(project, events, timeout=timeout)
    except NotCountedError as error:
        layers, remarks = _static(project)
        return Operations(project.directory, "weights and types", str(error), "none", tuple(remarks), tuple(layers))
    rows: dict[int, list[Row]] = {}
    for row in counted.rows:
        rows.setdefault(row.layer, []).append(replace(row, layer=0))
    layers = [_assemble(project, layer, rows.get(number, ())) for number, layer in enumerate(project.layers)]
    remarks = [counted.lent] if counted.lent else []
    return Operations(project.directory, "C-simulation", "", said, tuple(remarks), tuple(layers))
