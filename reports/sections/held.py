"""Which axes were held constant."""

from dataclasses import dataclass

from tolerance.findings import HeldConstant, Report
from tolerance.reports.sections.section import Section
from tolerance.reports.words import held, phrases
from tolerance.reports.words.glyphs import State, state


@dataclass(frozen=True)
class HeldRow:
    """Cells of an axis."""

    axis: str
    state: State
    range: str
    unit: str
    follows: str


@dataclass(frozen=True)
class Values:
    """One row an axis."""

    rows: list[HeldRow]


def values(report: Report) -> Values:
    """Every axis, held or not."""
    return Values([_row(one) for one in report.held_constant])


def _row(found: HeldConstant) -> HeldRow:
    return HeldRow(
        axis=phrases.capitalised(found.axis),
        state=state(found.state),
        range=held.axis_range(found),
        unit=found.unit,
        follows=held.axis(found),
    )


SECTION = Section(id="held", title="What was held constant", rows=values)
