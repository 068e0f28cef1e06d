"""The convolutional network that ``qap init`` proposes where each event is an image, or a row of alike things."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from qap.commands.init_look import Seen
from qap.config.model import Model
from qap.models.architecture import Architecture

FILTERS = (8, 16, 16)
SMALLEST_POOLED = 8
"""Rows or columns from which a convolution is followed by pooling, and another one may follow."""
SMALLEST = 4
MOST_KINDS = 8
"""Numbers that a particle or another thing of a row may have."""
PIXEL_BITS = 9
MOST_PIXEL_BITS = 17


@dataclass(frozen=True)
class Image:
    """Events as an array of two or three dimensions.

    Parameters
    ----------
    array : str
        Its name in the file.
    shape : tuple of int
        As `model.shape` has it, channels last.
    layers : tuple of mappings
        As `model.layers` has them.
    bits : int
        Of the inputs; integers go in exactly.
    """

    array: str
    shape: tuple[int, ...]
    layers: tuple[dict[str, object], ...]
    bits: int

    @property
    def pixels(self) -> bool:
        """Rows, columns and channels; else things with some numbers each."""
        return len(self.shape) == 3

    def weights(self, outputs: int) -> int:
        """Return the weights of the network."""
        model = Model.model_validate({"shape": list(self.shape), "layers": list(self.layers), "batchnorm": False})
        shapes = Architecture.of(model, math.prod(self.shape), outputs).shapes
        return sum(math.prod(shape) for shape in shapes.values())


def _shape(elements: Sequence[Seen]) -> tuple[int, ...]:
    """Return the shape of the one array that the features are, empty where they are none."""
    last = elements[-1]
    shape = tuple(int(index) + 1 for index in re.findall(r"\[(\d+)\]", last.name.removeprefix(last.base)))
    return shape if len({one.base for one in elements}) == 1 and math.prod(shape) == len(elements) else ()


def channels_first(elements: Sequence[Seen]) -> bool:
    """Tell whether the features look like an image whose channels do not stand last, as they must."""
    shape = _shape(elements)
    return len(shape) == 3 and max(SMALLEST, shape[0] + 1) <= min(shape[1:])


def _pixel_layers(side: int) -> list[dict[str, object]]:
    """Return convolutions with pooling until few rows or columns are left."""
    found: list[dict[str, object]] = []
    for filters in FILTERS:
        if side >= SMALLEST_POOLED:
            found.append({"filters": filters, "kernel_size": [3, 3], "pool": "max(2)"})
            side = (side - 2) // 2
    return found or [{"filters": FILTERS[0], "kernel_size": [3, 3]}]


def image(elements: Sequence[Seen]) -> Image | None:
    """Return how the events are taken as images, None where the features are not one whole array of a fitting shape.

    Parameters
    ----------
    elements : sequence of Seen
        The features, number by number.
    """
    shape = _shape(elements)
    if len(shape) == 2 and shape[1] <= MOST_KINDS and max(SMALLEST, 2 * shape[1]) <= shape[0]:
        layer = {"filters": 16, "kernel_size": [2], "strides": [2]}
        layers = [layer, layer] if shape[0] >= 2 * SMALLEST else [layer]
    else:
        shape = (*shape, 1) if len(shape) == 2 else shape
        if len(shape) != 3 or min(shape[:2]) < max(SMALLEST, shape[2]):
            return None
        layers = _pixel_layers(min(shape[:2]))
    largest = max(int(max(one.high, -one.low)) for one in elements)
    exact = largest.bit_length() + 1 if all(one.whole for one in elements) else PIXEL_BITS
    return Image(elements[0].base, shape, (*layers, {"units": 32}), exact if 2 <= exact <= MOST_PIXEL_BITS else PIXEL_BITS)
