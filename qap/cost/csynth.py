"""What csynth would report, from the features of the layers: values, bands, and how far reports of the kind are at hand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from qap.candidate import Cost, Figure
from qap.cost.fit import bounds
from qap.cost.model import Model, Scope, family
from qap.cost.scopes import FIGURES, LONG_REUSE, kind, scope
from qap.cost.terms import NARROW_WEIGHT, Network, terms, total

CSYNTH = "csynth-equivalent"
SYNTHESIS = "post-synthesis equivalent"
OUTSIDE = math.log(2.0)
"""Widening of a band, as a logarithm, where no report is like the network. Assumed, not measured."""
HANDOVER = 3
"""Most cycles that a layer adds to its own latency in a network. Assumed, not measured."""
RULE = 0.1
"""Band of the DSPs and BRAMs of several layers of the resource strategy. Assumed, not measured."""
ENOUGH = 3
"""Shapes among one's own reports from which on they cover a kind of network."""
SERIES_7 = "7 series"
UNITS = {"latency_cycles": "cycles", "II": "cycles"}
Features = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Guess:
    """A value and its band."""

    value: float
    low: float
    high: float

    def wider(self, by: float) -> Guess:
        """Return the same with a band wider by a factor, given as a logarithm; what is exact stays exact."""
        if self.low == self.high:
            return self
        low, high = bounds(self.value, (by, by), absolute=False)
        return Guess(self.value, min(self.low, low, self.low * math.exp(-by)), max(self.high, high, self.high * math.exp(by)))

    def around(self, other: Guess) -> Guess:
        """Return the same with a band that holds the other's."""
        return Guess(self.value, min(self.low, other.low), max(self.high, other.high))

    def between(self, other: Guess, at: float = 0.5) -> Guess:
        """Return the geometric mean of two guesses, the other with the weight `at`, with both bands."""
        return replace(self.around(other), value=(self.value + 1) ** (1 - at) * (other.value + 1) ** at - 1)


Guesses = dict[str, Guess]


@dataclass(frozen=True)
class Prediction:
    """What csynth would report.

    Parameters
    ----------
    guesses : mapping of figure → Guess
        Empty where no number can be given.
    covered : bool
        Reports of this strategy, reuse factor, size and FPGA family are at hand.
    notes : tuple of str
        Where and why not.
    kind : str
        The reports that were used.
    """

    guesses: Mapping[str, Guess]
    covered: bool
    notes: tuple[str, ...]
    kind: str = ""


def _one(model: Model, name: str, network: Network) -> Guesses:
    """Apply the fits of one scope, the band wider where the network is larger or smaller than those in the reports."""
    found = terms(network, model.sharing)
    guesses = {}
    for figure, fit in model.scopes[name].fits.items():
        value = fit.value(found)
        guesses[figure] = Guess(value, *fit.bounds(value))
    size, (smallest, largest) = network.features["n_mac"], model.scopes[name].sizes
    beyond = max(smallest / size, size / largest)
    if beyond > 2:
        return {figure: guess.wider(min(math.log(beyond) / 4, OUTSIDE)) for figure, guess in guesses.items()}
    return guesses


def _mixed(first: Guesses, second: Guesses, at: float = 0.5) -> Guesses:
    return {figure: first[figure].between(second[figure], at) for figure in first}


def _single(model: Model, layer: Network, notes: list[str]) -> Guesses:
    """Estimate one layer alone."""
    name = scope(layer)
    if name in model.scopes:
        return _one(model, name, layer)
    short = replace(layer, reuse_factor=1)
    long_name, short_name = scope(replace(layer, reuse_factor=LONG_REUSE)), scope(short)
    if long_name not in model.scopes or short_name not in model.scopes:
        raise KeyError(layer.strategy)
    notes.append(f"no single-layer report has a reuse factor between 1 and {LONG_REUSE}: between the two kinds, bands of both")
    guesses = _mixed(_one(model, short_name, short), _one(model, long_name, layer))
    if layer.strategy == "resource":
        exact = _one(model, long_name, layer)
        guesses |= {figure: exact[figure] for figure in ("DSP", "latency_cycles", "II")}
    return guesses


def _sum(model: Model, layers: Sequence[Network], whole: Network, notes: list[str]) -> Guesses:
    """Add single layers: resources and latencies (of several a cycle more for each), the longest II."""
    parts = [_single(model, layer, notes) for layer in layers]
    guesses = {}
    for figure in FIGURES:
        found = [part[figure] for part in parts]
        if figure == "II":
            guesses[figure] = max(found, key=lambda guess: guess.value)
            continue
        more = low = high = _softmax(model, figure, whole)
        if figure == "latency_cycles" and len(found) > 1:
            more, low, high = len(found), 0, HANDOVER * len(found)
        guesses[figure] = Guess(
            sum(guess.value for guess in found) + more,
            sum(guess.low for guess in found) + low,
            sum(guess.high for guess in found) + high,
        )
    return guesses


