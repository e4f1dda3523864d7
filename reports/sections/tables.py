"""Findings -> rows of words: what each cell of the page says, decided here so that the template only places it."""

from collections.abc import Iterator
from dataclasses import dataclass

from tolerance.findings import Budget, Check, Comparison, Contrast, Ordering, Report, Threshold
from tolerance.reports.svg import forest
from tolerance.reports.svg import panels as figures
from tolerance.reports.words import budgets as kv
from tolerance.reports.words import comparisons as pairs
from tolerance.reports.words import conclusions, numbers, phrases, rankings, subjects
from tolerance.reports.words import contrasts as whole_curves
from tolerance.reports.words import thresholds as limits
from tolerance.reports.words.absent import absent
from tolerance.reports.words.glyphs import State, state
from tolerance.stats.intervals import Estimate


@dataclass(frozen=True)
class Chip:
    """A short fact or warning in the header; a warning leads to its place."""

    text: str
    target: str = ""


@dataclass(frozen=True)
class ThresholdRow:
    """Cells of a threshold; ``kept`` pairs each measured level with a probability."""

    id: str
    task_type: str
    method: str
    unit: str
    style: int
    panel: str
    items: str
    levels: int
    dense: tuple[str, str] | None
    threshold: tuple[str, str] | None
    absent: State | None
    reason: str
    warning: str
    thin: str
    kept: list[tuple[str, str]]
    assured: str
    area: tuple[str, str] | None
    area_over_sparsity: tuple[str, str] | None

    @property
    def said(self) -> tuple[str, str]:
        """The threshold and its interval, or the word and the reason why there is none."""
        return self.threshold or (self.absent.word if self.absent else "", self.reason)


@dataclass(frozen=True)
class ContrastRow:
    """Cells of a contrast of whole curves, and its levels with differences in accuracy and retention."""

    id: str
    of: str
    state: State
    sentence: str
    pair: str
    difference: tuple[str, str] | None
    strip: forest.Strip | None
    better: str
    levels: list[tuple[str, tuple[str, str], tuple[str, str]]]


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
class ComparisonRow:
    """Cells of a comparison; ``probabilities``, each with its name, is empty where there is no answer."""

    id: str
    state: State
    sentence: str
    probabilities: list[tuple[str, str]]


@dataclass(frozen=True)
class CheckRow:
    """Cells of a check of the fit."""

    name: str
    worst: str
    limit: str
    state: State
    meaning: str


@dataclass(frozen=True)
class DataRow:
    """Items of one task under one method, level by level."""

    task: str
    task_type: str
    method: str
    levels: list[tuple[str, str, str]]


def facts(report: Report) -> list[Chip]:
    """What the report rests on, in a few chips."""
    data = report.data
    levels = {numbers.level(cell.sparsity) for cell in data.cells if cell.sparsity > 0}
    params = f", {numbers.quantity(data.params[0])} parameters" if len(data.params) == 1 else ""
    models = data.models[0] if len(data.models) == 1 else f"{len(data.models)} models"
    return [
        Chip(f"{models}{params}"),
        Chip(subjects.answers(report)),
        Chip(_counted(len(subjects.task_types(report)), "task type")),
        Chip(_counted(len(data.sparsifiers), "method")),
        Chip(f"{_counted(len(levels), 'sparsity level')} above 0"),
    ]


