"""Whether a csynth report is of the project it lies in: its ports against those of the top function."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

from qap.cost.hls_project import HLSProject
from qap.errors import InputError

_CONTROL = re.compile(r"\w*_(ap_vld|ap_ack|TVALID|TREADY|full_n|empty_n|read|write|ce\d*|we\d*|address\d*)")


def check_ports(project: HLSProject) -> None:
    """Hold the ports in csynth.xml against those of the top function, as far as the report lists them.

    Parameters
    ----------
    project : HLSProject
        Its report was read by `qap.firmware.reports.read_reports` before, which checks top function, part and clock.

    Raises
    ------
    InputError
        Other ports, or inputs of another number of bits: the report is of another project or conversion.
    """
    file = project.directory / f"{project.name}_prj/solution1/syn/report/{project.name}_csynth.xml"
    if not file.is_file():
        return
    bits: dict[str, int] = {}
    for row in ET.fromstring(file.read_text(encoding="utf-8").strip()).iterfind("InterfaceSummary/RtlPorts"):
        name, source, width = (row.findtext(tag, "").strip() for tag in ("name", "Object", "Bits"))
        if source not in ("", project.name) and not _CONTROL.fullmatch(name) and width.isdigit():
            bits[source] = bits.get(source, 0) + int(width)
    if not bits:
        return
    cure = "the report is of another project or conversion, run csynth again"
    found = {
        port.name: [w for source, w in bits.items() if re.fullmatch(rf"{port.name}(_\w+)?", source)] for port in project.ports
    }
    if not any(found.values()):
        expected = ", ".join(port.name for port in project.ports)
        raise InputError(f"{file}: expected the ports {expected}, the report has {', '.join(bits)}: {cure}")
    for port in project.ports:
        if port.output or port.stream or port.size is None or port.hls_type is None or not found[port.name]:
            continue
        expected_bits = port.size * port.hls_type.bits
        if sum(found[port.name]) != expected_bits:
            raise InputError(
                f"{file}: expected {expected_bits} bits of {port.name}, the report has {sum(found[port.name])}: {cure}"
            )
