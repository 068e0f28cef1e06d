"""The record of a generated HLS project: what stands in its directory, and how to read its ports."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qap.errors import InputError, QapError
from qap.precision import Precision, is_whole

FILE = "project.json"
NAME = re.compile(r"[A-Za-z_]\w{0,199}", re.ASCII)
"""Of functions, ports and layers in C++, Verilog, Tcl and paths."""
TYPE = re.compile(r"(ap_)?u?fixed<[0-9]{1,4}, *-?[0-9]{1,4}(, *[A-Z_:a-z0-9]+)*>", re.ASCII)
MOST_ELEMENTS = 1 << 24
SETTINGS = ("Backend", "Part", "ClockPeriod", "IOType", "Strategy", "ReuseFactor")
"""hls4ml's own keys of the section `firmware`: what a project is converted with."""


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of the firmware.

    Parameters
    ----------
    name : str
    shape : tuple of int
        Without the event axis.
    type : str
        Fixed-point type in hls4ml's spelling.
    precision : str, optional
        Of an input, as `Precision` reads it.
    features : tuple of str, optional
        Precision of each feature of the last axis, where they differ; `precision` then holds them all.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    precision: str = ""
    features: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Port:
        """Read the plain form; InputError, TypeError or KeyError where it is none."""
        found = cls(**{**values, "shape": tuple(values["shape"]), "features": tuple(values["features"])})
        if not all(is_whole(one) and one > 0 for one in found.shape) or math.prod(found.shape) > MOST_ELEMENTS:
            raise InputError(f"expected a shape of numbers from 1, received {found.shape}")
        if not isinstance(found.name, str) or not NAME.fullmatch(found.name):
            raise InputError(f"expected a C name of a port, received {found.name!r}")
        if not isinstance(found.type, str) or not TYPE.fullmatch(found.type):
            raise InputError(f"{found.name}: expected a fixed-point type, received {found.type!r}")
        for text in (*found.features, *([found.precision] if found.precision else [])):
            Precision.parse(text)
        return found

    @property
    def kind(self) -> Precision | tuple[Precision, ...]:
        """The input's type, as `convert` takes it."""
        return tuple(map(Precision.parse, self.features)) or Precision.parse(self.precision)

    def quantize(self, array: np.ndarray) -> np.ndarray:
        """Round half to even and saturate an array (events, elements) to the input's type."""
        if not self.features:
            return Precision.parse(self.precision).quantize(array)
        parts = array.reshape(len(array), -1, len(self.features))
        columns = [Precision.parse(text).quantize(parts[..., i]) for i, text in enumerate(self.features)]
        return np.stack(columns, axis=-1).reshape(array.shape)

    @property
    def size(self) -> int:
        """Elements per event."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Project:
    """A generated HLS project.

    Parameters
    ----------
    directory : Path
        Ready for ``vitis_hls -f build_prj.tcl`` (Vivado: ``vivado_hls -f build_prj.tcl``).
    name : str
        Of the top function.
    inputs, outputs : tuple of Port
    settings : mapping
        The configuration section `Firmware`, plain.
    traces : mapping of call name → Port
        Where the firmware holds the output of each layer of the model; the port's name is the firmware's layer.
    layers : mapping of call name → name of the model's layer
    reference : {'float32', 'float64'}
        The arithmetic in which the QKeras model is exact.
    bounds : mapping of call name → reason
        Layers that are approximate because the user accepted it.
    head : {'logits', 'argmax'}
    """

    directory: Path
    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    settings: Mapping[str, Any]
    traces: Mapping[str, Port]
    layers: Mapping[str, str]
    reference: str = "float32"
    bounds: Mapping[str, str] = field(default_factory=dict)
    head: str = "logits"

    def save(self) -> None:
        """Write ``project.json`` into the directory."""
        values = asdict(self)
        del values["directory"]
        temporary = self.directory / f".{FILE}"
        temporary.write_text(json.dumps(values, indent=1))
        temporary.replace(self.directory / FILE)

    @classmethod
    def load(cls, directory: Path) -> Project:
        """Read the project in a directory.

        Raises
        ------
        InputError
            No project stands there.
        """
        path = Path(directory) / FILE
        cure = "make one with qap.firmware.convert"
        try:
            values = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError):
            raise InputError(f"{path}: not a firmware project: {cure}") from None
        try:
            for key in ("inputs", "outputs"):
                values[key] = tuple(Port.from_dict(item) for item in values[key])
            values["traces"] = {name: Port.from_dict(item) for name, item in values["traces"].items()}
            found = cls(Path(directory), **values)
            found.check()
        except (TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{path}: not a firmware project ({type(error).__name__}: {error}): {cure}") from None
        except InputError as error:
            raise InputError(f"{path}: {error}: {cure}") from None
        return found

    def check(self) -> None:
        """Refuse what qap does not write: names stand in paths, scripts and C++, and the file may come from elsewhere.

        Raises
        ------
        InputError
        """
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise InputError(f"name: expected a C name, received {self.name!r}")
        if not self.inputs or not self.outputs:
            raise InputError("expected inputs and outputs")
        if self.reference not in ("float32", "float64") or self.head not in ("logits", "argmax"):
            raise InputError(f"expected float32 or float64, logits or argmax, received {self.reference!r}, {self.head!r}")
        for key in ("settings", "layers", "bounds"):
            if not isinstance(getattr(self, key), Mapping):
                raise InputError(f"{key}: expected names and values, received {getattr(self, key)!r}")

    def arrays(self, x: Any) -> list[np.ndarray]:
        """Check inputs and return one float64 array (events, elements) per input port.

        Parameters
        ----------
        x : array, sequence of arrays in the order of `inputs`, or mapping of input name → array

        Raises
        ------
        InputError
            Another number of inputs, a shape that does not fit, no events, NaN or infinity.
        """
        if isinstance(x, Mapping):
            missing = [port.name for port in self.inputs if port.name not in x]
            if missing:
                raise InputError(f"inputs: expected arrays for {', '.join(missing)}, received {', '.join(x)}")
            x = [x[port.name] for port in self.inputs]
        parts: Sequence[Any] = [x] if len(self.inputs) == 1 and not isinstance(x, list | tuple) else x
        if len(parts) != len(self.inputs):
            raise InputError(f"inputs: expected {len(self.inputs)} arrays, received {len(parts)}")
        arrays = []
        for port, part in zip(self.inputs, parts, strict=True):
            array = np.asarray(part, np.float64)
            if array.shape[1:] not in (port.shape, (port.size,)) or not len(array):
                raise InputError(
                    f"{port.name}: expected an array (events, {', '.join(map(str, port.shape))}), received {array.shape}"
                )
            if not np.isfinite(array).all():
                event = int(np.nonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))[0][0])
                raise InputError(f"{port.name}: NaN or infinity in event {event}: firmware inputs are numbers; clean the data")
            arrays.append(np.ascontiguousarray(array.reshape(len(array), -1)))
        if len({len(array) for array in arrays}) != 1:
            raise InputError(f"inputs: expected as many events in each, received {[len(array) for array in arrays]}")
        return arrays

    def quantized(self, x: Any) -> list[np.ndarray]:
        """Return the inputs as the firmware's input types hold them: rounded half to even and saturated."""
        return [port.quantize(array) for port, array in zip(self.inputs, self.arrays(x), strict=True)]

    def fail(self, what: str) -> QapError:
        """Return an error that names the project."""
        return QapError(f"{self.directory}: {what}")
