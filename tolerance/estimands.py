"""What is asked of the draws: accuracy curves by task type and sparsifier, tolerated levels, orderings.

Every quantity is averaged over the tasks and configurations of a type first, draw by draw, and summarised last. Only
combinations that were measured enter an average, and the dense accuracy of a curve is that of the same combinations.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from tolerance.cells import Cells, halvings
from tolerance.curves import crossing, survival
from tolerance.inference import Fit

Floats = NDArray[np.float64]
GRID = 121
MOST_DRAWS = 2000


@dataclass(frozen=True)
class TypeCurve:
    """Draws for one task type under one sparsifier, on a grid of halvings from 0 to the last measured level.

    ``accuracy`` ``(draw, grid)``, ``dense`` and ``floor`` ``(draw,)``; ``first`` and ``last`` are measured sparsities.
    ``has_dense`` says whether the dense accuracy was measured or only follows from the curve.
    """

    task_type: str
    sparsifier: str
    tasks: tuple[str, ...]
    levels: Floats
    grid: Floats
    accuracy: Floats
    dense: Floats
    floor: Floats
    has_dense: bool

    @property
    def first(self) -> float:
        """The lowest measured sparsity above 0."""
        return float(self.levels[0])

    @property
    def last(self) -> float:
        """The highest measured sparsity."""
        return float(self.levels[-1])

    @cached_property
    def retention(self) -> Floats:
        """Share of dense accuracy above the floor that is left ``(draw, grid)``."""
        above = np.maximum(self.dense - self.floor, 1e-9)
        return np.asarray((self.accuracy - self.floor[:, None]) / above[:, None])

    def tolerated(self, least: float) -> Floats:
        """Halvings up to which at least ``least`` is retained ``(draw,)``; infinite beyond the last measured level."""
        return crossing(self.retention, self.grid, least)

    def retained_at(self, sparsity: float) -> Floats:
        """Retention at one sparsity ``(draw,)``."""
        at = float(halvings(np.array(sparsity)))
        right = int(np.clip(np.searchsorted(self.grid, at), 1, len(self.grid) - 1))
        part = (at - self.grid[right - 1]) / (self.grid[right] - self.grid[right - 1])
        return np.asarray(self.retention[:, right - 1] * (1 - part) + self.retention[:, right] * part)


def type_curves(fit: Fit) -> list[TypeCurve]:
    """One `TypeCurve` for each task type and sparsifier that was measured together."""
    draws = {name: fit.variable(name, at_most=MOST_DRAWS) for name in ("dense", "loc", "shape", "tail", "floor")}
    curves = []
    for task_type in fit.cells.task_types:
        for sparsifier in fit.cells.sparsifiers:
            curve = _type_curve(fit.cells, draws, task_type, sparsifier)
            if curve is not None:
                curves.append(curve)
    return curves


def _type_curve(cells: Cells, draws: dict[str, Floats], task_type: str, sparsifier: str) -> TypeCurve | None:
    sparse = cells.frame.iloc[cells.n_dense :]
    mine = ((sparse["sparsifier"] == sparsifier) & (sparse["task_type"] == task_type)).to_numpy()
    if not mine.any():
        return None
    pairs = set(zip(cells.task[cells.n_dense :][mine], cells.config[cells.n_dense :][mine], strict=True))
    with_dense = pairs & set(zip(cells.task[: cells.n_dense], cells.config[: cells.n_dense], strict=True))
    used = sorted(with_dense or pairs)
    levels = np.unique(sparse["sparsity"].to_numpy(dtype=np.float64)[mine])
    grid = np.unique(np.concatenate([np.linspace(0, halvings(levels[-1:])[0], GRID), halvings(levels)]))
    method = cells.sparsifiers.index(sparsifier)
    n_draws = len(draws["dense"])
    accuracy, dense, floor = np.zeros((n_draws, len(grid))), np.zeros(n_draws), np.zeros(n_draws)
    for task, config in used:
        left = survival(
            grid[None, :],
            draws["loc"][:, method, task, config, None],
            draws["shape"][:, method, task, None],
            draws["tail"][:, method, None],
        )
        above = (1 - draws["floor"][:, task]) * expit(draws["dense"][:, task, config])
        floor += draws["floor"][:, task] / len(used)
        dense += (draws["floor"][:, task] + above) / len(used)
        accuracy += (draws["floor"][:, task, None] + above[:, None] * left) / len(used)
    tasks = tuple(cells.tasks[t] for t in sorted({t for t, _ in used}))
    return TypeCurve(task_type, sparsifier, tasks, levels, grid, accuracy, dense, floor, bool(with_dense))


@dataclass(frozen=True)
class Ordering:
    """Probabilities that the first, the second, or neither of two tolerated levels is higher."""

    first: float
    second: float
    neither: float


def order(a: TypeCurve, b: TypeCurve, least: float) -> Ordering:
    """Which of two curves keeps ``least`` further; neither where both lie outside what was measured, on one side.

    Draws of curves of one fit belong together, so the comparison is within draws.
    """
    x, y = (_in_range(curve, least) for curve in (a, b))
    return Ordering(float(np.mean(x > y)), float(np.mean(y > x)), float(np.mean(x == y)))


def _in_range(curve: TypeCurve, least: float) -> Floats:
    """Tolerated halvings with what lies below the first measured level set to 0."""
    tolerated = curve.tolerated(least)
    return np.where(tolerated < halvings(np.array(curve.first)), 0.0, tolerated)
