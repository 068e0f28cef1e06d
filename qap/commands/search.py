"""``qap search``: from a study file to a proven front, its firmware and its report."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qap.commands.options import EXIT_CODES, add_shown, add_study, check_function, print_json, print_lines, whole
from qap.errors import InputError

if TYPE_CHECKING:  # loaded when the verb runs: --help must stay light
    from qap.candidate import Parity
    from qap.config.schema import Study
    from qap.report.data import FrontEntry, Report
    from qap.search.workers import Workers

EXAMPLES = f"""
examples:
  qap search study.yaml                                      as qap init wrote it
  qap search configs/jets.yaml search.trials=100 search.strategy=tpe --output studies/tpe
  qap search configs/jets.yaml search.space.layers.fc1.weight_bits=6 'search.space.tie=[sparsity]'
  qap search configs/jets.yaml --output studies/jets --resume
  qap search configs/jets.yaml firmware.rtl=true firmware.synthesis=true    the front as Verilog too, synthesised by Yosys
  qap search configs/jets.yaml --workers 8                                   trained by eight processes of this machine
  qap search configs/jets.yaml search.window=64 --cluster tcp://node1:8786   by a Dask cluster, without generations
  qap search configs/jets.yaml search.window=400 --cluster slurm --workers 200 --job queue=short --job walltime=02:00:00 --dry-run

{EXIT_CODES}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EXAMPLES
    add_study(parser)
    parser.add_argument("--output", type=Path, metavar="DIR", help="directory of the study (default: studies/NAME)")
    parser.add_argument("--resume", action="store_true", help="go on with the study in that directory")
    parser.add_argument(
        "--replay", type=Path, metavar="DIR",
        help="train again what that study has trained, in its order, from the same weights (needs another --output)",
    )  # fmt: skip
    add_workers(parser)
    add_shown(parser, "print the front as JSON, the rows of front.csv")


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Declare who trains."""
    group = parser.add_argument_group("workers", "who trains; the front is the same for any number of them (docs: cluster)")
    group.add_argument("--workers", type=whole(), metavar="N", help="processes on this machine, or jobs of a batch system")
    group.add_argument("--cluster", metavar="WHERE", help="tcp://host:port of a Dask scheduler, slurm or htcondor")
    group.add_argument(
        "--job", action="append", default=[], metavar="KEY=VALUE", type=_setting,
        help="of a batch job, as dask-jobqueue names it: queue, walltime, memory, interface …; may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--share", metavar="URL",
        help="database in which several searches of one study meet, each with its own --output: sqlite:///FILE, postgresql://…",
    )  # fmt: skip
    group.add_argument("--dry-run", action="store_true", help="show the script of a batch job and end")


def _who(options: argparse.Namespace) -> list[str]:
    """Return the words that say who trains: they are no part of what makes a study again, but of how it goes on."""
    given = [("--workers", options.workers), ("--cluster", options.cluster), ("--share", options.share)]
    words = [word for name, value in given if value is not None for word in (name, str(value))]
    jobs = [word for key, value in options.job for word in ("--job", f"{key}={value}")]
    replay = ["--replay", str(options.replay)] if options.replay else []
    return [shlex.quote(word) for word in [*words, *jobs, *replay]]


def _setting(text: str) -> tuple[str, str | int]:
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier() or not value:
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, received {text!r}")
    return key, int(value) if value.isdecimal() else value


def workers_of(options: argparse.Namespace) -> Workers | None:
    """Return who trains, None for this process."""
    from qap.search.workers import Workers

    if options.workers is None and options.cluster is None:
        for option in ("job", "dry_run"):
            if getattr(options, option):
                raise InputError(f"--{option.replace('_', '-')}: is for jobs of a batch system: add --cluster slurm or htcondor")
        return None
    found = Workers(options.workers, options.cluster, dict(options.job))
    if options.dry_run and not found.batch:
        raise InputError("--dry-run: is for jobs of a batch system: add --cluster slurm or htcondor")
    return found


def run(options: argparse.Namespace) -> int:
    """Search, judge, report; return the exit code."""
    from qap.config.load import load_config

    config, workers = load_config(options.study, options.overrides), workers_of(options)
    if workers is not None and options.dry_run:
        print_lines(workers.script().rstrip())
        return 0
    output = options.output or Path("studies") / config.name
    if output.exists() and not options.resume and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"{output}: not empty: add --resume to go on with that study, or choose another --output")
    where = (["--output", str(options.output)] if options.output else []) + ["--trust"] * options.trust
    command = shlex.join(["qap", "search", str(options.study), *options.overrides, *where])
    again = f"Go on with: {' '.join([command, *_who(options)])} --resume"
    return run_and_show(
        config, output, options, command, again, resume=options.resume, workers=workers, share=options.share,
        replay=options.replay,
    )


def run_and_show(
    config: Study, output: Path, options: argparse.Namespace, command: str, stopped: str, **search: Any
) -> int:
    """Run a study, show how it goes and its front; return the exit code.

    Parameters
    ----------
    config : Study
    output : Path
    options : Namespace
        ``verb``, ``study``, ``overrides``, ``trust``, ``quiet`` and ``json``.
    command : str
        What the report shows as the way to make the study again.
    stopped : str
        What is said after Ctrl-C.
    **search
        Options of `qap.search.run.run_search`.
    """
    from qap.commands.live import SearchView
    from qap.commands.reading import ReadingView
    from qap.datasets.load import load_dataset
    from qap.models.architecture import Architecture
    from qap.report.write import run_study

    check_function(config.model.function, options.overrides, options.trust)
    if config.firmware.build:
        from qap.firmware.csim import require_compiler

        require_compiler()
    folder, prefix = options.study.parent, f"qap {options.verb}"
    with ReadingView(quiet=options.quiet) as reading:
        data = load_dataset(config.data, folder, watch=reading.update, say=reading.say, trust=options.trust)
    for plan in search.get("plans", ()):  # before anything is written
        Architecture.of(config.model, len(data.feature_names), data.outputs).check(plan)
    with SearchView(config, quiet=options.quiet) as view:
        try:
            report = run_study(
                config, output, folder=folder, command=command, say=view.say, watch=view.update, data=data,
                trust=options.trust, **search,
            )
        except KeyboardInterrupt:
            print(f"{prefix}: stopped; what is trained is kept. {stopped}", file=sys.stderr)
            return 1
    show_front(report, output, options)
    return proven(report, prefix)


def show_front(report: Report, output: Path, options: argparse.Namespace) -> None:
    """Print the front as a table or as JSON."""
    if options.json:
        from qap.report.table import front_table

        print_json({"directory": str(output), "report": str(output / "report.html"), "front": front_table(report)})
    elif not options.quiet:
        print_lines(summary(report, output))


def proven(report: Report, prefix: str) -> int:
    """Say of each candidate that is not bit-exact where it differs; return the exit code."""
    unproven = [entry for entry in report.front if entry.parity is not None and not entry.parity.proven]
    for entry in unproven:
        where = entry.parity.first_layer if entry.parity else ""
        print(f"{prefix}: {entry.id} is not bit-exact; the first layer that differs is {where}", file=sys.stderr)
    wrong = [entry for entry in report.front if entry.parity_rtl is not None and not entry.parity_rtl.proven]
    for entry in wrong:
        where = entry.parity_rtl.first_layer if entry.parity_rtl else ""
        print(f"{prefix}: the RTL of {entry.id} is not bit-exact; the first output that differs is {where}", file=sys.stderr)
    return 1 if unproven or wrong else 0


SHORT = {"ebops": "EBOPs", "bops": "BOPs", "weight_memory_bits": "weight bits", "signal_efficiency": "signal eff."}


def _amount(value: float | None) -> str:
    """Write an objective's value: counts without decimals."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:.4f}"


