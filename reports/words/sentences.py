"""Findings -> sentences. Each is built from its finding alone, so that label, interval and number cannot drift apart.

Every number's class is named, every group of intervals says its probability, undecided is said as plainly as decided,
and what lies outside the measured range is a bound with no other end.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import assert_never

from tolerance.findings import (
    Budget,
    Caveat,
    Check,
    Comparison,
    Conclusions,
    Contrast,
    Curve,
    Difference,
    HeldConstant,
    Leaning,
    Level,
    Observed,
    Order,
    Ordering,
    Rank,
    Reason,
    Report,
    Threshold,
)
from tolerance.reports.words import conclusions, numbers
from tolerance.reports.words.phrases import amount, capitalised, listed, observed, percent, rule

# More methods than this are named in the tables, not in the headlines.
METHODS_NAMED = 2
CHECKS_NAMED = 2

REASONS: dict[Reason, str] = {
    "fit failed its checks": "the fit failed its checks",
    "no dense baseline": "no dense baseline was measured",
    "dense accuracy is at the guessing floor": "its dense accuracy is at the guessing floor",
    "no task and configuration in common": "they have no task and configuration in common",
}
CAVEATS: dict[Caveat, str] = {
    "one model": "One model was measured: whether other models tolerate as much is not known from these data.",
    "one context length": "At most one context length is recorded: tolerance at other lengths is not known from these "
    "data.",
    "no dense baseline": "No dense baseline was measured: accuracy by level is described, and nothing is said about "
    "the share of dense accuracy that is kept.",
    "requested sparsity only": "Realised sparsity was not recorded for some answers: their level is the one that was "
    "asked for, and what was removed may have been less.",
    "chance unknown": "The chance level of some tasks was not recorded: their guessing floor is estimated from the "
    "answers, or taken as 0.",
    "published means": "Published means were fitted, not answers: which items were answered alike is not known, so "
    "pairing is lost, and intervals are wider than answers would give.",
    "items assumed": "The number of items behind some means was not published and is assumed: what follows is a "
    "sensitivity analysis, and its intervals are only as right as that number.",
    "items independent": "Answers are modelled as independent between items. The intervals are for these tasks; they "
    "do not cover the choice of tasks.",
    "conclusions need another fit": "Nothing new was concluded at equal everything: the saved draws are of another fit "
    "than this report, or of another version of the model. tolerance fit makes them anew.",
    "conclusions need other outcomes": "Nothing new was concluded at equal everything: the run holds other outcomes "
    "than this report is of. tolerance fit makes it anew, or give the run that it is of.",
}


@dataclass(frozen=True)
class Lead:
    """A leading sentence and the id of the section or row that holds its numbers."""

    text: str
    target: str


def title(report: Report) -> str:
    """The question that the report answers."""
    models, types = report.data.models, task_types(report)
    who = f"does {models[0]}" if len(models) == 1 else f"do {len(models)} models"
    where = f" on {types[0]}" if len(types) == 1 else ", by task type"
    return f"How much sparsity {who} tolerate{where}?"


def headlines(report: Report) -> list[str]:
    """The few sentences that answer the question; printed by the command line and leading the page."""
    return [lead.text for lead in leads(report)]


def leads(report: Report) -> list[Lead]:
    """The headlines with where their evidence stands."""
    if not report.fit_passed:
        return _withheld(report)
    if not report.data.has_dense:
        return [*_without_dense(report), Lead(held_constant(report), "held")]
    by_task = [_by_task(report, method) for method in methods(report)[:METHODS_NAMED]]
    if report.conclusions:
        compared = [Lead(text, "verdicts") for text in conclusions.leads(report.conclusions)]
        return [*by_task, *_further(report), *compared]
    return [*by_task, *_further(report), *_by_method(report), Lead(held_constant(report), "held")]


def comparison_title(found: Conclusions) -> str:
    """The question that a comparison answers."""
    quantity = {one.quantity for one in found.conclusions}
    word = "keep more" if quantity == {"retention"} else "more accurate"
    verb = "Does" if quantity == {"retention"} else "Is"
    return f"{verb} {found.treatment} {word} than {found.reference}, and at equal what?"


def comparison_leads(report: Report) -> list[Lead]:
    """The answer of a comparison, and where to look for what it rests on."""
    if not report.fit_passed:
        return _withheld(report)
    return [Lead(text, "verdicts") for text in conclusions.leads(report.conclusions)]


def methods(report: Report) -> list[str]:
    """The methods with a curve, in the order of the report."""
    return list(dict.fromkeys(curve.sparsifier for curve in report.curves))


def task_types(report: Report) -> list[str]:
    """The task types with a curve, in the order of the report."""
    return list(dict.fromkeys(curve.task_type for curve in report.curves))


# One threshold


def threshold(found: Threshold) -> str:
    """What one task type tolerates under one method."""
    if found.status != "ok" or found.level is None:
        word, reason = absent(found)
        return f"Under {found.sparsifier}, the threshold of {found.task_type} is {word}: {reason}."
    return (
        f"With {rule(found.retention, found.margin)} under {found.sparsifier}, {found.task_type} "
        f"tolerates {amount(found.level)} sparsity."
    )


LEANINGS: dict[Leaning, str] = {
    "prior-data conflict": "prior and answers pull apart, and both are felt",
    "strong prior": "the prior leads, for the answers say little",
}


def leaning(found: Leaning | None) -> str:
    """A warning about the prior; nothing where the answers decide."""
    return LEANINGS[found] if found else ""


# Comparisons


def comparison(found: Comparison) -> str:
    """Which of two thresholds is higher, or why that is not said."""
    where = f"Under {found.within}" if found.of == "task types" else f"On {found.within}"
    pair = f"{found.first} and {found.second}"
    if found.status != "ok" or found.verdict is None:
        word, reason = absent(found)
        return f"{where}, the order of {pair} is {word}: {reason}."
    match found.verdict:
        case "first" | "second":
            return f"{where}, {_winner(found)} tolerates more sparsity than {_loser(found)} ({_chance_of(found)})."
        case "undecided":
            return f"{where}, it is undecided whether {found.first} or {found.second} tolerates more: {odds(found)}."
        case "out of range":
            return (
                f"{where}, {pair} cannot be ordered: both thresholds lie outside the measured range on the same side "
                f"({_chance_of(found)})."
            )
        case _:
            assert_never(found.verdict)


def odds(found: Comparison) -> str:
    """The posterior probability of each order."""
    return f"posterior probability {_shares(found)}"


def _shares(found: Comparison) -> str:
    """The probabilities, that of neither only where it does not print as nothing."""
    first, second, neither = _probabilities(found)
    said = [f"{numbers.probability(first)} for {found.first}", f"{numbers.probability(second)} for {found.second}"]
    if neither >= 0.01:
        said.append(f"{numbers.probability(neither)} that both lie outside the measured range on the same side")
    return ", ".join(said)


def _winner(found: Comparison) -> str:
    return found.first if found.verdict == "first" else found.second


def _loser(found: Comparison) -> str:
    return found.second if found.verdict == "first" else found.first


def _chance_of(found: Comparison) -> str:
    return f"posterior probability {numbers.probability(_decided(found))}"


def _decided(found: Comparison) -> float:
    """The probability of what the verdict says."""
    first, second, neither = _probabilities(found)
    return {"first": first, "second": second}.get(str(found.verdict), neither)


def _probabilities(found: Comparison) -> tuple[float, float, float]:
    return found.prob_first or 0.0, found.prob_second or 0.0, found.prob_neither or 0.0


def absent(found: Threshold | Comparison | Contrast | Ordering | Budget) -> tuple[str, str]:
    """The word in place of a number, and its reason."""
    word = "withheld" if found.status == "withheld" else "unanswerable"
    if isinstance(found, Comparison | Contrast) and found.reason == "dense accuracy is at the guessing floor":
        return word, "the dense accuracy of one of them is at the guessing floor"
    return word, REASONS[found.reason] if found.reason else "no reason was recorded"


# Contrasts, orderings and budgets


def contrast(found: Contrast) -> str:
    """Which of two curves keeps more over the range that both measured, or why that is not said."""
    where = f"Under {found.within}" if found.of == "task types" else f"On {found.within}"
    if found.status != "ok" or found.whole is None or found.upto is None:
        word, reason = absent(found)
        return f"{where}, the difference of {found.first} and {found.second} is {word}: {reason}."
    upto = f"up to {numbers.level(found.upto)} sparsity"
    match found.whole.verdict:
        case "better" | "worse":
            more, less = (found.first, found.second)[:: 1 if found.whole.verdict == "better" else -1]
            return f"{where}, {more} keeps more than {less} {upto} ({_surely(found.whole)})."
        case "equivalent":
            chance = f"posterior probability {numbers.probability(found.whole.prob_equivalent)}"
            return f"{where}, {found.first} and {found.second} keep the same in practice {upto} ({chance})."
        case "undecided":
            chance = numbers.probability(found.whole.prob_positive)
            return (
                f"{where}, it is undecided whether {found.first} or {found.second} keeps more {upto}: posterior "
                f"probability {chance} for {found.first}."
            )
        case _:
            assert_never(found.whole.verdict)


def _surely(found: Difference) -> str:
    chance = found.prob_positive if found.verdict == "better" else 1 - found.prob_positive
    return f"posterior probability {numbers.probability(chance)}"


def order(found: Order) -> str:
    """An ordering from the most to the least tolerant; those that lie outside on one side stand together."""
    return " > ".join(_rank_of(rank) for rank in found.ranks)


def _rank_of(found: Rank) -> str:
    sides = {"inside": "", "beyond": " (beyond the last level)", "below": " (below the first level)"}
    return f"{' = '.join(found.task_types)}{sides[found.place]}"


def ties(found: Ordering) -> str:
    """Between which levels task types are told apart, and how often they are not at either end."""
    if found.first is None or found.last is None:
        return ""
    said = f"Told apart between {numbers.level(found.first)} and {numbers.level(found.last)}."
    for place, chance in (("most", found.tied_most or 0.0), ("least", found.tied_least or 0.0)):
        if chance >= 0.01:
            said += f" Tied for the {place} tolerant, outside: {numbers.probability(chance)}."
    return said


def units(report: Report, of: Iterable[str]) -> list[str]:
    """What the fractions of these methods are fractions of, each once."""
    wanted = set(of)
    return list(dict.fromkeys(found.unit for found in report.thresholds if found.sparsifier in wanted))


def data(report: Report) -> str:
    """How much the report rests on."""
    answers = f"{numbers.count(report.data.n_rows)} answers to {numbers.count(report.data.n_items)} items"
    if report.data.n_means is None:
        return answers
    return f"{numbers.count(report.data.n_means)} published means of {answers}"


# Leading sentences


def _withheld(report: Report) -> list[Lead]:
    failed = [check for check in report.checks if not check.passed]
    first = f"Conclusions are withheld: the fit failed {len(failed)} of its {len(report.checks)} checks."
    because = [Lead(check_sentence(check), "checks") for check in failed[:CHECKS_NAMED]]
    stands = (
        f"What was observed stands: {data(report)}, each level with its "
        f"{percent(report.interval_prob)} Wilson interval."
    )
    return [Lead(first, "checks"), *because, Lead(stands, "curves")]


def _without_dense(report: Report) -> list[Lead]:
    cannot = (
        "No dense baseline was measured, so the share of dense accuracy that is kept is unknown: no threshold is given "
        "and nothing is ordered by one."
    )
    can = [_at_highest_level(report, method) for method in methods(report)[:METHODS_NAMED]]
    return [Lead(cannot, "limits"), *can]


def _at_highest_level(report: Report, method: str) -> Lead:
    """What can be said without a dense baseline: accuracy where most was removed."""
    curves = [curve for curve in report.curves if curve.sparsifier == method and curve.observed]
    said = [
        f"{observed(last)} on {curve.task_type} at {numbers.level(last.sparsity)}" for curve, last in _lasts(curves)
    ]
    text = f"Under {method}, observed accuracy at the highest measured sparsity is {listed(said)}."
    return Lead(text, "curves")


def _lasts(curves: Sequence[Curve]) -> list[tuple[Curve, Observed]]:
    """The most and the least accurate curve where most was removed."""
    pairs = [(curve, max(curve.observed, key=lambda point: point.sparsity)) for curve in curves]
    pairs.sort(key=lambda pair: -pair[1].accuracy)
    return pairs if len(pairs) < 2 else [pairs[0], pairs[-1]]


def _by_task(report: Report, method: str) -> Lead:
    """Which task type tolerates most and which least under a method, and how sure that order is."""
    found = [one for one in report.thresholds if one.sparsifier == method]
    answered = sorted((a for one in found if (a := _answered(one)) is not None), key=lambda one: _rank(one.level))
    kept = f"with {rule(report.retention, report.margin)}"
    if not answered:
        text = f"Under {method} no threshold can be given."
    elif len(answered) == 1:
        text = f"Under {method}, {answered[0].tolerates} sparsity {kept}."
    else:
        text = f"Under {method}, {_extremes(report, method, kept, answered)}"
    target = answered[-1].id if answered else "thresholds"
    return Lead(" ".join([text, *_missing([one for one in found if _answered(one) is None])]), target)


@dataclass(frozen=True)
class _Answer:
    """A threshold that was given."""

    id: str
    task_type: str
    level: Level

    @property
    def tolerates(self) -> str:
        return f"{self.task_type} tolerates {amount(self.level)}"


def _answered(found: Threshold) -> _Answer | None:
    return _Answer(found.id, found.task_type, found.level) if found.status == "ok" and found.level else None


def _extremes(report: Report, method: str, kept: str, answered: Sequence[_Answer]) -> str:
    """The ends of the ranking, with the task types that cannot be told apart from each, or that no order is decided."""
    least, most = answered[0], answered[-1]
    order = _comparison_of(report, method, least, most)
    if order is not None and order.verdict in ("first", "second"):
        if _winner(order) == least.task_type:  # medians beyond different last levels do not rank, draws do
            least, most = most, least
        like_most, like_least = (_told_apart(report, method, one, answered) for one in (most, least))
        return (
            f"{most.task_type} tolerates the most sparsity {kept}: {amount(most.level)}{like_most}. The least: "
            f"{least.task_type}, {amount(least.level)}{like_least}. Posterior probability of this order: "
            f"{numbers.probability(_decided(order))}."
        )
    amounts = f"{most.tolerates} and {least.task_type} {amount(least.level)} sparsity {kept}"
    if order is None:
        return f"{amounts}."
    if order.verdict == "out of range":
        return f"{amounts}. Their order lies outside the measured range ({_chance_of(order)})."
    return f"{amounts}. Which of the two tolerates more is undecided: {odds(order)}."


def _told_apart(report: Report, method: str, extreme: _Answer, answered: Sequence[_Answer]) -> str:
    """The task types whose order against an extreme one is not decided."""
    orders = [(one, _comparison_of(report, method, extreme, one)) for one in answered if one is not extreme]
    like = [one.task_type for one, order in orders if order and order.verdict in ("undecided", "out of range")]
    return f", not told apart from {listed(like)}" if like else ""


def _rank(level: Level) -> tuple[int, float]:
    """Below the measured range first, then by median, then beyond the range by how surely."""
    if level.median is not None:
        return 0, level.median
    return (1 if level.censored == "right" else -1), level.prob_beyond - level.prob_below


def _missing(found: Sequence[Threshold]) -> list[str]:
    """One short sentence per reason for thresholds that are not given."""
    by_reason = groupby(sorted(found, key=lambda one: str(one.reason)), key=lambda one: one.reason)
    return [
        f"No threshold for {listed([one.task_type for one in group])}: {REASONS[reason]}."
        for reason, group in by_reason
        if reason is not None
    ]


def _comparison_of(report: Report, method: str, a: _Answer, b: _Answer) -> Comparison | None:
    """The comparison of two task types under one method, if it was made."""
    within = (c for c in report.comparisons if c.of == "task types" and c.within == method and c.status == "ok")
    return next((c for c in within if {c.first, c.second} == {a.task_type, b.task_type}), None)


def _further(report: Report) -> list[Lead]:
    rest = len(methods(report)) - METHODS_NAMED
    if rest <= 0:
        return []
    noun = "method" if rest == 1 else "methods"
    return [Lead(f"The thresholds under {rest} further {noun} are in the table.", "thresholds")]


def _by_method(report: Report) -> list[Lead]:
    """Where one method tolerates more than another; for many methods, how many comparisons are decided."""
    found = [c for c in report.comparisons if c.of == "methods" and c.status == "ok"]
    if not found:
        return []
    text = _two_methods(found) if len(methods(report)) == METHODS_NAMED else _many_methods(found)
    return [Lead(" ".join([text, *different_units(report)]), "comparisons")]


def _two_methods(found: Sequence[Comparison]) -> str:
    """One clause per verdict, the winner as its subject."""
    clauses = []
    for winner in (found[0].first, found[0].second):
        won = [c for c in found if c.verdict in ("first", "second") and _winner(c) == winner]
        clauses += [f"{winner} tolerates more on {_with_chances(won)}"] if won else []
    undecided = [c for c in found if c.verdict == "undecided"]
    clauses += [f"undecided on {listed([f'{c.within} ({_shares(c)})' for c in undecided])}"] if undecided else []
    outside = [c for c in found if c.verdict == "out of range"]
    clauses += [f"outside the measured range on {_with_chances(outside)}"] if outside else []
    return f"Between methods, with posterior probabilities: {'; '.join(clauses)}."


def _many_methods(found: Sequence[Comparison]) -> str:
    decided = sum(c.verdict in ("first", "second") for c in found)
    undecided = sum(c.verdict == "undecided" for c in found)
    counts = {
        "decided": decided,
        "undecided": undecided,
        "outside the measured range": len(found) - decided - undecided,
    }
    said = listed([f"{n} {state}" for state, n in counts.items() if n])
    return f"Comparisons of two methods on one task type: {said}."


def _with_chances(found: Sequence[Comparison]) -> str:
    return listed([f"{c.within} ({numbers.probability(_decided(c))})" for c in found])


def different_units(report: Report) -> list[str]:
    """A warning where methods remove fractions of different things."""
    different = units(report, methods(report))
    if len(different) < 2:
        return []
    return [f"The fractions are of different things ({listed(different)}), so equal fractions are not equal savings."]


# What was held constant


def held_constant(report: Report) -> str:
    """Which axes were held, which vary and which were not recorded, in one sentence."""
    words = {"held": "held constant", "varies": "varying", "not recorded": "not recorded"}
    parts = []
    for state, word in words.items():
        axes = [held.axis for held in report.held_constant if held.state == state]
        parts += [f"{word}: {', '.join(axes)}"] if axes else []
    return capitalised(f"{'; '.join(parts)}.") if parts else "No axis that could be held constant was recorded."


def axis(found: HeldConstant) -> str:
    """What follows from an axis for what may be concluded."""
    match found.state:
        case "held":
            return f"Compared at equal {found.axis}."
        case "varies":
            if found.axis == "sparsity fraction":
                return "The curves are drawn against it."
            return f"Not compared at equal {found.axis}."
        case "not recorded":
            return f"Not known for {found.axis}."
        case _:
            assert_never(found.state)


def axis_range(found: HeldConstant) -> str:
    """The range of an axis in its unit."""
    if found.low is None or found.high is None:
        return "not recorded"
    write = numbers.level if found.axis == "sparsity fraction" else numbers.quantity
    low, high = write(found.low), write(found.high)
    return low if low == high else f"{low} to {high}"


# Checks and caveats


def check_sentence(found: Check) -> str:
    """One check of the fit, stated either way."""
    worst, limit = numbers.against(found.worst, found.limit)
    stated = f"{capitalised(found.name)}: {worst} (limit: {found.sense} {limit})"
    return f"{stated}, passed." if found.passed else f"{stated}, failed: {found.meaning}."


def caveat(found: Caveat) -> str:
    """What the data cannot tell, and why."""
    return CAVEATS[found]
