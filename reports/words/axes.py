"""Conclusions along held-constant axes -> rows and sentences."""

from collections.abc import Iterator

from tolerance.findings import AtEqual, Conclusion, Conclusions
from tolerance.reports.words import numbers, phrases

HEADS = ["at equal", "verdict", "difference", "common support", "why, or how accounted"]
MEANING = {
    "robust": "the same verdict on every axis that can be asked",
    "axis-dependent": "the verdict turns with what is held equal",
    "fragile": "decided on some axes and not on others",
    "undecided": "undecided on every axis that can be asked",
    "untestable": "fewer than two axes can be asked",
    "withheld": "the fit failed its checks",
}
DECISIVE = ("better", "worse", "equivalent")


def label(found: Conclusion) -> str:
    """The label as a reader is told it: what is fragile because no axis decides is undecided."""
    decided = any(one.verdict in DECISIVE for one in found.axes)
    return "undecided" if found.label == "fragile" and not decided else found.label


def title(found: Conclusion) -> str:
    """What a table of axes is about."""
    return f"{found.treatment} against {found.reference}, {found.task_type}: {label(found)}"


def table(found: Conclusion) -> list[list[str]]:
    """One row an axis, in the order of `HEADS`."""
    return [[one.axis, one.verdict, _difference(one), support(one) or "-", _why(one)] for one in found.axes]


def _difference(one: AtEqual) -> str:
    if one.difference is None:
        return "-"
    value, ends = phrases.signed(one.difference.value, one.difference.interval)
    return f"{value} ({phrases.percent(one.difference.interval.prob)} credible {ends})"


def support(one: AtEqual) -> str:
    """Where on the axis both sides have support; nothing where that is not known."""
    if one.low is None or one.high is None:
        return ""
    write = numbers.level if one.axis == "sparsity fraction" else numbers.quantity
    low, high = write(one.low), write(one.high)
    return f"{low} to {high} {one.unit}" if low != high else f"{low} {one.unit}"


def _why(one: AtEqual) -> str:
    if one.reason is not None and one.crossover is None:
        return one.reason
    said: str = one.accounting
    if said == "estimated" and one.unit == "FLOPs per item":
        said += " without what choosing costs"
    said = "; ".join([said, *reservations(one)])
    if one.crossover is not None:
        cross = one.crossover
        write = numbers.level if one.axis == "sparsity fraction" else numbers.quantity
        at, lower, upper = (
            write(value) for value in (cross.at.value, cross.at.interval.lower, cross.at.interval.upper)
        )
        said += (
            f"; {cross.first_better} is better below {at} ({phrases.percent(cross.at.interval.prob)} credible {lower} "
            f"to {upper}), the other above, with probability {numbers.probability(cross.probability)}"
        )
    return said


def reservations(one: AtEqual) -> Iterator[str]:
    """What was not compared as measured."""
    if one.n_outside:
        yield f"{one.n_outside} of {one.n_outside + one.n_strata} strata without common support"
    if one.interpolated:
        yield "between measured values"


def sentences(found: Conclusions) -> Iterator[str]:
    """The rules, one sentence a conclusion, the joint probability of flips, and where the cross-check disagrees."""
    yield (
        f"Set before looking: equivalent within {numbers.points(found.equivalence)} points, verdicts with probability "
        f"{phrases.percent(found.decision_prob)} (either direction together)."
    )
    for one in found.conclusions:
        yield _sentence(one)
    if found.prob_all_flips is not None:
        yield (
            f"Probability that all {found.n_flagged} axis-dependent conclusions are so at once: "
            f"{numbers.probability(found.prob_all_flips)}."
        )
    for one in found.conclusions:
        yield from _checks(one)


def _sentence(one: Conclusion) -> str:
    said = f"{one.treatment} against {one.reference}, {one.task_type}: {label(one)} - {MEANING[label(one)]}"
    verdicts: dict[str, list[str]] = {}
    for at in one.axes:
        if at.verdict in DECISIVE:
            verdicts.setdefault(at.verdict, []).append(at.axis)
    if verdicts:
        said += "; " + ", ".join(f"{verdict} at equal {phrases.listed(axes)}" for verdict, axes in verdicts.items())
    nowhere = [at.axis for at in one.axes if at.verdict == "no overlap"]
    if nowhere:
        said += f"; no common support at equal {phrases.listed(nowhere)}"
    if one.prob_flip is not None:
        said += f" (all at once with probability {numbers.probability(one.prob_flip)})"
    return f"{said}."


def _checks(one: Conclusion) -> Iterator[str]:
    for at in one.axes:
        check = at.check
        if check is None or check.disagreement is None or check.slope is None or check.slope.interval is None:
            continue
        value, ends = phrases.signed(check.slope.value, check.slope.interval)
        yield (
            f"{one.task_type} at equal {at.axis}: {check.disagreement}; verdict {at.verdict}, GEE log odds ratio "
            f"{value} ({phrases.percent(check.slope.interval.prob)} {phrases.KINDS['robust']} {ends})."
        )
