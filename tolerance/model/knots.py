"""Where departures that curves share have their increments: level by level of each sparsifier x type.

What the tasks of a type share under a sparsifier goes by knot, what all tasks share under it in one configuration by
level. A path is the sum of both along the knots of a sparsifier x type x configuration that was measured.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tolerance.data.cells import SAME_LEVEL, Cells

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Levels beyond so many are no knots: there the departure is straight between two that are.
MOST_KNOTS = 16


@dataclass(frozen=True)
class Knots:
    """Knots by sparsifier x type, and paths of increments over them by sparsifier x type x configuration.

    ``start`` ``(sparsifier, type)`` is the first knot, -1 where nothing was measured; ``halvings`` and ``step`` (the
    root of the distance to the knot before, in log2(1 + halvings)) go by knot. ``path`` ``(sparsifier, type, config)``
    is a path's first increment, -1 where nothing was measured; ``knot`` and ``config`` go by increment. ``cell`` and
    ``part`` say where on its path each cell lies: the departure is that at the knot before increment ``cell``, plus
    ``part`` of that increment.
    """

    start: Ints
    halvings: Floats
    step: Floats
    path: Ints
    knot: Ints
    config: Ints
    cell: Ints
    part: Floats

    def count(self, method: int, kind: int) -> int:
        """Number of knots of one sparsifier x type."""
        start = int(self.start[method, kind])
        later = self.start[self.start > start]
        return int((later.min() if len(later) else len(self.step)) - start)

    @property
    def first(self) -> NDArray[np.bool_]:
        """Which increments begin a path ``(increment,)``."""
        return np.isin(np.arange(len(self.knot)), self.path)

    @cached_property
    def bend(self) -> Ints:
        """Which increments are alike in all types: those of one sparsifier and configuration near one level.

        -1 where a single configuration measured a sparsifier x type ``(increment,)``.
        """
        method = np.searchsorted(np.sort(self.start[self.start >= 0]), self.knot, side="right") - 1
        method = np.argwhere(self.start >= 0)[:, 0][method]
        near = np.zeros(len(self.step), dtype=np.int64)
        of_knot = np.zeros(len(self.step), dtype=np.int64)
        of_knot[self.knot] = method
        for m in np.unique(of_knot):
            mine = np.flatnonzero(of_knot == m)
            order = mine[np.argsort(self.halvings[mine], kind="stable")]
            near[order] = np.cumsum(np.r_[0, np.diff(self.halvings[order]) > SAME_LEVEL])
        several = np.bincount(self.knot, minlength=len(self.step))[self.knot] > 1
        keys = np.stack([method, self.config, near[self.knot]], axis=1)
        out = np.full(len(self.knot), -1, dtype=np.int64)
        if several.any():
            out[several] = np.unique(keys[several], axis=0, return_inverse=True)[1].ravel()
        return out


def knots_of(cells: Cells) -> Knots:
    """Knots of shared departures: the measured levels of each sparsifier x type."""
    shape = len(cells.sparsifiers), len(cells.task_types)
    start, path = np.full(shape, -1, dtype=np.int64), np.full((*shape, len(cells.configs)), -1, dtype=np.int64)
    sparse = np.arange(cells.n_dense, len(cells.frame))
    method, kind, config = cells.sparsifier, cells.types()[cells.task[sparse]], cells.config[sparse]
    halvings, steps, knot, of_config = [], [], [], []
    cell, part = np.zeros(len(cells.frame), dtype=np.int64), np.zeros(len(cells.frame))
    placed, increments = 0, 0
    for m, k in np.ndindex(*shape):
        here = (method == m) & (kind == k)
        if not here.any():
            continue
        at = _levels(cells, sparse[here])
        along = np.log2(1 + np.r_[0.0, at])
        start[m, k] = placed
        for c in np.unique(config[here]):
            mine = sparse[here & (config == c)]
            path[m, k, c] = increments
            place, part[mine] = _between(along, np.log2(1 + cells.halvings[mine]))
            cell[mine] = increments + place
            knot.append(placed + np.arange(len(at)))
            of_config.append(np.full(len(at), c))
            increments += len(at)
        placed += len(at)
        halvings.append(at)
        steps.append(np.sqrt(np.diff(along)))
    return Knots(
        start=start,
        halvings=np.concatenate(halvings),
        step=np.concatenate(steps),
        path=path,
        knot=np.concatenate(knot).astype(np.int64),
        config=np.concatenate(of_config).astype(np.int64),
        cell=cell,
        part=part,
    )


def _between(along: Floats, here: Floats) -> tuple[Ints, Floats]:
    """Between which two knots places lie, and how far on the way."""
    place = np.clip(np.searchsorted(along, here) - 1, 0, len(along) - 2)
    return place, np.clip((here - along[place]) / np.diff(along)[place], 0.0, 1.0)


def _levels(cells: Cells, mine: Ints) -> Floats:
    """Halvings of the knots: the requested levels at their mean realised sparsity, `MOST_KNOTS` of them at most."""
    requested = cells.frame["sparsity_requested"].to_numpy()[mine]
    levels = np.unique([cells.halvings[mine][requested == level].mean() for level in np.unique(requested)])
    levels[-1] = cells.halvings[mine].max()
    if len(levels) > MOST_KNOTS:
        levels = np.unique(np.quantile(levels, np.linspace(0, 1, MOST_KNOTS), method="nearest"))
    return np.asarray(levels, dtype=np.float64)
