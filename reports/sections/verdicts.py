"""The verdict matrix: what can be concluded, and at equal what."""

from dataclasses import dataclass

from tolerance.findings import Report
from tolerance.reports.sections import verdict_matrix
from tolerance.reports.sections.section import Section
from tolerance.reports.sections.size import shown
from tolerance.reports.sections.verdict_matrix import Matrix
from tolerance.reports.words import numbers, phrases


@dataclass(frozen=True)
class Values:
    """The matrix, with what its numbers are differences of and the probability of their intervals."""

    matrix: Matrix
    quantity: str
    interval: str


def values(report: Report) -> Values | None:
    """None where nothing was compared."""
    matrix = verdict_matrix.matrix(report.conclusions, shown(report))
    if matrix is None:
        return None
    quantities = dict.fromkeys(one.quantity for whole in report.conclusions for one in whole.conclusions)
    return Values(matrix, phrases.listed(list(quantities)), numbers.level(report.interval_prob))


SECTION = Section(
    id="verdicts",
    title="Conclusions by axis",
    heading="What we can conclude, and at equal what",
    rows=values,
)
