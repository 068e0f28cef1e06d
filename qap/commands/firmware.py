"""``qap firmware``: from a model or a study to a firmware that is proven, with all that its users need."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qap.commands.options import EXIT_CODES, add_shown, add_trust, check_function, fraction, print_json, print_lines
from qap.errors import InputError, QapError, suggestion

if TYPE_CHECKING:  # loaded when the verb runs: --help must stay light

    from qap.candidate import Candidate
    from qap.config.schema import Firmware
    from qap.firmware.deliver import Delivery, Events
    from qap.search.study import Study

EXAMPLES = f"""
examples:
  qap firmware tagger.keras --inputs events.npz
  qap firmware tagger.h5 --precision 'quantized_bits(10,2)' --output tagger_v1 firmware.Backend=Vivado
  qap firmware two.keras --precision 'tracks=quantized_bits(12,3)' --precision 'muons=quantized_bits(8,0)'
  qap firmware studies/jets                                  the front's most accurate candidate
  qap firmware studies/jets --candidate 3f2a --rate 0.01 firmware.ReuseFactor=4 firmware.IOType=io_stream
  qap firmware studies/jets --stage csynth --stage vsynth    and on through the vendor's tools
  qap firmware tagger.keras --inputs events.npz --rtl        and as Verilog by distributed arithmetic, simulated
  qap firmware tagger_v1                                     an earlier delivery: read the vendor's reports again

key=value are hls4ml's keys of the section `firmware` of a study file: Backend, Part, ClockPeriod (ns), IOType,
Strategy, ReuseFactor; for --rtl adders_per_stage, for --synthesis synthesis_seconds.

