"""Where a ramp stands: circuits under way, the front so far, and their file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from qap.compress.coarsen import Folded
from qap.errors import InputError
from qap.files import write_arrays
from qap.models.architecture import Architecture
from qap.models.circuit import Circuit
from qap.search.study import read_arrays
from qap.training.population.circuits import Moments, Seen

FILE = "ramp.npz"
CIRCUIT = ("weights", "fractions", "alive", "steps")
SEEN = ("largest", "sensitivity")


@dataclass(frozen=True, eq=False)
class Now:
    """Where a trajectory stands; `seen` is of the whole circuit, so that one program serves all probes."""

    folded: Folded
    moments: Moments
    seen: Seen
    ebops: float = np.inf
    score: float = np.inf


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A circuit on the front so far: its score (higher is better) and traced EBOPs."""

    circuit: Circuit
    seen: Seen
    score: float
    ebops: float


@dataclass(frozen=True, eq=False)
class Place:
    """How far a search has come.

    Parameters
    ----------
    trajectory, number : int
        Under way, and its epochs done.
    part : float
        Of the trajectory, 0 to 1.
    first : float
        Cost of its first circuit.
    now : Now or None
        None before its first epoch, and while polishing.
    polish : int
        Polishes done.
    waited, returns : int
        Epochs since a circuit collapsed (−1 just after a return), and returns of the trajectory to an earlier one.
    """

    trajectory: int = 0
    number: int = 0
    part: float = 0.0
    first: float = 0.0
    now: Now | None = None
    polish: int = 0
    waited: int = 0
    returns: int = 0


@dataclass(frozen=True, eq=False)
class Standing:
    """All that a ramp needs to go on.

    Parameters
    ----------
    place : Place
    front : list of Snapshot
    done : int
        Epochs of all trajectories and polishes.
    price : float
        What an EBOP costs.
    seen : int
        Candidates that the study has accepted.
    """

    place: Place
    front: list[Snapshot]
    done: int
    price: float
    seen: int


def save(standing: Standing, path: Path) -> None:
    """Write where a ramp stands."""
    place, front = standing.place, standing.front
    arrays = {
        "place": np.array([place.trajectory, place.number, place.polish, standing.done, standing.seen]),
        "values": np.array([place.part, place.first, standing.price, place.waited, place.returns]),
    }
    for name in ("score", "ebops"):
        arrays[f"front.{name}"] = np.array([getattr(one, name) for one in front])
    for name in CIRCUIT:
        arrays[f"front.{name}"] = np.array([getattr(one.circuit, name) for one in front])
    for name in SEEN:
        arrays[f"front.{name}"] = np.array([getattr(one.seen, name) for one in front])
    if place.now is not None:
        folded, moments, seen = place.now.folded, place.now.moments, place.now.seen
        arrays["now.hidden"] = np.array(folded.circuit.layout.widths[1:-1])
        parts: list[tuple[object, tuple[str, ...]]] = [
            (folded.circuit, CIRCUIT), (folded, ("places", "units")), (moments, ("first", "second", "slope", "steps")),
            (seen, SEEN),
        ]  # fmt: skip
        for number, (part, names) in enumerate(parts):
            arrays.update({f"now.{number}.{name}": np.asarray(getattr(part, name)) for name in names})
    write_arrays(path, arrays)


def load(path: Path, architecture: Architecture) -> Standing:
    """Read where a ramp stood whose circuits have this architecture.

    Raises
    ------
    InputError
        The file is damaged.
    """
    arrays, whole = read_arrays(path), architecture.folded
    try:
        trajectory, number, polish, done, accepted = map(int, arrays["place"])
        part, first, price, waited, returns = map(float, arrays["values"])
        rows = zip(*(arrays[f"front.{name}"] for name in (*CIRCUIT, *SEEN, "score", "ebops")), strict=True)
        front = [Snapshot(Circuit(whole, *row[:4]), Seen(*row[4:6]), float(row[6]), float(row[7])) for row in rows]
        now = _read_now(whole, arrays) if "now.hidden" in arrays else None
    except (KeyError, ValueError, TypeError):
        raise InputError(f"{path}: damaged: remove it and resume, and the ramp begins again") from None
    place = Place(trajectory, number, part, first, now, polish, int(waited), int(returns))
    return Standing(place, front, done, price, accepted)


def _read_now(whole: Architecture, arrays: Mapping[str, np.ndarray]) -> Now:
    layers = [replace(layer, units=int(units)) for layer, units in zip(whole.layers, arrays["now.hidden"], strict=False)]
    smaller = replace(whole, layers=(*layers, whole.layers[-1]))
    circuit = Circuit(smaller, *(arrays[f"now.0.{name}"] for name in CIRCUIT))
    first, second, slope = (arrays[f"now.2.{name}"] for name in ("first", "second", "slope"))
    moments = Moments(first, second, slope, int(arrays["now.2.steps"]))
    seen = Seen(*(arrays[f"now.3.{name}"] for name in SEEN))
    return Now(Folded(whole, circuit, arrays["now.1.places"], arrays["now.1.units"]), moments, seen)
