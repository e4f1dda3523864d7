"""All numbers as CSV, to copy or to save."""

from dataclasses import dataclass

from tolerance.findings import Report
from tolerance.reports import spreadsheet
from tolerance.reports.sections.section import Section
from tolerance.reports.sections.size import inside
from tolerance.reports.words import numbers


@dataclass(frozen=True)
class Values:
    """The CSV and how many rows it has; empty where it is too much for a page."""

    csv: str
    n_rows: str


def values(report: Report) -> Values:
    """Every number of the report, also of what the page does not list."""
    csv = inside(spreadsheet.table(report))
    return Values(csv, numbers.count(csv.count("\n") - 1))


SECTION = Section(id="copy", title="Numbers to copy", rows=values)
