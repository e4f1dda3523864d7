"""The model in formulas, and its priors."""

from dataclasses import dataclass

from tolerance.findings import Report
from tolerance.reports.sections.section import Section
from tolerance.reports.words import levels


@dataclass(frozen=True)
class Values:
    """``compared``: whether there are conclusions at equal something.

    ``places``: where levels of other units stand. ``priors``: name and numbers of each.
    """

    compared: bool
    places: list[str]
    priors: list[tuple[str, str]]


def values(report: Report) -> Values:
    """What was assumed."""
    priors = sorted(report.provenance.priors.items(), key=lambda pair: pair[0].lower())
    return Values(
        compared=any(whole.conclusions for whole in report.conclusions),
        places=levels.places(report),
        priors=[(name, ", ".join(map(str, numbers))) for name, numbers in priors],
    )


SECTION = Section(id="methods", title="Methods", rows=values)
