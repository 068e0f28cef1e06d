"""Granularity: which weights pruning removes together, and the masks that follow from scores.

A kernel has the shape (…, inputs, units): Dense (inputs, units), Conv1D (width, channels, filters), Conv2D (height,
width, channels, filters). As a matrix it is (inputs, units) with all axes but the last one behind one another.

==============  ==========================================================================================
text            weights of a group
==============  ==========================================================================================
``weight``      a single one
``N:M``         M that follow each other along the input channels; N of them are set to zero ("2:4", "1:4")
``block(a,b)``  a inputs × b units of the matrix; blocks at the edges are smaller where a or b does not divide
``dsp(R)``      those that share a multiplier at reuse factor R in hls4ml's Resource strategy
``neuron``      a column of the matrix, that is a unit
``filter``      the same by its name in convolutions
``layer``       all of them
==============  ==========================================================================================

hls4ml's ``nnet_dense_resource.h`` reads the kernel with the units first (weight i of unit j lies at j·inputs + i), and
its multiplier m takes the weight at r + R·m in cycle r = 0 … R − 1. A multiplier hence serves R neighbours of that
order: a part of one unit's weights for R ≤ inputs, whole units for R > inputs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from qap.errors import InputError, suggestion

WORDS = ("weight", "neuron", "filter", "layer", "digit")
NUMBERS = {"N:M": 2, "block": 2, "dsp": 1}
TOLERANCE = 0.01
_EXAMPLES = "weight, 2:4, block(4,4), dsp(8), neuron, filter or layer"
_FORM = re.compile(r"^(?:(\d+):(\d+)|(block|dsp)\((\d+)(?:,(\d+))?\))$")


@dataclass(frozen=True, slots=True)
class Granularity:
    """What pruning removes as one.

    Parameters
    ----------
    kind : {'weight', 'N:M', 'block', 'dsp', 'neuron', 'filter', 'layer'}, default 'weight'
    numbers : tuple of int, default ()
        (N, M) of 'N:M' with 0 < N < M, (inputs, units) of 'block', (reuse factor,) of 'dsp', else empty.

    Raises
    ------
    InputError
        A kind that does not exist, or numbers that it cannot have.

    Examples
    --------
    >>> from qap.granularity import Granularity
    >>> granularity = Granularity.parse("block(4,1)")
    >>> granularity.numbers
    (4, 1)
    >>> granularity.structured, Granularity.parse("neuron").structured
    (False, True)
    """

    kind: str = "weight"
    numbers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in (*WORDS, *NUMBERS):
            raise InputError(f"granularity: expected for example {_EXAMPLES}, received {self.kind!r}")
        if len(self.numbers) != NUMBERS.get(self.kind, 0) or not all(number >= 1 for number in self.numbers):
            raise InputError(f"granularity: {self.kind}: expected {_EXAMPLES}, numbers from 1, received {self.numbers}")
        if self.kind == "N:M" and self.numbers[0] >= self.numbers[1]:
            raise InputError(f"granularity: N:M sets N of M weights to zero: expected N below M, received {self}")

    @property
    def structured(self) -> bool:
        """True where whole units go, so that a smaller model can be built."""
        return self.kind in ("neuron", "filter")

    @classmethod
    def parse(cls, text: str) -> Granularity:
        """Read the text form: ``weight``, ``2:4``, ``block(4,4)``, ``dsp(8)``, ``neuron``, ``filter``, ``layer``.

        Raises
        ------
        InputError
            Anything else.
        """
        if isinstance(text, int):
            raise InputError(
                f"granularity: expected text, received the number {text!r}; write N:M in quotes, as in '2:4', for YAML "
                "takes it for hours and minutes"
            )
        word = str(text).replace(" ", "")
        match = _FORM.match(word)
        if match:
            numbers = tuple(int(part) for part in match.group(1, 2, 4, 5) if part is not None)
            return cls(match.group(3) or "N:M", numbers)
        if word not in WORDS:
            raise InputError(f"granularity: expected for example {_EXAMPLES}, received {text!r}{suggestion(word, WORDS)}")
        return cls(word)

    def __str__(self) -> str:
        if self.kind == "N:M":
            return f"{self.numbers[0]}:{self.numbers[1]}"
        return self.kind + (f"({','.join(map(str, self.numbers))})" if self.numbers else "")


WEIGHT = Granularity()


def groups(shape: tuple[int, ...], granularity: Granularity, *, where: str) -> np.ndarray:
    """Number the groups of a kernel.

    Parameters
    ----------
    shape : tuple of int
        (…, inputs, units).
    granularity : Granularity
    where : str
        Layer, for messages.

    Returns
    -------
    int array of `shape`
        The group of each weight, from 0 without gaps.

    Raises
    ------
    InputError
        M of N:M does not divide the input channels, or hls4ml cannot use the reuse factor for this kernel.
    """
    if granularity.kind == "digit":
        raise InputError(f"{where}: digits of single weights are no weights that a mask removes: use the method digits")
    if len(shape) < 2 or not all(shape):
        raise InputError(f"{where}: expected a kernel with inputs and units, received the shape {shape}")
    inputs, units = int(np.prod(shape[:-1])), shape[-1]
    row, column = np.indices((inputs, units))
    match granularity.kind:
        case "weight":
            found = row * units + column
        case "N:M":
            width = granularity.numbers[1]
            if shape[-2] % width:
                raise InputError(
                    f"{where}: {granularity} needs input channels in multiples of {width}, received {shape[-2]}; leave this "
                    "layer out or choose another M"
                )
            found = (row // width) * units + column
        case "block":
            height, width = granularity.numbers
            found = (row // height) * -(-units // width) + column // width
        case "dsp":
            reuse = granularity.numbers[0]
            _check_reuse(inputs, units, reuse, where)
            found = (column * inputs + row) // reuse
        case "layer":
            found = np.zeros_like(row)
        case _:
            found = column
    return found.reshape(shape)


def _check_reuse(inputs: int, units: int, reuse: int, where: str) -> None:
    """Refuse a reuse factor that hls4ml would replace (FPGABackend.get_valid_reuse_factors)."""
    valid = [r for r in range(1, inputs + 1) if inputs % r == 0]
    valid += [inputs * r for r in range(2, units + 1) if units % r == 0]
    if reuse not in valid:
        near = sorted(sorted(valid, key=lambda r: abs(r - reuse))[:3])
        raise InputError(
            f"{where}: hls4ml has no reuse factor {reuse} for {inputs} inputs and {units} units; the nearest are "
            f"{', '.join(map(str, near))}"
        )


def mask(scores: np.ndarray, sparsity: float, granularity: Granularity = WEIGHT, *, where: str, exact: bool = True) -> np.ndarray:
    """Choose the weights that stay: the groups with the smallest sums of scores go.

    Of round(sparsity · groups) groups, the least important go; of equal ones, those that come first, so that the count
    is exact. Of groups of unequal size as many go as come nearest to the sparsity. One group stays in any case, but for
    ``layer``.

    Parameters
    ----------
    scores : (…, inputs, units) array
        Importance of each weight, finite; magnitudes for example.
    sparsity : float
        Fraction of the weights to remove, 0 to less than 1 (``layer``: 0 or 1). With 0 all weights stay, whatever the
        granularity. ``N:M`` takes N/M only.
    granularity : Granularity, default weight
    where : str
        Layer, for messages.
    exact : bool, default True
        False gives the nearest sparsity instead of refusing: for the steps of a schedule on its way to the target.

    Returns
    -------
    bool array of the shape of `scores`, True for the weights that stay. Its sparsity is the requested one to within half
    a weight (``weight``) or one percentage point (all others).

    Raises
    ------
    InputError
        The granularity does not fit the kernel, or cannot give the sparsity; the message has the nearest that it can.

    Examples
    --------
    >>> import numpy as np
    >>> from qap.granularity import Granularity, mask
    >>> magnitudes = np.array([[4.0, 1.0], [3.0, 2.0], [5.0, 6.0]])
    >>> mask(magnitudes, 0.5, where="fc1").tolist()
    [[True, False], [False, False], [True, True]]
    >>> mask(magnitudes, 0.5, Granularity.parse("neuron"), where="fc1").tolist()
    [[True, False], [True, False], [True, False]]
    """
    scores = np.asarray(scores)
    whole = granularity.kind == "layer"
    if isinstance(sparsity, bool | str) or not (0 <= sparsity < 1 or (whole and sparsity == 1)):
        raise InputError(f"{where}: sparsity: expected {'0 or 1' if whole else '0 to less than 1'}, received {sparsity!r}")
    if not np.isfinite(scores).all():
        raise InputError(f"{where}: expected finite scores, received {int((~np.isfinite(scores)).sum())} that are not")
    if sparsity == 0:
        return np.ones(scores.shape, bool)
    number = groups(scores.shape, granularity, where=where)
    if granularity.kind == "N:M":
        return _mask_within(scores, number, sparsity, granularity, where, exact)
    return _mask_across(scores, number, sparsity, granularity, where, exact)


def _mask_within(
    scores: np.ndarray, number: np.ndarray, sparsity: float, granularity: Granularity, where: str, exact: bool
) -> np.ndarray:
    """Set N of the M weights of every group to zero."""
    zeros, width = granularity.numbers
    if not exact:
        zeros = min(max(round(sparsity * width), 0), width - 1)
    elif abs(sparsity - zeros / width) > TOLERANCE:
        raise InputError(
            f"{where}: {granularity} sets {zeros} of {width} weights to zero: expected the sparsity {zeros / width:.4g}, "
            f"received {sparsity:.4g}"
        )
    members = np.argsort(number, axis=None, kind="stable").reshape(-1, width)  # flat positions, one group a row
    order = np.argsort(scores.ravel()[members], axis=1, kind="stable")[:, :zeros]
    kept = np.ones(scores.size, bool)
    kept[np.take_along_axis(members, order, axis=1)] = False
    return kept.reshape(scores.shape)


def _mask_across(
    scores: np.ndarray, number: np.ndarray, sparsity: float, granularity: Granularity, where: str, exact: bool
) -> np.ndarray:
    """Remove the least important groups of a kernel."""
    flat = number.ravel()
    sizes = np.bincount(flat)
    order = np.argsort(np.bincount(flat, weights=scores.ravel().astype(np.float64)), kind="stable")
    most = len(sizes) if granularity.kind == "layer" else len(sizes) - 1
    reachable = np.concatenate([[0], np.cumsum(sizes[order])])[: most + 1] / scores.size
    nearest = int(np.argmin(np.abs(reachable - sparsity)))
    count = min(round(sparsity * len(sizes)), most) if len(set(sizes)) == 1 else nearest
    allowed = 0.5 / scores.size if granularity.kind == "weight" else TOLERANCE
    if exact and abs(reachable[count] - sparsity) > allowed * (1 + 1e-9):
        near = ", ".join(f"{value:.4g}" for value in sorted(reachable[np.argsort(np.abs(reachable - sparsity))[:2]]))
        raise InputError(
            f"{where}: {granularity} has {len(sizes)} groups in a kernel {scores.shape} and cannot give the sparsity "
            f"{sparsity:.4g}; the nearest are {near}: ask for one of them or choose a finer granularity"
        )
    gone = np.zeros(len(sizes), bool)
    gone[order[:count]] = True
    return ~gone[number]


def mask_sparsity(kept: np.ndarray) -> float:
    """Return the fraction of the weights that a mask removes."""
    return 1.0 - float(np.count_nonzero(kept)) / kept.size


def kept_units(kept: np.ndarray) -> np.ndarray:
    """Return which units keep any weight: what `qap.compress.shrink` takes.

    Parameters
    ----------
    kept : (…, units) bool array

    Returns
    -------
    (units,) bool array
    """
    return np.asarray(kept.reshape(-1, kept.shape[-1]).any(axis=0))
