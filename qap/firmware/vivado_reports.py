"""Reports of Vivado: utilisation and timing, after synthesis and after place and route."""

from __future__ import annotations

import re

from qap.candidate import Cost, Figure
from qap.errors import InputError
from qap.firmware.hls_reports import RESOURCES
from qap.firmware.tables import CUT, OPEN, Report

LABELS = {"vsynth": "post-synthesis", "impl": "place and route"}
_STATES = {"vsynth": ("Synthesized", "Optimized"), "impl": ("Routed", "Fully Routed")}
_SECTIONS = (("CLB Logic", "Slice Logic"), ("BLOCKRAM", "Memory"), ("ARITHMETIC", "DSP"))
_SITES = {
    "CLB LUTs": "LUT",
    "Slice LUTs": "LUT",
    "CLB Registers": "FF",
    "Slice Registers": "FF",
    "Block RAM Tile": "tile",
    "RAMB36/FIFO": "RAMB36",
    "RAMB18": "RAMB18",
    "URAM": "URAM",
    "DSPs": "DSP",
}
_PART = re.compile(r"(LUT) as (?:Logic|Memory)|(Register) as .+|(DSP)\w+ only")
_NUMBERED = re.compile(r"^[0-9]+\. ([^\n]+)\n-{2,}$", re.MULTILINE)


def _head(report: Report, stage: str, top: str | None, part: str | None) -> str:
    """Check the head of a Vivado report and return the source of its figures."""
    if stage not in LABELS:
        raise InputError(f"stage: expected {' or '.join(LABELS)}, received {stage!r}")
    version = report.find(r"^\| Tool Version +: Vivado v\.(20[0-9]{2}\.[0-9][\w.]*) ", "the line | Tool Version")
    design = report.find(r"^\| Design +: (\S+)$", "the line | Design")
    report.check(top, part, design, report.find(r"^\| Device +: (\S+)$", "the line | Device"))
    # Timing reports before 2021 have no such line.
    for state in re.findall(r"^\| Design State +: (.*?) *$", report.text, re.MULTILINE):
        if state not in _STATES[stage]:
            raise report.error(f"expected the design state {' or '.join(_STATES[stage])}, received {state!r}")
    return f"{LABELS[stage]}, Vivado {version}"


def _used(report: Report, rows: list[list[str]]) -> dict[str, float]:
    """Return the used sites of one table, held against the percentages and the rows below them."""
    counts: dict[str, float] = {}
    below: dict[str, int] = {}
    for row in rows[1:]:
        if len(row) != len(rows[0]):
            raise report.error(f"expected {len(rows[0])} columns, received {row}")
        site = row[0].rstrip("*")
        part = _PART.fullmatch(site)
        if part:
            name = "FF" if part.group(2) else part.group(1) or part.group(3)
            below[name] = below.get(name, 0) + report.count(row[1], site)
        if site not in _SITES:
            continue
        name = _SITES[site]
        if name in counts:
            raise report.error(f"the row {site} stands twice")
        half = name == "tile" and row[1].endswith(".5")
        counts[name] = report.count(row[1].removesuffix(".5") if half else row[1], site) + half / 2
        report.share(row[-1], counts[name], report.count(row[-2], f"available {site}"), 0.0101, site)
    for name, total in below.items():
        if name in counts and counts[name] != total:
            raise report.error(f"{name}: {counts[name]:g} is not the sum of the rows below it, {total}")
    return counts


