"""The report in an analysis folder, and the draws that it is of."""

import os
from pathlib import Path

from pydantic import ValidationError

from tolerance import findings
from tolerance.data.prepared import Outcomes, prepare
from tolerance.errors import OtherFitError, StoreError
from tolerance.findings.sound import faults
from tolerance.inference.saved import Fit, read_fit, saved_key

REPORT = "report.json"
# What a page says in place of conclusions that it could not ask for.
UNASKED: dict[str, findings.Caveat] = {
    "another model": "conclusions need another fit",
    "two fits": "conclusions need another fit",
    "other outcomes": "conclusions need other outcomes",
}


def read_report(folder: str | os.PathLike[str]) -> findings.Report:
    """The report that `analyse` left in an analysis folder, without what could not be asked of it before.

    Raises:
        StoreError: there is none, or it is of another version.
    """
    folder = Path(folder)
    path = folder / REPORT
    if not path.is_file():
        raise StoreError(f"{folder}: no analysis ({REPORT} missing). Give the --out of tolerance fit.")
    try:
        found = findings.Report.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        said = f"{where}: {first['msg']}" if where else first["msg"]
        raise StoreError(f"{path}: not a report of this version ({said}). Run tolerance fit again.") from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}). Make it readable.") from error
    wrong = next(faults(found), None)
    if wrong is not None:
        raise StoreError(f"{path}: {wrong}, so this is not what tolerance fit wrote. Run it again.")
    return found.model_copy(update={"caveats": [one for one in found.caveats if one not in UNASKED.values()]})


def without_answer(report: findings.Report, error: OtherFitError) -> findings.Report:
    """The report as it stands, saying what the draws or the run beside it were not asked, and why."""
    return report.model_copy(update={"caveats": [*report.caveats, UNASKED[error.reason]]})


def fit_of(report: findings.Report, outcomes: Outcomes, folder: Path) -> Fit:
    """The saved fit whose numbers a report carries, so that what is asked of it now can stand beside them.

    Raises:
        OtherFitError: the draws are of another version of the model, of other outcomes, or of another fit than the
            report's: one that was interrupted before its report was written; or there are none.
        StoreError: they cannot be read.
    """
    if report.provenance.fit is not None and report.provenance.data_hash != prepare(outcomes).table:
        raise OtherFitError(
            f"{folder}: the report is of other outcomes than the run holds. Run tolerance fit again, or give the run "
            "that it was made from.",
            "other outcomes",
        )
    if saved_key(folder) is None:
        raise OtherFitError(
            f"{folder}: the report's draws are gone, where a later fit ended before it had saved its own. Run "
            "tolerance fit again.",
            "two fits",
        )
    fitted = read_fit(outcomes, folder)
    if report.provenance.fit != fitted.key:
        raise OtherFitError(
            f"{folder}: the report is of another fit than the draws: a later one, with other settings or another seed, "
            "ended before its report was written. Run tolerance fit again.",
            "two fits",
        )
    return fitted
