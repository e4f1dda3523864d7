"""Thresholds: the largest sparsity that each task type tolerates under each method."""

from dataclasses import dataclass

from tolerance.findings import Report, Threshold
from tolerance.reports.sections.section import Section
from tolerance.reports.sections.size import shown
from tolerance.reports.svg import panels
from tolerance.reports.words import conclusions, levels, numbers, phrases, subjects
from tolerance.reports.words import thresholds as words
from tolerance.reports.words.absent import absent
from tolerance.reports.words.glyphs import State, state
from tolerance.stats.intervals import Estimate


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
class Values:
    """What a threshold keeps, and one row a task type and method."""

    kept: str
    interval: str
    required: str
    noun: str
    rows: list[ThresholdRow]


def values(report: Report) -> Values:
    """Every threshold, and what its numbers are."""
    return Values(
        kept=phrases.rule_clause(report.retention, report.margin),
        interval=numbers.level(report.interval_prob),
        required=numbers.probability(report.decision_prob),
        noun=levels.of_report(report),
        rows=thresholds(shown(report)),
    )


def thresholds(report: Report) -> list[ThresholdRow]:
    """One row a task type and method, with the panel that draws it."""
    styles = {method: panels.style(report, method) for method in subjects.methods(report)}
    drawn = panels.places(report)
    return [
        _threshold(
            found, styles[found.sparsifier], drawn.get((found.task_type, found.sparsifier), ""), _unit(found, report)
        )
        for found in report.thresholds
    ]


def _unit(found: Threshold, report: Report) -> str:
    """What a method's levels count or are fractions of, and that they are the realised ones where that matters."""
    if found.scale is not None:
        return f"in {found.scale.said_unit}"
    return f"of {found.unit}{', realised' if subjects.realised(report, found.sparsifier) else ''}"


def _threshold(found: Threshold, style: int, panel: str, unit: str) -> ThresholdRow:
    level = found.level if found.status == "ok" else None
    dense = found.dense if found.status != "withheld" else None
    # places of an unbounded level are spaced by us: a mean over them is a mean over nothing
    area = found.area if level and (found.scale is None or found.scale.bounded) else None
    word, reason = absent(found)
    return ThresholdRow(
        id=found.id,
        task_type=found.task_type,
        method=found.sparsifier,
        unit=unit,
        style=style,
        panel=panel,
        items=numbers.count(found.n_items),
        levels=found.n_levels,
        dense=phrases.accuracy(dense.value, dense.interval) if dense else None,
        threshold=(phrases.median(level), phrases.ends(level)) if level else None,
        absent=None if level else state(word),
        reason="" if level else reason,
        warning=words.leaning(found.leaning) if level else "",
        thin=conclusions.thin(found.n_items, found.n_levels),
        kept=[(levels.bare(k.sparsity, found.scale), numbers.probability(k.probability)) for k in found.kept]
        if level
        else [],
        assured=phrases.assured(level.assured, level.first, level.last, level.scale) if level and level.assured else "",
        area=_area(area.over_halvings) if area else None,
        area_over_sparsity=_area(area.over_sparsity) if area else None,
    )


def _area(found: Estimate) -> tuple[str, str]:
    return phrases.accuracy(found.value, found.interval)


SECTION = Section(id="thresholds", title="Thresholds", rows=values)
