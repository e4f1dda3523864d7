"""Accuracy against sparsity: a panel a task type."""

from dataclasses import dataclass

from tolerance.findings import Report
from tolerance.reports.sections.section import Section
from tolerance.reports.sections.size import shown
from tolerance.reports.svg import panels
from tolerance.reports.words import numbers


@dataclass(frozen=True)
class Values:
    """The panels, and what their lines and bands are."""

    interval: str
    fit_passed: bool
    panels: list[panels.Panel]


def values(report: Report) -> Values:
    """Every panel."""
    return Values(numbers.level(report.interval_prob), report.fit_passed, panels.panels(shown(report)))


SECTION = Section(id="curves", title="Curves", heading="Accuracy against sparsity, by task type", rows=values)
