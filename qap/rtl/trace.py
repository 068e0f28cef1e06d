"""A QKeras model as combinational logic: da4ml's adder graphs between casts that round as QKeras rounds.

The model is first lowered as for the C-simulation (`qap.firmware.lowering`): plain layers with the quantized weights, each
with its exact type. That keeps one reading of QKeras for both ways into hardware.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import localcontext
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np

from qap.errors import InputError
from qap.firmware.graph import Call, flatten
from qap.firmware.lowering import Lowered, features, lower
from qap.firmware.rules.normalisation import scale_shift
from qap.models.builders import Weights, quantize_weights
from qap.plan import InputPlan, Plan
from qap.precision import Precision
from qap.rtl.element import Element, Target, cast, drops_ties, element, exponent, total
from qap.rtl.solver import DIGITS, SOLVER, TIMEOUT, Solver
from qap.rtl.tools import da4ml

FINEST = -31
"""Exponent of the finest step that da4ml counts exactly."""
BUILT = (
    "InputLayer", "QDense", "Dense", "TimeDistributed", "QActivation", "Activation", "ReLU", "BatchNormalization",
    "Dropout", "Add", "Subtract", "Concatenate", "Flatten", "Reshape",
)  # fmt: skip
"""Layers with an RTL form."""
_TYPE = re.compile(r"^(u?)fixed<(\d+),(-?\d+)(?:,(\w+),(\w+))?>$")


@dataclass(frozen=True, eq=False)
class Traced:
    """A model as combinational logic.

    Parameters
    ----------
    logic : da4ml CombLogic
    inputs : tuple of Precision
        Type of each element of the flattened input.
    input_shape, output_shape : tuple of int
    ties : int
        Casts with logic that sends ties to even; the others cut off.
    lowered : Lowered
        What the C-simulation of the same model computes; decides the arithmetic of the QKeras side.
    """

    logic: Any
    inputs: tuple[Precision, ...]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    ties: int
    lowered: Lowered = field(repr=False)

    @property
    def cost(self) -> float:
        """da4ml's cost, about one LUT each."""
        return float(self.logic.cost)


def trace(
    model: Any,
    inputs: Precision | tuple[Precision, ...],
    *,
    solver: Mapping[str, Any] = SOLVER,
    digits: int = DIGITS,
    timeout: float = TIMEOUT,
) -> Traced:
    """Trace a model into combinational logic that gives QKeras's outputs bit for bit.

    Parameters
    ----------
    model : keras.Model
        Dense layers (QDense, Dense), quantizers, Add, Subtract, Concatenate, shapes; one input, one output.
    inputs : Precision, or one per feature
        Fixed-point type of the inputs.
    solver : mapping
        Options of ``da4ml.cmvm.solve``, for example ``{'hard_dc': 2}``.
    digits : int, default 30,000
        Signed digits of one layer's weights that are taken at most.
    timeout : float, default 600
        Seconds for da4ml's search of all layers.

    Returns
    -------
    Traced

    Raises
    ------
    InputError
        A layer without an RTL form, or one that the firmware refuses too; layer and class are named.
    ToolMissingError
        da4ml is not installed.
    QapError
        A layer with too many digits, or a design too large for the time given.
    """
    da4ml("trace")
    graph = flatten(model)
    for call in graph.calls:
        if type(call.layer).__name__ not in BUILT:
            raise InputError(
                f"{call.layer.name}: the RTL route does not build {type(call.layer).__name__}: it builds dense networks of "
                f"{', '.join(BUILT[1:])}"
            )
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise InputError(f"{model.name}: the RTL route builds one input and one output, received "
                         f"{len(graph.inputs)} and {len(graph.outputs)}")  # fmt: skip
    lowered = lower(model, inputs)
    with localcontext(prec=400):
        tracer = _Tracer(Solver(solver, digits, timeout), lowered.layers, lowered.types)
        return _run(tracer, lowered, inputs)


