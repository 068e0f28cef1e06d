"""From a study file to its report: search, judge, then report.json, front.csv, the figures and the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qap.compress.context import Context
from qap.config.schema import Study as Config
from qap.datasets.load import load_dataset
from qap.report.compose import compose
from qap.report.data import Report
from qap.report.figures import save_figures
from qap.report.page import write_page
from qap.report.table import write_front_csv
from qap.search.context import make_context
from qap.search.judge import Verdict, judge
from qap.search.rtl_route import Say
from qap.search.run import run_search
from qap.search.study import Study


def write_report(study: Study, verdict: Verdict, context: Context, command: str, say: Say = lambda message: None) -> Report:
    """Write everything that a judged study shows into its directory.

    Parameters
    ----------
    study : Study
    verdict : Verdict
    context : Context
    command : str
        The command line that makes the study again.
    say : callable, optional
        Called with a line of text for each step.

    Returns
    -------
    Report
        As written to report.json; from it come front.csv, figures/ and report.html.
    """
    report = compose(study, verdict, context, command, say)
    report.save(study.directory / "report.json")
    write_front_csv(report, study.directory / "front.csv")
    say("report: figures")
    save_figures(report, study.directory / "figures")
    write_page(report, study.directory / "report.html")
    study.log("report written")
    return report


def run_study(
    config: Config,
    output: Path | str,
    *,
    folder: Path | None = None,
    command: str = "",
    say: Say = lambda message: None,
    **options: Any,
) -> Report:
    """Search, judge the front on the test split and write the report: what ``python -m qap.search`` does.

    Parameters
    ----------
    config : Config
        The study file, from `qap.load_config`.
    output : path
        Directory of the study.
    folder : path, optional
        Where relative names in the configuration start.
    command : str, optional
        What the report shows as the way to make the study again.
    say : callable, optional
        Called with a line of text for each step after the search.
    **options
        Those of `qap.search.run.run_search`: ``resume``, ``sampler``, ``plans``, ``points``, ``watch``, ``data``, ``workers``,
        ``trust``.

    Returns
    -------
    Report

    Raises
    ------
    InputError, QapError
        As `run_search` and `judge`.
    """
    data = options.pop("data", None) or load_dataset(config.data, folder, trust=options.get("trust", False))
    study = run_search(config, output, folder=folder, data=data, **options)
    context = make_context(config, data, folder)
    verdict = judge(study, context, say)
    return write_report(study, verdict, context, command or f"qap.run_study(config, {str(output)!r})", say)
