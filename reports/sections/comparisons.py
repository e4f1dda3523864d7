"""Which thresholds are higher: pairs of methods, pairs of task types, and all task types at once."""

from dataclasses import dataclass

from tolerance.findings import Comparison, Ordering, Report
from tolerance.reports.sections.section import Section
from tolerance.reports.sections.size import shown
from tolerance.reports.words import comparisons as words
from tolerance.reports.words import numbers, phrases, rankings, subjects
from tolerance.reports.words.absent import absent
from tolerance.reports.words.glyphs import State, state


@dataclass(frozen=True)
class ComparisonRow:
    """Cells of a comparison; ``probabilities``, each with its name, is empty where there is no answer."""

    id: str
    state: State
    sentence: str
    probabilities: list[tuple[str, str]]


@dataclass(frozen=True)
class OrderingRow:
    """Cells of the orderings under one method; ``orders`` and ``extremes`` carry probabilities."""

    id: str
    method: str
    orders: list[tuple[str, str]]
    others: str
    extremes: list[tuple[str, str, str]]
    ties: str
    absent: State | None
    reason: str


@dataclass(frozen=True)
class Values:
    """Pairs and orders, the probability that a decision requires, and what is unlike between methods."""

    required: str
    warnings: list[str]
    by_method: list[ComparisonRow]
    by_task: list[ComparisonRow]
    orderings: list[OrderingRow]


def values(report: Report) -> Values | None:
    """None where no two thresholds were compared."""
    report = shown(report)
    by_method = [_comparison(found) for found in report.comparisons if found.of == "methods"]
    by_task = [_comparison(found) for found in report.comparisons if found.of == "task types"]
    if not by_method and not by_task:
        return None
    return Values(
        required=numbers.required(report.direction_prob),
        warnings=subjects.different_units(report),
        by_method=by_method,
        by_task=by_task,
        orderings=[_ordering(found) for found in report.orderings],
    )


def _comparison(found: Comparison) -> ComparisonRow:
    answered = found.status == "ok" and found.verdict is not None
    word = absent(found)[0]
    if answered:
        word = "decided" if found.verdict in ("first", "second") else str(found.verdict)
    shares = ((found.first, found.prob_first), (found.second, found.prob_second), ("neither", found.prob_neither))
    return ComparisonRow(
        id=found.id,
        state=state(word),
        sentence=words.sentence(found),
        probabilities=[(of, numbers.probability(p)) for of, p in shares if answered and p is not None],
    )


def _ordering(found: Ordering) -> OrderingRow:
    answered = found.status == "ok"
    word, reason = absent(found)
    others = found.prob_others or 0.0
    return OrderingRow(
        id=found.id,
        method=found.sparsifier,
        orders=[(rankings.order(one), numbers.probability(one.probability)) for one in found.orders if answered],
        others=f"{phrases.counted(found.n_others, 'other order')}: {numbers.probability(others)}"
        if found.n_others
        else "",
        extremes=[
            (one.task_type, numbers.probability(one.most), numbers.probability(one.least))
            for one in found.extremes
            if answered
        ],
        ties=rankings.ties(found) if answered else "",
        absent=None if answered else state(word),
        reason="" if answered else reason,
    )


SECTION = Section(id="comparisons", title="Comparisons", heading="Comparisons of thresholds", rows=values)