def warnings(report: Report) -> list[Chip]:
    """What a reader must know before quoting a number, each with the place that explains it."""
    failed = sum(not check.passed for check in report.checks)
    outside = sum(found.level is not None and found.level.median is None for found in _answered(report))
    at_floor = sum(found.reason == "dense accuracy is at the guessing floor" for found in report.thresholds)
    unreadable = sum(task.unreadable or 0 for task in report.data.tasks)
    mixed = subjects.different_units(report)
    thin = sum(bool(conclusions.thin(found.n_items, found.n_levels)) for found in report.thresholds)
    flips = sum(one.label == "axis-dependent" for whole in report.conclusions for one in whole.conclusions)
    assumed = report.data.assumed_items
    said = [
        (assumed, f"Sensitivity analysis: {numbers.count(assumed or 0)} items assumed where none were given", "limits"),
        (report.data.n_means, "Published means: pairing is lost, intervals are wider", "limits"),
        (failed, f"{failed} of {len(report.checks)} checks failed: conclusions withheld", "checks"),
        (
            flips,
            f"⇅ {_counted(flips, 'conclusion')} {'depends' if flips == 1 else 'depend'} on what is held equal",
            "verdicts",
        ),
        (not report.data.has_dense, "No dense baseline: no thresholds", "limits"),
        (outside, f"{_counted(outside, 'threshold')} outside the measured range", "thresholds"),
        (at_floor, f"{_counted(at_floor, 'threshold')} unanswerable: dense accuracy at the floor", "thresholds"),
        (thin, f"Thin data behind {_counted(thin, 'threshold')}", "thresholds"),
        (len(mixed), "Methods remove fractions of different things", "comparisons"),
        (unreadable, f"{_counted(unreadable, 'answer')} could not be read", "data"),
    ]
    return [Chip(text, target) for told, text, target in said if told]


def thresholds(report: Report, panels: dict[str, str] | None = None) -> list[ThresholdRow]:
    """One row per task type and method; ``panels`` has the figure of each threshold, where there are figures."""
    at = panels or {}
    styles = {method: figures.style(report, method) for method in subjects.methods(report)}
    return [_threshold(found, styles[found.sparsifier], at.get(found.id, "")) for found in report.thresholds]


def comparisons(report: Report, of: str) -> list[ComparisonRow]:
    """The comparisons of task types, or of methods."""
    return [_comparison(found) for found in report.comparisons if found.of == of]


def contrasts(report: Report) -> list[ContrastRow]:
    """Contrasts of whole curves: methods, task types, models."""
    order = ("methods", "task types", "models")
    scale = contrast_scale(report)
    return [_contrast(found, scale) for of in order for found in report.contrasts if found.of == of]


def contrast_scale(report: Report) -> forest.Scale:
    """The scale that all contrasts of whole curves share."""
    shown = [found.whole.estimate for found in report.contrasts if found.status == "ok" and found.whole]
    return forest.scale(shown, report.equivalence)


def _contrast(found: Contrast, scale: forest.Scale) -> ContrastRow:
    whole = found.whole if found.status == "ok" else None
    word = absent(found)[0] if whole is None else whole.verdict
    return ContrastRow(
        id=found.id,
        of=found.of,
        state=state("decided" if word in ("better", "worse") else word),
        sentence=whole_curves.sentence(found),
        pair=f"{found.within}: {found.first} - {found.second}",
        strip=scale.strip(whole.estimate if whole else None),
        difference=phrases.difference(whole) if whole else None,
        better=numbers.probability(whole.prob_positive) if whole else "",
        levels=[
            (numbers.level(one.sparsity), phrases.difference(one.accuracy), phrases.difference(one.retention))
            for one in (found.levels if whole else [])
        ],
    )


def orderings(report: Report) -> list[OrderingRow]:
    """The joint orderings of task types, one row a method."""
    return [_ordering(found) for found in report.orderings]


def _ordering(found: Ordering) -> OrderingRow:
    answered = found.status == "ok"
    word, reason = absent(found)
    others = found.prob_others or 0.0
    return OrderingRow(
        id=found.id,
        method=found.sparsifier,
        orders=[(rankings.order(one), numbers.probability(one.probability)) for one in found.orders if answered],
        others=f"{_counted(found.n_others, 'other order')}: {numbers.probability(others)}" if found.n_others else "",
        extremes=[
            (one.task_type, numbers.probability(one.most), numbers.probability(one.least))
            for one in found.extremes
            if answered
        ],
        ties=rankings.ties(found) if answered else "",
        absent=None if answered else state(word),
        reason="" if answered else reason,
    )


