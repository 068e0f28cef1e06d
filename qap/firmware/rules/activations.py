"""Activations: casts to the quantizer's type, and the few layers that need more than a cast."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from qap.backend import stack
from qap.errors import InputError
from qap.firmware.graph import Call
from qap.firmware.lowering import Lowering, Tensor, rule
from qap.firmware.quantizers import Cast, check_scale, class_name
from qap.firmware.values import Grid, Values, integers

TABLES = ("softmax", "tanh", "sigmoid")
TABLE_BITS = 12
TABLE_SIZE = 1 << TABLE_BITS


@rule("QActivation")
def qactivation(call: Call, lowering: Lowering, sources: tuple[Tensor, ...]) -> Tensor:
    """A quantizer as a layer."""
    return quantize(call, lowering, sources[0], call.layer.quantizer, call.name)


@rule("Activation", "ReLU", "Softmax")
def activation(call: Call, lowering: Lowering, sources: tuple[Tensor, ...]) -> Tensor:
    """Keras activations: linear and relu exactly, tables only where accepted."""
    layer = call.layer
    kind = type(layer).__name__
    if kind == "ReLU" and (layer.max_value is not None or float(layer.negative_slope) or float(layer.threshold)):
        raise InputError(f"{layer.name}: ReLU with max_value, negative_slope or threshold: use QActivation('quantized_relu(…)')")
    function = layer.activation if kind == "Activation" else kind.lower()
    return apply(call, lowering, sources[0], function, call.name)


def layer_activation(call: Call, lowering: Lowering, source: Tensor, layer: Any) -> Tensor:
    """Apply the ``activation`` argument of a layer."""
    function = getattr(layer, "activation", None)
    if function is None or getattr(function, "__name__", "") == "linear":
        return source
    return apply(call, lowering, source, function, f"{call.name}_activation")


def apply(call: Call, lowering: Lowering, source: Tensor, function: Any, wanted: str) -> Tensor:
    """Apply a Keras activation function or a QKeras quantizer."""
    name = function if isinstance(function, str) else getattr(function, "__name__", "")
    if name == "linear":
        return source
    if name == "relu":
        return _relu(call, lowering, source, wanted)
    if name in TABLES:
        return table(call, lowering, source, name, wanted)
    if callable(function) and hasattr(function, "bits"):
        return quantize(call, lowering, source, function, wanted)
    raise InputError(
        f"{call.layer.name}: the activation {name or type(function).__name__!r} has no exact conversion: use relu, or "
        "a QKeras "
        "quantizer such as quantized_relu(6,2)"
    )


def quantize(call: Call, lowering: Lowering, source: Tensor, quantizer: Any, wanted: str) -> Tensor:
    """Apply a QKeras quantizer to a tensor."""
    kind = class_name(quantizer)
    function = _QUANTIZERS.get(kind)
    if function is None:
        raise InputError(
            f"{call.layer.name}: the quantizer {kind} has no exact conversion as an activation: use one of "
            f"{', '.join(sorted(_QUANTIZERS))}"
        )
    check_scale(call.layer.name, "activation", quantizer)
    if isinstance(getattr(quantizer, "alpha", None), str):
        raise InputError(
            f"{call.layer.name}: alpha={quantizer.alpha!r} in an activation scales by the data of the batch: set alpha=1"
        )
    if getattr(quantizer, "alpha", None) not in (None, 1, 1.0):
        raise InputError(f"{call.layer.name}: an activation with alpha={quantizer.alpha} is not converted: set alpha=1")
    return function(call, lowering, source, quantizer, wanted)


def cast(call: Call, lowering: Lowering, source: Tensor, target: Cast, wanted: str) -> Tensor:
    """Round half to even and saturate, where the values do not have the type already."""
    _check_margin(call, source, target)
    lowering.need(call.name, target.float_bits(source.values))
    if source.type == target.type:
        return source
    return lowering.cast(wanted, source, target.values(source.values), target.type)


def _check_margin(call: Call, source: Tensor, target: Cast) -> None:
    """Refuse to round a quotient to more bits than its own guard bits cover.

    Raises
    ------
    InputError
    """
    if source.values.divisor == 1:
        return
    width, integer = (int(part) for part in source.type.split("<")[1].rstrip(">").split(",")[:2])
    if integer - width > min(source.values.lsb, target.lsb - 1) - source.values.divisor.bit_length() - 1:
        raise InputError(
            f"{call.layer.name}: rounds an average over {source.values.divisor}·2^n positions to a step of "
            f"2**{target.lsb}, finer "
            "than the average is computed: use fewer fractional bits"
        )


def _relu(call: Call, lowering: Lowering, source: Tensor, wanted: str, target: Cast | None = None) -> Tensor:
    layers = stack().keras.layers
    if target is None:
        before = lowering.exact(call, source)
        zero = integers(np.zeros(before.channels))
        values, result = Values(before.lsb, np.maximum(before.low, zero), np.maximum(before.high, zero)), None
    else:
        _check_margin(call, source, target)
        lowering.need(call.name, target.float_bits(source.values))
        values, result = target.values(source.values), target.type
    return lowering.emit(lambda name: layers.Activation("relu", name=name), wanted, source, values, result=result)


def _quantized_bits(call: Call, lowering: Lowering, source: Tensor, quantizer: Any, wanted: str) -> Tensor:
    signed = bool(quantizer.keep_negative)
    if signed and int(quantizer.bits) == 1:
        return _binary(call, lowering, source, quantizer, wanted)
    target = Cast(int(quantizer.bits), int(quantizer.integer), signed, bool(quantizer.symmetric) and signed)
    return cast(call, lowering, source, target, wanted)


def _quantized_relu(call: Call, lowering: Lowering, source: Tensor, quantizer: Any, wanted: str) -> Tensor:
    if quantizer.use_sigmoid:
        raise InputError(f"{call.layer.name}: quantized_relu with use_sigmoid is not converted: set use_sigmoid=0")
    if quantizer.relu_upper_bound is not None and not quantizer.is_quantized_clip:
        raise InputError(f"{call.layer.name}: quantized_relu with relu_upper_bound is not converted: use the bits for the bound")
    if quantizer.negative_slope:
        return _leaky(call, lowering, source, quantizer, wanted)
    return _relu(call, lowering, source, wanted, Cast(int(quantizer.bits), int(quantizer.integer), signed=False))


def _leaky(call: Call, lowering: Lowering, source: Tensor, quantizer: Any, wanted: str) -> Tensor:
    """Positive side as a cast; negative side slope·x rounded, not below -slope·2**integer."""
    before = lowering.exact(call, source)
    slope = int(math.log2(quantizer.negative_slope))
    target = Cast(int(quantizer.bits), int(quantizer.integer), signed=True)
    lowering.need(call.name, target.float_bits(before) - slope + 1)
    edge = 1 << max(target.integer - before.lsb, 0)
    if min(before.low) < -edge:  # QKeras clips before the slope: saturate at -2**integer on the accumulator's grid
        lsb = min(before.lsb, target.integer)
        before = before.at(lsb)
        edge = 1 << (target.integer - lsb)
        clip = np.frompyfunc(lambda bound: min(max(bound, -edge), edge - 1), 1, 1)
        before = Values(lsb, clip(before.low), clip(before.high))
        width = target.integer - lsb + 1
        source = lowering.cast(f"{wanted}_clip", source, before, f"fixed<{width},{target.integer + 1},TRN,SAT>")
    positive, negative = target.values(before), target.values(before.scaled(slope))
    zero = integers(np.zeros(before.channels))
    values = Values(target.lsb, np.minimum(negative.low, zero), np.maximum(positive.high, zero))
    layers = stack().keras.layers
    return lowering.emit(
        lambda name: layers.LeakyReLU(alpha=2.0**slope, name=name), wanted, source, values,
        result=target.type, types={"param": f"ufixed<1,{slope + 1}>"},
    )  # fmt: skip


def _hard_tanh(call: Call, lowering: Lowering, source: Tensor, quantizer: Any, wanted: str) -> Tensor:
    if quantizer.use_real_tanh:
        return table(call, lowering, source, "tanh", wanted, Cast(quantizer.bits, 0, True, bool(quantizer.symmetric)))
    lowering.need(call.name, source.values.bits + 2)
    return cast(call, lowering, source, Cast(quantizer.bits, 0, True, bool(quantizer.symmetric)), wanted)


def _hard_sigmoid(call: Call, lowering: Lowering, source: Tensor, quantizer: Any, wanted: str) -> Tensor:
    target = Cast(quantizer.bits, 0, signed=False)
    if quantizer.use_real_sigmoid:
        return table(call, lowering, source, "sigmoid", wanted, target)
    if quantizer.symmetric:
        raise InputError(f"{call.layer.name}: quantized_sigmoid with symmetric=True is not converted: set symmetric=False")
    before = lowering.exact(call, source)
    lsb = min(before.lsb - 1, -1)
    half = 1 << (-1 - lsb)
    shifted = Values(lsb, before.scaled(-1).at(lsb).low + half, before.scaled(-1).at(lsb).high + half)
    lowering.need(call.name, shifted.bits + 1)
    ones = np.ones(before.channels)
    return lowering.scale_shift(wanted, source, Grid.of(ones / 2), Grid.of(ones / 2), target.values(shifted), target.type)


def _binary(call: Call, lowering: Lowering, source: Tensor, quantizer: Any, wanted: str) -> Tensor:
    """The sign, +1 for 0: the one-bit cast gives -1 or 0, then 2·y + 1."""
    if getattr(quantizer, "use_01", False):
        raise InputError(f"{call.layer.name}: binary with use_01 is not converted as an activation: set use_01=False")
    before = lowering.exact(call, source)
    lowering.need(call.name, before.bits + 2 + max(before.lsb, 0))
    minus, zero, one = (integers(np.full(before.channels, number)) for number in (-1, 0, 1))
    sign = lowering.cast(f"{wanted}_sign", source, Values(0, minus, zero), "fixed<1,1,TRN,SAT>")
    ones = np.ones(before.channels)
    return lowering.scale_shift(wanted, sign, Grid.of(2 * ones), Grid.of(ones), Values(0, minus, one), "fixed<2,2>")


def _ternary(call: Call, lowering: Lowering, source: Tensor, quantizer: Any, wanted: str) -> Tensor:
    """-1, 0, 1 by a threshold: x·c rounded half to even and saturated, with c between the grid points around it."""
    before = lowering.exact(call, source)
    threshold = Fraction(float(np.float32(quantizer.threshold or quantizer.default_threshold)))
    lowering.need(call.name, before.bits + 2 + max(before.lsb, 0))
    step = Fraction(2) ** before.lsb
    first = max(math.ceil(threshold / step), 1) * step  # the smallest value that gives 1
    bits = 0
    while True:  # the shortest c in (1/2·first, 1/2·(first - step)]: first rounds to 1, first - step rounds to 0
        c = Fraction(math.floor(Fraction(1, 2) / first * 2**bits) + 1, 2**bits)
        if c * (first - step) <= Fraction(1, 2):
            break
        bits += 1
    ones = np.ones(before.channels)
    minus = integers(np.full(before.channels, -1))
    return lowering.scale_shift(
        wanted,
        source,
        Grid.of(float(c) * ones),
        Grid.of(0 * ones),
        Values(0, minus, -minus),
        "fixed<2,2,RND_CONV,SAT_SYM>",
    )


def table(call: Call, lowering: Lowering, source: Tensor, function: str, wanted: str, target: Cast | None = None) -> Tensor:
    """A function that hls4ml takes from a table: approximate, converted only when accepted by the layer's name.

    Raises
    ------
    InputError
        The layer is not accepted.
    """
    layer = call.layer.name
    if layer not in lowering.accepted:
        cure = (
            "end the model at the logits"
            if function == "softmax"
            else f"use the hard form, quantized_{function}(bits) without use_real_{function}"
        )
        raise InputError(
            f"{layer}: {function} comes from a table in the firmware and is not exact: {cure}, or accept a measured "
            f"difference with accept=[{layer!r}]"
        )
    before = lowering.exact(call, source)
    layers = stack().keras.layers
    if function == "softmax":
        types, options, text = _softmax(before)
        last = Values(-15, integers(np.zeros(before.channels)), integers(np.full(before.channels, 1 << 15)))
        result = "ufixed<16,1,RND_CONV,SAT>"
    else:
        target = target or Cast(16, 1, signed=True)
        types, options = {"table": "fixed<20,2,RND_CONV,SAT>"}, {"TableSize": TABLE_SIZE}
        text = f"{function} from a table of {TABLE_SIZE} entries"
        unit = 1 << -target.lsb
        ones = integers(np.full(before.channels, unit))
        last, result = Values(target.lsb, -ones if target.signed else 0 * ones, ones), target.type
    lowering.bounds[call.name] = text
    return lowering.emit(
        lambda name: layers.Activation(function, name=name),
        wanted,
        source,
        last,
        result=result,
        types=types,
        options=options,
    )


def _softmax(before: Values) -> tuple[dict[str, str], dict[str, int], str]:
    """Choose the tables of softmax from what the logits hold: the step of exp is theirs, as far as 12 bits reach."""
    spread = (max(before.high) - min(before.low)) << max(before.lsb, 0) >> max(-before.lsb, 0)
    integer = min(max(spread.bit_length(), 1), 4)  # exp(-16) is below the last bit of the result
    fraction = max(min(-before.lsb, TABLE_BITS - integer), 1)
    growth = (before.channels - 1).bit_length() + 1
    types = {
        "inp_norm": f"ufixed<{integer + fraction},{integer},RND,SAT>",
        "exp_table": "ufixed<20,1,RND,SAT>",
        "accum": f"ufixed<{20 + growth},{1 + growth}>",
        "inv_inp": f"ufixed<{TABLE_BITS},{growth},RND,SAT>",
        "inv_table": "ufixed<20,1,RND,SAT>",
    }
    options = {"ExpTableSize": 1 << (integer + fraction), "InvTableSize": 1 << TABLE_BITS}
    return types, options, f"softmax from tables of 2^{integer + fraction} and 2^{TABLE_BITS} entries"


_QUANTIZERS = {
    "quantized_bits": _quantized_bits,
    "quantized_relu": _quantized_relu,
    "quantized_tanh": _hard_tanh,
    "quantized_sigmoid": _hard_sigmoid,
    "binary": _binary,
    "ternary": _ternary,
}