def _events(parity: Parity | None, without: str) -> str:
    return without if parity is None else f"{parity.exact:,}/{parity.events:,}"


def _figure(entry: FrontEntry, name: str) -> str:
    figure = entry.cost.figures.get(name)
    return _amount(None if figure is None else figure.value)


def _proofs(report: Report) -> dict[str, Callable[[FrontEntry], str]]:
    """Return the columns on the firmware and, where the study has one, on the RTL."""
    columns: dict[str, Callable[[FrontEntry], str]] = {"bit-exact": lambda entry: _events(entry.parity, "not built")}
    if report.rtl is not None:
        columns["RTL bit-exact"] = lambda entry: _events(entry.parity_rtl, "-")
        columns["RTL cycles"] = lambda entry: _figure(entry, "latency_cycles_rtl")
        columns["da4ml cost"] = lambda entry: _figure(entry, "da4ml_cost")
        if any("LUT_yosys" in entry.cost.figures for entry in report.front):
            columns["LUT (Yosys)"] = lambda entry: _figure(entry, "LUT_yosys")
    return columns


def _width(title: str) -> int:
    return 22 if title.endswith("bit-exact") else 13


def summary(report: Report, output: Path) -> str:
    """Return the front as a text table, the study's objectives beside the score, with where to look next."""
    names = [name for name in report.search.objectives if name != report.metric]
    titles = "".join(f"{SHORT.get(name, name):>16}" for name in names)
    proofs = _proofs(report)
    exact = "".join(f"{title:>{_width(title)}}" for title in proofs)
    lines = [f"{'candidate':14}{report.metric:>10}{'68 % interval':>18}{titles}{'zeros':>8}{exact}"]
    for entry in report.front:
        score = entry.score
        exact = "".join(f"{said(entry):>{_width(title)}}" for title, said in proofs.items())
        values = "".join(f"{_amount(entry.objective(name)):>16}" for name in names)
        lines.append(
            f"{entry.id:14}{score.value:>10.4f}{f'{score.low:.4f}-{score.high:.4f}':>18}{values}"
            f"{100 * entry.cost['sparsity']:>6.0f} %{exact}"
        )
    score = report.reference.score
    lines.append(f"{'float ' + report.reference.architecture}: {score.value:.4f} ({score.low:.4f}-{score.high:.4f})")
    lines += [] if report.rtl is None else report.rtl.missing
    if report.left:
        were, held = "was" if len(report.left) == 1 else "were", f"the {report.data.n_held_back:,} events held back"
        lines.append(f"{len(report.left)} more {were} on the search's front, but not on {held}")
    lines.append(
        f"{report.metric} on {report.data.n_test:,} test events of {report.data.name}; candidates tried: "
        f"{report.search.trials}; report: {output / 'report.html'}; firmware: {output / 'candidates'}/<candidate>/firmware"
    )
    return "\n".join(lines)
