"""From a QKeras model to a proven HLS project: convert, build the C-simulation, compare."""

from qap.firmware import rules
from qap.firmware.convert import convert, write_test_vectors
from qap.firmware.csim import build, build_all, simulate, trace
from qap.firmware.lowering import rule, supported
from qap.firmware.parity import Comparison, compare
from qap.firmware.prepare import Prepared, prepare, with_input_quantizer
from qap.firmware.project import Port, Project
from qap.firmware.vectors import parity_vectors

__all__ = [
    "Comparison",
    "Port",
    "Prepared",
    "Project",
    "build",
    "build_all",
    "compare",
    "convert",
    "parity_vectors",
    "prepare",
    "rule",
    "rules",
    "simulate",
    "supported",
    "trace",
    "with_input_quantizer",
    "write_test_vectors",
]
