"""Lower a QKeras model to plain layers in which every type is said explicitly.

hls4ml is given a Keras model that holds the quantized weights and, for each layer, the exact types of weights,
accumulator and result. Nothing is left for it to infer, so nothing can be dropped or cut off on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qap.backend import float64, stack
from qap.errors import InputError, suggestion
from qap.firmware.graph import Call, flatten, identifier
from qap.firmware.quantizers import FLOAT32_BITS, FLOAT64_BITS
from qap.firmware.values import Grid, Values, integers
from qap.precision import Precision

EPSILON = 2.0**-10
"""Of the batch normalizations that carry a scale and a shift: a variance of 1 - epsilon makes the root exactly 1."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of the lowered model: its Keras tensor, what it can hold, and the type it has in the firmware."""

    keras: Any
    values: Values
    type: str
    layer: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape without the batch axis."""
        return tuple(self.keras.shape[1:])


@dataclass(frozen=True, eq=False)
class Lowered:
    """The model that hls4ml gets, and what is known of it.

    Parameters
    ----------
    model : keras.Model
        Plain layers, quantized weights, float64.
    types : mapping of layer → mapping of ``result``, ``weight``, ``bias``, ``accum``, … to type
    options : mapping of layer → other keys of hls4ml's layer configuration
    finals : mapping of call name → Tensor that holds its output
    layers : mapping of call name → name of the model's own layer
    inputs, outputs : tuple of Tensor
    weights : mapping of (layer of the model, weight name) → Grid
        Quantized constants.
    float_bits : mapping of call name → mantissa bits that exact float arithmetic needs there
    bounds : mapping of call name → reason why it is only approximate (tables)
    moving : lowered layers that only move values, which hls4ml may leave out
    """

    model: Any
    types: Mapping[str, Mapping[str, str]]
    options: Mapping[str, Mapping[str, Any]]
    finals: Mapping[str, Tensor]
    layers: Mapping[str, str]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    weights: Mapping[tuple[Any, str], Grid]
    float_bits: Mapping[str, int]
    bounds: Mapping[str, str] = field(default_factory=dict)
    moving: frozenset[str] = frozenset()

    @property
    def reference(self) -> str:
        """The arithmetic in which the QKeras model itself is exact: float32 or float64.

        Raises
        ------
        InputError
            A layer needs more than the 53 bits of float64.
        """
        layer = max(self.float_bits, key=lambda name: self.float_bits[name], default="")
        worst = self.float_bits.get(layer, 0)
        if worst > FLOAT64_BITS:
            raise InputError(
                f"{self.layers.get(layer, layer)}: its sums need {worst} bits, more than the {FLOAT64_BITS} that "
                "float64 "
                "holds, so no QKeras result is exact: use fewer weight, bias or activation bits"
            )
        return "float32" if worst <= FLOAT32_BITS else "float64"


class Lowering:
    """What a conversion rule works with: it reads tensors and emits plain layers."""

    def __init__(self, accepted: Sequence[str] = ()) -> None:
        self.accepted = tuple(accepted)
        self.tensors: dict[str, Tensor] = {}
        self.types: dict[str, dict[str, str]] = {}
        self.options: dict[str, dict[str, Any]] = {}
        self.weights: dict[tuple[Any, str], Grid] = {}
        self.float_bits: dict[str, int] = {}
        self.bounds: dict[str, str] = {}
        self.moving: set[str] = set()
        self._taken: set[str] = set()

    def name(self, wanted: str) -> str:
        """Return a free layer name near the wanted one."""
        return identifier(wanted, self._taken)

    def need(self, call: str, bits: int) -> None:
        """Record the mantissa bits that the QKeras side needs at a call."""
        self.float_bits[call] = max(bits, self.float_bits.get(call, 0))

    def emit(
        self,
        make: Callable[[str], Any],
        wanted: str,
        sources: Tensor | Sequence[Tensor],
        values: Values,
        *,
        result: str | None = None,
        weights: Sequence[np.ndarray] = (),
        options: Mapping[str, Any] | None = None,
        moves: bool = False,
        types: Mapping[str, str] | None = None,
    ) -> Tensor:
        """Add a plain layer.

        Parameters
        ----------
        make : callable
            Layer name → Keras layer.
        wanted : str
            Name; a number is appended when it is taken.
        sources : Tensor or sequence of Tensor
        values : Values
            What the result can hold.
        result : str, optional
            Type of the result; by default the narrowest that holds the values.
        weights : sequence of arrays
            The layer's weights, in its own order.
        options : mapping, optional
            Further keys of hls4ml's configuration of this layer.
        moves : bool
            The layer only moves values, so that hls4ml may leave it out.
        types : mapping, optional
            Other types, for example ``weight``, ``bias``, ``accum``.
        """
        name = self.name(wanted)
        layer = make(name)
        output = layer(sources.keras if isinstance(sources, Tensor) else [source.keras for source in sources])
        if weights:
            layer.set_weights([np.asarray(weight, np.float64) for weight in weights])
        result = result or values.type
        self.types[name] = {"result": result, **(types or {})}
        if moves:
            self.moving.add(name)
        self.options[name] = dict(options or {})
        return Tensor(output, values, result, name)

    def cast(self, wanted: str, source: Tensor, values: Values, result: str) -> Tensor:
        """Convert to another type (a linear activation with a result type of its own)."""
        layers = stack().keras.layers
        return self.emit(lambda name: layers.Activation("linear", name=name), wanted, source, values, result=result)

    def scale_shift(
        self, wanted: str, source: Tensor, scale: Grid, shift: Grid, values: Values, result: str | None = None
    ) -> Tensor:
        """Multiply and add constants per channel (a batch normalization with zero mean and unit variance)."""
        layers = stack().keras.layers
        factor, offset = (
            np.ldexp(scale.values.astype(np.float64), scale.lsb),
            np.ldexp(shift.values.astype(np.float64), shift.lsb),
        )
        return self.emit(
            lambda name: layers.BatchNormalization(name=name, epsilon=EPSILON),
            wanted, source, values, result=result,
            weights=[factor, offset, np.zeros_like(factor), np.full_like(factor, 1 - EPSILON)],
            types={"scale": scale.type, "bias": shift.type},
        )  # fmt: skip

    def exact(self, call: Call, source: Tensor) -> Values:
        """Return the values of a tensor, refusing one whose division has not been rounded.

        Raises
        ------
        InputError
        """
        if source.values.divisor != 1:
            raise InputError(
                f"{call.layer.name}: its input is an average over {source.values.divisor}·2^n positions, which no "
                "fixed-point "
                "number holds exactly: put a quantizer such as QActivation('quantized_bits(8,2,alpha=1)') before it, "
                "or "
                "average over a power of two"
            )
        return source.values


Rule = Callable[[Call, Lowering, tuple[Tensor, ...]], Tensor]
"""(call, lowering, input tensors) → the tensor that holds the call's output. A rule refuses with InputError."""

