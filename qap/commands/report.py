"""``qap report``: the page, the figures and the table of a study again, from its report.json."""

from __future__ import annotations

import argparse
from pathlib import Path

from qap.commands.options import EXIT_CODES, add_shown
from qap.errors import InputError

EXAMPLES = f"""
examples:
  qap report studies/jets                 writes report.html, front.csv and figures/ anew
  qap report studies/jets --json

Nothing is trained or judged again: for that use qap search STUDY.yaml --resume. The fields of report.json are explained
in docs/report.md.

{EXIT_CODES}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EXAMPLES
    parser.add_argument("directory", type=Path, metavar="STUDY_DIR", help="the directory that qap search or qap train wrote")
    add_shown(parser, "print the front as JSON, the rows of front.csv")


def run(options: argparse.Namespace) -> int:
    """Write the report again; return the exit code."""
    from qap.commands.search import proven, show_front

    directory: Path = options.directory
    if not directory.is_dir():
        why = "is a file: give the study's directory" if directory.exists() else "no such directory"
        raise InputError(f"{directory}: {why}")
    if not (directory / "report.json").is_file():
        begun = (directory / "config.yaml").is_file()
        cure = "the study has not come to its end: qap search STUDY.yaml --resume" if begun else "no study here"
        raise InputError(f"{directory}: has no report.json: {cure}")

    from qap.report.data import Report
    from qap.report.figures import save_figures
    from qap.report.page import write_page
    from qap.report.table import write_front_csv

    report = Report.load(directory / "report.json")
    write_front_csv(report, directory / "front.csv")
    save_figures(report, directory / "figures")
    write_page(report, directory / "report.html")
    show_front(report, directory, options)
    return proven(report, "qap report")
