"""Conclusions -> the verdict matrix: one row a conclusion, one column an axis held equal, and why each row is so sure.

At most seven rows stand first, those that depend on the axis always. What no row can say on an axis is one sentence
below the matrix, not a column.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tolerance.findings import AtEqual, Conclusion, Conclusions, Report
from tolerance.reports.svg import forest
from tolerance.reports.words import axes as by_axis
from tolerance.reports.words import conclusions as words
from tolerance.reports.words import numbers, phrases
from tolerance.reports.words.axes import DECISIVE, MEANING, label
from tolerance.reports.words.conclusions import THIN_ITEMS, THIN_LEVELS
from tolerance.reports.words.glyphs import State, state

FIRST = 7
DOTS = 4


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
class Grade:
    """How good the evidence is: four dots, less one for each reason."""

    dots: str
    words: str
    reasons: list[str]


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
    flips = sum(one.label == "axis-dependent" for _, one in found)
    shown = max(FIRST, flips)
    return Matrix(
        axes=axes,
        first=rows[:shown],
        rest=rows[shown:],
        unseen=list(_unseen([one for _, one in found], axes)),
        rules=words.rules(found[0][0]),
        flips=_joint(conclusions),
    )


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


def grade(found: Conclusion, report: Report | None = None) -> Grade:
    """Four dots, less one for each: thin data, an undecided or untestable axis, interpolation, one model, a felt prior.

    The rule is this list, in the manner of GRADE (Guyatt et al. 2008, doi:10.1136/bmj.39489.470347.AD): how sure one
    may be of a finding is said apart from how large it is.
    """
    if found.label == "withheld":
        return Grade("", "withheld", ["the fit failed its checks"])
    reasons = list(_reservations(found, report))
    dots = max(0, DOTS - len(reasons))
    words = ("very low", "very low", "low", "moderate", "high")[dots]
    return Grade("●" * dots + "○" * (DOTS - dots), words, reasons)


def _reservations(found: Conclusion, report: Report | None) -> Iterator[str]:
    asked = [one for one in found.axes if one.verdict in (*DECISIVE, "undecided")]
    if len(asked) < 2:
        yield "fewer than two axes can be asked"
    elif any(one.verdict == "undecided" for one in asked):
        yield "undecided on an axis"
    if any(one.interpolated or one.n_outside for one in asked):
        yield "interpolated, or partly without overlap"
    if report is None:
        return
    everywhere = words.where(found).startswith("Over")
    mine = [t for t in report.thresholds if everywhere or t.task_type == found.task_type]
    # a side is a method, perhaps at a level and of certain models: snapkv@0.9,params>=8e9
    methods = {side.partition(",")[0].partition("@")[0] for side in (found.treatment, found.reference)}
    mine = [t for t in mine if t.sparsifier in methods]
    if any(words.thin(t.n_items, t.n_levels) for t in mine):
        yield f"fewer than {THIN_ITEMS} items or {THIN_LEVELS} levels"
    if len(report.data.models) == 1:
        yield "one model"
    if any(t.leaning for t in mine):
        yield "the prior is felt"


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
