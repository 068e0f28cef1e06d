"""``qap anomaly``: what anomaly triggers keep of each signal, against what they let through."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qap.commands.options import EXIT_CODES, add_shown, add_trust, fraction, positive, print_json, print_lines
from qap.errors import InputError, suggestion

if TYPE_CHECKING:  # loaded when the verb runs: --help must stay light
    from qap.candidate import Figure
    from qap.config.data import Data
    from qap.datasets.samples import Sample, Samples
    from qap.metrics.anomaly import AnomalyPoint, Scores

EXAMPLES = f"""
examples:
  qap anomaly configs/zoo/autoencoder.yaml studies/autoencoder studies/anomaly_student
  qap anomaly configs/zoo/autoencoder.yaml student=studies/anomaly_student/candidates/3f2a…/model.keras
  qap anomaly configs/zoo/autoencoder.yaml studies/autoencoder --crossing-rate-khz 31000 --fraction 0.1 0.01 0.003
  qap anomaly configs/zoo/autoencoder.yaml studies/autoencoder data.name=other.npz --output other

STUDY.yaml says in its section `data` which events these are, how they are scaled, and by `classes` which ones the networks were
trained on: of these the test part is the background, all other classes are signals. A model with as many outputs as inputs is
an autoencoder, scored by its mean squared error; one with one output is a student, whose output is its score. Of a study the
float network and the front count.

{EXIT_CODES}
"""
COSTS = {"ebops": "EBOPs", "LUT": "LUT", "FF": "FF", "DSP": "DSP", "BRAM_18K": "BRAM", "latency_ns": "latency ns", "II": "II"}
"""Figures of cost that are shown, where they are known."""
CURVE_POINTS = 40
FEWEST_DRAWN = 3
"""Background events at the left end of a curve."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EXAMPLES
    add = parser.add_argument
    add("study", type=Path, metavar="STUDY.yaml", help="study file whose section `data` counts")
    add(
        "models", nargs="+", metavar="[NAME=]MODEL", help="a study's directory or a .keras file; data.KEY=VALUE changes a setting"
    )
    add("--fraction", type=fraction, nargs="+", metavar="F", help="accepted fractions (default: 0.1 … 1e-5, as events allow)")
    add("--minimum-bias", default="minimum_bias", metavar="CLASS", help="class of minimum-bias events (default: minimum_bias)")
    add("--crossing-rate-khz", type=positive, metavar="KHZ", help="bunch crossings, such as 31000: gives rates of minimum bias")
    add("--output", type=Path, default=Path("anomaly"), metavar="DIR", help="for anomaly.json and figures (default: anomaly)")
    add_trust(parser)
    add_shown(parser, "print anomaly.json")


@dataclass(frozen=True)
class Trigger:
    """A model to judge.

    Parameters
    ----------
    name : str
    path : path
        Of the Keras or QKeras model.
    cost : mapping
        Value, low and high of its firmware's figures, where a study knows them.
    bit_exact : bool or None
        Whether its firmware was proven; None where no study says so.
    """

    name: str
    path: Path
    cost: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    bit_exact: bool | None = None


def run(options: argparse.Namespace) -> int:
    """Judge the triggers; return the exit code."""
    from qap.config.load import load_config
    from qap.files import write_text

    words = [word for word in options.models if not _is_setting(word)]
    config = load_config(options.study, [word for word in options.models if _is_setting(word)])
    try:
        triggers = _triggers(words, config.data)
        samples = _samples(config.data, options)
        backgrounds = _backgrounds(samples, options.minimum_bias)
        if options.crossing_rate_khz is not None and options.minimum_bias not in backgrounds:
            raise InputError(
                f"--crossing-rate-khz: a rate follows from minimum-bias events only, and {samples.name} has no class "
                f"'{options.minimum_bias}'{suggestion(options.minimum_bias, [*samples.known, *samples.others])}"
            )
        judged = [_judge(trigger, samples, backgrounds, options) for trigger in triggers]
        found = {
            "data": samples.name, "classes": config.data.classes, "crossing_rate_khz": options.crossing_rate_khz,
            "coverage": 0.68, "models": judged,
        }  # fmt: skip
        folder = _output(options.output)
        _figures(judged, samples, backgrounds, folder, options)
        for model in judged:
            del model["curves"]
        write_text(folder / "anomaly.json", json.dumps(found, indent=1, allow_nan=False) + "\n")
    except KeyboardInterrupt:
        print("qap anomaly: stopped", file=sys.stderr)
        return 1
    if options.json:
        print_json(found)
    elif not options.quiet:
        print_lines("\n".join([*summary(found), "", f"figures and anomaly.json: {folder}"]))
    return 0


