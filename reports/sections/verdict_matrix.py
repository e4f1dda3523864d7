"""Conclusions -> the verdict matrix: one row a conclusion, one column an axis held equal, and why each row is so sure.

At most seven rows stand first, those that depend on the axis always. What no row can say on an axis is one sentence
below the matrix, not a column.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tolerance.findings.report import AtEqual, Conclusion, Conclusions, Report
from tolerance.reports.svg import forest
from tolerance.reports.words import axes as by_axis
from tolerance.reports.words import numbers, phrases
from tolerance.reports.words.axes import DECISIVE, MEANING, label
from tolerance.reports.words.glyphs import State, state

FIRST = 7
THIN_ITEMS, THIN_LEVELS = 100, 4
DOTS = 4
# One, and several.
COUNTED = {
    "axis-dependent": ("depends on what is held equal", "depend on what is held equal"),
    "robust": ("is the same on every axis that can be asked", "are the same on every axis that can be asked"),
    "fragile": ("is decided on some axes only", "are decided on some axes only"),
    "undecided": ("is undecided on every axis", "are undecided on every axis"),
    "untestable": ("can be asked on fewer than two axes", "can be asked on fewer than two axes"),
    "withheld": ("is withheld", "are withheld"),
}
# A sentence names so many axes at most; the matrix has all.
AXES_NAMED = 3
ORDER = ("axis-dependent", "robust", "fragile", "undecided", "untestable", "withheld")


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
    found = _ranked(conclusions)
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
        rules=rules(found[0][0]),
        flips=_joint(conclusions),
    )


def rules(found: Conclusions) -> str:
    """What was fixed before looking."""
    return (
        f"Fixed before looking: equivalent within {numbers.points(found.equivalence)} points either way, verdicts with "
        f"posterior probability {numbers.probability(found.decision_prob)} (both wrong directions together)."
    )


def leads(conclusions: Sequence[Conclusions]) -> list[str]:
    """The answer of a comparison in at most two sentences: what turns with the axis first, else the clearest."""
    found = [one for _, one in _ranked(conclusions)]
    if not found:
        return []
    said = [sentence(found[0])]
    counts = {name: sum(label(one) == name for one in found) for name in ORDER}
    if len(found) > 1:
        each = [f"{numbers.count(n)} {COUNTED[name][n > 1]}" for name, n in counts.items() if n]
        said.append(f"Of {numbers.count(len(found))} conclusions, {phrases.listed(each)}.")
    return said


def sentence(found: Conclusion) -> str:
    """A conclusion in words, with the first number of each verdict and its interval."""
    where = _where(found)
    what = "keeps" if found.quantity == "retention" else "is"
    if found.label == "withheld":
        return f"{where}, {found.treatment} against {found.reference} is withheld: the fit failed its checks."
    clauses: list[str] = []
    for verdict in DECISIVE:
        at = [one for one in found.axes if one.verdict == verdict]
        if at:
            clauses.append(_clause(found, verdict, at, what, first=not clauses))
    undecided = [one.axis for one in found.axes if one.verdict == "undecided"]
    if not clauses and not undecided:
        return f"{where}, {found.treatment} and {found.reference} cannot be compared on any axis."
    if not clauses:
        open_ = next(one for one in found.axes if one.verdict == "undecided")
        word = "keeps more" if found.quantity == "retention" else "is more accurate"
        text = f"it is undecided whether {found.treatment} or {found.reference} {word} at equal {_named(undecided)}"
        return f"{where}, {text}{_number(open_)}."
    rest = f"; undecided at equal {_named(undecided)}" if undecided else ""
    return f"{where}, {', but '.join(clauses)}{rest}."


def _clause(found: Conclusion, verdict: str, at: Sequence[AtEqual], what: str, *, first: bool) -> str:
    axes = _named([one.axis for one in at])
    retention = what == "keeps"
    words = {
        "better": "keeps more than" if retention else "is more accurate than",
        "worse": "keeps less than" if retention else "is less accurate than",
        "equivalent": "keeps as much in practice as" if retention else "is as accurate in practice as",
    }[verdict]
    who = f"{found.treatment} {words} {found.reference}" if first else words.removesuffix(" than").removesuffix(" as")
    return f"{who} at equal {axes}{_number(at[0], of=len(at))}"


def _named(axes: Sequence[str]) -> str:
    if len(axes) <= AXES_NAMED:
        return phrases.listed(axes)
    return f"{', '.join(axes[: AXES_NAMED - 1])} and {len(axes) - AXES_NAMED + 1} further axes"


def _number(at: AtEqual, *, of: int = 1) -> str:
    if at.difference is None:
        return ""
    value, ends = phrases.signed(at.difference.value, at.difference.interval)
    which = f" at equal {at.axis}" if of > 1 else ""
    return f" ({value}{which}, {phrases.percent(at.difference.interval.prob)} credible interval {ends})"


def _where(found: Conclusion) -> str:
    return "Over all task types" if found.task_type.startswith(("all ", "mean")) else f"On {found.task_type}"


def _ranked(conclusions: Sequence[Conclusions]) -> list[tuple[Conclusions, Conclusion]]:
    """Every conclusion with the comparison that it is of, in the order of the matrix."""
    found = ((whole, one) for whole in conclusions for one in whole.conclusions)
    return sorted(found, key=lambda pair: _rank(pair[1]))


def _rank(found: Conclusion) -> tuple[int, int]:
    """Those that depend on the axis first, then the most decided."""
    return ORDER.index(label(found)), -sum(one.verdict in DECISIVE for one in found.axes)


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
        sentence=sentence(found),
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
    mine = [t for t in report.thresholds if t.task_type == found.task_type or _where(found).startswith("Over")]
    # a side is a method, perhaps at a level and of certain models: snapkv@0.9,params>=8e9
    methods = {side.partition(",")[0].partition("@")[0] for side in (found.treatment, found.reference)}
    mine = [t for t in mine if t.sparsifier in methods]
    if any(thin(t.n_items, t.n_levels) for t in mine):
        yield f"fewer than {THIN_ITEMS} items or {THIN_LEVELS} levels"
    if len(report.data.models) == 1:
        yield "one model"
    if any(t.leaning for t in mine):
        yield "the prior is felt"


def thin(n_items: int, n_levels: int) -> str:
    """What is too little to trust alone: ``"n = 24"``; nothing where there is enough."""
    said = [f"n = {numbers.count(n_items)}"] if n_items < THIN_ITEMS else []
    said += [f"{n_levels} {'level' if n_levels == 1 else 'levels'}"] if n_levels < THIN_LEVELS else []
    return ", ".join(said)


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
    found = _ranked(conclusions)
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
    title = f"{_where(found)}: {found.treatment} - {found.reference}, {found.quantity}"
    return Group(f"axes-{found.id}", number, title, state(label(found)), scale, rows)
