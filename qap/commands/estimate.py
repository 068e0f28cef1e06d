"""``qap estimate``: what an hls4ml project costs, without a vendor's tools."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qap.commands.options import EXIT_CODES, add_shown, positive, print_json, print_lines, whole
from qap.errors import InputError

if TYPE_CHECKING:  # loaded when the verb runs: --help must stay light
    from collections.abc import Mapping

    from rich.table import Table

    from qap.candidate import Figure
    from qap.cost.hls_project import HLSProject
    from qap.cost.model import Model
    from qap.cost.project_cost import ProjectCost

EXAMPLES = f"""
examples:
  qap estimate my-hls-test                                     any hls4ml project for Vitis or Vivado
  qap estimate studies/jets/candidates/3f2a91c07b55/firmware --part VU9P --json
  qap estimate my-hls-test --inputs events.npz --tmux 6 --latency-budget 1000
  qap estimate --learn synthesised/*                           take over the lab's own reports
  qap estimate my-hls-test --reports qap_reports.json          and estimate with them

Counts come from the project's own C-simulation; LUT, FF, DSP, BRAM_18K, latency and II are csynth-equivalent: what the C
synthesis would report, from fits to published reports, each with the band that held 90 % of the reports that were left out.
Reports that the vendor's tools left in the project are shown beside, never mixed in.

{EXIT_CODES}
"""
STORE = Path("qap_reports.json")
_COUNTS = (
    ("multiplications_general", "general"),
    ("multiplications_power_of_two", "by 2^n"),
    ("multiplications_zero", "by 0"),
    ("additions", "additions"),
    ("comparisons", "comparisons"),
    ("casts_rounding", "rounded"),
    ("casts_saturating", "saturated"),
    ("ebops", "EBOPs"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EXAMPLES
    add = parser.add_argument
    add("project", type=Path, nargs="?", metavar="PROJECT_DIR", help="the folder that hls4ml wrote, with firmware/ in it")
    add("--part", help="share of this FPGA, such as VU13P or xcu250-figd2104-2L-e; default: the project's")
    add("--clock", type=positive, metavar="NS", help="clock period; default: the project's")
    add("--inputs", type=Path, metavar="FILE", help="events to count with: .npz, .npy or text; default: tb_data, else random")
    add("--tmux", type=whole(), default=1, metavar="N", help="time multiplexing: N copies take events in turn (default: 1)")
    add("--bunch-crossing", type=positive, default=25.0, metavar="NS", help="time between events (default: 25)")
    add("--latency-budget", type=positive, metavar="NS", help="the longest latency that the trigger grants")
    add("--learn", nargs="+", type=Path, default=[], metavar="DIR", help="take over the reports beside these projects")
    add(
        "--reports", type=Path, metavar="FILE", help=f"the lab's own reports, as --learn stores them (default: {STORE}, if there)"
    )
    add_shown(parser, "print everything as JSON")


def run(options: argparse.Namespace) -> int:
    """Estimate or learn; return the exit code."""
    if options.project is None and not options.learn:
        raise InputError("expected the directory of an hls4ml project, or --learn with projects that have reports")
    if options.project is not None and options.learn:
        raise InputError("--learn goes without a PROJECT_DIR: learn first, then estimate")
    try:
        return _learn(options) if options.learn else _estimate(options)
    except KeyboardInterrupt:
        print("qap estimate: stopped", file=sys.stderr)
        return 1


def _learn(options: argparse.Namespace) -> int:
    from qap.cost.learn import learn, lines
    from qap.cost.model import shipped_model

    lesson = learn(options.learn, options.reports or STORE, shipped_model())
    if options.json:
        print_json(lesson.to_dict())
    elif not options.quiet:
        print_lines("\n".join(lines(lesson)))
    return 0


def _model(options: argparse.Namespace, project: HLSProject) -> Model:
    """Return the package's model, or the one refitted to the lab's own reports where there are any."""
    from qap.cost.model import shipped_model

    store = options.reports or (STORE if STORE.is_file() else None)
    if store is None:
        return shipped_model()
    if not store.is_file():
        raise InputError(f"--reports: {store}: no such file; make it by qap estimate --learn DIR --reports {store}")
    from qap.cost.learn import refit
    from qap.cost.store import load_store

    return refit(shipped_model(), load_store(store), backend=project.backend, part=options.part or project.part)


def _estimate(options: argparse.Namespace) -> int:
    from qap.cost.hls_project import read_project
    from qap.cost.parts import part_named
    from qap.cost.project_cost import project_cost

    if options.part is not None:
        part_named(options.part)
    project = read_project(options.project)
    inputs = None if options.inputs is None else _events(options.inputs, project)
    cost = project_cost(
        project, _model(options, project), inputs=inputs, part=options.part, clock_ns=options.clock,
        time_multiplexing=options.tmux, bunch_crossing_ns=options.bunch_crossing, latency_ns=options.latency_budget,
    )  # fmt: skip
    if options.json:
        print_json(cost.to_dict())
    elif not options.quiet:
        show(cost)
    return 0


def _events(path: Path, project: HLSProject) -> Any:
    """Read events: an .npz as `qap firmware` takes it, an .npy array, or a text with one event a line."""
    import numpy as np

    from qap.commands.firmware import read_events

    if path.suffix == ".npz":
        return read_events(path, [port.name for port in project.ports if not port.output]).x
    try:
        return np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path, ndmin=2)
    except FileNotFoundError:
        raise InputError(f"--inputs: {path}: no such file") from None
    except Exception as error:  # of NumPy, and of the tokenizer that reads its headers
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"--inputs: {path}: expected .npz, .npy or a text of numbers: {why}") from None


def number(value: float) -> str:
    """Return a number as a table shows it."""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"


def band(figure: Figure) -> str:
    """Return value and band as a table shows them."""
    if figure.low is None or figure.high is None or figure.low == figure.high:
        return number(figure.value)
    return f"{number(figure.value)} ({number(figure.low)}–{number(figure.high)})"


def show(cost: ProjectCost) -> None:
    """Print the tables."""
    from rich.console import Console

    from qap.cost.timing import sentence

    console = Console(highlight=False)
    project, operations = cost.project, cost.operations
    part = project.part if cost.part is None else cost.part.name
    console.print(f"[bold]{project.name}[/bold]: {project.backend}, {project.io_type}, {part}, {cost.budget.clock_ns:g} ns")
    said = operations.counted if not operations.reason else f"{operations.counted} ({operations.reason})"
    console.print(f"operations per inference, counted from {said}; inputs: {operations.inputs}")
    console.print(_layer_table(cost))
    console.print(f"weight memory {cost.weight_memory_bits:,} bit")
    if cost.csynth.figures:
        console.print(_figure_table(cost))
        console.print(sentence(cost.csynth.figures, cost.budget))
    else:
        console.print("no csynth-equivalent figures can be given:")
    for note in cost.notes:
        console.print(f"- {note}")


def _layer_table(cost: ProjectCost) -> Table:
    from rich.table import Table

    from qap.cost.project_cost import SHARED

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("layer")
    table.add_column("R", justify="right")
    shown = SHARED if cost.csynth.layers else ()
    for title in (*(title for _, title in _COUNTS), *shown):
        table.add_column(title, justify="right")
    for layer in cost.operations.layers:
        totals, figures = layer.totals(), cost.csynth.layers.get(layer.name, {})
        resources = (number(figures[name].value) if name in figures else "" for name in shown)
        table.add_row(layer.name, str(layer.reuse_factor), *(number(totals[name]) for name, _ in _COUNTS), *resources)
    totals = cost.operations.totals()
    resources = (number(cost.csynth.figures[name].value) for name in shown)
    table.add_row("total", "", *(number(totals[name]) for name, _ in _COUNTS), *resources, style="bold")
    return table


def _figure_table(cost: ProjectCost) -> Table:
    """Return figure by stage: what is estimated, and what the vendor's tools reported."""
    from rich.table import Table

    columns: dict[str, Mapping[str, Figure]] = {"csynth-equivalent": cost.csynth.figures}
    columns["post-synthesis equivalent"] = cost.synthesis.figures
    columns |= {f"{stage} report": one.figures for stage, one in cost.reports.items()}
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for title in columns:
        table.add_column(title, justify="right")
    if cost.part is not None:
        table.add_column(f"of {cost.part.name}", justify="right")
    for name in ("LUT", "FF", "DSP", "BRAM_18K", "latency_cycles", "II"):
        share = cost.part.share(name, cost.csynth.figures[name].value) if cost.part else None
        cells = [band(figures[name]) if name in figures else "" for figures in columns.values()]
        last = [] if cost.part is None else ["" if share is None else f"{100 * share:.2g} %"]
        table.add_row(name, *cells, *last)
    return table
