"""The study file that ``qap init`` writes: sizes that follow from the data, and what was seen as comments."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import yaml

from qap.commands.init_answer import Wishes
from qap.commands.init_image import Image, channels_first, image
from qap.commands.init_look import Look, Seen
from qap.commands.init_roles import Roles
from qap.datasets.scaling import MOST_SATURATED

NETWORKS = ((64, 32, 32), (32, 16, 16), (32, 16), (16, 8), (8,))
EVENTS_OF_A_WEIGHT = 10
BATCHES = (32, 1024)
STEPS_OF_AN_EPOCH = 110
PARENT_STEPS, STEPS, TUNE_STEPS = 2200, 440, 55
"""Of the float network, of a candidate, of a child: those of configs/jets.yaml."""
TRIALS_OF_A_LAYER = 100
IMAGE_STEPS, IMAGE_BITS = 1100, (3, 4, 6, 8)
"""Of a convolutional network: training steps, and the plans of the grid; the files of configs/zoo take as many steps."""
FRACTIONAL = 7
FEWEST_HELD = 20
ENOUGH_VALIDATION = 2000
"""Validation events of the smallest class, and of all: with fewer of them a larger part is for validation."""
UNBALANCED = 0.8
MOST_ROWS = 60
WIDTH = 110
COMMENT = 36


@dataclass(frozen=True)
class Sizes:
    """What follows from the data.

    Parameters
    ----------
    hidden : tuple of int
    weights : int
    batch, parent_epochs, epochs : int
    fine_tune : float
        Epochs of a child.
    split : three fractions
    holdback : float
    trials : int
    bits, integer : int
        Of the inputs.
    outside : float
        Fraction of the standardised values beyond the grid.
    image : Image or None
        Then there is a convolutional network in place of `hidden`.
    """

    hidden: tuple[int, ...]
    weights: int
    train: int
    batch: int
    parent_epochs: int
    epochs: int
    fine_tune: float
    split: tuple[float, float, float]
    holdback: float
    trials: int
    bits: int
    integer: int
    outside: float
    image: Image | None


@dataclass(frozen=True)
class Place:
    """How the study and its files are called.

    Parameters
    ----------
    study : str
    data : str
        ``data.name``.
    tree : str or None
    files : mapping of class to file names
        Empty where not each class has its own.
    output : str
        As the user will call the study file.
    """

    study: str
    data: str
    tree: str | None
    files: Mapping[str, Sequence[str]]
    output: str


def _weights(widths: Sequence[int]) -> int:
    return sum(a * b for a, b in pairwise(widths))


def _least_steps(seen: Image | None) -> tuple[int, int]:
    """Return training steps of the float network and of a candidate."""
    return (IMAGE_STEPS, IMAGE_STEPS) if seen else (PARENT_STEPS, STEPS)


def _beyond(features: Sequence[Seen], integer: int) -> float:
    """Return the fraction of the standardised values that the grid does not reach."""
    outside = total = 0
    for one in features:
        spread = float(one.sample.std())
        if spread:
            outside += int((np.abs(one.sample - one.sample.mean()) > spread * 2**integer).sum())
            total += len(one.sample)
    return outside / total if total else 0.0


def sizes(look: Look, roles: Roles) -> Sizes:
    """Choose network, training, search and grid by the numbers of events, features and classes."""
    smallest = min(roles.counts.values(), default=look.events)
    many = smallest * 0.1 >= FEWEST_HELD and look.events * 0.1 >= ENOUGH_VALIDATION
    split = (0.7, 0.1, 0.2) if many else (0.6, 0.2, 0.2)
    train = math.floor(split[0] * look.events)
    outputs = len(roles.counts) or len(roles.targets)
    inputs = len(roles.elements)
    widths = [(inputs, *hidden, outputs) for hidden in NETWORKS]
    chosen = next((one for one in widths if EVENTS_OF_A_WEIGHT * _weights(one) <= train), widths[-1])
    seen = image(roles.elements)
    parent_steps, least = _least_steps(seen)
    batch = int(np.clip(2 ** round(math.log2(max(train / STEPS_OF_AN_EPOCH, 1))), *BATCHES))
    batch = min(batch, train)
    steps = math.ceil(train / batch)
    fine_tune = max(0.5, math.ceil(2 * TUNE_STEPS / steps) / 2)
    integer = next((bits for bits in (2, 3) if _beyond(roles.elements, bits) <= MOST_SATURATED), 4)
    return Sizes(
        chosen[1:-1], seen.weights(outputs) if seen else _weights(chosen), train, batch,
        max(10 if seen else 20, math.ceil(parent_steps / steps)), max(4, math.ceil(least / steps)), fine_tune,
        split, 0.5 if smallest * split[1] >= FEWEST_HELD / 2 else 0.0,
        len(IMAGE_BITS) if seen else TRIALS_OF_A_LAYER * (len(chosen) - 1),
        integer + 1 + FRACTIONAL, integer, _beyond(roles.elements, integer), seen,
    )  # fmt: skip


def _yaml(value: object) -> str:
    """Return a value as YAML in one line, as it may stand in a list too."""
    return yaml.safe_dump([value], default_flow_style=True, width=10**9, allow_unicode=True).strip()[1:-1]


def _line(setting: str, comment: str) -> str:
    """Return a setting with a comment behind it."""
    return f"{setting:<{COMMENT - 1}} # {comment}"


def _wrapped(key: str, values: Iterable[str]) -> list[str]:
    """Return a list of names over as many lines as it takes."""
    lines, line = [], f"{key}: ["
    for text in (f"{_yaml(value)}, " for value in values):
        if len(line) + len(text) > WIDTH:
            lines.append(line.rstrip())
            line = "  "
        line += text
    return [*lines, f"{line.removesuffix(', ')}]"]


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e9 else f"{value:.4g}"


def _seen(features: Sequence[Seen]) -> list[str]:
    """Return a line of comment for each feature: its range, and what kind of numbers it has."""
    lines = []
    for one in features[:MOST_ROWS]:
        kind = ", 0 or 1" if one.binary else ", integers" if one.whole else ""
        bad = f", {one.bad:,} NaN or infinite" if one.bad else ""
        lines.append(_comment(f"  {one.name}: {_number(one.low)} to {_number(one.high)}{kind}{bad}"))
    if len(features) > MOST_ROWS:
        lines.append(f"#   and {len(features) - MOST_ROWS} more")
    return lines


def _comment(text: str) -> str:
    """Return a comment of one line, whatever a column's name holds."""
    return "# " + re.sub(r"[\s\x00-\x1f\x7f-\x9f]", " ", text)


