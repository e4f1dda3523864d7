"""Conclusions in words: what a comparison says in at most two sentences, and each conclusion with its numbers."""

from collections.abc import Sequence

from tolerance.findings import AtEqual, Conclusion, Conclusions
from tolerance.reports.words import numbers, phrases
from tolerance.reports.words.axes import DECISIVE, label

THIN_ITEMS, THIN_LEVELS = 100, 4
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


def rules(found: Conclusions) -> str:
    """What was fixed before looking."""
    return (
        f"Fixed before looking: equivalent within {numbers.points(found.equivalence)} points either way, better and "
        f"worse with posterior probability {numbers.required(found.direction_prob)}, equivalent with "
        f"{numbers.required(found.decision_prob)}: both wrong directions together have at most what that leaves."
    )


def leads(conclusions: Sequence[Conclusions]) -> list[str]:
    """The answer of a comparison in at most two sentences: what turns with the axis first, else the clearest."""
    found = [one for _, one in ranked(conclusions)]
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
    place = where(found)
    what = "keeps" if found.quantity == "retention" else "is"
    if found.label == "withheld":
        return f"{place}, {found.treatment} against {found.reference} is withheld: the fit failed its checks."
    clauses: list[str] = []
    for verdict in DECISIVE:
        at = [one for one in found.axes if one.verdict == verdict]
        if at:
            clauses.append(_clause(found, verdict, at, what, first=not clauses))
    undecided = [one.axis for one in found.axes if one.verdict == "undecided"]
    if not clauses and not undecided:
        return f"{place}, {found.treatment} and {found.reference} cannot be compared on any axis."
    if not clauses:
        open_ = next(one for one in found.axes if one.verdict == "undecided")
        word = "keeps more" if found.quantity == "retention" else "is more accurate"
        text = f"it is undecided whether {found.treatment} or {found.reference} {word} at equal {_named(undecided)}"
        return f"{place}, {text}{_number(open_)}."
    rest = f"; undecided at equal {_named(undecided)}" if undecided else ""
    return f"{place}, {', but '.join(clauses)}{rest}."


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


def where(found: Conclusion) -> str:
    """The task type that a conclusion is on, as a sentence begins."""
    return "Over all task types" if found.task_type.startswith(("all ", "mean")) else f"On {found.task_type}"


def ranked(conclusions: Sequence[Conclusions]) -> list[tuple[Conclusions, Conclusion]]:
    """Every conclusion with the comparison that it is of, in the order of the matrix."""
    found = ((whole, one) for whole in conclusions for one in whole.conclusions)
    return sorted(found, key=lambda pair: _rank(pair[1]))


def _rank(found: Conclusion) -> tuple[int, int]:
    """Those that depend on the axis first, then the most decided."""
    return ORDER.index(label(found)), -sum(one.verdict in DECISIVE for one in found.axes)


def thin(n_items: int, n_levels: int) -> str:
    """What is too little to trust alone: ``"n = 24"``; nothing where there is enough."""
    said = [f"n = {numbers.count(n_items)}"] if n_items < THIN_ITEMS else []
    said += [f"{n_levels} {'level' if n_levels == 1 else 'levels'}"] if n_levels < THIN_LEVELS else []
    return ", ".join(said)
