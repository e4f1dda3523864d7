"""The instant answer -> rows and sentences, for the page and the command line. Nothing here rests on the fit."""

from collections.abc import Callable
from dataclasses import dataclass

from tolerance.findings import (
    Disagreement,
    Discordance,
    Instant,
    Level,
    Measured,
    ObservedLevel,
    Paired,
    Report,
    Scale,
    Trend,
)
from tolerance.reports.sections.section import Section
from tolerance.reports.sections.size import shown
from tolerance.reports.words import left_out, levels, numbers, phrases, subjects
from tolerance.stats.intervals import Interval

REASONS = {
    "no dense baseline": "no dense baseline was measured",
    "dense accuracy is at the guessing floor": "its dense accuracy is at the guessing floor",
    "a task with a single item": "a task has a single item",
    "no number of items was published": "no number of items was published",
}
PUBLISHED = (
    "Published means: nothing to pair, since which items were answered alike is not known. Intervals are wider than "
    "answers would give, and there is no trend."
)
NO_TREND = {
    "every answer is right": "none: every answer is right",
    "every answer is wrong": "none: every answer is wrong",
    "no answer changes": "none: no answer changes with the level",
    "one level": "none: one level",
    "one item": "none: one item",
    "no convergence": "none: no finite slope fits",
}


@dataclass(frozen=True)
class AtLevel:
    """A number at a measured level: the level, the number, its interval, and what else there is to say."""

    level: str
    value: str
    ends: str
    more: str = ""


@dataclass(frozen=True)
class CurveRow:
    """What the answers of a task type under a method show; ``posterior`` is the threshold of the fit, or its state."""

    task_type: str
    method: str
    kept: list[AtLevel]
    changed: list[AtLevel]
    observed: tuple[str, str]
    posterior: tuple[str, str]
    trend: tuple[str, str]


@dataclass(frozen=True)
class PairRow:
    """Two methods on the same items of a task type, level by level."""

    task_type: str
    first: str
    second: str
    levels: list[AtLevel]


@dataclass(frozen=True)
class Values:
    """Rows of curves and of pairs of methods, what they rest on, and where the posterior disagrees."""

    interval: str
    fit_passed: bool
    pairing: str
    disagreements: list[str]
    curves: list[CurveRow]
    methods: list[PairRow]


def values(report: Report) -> Values | None:
    """None in reports without an instant answer."""
    report = shown(report)
    if report.instant is None:
        return None
    return Values(
        interval=numbers.level(report.interval_prob),
        fit_passed=report.fit_passed,
        pairing=pairing(report.instant),
        disagreements=disagreements(report),
        curves=curves(report.instant, report),
        methods=methods(report.instant),
    )


def curves(instant: Instant, report: Report | None = None) -> list[CurveRow]:
    """One row for each task type and method, the posterior's threshold beside it where there is a report."""
    return [_curve(found, instant, report) for found in instant.tolerated]


def methods(instant: Instant) -> list[PairRow]:
    """Differences of two methods asked for one level, on the same items."""
    rows: dict[tuple[str, str, str], list[AtLevel]] = {}
    for found in instant.contrasts:
        if found.second != "dense":
            value, ends = difference(found.difference)
            at = AtLevel(_asked(found), value, ends, split(found.mcnemar))
            rows.setdefault((found.task_type, found.first, found.second), []).append(at)
    return [PairRow(*key, levels) for key, levels in rows.items()]


def pairing(instant: Instant) -> str:
    """What the contrasts rest on, unpaired answers included."""
    if instant.n_means is not None:
        return PUBLISHED
    if not any(found.second == "dense" for found in instant.contrasts):
        return "No item has both a dense and a sparse answer: nothing is compared with dense."
    if not instant.n_unpaired:
        return "Every sparse answer is compared with the dense answer to the same item."
    without = numbers.count(instant.n_unpaired)
    verb = "answer counts" if instant.n_unpaired == 1 else "answers count"
    return f"Sparse answers are compared with dense answers to the same items; {without} {verb} for no contrast."


def sentences(instant: Instant) -> list[str]:
    """What stands above and below the rows on the command line."""
    if instant.n_means is not None:
        return [
            f"Without a model, from {numbers.count(instant.n_means)} published means; "
            f"{phrases.percent(instant.interval_prob)} credible intervals, unpaired. {PUBLISHED}"
        ]
    return [
        f"Without a model, from {numbers.count(instant.n_answers)} answers; {phrases.percent(instant.interval_prob)} "
        f"paired bootstrap intervals over items. {pairing(instant)}",
        *left_out.of_instant(instant),
    ]


def retention(found: Paired) -> tuple[str, str]:
    """The share of dense accuracy that is kept, and its interval."""
    if found.retention is None:
        return "-", REASONS[found.reason] if found.reason else ""
    return _said(found.retention, numbers.percents)


def difference(found: Measured) -> tuple[str, str]:
    """A difference of accuracies, and its interval."""
    return _said(found, numbers.differences)


def changed(found: Discordance | None) -> str:
    """How many items dense alone answered right, how many the method alone, and the exact p."""
    return _split(found, "{second} lost, {first} gained")


def split(found: Discordance | None) -> str:
    """How many items each of two methods alone answered right, and the exact p."""
    return _split(found, "{first} and {second}")


def _split(found: Discordance | None, words: str) -> str:
    if found is None:
        return ""
    said = words.format(first=numbers.count(found.only_first), second=numbers.count(found.only_second))
    return f"{said}; p {numbers.exact_p(found.p)}{', items repeated' if found.repeated else ''}"


def observed(found: ObservedLevel) -> tuple[str, str]:
    """The observed tolerated level and its interval, or why there is none."""
    if found.level is None:
        return "-", REASONS[str(found.reason)]
    return _level(found.level)


