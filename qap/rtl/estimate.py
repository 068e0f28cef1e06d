"""LUTs from da4ml's cost, for the search: a measured ratio with its band."""

from __future__ import annotations

from dataclasses import dataclass

from qap.candidate import Figure


@dataclass(frozen=True, slots=True)
class Ratio:
    """LUTs over da4ml's cost.

    Parameters
    ----------
    value, low, high : float
        Median, smallest and largest of the circuits measured.
    circuits : int
    source : str
    """

    value: float
    low: float
    high: float
    circuits: int
    source: str


LUT_PER_COST = Ratio(
    0.94, 0.72, 1.11, 38,
    "benchmarks/rtl.py: 11 random circuits, 3 to 8 bits, 0 to 95 % zero weights; benchmarks/ramp_front.py and lut.py: 27 trained "
    "ones of 16-64-32-32-5; Yosys 0.70, da4ml 0.6.0",
)  # fmt: skip


def lut_estimate(cost: float) -> Figure:
    """Return the LUTs that Yosys is expected to give for a da4ml cost, with the band of the circuits measured.

    The smaller, the lower: trained circuits have 0.72 to 0.94 below a cost of 1,000 and 0.91 to 1.00 above; random ones 0.89 and
    0.99 at 95 and 90 % zero weights, 1.02 to 1.11 below.
    """
    ratio = LUT_PER_COST
    source = f"da4ml cost times {ratio.value}, the ratio to Yosys of {ratio.circuits} circuits (not Vivado)"
    return Figure(cost * ratio.value, source, "", cost * ratio.low, cost * ratio.high)
