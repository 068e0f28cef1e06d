"""``qap compare``: every compression method on the user's own model and data, side by side."""

from __future__ import annotations

import argparse
import csv
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from qap.commands.options import EXIT_CODES, add_shown, add_study, check_function, print_json, print_lines

if TYPE_CHECKING:  # loaded when the verb runs: --help must stay light
    from collections.abc import Sequence

    from qap.compare.run import Progress
    from qap.report.comparison import Method

EXAMPLES = f"""
examples:
  qap compare configs/jets.yaml
  qap compare configs/jets.yaml compare.seeds=3 compare.sparsity=0.5 --output compared/half
  qap compare configs/jets.yaml 'compare.methods={{qap: [qap], sequential: [prune, ptq], kd: [distill+qap]}}'
  qap compare configs/jets.yaml --resume

{EXIT_CODES}; 1 also where a row is not bit-exact
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EXAMPLES
    add_study(parser, "study file (YAML); its section compare names the methods")
    parser.add_argument("--output", type=Path, metavar="DIR", help="directory of the comparison (default: compared/NAME)")
    parser.add_argument("--resume", action="store_true", help="go on with the comparison in that directory")
    add_shown(parser, "print the table as JSON")


def run(options: argparse.Namespace) -> int:
    """Compare, write tables, figure and page; return the exit code."""
    from qap.config.load import load_config

    config = load_config(options.study, options.overrides)
    check_function(config.model.function, options.overrides, options.trust)
    output = options.output or Path("compared") / config.name
    if config.firmware.build:
        from qap.firmware.csim import require_compiler

        require_compiler()

    from qap.commands.reading import ReadingView
    from qap.compare.run import run_compare
    from qap.datasets.load import load_dataset
    from qap.report.compare_report import write_comparison

    where = (["--output", str(options.output)] if options.output else []) + ["--trust"] * options.trust
    command = shlex.join(["qap", "compare", str(options.study), *options.overrides, *where])
    with ReadingView(quiet=options.quiet) as reading:
        data = load_dataset(config.data, options.study.parent, watch=reading.update, say=reading.say, trust=options.trust)
    try:
        store = run_compare(
            config, output, resume=options.resume, folder=options.study.parent, data=data, trust=options.trust,
            watch=_silent if options.quiet else _Said(),
        )  # fmt: skip
    except KeyboardInterrupt:
        print(f"qap compare: stopped; what is judged is kept. Go on with: {command} --resume", file=sys.stderr)
        return 1
    written = write_comparison(store, config, data, command)
    if options.json:
        rows = [dict(line) for line in csv.DictReader(written.csv.read_text().splitlines())]
        print_json({"table": str(written.csv), "page": str(written.page), "against": config.compare.against, "rows": rows})
    elif not options.quiet:
        print_lines(summary(written.rows, config.compare.against))
        print_lines(f"table: {written.csv}, {written.markdown}; figure: {written.figure}; page: {written.page}")
    bad = [row.name for row in written.rows if row.proven and row.proven[0] < row.proven[1]]
    for name in bad:
        print(f"qap compare: {name} is not bit-exact with every seed; see the remarks in {written.csv}", file=sys.stderr)
    return 1 if bad else 0


def summary(rows: Sequence[Method], against: str) -> str:
    """Return the table as text for a terminal."""
    from qap.report.comparison import columns, problems

    found = [(title, cells) for title, cells in columns(rows, against) if title != "steps"]
    widths = [max(len(title), *map(len, cells)) for title, cells in found]
    texts = [[title for title, _ in found], *([cells[index] for _, cells in found] for index in range(len(rows)))]
    lines = ["  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in texts]
    return "\n".join([*lines, *problems(rows)])


def _silent(progress: Progress) -> None:
    """Say nothing."""


class _Said:
    """One line for each result, with the time left."""

    def __init__(self) -> None:
        from qap.commands.live import Pace

        self._pace = Pace()

    def __call__(self, progress: Progress) -> None:
        from qap.commands.live import time_left

        if not progress.message.endswith("float network"):
            self._pace.step(progress.done / progress.total)
        left = self._pace.left if progress.done < progress.total else None
        said = "" if left is None else time_left(left)
        print(f"{progress.message}: {progress.done} of {progress.total}{said}", file=sys.stderr)