def trend(found: Trend | None) -> tuple[str, str]:
    """The slope and its interval, or why there is none."""
    if found is not None and found.scale is not None and not found.scale.bounded:
        return "-", f"not given for levels in {found.scale.noun}"
    if found is None or found.slope is None:
        return "-", NO_TREND[str(found.reason)] if found is not None else ""
    return difference(found.slope)


def disagreements(report: Report) -> list[str]:
    """A sentence for each material disagreement, or that there is none, or that nothing could be compared."""
    if report.instant is None:
        return []
    if not report.fit_passed:
        return ["The fit is withheld, so there is no posterior to set beside these numbers. They do not rest on it."]
    if not report.disagreements:
        return ["Posterior and instant answer nowhere disagree materially."]
    return [disagreement(found, report) for found in report.disagreements]


def disagreement(found: Disagreement, report: Report) -> str:
    """Where the two part, with the numbers of both."""
    match found.about:
        case "accuracy":
            return (
                f"At {_at(found)} under {found.within}, accuracy on {found.subject} is "
                f"{_share(found.posterior)} by the posterior, {_share(found.instant)} by the answers alone."
            )
        case "kept":
            return (
                f"Up to {_at(found)} under {found.within}, the posterior probability that {found.subject} keeps at "
                f"least {phrases.percent(report.retention)} of dense accuracy is {_probability(found)}; the answers "
                f"alone put what is kept at a level up to there at {_percents(found.instant)} ({_kind(found.instant)})."
            )
        case _:
            other = (
                f"{_span(found.instant, found.scale)} and {_span(found.instant_other or found.instant, found.scale)}"
            )
            return (
                f"For {found.within}, {found.subject} tolerates more than {found.other} by the posterior (posterior "
                f"probability {_probability(found)}); their observed tolerated levels are {other} "
                f"({_kind(found.instant)}s)."
            )


def _curve(found: ObservedLevel, instant: Instant, report: Report | None) -> CurveRow:
    mine = [
        c for c in instant.contrasts if (c.task_type, c.first, c.second) == (found.task_type, found.sparsifier, "dense")
    ]
    realised = any(abs(c.level - c.sparsity) >= subjects.DIFFERENT for c in mine)
    value, ends = observed(found)
    slopes = (t for t in instant.trends if (t.task_type, t.sparsifier) == (found.task_type, found.sparsifier))
    return CurveRow(
        task_type=found.task_type,
        method=found.sparsifier,
        kept=[AtLevel(_asked(c), *retention(c)) for c in mine],
        changed=[AtLevel(_asked(c), *difference(c.difference), changed(c.mcnemar)) for c in mine],
        observed=(f"{value} realised" if realised and found.level else value, ends),
        posterior=_posterior(found, report),
        trend=trend(next(slopes, None)),
    )


def _posterior(found: ObservedLevel, report: Report | None) -> tuple[str, str]:
    """The threshold of the fit; a withheld one has no number."""
    for threshold in report.thresholds if report is not None else []:
        if (threshold.task_type, threshold.sparsifier) == (found.task_type, found.sparsifier):
            level: Level | None = threshold.level if threshold.status == "ok" else None
            return _level(level) if level else ("-", threshold.status)
    return "-", ""


def _asked(found: Paired) -> str:
    """The level that was asked for, and the one realised where the two differ."""
    asked, got = (levels.level(at, found.scale) for at in (found.level, found.sparsity))
    return asked if abs(found.level - found.sparsity) < subjects.DIFFERENT else f"{asked}, realised {got}"


def _level(found: Level) -> tuple[str, str]:
    """A tolerated level and its interval; where both are one bound, it is said once."""
    value, ends = phrases.median(found), phrases.ends(found)
    return (value, "") if value == ends else (value, ends)


def _said(found: Measured, write: Callable[[list[float]], list[str]]) -> tuple[str, str]:
    if found.interval is None:
        return write([found.value])[0], "no interval: a task with a single item, or without a number of items"
    value, low, high = write([found.value, found.interval.lower, found.interval.upper])
    return value, f"{low} to {high}"


def _at(found: Disagreement) -> str:
    return levels.level(found.sparsity or 0.0, found.scale)


def _share(found: Interval | None) -> str:
    if found is None:
        return "not known"
    low, high = numbers.accuracies([found.lower, found.upper])
    return f"{low} to {high} ({_kind(found)})"


def _percents(found: Interval) -> str:
    low, high = numbers.percents([found.lower, found.upper])
    return f"{low} to {high}"


def _span(found: Interval, scale: Scale | None) -> str:
    """An interval of a tolerated level, which may reach out of the measured range."""
    if found.lower <= 0 or found.upper >= 1:
        ends = (found.lower > 0, found.upper < 1)
        if ends == (True, False):
            return f"{levels.level(found.lower, scale)} or {_more(scale)}"
        if ends == (False, True):
            return f"{levels.level(found.upper, scale)} or {_less(scale)}"
        return "not bounded by the measured range"
    low, high = levels.span(found.lower, found.upper, scale)
    return f"{low} to {high}" if scale is None else f"{low} to {scale.counted(high)}"


def _more(scale: Scale | None) -> str:
    """Towards more compression."""
    return "fewer" if scale is not None and scale.direction == "kept" else "more"


def _less(scale: Scale | None) -> str:
    """Towards less compression."""
    return "less" if scale is None else "more" if scale.direction == "kept" else "fewer"


def _kind(found: Interval) -> str:
    return f"{phrases.percent(found.prob)} {phrases.KINDS[found.kind]} interval"


def _probability(found: Disagreement) -> str:
    return numbers.probability(found.posterior_probability or 0.0)


SECTION = Section(
    id="instant",
    title="The instant answer",
    heading="The instant answer beside the posterior",
    rows=values,
)