_RULES: dict[str, Rule] = {}

REFUSED = {
    (
        "QLSTM",
        "LSTM",
    ): "hls4ml takes tanh and sigmoid of its gates from tables, and refuses their hard forms, so that the "
    "state drifts from step to step; use QConv1D or a DeepSets model",
    (
        "QGRU",
        "GRU",
        "QSimpleRNN",
        "SimpleRNN",
    ): "QKeras 0.9 does not run it with quantized states on Keras 2.21, and tables "
    "make its state drift; use QConv1D or a DeepSets model",
    (
        "QConv2DTranspose",
        "Conv2DTranspose",
        "Conv1DTranspose",
    ): "hls4ml has no transposed convolution for Vitis and Vivado; use UpSampling2D and QConv2D",
    (
        "Lambda",
        "TFOpLambda",
        "SlicingOpLambda",
    ): "it holds Python code, which has no firmware; use a Keras layer such as Add",
}
"""Layers with no exact conversion, and why."""


def rule(*classes: str) -> Callable[[Rule], Rule]:
    """Register a conversion rule for Keras layer classes, by class name; a later one replaces an earlier one."""

    def register(function: Rule) -> Rule:
        for name in classes:
            _RULES[name] = function
        return function

    return register


def supported() -> tuple[str, ...]:
    """Return the layer classes that have a rule."""
    return tuple(sorted(_RULES))