def trace_plan(
    plan: Plan,
    weights: Weights,
    inputs: Precision,
    *,
    solver: Mapping[str, Any] = SOLVER,
    digits: int = DIGITS,
    timeout: float = TIMEOUT,
) -> Any:
    """Trace Dense layers one after the other from their plan, without Keras: the same logic in a fraction of the time.

    Parameters
    ----------
    plan : Plan
    weights : mapping
        Latent weights by ``layer/kernel`` and ``layer/bias``.
    inputs, solver, digits, timeout
        As in `trace`.

    Returns
    -------
    da4ml CombLogic
        The one of ``trace(model, inputs)``.

    Raises
    ------
    InputError, ToolMissingError, QapError
        As `trace`.
    """
    quantized = quantize_weights(plan, weights)
    first = next(iter(plan))
    with localcontext(prec=400):
        tracer = _Tracer(Solver(solver, digits, timeout), {}, {})
        ports = tracer.ports([inputs] * len(quantized[f"{first}/kernel"]))
        row = _array([element(port) for port in ports], (len(ports),))
        if plan.inputs is not None:
            row = _rounded(tracer, row, plan.inputs)
        for name, layer in plan.items():
            items = tracer.matmul(name, row, quantized[f"{name}/kernel"], quantized[f"{name}/bias"])
            row = _array(items, (len(items),))
            if layer.activation is not None:
                kind = layer.activation
                row = tracer.cast(row, Target(kind.bits, kind.integer, bool(kind.sign_bits)))
        return tracer.logic(ports, row, "plan")


def _rounded(tracer: _Tracer, row: np.ndarray, inputs: InputPlan) -> np.ndarray:
    """Shift the features by the plan's exponents and round them, as `qap.models.builders.build` does."""
    if inputs.exponents:
        scale = np.diag(np.ldexp(1.0, -np.asarray(inputs.exponents)))
        items = tracer.matmul("inputs", row, scale, np.zeros(len(row)))
        row = _array(items, (len(items),))
    kind = inputs.precision
    return tracer.cast(row, Target(kind.bits, kind.integer, bool(kind.sign_bits)))


def _run(tracer: _Tracer, lowered: Lowered, inputs: Precision | tuple[Precision, ...]) -> Traced:
    """Walk through the lowered model layer by layer."""
    graph = flatten(lowered.model)
    (start,) = (call for call in graph.calls if call.name in graph.inputs)
    kinds = features(start.name, inputs, start.shape[-1]) * math.prod(start.shape[:-1])
    ports = tracer.ports(kinds)
    values = {start.name: _array([element(port) for port in ports], start.shape)}
    for call in graph.calls:
        if call is start:
            continue
        rule = _RULES.get(type(call.layer).__name__)
        if rule is None:
            raise InputError(f"{tracer.own(call.name)}: the RTL route does not build {type(call.layer).__name__}")
        result = rule(tracer, call, [values[name] for name in call.inputs])
        target = tracer.target(call.name)  # None: the type holds every value as it is
        values[call.name] = result if target is None else tracer.cast(result, target)
    last = values[graph.outputs[0]]
    logic = tracer.logic(ports, last, lowered.model.name)
    return Traced(logic, kinds, start.shape, last.shape, tracer.ties, lowered)


