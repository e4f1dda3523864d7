"""Curves -> geometry of one panel per task type, in the units of its viewBox; the template draws what stands here.

The horizontal axis is the number of halvings of the density, -log2(1 - sparsity), so that 90%, 95% and 98% are not
squeezed together. Below the axis each method has a row with its threshold and the interval of that threshold.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import batched, pairwise
from math import log2

from tolerance.findings import BEYOND, Band, Curve, Level, Observed, Report, Scale, Threshold
from tolerance.reports.words import conclusions, levels, numbers, phrases, subjects
from tolerance.reports.words.absent import absent

# As many methods as dash, marker shape and colour tell apart; more methods go to a further panel.
STYLES = 6
WIDTH, LEFT, RIGHT, TOP, BOTTOM = 324.0, 32.0, 316.0, 10.0, 170.0
# 0% stands a little off the axis, so that its marks do not cover the labels.
START = LEFT + 8
ROW, FIRST_ROW = 15.0, 204.0
# The height of probability 1 above a method's row.
CHANCE = 11.0
TICKS = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998)
TICK_SPACE = 30.0
# Points of several methods at one level stand beside each other, not on each other.
DODGE = 3.0

# Outlines of about seven units around the origin, in the order of the styles.
MARKERS = (
    "M-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0-6.4 0Z",
    "M-2.9-2.9H2.9V2.9H-2.9Z",
    "M0-3.9L3.6 2.7H-3.6Z",
    "M0-4.1L4.1 0L0 4.1L-4.1 0Z",
    "M0 3.9L3.6-2.7H-3.6Z",
    "M-1.3-3.6H1.3V-1.3H3.6V1.3H1.3V3.6H-1.3V1.3H-3.6V-1.3H-1.3Z",
)

type Point = tuple[float, float]


@dataclass(frozen=True)
class Tick:
    """A position on an axis with its label."""

    at: float
    label: str


@dataclass(frozen=True)
class Mark:
    """An observed accuracy: centre, and the ends of its interval."""

    x: float
    y: float
    low: float
    high: float
    label: str


@dataclass(frozen=True)
class Strip:
    """The row of a threshold: its interval as a line, its median as a marker, and an arrow where an end is outside."""

    y: float
    low: float
    high: float
    open_low: bool
    open_high: bool
    median: float | None
    drop: float | None


@dataclass(frozen=True)
class Series:
    """One method in a panel. ``style`` is the number of its colour, dash and marker; ``word`` replaces a threshold."""

    id: str
    style: int
    marker: str
    method: str
    said: str
    line: str
    inner: str
    outer: str
    beyond: str
    fan: str
    marks: list[Mark]
    strip: Strip | None
    chance: str
    row: float
    word: str


@dataclass(frozen=True)
class Frame:
    """Where the axes of every panel are, in the units of its viewBox."""

    width: float = WIDTH
    left: float = LEFT
    right: float = RIGHT
    top: float = TOP
    bottom: float = BOTTOM
    inside: float = BOTTOM - TOP


@dataclass(frozen=True)
class Panel:
    """One picture: a task type under up to `STYLES` methods, with a title and a description in words."""

    id: str
    title: str
    description: str
    thin: str
    height: float
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    hatched: list[Point]
    required: list[float]
    series: list[Series]
    frame: Frame = Frame()


@dataclass(frozen=True)
class _Scale:
    """Sparsity to x. All panels of a report share it, so that they can be compared."""

    last: float
    unit: Scale | None = None

    def x(self, sparsity: float) -> float:
        """Horizontal position of a sparsity."""
        unit = (RIGHT - START) / (-log2(1 - self.last) + BEYOND)
        return START - log2(1 - sparsity) * unit

    def ticks(self) -> list[Tick]:
        """Labels with room between them, up to the highest measured level: round sparsities, or what was set."""
        chosen: list[Tick] = []
        if self.unit is not None:
            return self._set_levels(self.unit)
        for sparsity in (s for s in TICKS if s <= self.last + 1e-9):
            at = round(self.x(sparsity), 1)
            if not chosen or at - chosen[-1].at >= TICK_SPACE:
                chosen.append(Tick(at, numbers.level(sparsity)))
        end = round(self.x(self.last), 1)
        if end - chosen[-1].at >= TICK_SPACE:
            chosen.append(Tick(end, numbers.level(self.last)))
        return chosen

    def _set_levels(self, unit: Scale) -> list[Tick]:
        """Dense, the last level that was set, and of those between as many as there is room for."""
        places = sorted(place for one in unit.levels if 0 < (place := unit.place(one)) <= self.last + 1e-9)
        ticks = [Tick(round(self.x(place), 1), unit.bare(place)) for place in (0.0, *places)]
        chosen, last = ticks[:1], ticks[-1]
        for tick in ticks[1:-1]:
            if min(tick.at - chosen[-1].at, last.at - tick.at) >= TICK_SPACE:
                chosen.append(tick)
        return [*chosen, last] if len(ticks) > 1 else chosen


def panels(report: Report) -> list[Panel]:
    """The panels of a report, by task type, those of one unit on one scale."""
    return [
        _panel(f"F{i}", task_type, group, report, _scale(report, group[0].scale))
        for i, (task_type, group) in enumerate(_panels(report), 1)
    ]


def _scale(report: Report, unit: Scale | None) -> _Scale:
    measured = [point.sparsity for curve in report.curves if curve.scale == unit for point in curve.observed]
    return _Scale(max(measured, default=0.5) or 0.5, unit)


def places(report: Report) -> dict[tuple[str, str], str]:
    """The id of the panel that draws a task type under a method."""
    return {
        (curve.task_type, curve.sparsifier): f"F{i}"
        for i, (_, group) in enumerate(_panels(report), 1)
        for curve in group
    }


def style(report: Report, method: str) -> int:
    """The number of a method's colour, dash and marker, the same in every panel."""
    return subjects.methods(report).index(method) % STYLES + 1


