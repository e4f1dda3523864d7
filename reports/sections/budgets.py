"""The thresholds in KV tokens."""

from dataclasses import dataclass

from tolerance.findings import Budget, Report
from tolerance.reports.sections.section import Section
from tolerance.reports.sections.size import shown
from tolerance.reports.words import budgets as words
from tolerance.reports.words import numbers, phrases
from tolerance.reports.words.absent import absent
from tolerance.reports.words.glyphs import State, state


@dataclass(frozen=True)
class BudgetRow:
    """Cells of a tolerated KV budget."""

    id: str
    task_type: str
    method: str
    context: str
    source: str
    tokens: tuple[str, str] | None
    enough: str
    range: str
    absent: State | None
    reason: str


@dataclass(frozen=True)
class Values:
    """What a budget keeps, and one row a task type, method and context length."""

    kept: str
    interval: str
    required: str
    rows: list[BudgetRow]


def values(report: Report) -> Values | None:
    """None where no KV cache was made smaller."""
    report = shown(report)
    if not report.budgets:
        return None
    return Values(
        kept=phrases.rule_clause(report.retention, report.margin),
        interval=numbers.level(report.interval_prob),
        required=numbers.probability(report.decision_prob),
        rows=[_budget(found) for found in report.budgets],
    )


def _budget(found: Budget) -> BudgetRow:
    answered = found.status == "ok"
    word, reason = absent(found)
    return BudgetRow(
        id=found.id,
        task_type=found.task_type,
        method=found.sparsifier,
        context=numbers.count(found.context_length) if found.context_length else "not recorded",
        source=found.source,
        tokens=words.tokens(found) if answered else None,
        enough=words.enough(found) if answered else "",
        range=f"{numbers.quantity(found.least)} to {numbers.quantity(found.most)}",
        absent=None if answered else state(word),
        reason="" if answered else reason,
    )


SECTION = Section(id="budgets", title="KV tokens", heading="The same in KV tokens", rows=values)
