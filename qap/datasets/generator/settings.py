"""What a user may choose for each kind of data, with the defaults of the published sets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import Field, ValidationError, model_validator

from qap.config.fields import AboveZero, Positive, Section
from qap.errors import InputError, suggestion

Seed = Annotated[int, Field(ge=0, lt=2**32)]
T = TypeVar("T", bound="Sample")
Mean = Annotated[float, Field(ge=0, le=400, allow_inf_nan=False)]


class Sample(Section):
    """What every kind of data has.

    Parameters
    ----------
    n : int, default 20000
        Events of all classes together.
    seed : int, default 1
    packed : bool, default False
        True: features rounded to 16-bit integers, see `packing.packed`, in a compressed file.
    """

    n: Positive = 20_000
    seed: Seed = 1
    packed: bool = False


class Jets(Sample):
    """Jets at 13 TeV, one per event, in equal numbers of each class.

    Parameters
    ----------
    n, seed, packed
        As of `Sample`.
    pt_hat_min, pt_hat_max : float, default 995 and 1005
        Transverse momentum of the hard process in GeV.
    pt_min : float, default 500
        Smallest transverse momentum of a jet after the detector in GeV.
    eta_max : float, default 2.5
        Largest absolute pseudorapidity of a jet.
    radius : float, default 0.8
        Of the anti-kT jets.
    shower_scale : float, default 91.188
        Where the showers of the hard process start, in GeV; those of W, Z and t decays start at their masses.
    alpha_s : float, default 0.1365
        Strong coupling of the final-state shower at the Z mass; the default is that of the tune (Monash 2013).
    on_shell : bool, default True
        W, Z and t of the hard process on their mass shell; False: with Breit-Wigner tails.
    isr, mpi : bool, default False
        Initial-state radiation, multiparton interactions.
    pileup : float, default 0
        Mean number of minimum-bias events laid over each event.
    detector : bool, default True
        False: the particles of the generator as they are, without neutrinos.
    """

    pt_hat_min: AboveZero = 995.0
    pt_hat_max: AboveZero = 1005.0
    pt_min: AboveZero = 500.0
    eta_max: Annotated[float, Field(gt=0, le=4)] = 2.5
    radius: Annotated[float, Field(gt=0, le=1.5)] = 0.8
    shower_scale: AboveZero = 91.188
    alpha_s: Annotated[float, Field(ge=0.06, le=0.25)] = 0.1365
    on_shell: bool = True
    isr: bool = False
    mpi: bool = False
    pileup: Mean = 0.0
    detector: bool = True

    @model_validator(mode="after")
    def _jets_can_pass(self) -> Jets:
        if self.pt_hat_max <= self.pt_hat_min:
            raise ValueError(f"pt_hat_max: expected more than pt_hat_min ({self.pt_hat_min:g}), received {self.pt_hat_max:g}")
        if self.pt_hat_max > 3000:
            raise ValueError(f"pt_hat_max: expected at most 3000, received {self.pt_hat_max:g}")
        if self.pt_min > 0.9 * self.pt_hat_min:
            raise ValueError(
                f"pt_min: expected at most 0.9 pt_hat_min ({0.9 * self.pt_hat_min:g}), received {self.pt_min:g}: hardly a jet "
                "would pass"
            )
        return self


class Constituents(Jets):
    """The same jets as lists of their constituents.

    Parameters
    ----------
    constituents : int, default 64
        So many of largest transverse momentum are kept; a jet with fewer ends in zeros.
    """

    constituents: Annotated[int, Field(ge=1, le=512)] = 64


class Level1(Sample):
    """Collisions at 13 TeV as the objects of a Level-1 trigger, in equal numbers of each class.

    Parameters
    ----------
    n, seed, packed
        As of `Sample`.
    qcd_pt_hat_min : float, default 30
        Smallest transverse momentum of the hard process of QCD events in GeV.
    pileup : float, default 0
        Mean number of minimum-bias events laid over each event.
    """

    qcd_pt_hat_min: Annotated[float, Field(ge=5, le=3000)] = 30.0
    pileup: Mean = 0.0


def read_settings(kind: type[T], texts: Sequence[str]) -> T:
    """Read ``key=value`` texts.

    Parameters
    ----------
    kind : class of settings
    texts : sequence of str
        The values in YAML.

    Raises
    ------
    InputError
        No ``key=value``, a key given twice, an unknown key (with the nearest known one), a wrong type or value.
    """
    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_]\w*", key):
            raise InputError(f"expected key=value such as n=20000, received {text!r}")
        if key not in kind.model_fields:
            raise InputError(f"unknown option {key}{suggestion(key, kind.model_fields)}")
        if key in values:
            raise InputError(f"{key} is given twice")
        try:
            values[key] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError):
            raise InputError(f"{text}: the value is not valid YAML") from None
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
        if problem["type"] == "value_error":
            raise InputError(message) from None
        raise InputError(f"{problem['loc'][0]}: expected {message}, received {problem['input']!r}") from None
