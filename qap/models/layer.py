"""Layer: one sum of products of a network and what belongs to it, from the shape that comes in to the shape that goes out."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from qap.errors import InputError, suggestion

ACTIVATIONS = ("relu", "linear")
POOLS = ("max", "average", "global_max", "global_average")
PADDINGS = ("valid", "same")
_POOL = re.compile(r"^(max|average)\((\d+(?:,\d+)?)\)$|^(global_max|global_average)$")
_EXAMPLES = "max(2), average(2,1), global_max or global_average"
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pool:
    """Pooling behind an activation.

    Parameters
    ----------
    kind : {'max', 'average', 'global_max', 'global_average'}
    size : tuple of int
        Window along each axis, also the stride; empty for the global kinds.
    """

    kind: str
    size: Shape = ()

    @classmethod
    def parse(cls, text: str, axes: int, where: str) -> Pool:
        """Read ``max(2)``, ``average(2,1)``, ``global_max``, ``global_average``; one number holds for all axes.

        Raises
        ------
        InputError
            Anything else, or more numbers than the tensor has axes.
        """
        match = _POOL.match(str(text).replace(" ", ""))
        if not match:
            raise InputError(f"{where}: pool: expected {_EXAMPLES}, received {text!r}{suggestion(str(text), POOLS)}")
        if match[3]:
            return cls(match[3])
        numbers = tuple(int(part) for part in match[2].split(","))
        size = numbers * axes if len(numbers) == 1 else numbers
        if len(size) != axes or min(size) < 1:
            raise InputError(f"{where}: pool: expected {axes} numbers from 1, one for each axis, received {text!r}")
        return cls(match[1], size)

    @property
    def averages(self) -> bool:
        """Whether it divides, so that its result is rounded to the activation's type again."""
        return self.kind.endswith("average")


@dataclass(frozen=True, slots=True)
class Layer:
    """A Dense layer or a convolution with what follows it: BatchNormalization, a skip connection, an activation, a pooling.

    Parameters
    ----------
    name : str
    units : int
        Of a convolution its filters.
    activation : {'relu', 'linear'}, default 'relu'
    batchnorm : bool, default False
        Folded before quantization.
    kernel : tuple of int, default ()
        Window of a convolution over one or two axes; empty: Dense, on everything that comes in as one row of numbers.
    strides : tuple of int, default ()
        Empty: 1 along each axis.
    padding : {'valid', 'same'}, default 'valid'
    pool : str, default ''
        Behind the activation: ``max(2)``, ``average(2)``, ``global_max``, ``global_average``; averages are rounded to the
        activation's type again.
    add : str, default ''
        An earlier layer whose output is added before the activation: a residual connection.

    Raises
    ------
    InputError
        Values that no layer has.
    """

    name: str
    units: int
    activation: str = "relu"
    batchnorm: bool = False
    kernel: Shape = ()
    strides: Shape = ()
    padding: str = "valid"
    pool: str = ""
    add: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.units, bool) or not isinstance(self.units, int) or self.units < 1:
            raise InputError(f"{self.name}: expected a number of units from 1, received {self.units!r}")
        if self.activation not in ACTIVATIONS:
            raise InputError(f"{self.name}: expected an activation of {', '.join(ACTIVATIONS)}, received {self.activation!r}")
        for field in ("kernel", "strides"):
            values = tuple(getattr(self, field))
            if not all(isinstance(value, int) and value >= 1 for value in values) or len(values) > 2:
                raise InputError(f"{self.name}: {field}: expected one or two whole numbers from 1, received {list(values)}")
            object.__setattr__(self, field, values)
        if self.strides and len(self.strides) != len(self.kernel):
            raise InputError(f"{self.name}: strides: expected one for each axis of the kernel, received {list(self.strides)}")
        if self.padding not in PADDINGS:
            raise InputError(f"{self.name}: padding: expected one of {', '.join(PADDINGS)}, received {self.padding!r}")
        if self.padding != "valid" and not self.kernel:
            raise InputError(f"{self.name}: padding: a Dense layer has none; give a kernel for a convolution")

    @property
    def steps(self) -> Shape:
        """Strides, 1 where none are given."""
        return self.strides or (1,) * len(self.kernel)

    def taken(self, given: Shape) -> Shape:
        """Return the shape that the layer works on: for Dense one row."""
        if not self.kernel:
            return (math.prod(given),)
        if len(given) != len(self.kernel) + 1:
            wanted = "(length, channels)" if len(self.kernel) == 1 else "(height, width, channels)"
            raise InputError(
                f"{self.name}: a convolution over {len(self.kernel)} axes needs an input {wanted}, received {given}: set "
                "model.shape"
            )
        return given

    def weight_shape(self, given: Shape) -> Shape:
        """Return the shape of the kernel's weights: (…, inputs, units)."""
        return (*self.kernel, self.taken(given)[-1], self.units)

    def summed(self, given: Shape) -> Shape:
        """Return the shape of the sums of products.

        Raises
        ------
        InputError
            A window larger than its input.
        """
        *axes, _ = self.taken(given)
        if self.padding == "same":
            return (*(-(-length // step) for length, step in zip(axes, self.steps, strict=True)), self.units)
        found = [(length - window) // step + 1 for length, window, step in zip(axes, self.kernel, self.steps, strict=True)]
        if any(length < 1 for length in found):
            raise InputError(f"{self.name}: the kernel {self.kernel} is larger than its input {given}")
        return (*found, self.units)

    def given_on(self, given: Shape) -> Shape:
        """Return the shape that goes on to the next layer.

        Raises
        ------
        InputError
            A pooling of one row, or a window larger than what it pools.
        """
        shape = self.summed(given)
        if not self.pool:
            return shape
        if len(shape) == 1:
            raise InputError(f"{self.name}: pool: the output {shape} has no axis to pool; leave it out")
        pool = Pool.parse(self.pool, len(shape) - 1, self.name)
        if not pool.size:
            return shape[-1:]
        axes = [length // window for length, window in zip(shape, pool.size, strict=False)]
        if min(axes) < 1:
            raise InputError(f"{self.name}: pool: {self.pool} is larger than what it pools, {shape}")
        return (*axes, self.units)

    def pooling(self, axes: int) -> Pool | None:
        """Return the pooling of a tensor with so many axes beside the channels, None without one."""
        return Pool.parse(self.pool, axes, self.name) if self.pool else None

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form; what only convolutions and residual networks have stands there where it is not the default."""
        values = asdict(self)
        always = ("name", "units", "activation", "batchnorm")
        return {
            field.name: list(value) if isinstance(value, tuple) else value
            for field in fields(self)
            if (value := values[field.name]) != field.default or field.name in always
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Layer:
        """Read the plain form."""
        plain: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
        return cls(**plain)

    def __str__(self) -> str:
        text = f"conv({'×'.join(map(str, self.kernel))},{self.units})" if self.kernel else str(self.units)
        return "-".join([text + (f"+{self.add}" if self.add else ""), *([self.pool] if self.pool else [])])
