"""What is asked of the draws: accuracy curves by task type and sparsifier, tolerated levels, areas.

Every quantity is averaged over the tasks and configurations of a type first, draw by draw, and summarised last. Only
combinations that were measured enter an average, and the dense accuracy of a curve is that of the same combinations.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from tolerance.data.cells import halvings, sparsity
from tolerance.errors import DesignError
from tolerance.inference.fit import Fit
from tolerance.model.curve import crossing, log_anchor_hazard, steepness
from tolerance.model.parameters import Knots, knots_of
from tolerance.question import Question

Floats = NDArray[np.float64]
# Curves are kept in single precision: rounding is 1e-7, Monte Carlo error 1e-3, and a large report's curves fit memory.
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]
# A task and a configuration, by index.
Place = tuple[int, int]
GRID = 81
# Rows of draws that are worked on together: few enough to stay in a processor's cache.
AT_ONCE = 256
# Draws are thinned to what the numbers of all curves leave room for, within these limits; at most all of a usual fit,
# for R-hat of fewer is further from 1 by chance.
MOST_DRAWS, LEAST_DRAWS, MOST_NUMBERS = 2800, 800, 500_000_000


@dataclass(frozen=True)
class TypeCurve:
    """Draws for one task type under one sparsifier, on a grid of halvings from 0 to the last measured level.

    ``accuracy`` ``(draw, grid)``, ``dense`` and ``floor`` ``(draw,)``; ``first`` and ``last`` are measured sparsities.
    ``levels`` are all that were realised, ``distinct`` one of them, the middle one, for each that was asked for: tasks
    and contexts realise it a little differently.
    ``has_dense`` says whether the dense accuracy was measured or only follows from the curve. ``places`` are the tasks
    and configurations that it averages.
    """

    task_type: str
    sparsifier: str
    tasks: tuple[str, ...]
    levels: Floats
    distinct: Floats
    grid: Floats
    accuracy: Singles
    dense: Singles
    floor: Singles
    has_dense: bool
    places: tuple[Place, ...] = ()

    @property
    def first(self) -> float:
        """The lowest measured sparsity above 0."""
        return float(self.levels[0])

    @property
    def last(self) -> float:
        """The highest measured sparsity."""
        return float(self.levels[-1])

    @property
    def above(self) -> Singles:
        """Dense accuracy above the floor ``(draw,)``."""
        return np.asarray(np.maximum(self.dense - self.floor, np.float32(1e-9)))

    @property
    def retention(self) -> Singles:
        """Share of dense accuracy above the floor that is left ``(draw, grid)``."""
        return np.asarray((self.accuracy - self.floor[:, None]) / self.above[:, None])

    def tolerated(self, least: float, *, margin: float | None = None) -> Floats:
        """Halvings up to which what must be kept is kept ``(draw,)``; infinite beyond the last measured level.

        That is at least ``least`` of dense accuracy above the floor or, with ``margin``, accuracy at most so much below
        dense.
        """
        line = self.required(least, margin=margin)
        room: Floats = np.asarray(self.accuracy - line[:, None])  # in single precision all the same
        return crossing(room, self.grid, 0.0)

    def required(self, least: float, *, margin: float | None = None) -> Singles:
        """Accuracy that must be kept ``(draw,)``: see `tolerated`."""
        # both rules are a line that accuracy may not cross, so that retention needs not be made for it
        return np.asarray(self.floor + least * self.above if margin is None else self.dense - margin)

    def accuracy_at(self, sparsity: float) -> Floats:
        """Accuracy at one sparsity ``(draw,)``."""
        return np.asarray(self.accuracies_at([sparsity])[:, 0])

    def accuracies_at(self, sparsities: Sequence[float]) -> Floats:
        """Accuracy at several sparsities ``(draw, sparsity)``."""
        at = halvings(np.asarray(sparsities, dtype=np.float64))
        right = np.clip(np.searchsorted(self.grid, at), 1, len(self.grid) - 1)
        part = np.clip((at - self.grid[right - 1]) / (self.grid[right] - self.grid[right - 1]), 0.0, 1.0)
        return np.asarray(self.accuracy[:, right - 1] * (1 - part) + self.accuracy[:, right] * part)

    def retained_at(self, sparsity: float) -> Floats:
        """Retention at one sparsity ``(draw,)``."""
        return np.asarray((self.accuracy_at(sparsity) - self.floor) / self.above)

    def area(self, upto: float, *, over_sparsity: bool = False) -> Floats:
        """Mean retention between sparsity 0 and ``upto`` ``(draw,)``: the area under the curve over its width.

        The axis is halvings of the density, in which accuracy is straight between grid points, or sparsity.
        """
        end = float(halvings(np.array(upto)))
        inside = int(np.sum(self.grid < end - 1e-12))
        points = np.r_[self.grid[:inside], end]
        # the trapezoid rule is a weighted sum of grid points, the last of which stands between two
        along = sparsity(points) if over_sparsity else points
        widths = np.diff(along) / (along[-1] - along[0])
        weights = (np.r_[widths, 0.0] + np.r_[0.0, widths]) / 2
        mean = self.accuracy[:, :inside] @ weights[:-1].astype(np.float32) + weights[-1] * self.accuracy_at(upto)
        return np.asarray((mean - self.floor) / self.above)


@dataclass(frozen=True)
class _Draws:
    """Draws, thinned alike, that curves are made of."""

    dense: Floats
    floor: Floats
    loc: Floats
    loc_config: Floats
    shape: Floats
    tail: Floats
    departure: Floats
    sd_departure: Floats
    departure_type: Floats
    sd_departure_type: Floats

    @classmethod
    def of(cls, fit: Fit, at_most: int) -> "_Draws":
        return cls(**{field: fit.variable(field, at_most=at_most) for field in cls.__dataclass_fields__})


@dataclass(frozen=True)
class Source:
    """What the curves of a fit are made from, looked up once: thinned draws, and which cells are where."""

    fit: Fit

    @cached_property
    def draws(self) -> _Draws:
        """Draws, fewer where there are very many curves."""
        n_curves = len({(method, self.kinds[task]) for method, task, _ in self.measured})
        room = MOST_NUMBERS // (n_curves * GRID)
        return _Draws.of(self.fit, at_most=int(np.clip(room, LEAST_DRAWS, MOST_DRAWS)))

    @cached_property
    def kinds(self) -> tuple[int, ...]:
        """Task type of each task, by index."""
        return self.fit.cells.type_of_task

    @cached_property
    def knots(self) -> Knots:
        """Knots of the departures that the tasks of a type share."""
        return knots_of(self.fit.cells)

    @cached_property
    def measured(self) -> dict[tuple[int, int, int], Ints]:
        """Sparse cells of each sparsifier, task and configuration, by ascending sparsity."""
        cells = self.fit.cells
        sparse = np.arange(cells.n_dense, len(cells.frame))
        keys = np.stack([cells.sparsifier, cells.task[sparse], cells.config[sparse]], axis=1)
        order = np.lexsort((cells.halvings[sparse], keys[:, 2], keys[:, 1], keys[:, 0]))
        keys, cell = keys[order], sparse[order]
        new = np.flatnonzero(np.any(np.diff(keys, axis=0) != 0, axis=1)) + 1
        starts = np.r_[0, new]
        return {(int(m), int(t), int(c)): g for (m, t, c), g in zip(keys[starts], np.split(cell, new), strict=True)}

    @cached_property
    def places(self) -> dict[int, dict[int, list[Place]]]:
        """Where each sparsifier was measured, by task type: tasks and configurations, those with dense answers if any.

        Sparsifier and type go by index; where nothing was measured there is no entry.
        """
        found: dict[int, dict[int, list[Place]]] = {}
        for method, task, config in self.measured:
            found.setdefault(method, {}).setdefault(self.kinds[task], []).append((task, config))
        return {method: {k: self.answerable(p) for k, p in kinds.items()} for method, kinds in found.items()}

    @cached_property
    def asked(self) -> Floats:
        """Sparsity that each cell was asked for ``(cell,)``."""
        return self.fit.cells.frame["sparsity_requested"].to_numpy(dtype=np.float64)

    @cached_property
    def with_dense(self) -> frozenset[Place]:
        """Tasks and configurations that have dense answers."""
        cells = self.fit.cells
        first = slice(cells.n_dense)
        return frozenset(zip(cells.task[first].tolist(), cells.config[first].tolist(), strict=True))

    def answerable(self, places: Iterable[Place]) -> list[Place]:
        """The places with dense answers; all of them where none has."""
        there = sorted(places)
        return [place for place in there if place in self.with_dense] or there

    def dense(self, task: int, config: int) -> Floats:
        """Dense accuracy of a task under a configuration ``(draw,)``."""
        return _dense_accuracy(self, task, config)

    def curve(self, method: int, places: Sequence[Place]) -> TypeCurve:
        """The curve of a sparsifier averaged over some of its places."""
        return _curve(self, method, places)


def beyond(source: Source, curve: TypeCurve, at: Floats) -> Floats:
    """Accuracy of a curve of `type_curves` at halvings beyond its last measured level ``(draw, point)``.

    The family goes on; departures go on from their last values as the Wiener processes that they are, so that the band
    widens.
    """
    draws, method = source.draws, source.fit.cells.sparsifiers.index(curve.sparsifier)
    rng = np.random.default_rng([source.fit.seed, 2, method])
    out = np.zeros((len(draws.tail), len(at)))
    for task, config in curve.places:
        measured = source.measured[method, task, config]
        last = float(source.fit.cells.halvings[measured[-1]])
        further = np.sqrt(np.maximum(np.log2((1 + at) / (1 + last)), 0.0))
        own, shared = (rng.standard_normal((len(out), 1)) * further for _ in range(2))
        start = source.knots.start[method, source.kinds[task]]
        knots = slice(start, start + source.knots.count(method, source.kinds[task]))
        shared = draws.departure_type[:, knots].sum(axis=1)[:, None] + draws.sd_departure_type[:, None] * shared
        columns = _columns(source, (method, task, config), source.dense(task, config))
        left = _survival(columns, np.log(at).astype(np.float32))
        family = _family(columns, left, np.exp(-shared).astype(np.float32))
        straight = draws.departure[:, measured[-1], None].astype(np.float32)
        arch = (draws.sd_departure[:, None] / 2 * own).astype(np.float32)
        out += _departed(family, straight, arch) / len(curve.places)
    return out


def type_curves(fit: Fit | Source) -> list[TypeCurve]:
    """One `TypeCurve` for each task type and sparsifier that was measured together, by type, then sparsifier."""
    source = fit if isinstance(fit, Source) else Source(fit)
    return [
        source.curve(method, source.places[method][kind])
        for kind in range(len(source.fit.cells.task_types))
        for method in sorted(source.places)
        if kind in source.places[method]
    ]


def curve(
    fit: Fit, sparsifier: str, tasks: Sequence[str], configs: Sequence[tuple[str, int]] | None = None
) -> TypeCurve:
    """The curve of some tasks, averaged over them and over configurations (model, context length), all unless given.

    Raises:
        DesignError: none of these was measured under this sparsifier.
    """
    source, cells = Source(fit), fit.cells
    method, wanted = cells.sparsifiers.index(sparsifier), {cells.tasks.index(task) for task in tasks}
    chosen = range(len(cells.configs)) if configs is None else [cells.configs.index(config) for config in configs]
    found = [(t, c) for m, t, c in source.measured if m == method and t in wanted and c in chosen]
    if not found:
        raise DesignError(f"{', '.join(tasks)} under {sparsifier!r}: nothing was measured there.")
    return source.curve(method, source.answerable(found))


def _curve(source: Source, method: int, places: Sequence[Place]) -> TypeCurve:
    cells, draws = source.fit.cells, source.draws
    here = [source.measured[method, task, config] for task, config in places]
    each = np.concatenate(here)
    realised, asked = cells.frame["sparsity"].to_numpy(dtype=np.float64)[each], source.asked[each]
    levels, groups = np.unique(realised), (np.sort(realised[asked == one]) for one in np.unique(asked))
    grid = np.unique(np.concatenate([np.linspace(0, halvings(levels[-1:])[0], GRID), halvings(levels)]))
    n_draws = len(draws.tail)
    accuracy, dense, floor = np.zeros((n_draws, len(grid)), dtype=np.float32), np.zeros(n_draws), np.zeros(n_draws)
    kinds = sorted({source.kinds[task] for task, _ in places})
    shared = {kind: np.exp(-_shared_departure(source, method, kind, grid)).astype(np.float32) for kind in kinds}
    for (task, config), measured in zip(places, here, strict=True):
        ground, whole = draws.floor[:, task], _dense_accuracy(source, task, config)
        floor += ground / len(places)
        dense += whole / len(places)
        accuracy += _curve_accuracy(source, (method, task, config), measured, whole, grid, shared[source.kinds[task]])
    accuracy /= np.float32(len(places))
    # rounding apart, that is what it is
    accuracy[:, 0] = dense
    return TypeCurve(
        task_type=" + ".join(cells.task_types[kind] for kind in kinds),
        sparsifier=cells.sparsifiers[method],
        tasks=tuple(cells.tasks[t] for t in sorted({t for t, _ in places})),
        levels=levels,
        distinct=np.unique([group[len(group) // 2] for group in groups]),
        grid=grid,
        accuracy=accuracy,
        dense=dense.astype(np.float32),
        floor=floor.astype(np.float32),
        has_dense=any(place in source.with_dense for place in places),
        places=tuple(places),
    )


def _dense_accuracy(source: Source, task: int, config: int) -> Floats:
    """Dense accuracy ``(draw,)``."""
    chance = source.fit.cells.chance[task]
    return np.asarray(chance + (1 - chance) * expit(source.draws.dense[:, task, config]))


def _curve_accuracy(
    source: Source,
    where: tuple[int, int, int],
    measured: Ints,
    whole: Floats,
    grid: Floats,
    shared: Singles,
) -> Singles:
    """Accuracy of the curve of a sparsifier, task and configuration ``(draw, grid)``, departures included.

    ``shared`` is e to the minus the departure that the type shares; the curve's own is known at its ``measured`` cells.
    The curve is that of `curves.survival` and `curves.departed`, written for speed in single precision.
    """
    columns = _columns(source, where, whole)
    departure = _own_departure(source, where, measured, grid)
    with np.errstate(divide="ignore"):
        along = np.log(grid).astype(np.float32)
    out = np.empty((len(columns), len(grid)), dtype=np.float32)
    for at in range(0, len(out), AT_ONCE):
        rows = slice(at, at + AT_ONCE)
        left = _survival(columns[rows], along)
        out[rows] = _departed(_family(columns[rows], left, shared[rows]), *departure.on_grid(rows))
    return out


def _columns(source: Source, where: tuple[int, int, int], whole: Floats) -> Singles:
    """What a curve's draws are made from: slope, start, tail, floor, dense accuracy above it ``(draw, 5)``."""
    draws, (method, task, config) = source.draws, where
    slope = steepness(draws.shape[:, method, task], draws.tail)
    start = log_anchor_hazard(draws.tail) + np.log(draws.tail)
    start = start - slope * (draws.loc[:, method, task] + draws.loc_config[:, config])
    floor = draws.floor[:, task]
    above = np.maximum((whole - floor) / (1 - floor), 1e-6)
    return np.stack([slope, start, draws.tail, floor, above], axis=1).astype(np.float32)


