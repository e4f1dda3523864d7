"""Where departures that curves share have their increments: level by level of each sparsifier x type.

What the tasks of a type share under a sparsifier goes by knot; what they share under one configuration goes by path,
one for each sparsifier x type x configuration that was measured, with the same knots.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tolerance.data.cells import Cells

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

    @property
    def several(self) -> NDArray[np.bool_]:
        """Which increments belong to a sparsifier x type that several configurations measured ``(increment,)``."""
        paths = np.bincount(self.knot, minlength=len(self.step))
        return np.asarray(paths[self.knot] > 1)


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
    joined = (np.concatenate(each) for each in (halvings, steps))
    ints = (np.concatenate(each).astype(np.int64) for each in (knot, of_config))
    return Knots(start, *joined, path, *ints, cell, part)


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
