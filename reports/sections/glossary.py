"""What the words mean."""

from dataclasses import dataclass

from tolerance.findings import Report
from tolerance.reports.sections.section import Section
from tolerance.reports.words import levels, phrases


@dataclass(frozen=True)
class Values:
    """What a threshold keeps, what is tolerated, and whether the page compares and has an instant answer."""

    kept: str
    compared: bool
    instant: bool
    noun: str


def values(report: Report) -> Values:
    """The words that this page uses."""
    return Values(
        kept=phrases.rule_clause(report.retention, report.margin),
        compared=any(whole.conclusions for whole in report.conclusions),
        instant=report.instant is not None,
        noun=levels.of_report(report),
    )


SECTION = Section(id="glossary", title="Glossary", rows=values)
