"""From a QKeras model to a proven HLS project: convert, build the C-simulation, compare."""

from qap.firmware.convert import convert, write_test_vectors
from qap.firmware.csim import build, build_all, simulate, trace
from qap.firmware.lowering import rule, supported
from qap.firmware.parity import Comparison, compare
from qap.firmware.project import Port, Project

__all__ = [
    "Comparison", "Port", "Project", "build", "build_all", "compare", "convert", "rule", "simulate", "supported", "trace",
    "write_test_vectors",
]  # fmt: skip
