"""The strategy `allocation`: bits from an integer program over what single layers suffer, the baseline that a search must beat.

For every architecture and sparsity of the space, and for budgets of EBOPs in geometric steps from its coarsest to its finest
plan, the program of `qap.compress.allocate` chooses the bits: least sum of the losses that single tensors cause, EBOPs by
declared bits within the budget. Nothing is learnt from the trainings.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from qap.candidate import Candidate
from qap.compress.allocate import Option, kept_products, layer_options, least
from qap.compress.context import Context
from qap.compress.ranges import Calibration
from qap.compress.sensitivity import Sensitivities, sensitivities
from qap.models.architecture import Architecture
from qap.plan import Plan
from qap.precision import Precision
from qap.search.space import PlanSpace, Point

BUDGETS = 33
"""Of each sparsity, both ends included."""
Measured = tuple[Sensitivities, dict[str, dict[int, Precision]]]
"""What layers suffer by bits, and the types that their activations have at these bits."""
Measure = Callable[[Architecture], Measured]


def setting(space: PlanSpace, layer: str, kind: str) -> str:
    """Return the name of the setting that gives a layer's bits or sparsity."""
    return kind if kind in space.settings else f"{layer}.{kind}"


def measured(space: PlanSpace, architecture: Architecture, calibration: Calibration, context: Context) -> Measured:
    """Measure what each layer of a float parent suffers at every choice of bits that the space has for it."""
    names = list(architecture.shapes)

    def plans(kind: str) -> dict[int, Plan]:
        """Return the plans in which all layers have the same bits of a kind, for all that any layer may choose."""
        settings = [name for name in space.settings if name.endswith(kind)]
        choices = sorted({int(bits) for name in settings for bits in space.settings[name]})
        return {bits: space.plan(dict.fromkeys(settings, bits), architecture, calibration) for bits in choices}

    def bits(name: str, kind: str) -> list[int]:
        return [int(value) for value in space.settings[setting(space, name, kind)]]

    of_weights, of_activations = plans("weight_bits"), plans("activation_bits")
    kernels = {name: [of_weights[b][name].weight for b in bits(name, "weight_bits")] for name in names}
    activations: dict[str, dict[int, Precision]] = {}
    for name in names[:-1]:
        some = {b: of_activations[b][name].activation for b in bits(name, "activation_bits")}
        activations[name] = {b: precision for b, precision in some.items() if precision is not None}
    start = Candidate(architecture, next(iter(of_weights.values())), calibration.weights)
    table = sensitivities(
        start, context, weights=kernels, activations={name: list(some.values()) for name, some in activations.items()}
    )
    return table, activations


def allocations(space: PlanSpace, measure: Measure, points: Sequence[Point] = ()) -> Iterator[Point]:
    """Yield points, then the plans of the integer program: budgets from the ends of the range to its middle and on.

    Parameters
    ----------
    space : PlanSpace
    measure : callable
        Called when the turn of an architecture comes.
    points : sequence of Point
        Yielded first; none is yielded twice.
    """
    tables: dict[str, Measured] = {}

    def proposed() -> Iterator[Point]:
        for place, base in itertools.product(_spread(BUDGETS), _bases(space)):
            architecture = space.architecture(base)
            if architecture.id not in tables:
                tables[architecture.id] = measure(architecture)
            yield _point(space, base, _options(space, architecture, base, tables[architecture.id]), place)

    seen: set[frozenset[tuple[str, int | float]]] = set()
    for point in itertools.chain(points, proposed()):
        key = frozenset(point.items())
        if key not in seen:
            seen.add(key)
            yield point


def _bases(space: PlanSpace) -> list[Point]:
    """Return the space's uniform points with their bits left out: every architecture at every sparsity."""
    found = [{name: value for name, value in point.items() if not name.endswith("bits")} for point in space.uniform()]
    return list({tuple(point.items()): point for point in found}.values())


def _options(space: PlanSpace, architecture: Architecture, base: Point, found: Measured) -> list[list[Option]]:
    names = list(architecture.shapes)
    kept = {name: kept_products(architecture, name, float(base[setting(space, name, "sparsity")])) for name in names}
    settings = {
        (name, kind): setting(space, name, kind)
        for names_, kind in ((names, "weight_bits"), (names[:-1], "activation_bits"))
        for name in names_
    }
    table, activations = found
    return layer_options(architecture, table, activations, kept, space.inputs, settings)


def _point(space: PlanSpace, base: Point, options: Sequence[Sequence[Option]], place: float) -> Point:
    """Return the best plan within a budget that lies at a place from 0, the coarsest plan's EBOPs, to 1, the finest's."""
    lowest, highest = (sum(pick(option.cost for option in some) for some in options) for pick in (min, max))
    chosen = least(options, math.ceil(lowest * (highest / lowest) ** place))
    point = {**base, **(chosen or {})}
    return {name: point.get(name, values[0]) for name, values in space.knobs.items()}


def _spread(count: int) -> list[float]:
    """Return so many places from 0 to 1: the ends, the middle, the quarters, and so on."""
    places = np.linspace(0, 1, count)
    order, step = [0, count - 1], count - 1
    while len(order) < count:
        step = max(step // 2, 1)
        order += [number for number in range(0, count, step) if number not in order]
    return [float(places[number]) for number in order]
