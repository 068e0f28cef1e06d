"""Read the constants of an hls4ml project: the arrays in weights/*.h that are synthesised, else weights/*.txt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from qap.errors import InputError

TRANSPOSED = ("resource", "unrolled")
"""Strategies for which hls4ml stores the filters first."""
DENSE = (
    "dense", "dense_latency", "dense_resource", "dense_large", "dense_compressed", "compute_layer", "compute_layer_nobias",
    "dense_ss", "dense_large_rf_leq_nin", "dense_large_rf_gt_nin",
)  # fmt: skip
_CONVOLUTION = re.compile(r"(pointwise_|depthwise_)?conv_([12])d(_\w+)?")


def is_depthwise(kind: str) -> bool:
    """Whether each channel has its own filter."""
    return kind.startswith("depthwise_")


def has_kernel(kind: str) -> bool:
    """Whether the nnet:: function multiplies by a kernel whose layout is known."""
    return kind in DENSE or kind == "normalize" or _CONVOLUTION.fullmatch(kind) is not None


def kernel_shape(kind: str, sizes: Mapping[str, int]) -> tuple[int, int] | None:
    """Return the matrix (products per output, outputs) that a layer applies, None where the sizes are not known.

    A convolution's is the im2col matrix: (window · channels, filters); a batch normalisation's is (1, scales).
    """
    if kind in DENSE:
        names: tuple[str, ...] = ("n_in", "n_out")
    elif kind == "normalize":
        scales = sizes.get("n_filt", -1)
        scales = scales if scales > 0 else sizes.get("n_in", 0)
        return (1, scales) if scales else None
    else:
        sizes = {"filt_width": sizes.get("y_filt", 0), **sizes} if "y_filt" in sizes else sizes  # hls4ml 0.1
        names = ("filt_width", "n_chan", "n_filt")
    if any(name not in sizes for name in names):
        return None
    if kind in DENSE:
        return sizes["n_in"], sizes["n_out"]
    window = sizes["filt_width"] * sizes.get("filt_height", 1)
    return window * (1 if is_depthwise(kind) else sizes["n_chan"]), sizes["n_filt"]


def repeats(kind: str, sizes: Mapping[str, int]) -> int:
    """Return how often the kernel is applied per inference: positions of a convolution, inputs per scale."""
    if kind == "normalize" and sizes.get("n_filt", -1) > 0:
        return max(sizes.get("n_in", 1) // sizes["n_filt"], 1)
    if _CONVOLUTION.fullmatch(kind) is None:
        return 1
    return max(sizes.get("out_width", sizes.get("y_out", 1)) * sizes.get("out_height", 1), 1)


def _numbers(text: str, where: Path) -> np.ndarray:
    words = re.sub(r"[{}\s]+", " ", text).replace(",", " ").split()
    try:
        found = np.array([float(word.rstrip("fF")) for word in words])
    except ValueError as error:
        raise InputError(f"{where}: expected numbers, {error}: convert the model again") from None
    if not np.isfinite(found).all():
        word = words[int(np.argmin(np.isfinite(found)))]
        raise InputError(f"{where}: expected finite numbers, received {word}: convert the model again")
    return found


def read_array(firmware: Path, name: str) -> np.ndarray | None:
    """Return the values of an array of constants, flat; None where no file has them.

    Parameters
    ----------
    firmware : Path
        The folder firmware of the project.
    name : str
        Of the array: w2.

    Raises
    ------
    InputError
        A file that holds something else than numbers.
    """
    header, plain = (firmware / "weights" / f"{name}{suffix}" for suffix in (".h", ".txt"))
    for path in (header, firmware / "parameters.h"):
        if path.is_file():
            text = re.sub(r"//[^\n]*|\\\n", " ", path.read_text(errors="replace"))
            body = re.search(rf"\b{name}(?:_\w+)?\s*(?:\[[^\]]*\]\s*)*=?\s*(\{{[^;#]*\}})", text)
            if body:
                return _numbers(body[1], path)
    return _numbers(plain.read_text(errors="replace"), plain) if plain.is_file() else None


def arrange(values: np.ndarray, shape: tuple[int, int], strategy: str | None, kind: str) -> np.ndarray:
    """Return the flat values of a layer's weights as matrix (products per output, outputs).

    The strategies of `TRANSPOSED` store the outputs first, but not for the functions of old versions without strategy.
    """
    products, outputs = shape
    if strategy in TRANSPOSED and kind != "normalize" and not (is_depthwise(kind) and strategy is None):
        return np.ascontiguousarray(values.reshape(outputs, products).T)
    return values.reshape(products, outputs)


def expand_compressed(values: np.ndarray, shape: tuple[int, int], where: str) -> np.ndarray:
    """Return the matrix of compressed weights: triples of row, column and value.

    Raises
    ------
    InputError
        Not triples, or outside of the matrix.
    """
    if values.size % 3:
        raise InputError(f"{where}: expected triples of row, column and weight, received {values.size} numbers")
    rows, columns, weights = values.reshape(-1, 3).T
    if rows.size and (rows.max() >= shape[0] or columns.max() >= shape[1] or min(rows.min(), columns.min()) < 0):
        raise InputError(f"{where}: a compressed weight lies outside of the {shape[0]}×{shape[1]} matrix: convert again")
    kernel = np.zeros(shape)
    np.add.at(kernel, (rows.astype(int), columns.astype(int)), weights)
    return kernel
