"""da4ml's search for the adders of a constant matrix, within a time.

The search runs in compiled code, which neither a time limit nor Ctrl-C interrupts. A matrix that may take longer than a second
is therefore searched in a process of its own, which can be ended; it takes half a second to start.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qap.digits import signed_digits
from qap.errors import InputError, QapError
from qap.firmware.processes import run_command
from qap.firmware.values import lowest_bit
from qap.rtl.tools import da4ml

SOLVER: Mapping[str, Any] = {"hard_dc": 2}
"""da4ml's options by default: adder trees at most two levels deeper than the shallowest."""
TIMEOUT = 600.0
"""Seconds that the searches of one model may take together."""
DIGITS = 30_000
"""Signed digits of one matrix at most: three minutes of a core were measured for 26,000 of a dense one, 13 s for 8,600."""
SMALL = 500
"""Signed digits that are searched in this process: a second for 64 outputs of hundreds of inputs, 0.05 s for a square matrix."""
KERNEL_BITS = 24
_SOLVE = """
import json, sys
import numpy as np
from da4ml.cmvm import solve
with open(sys.argv[1]) as file:
    problem = json.load(file)
kernel = np.array(problem.pop("kernel"), np.float32)
solve(kernel, qintervals=[tuple(one) for one in problem.pop("qintervals")], **problem).save(sys.argv[2])
"""


@dataclass(frozen=True)
class Solver:
    """The searches of one model.

    Parameters
    ----------
    options : mapping
        Of ``da4ml.cmvm.solve``.
    digits : int, default 30,000
        Signed digits of one matrix at most.
    timeout : float, default 600
        Seconds for all matrices together, from now on.
    """

    options: Mapping[str, Any] = field(default_factory=lambda: dict(SOLVER))
    digits: int = DIGITS
    timeout: float = TIMEOUT
    started: float = field(default_factory=time.monotonic)

    def matmul(self, layer: str, variables: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        """Return variables @ kernel as da4ml variables.

        Parameters
        ----------
        layer : str
            For messages.
        variables : object array (inputs,)
        kernel : float array (inputs, outputs)
            Without rows or columns of zeros.

        Raises
        ------
        InputError
            Weights that da4ml does not hold.
        QapError
            More digits than are taken, or the time is over.
        """
        count = self._digits(layer, kernel)
        left = self.started + self.timeout - time.monotonic()
        if left <= 0:
            raise self._late(layer, count)
        hardware = variables[0].hwconf
        problem = {
            "qintervals": [(float(one.low), float(one.high), float(one.step)) for one in variables],
            "latencies": [float(one.latency) for one in variables],
            "adder_size": hardware.adder_size,
            "carry_size": hardware.carry_size,
            **self.options,
        }
        weights = np.ascontiguousarray(kernel, np.float32)
        if count <= SMALL:
            solution = da4ml("cmvm").solve(weights, **problem)
        else:
            solution = self._apart(layer, count, {"kernel": weights.tolist(), **problem}, left)
        return np.ravel(solution(variables))

    def _apart(self, layer: str, count: int, problem: Mapping[str, Any], seconds: float) -> Any:
        """Search in a process of its own."""
        with tempfile.TemporaryDirectory(prefix="qap.") as temporary:
            folder = Path(temporary)
            (folder / "problem.json").write_text(json.dumps(problem))
            try:
                done = run_command([sys.executable, "-c", _SOLVE, "problem.json", "found.json"], folder, seconds)
            except subprocess.TimeoutExpired:
                raise self._late(layer, count) from None
            if done.returncode:
                lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
                raise QapError(f"{layer}: da4ml failed: {lines[-1]}")
            return da4ml("types").Pipeline.load(folder / "found.json")

    def _late(self, layer: str, count: int) -> QapError:
        return QapError(
            f"{layer}: da4ml has not found a circuit after {self.timeout:.0f} s: the design is too large for that time "
            f"({count:,} signed digits in this layer): use fewer weights or bits"
        )

    def _digits(self, layer: str, kernel: np.ndarray) -> int:
        """Count the signed digits, and refuse what da4ml does not hold or does not find in the time."""
        whole = np.abs(np.ldexp(kernel, -lowest_bit(kernel))).astype(np.int64)
        if whole.max() >= 1 << KERNEL_BITS:
            raise InputError(
                f"{layer}: its weights need {int(whole.max()).bit_length()} bits together, the RTL route takes {KERNEL_BITS}"
            )
        count = int(signed_digits(whole).sum())
        if count > self.digits:
            raise QapError(
                f"{layer}: {count:,} signed digits are more than the {self.digits:,} that da4ml searches in minutes: use fewer "
                "weights or bits"
            )
        return count
