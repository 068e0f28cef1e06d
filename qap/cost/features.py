"""Static features of a matrix multiplication by constants: what the logic of an HLS design grows with."""

from __future__ import annotations

import math

import numpy as np

from qap.cost.hls_project import HLSType, Layer
from qap.digits import signed_digits
from qap.errors import InputError

FEATURES = (
    "n_in", "n_out", "n_mac", "nnz", "n_gen", "n_p2", "bops", "ebops", "csd_extra", "lut_csd", "lut_mul", "add_bits",
    "add_bits_prod", "n_add", "xb", "wb", "ab", "n_dspcand", "tree", "n_uniq", "ebops_uniq",
)  # fmt: skip


def dense_features(
    kernel: np.ndarray, bias: np.ndarray | None, *, weight: HLSType, inputs: HLSType, accum: HLSType
) -> dict[str, float]:
    """Compute the features of one matrix multiplication.

    Parameters
    ----------
    kernel : (inputs, outputs) array
        Rounded to the step of `weight`; range and overflow of the type are not applied.
    bias : (outputs,) array, optional
        Only whether there is one counts.
    weight, inputs, accum : HLSType

    Returns
    -------
    dict
        With d(w) the odd part of the integer w, |d| its bits, c(w) the non-zero digits of its canonical signed-digit form:

        - ``n_in, n_out, n_mac``: inputs, outputs, their product;
        - ``nnz, n_p2, n_gen``: non-zero weights, powers of two among them, the rest;
        - ``xb, wb, ab``: declared bits of input, weight and accumulator;
        - ``bops``: n_mac · xb · wb;
        - ``ebops``: Σ |d| · xb; xb includes the sign, unlike in the EBOPs of `qap.cost.counts`;
        - ``csd_extra``: Σ c − 1, ``lut_csd``: Σ (c − 1)(xb + |d|), ``n_dspcand``: weights with c > 2;
        - ``lut_mul``: Σ |d| · xb over the general weights;
        - ``n_add``: additions, the bias included; ``add_bits``: n_add · ab; ``add_bits_prod``: nnz · (xb + wb);
        - ``tree``: levels of the widest adder tree;
        - ``n_uniq``: different d among the weights of an input, summed; ``ebops_uniq``: Σ |d| · xb over those with d > 1.

    Raises
    ------
    InputError
        A kernel that is not a matrix of finite numbers.
    """
    kernel = np.asarray(kernel, np.float64)
    if kernel.ndim != 2 or not kernel.size or not np.isfinite(kernel).all():
        raise InputError(f"kernel: expected a matrix (inputs, outputs) of finite numbers, received the shape {kernel.shape}")
    magnitude = np.abs(np.rint(kernel * 2.0**weight.fractional)).astype(np.int64)
    odd = magnitude // np.maximum(magnitude & -magnitude, 1)
    bits = np.frexp(odd)[1]
    digits = signed_digits(odd)
    nonzero, general = odd > 0, odd > 1
    extra = np.maximum(digits - 1, 0)
    fan_in = nonzero.sum(axis=0)
    additions = int(np.maximum(fan_in - 1, 0).sum()) + (0 if bias is None else kernel.shape[1])
    found = np.sort(odd, axis=1)
    distinct = found > 0
    distinct[:, 1:] &= found[:, 1:] != found[:, :-1]
    nnz, n_gen, xb = int(fan_in.sum()), int(general.sum()), inputs.bits
    return {
        "n_in": kernel.shape[0],
        "n_out": kernel.shape[1],
        "n_mac": kernel.size,
        "nnz": nnz,
        "n_gen": n_gen,
        "n_p2": nnz - n_gen,
        "bops": kernel.size * xb * weight.bits,
        "ebops": float(bits.sum() * xb),
        "csd_extra": float(extra.sum()),
        "lut_csd": float((extra * (bits + xb)).sum()),
        "lut_mul": float(bits[general].sum() * xb),
        "add_bits": float(additions * accum.bits),
        "add_bits_prod": float(nnz * (xb + weight.bits)),
        "n_add": additions,
        "xb": xb,
        "wb": weight.bits,
        "ab": accum.bits,
        "n_dspcand": int((digits > 2).sum()),
        "tree": float(math.ceil(math.log2(max(int(fan_in.max()), 1) + 1))),
        "n_uniq": int(distinct.sum()),
        "ebops_uniq": float(np.frexp(found[distinct & (found > 1)])[1].sum() * xb),
    }


def layer_features(layer: Layer) -> dict[str, float]:
    """Compute the features of a layer that multiplies by a kernel.

    Parameters
    ----------
    layer : Layer
        Dense, convolution (the features of its im2col matrix, which is built once or as often as the layer unrolls it)
        or batch normalisation (one weight per output).

    Returns
    -------
    dict
        As `dense_features`, and ``repeats``, how often the kernel is applied per inference. A layer without accumulator
        type is given the width of its result.

    Raises
    ------
    InputError
        A layer without kernel.
    """
    accum = layer.accum or layer.result
    if layer.kernel is None or layer.weight is None or layer.inputs is None or accum is None:
        raise InputError(f"{layer.name}: expected a layer with a kernel, received nnet::{layer.kind}: it has no such features")
    values = dense_features(layer.kernel, layer.bias_values, weight=layer.weight, inputs=layer.inputs, accum=accum)
    return {**values, "repeats": layer.repeats}