def _panels(report: Report) -> list[tuple[str, list[Curve]]]:
    """Task type and curves of every panel, in the order of the page."""
    return [(t, group) for t in subjects.task_types(report) for group in _groups(report, t)]


def _groups(report: Report, task_type: str) -> Iterator[list[Curve]]:
    """The curves of a task type, in groups of one unit whose styles differ."""
    for names in batched(subjects.methods(report), STYLES):
        mine = [c for c in report.curves if c.task_type == task_type and c.sparsifier in names]
        for unit in dict.fromkeys(None if c.scale is None else c.scale.unit for c in mine):
            yield [c for c in mine if (None if c.scale is None else c.scale.unit) == unit]


def _panel(name: str, task_type: str, curves: Sequence[Curve], report: Report, scale: _Scale) -> Panel:
    found = {(t.task_type, t.sparsifier): t for t in report.thresholds}
    series = [
        _series(curve, found.get((task_type, curve.sparsifier)), report, scale, row=i, rows=len(curves))
        for i, curve in enumerate(curves)
    ]
    return Panel(
        id=name,
        title=f"{task_type}{_by(report, scale.unit)}",
        description=_describe(curves, series),
        thin=_thin([found[task_type, c.sparsifier] for c in curves if (task_type, c.sparsifier) in found]),
        height=FIRST_ROW + ROW * len(series),
        x_ticks=scale.ticks(),
        y_ticks=[Tick(_y(share), f"{share:g}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)],
        hatched=_hatched(curves, scale),
        required=sorted({_y(c.required) for c in curves if c.required is not None}),
        series=series,
    )


def _by(report: Report, unit: Scale | None) -> str:
    """What a panel is drawn against, where that is not sparsity in all of them."""
    if not levels.counts(report):
        return ""
    return f", by {'sparsity' if unit is None else unit.said_unit}"


def _thin(found: Sequence[Threshold]) -> str:
    """What is thin about the thinnest of a panel's curves."""
    return min((said for t in found if (said := conclusions.thin(t.n_items, t.n_levels))), key=len, default="")


def _series(curve: Curve, threshold: Threshold | None, report: Report, scale: _Scale, *, row: int, rows: int) -> Series:
    """One method; ``row`` of ``rows`` says where its strip stands and how its points step aside."""
    number = style(report, curve.sparsifier)
    band = curve.band if curve.status == "ok" else None
    further = curve.beyond if curve.status == "ok" else None
    level = threshold.level if threshold is not None and threshold.status == "ok" else None
    row_y = FIRST_ROW + ROW * row
    return Series(
        id=curve.id,
        style=number,
        marker=MARKERS[number - 1],
        method=curve.sparsifier,
        said=_said(threshold, level),
        line=_path(band.sparsity, band.median, scale) if band else "",
        inner=_area(band.sparsity, band.lower_50, band.upper_50, scale) if band else "",
        outer=_area(band.sparsity, band.lower_90, band.upper_90, scale) if band else "",
        beyond=_path(further.sparsity, further.median, scale) if further else "",
        fan=_area(further.sparsity, further.lower_90, further.upper_90, scale) if further else "",
        marks=[_mark(point, scale, DODGE * (row - (rows - 1) / 2)) for point in curve.observed],
        strip=_strip(level, band, scale, row_y) if level else None,
        chance=_chance(threshold, scale, row_y) if level and threshold else "",
        row=row_y,
        word="" if level or threshold is None else absent(threshold)[0],
    )


def _said(threshold: Threshold | None, level: Level | None) -> str:
    if level is not None:
        return phrases.median(level)
    return absent(threshold)[0] if threshold is not None else "no threshold"


def _strip(level: Level, band: Band | None, scale: _Scale, y: float) -> Strip:
    """An end outside the measured range is drawn to the edge, with an arrow; a median outside has no marker."""
    beyond = scale.x(level.last) if phrases.wholly_outside(level) == "right" else LEFT
    below = scale.x(level.first) if phrases.wholly_outside(level) == "left" else RIGHT
    low = beyond if level.lower is None else scale.x(level.lower)
    high = below if level.upper is None else scale.x(level.upper)
    median = level.median
    return Strip(
        y=y,
        low=round(low, 1),
        high=round(high, 1),
        open_low=level.lower is None and low == LEFT,
        open_high=level.upper is None and high == RIGHT,
        median=None if median is None else round(scale.x(median), 1),
        drop=None if median is None or band is None else _y(_interpolate(band, median)),
    )


def _chance(found: Threshold, scale: _Scale, y: float) -> str:
    """The probability that the threshold lies above each sparsity, as an area of the row's height."""
    above = found.exceedance
    if above is None:
        return ""
    tops = "L".join(
        f"{scale.x(s):.1f} {y - CHANCE * p:.1f}" for s, p in zip(above.sparsity, above.probability, strict=True)
    )
    return f"M{scale.x(above.sparsity[0]):.1f} {y:.1f}L{tops}L{scale.x(above.sparsity[-1]):.1f} {y:.1f}Z"


def _mark(point: Observed, scale: _Scale, shift: float) -> Mark:
    said = phrases.observed(point)
    return Mark(
        x=round(scale.x(point.sparsity) + shift, 1),
        y=_y(point.accuracy),
        low=_y(point.interval.lower),
        high=_y(point.interval.upper),
        label=f"{levels.level(point.sparsity, point.scale)}: {said}, n = {numbers.count(point.n_items)}",
    )


def _hatched(curves: Sequence[Curve], scale: _Scale) -> list[Point]:
    """Stretches of the axis ``(x, width)`` where no method of the panel was measured."""
    measured = sorted(point.sparsity for curve in curves for point in curve.observed)
    if not measured:
        return [(LEFT, RIGHT - LEFT)]
    first, last = scale.x(measured[0]), scale.x(measured[-1])
    return [(round(a, 1), round(b - a, 1)) for a, b in ((START, first), (last, RIGHT)) if b - a > 0.5]


def _describe(curves: Sequence[Curve], series: Sequence[Series]) -> str:
    """The picture in words, for who does not see it."""
    unit = curves[0].scale
    said = [f"Accuracy against {'sparsity' if unit is None else unit.said_unit}."]
    for curve, one in zip(curves, series, strict=True):
        points = [f"{numbers.accuracy(p.accuracy)} at {levels.level(p.sparsity, p.scale)}" for p in curve.observed]
        said.append(f"{one.method}: threshold {one.said}; observed accuracy {', '.join(points)}.")
    return " ".join(said)


def _interpolate(band: Band, sparsity: float) -> float:
    """Height of the median line at a sparsity, linear in halvings."""
    at = -log2(1 - sparsity)
    grid = [-log2(1 - s) for s in band.sparsity]
    for (x0, x1), (y0, y1) in zip(pairwise(grid), pairwise(band.median), strict=True):
        if x0 <= at <= x1 and x1 > x0:
            return y0 + (y1 - y0) * (at - x0) / (x1 - x0)
    return band.median[-1]


def _path(sparsity: Sequence[float], shares: Sequence[float], scale: _Scale) -> str:
    return "M" + "L".join(f"{scale.x(s):.1f} {_y(a):.1f}" for s, a in zip(sparsity, shares, strict=True))


def _area(sparsity: Sequence[float], low: Sequence[float], high: Sequence[float], scale: _Scale) -> str:
    back = _path(sparsity[::-1], low[::-1], scale)
    return f"{_path(sparsity, high, scale)}L{back[1:]}Z"


def _y(share: float) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * share, 1)
