"""Accuracy of one curve, draw by draw: the family, what the type departs by, what the curve departs by.

The same as `tolerance.model.curve` says, written for speed in single precision.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from tolerance.estimands.source import Source
from tolerance.estimands.type_curve import Floats, Ints, Singles
from tolerance.model.curve import log_anchor_hazard, steepness

# Rows of draws that are worked on together: few enough to stay in a processor's cache.
AT_ONCE = 256


def dense_accuracy(source: Source, task: int, config: int) -> Floats:
    """Dense accuracy ``(draw,)``."""
    chance = source.fit.cells.chance[task]
    return np.asarray(chance + (1 - chance) * expit(source.draws.dense[:, task, config]))


def curve_accuracy(
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
    columns = curve_columns(source, where, whole)
    departure = _own_departure(source, where, measured, grid)
    with np.errstate(divide="ignore"):
        along = np.log(grid).astype(np.float32)
    out = np.empty((len(columns), len(grid)), dtype=np.float32)
    for at in range(0, len(out), AT_ONCE):
        rows = slice(at, at + AT_ONCE)
        left = survival(columns[rows], along)
        out[rows] = departed(family_accuracy(columns[rows], left, shared[rows]), *departure.on_grid(rows))
    return out


def curve_columns(source: Source, where: tuple[int, int, int], whole: Floats) -> Singles:
    """What a curve's draws are made from: slope, start, tail, floor, dense accuracy above it ``(draw, 5)``."""
    draws, (method, task, config) = source.draws, where
    slope = steepness(draws.shape[:, method, task, config], draws.tail)
    start = log_anchor_hazard(draws.tail) + np.log(draws.tail)
    start = start - slope * draws.loc[:, method, task, config]
    floor = draws.floor[:, task]
    above = np.maximum((whole - floor) / (1 - floor), 1e-6)
    return np.stack([slope, start, draws.tail, floor, above], axis=1).astype(np.float32)


def survival(columns: Singles, along: Singles) -> Singles:
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


def family_accuracy(columns: Singles, left: Singles, shared: Singles) -> Singles:
    """Accuracy with the departure of the type, on the logit of what lies above the floor."""
    _, _, _, floor, whole = columns.T[:, :, None]
    above = whole * np.maximum(left, np.float32(1e-30))
    return np.asarray(floor + (1 - floor) * (above / (above + (1 - above) * shared)))


def departed(family: Singles, straight: Singles, arch: Singles) -> Singles:
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


def shared_departure(source: Source, method: int, kind: int, config: int, grid: Floats) -> Singles:
    """Departure that the tasks of a type share under a configuration ``(draw, grid)``, in logits above the floor.

    Straight between knots at every level that was measured, as the likelihood has it, so that there it is the cells';
    an arch is added between measured levels alone. One part of it is that of all configurations.
    """
    draws, points = source.draws, source.told[method, kind]
    values = shared_at(source, method, kind, config, points)
    straight, arch = _between(
        values, points, grid, draws.sd_departure_type, [source.fit.seed, 1, method, kind]
    ).on_grid()
    if not draws.sd_departure_config.any():
        return straight + arch
    seed = [source.fit.seed, 3, method, kind, config]
    own = _between(np.zeros_like(values), points, grid, draws.sd_departure_config, seed).on_grid()[1]
    return straight + arch + own


def shared_at(source: Source, method: int, kind: int, config: int, halvings: Floats) -> Floats:
    """The straight part of `shared_departure` at some halvings ``(draw, point)``."""
    knots = source.knots
    start, path, n = knots.start[method, kind], knots.path[method, kind, config], knots.count(method, kind)
    increments = source.draws.departure_type[:, path : path + n]
    values = np.concatenate([np.zeros((len(increments), 1)), np.cumsum(increments, axis=1)], axis=1)
    along = np.log2(1 + np.r_[0.0, knots.halvings[start : start + n]])
    at = np.log2(1 + halvings)
    segment = np.clip(np.searchsorted(along, at) - 1, 0, n - 1)
    part = np.clip((at - along[segment]) / np.diff(along)[segment], 0.0, 1.0)
    return np.asarray(values[:, segment] * (1 - part) + values[:, segment + 1] * part)


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
