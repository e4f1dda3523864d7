"""What the words mean."""

from dataclasses import dataclass

from tolerance.findings import Report
from tolerance.reports.sections.section import Section
from tolerance.reports.words import phrases


@dataclass(frozen=True)
class Values:
    """What a threshold keeps, and whether the page has words of comparisons and of the instant answer."""

    kept: str
    compared: bool
    instant: bool


def values(report: Report) -> Values:
    """The words that this page uses."""
    return Values(
        kept=phrases.rule_clause(report.retention, report.margin),
        compared=any(whole.conclusions for whole in report.conclusions),
        instant=report.instant is not None,
    )


SECTION = Section(id="glossary", title="Glossary", rows=values)
