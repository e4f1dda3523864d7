"""One check of the fit -> its sentence."""

from tolerance.findings import Check
from tolerance.reports.words import numbers
from tolerance.reports.words.phrases import capitalised


def sentence(found: Check) -> str:
    """One check of the fit, stated either way."""
    worst, limit = numbers.against(found.worst, found.limit)
    stated = f"{capitalised(found.name)}: {worst} (limit: {found.sense} {limit})"
    return f"{stated}, passed." if found.passed else f"{stated}, failed: {found.meaning}."
