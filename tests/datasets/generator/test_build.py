"""Files of generated data: the same for every number of processes, resumed, whole; the physics that is in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qap.config.schema import Data
from qap.datasets.generator import build as module
from qap.datasets.generator.build import Task, build, tasks
from qap.datasets.generator.jets import constituent_lists
from qap.datasets.generator.kinds import OBSERVABLES
from qap.datasets.generator.settings import Constituents, Jets
from qap.datasets.load import load_dataset, read_npz
from qap.errors import InputError

from .helpers import dice_part, install_dice, need_generator, random_jets


@pytest.fixture
def dice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind of data that needs no library."""
    install_dice(monkeypatch)


@pytest.mark.parametrize(("classes", "events"), [(5, 5), (5, 20_000), (5, 5003), (9, 12_345), (1, 1000), (2, 2001)])
def test_parts_add_up_and_classes_are_even(classes: int, events: int) -> None:
    found = tasks(classes, events)
    per_class = [sum(task.events for task in found if task.label == label) for label in range(classes)]
    assert (sum(per_class), max(per_class) - min(per_class) <= 1) == (events, True)
    assert all(0 < task.events <= module.PART for task in found)
    assert len({task.path(Path()) for task in found}) == len(found)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_generator()
    return tmp_path_factory.mktemp("generated")


@pytest.fixture(scope="module")
def jets(folder: Path) -> Path:
    """20 jets of each class."""
    seen: list[tuple[int, int]] = []
    built = build("jets", Jets(n=100), folder / "jets.npz", progress=lambda done, kept: seen.append((done, kept)))
    assert (built.events, built.made) == (100, 100)
    assert seen == [(done, 0) for done in range(0, 101, 20)]
    assert [path.name for path in folder.iterdir()] == ["jets.npz"], "no parts, no temporary files are left"
    return folder / "jets.npz"


def test_the_file_is_what_the_reader_takes(jets: Path) -> None:
    table = read_npz(jets)
    assert (table.feature_names, table.class_names) == (OBSERVABLES, tuple("gqwzt"))
    assert table.labels is not None
    assert np.bincount(table.labels).tolist() == [20] * 5
    assert (np.diff(table.labels) != 0).sum() > 40, "classes are mixed"
    assert np.isfinite(table.features).all()
    assert len(load_dataset(Data(name=str(jets))).test) == 20


def test_the_jets_are_those_that_were_asked_for(jets: Path) -> None:
    """Medians of 20 jets: a W below a Z below a top, gluons of more particles than quarks, all near 1 TeV."""
    with np.load(jets) as file:
        features, labels, pt = file["features"], file["labels"], file["jet_pt"]
        provenance = json.loads(str(file["provenance"]))
    mass, multiplicity = (features[:, OBSERVABLES.index(name)] for name in ("mass_mmdt", "multiplicity"))
    median = {name: float(np.median(mass[labels == i])) for i, name in enumerate("gqwzt")}
    print(median)
    assert 74 < median["w"] < 86 < median["z"] < 97 < 140 < median["t"] < 190
    assert median["q"] < median["g"] < 74
    assert np.median(multiplicity[labels == 0]) > 1.3 * np.median(multiplicity[labels == 1])
    assert (pt > 500).all()
    assert 950 < np.median(pt) < 1050
    assert provenance["settings"] == Jets(n=100).model_dump(mode="json")
    assert provenance["events_kept"] == dict.fromkeys("gqwzt", 20)
    assert all(provenance["events_made"][name] >= 20 for name in "gqwzt")
    assert {"pythia8mc", "fastjet", "numpy"} <= set(provenance["versions"])


def test_the_same_call_again_makes_nothing_and_another_is_refused(dice: None, tmp_path: Path) -> None:
    path = tmp_path / "dice.npz"
    assert build("dice", Jets(n=100), path).made == 100
    before = path.read_bytes()
    again = build("dice", Jets(n=100), path)
    assert (again.events, again.made) == (100, 0)
    with pytest.raises(InputError, match="is there already and was made otherwise"):
        build("dice", Jets(n=100, seed=2), path)
    assert path.read_bytes() == before


def test_a_stopped_call_is_taken_up_with_the_same_result(dice: None, tmp_path: Path) -> None:
    """Stopped after two parts, one of which the disk then loses: one part is kept, five are made, the file is the same."""

    def stop(done: int, kept: int) -> None:
        if done == 40:
            raise KeyboardInterrupt

    output, whole = tmp_path / "dice.npz", tmp_path / "whole.npz"
    with pytest.raises(KeyboardInterrupt):
        build("dice", Jets(n=101), output, progress=stop)
    assert not output.exists()
    parts = tmp_path / "dice.npz.parts"
    with pytest.raises(InputError, match=r"dice\.npz\.parts holds parts of other settings"):
        build("dice", Jets(n=101, seed=2), output)
    lost = Task(0, 1, 20).path(parts)
    lost.write_bytes(lost.read_bytes()[:-200])
    seen: list[tuple[int, int]] = []
    assert build("dice", Jets(n=101), output, progress=lambda done, kept: seen.append((done, kept))).made == 81
    assert seen == [(20, 20), (40, 20), (51, 20), (71, 20), (91, 20), (101, 20)]
    build("dice", Jets(n=101), whole)
    assert output.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dice.npz", "whole.npz"]


