"""Conclusions -> the verdict matrix: one row a conclusion, one column an axis held equal, and why each row is so sure.

At most seven rows stand first, those that depend on the axis always. What no row can say on an axis is one sentence
below the matrix, not a column.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tolerance.findings import AtEqual, Conclusion, Conclusions, Report
from tolerance.reports.sections.grades import Grade, grade
from tolerance.reports.words import axes as by_axis
from tolerance.reports.words import conclusions as words
from tolerance.reports.words import numbers, phrases
from tolerance.reports.words.axes import MEANING, label
from tolerance.reports.words.glyphs import State, state

FIRST = 7


@dataclass(frozen=True)
class Cell:
    """A conclusion at one axis: the word, the difference and its interval where there is one, and why not otherwise."""

    axis: str
    said: State
    value: str
    ends: str
    reason: str
    support: str
    more: str


@dataclass(frozen=True)
class Row:
    """A conclusion: its sentence, its cells in the order of the matrix's axes, its label across them and its grade."""

    id: str
    number: str
    sentence: str
    cells: list[Cell]
    label: State
    meaning: str
    flip: str
    grade: Grade


@dataclass(frozen=True)
class Matrix:
    """``first`` are the rows that a reader sees at once, ``rest`` the others; ``unseen`` says what has no column."""

    axes: list[str]
    first: list[Row]
    rest: list[Row]
    unseen: list[str]
    rules: str
    flips: str


def matrix(conclusions: Sequence[Conclusions], report: Report | None = None) -> Matrix | None:
    """The matrix of all comparisons of a report; none where nothing was compared.

    ``report``: where the grade looks for thin data and felt priors.
    """
    found = words.ranked(conclusions)
    if not found:
        return None
    axes = _asked([one for _, one in found])
    rows = [_row(f"C{i}", whole, one, axes, report) for i, (whole, one) in enumerate(found, 1)]
    first = n_first(conclusions)
    return Matrix(
        axes=axes,
        first=rows[:first],
        rest=rows[first:],
        unseen=list(_unseen([one for _, one in found], axes)),
        rules=words.rules(found[0][0]),
        flips=_joint(conclusions),
    )


def n_first(conclusions: Sequence[Conclusions]) -> int:
    """How many rows a reader sees at once: seven, or all that depend on the axis."""
    return max(FIRST, sum(one.label == "axis-dependent" for whole in conclusions for one in whole.conclusions))


def _asked(found: Sequence[Conclusion]) -> list[str]:
    """Axes on which at least one conclusion could be asked, or could be but for the fit or a lack of overlap."""
    never = ("unavailable",)
    return list(dict.fromkeys(one.axis for each in found for one in each.axes if one.verdict not in never))


def _unseen(found: Sequence[Conclusion], axes: Sequence[str]) -> Iterator[str]:
    """Why an axis has no column."""
    missing = {one.axis: one.reason for each in found for one in each.axes if one.axis not in axes}
    for axis, reason in missing.items():
        yield f"Not asked at equal {axis}: {reason or 'its cost was not recorded'}."


def _row(number: str, whole: Conclusions, found: Conclusion, axes: Sequence[str], report: Report | None) -> Row:
    at = {one.axis: one for one in found.axes}
    return Row(
        id=found.id,
        number=number,
        sentence=words.sentence(found),
        cells=[cell(at[axis]) for axis in axes if axis in at],
        label=state(label(found)),
        meaning=MEANING[label(found)],
        flip="" if found.prob_flip is None else numbers.probability(found.prob_flip),
        grade=grade(found, report),
    )


def cell(found: AtEqual) -> Cell:
    """One cell. Withheld is a word: whatever numbers the finding carries are not read."""
    difference = None if found.verdict in ("withheld", "unavailable", "no overlap") else found.difference
    value, ends = ("", "") if difference is None else phrases.signed(difference.value, difference.interval)
    return Cell(
        axis=found.axis,
        said=state(found.verdict),
        value=value,
        ends=ends,
        reason="" if difference is not None and found.crossover is None else found.reason or "",
        support=by_axis.support(found) if difference is not None else "",
        more=_accounted(found) if difference is not None else "",
    )


def _accounted(found: AtEqual) -> str:
    return "; ".join([found.accounting, *by_axis.reservations(found)])


def _joint(conclusions: Sequence[Conclusions]) -> str:
    flagged = [whole for whole in conclusions if whole.n_flagged and whole.prob_all_flips is not None]
    if not flagged:
        return ""
    each = [
        f"{whole.n_flagged} of {whole.treatment} against {whole.reference}: "
        f"{numbers.probability(whole.prob_all_flips or 0.0)}"
        for whole in flagged
    ]
    return f"Probability that every conclusion flagged axis-dependent is so, all at once: {'; '.join(each)}."