def _softmax(model: Model, figure: str, whole: Network) -> float:
    """Return what a softmax adds, from the networks that have one."""
    several = model.scopes.get("several layers, latency, R = 1 and 2")
    if not whole.softmax or several is None:
        return 0.0
    fit, found = several.fits[figure], terms(replace(whole, layers=max(whole.layers, 2)), model.sharing)
    names = [name for name in fit.terms if name.startswith("softmax")]
    return sum(fit.coefficients[fit.terms.index(name)] * found[name] for name in names)


def _several(model: Model, whole: Network, notes: list[str]) -> Guesses | None:
    """Estimate a whole network of the latency strategy by the reports of networks; None where there are none."""
    name = scope(whole)
    if name in model.scopes:
        return _one(model, name, whole)
    near, far = replace(whole, reuse_factor=2), replace(whole, reuse_factor=100)
    names = scope(near), scope(far)
    if names[0] not in model.scopes or names[1] not in model.scopes:
        return None
    if whole.reuse_factor < far.reuse_factor:
        notes.append(f"no report of a network has the reuse factor {whole.reuse_factor}: between 2 and 100, bands of both")
        at = math.log(whole.reuse_factor / near.reuse_factor) / math.log(far.reuse_factor / near.reuse_factor)
        return _mixed(_one(model, names[0], near), _one(model, names[1], far), at)
    notes.append(f"no report of a network has a reuse factor above 100: taken as 100, bands wider by {math.exp(OUTSIDE):g}")
    return {figure: guess.wider(OUTSIDE) for figure, guess in _one(model, names[1], far).items()}


def whole_network(layers: Sequence[Network], softmax: int = 0) -> Network:
    """Sum the layers of a network."""
    first = layers[0]
    return Network(
        total([layer.features for layer in layers]), first.strategy, max(layer.reuse_factor for layer in layers),
        len(layers), softmax, first.clock_ns, first.multipliers,
    )  # fmt: skip


def predict(model: Model, layers: Sequence[Network], *, softmax: int = 0, part: str | None = None) -> Prediction:
    """Estimate what csynth would report for a network of matrix multiplications with io_parallel.

    Parameters
    ----------
    model : Model
        `qap.cost.model.shipped_model()`, or one refitted to reports of one's own.
    layers : sequence of Network
        One for each matrix multiplication.
    softmax : int, default 0
        Outputs of a softmax at the end.
    part : str, optional
        In the vendor's spelling.

    Returns
    -------
    Prediction
    """
    if not layers:
        return Prediction({}, False, ("no matrix multiplication in it",))
    strategies = {layer.strategy for layer in layers}
    unknown = strategies - {"latency", "resource"}
    if unknown:
        return Prediction({}, False, (f"no report of the strategy {', '.join(sorted(unknown))} is at hand: no number",))
    layers = [_choose(layer, layers) for layer in layers]
    whole = whole_network(layers, softmax)
    notes: list[str] = []
    same = len(strategies) == 1
    guesses = _several(model, whole, notes) if len(layers) > 1 and strategies == {"latency"} else None
    if guesses is None:
        guesses = _sum(model, layers, whole, notes)
        if len(layers) > 1:
            notes.append("no report of a network has this strategy: the sum of single layers, bands wider by 2")
            guesses = {figure: _rule(figure, guess).wider(OUTSIDE) for figure, guess in guesses.items()}
    else:
        guesses = _undirected(model, whole, guesses, notes)
        if family(part) not in (SERIES_7, None):
            notes.append(f"the reports of networks are of slower FPGAs than {family(part)}: between them and the sum of layers")
            guesses = _mixed(guesses, _sum(model, layers, whole, []))
    name = scope(whole) if same else ""
    used = model.scopes.get(name)
    notes.extend(_outside(used, whole, part))
    shipped = Prediction(guesses, used is not None and not notes, tuple(dict.fromkeys(notes)), name or "sum of single layers")
    return _corrected(model, shipped, whole, kind(whole, strategies))


def _rule(figure: str, guess: Guess) -> Guess:
    """Give a sum of exact counts of DSPs or BRAMs the band that a rule for single layers deserves in a network."""
    if figure not in ("DSP", "BRAM_18K") or guess.low != guess.high:
        return guess
    return Guess(guess.value, guess.value * (1 - RULE), guess.value * (1 + RULE))


