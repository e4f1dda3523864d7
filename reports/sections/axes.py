"""Every conclusion along every axis, as a forest: one row an axis, one scale a conclusion."""

from collections.abc import Sequence
from dataclasses import dataclass

from tolerance.findings import Conclusion, Conclusions, Report
from tolerance.reports.sections.section import Section
from tolerance.reports.sections.verdict_matrix import Cell, cell, n_first
from tolerance.reports.svg import forest
from tolerance.reports.words import conclusions as words
from tolerance.reports.words import numbers
from tolerance.reports.words.axes import label
from tolerance.reports.words.glyphs import State, state


@dataclass(frozen=True)
class ForestRow:
    """One axis of a conclusion: its cell, its strip, and the probability that the difference is above 0."""

    cell: Cell
    strip: forest.Strip | None
    above: str


@dataclass(frozen=True)
class Group:
    """The axes of one conclusion on one scale."""

    id: str
    number: str
    title: str
    label: State
    scale: forest.Scale
    rows: list[ForestRow]


@dataclass(frozen=True)
class Values:
    """Conclusions as the matrix has them: those that a reader sees at once, and the others."""

    interval: str
    first: list[Group]
    rest: list[Group]


def values(report: Report) -> Values | None:
    """None where nothing was compared."""
    found = groups(report.conclusions)
    if not found:
        return None
    n = n_first(report.conclusions)
    return Values(numbers.level(report.interval_prob), found[:n], found[n:])


def groups(conclusions: Sequence[Conclusions]) -> list[Group]:
    """The forest of all conclusions, in the order and with the numbers of the matrix."""
    found = words.ranked(conclusions)
    return [_group(f"C{i}", whole, one) for i, (whole, one) in enumerate(found, 1)]


def _group(number: str, whole: Conclusions, found: Conclusion) -> Group:
    shown = [one for one in found.axes if cell(one).value]
    scale = forest.scale([one.difference for one in shown], whole.equivalence)
    rows = [
        ForestRow(
            cell=cell(one),
            strip=scale.strip(one.difference) if one in shown else None,
            above=numbers.probability(one.prob_positive) if one in shown and one.prob_positive is not None else "",
        )
        for one in found.axes
    ]
    title = f"{words.where(found)}: {found.treatment} - {found.reference}, {found.quantity}"
    return Group(f"axes-{found.id}", number, title, state(label(found)), scale, rows)


SECTION = Section(id="axes", title="Along every axis", heading="Every conclusion along every axis", rows=values)
