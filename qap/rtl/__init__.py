"""The RTL route: a model as pipelined Verilog by distributed arithmetic, simulated, compared, synthesised."""

from qap.rtl.design import Design, Wire, load_design, write_design
from qap.rtl.parity import compare_rtl
from qap.rtl.simulate import build_simulation, predict, simulate
from qap.rtl.synthesis import load_synthesis, synthesise
from qap.rtl.tie_free import tie_free
from qap.rtl.trace import da4ml_cost, trace, trace_plan

__all__ = [
    "Design",
    "Wire",
    "build_simulation",
    "compare_rtl",
    "da4ml_cost",
    "load_design",
    "load_synthesis",
    "predict",
    "simulate",
    "synthesise",
    "tie_free",
    "trace",
    "trace_plan",
    "write_design",
]
