"""A part of the validation split that a search never sees: its winners are scored on it again.

The best of many candidates on the same events is partly the luckiest one; events that took no part in the choice do not
share that luck. See G. C. Cawley and N. L. C. Talbot, On over-fitting in model selection and subsequent selection bias in
performance evaluation, J. Mach. Learn. Res. 11 (2010) 2079.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from qap.datasets.dataset import Dataset, Split
from qap.errors import InputError


def hold_back(data: Dataset, fraction: float, seed: int) -> tuple[Dataset, Split]:
    """Divide the validation split into a part to choose on and a part held back.

    Parameters
    ----------
    data : Dataset
    fraction : float
        Share of the validation events to hold back, of each class alike; 0 holds nothing back.
    seed : int
        Decides which events; the same seed always holds back the same ones.

    Returns
    -------
    Dataset
        The data with the rest of the validation split, its events in their order.
    Split
        The events held back, in their order; empty for a fraction of 0.

    Raises
    ------
    InputError
        A fraction outside [0, 1), or a class that has not one event (of weight above 0) for either part.
    """
    if not 0 <= fraction < 1:
        raise InputError(f"search.holdback: expected a number from 0 to below 1, received {fraction}")
    whole = data.validation
    held = np.zeros(len(whole), bool)
    if fraction:
        generator = np.random.default_rng(seed)
        for label, name in enumerate(data.class_names or ("",)):
            events = np.flatnonzero(whole.y == label) if data.class_names else np.arange(len(whole))
            held[generator.permutation(events)[: round(fraction * len(events))]] = True
            for part in (held[events], ~held[events]):
                if not (whole.weight[events] * part).sum() > 0:
                    which = f" of class '{name}'" if name else ""
                    raise InputError(
                        f"search.holdback: {fraction} of the {len(events)} validation events{which} leaves a part without "
                        "events: give more events, or set it to 0"
                    )
    return replace(data, validation=_take(whole, ~held)), _take(whole, held)


def _take(split: Split, chosen: np.ndarray) -> Split:
    return Split(split.x[chosen], split.y[chosen], split.weight[chosen])
