"""Which of two whole curves keeps more: methods, task types, models."""

from dataclasses import dataclass

from tolerance.findings import Contrast, Report
from tolerance.reports.sections.section import Section
from tolerance.reports.sections.size import shown
from tolerance.reports.svg import forest
from tolerance.reports.words import contrasts as words
from tolerance.reports.words import levels, numbers, phrases
from tolerance.reports.words.absent import absent
from tolerance.reports.words.glyphs import State, state

ORDER = ("methods", "task types", "models")
# Of more than these, the analysis compares each with one.
ALL_PAIRS = 12


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
class Values:
    """Rows on one scale; ``against_one``: whether not all pairs were compared.

    ``required`` is what a direction needs, ``required_alike`` what equivalence does, within the margin ``equivalent``.
    """

    interval: str
    required: str
    required_alike: str
    equivalent: str
    against_one: bool
    scale: forest.Scale
    rows: list[ContrastRow]


def values(report: Report) -> Values | None:
    """None where no two curves were compared."""
    report = shown(report)
    if not report.contrasts:
        return None
    scale = _scale(report)
    return Values(
        interval=numbers.level(report.interval_prob),
        required=numbers.required(report.direction_prob),
        required_alike=numbers.required(report.decision_prob),
        equivalent=numbers.differences([report.equivalence])[0].replace("+", "±"),
        against_one=max(len(report.data.sparsifiers), len(report.data.models)) > ALL_PAIRS,
        scale=scale,
        rows=[_contrast(found, scale) for of in ORDER for found in report.contrasts if found.of == of],
    )


def _scale(report: Report) -> forest.Scale:
    """The scale that all contrasts of whole curves share."""
    found = [one.whole.estimate for one in report.contrasts if one.status == "ok" and one.whole]
    return forest.scale(found, report.equivalence)


def _contrast(found: Contrast, scale: forest.Scale) -> ContrastRow:
    whole = found.whole if found.status == "ok" else None
    word = absent(found)[0] if whole is None else whole.verdict
    return ContrastRow(
        id=found.id,
        of=found.of,
        state=state("decided" if word in ("better", "worse") else word),
        sentence=words.sentence(found),
        pair=f"{found.within}: {found.first} - {found.second}",
        strip=scale.strip(whole.estimate if whole else None),
        difference=phrases.difference(whole) if whole else None,
        better=numbers.probability(whole.prob_positive) if whole else "",
        levels=[
            (
                levels.level(one.sparsity, found.scale),
                phrases.difference(one.accuracy),
                phrases.difference(one.retention),
            )
            for one in (found.levels if whole else [])
        ],
    )


SECTION = Section(id="contrasts", title="Contrasts", heading="Contrasts of whole curves", rows=values)