{EXIT_CODES}; 1 also where the firmware is not bit-exact, 2 also where a layer
has no exact firmware
"""
STAGES = ("csim", "csynth", "cosim", "export", "vsynth", "impl")
_KINDS = re.compile(r"\w+\([^()]*\)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EXAMPLES
    add = parser.add_argument
    add("source", type=Path, metavar="MODEL_OR_STUDY", help="Keras or QKeras model (.keras, .h5), or a study's directory")
    add("overrides", nargs="*", metavar="key=value", help="hls4ml's settings, those of the study by default")
    add("--candidate", metavar="ID", help="a study's candidate, by the beginning of its id; default: the front's most accurate")
    add("--output", type=Path, metavar="DIR", help="default: firmware/NAME beside the model, delivery in the candidate's folder")
    add("--inputs", type=Path, metavar="FILE.npz", help="events to prove with: array `features`, or one array per input name")
    add("--precision", action="append", default=[], metavar="[NAME=]TYPE", help="type of an input, or of each of its features")
    add("--accept", action="extend", nargs="+", default=[], metavar="LAYER", help="layers with tables that may be approximate")
    add("--head", choices=("logits", "argmax"), default="logits", help="what the firmware ends with (default: logits)")
    add("--rate", action="append", type=fraction, default=[], metavar="F", help="background that may pass: gives a threshold")
    add("--version", default="1.0.0", help="version of the emulator (default: 1.0.0)")
    add("--stage", action="append", choices=STAGES, default=[], help="then run this stage of the vendor's tools")
    add("--rtl", action="store_true", help="then write the model as pipelined Verilog and compare it with Verilator")
    add("--synthesis", action="store_true", help="and synthesise that Verilog by Yosys; brings --rtl")
    add("--keep", action="store_true", help="keep a project that is not bit-exact, marked as such")
    add_trust(parser)
    add_shown(parser, "print the record of the delivery as JSON")


def run(options: argparse.Namespace) -> int:
    """Deliver; return the exit code."""
    options.overrides += [text for text in options.accept if "=" in text]  # --accept LAYER … takes what follows it
    options.accept = [text for text in options.accept if "=" not in text]

    def say(message: str) -> None:
        if not options.quiet:
            print(message, file=sys.stderr)

    kept, problem = "nothing was delivered", None
    try:
        delivery, events, settings = _delivery(options, say)
        code = 1 if delivery.verdict == "not exact" else 0
        kept = f"the delivery in {delivery.directory} stands"
        if code == 0 and (settings.rtl or options.rtl or options.synthesis):
            from qap.commands.firmware_rtl import add_rtl

            delivery, problem = add_rtl(delivery, events, settings.model_copy(update=_rtl(settings, options)), say)
            if problem is not None:
                print(f"qap firmware: {problem}", file=sys.stderr)
        if code == 0:
            delivery = _stages(delivery, options.stage, say)
    except KeyboardInterrupt:
        print(f"qap firmware: stopped; {kept}", file=sys.stderr)
        return 1
    if options.json:
        print_json({**delivery.record, "directory": str(delivery.directory)})
    elif not options.quiet:
        print_lines(summary(delivery))
    rtl = delivery.record.get("rtl")
    if rtl is not None and rtl["parity"]["exact"] < rtl["parity"]["events"]:
        print(f"qap firmware: the RTL is not bit-exact at {rtl['parity']['first_layer']}, do not use it", file=sys.stderr)
        return 1
    if code:
        print(f"qap firmware: not bit-exact; {delivery.directory} is kept for a look, do not use it", file=sys.stderr)
    return code if problem is None else problem.exit_code


def _rtl(settings: Firmware, options: argparse.Namespace) -> dict[str, bool]:
    return {"rtl": True, "synthesis": settings.synthesis or options.synthesis}


Made = tuple["Delivery", "Events | None", "Firmware"]
"""A delivery, the real events that it was proven with, and its settings."""


def _delivery(options: argparse.Namespace, say: Any) -> Made:
    """Take an earlier delivery, or make one of a study's candidate or of a model file."""
    from qap.config.schema import Firmware
    from qap.firmware.deliver import RECORD, Delivery

    if (options.source / RECORD).is_file():
        if options.overrides or options.precision or options.candidate or options.output or options.inputs:
            raise InputError(
                f"{options.source} is a delivery: only --stage and --rtl go with it; deliver its model again for other settings"
            )
        return Delivery.load(options.source), None, Firmware()
    return _from_study(options, say) if (options.source / "config.yaml").is_file() else _from_file(options, say)


