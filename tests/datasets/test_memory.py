"""A million events of 57 features are read within 2 GB."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("uproot")

WRITE = """
import numpy as np, uproot
generator = np.random.default_rng(0)
with uproot.recreate("l1.root") as file:
    tree = file.mktree("events", {**{f"x{i}": "float32" for i in range(57)}, "cls": "int8"})
    for _ in range(10):
        values = {f"x{i}": generator.normal(50, 20, 100_000).astype(np.float32) for i in range(57)}
        tree.extend({**values, "cls": generator.integers(0, 5, 100_000).astype(np.int8)})
"""
READ = """
from pathlib import Path
from qap.config.data import Data
from qap.datasets.load import load_dataset
seen = []
data = load_dataset(Data(name="l1.root", label="cls", cut="x0 > -200 & abs(x1) < 1e4"), watch=seen.append)
peak = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(len(data.train), len(seen), int(peak) / 1e6, seen[-1].share)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_a_million_events_of_57_features_stay_below_2_gb(tmp_path: Path) -> None:
    for code in (WRITE, READ):
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    events, chunks, peak, share = map(float, done.stdout.split())
    assert events == 700_000
    assert chunks >= 10
    assert share == 1
    assert peak < 2, f"{peak} GB"
