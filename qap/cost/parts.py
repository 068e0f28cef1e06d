"""What FPGAs hold, from AMD's product tables (DS190, DS180, DS890, DS891, DS962, DS963, DS987)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from qap.errors import InputError, suggestion


@dataclass(frozen=True, slots=True)
class Part:
    """An FPGA.

    Parameters
    ----------
    name : str
        Of the device, without package and speed grade.
    slrs : int
        Dies: a design larger than one die's share has to cross between them.
    LUT, FF, DSP, BRAM_18K, URAM : int
    """

    name: str
    slrs: int
    LUT: int
    FF: int
    DSP: int
    BRAM_18K: int
    URAM: int

    def share(self, figure: str, value: float) -> float | None:
        """Return the fraction of the part that a figure takes, None for what is no resource or not in it."""
        held = getattr(self, figure, 0) if figure in RESOURCES else 0
        return value / held if held else None


RESOURCES = ("LUT", "FF", "DSP", "BRAM_18K", "URAM")
PARTS: Mapping[str, Part] = {
    part.name: part
    for part in (
        Part("xc7z007s", 1, 14_400, 28_800, 66, 100, 0),
        Part("xc7z010", 1, 17_600, 35_200, 80, 120, 0),
        Part("xc7z020", 1, 53_200, 106_400, 220, 280, 0),
        Part("xc7z045", 1, 218_600, 437_200, 900, 1_090, 0),
        Part("xc7a35t", 1, 20_800, 41_600, 90, 100, 0),
        Part("xc7a100t", 1, 63_400, 126_800, 240, 270, 0),
        Part("xc7k325t", 1, 203_800, 407_600, 840, 890, 0),
        Part("xc7vx690t", 1, 433_200, 866_400, 3_600, 2_940, 0),
        Part("xcku040", 1, 242_400, 484_800, 1_920, 1_200, 0),
        Part("xcku060", 1, 331_680, 663_360, 2_760, 2_160, 0),
        Part("xcku115", 2, 663_360, 1_326_720, 5_520, 4_320, 0),
        Part("xcku15p", 1, 522_720, 1_045_440, 1_968, 1_968, 128),
        Part("xcvu7p", 2, 788_160, 1_576_320, 4_560, 2_880, 640),
        Part("xcvu9p", 3, 1_182_240, 2_364_480, 6_840, 4_320, 960),
        Part("xcvu13p", 4, 1_728_000, 3_456_000, 12_288, 5_376, 1_280),
        Part("xcvu37p", 3, 1_303_680, 2_607_360, 9_024, 4_032, 960),
        Part("xcu50", 2, 871_680, 1_743_360, 5_952, 2_688, 640),
        Part("xcu55c", 3, 1_303_680, 2_607_360, 9_024, 4_032, 960),
        Part("xcu200", 3, 1_182_240, 2_364_480, 6_840, 4_320, 960),
        Part("xcu250", 4, 1_728_000, 3_456_000, 12_288, 5_376, 1_280),
        Part("xcu280", 3, 1_303_680, 2_607_360, 9_024, 4_032, 960),
        Part("xczu3eg", 1, 70_560, 141_120, 360, 432, 0),
        Part("xczu7ev", 1, 230_400, 460_800, 1_728, 624, 96),
        Part("xczu9eg", 1, 274_080, 548_160, 2_520, 1_824, 0),
        Part("xczu19eg", 1, 522_720, 1_045_440, 1_968, 1_968, 128),
        Part("xczu28dr", 1, 425_280, 850_560, 4_272, 2_160, 80),
        Part("xczu49dr", 1, 425_280, 850_560, 4_272, 2_160, 80),
        Part("xck26", 1, 117_120, 234_240, 1_248, 288, 64),
    )
}


def find_part(name: str) -> Part | None:
    """Return the FPGA that a part number names, None for one that is not listed.

    Parameters
    ----------
    name : str
        With or without ``xc``, package and speed grade: ``xcvu13p-flga2577-2-e``, ``VU13P``, ``Z7020``.
    """
    plain = name.lower().removeprefix("xc")
    plain = re.sub(r"^z7(?=0)", "7z", plain)
    found = [part for key, part in PARTS.items() if plain.startswith(key.removeprefix("xc"))]
    return max(found, key=lambda part: len(part.name), default=None)


def part_named(name: str) -> Part:
    """Return the FPGA that a user asks for.

    Raises
    ------
    InputError
        None of that name is listed.
    """
    part = find_part(name)
    if part is None:
        names = [key.removeprefix("xc") for key in PARTS]
        hint = suggestion(name.lower().removeprefix("xc"), names)
        raise InputError(f"--part: expected one of {', '.join(names)}, received {name!r}{hint}")
    return part
