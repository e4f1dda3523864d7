"""One curve: draws of accuracy for a task type under a sparsifier, and what follows from them alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tolerance.data.cells import halvings, sparsity
from tolerance.model.curve import crossing

Floats = NDArray[np.float64]
# Curves are kept in single precision: rounding is 1e-7, Monte Carlo error 1e-3, and a large report's curves fit memory.
Singles = NDArray[np.float32]
Ints = NDArray[np.int64]
# A task and a configuration, by index.
Place = tuple[int, int]


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