def test_a_call_that_fails_before_its_first_part_leaves_nothing(dice: None, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected 2 or more"):
        build("dice", Jets(n=100, pt_min=1), tmp_path / "dice.npz")
    assert not list(tmp_path.iterdir())
    assert build("dice", Jets(n=100, pt_min=2), tmp_path / "dice.npz").made == 100


def test_another_seed_gives_other_events(dice: None, tmp_path: Path) -> None:
    for seed in (1, 2):
        build("dice", Jets(n=60, seed=seed), tmp_path / f"{seed}.npz")
    with np.load(tmp_path / "1.npz") as one, np.load(tmp_path / "2.npz") as other:
        assert not np.isin(one["features"], other["features"]).any()
        assert len(np.unique(one["features"])) == 120, "no part is made twice"


def test_rows_stay_with_their_labels(dice: None, tmp_path: Path) -> None:
    """Every part's rows, made again on their own, carry its class in the file."""
    build("dice", Jets(n=70, seed=9), tmp_path / "dice.npz")
    with np.load(tmp_path / "dice.npz") as file:
        features, labels = file["features"], file["labels"]
        assert json.loads(str(file["provenance"]))["events_made"] == {"low": 70, "high": 70}
    for label, number, events in ((0, 0, 20), (0, 1, 15), (1, 0, 20), (1, 1, 15)):
        rows = dice_part("", events, Jets(), np.random.SeedSequence([9, label, number]), Path())["features"]
        found = labels[[int(np.flatnonzero((features == row).all(axis=1))[0]) for row in rows]]
        assert (found == label).all(), f"part {number} of class {label}: {np.sum(found != label)} of {events} rows are elsewhere"


@pytest.mark.slow
def test_two_processes_make_the_same_file_as_one(folder: Path) -> None:
    settings = Constituents(n=30, constituents=8, pileup=3.0, seed=4)
    for processes in (1, 2):
        build("constituents", settings, folder / f"{processes}.npz", processes=processes)
    assert (folder / "1.npz").read_bytes() == (folder / "2.npz").read_bytes()


def test_constituents_add_up_to_their_jet() -> None:
    """With more places than constituents the vector sum of the transverse momenta is the jet's."""
    jets = random_jets(50, 30, seed=6)
    pt, deta, dphi = np.moveaxis(constituent_lists(jets, 40).reshape(50, 40, 3), 2, 0)
    sums = [np.hypot(jets.px[jets.event == i].sum(), jets.py[jets.event == i].sum()) for i in range(50)]
    assert np.abs(np.sum(pt * np.exp(1j * dphi), axis=1)) == pytest.approx(np.array(sums), rel=1e-9)
    assert np.abs(np.angle(np.sum(pt * np.exp(1j * dphi), axis=1))).max() < 1e-9, "Δφ counts from the jet's axis"
    assert (np.diff(pt, axis=1) <= 0).all()
    assert (np.count_nonzero(pt, axis=1) == jets.counts).all()
    assert not deta[pt == 0].any()
    assert (constituent_lists(jets, 5) == constituent_lists(jets, 40)[:, :15]).all()


@pytest.mark.parametrize(
    ("settings", "name", "message"),
    [
        (Jets(n=4), "jets.npz", r"n: expected at least 5, one event of each class \(g, q, w, z, t\), received 4"),
        (Jets(n=5), "jets.txt", r"expected the name of a file \.npz"),
        (Jets(n=5), "none/jets.npz", "the folder .*none does not exist"),
        (Jets(n=5), "folder.npz", r"expected the name of a file \.npz"),
    ],
)
def test_what_cannot_be_made_is_refused_before_any_work(settings: Jets, name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InputError, match=message):
        build("jets", settings, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.npz"]


@pytest.mark.slow
def test_hardly_a_jet_above_the_threshold_is_said(tmp_path: Path) -> None:
    need_generator()
    settings = Jets(n=3000, eta_max=0.001)
    with pytest.raises(InputError, match=r"class g: \d+ of \d+ events have a jet with pT > 500 GeV and \|η\| < 0.001"):
        build("jets", settings, tmp_path / "jets.npz")
