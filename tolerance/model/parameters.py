"""Where every parameter of the tolerance model lies in the sampler's vector, and how each is centred.

Effects with an estimated scale are sampled between centred and non-centred, x ~ N(lambda mean, s^lambda), with lambda
as data that a pilot run sets (Papaspiliopoulos et al. 2007, Stat. Sci. 22:59): both ends fail on real designs.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag, helmert

from tolerance.data.cells import Cells
from tolerance.model.priors import LogNormal, Priors

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Effects with an estimated scale ``sd_<name>``, in the order of the vector; `DEPARTURE` is a scale alone.
SCALED = (
    *("dense_task", "dense_config"),
    *("loc_sparsifier", "loc_task", "loc_sparsifier_type", "loc_config", "loc_curve"),
    *("shape_sparsifier", "shape_task", "shape_curve"),
    "departure_type",
)
DEPARTURE = "sd_departure"
MOST_KNOTS = 8


@dataclass(frozen=True)
class Knots:
    """Where shared departures have their increments: for each sparsifier x type that was measured, level by level.

    ``start`` ``(sparsifier, type)`` is the first increment, -1 where nothing was measured; ``halvings`` and ``step``
    (the root of the distance to the knot before, in log2(1 + halvings)) go by increment; ``cell`` and ``part`` say
    between which knots each cell lies: the departure is that of knot ``cell`` - 1 plus ``part`` of the next increment.
    """

    start: Ints
    halvings: Floats
    step: Floats
    cell: Ints
    part: Floats

    def count(self, method: int, kind: int) -> int:
        """Number of increments of one sparsifier x type."""
        start = int(self.start[method, kind])
        later = self.start[self.start > start]
        return int((later.min() if len(later) else len(self.step)) - start)


@dataclass(frozen=True)
class Parameters:
    """Shapes of all sampled variables of one design, their order, and the contrasts behind them."""

    cells: Cells
    priors: Priors

    @cached_property
    def contrasts(self) -> dict[str, Floats]:
        """Orthonormal zero-sum contrasts ``(group, contrast)`` of each factor."""
        cells = self.cells
        return {
            "type": _contrasts(len(cells.task_types)),
            "sparsifier": _contrasts(len(cells.sparsifiers)),
            "task": _within_types(cells.types()),
            "config": _contrasts(len(cells.configs)),
        }

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each sampled variable by name, in the order of the vector; a variable without elements is absent."""
        cells = self.cells
        tasks, methods, configs = len(cells.tasks), len(cells.sparsifiers), len(cells.configs)
        by = {name: matrix.shape[1] for name, matrix in self.contrasts.items()}
        # Where sparsifiers, tasks and their crossings say all there is, a curve's own effect would only compete.
        curves = methods if methods > 1 else 0
        covariates = cells.covariates.shape[1]
        effects: dict[str, tuple[int, ...]] = {
            "dense_task": (tasks,),
            "dense_config": (tasks, configs if configs > 1 else 0),
            "loc_sparsifier": (by["sparsifier"],),
            "loc_task": (by["task"],),
            "loc_sparsifier_type": (by["sparsifier"], by["type"]),
            "loc_config": (by["config"],),
            "loc_curve": (curves, tasks if by["task"] else 0),
            "shape_sparsifier": (by["sparsifier"],),
            "shape_task": (by["task"],),
            "shape_curve": (curves, tasks),
            "departure_type": (len(self.knots.step),),
        }
        effects = {name: shape for name, shape in effects.items() if math.prod(shape) > 0}
        free: dict[str, tuple[int, ...]] = {
            **dict.fromkeys(("dense_mean", "loc_mean", "shape_mean", "log_tail"), ()),
            **{f"sd_{name}_z": () for name in effects},
            f"{DEPARTURE}_z": (),
            **{f"{name}_type_z": (by["type"],) for name in ("dense", "loc", "shape")},
            "floor_z": (len(self.guessable),),
            "dense_slope_z": (covariates,),
            "loc_slope_z": (covariates,),
            **{f"{name}_z": shape for name, shape in effects.items()},
        }
        return {name: shape for name, shape in free.items() if math.prod(shape) > 0}

    @cached_property
    def knots(self) -> Knots:
        """Knots of the departures that the tasks of a type share."""
        return knots_of(self.cells)

    @cached_property
    def guessable(self) -> Ints:
        """Tasks whose rule gives a chance to guess."""
        return np.flatnonzero(np.asarray(self.cells.chance) > 0)

    @cached_property
    def where(self) -> dict[str, slice]:
        """Place of each variable in the vector."""
        ends = np.cumsum([int(np.prod(shape, dtype=int)) for shape in self.shapes.values()])
        starts = np.r_[0, ends[:-1]]
        return {name: slice(int(a), int(b)) for name, a, b in zip(self.shapes, starts, ends, strict=True)}

    @property
    def size(self) -> int:
        """Length of the vector."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @cached_property
    def scaled(self) -> tuple[str, ...]:
        """Effects of this design that have an estimated scale."""
        return tuple(name for name in SCALED if f"{name}_z" in self.shapes)

    @property
    def is_scale(self) -> NDArray[np.bool_]:
        """Which elements of the vector are scales ``(size,)``."""
        return self.vector({name: np.ones(shape) for name, shape in self.shapes.items() if name.startswith("sd_")}) > 0

    def scale(self, name: str) -> LogNormal:
        """Median and log-sd of the prior of a scale."""
        value: LogNormal = getattr(self.priors, name)
        return value

    def vector(self, values: Mapping[str, Floats]) -> Floats:
        """Values by name, as one vector; 0 for what is not given."""
        out = np.zeros(self.size)
        for name, place in self.where.items():
            if name in values:
                out[place] = np.ravel(values[name])
        return out

    def centre(self) -> Floats:
        """The vector at the centre of the prior."""
        names = {"dense_mean": "dense", "loc_mean": "loc", "shape_mean": "shape", "log_tail": "log_tail"}
        return self.vector({name: np.array(getattr(self.priors, prior)[0]) for name, prior in names.items()})

    def lambdas(self, shares: Mapping[str, Floats] | None = None) -> Floats:
        """Shares of centring ``(size,)`` by effect; 0.5 to start with, 0 for what has no estimated scale."""
        given = shares or {}
        return self.vector({f"{n}_z": given.get(n, np.full(self.shapes[f"{n}_z"], 0.5)) for n in self.scaled})

    def named(self, draws: Floats) -> dict[str, Floats]:
        """Vectors ``(..., size)`` taken apart by name."""
        return {n: draws[..., s].reshape((*draws.shape[:-1], *self.shapes[n])) for n, s in self.where.items()}


def _contrasts(n: int) -> Floats:
    """Orthonormal zero-sum contrasts ``(n, n - 1)``."""
    return np.asarray(helmert(n).T, dtype=np.float64) if n > 1 else np.zeros((n, 0))


def _within_types(of_type: Ints) -> Floats:
    """Zero-sum contrasts of tasks within each type ``(task, contrast)``; a type with one task has none."""
    order = np.argsort(of_type, kind="stable")
    blocks = block_diag(*[_contrasts(int((of_type == t).sum())) for t in np.unique(of_type)])
    return np.asarray(blocks[np.argsort(order)])


def knots_of(cells: Cells) -> Knots:
    """Knots of shared departures: the measured levels of each sparsifier x type."""
    start = np.full((len(cells.sparsifiers), len(cells.task_types)), -1, dtype=np.int64)
    sparse = np.arange(cells.n_dense, len(cells.frame))
    method, kind = cells.sparsifier, cells.types()[cells.task[sparse]]
    halvings: list[Floats] = []
    steps: list[Floats] = []
    cell, part = np.zeros(len(cells.frame), dtype=np.int64), np.zeros(len(cells.frame))
    placed = 0
    for m in range(len(cells.sparsifiers)):
        for k in range(len(cells.task_types)):
            mine = sparse[(method == m) & (kind == k)]
            if not len(mine):
                continue
            start[m, k] = placed
            at = _levels(cells, mine)
            placed += len(at)
            along = np.log2(1 + np.r_[0.0, at])
            place = np.clip(np.searchsorted(along, np.log2(1 + cells.halvings[mine])) - 1, 0, len(at) - 1)
            here = np.log2(1 + cells.halvings[mine])
            cell[mine] = start[m, k] + place
            part[mine] = np.clip((here - along[place]) / np.diff(along)[place], 0.0, 1.0)
            halvings.append(at)
            steps.append(np.sqrt(np.diff(along)))
    return Knots(start, np.concatenate(halvings), np.concatenate(steps), cell, part)


def _levels(cells: Cells, mine: Ints) -> Floats:
    """Halvings of the knots: the requested levels at their mean realised sparsity, `MOST_KNOTS` of them at most."""
    requested = cells.frame["sparsity_requested"].to_numpy()[mine]
    levels = np.unique([cells.halvings[mine][requested == level].mean() for level in np.unique(requested)])
    levels[-1] = cells.halvings[mine].max()
    if len(levels) > MOST_KNOTS:
        levels = np.unique(np.quantile(levels, np.linspace(0, 1, MOST_KNOTS), method="nearest"))
    return np.asarray(levels, dtype=np.float64)
