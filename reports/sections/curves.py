"""Accuracy against sparsity: a panel a task type."""

from dataclasses import dataclass

from tolerance.findings import Report
from tolerance.reports.sections.section import Section
from tolerance.reports.sections.size import shown
from tolerance.reports.svg import panels
from tolerance.reports.words import levels, numbers


@dataclass(frozen=True)
class Values:
    """The panels, and what their lines and bands are; ``counts``: some levels are no fractions."""

    interval: str
    fit_passed: bool
    counts: bool
    panels: list[panels.Panel]


def values(report: Report) -> Values:
    """Every panel."""
    return Values(
        numbers.level(report.interval_prob), report.fit_passed, levels.counts(report), panels.panels(shown(report))
    )


def heading(report: Report) -> str:
    """What accuracy is drawn against."""
    return f"Accuracy against {levels.of_report(report)}, by task type"


SECTION = Section(id="curves", title="Curves", heading=heading, rows=values)
