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
    of_data = [caveats.caveat(found, report.data) for found in report.caveats]
    return Values([*of_data, *map(caveats.not_compared, report.not_compared)])


SECTION = Section(id="limits", title="Limits", rows=values)
