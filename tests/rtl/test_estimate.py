"""The ratio of LUTs to da4ml's cost and its band."""

from __future__ import annotations

from qap.rtl.estimate import LUT_PER_COST, lut_estimate


def test_the_estimate_lies_in_its_band_and_names_its_source() -> None:
    figure = lut_estimate(2000.0)
    assert figure.low is not None
    assert figure.high is not None
    assert figure.low < figure.value < figure.high
    assert figure.value == 2000 * LUT_PER_COST.value
    assert "not Vivado" in figure.source
    assert str(LUT_PER_COST.circuits) in figure.source


def test_the_measured_rows_lie_in_the_band() -> None:
    """Cost and LUTs of rows of docs/rtl.md."""
    for cost, lut in ((3797, 4098), (1771, 1935), (2399, 2460), (2178, 2321), (782, 694), (12119, 12773)):
        figure = lut_estimate(cost)
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low <= lut <= figure.high
