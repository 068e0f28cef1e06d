"""``qap report``: the page, the figures and the table of a study again, from its report.json; several studies on one page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from qap.commands.options import EXIT_CODES, add_shown, print_json, print_lines
from qap.errors import InputError

if TYPE_CHECKING:  # loaded when the verb runs: --help must stay light
    from qap.report.data import Report

STUDIES = Path("studies.html")

EXAMPLES = f"""
examples:
  qap report studies/jets                 writes report.html, front.csv and figures/ anew
  qap report studies/jets --json
  qap report studies/jets studies/jets_q4 --output both.html      one page with both fronts

Nothing is trained or judged again: for that use qap search STUDY.yaml --resume. The fields of report.json are explained
in docs/report.md.

{EXIT_CODES}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = EXAMPLES
    text = "the directory that qap search or qap train wrote; several: their fronts on one page"
    parser.add_argument("directories", type=Path, nargs="+", metavar="STUDY_DIR", help=text)
    parser.add_argument("--output", type=Path, metavar="FILE", help=f"page of several studies (default: {STUDIES})")
    add_shown(parser, "print the front as JSON, the rows of front.csv")


def run(options: argparse.Namespace) -> int:
    """Write the report again; return the exit code."""
    directories: list[Path] = options.directories
    for word in directories:
        if "=" in str(word) and not word.exists():
            raise InputError(f"one word too many: {str(word)!r}: a report takes no settings")
    for directory in directories:
        _check(directory)
    if len(directories) > 1:
        return _several(directories, options)
    if options.output is not None:
        raise InputError("--output: is for several studies; the page of one is report.html in its directory")
    from qap.commands.search import proven, show_front
    from qap.report.figures import save_figures
    from qap.report.page import write_page
    from qap.report.table import write_front_csv

    directory, report = directories[0], _load(directories[0])
    write_front_csv(report, directory / "front.csv")
    save_figures(report, directory / "figures")
    write_page(report, directory / "report.html")
    show_front(report, directory, options)
    return proven(report, "qap report")


def _check(directory: Path) -> None:
    """Refuse what is no study that has come to its end."""
    if not directory.is_dir():
        why = "is a file: give the study's directory" if directory.exists() else "no such directory"
        raise InputError(f"{directory}: {why}")
    if not (directory / "report.json").is_file():
        begun = (directory / "config.yaml").is_file()
        cure = "the study has not come to its end: qap search STUDY.yaml --resume" if begun else "no study here"
        raise InputError(f"{directory}: has no report.json: {cure}")


def _load(directory: Path) -> Report:
    from qap.report.data import Report

    return Report.load(directory / "report.json")


def _several(directories: list[Path], options: argparse.Namespace) -> int:
    """Write the page of several studies."""
    from qap.report.studies_page import differing, write_studies_page
    from qap.report.table import front_table

    reports, path = [_load(directory) for directory in directories], options.output or STUDIES
    if path.is_dir() or not path.resolve().parent.is_dir():
        why = "is a directory: give a file" if path.is_dir() else "its directory does not exist"
        raise InputError(f"--output {path}: {why}")
    write_studies_page(directories, reports, path)
    if options.json:
        studies = [
            {"study": str(directory), "name": report.name, "front": front_table(report)}
            for directory, report in zip(directories, reports, strict=True)
        ]
        print_json({"page": str(path), "differing": differing(reports), "studies": studies})
    elif not options.quiet:
        print_lines("\n".join([*differing(reports), f"page: {path}"]))
    return 0