def parse_utilization(
    text: str, stage: str, file: str = "utilization.rpt", *, top: str | None = None, part: str | None = None
) -> Cost:
    """Read a ``report_utilization`` of Vivado for a part of the 7 series, UltraScale or UltraScale+.

    Parameters
    ----------
    text : str
    stage : {'vsynth', 'impl'}
    file : str, default 'utilization.rpt'
        Name for the messages.
    top, part : str, optional
        What the report must be of.

    Returns
    -------
    Cost
        BRAM_18K counts halves of block RAM tiles: 2·RAMB36 + RAMB18.

    Raises
    ------
    InputError
        Not a whole report, rows that contradict each other, another design, part or stage.
    """
    report = Report(text, file)
    source = _head(report, stage, top, part)
    counts: dict[str, float] = {}
    found = [match.group(1) for match in _NUMBERED.finditer(text)]
    for titles in _SECTIONS:
        present = [title for title in titles if title in found]
        if len(present) != 1:
            raise report.error(f"expected the section {' or '.join(titles)}: {CUT}")
        rows = report.table(rf"^[0-9]+\. {present[0]}\n-+$", present[0])
        if rows[0][:2] != ["Site Type", "Used"] or rows[0][-2:] != ["Available", "Util%"]:
            raise report.error(f"{present[0]}: expected the columns Site Type, Used, …, Available, Util%")
        counts |= _used(report, rows)
    missing = {*_SITES.values()} - {*counts, "URAM"}
    if missing:
        raise report.error(f"expected the rows of {', '.join(sorted(missing))}: {CUT}")
    if counts["tile"] != counts["RAMB36"] + counts["RAMB18"] / 2:
        raise report.error(f"Block RAM Tile: {counts['tile']:g} is not {counts['RAMB36']:g} + {counts['RAMB18']:g}/2")
    counts["BRAM_18K"] = 2 * counts["tile"]
    return Cost({name: Figure(int(counts[name]), source) for name in RESOURCES if name in counts})


def parse_timing(
    text: str, stage: str, file: str = "timing.rpt", *, top: str | None = None, part: str | None = None
) -> Cost:
    """Read a ``report_timing_summary`` of Vivado with one clock; parameters as in `parse_utilization`.

    Returns
    -------
    Cost
        ``WNS``, ``clock_target_ns`` (the constraint) and ``clock_estimate_ns`` (constraint − WNS, the shortest period).

    Raises
    ------
    InputError
        Not a whole report, no clock constraint, several clocks, another design, part or stage.
    """
    report = Report(text, file)
    source = _head(report, stage, top, part)
    heading = r"^\| Design Timing Summary\n[|\s-]+WNS\(ns\) +TNS\(ns\) +TNS Failing Endpoints[^\n]*\n[ -]+\n"
    summary = report.find(heading + r"([^\n]+)\n", "the table Design Timing Summary").split()
    if len(summary) != 12:
        raise report.error(f"Design Timing Summary: expected 12 columns, received {len(summary)}")
    if summary[0] in OPEN:
        raise report.error(f"Design Timing Summary: WNS is {summary[0]}: the design has no clock constraint")
    wns, failing = report.number(summary[0], "WNS"), report.count(summary[2], "TNS Failing Endpoints")
    if (wns < 0) != (failing > 0):
        raise report.error(f"a WNS of {wns} ns with {failing} failing endpoints: the report was changed")
    setup = re.findall(r"^Setup : +[0-9]+ +Failing Endpoints, +Worst Slack +(\S+)ns,", text, re.MULTILINE)
    if setup and wns != min(report.number(slack, "Worst Slack") for slack in setup):
        raise report.error(f"a WNS of {wns} ns with worst slacks of {', '.join(setup)} ns: the report was changed")
    clocks = re.findall(r"^\w+ +\{[0-9. ]+\} +([0-9]+\.[0-9]+) +([0-9]+\.[0-9]+) *$", text, re.MULTILINE)
    if len(clocks) != 1:
        raise report.error(f"Clock Summary: expected one clock, received {len(clocks)}")
    period, frequency = (float(value) for value in clocks[0])
    if period <= 0 or abs(1000 / period - frequency) > 0.001 * frequency + 0.001:
        raise report.error(f"Clock Summary: {period} ns is not {frequency} MHz: the report was changed")
    if wns >= period:
        raise report.error(f"a WNS of {wns} ns with a clock of {period} ns: the report was changed")
    return Cost({
        "WNS": Figure(wns, source, "ns"),
        "clock_target_ns": Figure(period, source, "ns"),
        "clock_estimate_ns": Figure(round(period - wns, 6), f"{source}, period − WNS", "ns"),
    })