def _survival(columns: Singles, along: Singles) -> Singles:
    """Share of above-floor accuracy that is left ``(draw, grid)``, as `curves.survival` says."""
    slope, start, tail, _, _ = columns.T[:, :, None]
    # at density 1 the log of the halvings is minus infinity and the hazard 0
    hazard = slope * along
    hazard += start
    np.minimum(hazard, np.float32(80), out=hazard)
    np.exp(hazard, out=hazard)
    # log(1 + h) = log(u) + (h - (u - 1)) / u with u = 1 + h as rounded: to the last digit where h is small, too
    more = 1 + hazard
    hazard -= more - 1
    hazard /= more
    hazard += np.log(more, out=more)
    hazard /= -tail
    return np.asarray(np.exp(hazard, out=hazard))


def _family(columns: Singles, left: Singles, shared: Singles) -> Singles:
    """Accuracy with the departure of the type, on the logit of what lies above the floor."""
    _, _, _, floor, whole = columns.T[:, :, None]
    above = whole * np.maximum(left, np.float32(1e-30))
    return np.asarray(floor + (1 - floor) * (above / (above + (1 - above) * shared)))


def _departed(family: Singles, straight: Singles, arch: Singles) -> Singles:
    """sin(arcsin(sqrt(family)) + departure)^2, the angle held between 0 and pi / 2, as `curves.departed` says."""
    sine, cosine = np.sqrt(family), np.sqrt(np.maximum(1 - family, np.float32(0)))
    # a logit of accuracy is sqrt(p (1 - p)) / 2 in arcsin(sqrt(p))
    angle = np.clip(straight + arch * sine * cosine, np.float32(-np.pi / 2), np.float32(np.pi / 2))
    step = np.sin(angle)
    along = np.sqrt(np.maximum(1 - step * step, np.float32(0)))
    moved = np.maximum(sine * along + cosine * step, np.float32(0))
    moved[cosine * along < sine * step] = 1
    moved *= moved
    return np.asarray(np.minimum(moved, np.float32(1), out=moved))


