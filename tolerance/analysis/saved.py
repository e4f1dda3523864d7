"""The report in an analysis folder, and the draws that it is of."""

import os
from pathlib import Path

import pandas as pd

from tolerance import findings
from tolerance.data.canonical import table_hash
from tolerance.errors import OtherFitError, StoreError
from tolerance.inference.saved import Fit, read_fit

REPORT = "report.json"


def read_report(folder: str | os.PathLike[str]) -> findings.Report:
    """The report that `analyse` left in an analysis folder.

    Raises:
        StoreError: there is none, or it is of another version.
    """
    folder = Path(folder)
    path = folder / REPORT
    if not path.is_file():
        raise StoreError(f"{folder}: no analysis ({REPORT} missing). Give the --out of tolerance fit.")
    try:
        return findings.Report.model_validate_json(path.read_text())
    except ValueError as error:
        first = str(error).splitlines()[0]
        raise StoreError(f"{path}: not a report of this version ({first}). Run tolerance fit again.") from error


def fit_of(report: findings.Report, outcomes: pd.DataFrame, folder: Path) -> Fit:
    """The saved fit whose numbers a report carries, so that what is asked of it now can stand beside them.

    Raises:
        OtherFitError: the draws are of another version of the model, of other outcomes, or of another fit than the
            report's: one that was interrupted before its report was written.
        StoreError: no fit is saved there, or it cannot be read.
    """
    if report.provenance.fit is not None and report.provenance.data_hash != table_hash(outcomes):
        raise OtherFitError(
            f"{folder}: the report is of other outcomes than the run holds. Run tolerance fit again, or give the run "
            "that it was made from.",
            "other outcomes",
        )
    fitted = read_fit(outcomes, folder)
    if report.provenance.fit != fitted.key:
        raise OtherFitError(
            f"{folder}: the report is of another fit than the draws: a later one, with other settings or another seed, "
            "ended before its report was written. Run tolerance fit again.",
            "two fits",
        )
    return fitted
