"""The csynth-equivalent model: its fits, where they hold, what they were made of, and its file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np

from qap.cost.correction import Learned
from qap.cost.fit import MANY_GROUPS, NARROWEST_FIT, Fit, fit
from qap.cost.report_table import Pair, Row
from qap.cost.scopes import FIGURES, RECIPES, scope
from qap.cost.terms import terms
from qap.errors import InputError

FORMAT = 1


@dataclass(frozen=True)
class Scope:
    """The fits to the reports of one kind of network.

    Parameters
    ----------
    fits : mapping of figure → Fit
    sizes : (float, float)
        Smallest and largest number of products in the reports.
    families : tuple of str
        FPGA families of the reports as far as their source states it.
    """

    fits: Mapping[str, Fit]
    sizes: tuple[float, float]
    families: tuple[str, ...]


@dataclass(frozen=True)
class Ratio:
    """A figure after synthesis over the same in the csynth report.

    Parameters
    ----------
    median, low, high : float
        Over the designs; low and high are the extremes.
    designs : int
    of : str, default 'mostly CNNs'
        What they are.
    """

    median: float
    low: float
    high: float
    designs: int
    of: str = "mostly CNNs"


@dataclass(frozen=True)
class Model:
    """All fits.

    Parameters
    ----------
    sharing : float
        See `qap.cost.terms.terms`.
    scopes : mapping of name → Scope
    synthesis : mapping of figure → Ratio
    sources : tuple of str
    learned : mapping of kind → Learned
        What reports of one's own have changed (`qap.cost.learn.refit`); not part of the file.
    """

    sharing: float
    scopes: Mapping[str, Scope]
    synthesis: Mapping[str, Ratio]
    sources: tuple[str, ...]
    learned: Mapping[str, Learned] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the plain form."""
        return {
            "format": FORMAT,
            "sharing": self.sharing,
            "sources": list(self.sources),
            "synthesis": {name: vars(ratio) for name, ratio in self.synthesis.items()},
            "scopes": {
                name: {
                    "sizes": list(one.sizes),
                    "families": list(one.families),
                    "fits": {figure: made.to_dict() for figure, made in one.fits.items()},
                }
                for name, one in self.scopes.items()
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Model:
        """Read the plain form.

        Raises
        ------
        InputError
            Another format.
        """
        if values.get("format") != FORMAT:
            raise InputError(f"cost model: expected format {FORMAT}, received {values.get('format')!r}: make it again")
        scopes = {
            name: Scope(
                {figure: Fit.from_dict(made) for figure, made in one["fits"].items()},
                (one["sizes"][0], one["sizes"][1]),
                tuple(one["families"]),
            )
            for name, one in values["scopes"].items()
        }
        synthesis = {name: Ratio(**ratio) for name, ratio in values["synthesis"].items()}
        return cls(values["sharing"], scopes, synthesis, tuple(values["sources"]))


def family(part: str | None) -> str | None:
    """Return the family of a part: 7 series, UltraScale, UltraScale+, Versal; None for others.

    Parameters
    ----------
    part : str or None
        Such as ``xcu250-figd2104-2L-e``.
    """
    name = re.sub(r"^x[caq]?", "", (part or "").lower())
    patterns = (
        ("7 series", r"7|z-?7|z0"),
        ("UltraScale+", r"vu(\d+p|19|2[379]|[3579]p|1[13]p|31|33|35|37|45|47|57)|ku(\d+p)|zu|u\d{2,3}|k26|au|v[ucp]p|su"),
        ("UltraScale", r"vu|ku"),
        ("Versal", r"v[cempdh]\d"),
    )
    return next((family for family, pattern in patterns if re.match(pattern, name)), None)


def _sharing(rows: Sequence[Row]) -> float:
    """Return the exponent that explains best how many DSPs are left of the multiplications that need one."""
    kept, share = [], []
    for row in rows:
        f = row.network.features
        dsp = row.figures["DSP"] - row.network.softmax
        if row.network.reuse_factor == 1 and row.network.multipliers != "lut" and f["n_dspcand"] > 0 and dsp > 0:
            share.append(np.log(min(1.0, f["n_uniq"] / f["n_gen"])))
            kept.append(np.log(dsp / f["n_dspcand"]))
    x, y = np.array(share), np.array(kept)
    return round(float(x @ y / (x @ x)), 4)


def _scope(rows: Sequence[Row], name: str, sharing: float) -> Scope:
    found = [terms(row.network, sharing) for row in rows]
    groups = np.array([row.group for row in rows])
    fits = {}
    for figure, recipe in RECIPES[name].items():
        truth = np.array([row.figures[figure] for row in rows])
        made = fit(found, truth, groups, recipe.terms, fixed=recipe.fixed, absolute=recipe.absolute)
        if recipe.fixed is None and made.error.groups < MANY_GROUPS:
            made = replace(made, band=(max(made.band[0], NARROWEST_FIT), max(made.band[1], NARROWEST_FIT)))
        fits[figure] = made
    products = [row.network.features["n_mac"] for row in rows]
    families = {known for row in rows if (known := family(row.part)) is not None}
    return Scope(fits, (min(products), max(products)), tuple(sorted(families)))


def make_model(rows: Sequence[Row], pairs: Sequence[Pair]) -> Model:
    """Fit everything that the reports cover.

    Parameters
    ----------
    rows : sequence of Row
        Csynth reports; kinds of fewer than 3 groups are left out.
    pairs : sequence of Pair
        Designs with a csynth and a synthesis report.

    Returns
    -------
    Model

    Raises
    ------
    InputError
        No kind of network has enough reports.
    """
    sharing = _sharing(rows)
    scopes = {}
    for name in RECIPES:
        members = [row for row in rows if scope(row.network) == name]
        if len({row.group for row in members}) >= 3:
            scopes[name] = _scope(members, name, sharing)
    if not scopes:
        raise InputError("reports: expected three shapes or models of one kind or more, else no error can be stated")
    synthesis = {}
    for figure in FIGURES[:4]:
        ratios = [pair.ratios[figure] for pair in pairs if figure in pair.ratios]
        if ratios:
            synthesis[figure] = Ratio(float(np.median(ratios)), min(ratios), max(ratios), len(ratios))
    sources = tuple(sorted({row.source for row in rows} | {pair.source for pair in pairs}))
    return Model(sharing, scopes, synthesis, sources)


@lru_cache(maxsize=1)
def shipped_model() -> Model:
    """Return the model that comes with the package (``qap/cost/data/csynth.json``)."""
    return Model.from_dict(json.loads(files("qap.cost").joinpath("data/csynth.json").read_text(encoding="utf-8")))
