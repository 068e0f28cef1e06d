"""From a QKeras model to a proven HLS project: convert, build the C-simulation, compare."""

from qap.firmware import rules
from qap.firmware.convert import convert, write_test_vectors
from qap.firmware.csim import build, build_all, simulate, trace
from qap.firmware.heads import WorkingPoint, working_point
from qap.firmware.inputs import HardwareFeature, with_input_quantizer, with_standardisation
from qap.firmware.lowering import rule, supported
from qap.firmware.parity import Comparison, compare
from qap.firmware.prepare import Prepared, prepare
from qap.firmware.project import Port, Project
from qap.firmware.vectors import parity_vectors

__all__ = [
    "Comparison",
    "HardwareFeature",
    "Port",
    "Prepared",
    "Project",
    "WorkingPoint",
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
    "with_standardisation",
    "working_point",
    "write_test_vectors",
]
