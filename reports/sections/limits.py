"""What the data cannot tell."""

from dataclasses import dataclass

from tolerance.findings import Report
from tolerance.reports.sections.section import Section
from tolerance.reports.words import caveats


@dataclass(frozen=True)
class Values:
    """One sentence a caveat."""

    caveats: list[str]


def values(report: Report) -> Values:
    """Every caveat."""
    return Values([caveats.caveat(found) for found in report.caveats])


SECTION = Section(id="limits", title="Limits", rows=values)
