"""What is asked of the draws: accuracy curves by task type and sparsifier, tolerated levels, orderings.

Every quantity is averaged over the tasks and configurations of a type first, draw by draw, and summarised last. Only
combinations that were measured enter an average, and the dense accuracy of a curve is that of the same combinations.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from tolerance.cells import Cells, halvings
from tolerance.curves import crossing, departed, survival
from tolerance.errors import DesignError
from tolerance.inference import Fit
from tolerance.parameters import knots_of

Floats = NDArray[np.float64]
GRID = 81
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
    def of(cls, fit: Fit) -> "_Draws":
        return cls(**{field: fit.variable(field, at_most=MOST_DRAWS) for field in cls.__dataclass_fields__})


def type_curves(fit: Fit) -> list[TypeCurve]:
    """One `TypeCurve` for each task type and sparsifier that was measured together."""
    draws = _Draws.of(fit)
    curves = (
        _curve(fit, draws, sparsifier, [t for t, k in enumerate(fit.cells.types()) if k == kind], None)
        for kind in range(len(fit.cells.task_types))
        for sparsifier in fit.cells.sparsifiers
    )
    return [curve for curve in curves if curve is not None]


def curve(
    fit: Fit, sparsifier: str, tasks: Sequence[str], configs: Sequence[tuple[str, int]] | None = None
) -> TypeCurve:
    """The curve of some tasks, averaged over them and over configurations (model, context length), all unless given.

    Raises:
        DesignError: none of these was measured under this sparsifier.
    """
    wanted = [fit.cells.tasks.index(task) for task in tasks]
    chosen = None if configs is None else [fit.cells.configs.index(config) for config in configs]
    found = _curve(fit, _Draws.of(fit), sparsifier, wanted, chosen)
    if found is None:
        raise DesignError(f"{', '.join(tasks)} under {sparsifier!r}: nothing was measured there.")
    return found


def _curve(
    fit: Fit, draws: _Draws, sparsifier: str, tasks: Sequence[int], configs: Sequence[int] | None
) -> TypeCurve | None:
    cells, method = fit.cells, fit.cells.sparsifiers.index(sparsifier)
    sparse = np.arange(cells.n_dense, len(cells.frame))
    mine = sparse[(cells.sparsifier == method) & np.isin(cells.task[sparse], tasks)]
    if configs is not None:
        mine = mine[np.isin(cells.config[mine], configs)]
    if not len(mine):
        return None
    rng = np.random.default_rng([fit.seed, method, *tasks])
    pairs = set(zip(cells.task[mine], cells.config[mine], strict=True))
    with_dense = pairs & set(zip(cells.task[: cells.n_dense], cells.config[: cells.n_dense], strict=True))
    used = sorted(with_dense or pairs)
    levels = np.unique(cells.frame["sparsity"].to_numpy(dtype=np.float64)[mine])
    grid = np.unique(np.concatenate([np.linspace(0, halvings(levels[-1:])[0], GRID), halvings(levels)]))
    n_draws = len(draws.dense)
    accuracy, dense, floor = np.zeros((n_draws, len(grid))), np.zeros(n_draws), np.zeros(n_draws)
    kinds = {int(cells.types()[task]) for task, _ in used}
    shared = {kind: _shared_departure(cells, draws, method, kind, grid, rng) for kind in sorted(kinds)}
    for task, config in used:
        here = mine[(cells.task[mine] == task) & (cells.config[mine] == config)]
        ground = draws.floor[:, task]
        floor += ground / len(used)
        dense += _dense_accuracy(cells, draws, task, config) / len(used)
        of_type = shared[int(cells.types()[task])]
        accuracy += _curve_accuracy(cells, draws, (method, task, config), here, grid, of_type, rng) / len(used)
    return TypeCurve(
        task_type=" + ".join(cells.task_types[kind] for kind in sorted(kinds)),
        sparsifier=sparsifier,
        tasks=tuple(cells.tasks[t] for t in sorted({t for t, _ in used})),
        levels=levels,
        grid=grid,
        accuracy=accuracy,
        dense=dense,
        floor=floor,
        has_dense=bool(with_dense),
    )


def _dense_accuracy(cells: Cells, draws: _Draws, task: int, config: int) -> Floats:
    """Dense accuracy ``(draw,)``."""
    return np.asarray(cells.chance[task] + (1 - cells.chance[task]) * expit(draws.dense[:, task, config]))


def _curve_accuracy(
    cells: Cells,
    draws: _Draws,
    where: tuple[int, int, int],
    measured: NDArray[np.int64],
    grid: Floats,
    shared: Floats,
    rng: np.random.Generator,
) -> Floats:
    """Accuracy of the curve of a sparsifier, task and configuration ``(draw, grid)``, departures included.

    ``shared`` is the departure that the type shares; the curve's own is known at its ``measured`` cells.
    """
    method, task, config = where
    left = survival(
        grid[None, :],
        (draws.loc[:, method, task] + draws.loc_config[:, config])[:, None],
        draws.shape[:, method, task, None],
        draws.tail[:, None],
    )
    floor = draws.floor[:, task, None]
    whole = _dense_accuracy(cells, draws, task, config)[:, None]
    above = np.maximum((whole - floor) / (1 - floor), 1e-6) * np.maximum(left, 1e-280)
    family = floor + (1 - floor) / (1 + (1 - above) / above * np.exp(-shared))
    order = measured[np.argsort(cells.halvings[measured], kind="stable")]
    knots, first = np.unique(cells.halvings[order], return_index=True)
    if len(knots) < len(order):
        # the same level asked twice: the mean of its departures
        sizes = np.diff(np.r_[first, len(order)])
        departure = np.add.reduceat(draws.departure[:, order], first, axis=1) / sizes
    else:
        departure = draws.departure[:, order]
    # a logit of accuracy is sqrt(p (1 - p)) / 2 in arcsin(sqrt(p))
    scale = draws.sd_departure[:, None] * np.sqrt(family * (1 - family)) / 2
    return departed(family, _between(departure, knots, grid, scale, rng))


def _shared_departure(
    cells: Cells, draws: _Draws, method: int, kind: int, grid: Floats, rng: np.random.Generator
) -> Floats:
    """Departure that the tasks of a type share ``(draw, grid)``, in logits of above-floor accuracy."""
    knots = knots_of(cells)
    start = knots.start[method, kind]
    mine = slice(start, start + knots.count(method, kind))
    values = np.cumsum(draws.departure_type[:, mine], axis=1)
    return _between(values, knots.halvings[mine], grid, draws.sd_departure_type[:, None], rng)


def _between(values: Floats, knots: Floats, grid: Floats, scale: Floats, rng: np.random.Generator) -> Floats:
    """Departures on a grid from those at knots: straight in log2(1 + halvings), plus an arch between knots.

    The arch's middle has the variance of a Wiener bridge of that ``scale``. Nothing is claimed beyond the last knot.
    """
    along, at = np.log2(1 + grid), np.log2(1 + np.r_[0.0, knots])
    ends = np.concatenate([np.zeros((len(values), 1)), values], axis=1)
    segment = np.clip(np.searchsorted(at, along, side="right") - 1, 0, len(at) - 2)
    part = np.clip((along - at[segment]) / np.diff(at)[segment], 0.0, 1.0)
    height = rng.standard_normal((len(values), len(at) - 1)) * np.sqrt(np.diff(at)) / 2
    straight = ends[:, segment] * (1 - part) + ends[:, segment + 1] * part
    return np.asarray(straight + scale * height[:, segment] * (4 * part * (1 - part)))


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
