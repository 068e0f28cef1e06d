"""The model that a study's csynth-equivalent figures come from: the package's, or refitted to the lab's own reports."""

from __future__ import annotations

from pathlib import Path

from qap.config.schema import Firmware
from qap.config.schema import Study as Config
from qap.cost.learn import refit
from qap.cost.model import Model, shipped_model
from qap.cost.store import load_store
from qap.errors import InputError
from qap.files import write_text
from qap.search.study import Study

REPORTS = "reports.json"
"""The study's own copy of the lab's reports: a resumed study must not change its estimates."""


def keep_reports(study: Study, folder: Path | None) -> None:
    """Copy the store that ``estimates.reports`` names into the study, unless it is there.

    Parameters
    ----------
    study : Study
    folder : path, optional
        Where relative names start.

    Raises
    ------
    InputError
        No such store, or a damaged one.
    """
    name, copy = study.config.estimates.reports, study.directory / REPORTS
    if name is None or copy.is_file():
        return
    path = Path(folder or ".") / name
    load_store(path)
    try:
        write_text(copy, path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"estimates.reports: {path}: cannot be read: {error.strerror}") from None


def lab_model(reports: Path | None, firmware: Firmware) -> Model:
    """Return the model for a backend and part: the package's, refitted where the lab's reports are given."""
    if reports is None:
        return shipped_model()
    return refit(shipped_model(), load_store(reports), backend=firmware.Backend.lower(), part=firmware.Part)


def named_model(config: Config, folder: Path | None) -> Model:
    """Return the model from the reports that ``estimates.reports`` names; relative names start in `folder`."""
    reports = config.estimates.reports
    return lab_model(None if reports is None else (folder or Path()) / reports, config.firmware)


def cost_model(study: Study) -> Model:
    """Return the model for a study's backend and part."""
    copy = study.directory / REPORTS
    return lab_model(copy if copy.is_file() else None, study.config.firmware)
