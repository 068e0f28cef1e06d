"""LUTs by Yosys of Verilog projects that da4ml wrote: designs of qap, and those of `hgq2/rtl.py`.

    python benchmarks/lut.py folder/40 folder/49 …

The same flow for both (`qap.rtl.synthesise`, UltraScale+). One line of JSON each: da4ml's cost, cells, their ratio, and what
the folder's own `rtl.json` or `point.json` says. About a minute for 2,000 LUTs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from qap.rtl import Design, load_design, synthesise
from qap.rtl.design import CELLS

TOP = "network"


def project(folder: Path, scratch: Path) -> tuple[Design, dict[str, Any]]:
    """Return the design of a folder and what is known of it; of HGQ2's a copy without the cells that it does not use."""
    if (folder / "design.json").is_file():
        design, notes = load_design(folder), folder / "point.json"
        return design, json.loads(notes.read_text()) if notes.is_file() else {}
    known = json.loads((folder / "rtl.json").read_text())
    size = known["stages"], known["register_bits"], known["cost"]
    (scratch / "src").mkdir()
    for path in [*(folder / "src").glob(f"{TOP}*.v"), *(folder / "src" / "static" / f"{cell}.v" for cell in CELLS)]:
        if path.is_file() and "wrapper" not in path.name:
            shutil.copy(path, scratch / "src")
    return Design(scratch, TOP, (), (), (), (), *size, depth=0, stage_depths=()), known


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    for folder in parser.parse_args().folders:
        with tempfile.TemporaryDirectory() as scratch:
            design, known = project(folder, Path(scratch))
            cells = {name: figure.value for name, figure in synthesise(design, timeout=3600).figures.items()}
        row = {"design": "/".join(folder.parts[-2:]), **known, "da4ml": design.cost, "stages": design.stages, **cells}
        print(json.dumps({**row, "ratio": round(cells["lut"] / design.cost, 3)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