@dataclass(frozen=True)
class _Departure:
    """Departures as weighted sums: those at knots ``(draw, knot)`` and heights of arches between them."""

    ends: Singles
    heights: Singles
    line: Singles
    bow: Singles

    def on_grid(self, rows: slice = slice(None)) -> tuple[Singles, Singles]:
        """The straight part and the arch of some draws ``(draw, grid)``."""
        return self.ends[rows] @ self.line, self.heights[rows] @ self.bow


def _own_departure(source: Source, where: tuple[int, int, int], measured: Ints, grid: Floats) -> _Departure:
    """Departure of one curve; its arch is yet to be scaled by the curve."""
    draws, at = source.draws, source.fit.cells.halvings[measured]
    knots, first = np.unique(at, return_index=True)
    departure = draws.departure[:, measured]
    if len(knots) < len(measured):
        # the same level asked twice: the mean of its departures
        departure = np.add.reduceat(departure, first, axis=1) / np.diff(np.r_[first, len(measured)])
    return _between(departure, knots, grid, draws.sd_departure / 2, [source.fit.seed, 0, *where])


def _shared_departure(source: Source, method: int, kind: int, grid: Floats) -> Singles:
    """Departure that the tasks of a type share ``(draw, grid)``, in logits of above-floor accuracy."""
    knots, draws = source.knots, source.draws
    start = knots.start[method, kind]
    mine = slice(start, start + knots.count(method, kind))
    values = np.cumsum(draws.departure_type[:, mine], axis=1)
    seed = [source.fit.seed, 1, method, kind]
    straight, arch = _between(values, knots.halvings[mine], grid, draws.sd_departure_type, seed).on_grid()
    return straight + arch


