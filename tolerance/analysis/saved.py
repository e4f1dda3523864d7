"""The report in an analysis folder."""

from pathlib import Path

from tolerance import findings
from tolerance.errors import StoreError

REPORT = "report.json"


def read_report(folder: Path) -> findings.Report:
    """The report that `analyse` left in an analysis folder.

    Raises:
        StoreError: there is none, or it is of another version.
    """
    path = folder / REPORT
    if not path.is_file():
        raise StoreError(f"{folder}: no analysis ({REPORT} missing). Give the --out of tolerance fit.")
    try:
        return findings.Report.model_validate_json(path.read_text())
    except ValueError as error:
        first = str(error).splitlines()[0]
        raise StoreError(f"{path}: not a report of this version ({first}). Run tolerance fit again.") from error
