"""What the page leaves to the files beside it: a note, on pages of very large reports."""

from dataclasses import dataclass

from tolerance.findings import Report
from tolerance.reports.sections.section import Section
from tolerance.reports.sections.size import shown
from tolerance.reports.words import numbers, phrases

NAMES = ("curves", "thresholds", "comparisons", "contrasts")


@dataclass(frozen=True)
class Values:
    """``first``: how many of how many are shown."""

    first: str


def values(report: Report) -> Values | None:
    """What was cut; none where everything is shown."""
    page = shown(report)
    counts = [(name, len(getattr(page, name)), len(getattr(report, name))) for name in NAMES]
    cut = [f"{numbers.count(n)} of {numbers.count(of)} {name}" for name, n, of in counts if n < of]
    return Values(phrases.listed(cut)) if cut else None


SECTION = Section(id="cut", title="", rows=values)
