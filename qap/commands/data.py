"""``qap data build``: make jets or events on this machine."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from qap.commands.options import EXIT_CODES, add_shown, print_json, print_lines, whole
from qap.errors import InputError, suggestion

EXAMPLES = f"""
examples:
  qap data build jets n=20000 seed=1 --output jets.npz              16 observables of g, q, w, z and t jets
  qap data build constituents n=20000 constituents=32 --output constituents.npz
  qap data build jets n=20000 pileup=40 isr=true mpi=true --output pileup.npz --processes 8
  qap data build l1 n=90000 --output l1.npz                          57 features of Level-1 events, nine processes
  qap data build jets n=160000 seed=1 packed=true --output jets.npz  the embedded set, in 16-bit integers

The same seed gives the same file, whatever the number of processes. The same command again goes on from the parts in
OUTPUT.parts. All options and what is made: docs/generator.md.

{EXIT_CODES}: pip install 'qap[generator]'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EXAMPLES
    add = parser.add_argument
    add("action", metavar="build", help="make a file of data")
    add("kind", metavar="KIND", help="jets, constituents or l1")
    add("overrides", nargs="*", metavar="key=value", help="such as n=20000 seed=1")
    add("--output", type=Path, required=True, metavar="FILE.npz", help="where the data go; its folder must exist")
    add("--processes", type=whole(1024), default=cores(), metavar="N", help="processes side by side (default: one for each core)")
    add_shown(parser, "print what was made as JSON")


def run(options: argparse.Namespace) -> int:
    """Build the file; return the exit code."""
    from qap.datasets.generator.build import build
    from qap.datasets.generator.kinds import KINDS
    from qap.datasets.generator.settings import read_settings

    if options.action != "build":
        raise InputError(f"expected build, received '{options.action}'")
    if options.kind not in KINDS:
        raise InputError(f"expected one of {', '.join(KINDS)}, received '{options.kind}'{suggestion(options.kind, KINDS)}")
    kind = KINDS[options.kind]
    settings = read_settings(kind.settings, options.overrides)
    start = time.monotonic()
    try:
        with _Progress(kind.event, settings.n, quiet=options.quiet) as progress:
            built = build(options.kind, settings, options.output, processes=options.processes, progress=progress.show)
    except KeyboardInterrupt:
        print("qap data: stopped; the same command goes on from the parts that are done", file=sys.stderr)
        return 1
    seconds = time.monotonic() - start
    if options.json:
        counts = {"events": built.events, "made": built.made, "seconds": seconds}
        print_json({"file": str(built.path), "kind": options.kind, **counts})
    elif not options.quiet:
        what = f"{built.events:,} {kind.event}"
        made = f"{what}, {built.made:,} of them made in {seconds:.0f} s"
        print_lines(f"{built.path}: {made if built.made else f'is there already, {what}, made with the same options'}")
    return 0


def cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Progress:
    """A bar with the time left, on a terminal."""

    def __init__(self, event: str, total: int, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        columns = (TextColumn(event), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        console = Console(stderr=True)
        self.bar = Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True)
        self.task = self.bar.add_task(event, total=total, start=False)

    def __enter__(self) -> _Progress:
        self.bar.start()
        return self

    def __exit__(self, *stop: object) -> None:
        self.bar.stop()

    def show(self, done: int, kept: int) -> None:
        """Move the bar; what was kept from an earlier call says nothing of the speed."""
        self.bar.update(self.task, completed=done)
        if done == kept:
            self.bar.start_task(self.task)
