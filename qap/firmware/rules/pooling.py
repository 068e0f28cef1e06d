"""Pooling: maxima as they are, averages exact where the division is."""

from __future__ import annotations

from typing import Any

import numpy as np

from qap.backend import float32, stack
from qap.errors import InputError
from qap.firmware.graph import Call
from qap.firmware.lowering import Lowering, Tensor, rule
from qap.firmware.rules.activations import layer_activation
from qap.firmware.rules.normalisation import scaled
from qap.firmware.values import Grid, Values

GUARD_BITS = 10
"""Bits below the last one of a quotient by no power of two: enough for the quantizer after it to round right."""


def _config(layer: Any) -> dict[str, Any]:
    config = layer.get_config()
    if config.get("data_format", "channels_last") != "channels_last":
        raise InputError(f"{layer.name}: data_format channels_first is not converted: use channels_last")
    if config.get("keepdims"):
        raise InputError(f"{layer.name}: keepdims=True is not converted: reshape after it")
    return {key: config[key] for key in ("pool_size", "strides", "padding") if key in config}


def _is_padded(layer: Any, before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    """Tell whether 'same' padding really adds positions."""
    if getattr(layer, "padding", "valid") != "same":
        return False
    windows, strides = np.ravel(layer.pool_size), np.ravel(layer.strides)
    return any(
        (out - 1) * stride + window > size
        for size, out, window, stride in zip(before[:-1], after[:-1], windows, strides, strict=True)
    )


@rule("MaxPooling1D", "MaxPooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D")
def maximum(call: Call, lowering: Lowering, sources: tuple[Tensor, ...]) -> Tensor:
    """The largest value of each window."""
    source, layer = sources[0], call.layer
    values, config, kind = lowering.exact(call, source), _config(layer), type(layer)
    if _is_padded(layer, source.shape, call.shape) and source.type.startswith("u"):
        # hls4ml pads with the bit pattern 100…0, the smallest number of a signed type only
        width, integer = source.type.removeprefix("ufixed<").rstrip(">").split(",")[:2]
        source = lowering.cast(f"{call.name}_signed", source, values, f"fixed<{int(width) + 1},{int(integer) + 1}>")
    return lowering.emit(
        lambda name: kind(**config, name=name), call.name, source, values, result=_plain(source.type),
        types={"accum": _plain(source.type)},
    )  # fmt: skip


def _plain(name: str) -> str:
    """Return a type without its rounding and saturation: values that fit need none."""
    return ",".join(name.rstrip(">").split(",")[:2]) + ">"


@rule("AveragePooling1D", "AveragePooling2D", "GlobalAveragePooling1D", "GlobalAveragePooling2D")
def average(call: Call, lowering: Lowering, sources: tuple[Tensor, ...]) -> Tensor:
    """The mean of each window: exact for a power of two, else left unrounded for the quantizer that must follow."""
    return _average(call, lowering, sources[0], type(call.layer))


@rule("QAveragePooling2D")
def quantized_average(call: Call, lowering: Lowering, sources: tuple[Tensor, ...]) -> Tensor:
    """The mean times the quantized inverse of the area over its exact inverse, then an activation."""
    layer = call.layer
    tensor = _average(call, lowering, sources[0], stack().keras.layers.AveragePooling2D)
    area = int(np.prod(layer.pool_size))
    if layer.average_quantizer is not None:
        with float32():
            inverse = float(np.asarray(layer.average_quantizer_internal(np.float32(1 / area))))
        if tensor.values.divisor != 1:
            raise InputError(
                f"{layer.name}: an average_quantizer over {area} positions multiplies a rounded quotient: average "
                "over a power of "
                "two, or leave average_quantizer out"
            )
        scale = Grid.of(np.full(tensor.values.channels, inverse * area))
        values = scaled(tensor.values, scale, Grid.of(np.zeros(tensor.values.channels)))
        lowering.need(call.name, max(values.bits, tensor.values.bits + area.bit_length()))
        if inverse * area != 1:
            tensor = lowering.scale_shift(f"{call.name}_scale", tensor, scale, Grid(0 * scale.values, 0), values)
    return layer_activation(call, lowering, tensor, layer)


def _average(call: Call, lowering: Lowering, source: Tensor, kind: Any) -> Tensor:
    layer = call.layer
    before, config = lowering.exact(call, source), _config(layer)
    if _is_padded(layer, source.shape, call.shape):
        raise InputError(f"{layer.name}: average pooling over padded borders divides by varying counts: use padding='valid'")
    count = int(np.prod(layer.pool_size)) if hasattr(layer, "pool_size") else int(np.prod(source.shape[:-1]))
    twos = (count & -count).bit_length() - 1
    odd = count >> twos
    values = Values(before.lsb - twos, before.low * count, before.high * count, odd)
    extra = 0 if odd == 1 else (odd - 1).bit_length() + GUARD_BITS
    lsb = before.lsb - twos - extra
    total = Values(lsb, before.low * (count << (twos + extra)), before.high * (count << (twos + extra)))
    mean = Values(lsb, before.low << (twos + extra), before.high << (twos + extra))
    lowering.need(call.name, values.bits + (odd - 1).bit_length())
    return lowering.emit(
        lambda name: kind(**config, name=name), call.name, source, values, result=mean.type, types={"accum": total.type}
    )