def _c_name(text: str) -> str:
    """Return a name near a text that a C function can carry."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII)
    return (name if name[:1].isalpha() else f"model_{name}")[:64]


def _stages(delivery: Delivery, stages: list[str], say: Any) -> Delivery:
    from qap.firmware.vendor import run_stage

    for stage in (stage for stage in STAGES if stage in stages):
        say(f"running {stage}")
        run_stage(delivery.directory / "project", stage)
    return delivery.refresh()


def _from_file(options: argparse.Namespace, say: Any) -> Made:
    from qap.config.schema import Firmware
    from qap.firmware.deliver import check_output, deliver
    from qap.firmware.model_file import load_model

    if options.candidate is not None:
        raise InputError(f"--candidate: {options.source} is no study, it has no candidates")
    path: Path = options.source
    output = options.output or path.parent / "firmware" / path.stem
    settings = _settings(Firmware(), options.overrides)
    check_output(output)
    model = load_model(path, options.trust)
    events = None if options.inputs is None else read_events(options.inputs, [tensor.name for tensor in model.inputs])
    delivery = deliver(
        model, parse_precisions(options.precision), output, settings, events=events, name=_c_name(path.stem), origin=path.name,
        **_common(options, say),
    )  # fmt: skip
    return delivery, events, settings


def _common(options: argparse.Namespace, say: Any) -> dict[str, Any]:
    return {
        "version": options.version, "accept": options.accept, "head": options.head, "rates": options.rate,
        "keep": options.keep, "say": say,
    }  # fmt: skip


def _from_study(options: argparse.Namespace, say: Any) -> Made:
    from qap.firmware.deliver import Events, check_output, deliver
    from qap.precision import Precision
    from qap.search.study import Study

    study = Study.open(options.source)
    settings = _settings(study.config.firmware, options.overrides)
    candidate = chosen_candidate(study, options.candidate)
    output = options.output or study.candidate_directory(candidate) / "delivery"
    check_output(output)
    data = None if options.inputs is not None else study_data(study)
    model = candidate_model(study, candidate, data, options.trust)
    if data is None:
        events = read_events(options.inputs, [tensor.name for tensor in model.inputs])
    else:
        labels = data.test.y if data.task == "classification" else None
        events = Events(data.test.x, f"test split of {data.name}", labels, data.test.weight, data.class_names)
    grid = study.config.data.input
    delivery = deliver(
        model, parse_precisions(options.precision) or Precision(grid.bits, grid.integer), output, settings, events=events,
        name=_c_name(f"{study.config.name[:50]}_{candidate.id}"),
        origin=f"candidate {candidate.id} of the study {study.config.name}", **_common(options, say),
    )  # fmt: skip
    return delivery, events, settings


def _settings(base: Firmware, overrides: list[str]) -> Firmware:
    """Return a section `firmware` with some of its keys said anew; ``firmware.`` before a key may be left out."""
    from qap.config.load import load_config
    from qap.config.schema import Firmware

    texts = [text if text.startswith("firmware.") else f"firmware.{text}" for text in overrides]
    given = load_config(None, texts).firmware
    changed = {text.partition("=")[0].split(".")[1] for text in texts}
    values = {**base.model_dump(), **{key: getattr(given, key) for key in changed}, "build": True}
    return Firmware(**values)


def parse_precisions(texts: list[str]) -> Any:
    """Read ``TYPE``, or ``NAME=TYPE`` once per input; several types stand for the features of an input in their order."""
    from qap.precision import Precision

    found: dict[str, Any] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        if not equals or "(" in name:  # the sign may stand within the type: quantized_bits(8,0,alpha=1)
            name, rest = "", text
        if name in found or ("" in found and name) or (found and not name):
            raise InputError(
                f"--precision: expected one type for all inputs, or NAME=TYPE once for each, received {' '.join(texts)}"
            )
        several = not _KINDS.sub("", rest).strip(" ,;")
        kinds = tuple(Precision.parse(part) for part in (_KINDS.findall(rest) if several else [rest]))
        found[name] = kinds[0] if len(kinds) == 1 else kinds
    return found.get("", found) if found else None


def read_events(path: Path, names: list[str]) -> Events:
    """Read events to prove with.

    Parameters
    ----------
    path : Path
        ``.npz`` with the array ``features``, or one array per input; optionally ``labels`` and ``weights``.
    names : list of str
        Inputs of the model.

    Raises
    ------
    InputError
        No such file, not an .npz file of plain arrays, an array missing or not of numbers.
    """
    import numpy as np

    from qap.archive import read_arrays
    from qap.firmware.deliver import Events

    arrays = read_arrays(path, f"--inputs: {path}")
    wanted = ["features"] if len(names) == 1 and "features" in arrays else names
    missing = [name for name in wanted if name not in arrays]
    if missing:
        instead = "the array features, or " if len(names) == 1 else ""
        received = ", ".join(arrays) or "none"
        raise InputError(f"--inputs: {path}: expected {instead}the arrays {', '.join(names)}, received {received}")
    for name in wanted:
        if arrays[name].dtype.kind not in "fiub" or not len(np.atleast_1d(arrays[name])):
            raise InputError(f"--inputs: {path}: {name}: expected numbers, received {arrays[name].dtype} {arrays[name].shape}")
    return Events([arrays[name] for name in wanted], path.name, arrays.get("labels"), arrays.get("weights"))


def chosen_candidate(study: Study, wanted: str | None) -> Candidate:
    """Return a candidate by the beginning of its id, or the front's most accurate on the validation split."""
    from qap.search.objectives import front, limits, nothing_left
    from qap.search.run import trained

    candidates = list(trained(study))
    if not candidates:
        raise InputError(f"{study.directory}: the study has no trained candidate yet")
    members = front(candidates, study.config.search.objectives, limits(study.config))
    if not members:
        raise InputError(f"{study.directory}: {nothing_left(candidates, limits(study.config))}; name one by --candidate")
    if wanted is None:
        metrics = members[0].metrics
        name = "accuracy_validation" if "accuracy_validation" in metrics else "rmse_validation"
        better = max if name.startswith("accuracy") else min
        return better(members, key=lambda candidate: candidate.metrics[name])
    found = {candidate.id: candidate for candidate in candidates if candidate.id.startswith(wanted)}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise InputError(f"--candidate: {wanted} is the beginning of {', '.join(sorted(found))}: give more of it")
    ids = [candidate.id for candidate in members]
    near = suggestion(wanted, [candidate.id for candidate in candidates])
    near = near if "did you mean" in near else ""
    raise InputError(f"--candidate: no candidate {wanted!r} in {study.directory}{near}; the front: {', '.join(ids)}")


