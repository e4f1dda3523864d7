"""`tolerance.audit`: a claim and its evidence by name, by path or as they are."""

import os
from pathlib import Path

import pandas as pd

from tolerance import findings
from tolerance.auditing import audit as auditing
from tolerance.auditing.claims import Claim, find_claim
from tolerance.auditing.evidence import Evidence, answered, of_means, published
from tolerance.data.published import is_aggregate
from tolerance.data.run_folder import read_run
from tolerance.question import Question


def audit(
    claim: Claim | str | os.PathLike[str],
    evidence: Evidence | pd.DataFrame | str | os.PathLike[str],
    question: Question | None = None,
) -> findings.Audit:
    """Does a claim's number hold: overall, by task type, by model, on each axis, and what does its average hide?

    ``claim``: a `Claim`, a file of one, or the id of one that ships. ``evidence``: validated outcomes or
    published means, a run folder, or a CSV of published cells (`tolerance.auditing.published_cells` has its columns).

    Raises:
        SchemaError: there is no such claim, or a file does not say what it must.
        StoreError: the folder is no run.
        DesignError: nothing in the evidence is what the claim is about.
    """
    asked = claim if isinstance(claim, Claim) else find_claim(os.fspath(claim))
    return auditing.audit(asked, _seen(evidence), question)


def _seen(evidence: Evidence | pd.DataFrame | str | os.PathLike[str]) -> Evidence:
    if isinstance(evidence, Evidence):
        return evidence
    if isinstance(evidence, pd.DataFrame):
        return _of_run(evidence)
    path = Path(evidence)
    return _of_run(read_run(path)) if path.is_dir() else published(path)


def _of_run(outcomes: pd.DataFrame) -> Evidence:
    return of_means(outcomes) if is_aggregate(outcomes) else answered(outcomes)
