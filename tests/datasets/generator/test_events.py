"""What the options of the recipe change in the events."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qap.datasets.generator.events import jet_events, write_hard_process
from qap.datasets.generator.settings import Jets

from .helpers import need_generator

W_MASS = 80.385
"""GeV, Pythia's."""


def _bosons(path: Path) -> np.ndarray:
    """Masses of the W in a Les Houches file."""
    lines = (line.split() for line in path.read_text().splitlines())
    return np.array([float(words[10]) for words in lines if words[0] in ("24", "-24")])


def test_bosons_are_on_their_mass_shell_or_have_tails(tmp_path: Path) -> None:
    need_generator()
    path = tmp_path / "w.lhe"
    write_hard_process("w", 40, Jets(shower_scale=300.0), 1, path)
    assert np.abs(_bosons(path) - W_MASS).max() < 0.05
    starts = [line.split() for line in path.read_text().splitlines() if " 9999 1.0 " in line and len(line.split()) == 6]
    assert [float(words[3]) for words in starts] == [300.0] * 40
    write_hard_process("w", 40, Jets(on_shell=False), 1, path)
    masses = _bosons(path)
    assert len(masses) == 80
    assert np.mean(np.abs(masses - W_MASS) > 1) > 0.3, "a width of 2.1 GeV leaves half of them outside of ± 1 GeV"


@pytest.mark.slow
def test_a_stronger_coupling_makes_more_particles(tmp_path: Path) -> None:
    need_generator()
    counts = [jet_events("q", 60, Jets(alpha_s=value), (1, 2), tmp_path).counts.mean() for value in (0.09, 0.1365, 0.2)]
    print(counts)
    assert counts == sorted(counts)
    assert counts[2] > 1.3 * counts[0]