def _classes(roles: Roles) -> str:
    shown = [f"{name} {count:,}" for name, count in list(roles.counts.items())[:12]]
    more = f" and {len(roles.counts) - 12} more" if len(roles.counts) > 12 else ""
    return f"{len(roles.counts)} classes: {', '.join(shown)}{more}"


def _hardware(roles: Roles) -> list[str]:
    """Return how integers may be taken as hardware has them, where all features are integers with more than two values."""
    if not all(one.whole for one in roles.elements) or all(one.binary for one in roles.elements):
        return []
    bits = max(max(int(one.high), -int(one.low) - 1, 0).bit_length() for one in roles.elements) + 1
    if bits > 32:
        return []
    lsb = ", ".join(f"{_yaml(name)}: 1" for name in roles.features[:3])
    more = ", …" if len(roles.features) > 3 else ""
    return [
        "# all features are integers: those of the trigger's hardware go in as they are, bit for bit, with",
        f"#   lsb: {{{lsb}{more}}}      (physical value of one unit)",
        "#   scale: lsb",
        f"#   input: {{bits: {bits}, integer: 0}}",
    ]


def _answer(roles: Roles, files: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the keys of what is to be learnt."""
    why = roles.why["answer"]
    if files:
        pairs = (f"  {_yaml(name)}: {_yaml(found[0] if len(found) == 1 else list(found))}" for name, found in files.items())
        return [_comment(f"{why}; {_classes(roles)}"), "files:", *pairs]
    if roles.targets:
        return [_comment(f"to be learnt in its own unit, {why}: regression"), *_wrapped("targets", roles.targets)]
    if roles.labels:
        pairs = (f"  {_yaml(name)}: {_yaml(column)}" for name, column in roles.labels.items())
        return [_comment(f"{why}; {_classes(roles)}"), "labels:", *pairs]
    return [_comment(f"{why}; {_classes(roles)}"), f"label: {_yaml(roles.label)}"]


def _pixels(seen: Image, features: Sequence[Seen]) -> str:
    """Return the range of an array as a comment."""
    low, high = min(one.low for one in features), max(one.high for one in features)
    shape, kind = "×".join(map(str, seen.shape)), ", integers" if all(one.whole for one in features) else ""
    return _comment(f"  {seen.array}, {shape}: {_number(low)} to {_number(high)}{kind}")


def _columns(look: Look, roles: Roles, seen: Image | None) -> list[str]:
    """Return the features with their ranges, and what is left out."""
    ranges = [_pixels(seen, roles.elements)] if seen and seen.pixels else _seen(roles.elements)
    lines = [f"# {len(roles.elements)} features:", *ranges]
    lines += ["# columns: every column without another role"] if roles.every else _wrapped("columns", roles.features)
    if any(one.base in look.lengths for one in roles.elements):
        lines.append("# of arrays of changing length as many elements as nine events in ten have, 8 at most; missing ones are 0")
    if roles.left_out:
        lines.append("# left out:")
        lines += [_comment(f"  {name}: {why}") for name, why in list(roles.left_out.items())[:MOST_ROWS]]
    return lines


def _data(look: Look, roles: Roles, wishes: Wishes, found: Sizes, place: Place) -> list[str]:
    """Return the section `data`."""
    lines = [_comment(f"{look.read:,} events" + (f", of which the cut keeps {look.events:,}" if wishes.cut else ""))]
    lines.append(f"name: {_yaml(place.data)}")
    lines += [] if place.tree is None else [f"tree: {_yaml(place.tree)}"]
    lines += [*_answer(roles, place.files), *_columns(look, roles, found.image)]
    lines += [] if roles.cut is None else [f"cut: {_yaml(roles.cut)}"]
    if roles.cut != wishes.cut:
        lines.append("# the cut leaves out the events that have NaN or infinite values, or no label")
    lines += [] if roles.weight is None else [f"weight: {_yaml(roles.weight)}"]
    lines += [] if roles.part is None else [f"split_column: {_yaml(roles.part)}"]
    why = "training, validation, test" + ("" if found.split[1] == 0.1 else "; few events, so more than a tenth to choose by")
    lines.append(_line(f"split: {list(found.split)}", why))
    if found.image and (found.image.pixels or any(one.constant for one in roles.elements)):
        grid = _line(f"input: {{bits: {found.image.bits}, integer: 0}}", f"ap_fixed<{found.image.bits},1>")
        return [*lines, _line("scale: unit", "an image: divided by one power of two"), grid]
    reach = f"{100 * found.outside:.2g} % of the values lie beyond ±{2**found.integer} and saturate"
    return [
        *lines,
        f"# inputs have mean 0 and standard deviation 1; they are rounded to steps of 1/{2**FRACTIONAL}; {reach}",
        _line("scale: standard", "or unit, lsb, a number"),
        _line(f"input: {{bits: {found.bits}, integer: {found.integer}}}", f"ap_fixed<{found.bits},{found.integer + 1}>"),
        *_hardware(roles),
    ]


def _objectives(roles: Roles) -> str:
    """Return what the search is for."""
    total, largest = sum(roles.counts.values()), max(roles.counts.values(), default=0)
    score, why = "accuracy", "also auc, signal_efficiency, LUT, latency_ns"
    if roles.targets:
        score, why = "rmse", "also resolution, LUT, latency_ns"
    elif largest > UNBALANCED * total:
        score, why = "auc", f"accuracy says little where {largest / total:.0%} of the events are of one class"
    return _line(f"objectives: [{score}, ebops]", why)


def _search(roles: Roles, found: Sizes) -> list[str]:
    """Return the section `search`."""
    lines = [
        _objectives(roles),
        _line(f"trials: {found.trials}", f"{TRIALS_OF_A_LAYER} for each of {len(found.hidden) + 1} layers; or seconds: 600"),
        "# constraints: {LUT: 40000}",
    ]
    return [
        *lines,
        *_holdback(found),
        "hybrid:",
        _line(f"  fine_tune: {found.fine_tune:g}", f"epochs of a candidate that inherits weights: {TUNE_STEPS} steps or more"),
        "space:",
        "  weight_bits: [2, 3, 4, 5, 6, 7, 8]",
        "  activation_bits: [2, 3, 4, 5, 6, 7, 8]",
        "  sparsity: [0.0, 0.3, 0.5, 0.7, 0.8, 0.9]",
        _line("  # tie: [activation_bits]", "one choice for all layers"),
        _line("  # units: [8, 16, 32]", "open the widths of the layers"),
    ]


def _image_search(roles: Roles, found: Sizes) -> list[str]:
    """Return the section `search` of a convolutional network, of which plans are trained one after the other."""
    return [
        "# convolutions train one plan after the other, in tens of seconds to minutes each, so there are few plans here;",
        "# layer by layer: strategy: nsga2, trials: 64, without tie",
        _line("strategy: grid", "the same bits in all layers"),
        _objectives(roles),
        _line(f"trials: {found.trials}", "or seconds: 600"),
        *_holdback(found),
        "space:",
        f"  weight_bits: {list(IMAGE_BITS)}",
        "  activation_bits: [6]",
        "  sparsity: [0.5]",
        _line("  tie: [weight_bits, activation_bits, sparsity]", "one choice for all layers"),
    ]


def _holdback(found: Sizes) -> list[str]:
    why = "too few validation events to hold half of them back from the search"
    return [] if found.holdback else [_line("holdback: 0", why)]


def _network(roles: Roles, found: Sizes) -> list[str]:
    """Return the section `model`."""
    if found.image:
        return _convolutions(found.image, found)
    size = f"{found.weights:,} weights for {found.train:,} training events: {EVENTS_OF_A_WEIGHT} events or more for each"
    if EVENTS_OF_A_WEIGHT * found.weights > found.train:
        size = f"few events, {found.train:,} for training, so the smallest network: {found.weights:,} weights"
    hint = "# an image? With its channels last (rows, columns, channels) it would be given convolutions here"
    return [f"# {size}", *([hint] if channels_first(roles.elements) else []), f"hidden: {list(found.hidden)}", "activation: relu"]


def _convolutions(seen: Image, found: Sizes) -> list[str]:
    """Return the section `model` of a convolutional network."""
    what, other = "an image: rows, columns, channels", "rows that are particles or the like: shape: [rows, numbers of each]"
    if not seen.pixels:
        what, other = "a row of particles or the like: how many, numbers of each", "an image: shape: [rows, columns, 1]"
    return [
        _comment(f"'{seen.array}' is one array for each event; {found.weights:,} weights for {found.train:,} training events"),
        _line(f"shape: {list(seen.shape)}", what),
        *([] if seen.pixels and seen.shape[-1] > 1 else [f"# {other}, kernel_size: {'[2]' if seen.pixels else '[3, 3]'}"]),
        _line("layers:", "then the output layer; hidden: [32, 16] in place of shape and layers: a dense network"),
        *(f"  - {_yaml(layer)}" for layer in seen.layers),
        "activation: relu",
        "batchnorm: false",
    ]


def study_text(look: Look, roles: Roles, wishes: Wishes, place: Place) -> str:
    """Return the study file.

    Parameters
    ----------
    look : Look
    roles : Roles
    wishes : Wishes
    place : Place
    """
    found = sizes(look, roles)
    parent_steps, steps = _least_steps(found.image)
    per_epoch = f"about {STEPS_OF_AN_EPOCH} steps an epoch, {BATCHES[0]} to {BATCHES[1]} events"
    sections = {
        "data": _data(look, roles, wishes, found, place),
        "model": _network(roles, found),
        "train": [
            _line(f"batch: {found.batch}", per_epoch),
            *(["learning_rate: 0.003"] if found.image else []),
            _line(f"parent_epochs: {found.parent_epochs}", f"of the float network: {parent_steps:,} steps or more"),
            _line(f"epochs: {found.epochs}", f"of a candidate from the float network: {steps:,} steps or more"),
        ],
        "search": _image_search(roles, found) if found.image else _search(roles, found),
        "firmware": [
            _line("Backend: Vitis", "or Vivado"),
            "Part: xcvu13p-flga2577-2-e",
            _line("ClockPeriod: 5.0", "ns"),
            "ReuseFactor: 1",
            *([_line("IOType: io_stream", "one position after the other")] if found.image else []),
            *([] if found.image else [_line("# rtl: true", "the front as Verilog too: pip install 'qap[rtl]'")]),
        ],
    }
    others = f" and {len(look.files) - 1} more" if len(look.files) > 1 else ""
    lines = [
        _comment(f"{look.files[0].name}{others}, as qap init saw it. Next: qap search {place.output}"),
        "# Every key has a default, and any can be set on the command line: qap search STUDY.yaml search.trials=50",
        f"name: {_yaml(place.study)}",
        "seed: 1",
    ]
    for section, inside in sections.items():
        lines += ["", f"{section}:", *(f"  {line}" for line in inside)]
    return "\n".join(lines) + "\n"
