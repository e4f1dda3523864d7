"""The leading sentences of a report: its question, and the few that answer it. The command line prints them.

Each is built from its finding alone, so that label, interval and number cannot drift apart. Every number's class is
named, every group of intervals says its probability, undecided is said as plainly as decided, and what lies outside the
measured range is a bound with no other end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from tolerance.findings import Comparison, Conclusions, Curve, Level, Observed, Report, Threshold
from tolerance.reports.words import checks, comparisons, conclusions, held, levels, numbers, subjects
from tolerance.reports.words.absent import REASONS
from tolerance.reports.words.phrases import amount, listed, observed, percent, rule, tolerated
from tolerance.reports.words.subjects import methods, task_types

METHODS_NAMED = 2
CHECKS_NAMED = 2


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
    return f"How much {levels.of_report(report)} {who} tolerate{where}?"


def headlines(report: Report) -> list[str]:
    """The few sentences that answer the question; printed by the command line and leading the page."""
    return [lead.text for lead in leads(report)]


def leads(report: Report) -> list[Lead]:
    """The headlines with where their evidence stands."""
    if not report.fit_passed:
        return _withheld(report)
    if not report.data.has_dense:
        return [*_without_dense(report), Lead(held.held_constant(report), "held")]
    by_task = [_by_task(report, method) for method in methods(report)[:METHODS_NAMED]]
    if report.conclusions:
        compared = [Lead(text, "verdicts") for text in conclusions.leads(report.conclusions)]
        return [*by_task, *_further(report), *compared]
    return [*by_task, *_further(report), *_by_method(report), Lead(held.held_constant(report), "held")]


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


def _withheld(report: Report) -> list[Lead]:
    failed = [check for check in report.checks if not check.passed]
    first = f"Conclusions are withheld: the fit failed {len(failed)} of its {len(report.checks)} checks."
    because = [Lead(checks.sentence(check), "checks") for check in failed[:CHECKS_NAMED]]
    stands = (
        f"What was observed stands: {subjects.answers(report)}, each level with its "
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
        f"{observed(last)} on {curve.task_type} at {levels.level(last.sparsity, curve.scale)}"
        for curve, last in _lasts(curves)
    ]
    noun = levels.what([levels.of_method(curves, method)])
    text = f"Under {method}, observed accuracy at the highest measured {noun} is {listed(said)}."
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
        one = answered[0]
        said = f"{levels.verb(one.level.scale)} {tolerated(one.level, _noun(report, method))}"
        text = f"Under {method}, {one.task_type} {said} {kept}."
    else:
        text = f"Under {method}, {_extremes(report, method, kept, answered)}"
    target = answered[-1].id if answered else "thresholds"
    return Lead(" ".join([text, *_missing([one for one in found if _answered(one) is None])]), target)


def _noun(report: Report, method: str) -> str:
    """What a method's levels are: sparsity, as realised where another was asked for, or compression."""
    noun = levels.what([levels.of_method(report.thresholds, method)])
    return f"realised {noun}" if noun == "sparsity" and subjects.realised(report, method) else noun


@dataclass(frozen=True)
class _Answer:
    """A threshold that was given."""

    id: str
    task_type: str
    level: Level


def _answered(found: Threshold) -> _Answer | None:
    return _Answer(found.id, found.task_type, found.level) if found.status == "ok" and found.level else None


def _extremes(report: Report, method: str, kept: str, answered: Sequence[_Answer]) -> str:
    """The ends of the ranking, with the task types that cannot be told apart from each, or that no order is decided."""
    least, most, noun = answered[0], answered[-1], _noun(report, method)
    order = _comparison_of(report, method, least, most)
    if order is not None and order.verdict in ("first", "second"):
        if comparisons.winner(order) == least.task_type:  # medians beyond different last levels do not rank, draws do
            least, most = most, least
        like_most, like_least = (_told_apart(report, method, one, answered) for one in (most, least))
        return (
            f"{most.task_type} tolerates the most {noun} {kept}: {amount(most.level)}{like_most}. The least: "
            f"{least.task_type}, {amount(least.level)}{like_least}. Posterior probability of this order: "
            f"{numbers.probability(comparisons.decided(order))}."
        )
    both = f"{amount(most.level)} and {least.task_type} {tolerated(least.level, noun)}"
    amounts = f"{most.task_type} {levels.verb(most.level.scale)} {both} {kept}"
    if order is None:
        return f"{amounts}."
    if order.verdict == "out of range":
        return f"{amounts}. Their order lies outside the measured range ({comparisons.chance_of(order)})."
    return f"{amounts}. Which of the two tolerates more is undecided: {comparisons.odds(order)}."


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
    return [Lead(" ".join([text, *subjects.different_units(report)]), "comparisons")]


def _two_methods(found: Sequence[Comparison]) -> str:
    """One clause per verdict, the winner as its subject."""
    clauses = []
    for winner in (found[0].first, found[0].second):
        won = [c for c in found if c.verdict in ("first", "second") and comparisons.winner(c) == winner]
        clauses += [f"{winner} tolerates more on {_with_chances(won)}"] if won else []
    undecided = [c for c in found if c.verdict == "undecided"]
    said = [f"{c.within} ({comparisons.shares(c)})" for c in undecided]
    clauses += [f"undecided on {listed(said)}"] if undecided else []
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
    return listed([f"{c.within} ({numbers.probability(comparisons.decided(c))})" for c in found])
