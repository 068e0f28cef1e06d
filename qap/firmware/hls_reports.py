"""Reports of Vivado HLS and Vitis HLS: C synthesis and C/RTL simulation."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping

from qap.candidate import Cost, Figure
from qap.firmware.tables import CUT, Report

RESOURCES = ("LUT", "FF", "DSP", "BRAM_18K", "URAM")
_VERSION = r"20[0-9]{2}\.[0-9][\w.]*"
_SUMMARY = ("Name", *RESOURCES[:4])
Span = tuple[int, int] | None


def _performance(latency: Span, interval: Span, source: str, clock: float | None = None) -> dict[str, Figure]:
    figures = {}
    if latency is not None:
        figures["latency_cycles"] = Figure(latency[1], source, "cycles", *latency)
        if clock is not None:
            low, high = (round(cycles * clock, 6) for cycles in latency)
            figures["latency_ns"] = Figure(high, f"{source}, cycles times target clock", "ns", low, high)
    if interval is not None and interval[1] > 0:  # 0 stands for a combinational function, which has no II
        figures["II"] = Figure(interval[1], source, "cycles", *interval)
    return figures


def _synthesis(report: Report, tool: str, counts: Mapping[str, int], clocks: tuple[str, str], *spans: Span) -> Cost:
    target, estimate = (report.number(text, "clock period") for text in clocks)
    if target <= 0 or estimate < 0:
        raise report.error(f"expected clock periods above 0 ns, received target {target}, estimate {estimate}")
    source = f"csynth, {tool}, target clock {target:g} ns"
    figures = {name: Figure(counts[name], source) for name in RESOURCES if name in counts}
    figures["clock_target_ns"] = Figure(target, source, "ns")
    figures["clock_estimate_ns"] = Figure(estimate, source, "ns")
    return Cost(figures | _performance(spans[0], spans[1], source, target))


def parse_csynth_xml(text: str, file: str = "csynth.xml", *, top: str | None = None, part: str | None = None) -> Cost:
    """Read ``NAME_csynth.xml`` of Vivado HLS or Vitis HLS.

    Parameters
    ----------
    text : str
    file : str, default 'csynth.xml'
        Name for the messages.
    top, part : str, optional
        What the report must be of.

    Returns
    -------
    Cost

    Raises
    ------
    InputError
        Not a whole csynth.xml, a value that it cannot hold, another top function or part.
    """
    report = Report(text, file)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise report.error("expected a csynth.xml, received XML with a document type")
    try:
        root = ET.fromstring(text.strip())
    except (ET.ParseError, ValueError) as error:
        raise report.error(f"expected a whole csynth.xml, received broken XML ({error})") from None

    def value(path: str) -> str:
        nodes = root.findall(path)
        if len(nodes) != 1 or not (nodes[0].text or "").strip():
            raise report.error(f"expected one {path} as csynth.xml has it, found {len(nodes)}")
        return str(nodes[0].text).strip()

    report.check(top, part, value("UserAssignments/TopModelName"), value("UserAssignments/Part"))
    timing, overall = (f"PerformanceEstimates/SummaryOf{name}/" for name in ("TimingAnalysis", "OverallLatency"))
    for path, unit in (("UserAssignments/", "ns"), (timing, "ns"), (overall, "clock cycles")):
        if value(f"{path}unit") != unit:
            raise report.error(f"expected {path}unit {unit}, received {value(f'{path}unit')!r}")
    version = value("ReportVersion/Version")
    if not re.fullmatch(_VERSION, version):
        raise report.error(f"expected a version such as 2023.2, received {version!r}")
    area = "AreaEstimates/Resources"
    tags = {"DSP": "DSP48E"} if root.find(f"{area}/DSP48E") is not None else {}
    names = RESOURCES if root.find(f"{area}/URAM") is not None else RESOURCES[:4]
    return _synthesis(
        report,
        f"{'Vivado' if tags else 'Vitis'} HLS {version}",
        {name: report.count(value(f"{area}/{tags.get(name, name)}"), name) for name in names},
        (value("UserAssignments/TargetClockPeriod"), value(f"{timing}EstimatedClockPeriod")),
        report.span(value(f"{overall}Best-caseLatency"), value(f"{overall}Worst-caseLatency"), "latency"),
        report.span(value(f"{overall}Interval-min"), value(f"{overall}Interval-max"), "interval"),
    )


def _resources(report: Report) -> dict[str, int]:
    """Return the row Total of the utilisation estimates, held against the rows above and the percentages below it."""
    table = report.table(r"^== Utilization Estimates\n=+\n\* Summary:", "Utilization Estimates")
    header = ["DSP" if name == "DSP48E" else name for name in table[0]]
    if any(len(row) != len(header) for row in table) or len({row[0] for row in table}) != len(table):
        raise report.error("Utilization Estimates: expected rows of one length and distinct names")
    rows = {row[0]: dict(zip(header, row, strict=True)) for row in table}
    missing = {*_SUMMARY} - {*header} or {"Total", "Available", "Utilization (%)"} - {*rows}
    if missing or len(set(header)) != len(header):
        raise report.error(f"Utilization Estimates: expected {', '.join(sorted(missing)) or 'distinct columns'}")
    counts = {name: report.count(rows["Total"][name], name) for name in RESOURCES if name in header}
    for name, used in counts.items():
        available = report.count(rows["Available"][name], f"available {name}")
        report.share(rows["Utilization (%)"][name], used, available, 1.0, name)
        above = [row[name] for row in list(rows.values())[1 : list(rows).index("Total")]]
        if used != sum(report.count(cell, name) for cell in above if cell != "-"):
            raise report.error(f"{name}: {used} is not the sum of the rows above Total: the report was changed")
    return counts


def parse_csynth_rpt(text: str, file: str = "csynth.rpt", *, top: str | None = None, part: str | None = None) -> Cost:
    """Read ``NAME_csynth.rpt`` of Vivado HLS or Vitis HLS; parameters, return and errors as in `parse_csynth_xml`."""
    report = Report(text, file)
    heading = "the line == Vitis HLS Report for 'NAME'"
    tool = report.find(r"^== (Vivado HLS|Vitis HLS) Report for '\w+'$", heading)
    found_top = report.find(r"^== V\w+ HLS Report for '(\w+)'$", heading)
    version = report.find(rf"^\* Version: +({_VERSION}) ", "* Version:")
    report.check(top, part, found_top, report.find(r"^\* Target device: +(\S+)$", "* Target device:"))

    clock = report.table(r"^\+ Timing(?: \(ns\))?: *\n +\* Summary:", "Timing")
    if len(clock) != 2 or clock[0][:3] != ["Clock", "Target", "Estimated"] or len(clock[1]) != 4:
        raise report.error("Timing: expected one clock with target, estimate and uncertainty")
    row = report.table(r"^\+ Latency(?: \(clock cycles\))?: *\n +\* Summary:", "Latency")[-1]
    if len(row) not in (5, 7):
        raise report.error(f"Latency: expected 5 columns (older versions) or 7, received {len(row)}")
    spans = report.span(row[0], row[1], "latency"), report.span(row[-3], row[-2], "interval")
    return _synthesis(report, f"{tool} {version}", _resources(report), (clock[1][1], clock[1][2]), *spans)


def parse_cosim(text: str, file: str = "cosim.rpt") -> Cost:
    """Read ``NAME_cosim.rpt``: cycles as simulated; the report names no top function, part or version.

    Parameters
    ----------
    text : str
    file : str, default 'cosim.rpt'
        Name for the messages.

    Returns
    -------
    Cost
        ``latency_cycles``, and ``II`` where more than one event was simulated.

    Raises
    ------
    InputError
        Not a whole report, a simulation that failed or was not run.
    """
    report = Report(text, file)
    report.find(r"^(Solution) +:", "the line Solution")
    rows = [report.cells(line) for line in text.splitlines() if re.match(r"\| +(Verilog|VHDL)\|", line)]
    if sorted(row[0] for row in rows) != ["VHDL", "Verilog"] or {len(row) for row in rows} not in ({8}, {9}):
        raise report.error(f"expected the rows Verilog and VHDL: {CUT}")
    run = [row for row in rows if row[1] != "NA"]
    if len(run) != 1:
        raise report.error(f"expected one simulated language, received {len(run)}")
    language, status, low, _, high = run[0][:5]
    if status != "Pass":
        raise report.error(f"the C/RTL simulation ended with {status!r}: no figure is taken from it")
    latency, interval = report.span(low, high, "latency"), report.span(run[0][5], run[0][7], "interval")
    if latency is None:
        raise report.error(f"expected the latency of a simulation that passed, received {low!r}")
    for span, mean in ((latency, run[0][3]), (interval, run[0][6])):
        if span is not None and not span[0] <= report.number(mean, "average") <= span[1]:
            raise report.error(f"the average {mean} is outside {span[0]} to {span[1]}: the report was changed")
    return Cost(_performance(latency, interval, f"cosim, C/RTL simulation of the {language}"))