class _Tracer:
    """What the rules share: the search, the first port (which da4ml's constants copy), and the casts with ties."""

    def __init__(self, solver: Solver, layers: Mapping[str, str], types: Mapping[str, Mapping[str, str]]) -> None:
        self.solver, self.layers, self.types = solver, layers, types
        self.like: Any = None
        self.ties = 0

    def ports(self, kinds: Sequence[Precision]) -> list[Any]:
        module = da4ml("trace.fixed_variable")
        config = module.HWConfig(1, -1, -1)
        ports = [module.FixedVariable(kind.low, kind.high, kind.step, hwconf=config) for kind in kinds]
        self.like = ports[0]
        return ports

    def logic(self, ports: list[Any], last: np.ndarray, name: str) -> Any:
        """Return da4ml's logic between ports and outputs."""
        outputs = [total(item, self.like) for item in last.ravel()]
        deepest = max(output.latency for output in outputs)
        outputs = [item._with(latency=deepest) if item.opr == "const" else item for item in outputs]
        if all(item.opr == "const" and item.low == 0 for item in outputs):
            raise InputError(f"{name}: every output is 0 whatever comes in: there is no circuit to build")
        return da4ml("trace").comb_trace(ports, outputs, keep_dead_inputs=True)

    def target(self, name: str) -> Target | None:
        """Return the cast to a lowered layer's result type."""
        return _target(self.types[name]["result"])

    def own(self, name: str) -> str:
        """Return the name of the model's own layer behind a lowered one."""
        calls = [call for call in self.layers if name.startswith(call)]
        return self.layers[max(calls, key=len)] if calls else name

    def cast(self, result: np.ndarray, target: Target) -> np.ndarray:
        """Cast every element, equal ones once."""
        done: dict[Element, Element] = {}
        for item in result.ravel():
            if item not in done:
                self.ties += drops_ties(item, target)
                done[item] = cast(item, target)
        return _array([done[item] for item in result.ravel()], result.shape)

    def matmul(self, layer: str, row: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> list[Element]:
        """Return row @ kernel + bias; constants of the row go to the bias, rows and columns without digits are left out."""
        offsets = [Fraction(float(number)) for number in bias]
        for item, weights in zip(row, kernel, strict=True):
            if item.offset:
                offsets = [
                    offset + item.offset * Fraction(float(weight)) for offset, weight in zip(offsets, weights, strict=True)
                ]
        rows = [i for i, item in enumerate(row) if item.variable is not None and kernel[i].any()]
        result = [Element(None, offset) for offset in offsets]
        columns = [j for j in range(kernel.shape[1]) if kernel[rows, j].any()] if rows else []
        if columns:
            variables = np.array([row[i].variable for i in rows], object)
            found = self.solver.matmul(self.own(layer), variables, kernel[np.ix_(rows, columns)])
            for j, variable in zip(columns, found, strict=True):
                result[j] = element(variable, offsets[j])
        for item in result:
            _check_step(self.own(layer), item)
        return result


def _target(text: str) -> Target | None:
    match = _TYPE.match(text)
    if match is None:
        raise InputError(f"types: expected a fixed-point type, received {text!r}")
    unsigned, width, integer, rounding, overflow = match.groups()
    if rounding is None:
        return None
    signed = not unsigned
    return Target(int(width), int(integer) - signed, signed, rounding, overflow == "SAT_SYM")


def _check_step(layer: str, item: Element) -> None:
    steps = [] if item.variable is None else [exponent(item.variable.step)]
    if item.offset:
        steps.append(exponent(Fraction(1, item.offset.denominator)))
    if min(steps, default=0) < FINEST:
        raise InputError(f"{layer}: its sums have a step of 2**{min(steps)}, the RTL route goes down to 2**{FINEST}: use fewer "
                         "fractional bits")  # fmt: skip


def _array(items: Sequence[Element], shape: tuple[int, ...]) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = items
    return array.reshape(shape)


def _dense(tracer: _Tracer, call: Call, sources: Sequence[np.ndarray]) -> np.ndarray:
    weights = [np.asarray(weight, np.float64) for weight in call.layer.get_weights()]
    kernel = weights[0].reshape(-1, weights[0].shape[-1])
    bias = weights[1] if len(weights) > 1 else np.zeros(kernel.shape[1])
    rows = sources[0].reshape(-1, kernel.shape[0])
    items = [item for row in rows for item in tracer.matmul(call.name, row, kernel, bias)]
    return _array(items, (*sources[0].shape[:-1], kernel.shape[1]))


def _convolution(tracer: _Tracer, call: Call, sources: Sequence[np.ndarray]) -> np.ndarray:
    """Dense on more axes, which the lowering says as a convolution of width one."""
    if any(size != 1 for size in (*call.layer.kernel_size, *call.layer.strides)):
        raise InputError(f"{tracer.own(call.name)}: the RTL route does not build {type(call.layer).__name__}")
    return _dense(tracer, call, sources)


def _normalisation(tracer: _Tracer, call: Call, sources: Sequence[np.ndarray]) -> np.ndarray:
    scale, shift = scale_shift(call.layer)
    done = [
        item.times(Fraction(float(a))).plus(Element(None, Fraction(float(b))))
        for row in sources[0].reshape(-1, len(scale)) for item, a, b in zip(row, scale, shift, strict=True)
    ]  # fmt: skip
    for item in done:
        _check_step(tracer.own(call.name), item)
    return _array(done, sources[0].shape)


def _activation(tracer: _Tracer, call: Call, sources: Sequence[np.ndarray]) -> np.ndarray:
    """The cast to the result type does the work: an unsigned one saturates at 0."""
    name = call.layer.activation.__name__
    target = tracer.target(call.name)
    if name == "linear" or (name == "relu" and target is not None and not target.signed):
        return sources[0]
    if name == "relu":
        return _array([_positive(item, tracer.like) for item in sources[0].ravel()], sources[0].shape)
    raise InputError(f"{tracer.own(call.name)}: the RTL route does not build the activation {name}")


def _positive(item: Element, like: Any) -> Element:
    if item.low >= 0 or item.variable is None:
        return Element(item.variable, max(item.offset, Fraction(0)) if item.variable is None else item.offset)
    return element(total(item, like).relu())


def _join(sign: int) -> Callable[[_Tracer, Call, Sequence[np.ndarray]], np.ndarray]:
    def rule(tracer: _Tracer, call: Call, sources: Sequence[np.ndarray]) -> np.ndarray:
        def pair(one: np.ndarray, other: np.ndarray) -> np.ndarray:
            done = [a.plus(b.times(Fraction(sign))) for a, b in zip(one.ravel(), other.ravel(), strict=True)]
            return _array(done, one.shape)

        return reduce(pair, sources)

    return rule


def _concatenate(tracer: _Tracer, call: Call, sources: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(sources, axis=call.layer.axis % (len(call.shape) + 1) - 1)


def _reshape(tracer: _Tracer, call: Call, sources: Sequence[np.ndarray]) -> np.ndarray:
    return sources[0].reshape(call.shape)


_RULES: Mapping[str, Callable[[_Tracer, Call, Sequence[np.ndarray]], np.ndarray]] = {
    "Dense": _dense,
    "Conv1D": _convolution,
    "Conv2D": _convolution,
    "BatchNormalization": _normalisation,
    "Activation": _activation,
    "Add": _join(1),
    "Subtract": _join(-1),
    "Concatenate": _concatenate,
    "Flatten": _reshape,
    "Reshape": _reshape,
}


def predict(traced: Traced, x: np.ndarray) -> np.ndarray:
    """Run the combinational logic in software, bit for bit as the circuit.

    Parameters
    ----------
    x : array (events, …)
        On the grid of the inputs.

    Returns
    -------
    float64 array (events, …)
    """
    flat = np.ascontiguousarray(np.reshape(x, (len(x), -1)), np.float64)
    return np.asarray(traced.logic.predict(flat, n_threads=1), np.float64).reshape(len(x), *traced.output_shape)


def da4ml_cost(
    model: Any,
    inputs: Precision | tuple[Precision, ...],
    *,
    solver: Mapping[str, Any] = SOLVER,
    timeout: float = TIMEOUT,
) -> float:
    """Return da4ml's cost of a model's circuit, about one LUT each: the quick stand-in for synthesis.

    Parameters
    ----------
    model, inputs, solver, timeout
        As in `trace`.
    """
    return trace(model, inputs, solver=solver, timeout=timeout).cost
