"""Level-1 events: objects by hand, weights of the mix, a file of real collisions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qap.datasets.generator.build import build
from qap.datasets.generator.kinds import KINDS, Kind
from qap.datasets.generator.level1 import CLASSES, FEATURES, STANDARD_MODEL, hardest, isolated, objects
from qap.datasets.generator.particles import Particles, concatenate
from qap.datasets.generator.settings import Jets, Level1
from qap.datasets.load import read_npz

from .helpers import install_dice, massless, need_generator


def _row(events: Particles, event: int = 0) -> dict[str, float]:
    return dict(zip(FEATURES, objects(events)[event], strict=True))


def test_the_features_are_57() -> None:
    assert len(FEATURES) == len(set(FEATURES)) == 57
    assert FEATURES[:4] == ("met_pt", "met_eta", "met_phi", "electron0_pt")


def test_an_event_by_hand() -> None:
    """A W to eν beside a jet: the electron is out of the jets, the neutrino is what is missing."""
    need_generator()
    jet = massless([[], [(60.0, 1.0, 0.0), (20.0, 1.1, 0.1)]], 130)
    leptons = [massless([[], [(40.0, -1.0, 2.0)]], 11), massless([[], [(25.0, 0.3, -2.5), (30.0, 0.2, 2.9)]], -13)]
    events = concatenate([jet, *leptons])
    found = _row(events, 1)
    x = -sum(pt * np.exp(1j * phi) for pt, phi in ((60, 0.0), (20, 0.1), (40, 2.0), (25, -2.5), (30, 2.9)))
    expected = dict.fromkeys(FEATURES, 0.0) | {
        "met_pt": abs(x), "met_phi": np.angle(x),
        "electron0_pt": 40.0, "electron0_eta": -1.0, "electron0_phi": 2.0,
        "muon0_pt": 30.0, "muon0_eta": 0.2, "muon0_phi": 2.9, "muon1_pt": 25.0, "muon1_eta": 0.3, "muon1_phi": -2.5,
        "jet0_pt": abs(60 + 20 * np.exp(0.1j)), "jet0_eta": found["jet0_eta"], "jet0_phi": np.angle(60 + 20 * np.exp(0.1j)),
    }  # fmt: skip
    assert found == pytest.approx(expected)
    assert 1.0 < found["jet0_eta"] < 1.1
    assert not objects(events)[0].any(), "an event without particles is a row of zeros"


def test_leptons_in_jets_count_as_jets() -> None:
    need_generator()
    events = concatenate([massless([[(30.0, 0.5, 1.0)]], 13), massless([[(20.0, 0.5, 1.1)]], 130)])
    found = _row(events)
    assert (found["muon0_pt"], found["jet1_pt"]) == (0, 0)
    assert found["jet0_pt"] == pytest.approx(abs(30 + 20 * np.exp(0.1j)))


@pytest.mark.parametrize(
    ("other", "kept"),
    [((13.0, 0.5, 1.2), True), ((14.0, 0.5, 1.2), False), ((14.0, 0.5, 1.31), True), ((14.0, 0.81, 1.0), True)],
)
def test_isolation(other: tuple[float, float, float], kept: bool) -> None:
    """0.45 of 30 GeV is 13.5 GeV, within 0.3."""
    seen = massless([[(30.0, 0.5, 1.0), other]])
    assert isolated(seen, np.array([True, False])).tolist() == [kept, False]


def test_isolation_across_the_end_of_the_azimuth_and_not_across_events() -> None:
    seen = massless([[(30.0, 0.5, np.pi - 0.05), (20.0, 0.5, -np.pi + 0.05)], [(30.0, 0.5, 1.0)], [(30.0, 0.5, 1.0)]])
    assert isolated(seen, seen.pt > 25).tolist() == [False, False, True, True]


def test_only_the_hardest_are_kept_in_order() -> None:
    seen = massless([[(float(pt), 0.1 * pt, 0.0) for pt in (3, 9, 1, 7)], [], [(5.0, 1.0, 2.0)]])
    expected = [[9, 0.9, 0, 7, 0.7, 0], [0] * 6, [5, 1, 2, 0, 0, 0]]
    assert hardest(seen, 2) == pytest.approx(np.array(expected))


def test_the_mix_is_weighted_by_cross_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three classes, two of them mixed at 1 to 99: their weights' sums have that ratio, the mean is 1, the third counts 1."""
    install_dice(monkeypatch)
    sections = {"rare": 2.0, "common": 198.0, "signal": 1e-6}

    def part(name: str, events: int, settings: Jets, seed: np.random.SeedSequence, tables: Path) -> dict[str, np.ndarray]:
        rows = np.random.default_rng(seed).normal(0, 1, (events, 1))
        return {"features": rows, "tried": np.array(events), "cross_section_pb": np.array(sections[name])}

    monkeypatch.setitem(
        KINDS,
        "mix",
        Kind(Jets, tuple(sections), lambda settings: ("x",), part, "events", lambda settings: False, ("rare", "common")),
    )
    build("mix", Jets(n=100), tmp_path / "mix.npz")
    table = read_npz(tmp_path / "mix.npz")
    assert table.labels is not None
    assert table.weights is not None
    sums = np.bincount(table.labels, table.weights)
    assert sums == pytest.approx([0.01 * 67, 0.99 * 67, 33])
    with np.load(tmp_path / "mix.npz") as file:
        assert json.loads(str(file["provenance"]))["cross_sections_pb"] == pytest.approx(sections)


