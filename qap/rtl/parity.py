"""Compare a QKeras model with its RTL, bit by bit."""

from __future__ import annotations

from typing import Any

import numpy as np

from qap.candidate import Parity
from qap.errors import InputError
from qap.firmware.lowering import Lowered, lower
from qap.firmware.reference import Reference
from qap.precision import Precision
from qap.rtl.design import Design, Wire
from qap.rtl.simulate import TIMEOUT, simulate


def compare_rtl(model: Any, design: Design, x: Any, *, timeout: float = TIMEOUT) -> Parity:
    """Run QKeras and the pipelined Verilog on the same events and compare every bit of the outputs.

    Parameters
    ----------
    model : keras.Model
        The one that the design was written from.
    design : Design
    x : array (events, …)
        On the grid of the design's inputs.
    timeout : float, default 600
        Seconds that building the simulation may take.

    Returns
    -------
    Parity
        `first_layer` names the first output element that differs, for example ``output[2]``. QKeras runs in float64 where
        float32 does not hold its sums.

    Raises
    ------
    InputError
        Inputs that do not fit.
    ToolMissingError
        No verilator, or no g++.
    QapError
        The simulation could not be built in the time given.
    """
    x = np.asarray(x, np.float64)
    if not len(x):
        raise InputError("compare_rtl: expected events, received none")
    received = simulate(design, x, timeout=timeout).reshape(len(x), -1)
    lowered = lower(model, input_types(design))
    reference = Reference(model, lowered)
    expected = reference.outputs([x.reshape(len(x), -1)])[0].reshape(len(x), -1)
    if expected.shape != received.shape:
        raise InputError(f"compare_rtl: the model has {expected.shape[1]} outputs, the design {received.shape[1]}")
    difference = np.abs(expected - received)
    wrong = ~(difference == 0)  # NaN is not exact
    first = None
    if wrong.any():
        first = f"{_last_layer(lowered)}[{int(np.argmax(wrong.any(axis=0)))}]"
    return Parity(len(x), int((~wrong.any(axis=1)).sum()), float(difference.max()), first, reference.arithmetic)


def input_types(design: Design) -> tuple[Precision, ...]:
    """Return the types of the inputs, one per feature of the last axis."""

    def precision(wire: Wire) -> Precision:
        return Precision(wire.bits, wire.integer, wire.signed)

    return tuple(precision(wire) for wire in design.inputs[: design.input_shape[-1]])


def _last_layer(lowered: Lowered) -> str:
    last = lowered.outputs[0].layer
    found = [call for call, tensor in lowered.finals.items() if tensor.layer == last]
    return lowered.layers[found[0]] if found else last
