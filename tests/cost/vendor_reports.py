"""Write reports in the vendors' formats beside a project, with figures of one's choice."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "firmware" / "reports" / "vitis_2022.2"
TOP, PART, VERSION = "tagger", "xcvu13p-flga2577-2-e", "2022.2"
_TAGS = {
    "LUT": ("LUT",), "FF": ("FF",), "DSP": ("DSP",), "BRAM_18K": ("BRAM_18K",),
    "latency_cycles": ("Best-caseLatency", "Average-caseLatency", "Worst-caseLatency"), "II": ("Interval-min", "Interval-max"),
}  # fmt: skip


def port(name: str, bits: int, source: str) -> str:
    """A port as csynth.xml lists it."""
    return f"<RtlPorts><name>{name}</name><Object>{source}</Object><Dir>in</Dir><Bits>{bits}</Bits></RtlPorts>"


def write_csynth(project: Path, figures: Mapping[str, float], *, top: str = TOP, version: str = VERSION, ports: str = "") -> Path:
    """Write NAME_csynth.xml with these figures."""
    text = (FOLDER / f"{TOP}_prj/solution1/syn/report/{TOP}_csynth.xml").read_text()
    resources, available = text.split("<AvailableResources>")
    for name, value in figures.items():
        for tag in _TAGS[name]:
            resources, count = re.subn(rf"<{tag}>\d+</{tag}>", f"<{tag}>{value:.0f}</{tag}>", resources)
            assert count == 1, tag
    text = f"{resources}<AvailableResources>{available}".replace(f">{TOP}<", f">{top}<").replace(f">{VERSION}<", f">{version}<")
    file = project / f"{TOP}_prj/solution1/syn/report/{TOP}_csynth.xml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text.replace("</InterfaceSummary>", f"{ports}</InterfaceSummary>"))
    return file


def write_vsynth(project: Path, figures: Mapping[str, int]) -> None:
    """Write vivado_synth.rpt with these LUT, FF, DSP, and BRAM_18K as RAMB18."""
    rows = {
        "CLB LUTs*": (figures["LUT"], 1728000), "  LUT as Logic": (figures["LUT"], 1728000), "  LUT as Memory": (0, 864000),
        "CLB Registers": (figures["FF"], 3456000), "  Register as Flip Flop": (figures["FF"], 3456000),
        "Block RAM Tile": (figures["BRAM_18K"] / 2, 2688), "  RAMB18": (figures["BRAM_18K"], 5376),
        "DSPs": (figures["DSP"], 12288),
    }  # fmt: skip
    lines = []
    for line in (FOLDER / "vivado_synth.rpt").read_text().splitlines():
        cells = line.split("|")
        name = cells[1][1:].rstrip() if len(cells) == 8 else ""
        if name in rows:
            used, available = rows[name]
            line = f"| {name} | {used:g} | 0 | 0 | {available} | {100 * used / available:.2f} |"
        elif name.strip() == "DSP48E2 only":
            line = f"|   DSP48E2 only | {figures['DSP']} | | | | |"
        lines.append(line)
    (project / "vivado_synth.rpt").write_text("\n".join(lines) + "\n")