def lower(
    model: Any,
    inputs: Inputs,
    *,
    accept: Sequence[str] = (),
    head: str = "logits",
) -> Lowered:
    """Lower a model.

    Parameters
    ----------
    model : keras.Model
        QKeras and Keras layers with a rule; inference behaviour.
    inputs : Precision, tuple of Precision (one per feature), or mapping of input name → one of these
        Fixed-point type of the inputs.
    accept : sequence of str
        Layers with tables (softmax, real tanh or sigmoid) that may be approximate.
    head : {'logits', 'argmax'}
        What stands at the outputs: the model's own outputs, or 1 for the largest and 0 for the others.

    Raises
    ------
    InputError
        A layer that cannot be converted exactly: which, what, why, and what to do.
    """
    graph = flatten(model)
    kinds = input_types(graph.inputs, inputs)
    with float64():
        lowering = Lowering(accept)
        for call in graph.calls:
            if call.name in graph.inputs:
                lowering.tensors[call.name] = _input(lowering, call, kinds[call.name])
                continue
            function = _RULES.get(type(call.layer).__name__)
            if function is None:
                raise InputError(f"{call.layer.name}: {_no_rule(type(call.layer).__name__)}")
            sources = tuple(lowering.tensors[name] for name in call.inputs)
            lowering.tensors[call.name] = function(call, lowering, sources)
        outputs = tuple(_output(lowering, name, head) for name in graph.outputs)
        ends = tuple(lowering.tensors[name] for name in graph.inputs)
        plain = stack().keras.Model([end.keras for end in ends], [end.keras for end in outputs], name="qap")
    return Lowered(
        plain, lowering.types, lowering.options,
        lowering.tensors,
        {call.name: call.layer.name for call in graph.calls},
        ends, outputs, lowering.weights, lowering.float_bits, lowering.bounds,
        frozenset(lowering.moving),
    )  # fmt: skip


def _no_rule(kind: str) -> str:
    for names, reason in REFUSED.items():
        if kind in names:
            return f"{kind} is not converted: {reason}"
    near = suggestion(kind, _RULES)
    near = near if "did you mean" in near else ""
    return f"no conversion for the layer {kind}{near}: use one of qap.firmware.supported(), or add a qap.firmware.rule"


InputType = Precision | tuple[Precision, ...]
"""One type for all features of an input, or one per feature."""

Inputs = InputType | Mapping[str, InputType]


def input_types(names: Sequence[str], inputs: Inputs) -> dict[str, InputType]:
    """Return the type of each input by name.

    Raises
    ------
    InputError
        Unknown or missing names.
    """
    if isinstance(inputs, Precision | tuple):
        return dict.fromkeys(names, inputs)
    for name in inputs:
        if name not in names:
            raise InputError(f"inputs: the model has no input {name!r}{suggestion(name, names)}")
    for name in names:
        if name not in inputs:
            raise InputError(f"inputs: expected a precision for the input {name!r}, received {', '.join(inputs) or 'none'}")
    return dict(inputs)


def features(name: str, kind: InputType, channels: int) -> tuple[Precision, ...]:
    """Return the type of each feature of an input.

    Raises
    ------
    InputError
        Another number of types than features.
    """
    if isinstance(kind, Precision):
        return (kind,) * channels
    if len(kind) != channels:
        raise InputError(f"inputs: {name}: expected {channels} precisions, one per feature, received {len(kind)}")
    return kind


def holding(kinds: Sequence[Precision]) -> Precision:
    """Return the narrowest precision that holds every value of several, the type of the firmware's port."""
    signed = any(kind.signed for kind in kinds)
    integer, fractional = max(kind.integer for kind in kinds), max(kind.fractional for kind in kinds)
    return Precision(integer + fractional + signed, integer, signed)


def _input(lowering: Lowering, call: Call, kind: InputType) -> Tensor:
    name = lowering.name(call.name)
    tensor = stack().keras.layers.Input(call.shape, name=name)
    kinds = features(call.name, kind, call.shape[-1])
    precision = holding(kinds)
    parts = [Values.of(one, 1).at(-precision.fractional) for one in kinds]
    values = Values(
        -precision.fractional,
        np.concatenate([part.low for part in parts]),
        np.concatenate([part.high for part in parts]),
    )
    result = f"{precision.ap_fixed.removeprefix('ap_')[:-1]},RND_CONV,SAT>"  # floats are rounded as QKeras rounds them
    lowering.types[name], lowering.options[name] = {"result": result}, {}
    return Tensor(tensor, values, result, name)


def _output(lowering: Lowering, name: str, head: str) -> Tensor:
    tensor = lowering.tensors[name]
    if tensor.values.divisor != 1:
        raise InputError(
            f"{name}: the model ends with an average that no fixed-point number holds exactly: put a QActivation with "
            "a "
            "quantizer after it"
        )
    return _argmax(lowering, tensor) if head == "argmax" else tensor


def _argmax(lowering: Lowering, logits: Tensor) -> Tensor:
    """1 for the largest logit, the first of equal ones, and 0 for the others."""
    if len(logits.shape) != 1 or logits.values.channels < 2:
        raise InputError(f"{logits.layer}: an argmax head needs an output (classes,), received {logits.shape}")
    layers = stack().keras.layers
    zero, one = (integers(np.full(logits.values.channels, number)) for number in (0, 1))
    return lowering.emit(
        lambda name: layers.Activation("softmax", name=name), f"{logits.layer}_argmax", logits, Values(0, zero, one),
        options={"Implementation": "argmax"},
    )  # fmt: skip