@pytest.mark.slow
def test_collisions(tmp_path: Path) -> None:
    """100 events of each class: what must be there is there, and the cross sections are those of 13 TeV."""
    need_generator()
    path = tmp_path / "l1.npz"
    build("l1", Level1(n=900), path, processes=2)
    table = read_npz(path)
    assert (table.feature_names, table.class_names) == (FEATURES, CLASSES)
    column = {name: table.features[:, i] for i, name in enumerate(FEATURES)}
    labels = np.array(CLASSES)[table.labels]

    def mean(name: str, values: np.ndarray) -> float:
        return float(values[labels == name].mean())

    muons, electrons = (sum(column[f"{kind}{i}_pt"] > 0 for i in range(4)) for kind in ("muon", "electron"))
    assert mean("w_lnu", column["met_pt"]) > 20 > mean("z_ll", column["met_pt"])
    assert mean("a_4l", muons + electrons) > 2 > mean("z_ll", muons + electrons) > 0.7
    assert mean("ttbar", column["jet3_pt"] > 20) > 0.6 > mean("qcd", column["jet3_pt"] > 20)
    assert mean("minimum_bias", column["jet0_pt"]) < 10
    both = (labels == "z_ll") & (column["muon1_pt"] > 10)
    mass = np.sqrt(
        2 * column["muon0_pt"] * column["muon1_pt"]
        * (np.cosh(column["muon0_eta"] - column["muon1_eta"]) - np.cos(column["muon0_phi"] - column["muon1_phi"]))
    )[both]  # fmt: skip
    assert len(mass) > 5
    assert 85 < np.median(mass) < 95, f"Z to muons at {np.median(mass):.1f} GeV"
    with np.load(path) as file:
        sections = json.loads(str(file["provenance"]))["cross_sections_pb"]
    # LHC at 13 TeV: W to leptons 3 × 20 nb, Z 3 × 2 nb, top pairs 830 pb beyond the leading order; inelastic 80 mb
    for name, measured, low, high in (("w_lnu", 6e4, 0.6, 1.2), ("z_ll", 6e3, 0.5, 1.2), ("ttbar", 830, 0.5, 1.1)):
        assert low < sections[name] / measured < high, f"{name}: {sections[name]:.3g} pb"
    assert 7.5e10 < sections["minimum_bias"] < 8.2e10
    assert table.weights is not None
    mixed = np.isin(labels, list(STANDARD_MODEL))
    assert table.weights[mixed].mean() == pytest.approx(1, rel=1e-5)
    assert (table.weights[~mixed] == 1).all()