def _corrected(model: Model, shipped: Prediction, whole: Network, name: str) -> Prediction:
    """Apply what reports of one's own have shown for this kind of network."""
    learned = model.learned.get(name)
    if learned is None:
        return shipped
    found = terms(whole, model.sharing)
    guesses = {}
    for figure, guess in shipped.guesses.items():
        correction = learned.corrections.get(figure)
        guesses[figure] = guess if correction is None else Guess(*correction.apply(guess.value, guess.low, guess.high, found))
    size, (smallest, largest) = whole.features["n_mac"], learned.sizes
    beyond = max(smallest / size, size / largest)
    if beyond > 2:
        guesses = {figure: guess.wider(min(math.log(beyond) / 4, OUTSIDE)) for figure, guess in guesses.items()}
    shapes = f"{learned.groups} shape{'s' if learned.groups > 1 else ''}"
    said = f"corrected by {learned.rows} own report{'s' if learned.rows > 1 else ''} of {shapes} ({learned.source})"
    enough = learned.groups >= ENOUGH and beyond <= 2
    return Prediction(guesses, shipped.covered or enough, (said, *(() if enough else shipped.notes)), name)


def _undirected(model: Model, whole: Network, guesses: Guesses, notes: list[str]) -> Guesses:
    """Widen the bands where the tool itself chooses between DSPs and LUTs."""
    if whole.multipliers is not None:
        return guesses
    notes.append(
        "in the reports of networks a directive forces multiplications into DSPs or LUTs, here the tool chooses: both bands"
    )
    forced = _several(model, replace(whole, multipliers="lut"), []) or guesses
    return {figure: guess.around(forced[figure]) for figure, guess in guesses.items()}


def _choose(layer: Network, layers: Sequence[Network]) -> Network:
    """Take multiplications for LUTs where all operands are too narrow for a DSP."""
    narrow = all(min(one.features["xb"], one.features["wb"]) <= NARROW_WEIGHT for one in layers)
    return replace(layer, multipliers="lut") if layer.multipliers is None and narrow and len(layers) > 1 else layer


def _outside(used: Scope | None, whole: Network, part: str | None) -> list[str]:
    """Say where size and part are not those of the reports."""
    if used is None:
        return []
    notes = []
    size, (smallest, largest) = whole.features["n_mac"], used.sizes
    if not smallest / 2 <= size <= largest * 2:
        notes.append(f"{size:.0f} products, the reports have {smallest:.0f} to {largest:.0f}: bands wider")
    found = family(part)
    if used.families and found is not None and found not in used.families:
        notes.append(f"the reports are of {', '.join(used.families)}, the part is of {found}: latency and FF may be off")
    return notes


def deserved(guess: Guess) -> Guess:
    """Round to what the band deserves: whole numbers, two digits where it is wider than a tenth of the value."""
    value, low, high = guess.value, math.floor(guess.low + 1e-9), math.ceil(guess.high - 1e-9)
    step = 1.0
    if high - low > 0.1 * max(value, 1) and value >= 100:
        step = 10.0 ** (math.floor(math.log10(value)) - 1)
    return Guess(round(value / step) * step, math.floor(low / step) * step, math.ceil(high / step) * step)


def csynth_cost(prediction: Prediction) -> dict[str, Figure]:
    """Return the figures of a prediction, with no more digits than they deserve.

    Parameters
    ----------
    prediction : Prediction
    """
    source = CSYNTH if prediction.covered else f"{CSYNTH}, outside the reports at hand"
    figures = {}
    for name, guess in prediction.guesses.items():
        shown = deserved(guess)
        least = 1.0 if name == "II" else 0.0
        figures[name] = Figure(max(shown.value, least), source, UNITS.get(name, ""), max(shown.low, least), shown.high)
    return figures


def synthesis_cost(prediction: Prediction, model: Model) -> Cost:
    """Return what is left after synthesis, by the ratios of designs with both reports.

    Parameters
    ----------
    prediction : Prediction
    model : Model
    """
    figures = {}
    for name, ratio in model.synthesis.items():
        if name in prediction.guesses:
            guess = prediction.guesses[name]
            shown = deserved(Guess(guess.value * ratio.median, guess.low * ratio.low, guess.high * ratio.high))
            spread = f"{ratio.low:.2f}–{ratio.high:.2f}, {ratio.designs} designs, {ratio.of}"
            source = f"{SYNTHESIS}: csynth × {ratio.median:.2f} ({spread})"
            figures[name] = Figure(shown.value, source, UNITS.get(name, ""), shown.low, shown.high)
    return Cost(figures)