def _between(values: Floats, knots: Floats, grid: Floats, scale: Floats, seed: Sequence[int]) -> _Departure:
    """Departures on a grid from those at knots: straight in log2(1 + halvings), and an arch between knots.

    The arch's middle has the variance of a Wiener bridge of that ``scale``. It follows from the seed alone, so that a
    curve is the same in every average that it enters. Nothing is claimed beyond the last knot.
    """
    along, at = np.log2(1 + grid), np.log2(1 + np.r_[0.0, knots])
    segment = np.clip(np.searchsorted(at, along, side="right") - 1, 0, len(at) - 2)
    part = np.clip((along - at[segment]) / np.diff(at)[segment], 0.0, 1.0)
    points = np.arange(len(grid))
    line, bow = np.zeros((len(at), len(grid))), np.zeros((len(at) - 1, len(grid)))
    line[segment, points], line[segment + 1, points] = 1 - part, part
    bow[segment, points] = 4 * part * (1 - part)
    normal = np.random.default_rng(seed).standard_normal((len(values), len(at) - 1), dtype=np.float32)
    return _Departure(
        ends=np.concatenate([np.zeros((len(values), 1)), values], axis=1).astype(np.float32),
        heights=normal * (np.sqrt(np.diff(at)) / 2 * scale[:, None]).astype(np.float32),
        line=line.astype(np.float32),
        bow=bow.astype(np.float32),
    )