def budgets(report: Report) -> list[BudgetRow]:
    """Tolerated KV budgets, one row a task type, method and context length."""
    return [_budget(found) for found in report.budgets]


def _budget(found: Budget) -> BudgetRow:
    answered = found.status == "ok"
    word, reason = absent(found)
    return BudgetRow(
        id=found.id,
        task_type=found.task_type,
        method=found.sparsifier,
        context=numbers.count(found.context_length) if found.context_length else "not recorded",
        source=found.source,
        tokens=kv.tokens(found) if answered else None,
        enough=kv.enough(found) if answered else "",
        range=f"{numbers.quantity(found.least)} to {numbers.quantity(found.most)}",
        absent=None if answered else state(word),
        reason="" if answered else reason,
    )


def checks(report: Report) -> list[CheckRow]:
    """Every check, passed or not."""
    return [_check(found) for found in report.checks]


def data(report: Report) -> list[DataRow]:
    """Items by task and method, level by level with the realised sparsity where it differs from the one asked for."""
    types = {task.task: task.task_type for task in report.data.tasks}
    rows: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for cell in report.data.cells:
        asked = numbers.level(cell.sparsity)
        got = "" if cell.realised is None else numbers.level(cell.realised)
        level = (asked, numbers.count(cell.n_items), "" if got == asked else got)
        rows.setdefault((cell.task, cell.sparsifier), []).append(level)
    return [DataRow(task, types.get(task, ""), method, levels) for (task, method), levels in rows.items()]


def _answered(report: Report) -> Iterator[Threshold]:
    return (found for found in report.thresholds if found.status == "ok")


def _threshold(found: Threshold, style: int, panel: str) -> ThresholdRow:
    level = found.level if found.status == "ok" else None
    dense = found.dense if found.status != "withheld" else None
    word, reason = absent(found)
    return ThresholdRow(
        id=found.id,
        task_type=found.task_type,
        method=found.sparsifier,
        unit=found.unit,
        style=style,
        panel=panel,
        items=numbers.count(found.n_items),
        levels=found.n_levels,
        dense=phrases.accuracy(dense.value, dense.interval) if dense else None,
        threshold=(phrases.median(level), phrases.ends(level)) if level else None,
        absent=None if level else state(word),
        reason="" if level else reason,
        warning=limits.leaning(found.leaning) if level else "",
        thin=conclusions.thin(found.n_items, found.n_levels),
        kept=[(numbers.level(k.sparsity), numbers.probability(k.probability)) for k in found.kept] if level else [],
        assured=phrases.assured(level.assured, level.first, level.last) if level and level.assured else "",
        area=_area(found.area.over_halvings) if level and found.area else None,
        area_over_sparsity=_area(found.area.over_sparsity) if level and found.area else None,
    )


def _area(found: Estimate) -> tuple[str, str]:
    return phrases.accuracy(found.value, found.interval)


def _comparison(found: Comparison) -> ComparisonRow:
    answered = found.status == "ok" and found.verdict is not None
    word = absent(found)[0]
    if answered:
        word = "decided" if found.verdict in ("first", "second") else str(found.verdict)
    shares = ((found.first, found.prob_first), (found.second, found.prob_second), ("neither", found.prob_neither))
    return ComparisonRow(
        id=found.id,
        state=state(word),
        sentence=pairs.sentence(found),
        probabilities=[(of, numbers.probability(p)) for of, p in shares if answered and p is not None],
    )


def _check(found: Check) -> CheckRow:
    worst, limit = numbers.against(found.worst, found.limit)
    return CheckRow(
        name=phrases.capitalised(found.name),
        worst=worst,
        limit=f"{found.sense} {limit}",
        state=state("passed" if found.passed else "failed"),
        meaning=found.meaning,
    )


def _counted(n: int, noun: str) -> str:
    return f"{numbers.count(n)} {noun}" if n == 1 else f"{numbers.count(n)} {noun}s"