def _is_setting(word: str) -> bool:
    return re.match(r"[A-Za-z_]\w*\.[\w.]+=", word) is not None


def _output(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output: {folder}: cannot be written: {error.strerror}") from None
    return folder


def _triggers(words: Sequence[str], data: Data) -> list[Trigger]:
    """Return the models to judge, each held to the settings of the data."""
    from qap.datasets.reconstruction import check_inputs

    if not words:
        raise InputError("expected one model or more: a study's directory or a .keras file")
    found: dict[str, Trigger] = {}
    for word in words:
        name, equals, rest = word.partition("=")
        path = Path(rest if equals else word)
        for trigger in (
            _of_study(path, name if equals else path.resolve().name) if path.is_dir() else [_of_file(path, name, equals)]
        ):
            check_inputs(trigger.path, data, trigger.name)
            if trigger.name in found:
                raise InputError(f"{trigger.name}: two models have this name: call one otherwise by NAME=PATH")
            found[trigger.name] = trigger
    return list(found.values())


def _of_file(path: Path, name: str, equals: str) -> Trigger:
    """Return a model file, with what its study knows of it."""
    from qap.datasets.reconstruction import study_of

    study = study_of(path)
    if study is not None and (study / "report.json").is_file():
        for trigger in _of_study(study, ""):
            if trigger.path.resolve() == path.resolve():
                return Trigger(name if equals else trigger.name.strip(), path, trigger.cost, trigger.bit_exact)
    return Trigger(name if equals else path.stem, path)


def _of_study(directory: Path, name: str) -> Iterator[Trigger]:
    """Yield the float network and the front of a study."""
    from qap.datasets.reconstruction import float_network
    from qap.report.data import Report

    if not (directory / "report.json").is_file():
        raise InputError(f"{directory}: expected the directory of a finished study, with report.json")
    yield Trigger(f"{name} float", float_network(directory, str(directory)))
    for entry in Report.load(directory / "report.json").front:
        cost = {key: _banded(entry.cost.figures[key]) for key in COSTS if key in entry.cost.figures}
        exact = None if entry.parity is None else entry.parity.proven
        yield Trigger(f"{name} {entry.id}", directory / "candidates" / entry.id / "model.keras", cost, exact)


def _banded(figure: Figure) -> dict[str, float]:
    low, high = (figure.value if bound is None else bound for bound in (figure.low, figure.high))
    return {"value": figure.value, "low": low, "high": high}


def _samples(data: Data, options: argparse.Namespace) -> Samples:
    from qap.commands.reading import ReadingView
    from qap.datasets.samples import load_samples

    with ReadingView(quiet=options.quiet) as reading:
        return load_samples(data, options.study.parent, watch=reading.update, say=reading.say)


def _backgrounds(samples: Samples, minimum_bias: str) -> dict[str, list[Sample]]:
    """Return the mix of what was trained on, and the minimum-bias events, which are no part of a mix."""
    every = {**samples.known, **samples.others}
    mix = [sample for name, sample in samples.known.items() if name != minimum_bias]
    found = {"training classes": mix} if mix else {}
    return {**found, minimum_bias: [every[minimum_bias]]} if minimum_bias in every else found


def _judge(
    trigger: Trigger, samples: Samples, backgrounds: Mapping[str, list[Sample]], options: argparse.Namespace
) -> dict[str, Any]:
    """Return what a model keeps and lets through."""
    import numpy as np

    from qap.datasets.reconstruction import load_network, outputs_of
    from qap.metrics.anomaly import Scores, anomaly_points, anomaly_score, fractions_for, separation

    model = load_network(trigger.path, len(samples.feature_names), trigger.name, options.trust)

    def scores(parts: Sequence[Sample]) -> Scores:
        x = np.concatenate([part.x for part in parts])
        try:
            found = anomaly_score(x, outputs_of(model, x))
        except InputError as error:
            raise InputError(f"{trigger.name}: {trigger.path}: {error}") from None
        return Scores(found, np.concatenate([part.weight for part in parts]))

    signals = {name: scores([sample]) for name, sample in samples.others.items() if name not in backgrounds}
    if not signals:
        raise InputError(f"{samples.name}: no class is left to be a signal: train on fewer of them (data.classes)")
    found: dict[str, Any] = {"name": trigger.name, "path": str(trigger.path), "outputs": int(model.output_shape[-1])}
    found |= {"bit_exact": trigger.bit_exact, "cost": dict(trigger.cost), "backgrounds": {}, "curves": {}}
    for name, parts in backgrounds.items():
        background = scores(parts)
        rate = options.crossing_rate_khz if name == options.minimum_bias else None
        wanted = options.fraction or fractions_for(background)
        if not wanted:
            raise InputError(
                f"{name}: {background.events:.0f} events are too few for an accepted fraction of 0.1: give --fraction"
            )
        points = anomaly_points(background, signals, sorted(wanted, reverse=True), crossing_rate_khz=rate)
        found["backgrounds"][name] = {
            "events": len(background.values),
            "effective_events": background.events,
            "auc": {signal: separation(background, one) for signal, one in signals.items()},
            "points": [asdict(point) for point in points],
        }
        grid = np.geomspace(min(0.5, FEWEST_DRAWN / background.events), 0.999, CURVE_POINTS)
        found["curves"][name] = anomaly_points(background, signals, grid.tolist())
    return found


def _figures(
    judged: Sequence[Mapping[str, Any]],
    samples: Samples,
    backgrounds: Mapping[str, list[Sample]],
    folder: Path,
    options: argparse.Namespace,
) -> None:
    from qap.report.anomaly_figure import anomaly_figure

    for name in backgrounds:
        curves: dict[str, Sequence[AnomalyPoint]] = {model["name"]: model["curves"][name] for model in judged}
        rate = options.crossing_rate_khz if name == options.minimum_bias else None
        figure = anomaly_figure(curves, samples.name, name, rate)
        path = folder / f"efficiency_{re.sub(r'[^A-Za-z0-9]+', '_', name)}.png"
        temporary = path.with_name(f".{path.name}.part")
        figure.savefig(temporary, dpi=110, format="png")
        temporary.replace(path)


def summary(found: Mapping[str, Any]) -> list[str]:
    """Return the tables as lines of text."""
    models, lines = found["models"], []
    width = max(len(model["name"]) for model in models) + 2
    for background, first in models[0]["backgrounds"].items():
        signals = list(first["auc"])
        columns = "".join(f"{signal:>19}" for signal in signals)
        rates = f"{'rate [kHz]':>24}" if first["points"][0]["rate_khz"] else ""
        what = f"{first['events']:,} events of {background}"
        if first["effective_events"] < 0.99 * first["events"]:
            what += f", worth {first['effective_events']:,.0f} of equal weight"
        lines += ["", f"{found['data']}: signal efficiency in %, 68 % interval; background: {what}"]
        lines.append(f"{'model':{width}}{'accepted':>10}{columns}{rates}")
        for model in models:
            part = model["backgrounds"][background]
            areas = "".join(f"{part['auc'][signal]:>19.3f}" for signal in signals)
            lines.append(f"{model['name']:{width}}{'AUC':>10}{areas}")
            for point in part["points"]:
                kept = "".join(f"{_percent(point['efficiency'][signal]):>19}" for signal in signals)
                rate = "" if point["rate_khz"] is None else f"{_khz(point['rate_khz']):>24}"
                lines.append(f"{'':{width}}{point['fraction']:>10g}{kept}{rate}")
    if any(model["cost"] for model in models):
        shown = [key for key in COSTS if any(key in model["cost"] for model in models)]
        head = "".join(f"{COSTS[key]:>26}" for key in shown)
        lines += ["", f"{'model':{width}}{'bit-exact':>10}{head}   (estimates with their 90 % band)"]
        for model in (model for model in models if model["cost"]):
            exact = {True: "yes", False: "NO", None: "-"}[model["bit_exact"]]
            cost = "".join(f"{_amount(model['cost'].get(key)):>26}" for key in shown)
            lines.append(f"{model['name']:{width}}{exact:>10}{cost}")
    return lines


def _amount(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "-"
    band = f" ({found['low']:,.0f}-{found['high']:,.0f})" if found["low"] < found["high"] else ""
    return f"{found['value']:,.0f}{band}"


def _percent(found: Mapping[str, float]) -> str:
    value, low, high = (100 * found[key] for key in ("value", "low", "high"))
    return f"{value:.1f} ({low:.1f}-{high:.1f})" if value >= 10 else f"{value:.2f} ({low:.2f}-{high:.2f})"


def _khz(found: Mapping[str, float]) -> str:
    return f"{found['value']:,.0f} ({found['low']:,.0f}-{found['high']:,.0f})"