def study_data(study: Study) -> Any:
    """Load the study's data and hold them to what it was trained on."""
    from qap.datasets.load import load_dataset
    from qap.search.context import digest

    try:
        data = load_dataset(study.config.data)
    except InputError as error:
        raise InputError(f"{error}; run from the folder of the study file, or give events by --inputs") from None
    if digest(data) != study.info["data_sha256"]:
        raise InputError(f"{study.config.data.name}: not the data that the study was made with; give events by --inputs")
    return data


def candidate_model(study: Study, candidate: Candidate, data: Any, trust: bool = False) -> Any:
    """Return a candidate's model, from its file where it was judged, else built again from its weights.

    Raises
    ------
    InputError
        A file that holds code, or a ``model.function`` that would be run, without `trust`.
    QapError
        Other weights in the file than the search has stored.
    """
    import numpy as np

    from qap.firmware.model_file import load_model
    from qap.models.builders import get_weights
    from qap.search.context import make_context
    from qap.search.rescore import Rescorer

    path = study.candidate_directory(candidate) / "model.keras"
    weights = study.weights(candidate)
    if not path.is_file():
        check_function(study.config.model.function, (), trust)
        return Rescorer.of(study, make_context(study.config, data or study_data(study))).model(candidate)
    model = load_model(path, trust)
    for name, values in get_weights(model, candidate.architecture).items():
        if not np.array_equal(values, weights[name]):
            raise QapError(f"{path}: {name} is not what the search has stored in weights.npz: remove the file and try again")
    return model


def summary(delivery: Delivery) -> str:
    """Return in a few lines what was delivered and where."""
    from qap.commands.firmware_rtl import said

    record = delivery.record
    parity = record["parity"]
    lines = [f"{record['name']} {record['version']}: {parity['exact']:,} of {parity['events']:,} events bit-exact"]
    if record["verdict"] == "bounded":
        worst = ", ".join(f"{name} {found['max_difference']:.3g}" for name, found in parity["outputs"].items())
        lines.append(f"bounded by the accepted tables of {', '.join(record['bounds'])}: largest difference at {worst}")
    for point in record["thresholds"]:
        lines.append(
            f"{point['name']} ≥ {point['threshold']} (integer, {point['output']}[{point['element']}]): passes "
            f"{point['passed']:.5f} of the background"
        )
    lines += said(record)
    for stage, figures in record["vendor"].items():
        shown = ", ".join(f"{name} {found['value']:g}" for name, found in figures.items())
        lines.append(f"{stage}: {shown}")
    lines.append(f"{delivery.directory / record['files']['summary']}")
    return "\n".join(lines)
