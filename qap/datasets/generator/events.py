"""Proton-proton collisions at 13 TeV by Pythia 8 (C. Bierlich et al., SciPost Phys. Codebases 8 (2022), arXiv:2203.11601)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qap.datasets.generator.libraries import library
from qap.datasets.generator.particles import Particles
from qap.datasets.generator.settings import Jets
from qap.errors import QapError

SEEDS = 900_000_000
"""Pythia takes seeds from 1 to this one."""
COMMON = ("Print:quiet = on", "Random:setSeed = on", "Tune:pp = 14")
COLLISIONS = ("Beams:eCM = 13000.",)
BOSONS_TO_QUARKS = ("24:onMode = off", "24:onIfAny = 1 2 3 4 5", "23:onMode = off", "23:onIfAny = 1 2 3 4 5")
JET_PROCESSES = {
    "g": ("HardQCD:gg2gg = on", "HardQCD:qqbar2gg = on"),
    "q": ("HardQCD:qq2qq = on",),
    "w": ("WeakDoubleBoson:ffbar2WW = on",),
    "z": ("WeakDoubleBoson:ffbar2gmZgmZ = on", "WeakZ0:gmZmode = 2"),
    "t": ("Top:gg2ttbar = on", "Top:qqbar2ttbar = on"),
}
"""Class of jet → the hard processes that make it."""
ON_SHELL = "PhaseSpace:useBreitWigners = off"
"""At 1 TeV the off-shell tails of W and Z pairs are not physical: one W in eight would have more than 110 GeV."""
HARD_ONLY = ("ProcessLevel:resonanceDecays = off", "PartonLevel:all = off", "HadronLevel:all = off", "Check:event = off")
MINIMUM_BIAS = ("SoftQCD:inelastic = on",)
TABLES = "MultipartonInteractions:initFile"
TABLES_SEED = 1
"""Always the same: the tables are integrals, not events."""
NEUTRINOS = (12, 14, 16)
SPARE = 50
"""Hard processes more than events wanted: Pythia gives up some of them."""


def pythia(settings: Sequence[str], seed: int) -> Any:
    """Return Pythia, ready for its first event.

    Parameters
    ----------
    settings : sequence of str
        ``Key = value`` as Pythia reads them.
    seed : int
        1 to 900,000,000.

    Raises
    ------
    QapError
        Pythia does not take a setting, or cannot start with them.
    """
    generator = library("pythia8mc").Pythia("", False)
    for text in (*COMMON, f"Random:seed = {seed}", *settings):
        if not generator.readString(text):
            raise QapError(f"Pythia does not take the setting '{text}'")
    if not generator.init():
        raise QapError(f"Pythia cannot start with {', '.join(settings)}")
    return generator


def jet_events(kind: str, events: int, settings: Jets, seeds: tuple[int, int], folder: Path) -> Particles:
    """Make events of one class of jets, in two steps.

    The hard process is written to a Les Houches file with W, Z and t undecayed, and read back: so bosons decay isotropically, as
    the mass peaks of the published set have it, and the shower starts at a scale of its own (J. Alwall et al., Comput. Phys.
    Commun. 176 (2007) 300, hep-ph/0609017).

    Parameters
    ----------
    kind : str
        Key of `JET_PROCESSES`.
    events : int
    settings : Jets
    seeds : two int
        Of the hard process and of the rest.
    folder : Path
        For the Les Houches file.

    Returns
    -------
    Particles
        Final state without neutrinos.
    """
    path = folder / f"{kind}.lhe"
    write_hard_process(kind, events + SPARE + events // 50, settings, seeds[0], path)
    choices = (
        "Beams:frameType = 4",
        f"Beams:LHEF = {path}",
        f"PartonLevel:ISR = {_switch(settings.isr)}",
        f"PartonLevel:MPI = {_switch(settings.mpi)}",
        f"TimeShower:alphaSvalue = {settings.alpha_s}",
        *BOSONS_TO_QUARKS,
    )
    return visible(pythia(choices, seeds[1]), events)


def write_hard_process(kind: str, events: int, settings: Jets, seed: int, path: Path) -> None:
    """Write a Les Houches file of hard processes with their resonances undecayed."""
    limits = (f"PhaseSpace:pTHatMin = {settings.pt_hat_min}", f"PhaseSpace:pTHatMax = {settings.pt_hat_max}")
    masses = (ON_SHELL,) if settings.on_shell else ()
    generator = pythia((*COLLISIONS, *JET_PROCESSES[kind], *limits, *masses, *HARD_ONLY), seed)
    with path.open("w", encoding="ascii") as file:
        file.write('<LesHouchesEvents version="1.0">\n<init>\n 2212 2212 6500. 6500. 0 0 0 0 3 1\n 1.0 0.01 1.0 9999\n</init>\n')
        for _ in range(events):
            while not generator.next():
                pass
            file.write(_record(generator.process, settings.shower_scale))
        file.write("</LesHouchesEvents>\n")


def _record(process: Any, scale: float) -> str:
    """Return one event of a Les Houches file; entries 0 to 2 of Pythia's record are the system and the beams."""
    lines = [f"<event>\n {process.size() - 3} 9999 1.0 {scale:.6e} 0.0078 0.118\n"]
    for i in range(3, process.size()):
        one = process[i]
        incoming = one.status() == -21
        status, first, last = (-1, 0, 0) if incoming else (1, 1, 2)
        momentum = " ".join(f"{value:.10e}" for value in (one.px(), one.py(), one.pz(), one.e(), one.m()))
        lines.append(f" {one.id()} {status} {first} {last} {one.col()} {one.acol()} {momentum} 0. 9.\n")
    lines.append("</event>\n")
    return "".join(lines)


def _switch(on: bool) -> str:
    return "on" if on else "off"


def write_tables(path: Path) -> None:
    """Write what Pythia integrates before its first inelastic collision: ten seconds that every part would take again."""
    temporary = path.with_name(f".{path.name}.part")
    pythia((*COLLISIONS, *MINIMUM_BIAS, "MultipartonInteractions:reuseInit = 1", f"{TABLES} = {temporary}"), TABLES_SEED)
    temporary.replace(path)


def minimum_bias(seed: int, tables: Path) -> Any:
    """Return Pythia for inelastic collisions: elastic scattering left out, diffraction included.

    Parameters
    ----------
    seed : int
    tables : Path
        By `write_tables`.
    """
    return pythia((*COLLISIONS, *MINIMUM_BIAS, "MultipartonInteractions:reuseInit = 2", f"{TABLES} = {tables}"), seed)


def visible(generator: Any, events: int) -> Particles:
    """Make events; return their final states without neutrinos.

    Raises
    ------
    QapError
        Pythia gave fewer events.
    """
    awkward = library("awkward")
    record = generator.nextBatch(events).prt
    if len(record) != events:
        raise QapError(f"Pythia gave {len(record)} of {events} events")
    kind = abs(record.id)
    seen = record.status > 0
    for neutrino in NEUTRINOS:
        seen = seen & (kind != neutrino)
    event = np.repeat(np.arange(events), awkward.to_numpy(awkward.sum(seen, axis=1)))
    kept = record[seen]
    flat = [awkward.to_numpy(awkward.flatten(values)) for values in (kept.p.px, kept.p.py, kept.p.pz, kept.p.e, kept.id)]
    px, py, pz, e = (np.asarray(values, np.float64) for values in flat[:4])
    return Particles(event, px, py, pz, e, np.asarray(flat[4], np.int64), events)
