"""Whether the fit can be trusted: its checks, and what it says of itself."""

from dataclasses import dataclass

from tolerance.findings import Check, Report
from tolerance.reports.sections import diagnostics
from tolerance.reports.sections.section import Section
from tolerance.reports.sections.size import shown
from tolerance.reports.words import numbers, phrases
from tolerance.reports.words.glyphs import State, state


@dataclass(frozen=True)
class CheckRow:
    """Cells of a check of the fit."""

    name: str
    worst: str
    limit: str
    state: State
    meaning: str


@dataclass(frozen=True)
class Values:
    """Every check, and what `tolerance.reports.sections.diagnostics` says of the fit."""

    fit_passed: bool
    checks: list[CheckRow]
    attempts: list[str]
    predictions: str
    predictive_interval: str
    predicted: list[diagnostics.PredictedRow]
    shapes: list[diagnostics.ShapeRow]
    sensitivities: list[diagnostics.SensitivityRow]
    left_out: list[str]
    families: list[diagnostics.FamilyRow]


def values(report: Report) -> Values:
    """Checks passed and failed, and the diagnostics that there are."""
    report = shown(report)
    return Values(
        fit_passed=report.fit_passed,
        checks=[_check(found) for found in report.checks],
        attempts=diagnostics.attempts(report),
        predictions=diagnostics.predictions(report),
        predictive_interval=diagnostics.interval_level(report),
        predicted=diagnostics.predicted(report),
        shapes=diagnostics.shapes(report),
        sensitivities=diagnostics.sensitivities(report),
        left_out=[diagnostics.left_out(found) for found in report.left_out],
        families=diagnostics.families(report),
    )


def _check(found: Check) -> CheckRow:
    worst, limit = numbers.against(found.worst, found.limit)
    return CheckRow(
        name=phrases.capitalised(found.name),
        worst=worst,
        limit=f"{found.sense} {limit}",
        state=state("passed" if found.passed else "failed"),
        meaning=phrases.capitalised(found.meaning),
    )


SECTION = Section(id="checks", title="Can the fit be trusted", heading="Can the fit be trusted?", rows=values)