@dataclass(frozen=True)
class Ordering:
    """Probabilities that the first, the second, or neither of two tolerated levels is higher."""

    first: float
    second: float
    neither: float


def order(a: TypeCurve, b: TypeCurve, least: float, *, margin: float | None = None) -> Ordering:
    """Which of two curves tolerates more; neither where both lie outside what was measured, on one side.

    Draws of curves of one fit belong together, so the comparison is within draws.
    """
    return ordered(*(in_range(curve, least, margin=margin) for curve in (a, b)))


def ordered(x: Floats, y: Floats) -> Ordering:
    """Which of two tolerated levels is higher, from their draws `in_range` ``(draw,)``."""
    return Ordering(float(np.mean(x > y)), float(np.mean(y > x)), float(np.mean(x == y)))


def in_range(curve: TypeCurve, least: float, *, margin: float | None = None) -> Floats:
    """Tolerated halvings with what lies below the first measured level set to 0."""
    tolerated = curve.tolerated(least, margin=margin)
    return np.where(tolerated < halvings(np.array(curve.first)), 0.0, tolerated)


def tolerated(curve: TypeCurve, question: Question) -> Floats:
    """Halvings up to which what the question asks for is kept ``(draw,)``."""
    return curve.tolerated(question.retention, margin=question.margin)
