"""The factors of a design: their levels, their columns, and which level each element of a predictor has."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import block_diag, helmert

from tolerance.data.cells import Cells
from tolerance.model.knots import Knots
from tolerance.model.terms import BEFORE, COVARIATES, TERMS, Predictor, Term

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Levels by factor, for each element of a predictor.
Index = Mapping[str, Ints]
EACH, CONTRASTS, COLUMNS = 0, 1, 2


@dataclass(frozen=True)
class Basis:
    """What coordinates count in the levels of a factor.

    One coordinate a level (`EACH`); orthonormal zero-sum contrasts within groups of levels (`CONTRASTS`); or the values
    of covariates ``(level, covariate)`` (`COLUMNS`).
    """

    kind: int
    levels: int
    groups: tuple[Ints, ...] = ()
    values: Floats | None = None

    @property
    def columns(self) -> int:
        """How many coordinates."""
        if self.kind == CONTRASTS:
            return self.levels - len(self.groups)
        return self.levels if self.values is None else self.values.shape[1]

    @cached_property
    def matrix(self) -> Floats:
        """The same as a matrix ``(level, column)``."""
        if self.kind == EACH:
            return np.eye(self.levels)
        if self.values is not None:
            return self.values
        order = np.concatenate(self.groups)
        parts = [helmert(len(group)).T if len(group) > 1 else np.zeros((1, 0)) for group in self.groups]
        return np.asarray(block_diag(*parts)[np.argsort(order)], dtype=np.float64)


@dataclass(frozen=True)
class Placed:
    """A term of one design: the bases of its factors, and the level of each element of its predictor.

    ``level`` is -1 for elements that have none; ``first`` is one element of each level.
    """

    term: Term
    bases: tuple[Basis, ...]
    shape: tuple[int, ...]
    level: Ints
    first: Ints

    @property
    def n_levels(self) -> int:
        """Levels of the factors crossed."""
        return int(np.prod([basis.levels for basis in self.bases], dtype=int))


@dataclass(frozen=True)
class Factors:
    """Levels and columns of all factors, and the elements of each predictor."""

    cells: Cells
    knots: Knots

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Models, in order."""
        return tuple(sorted({model for model, _ in self.cells.configs}))

    @cached_property
    def contexts(self) -> tuple[int | None, ...]:
        """Context lengths, in order; one that nobody recorded comes first."""
        return tuple(sorted({context for _, context in self.cells.configs}, key=lambda c: (c is not None, c)))

    @cached_property
    def sizes(self) -> dict[str, int]:
        """Number of levels of each factor."""
        cells = self.cells
        sizes = {"type": len(cells.task_types), "sparsifier": len(cells.sparsifiers), "task": len(cells.tasks)}
        sizes |= {"config": len(cells.configs), "model": len(self.models), "context": len(self.contexts)}
        sizes |= {"knot": len(self.knots.step), "bend": int(self.knots.bend.max() + 1)}
        return sizes

    def basis(self, factor: str) -> Basis:
        """The columns of a factor: contrasts, within types for tasks; or covariates."""
        if factor in COVARIATES:
            values = self._covariates(factor)
            return Basis(COLUMNS, len(values), values=values)
        n = self.sizes[factor]
        of_type = self.cells.types()
        groups = [np.flatnonzero(of_type == k) for k in np.unique(of_type)] if factor == "task" else [np.arange(n)]
        return Basis(CONTRASTS, n, tuple(groups))

    def placed(self, term: Term, index: Index) -> Placed | None:
        """A term over elements of its predictor; None where the design has none of it."""
        if not all(self._several(factor) for factor in term.several):
            return None
        if term.is_mean or term.each:
            shape, factors = tuple(self.sizes[factor] for factor in term.each), term.each
            bases: tuple[Basis, ...] = (Basis(EACH, int(np.prod(shape, dtype=int))),)
        else:
            bases = tuple(self.basis(factor) for factor in term.crossed)
            shape, factors = tuple(one.columns for one in bases), term.crossed
        if np.prod(shape, dtype=int) == 0:
            return None
        n_levels = int(np.prod([one.levels for one in bases], dtype=int))
        level = np.zeros(len(next(iter(index.values()))), dtype=np.int64)
        for factor in factors:
            name = COVARIATES.get(factor, factor)
            level = np.where(index[name] < 0, -1, level * self.sizes[name] + index[name])
        first = np.full(n_levels, -1, dtype=np.int64)
        found, where = np.unique(level, return_index=True)
        first[found[found >= 0]] = where[found >= 0]
        return Placed(term, bases, shape, level, first)

    def table(self, predictor: Predictor, index: Index) -> list[Placed]:
        """All terms of a predictor over its elements, in order."""
        found = [self.placed(term, index) for term in TERMS if term.predictor == predictor]
        return [one for one in found if one is not None]

    @cached_property
    def dense(self) -> Index:
        """Elements of dense accuracy: each task x configuration."""
        task, config = np.indices((self.sizes["task"], self.sizes["config"])).reshape(2, -1)
        return self._index(task=task, config=config)

    @cached_property
    def curves(self) -> Index:
        """Elements of location and shape: each sparsifier x task x configuration."""
        grid = self.sizes["sparsifier"], self.sizes["task"], self.sizes["config"]
        sparsifier, task, config = np.indices(grid).reshape(3, -1)
        return self._index(sparsifier=sparsifier, task=task, config=config)

    @cached_property
    def departures(self) -> Index:
        """Elements of departures that curves share: increments of paths."""
        return {"knot": self.knots.knot, "bend": self.knots.bend}

    @cached_property
    def used(self) -> Ints:
        """Those of `curves` that were measured, and one of each sparsifier x task that was not ``(element,)``."""
        cells, n = self.cells, self.sizes["config"]
        curve = cells.sparsifier * self.sizes["task"] + cells.task[cells.n_dense :]
        measured = np.unique(curve * n + cells.config[cells.n_dense :])
        others = np.setdiff1d(np.arange(self.sizes["sparsifier"] * self.sizes["task"]), curve) * n
        return np.union1d(measured, others)

    def _index(self, **index: Ints) -> Index:
        configs = self.cells.configs
        model = np.array([self.models.index(m) for m, _ in configs], dtype=np.int64)
        context = np.array([self.contexts.index(c) for _, c in configs], dtype=np.int64)
        more = {"type": self.cells.types()[index["task"]], "model": model[index["config"]]}
        return {**index, **more, "context": context[index["config"]]}

    def _covariates(self, factor: str) -> Floats:
        """Covariates by level of their factor ``(level, covariate)``."""
        table = self.cells.covariates
        if factor == "covariates":
            return table.to_numpy(dtype=np.float64).reshape(self.sizes["config"], -1)
        if factor not in table:
            return np.zeros((self.sizes[COVARIATES[factor]], 0))
        place = 0 if COVARIATES[factor] == "model" else 1
        levels = (self.models, self.contexts)[place]
        rows = [next(i for i, config in enumerate(self.cells.configs) if config[place] == level) for level in levels]
        return table[[factor]].to_numpy(dtype=np.float64)[rows]

    def _several(self, factor: str) -> bool:
        if factor == "task in type":
            return self.sizes["task"] > self.sizes["type"]
        least, name = (3, factor.removeprefix("third ")) if factor.startswith("third ") else (2, factor)
        return self.sizes[name] >= least


def centre_of(placed: Placed, others: list[Placed]) -> Placed | None:
    """The term whose effects this one's coordinates are centred on, if it is one and the design has it."""
    name = placed.term.around
    return None if name in (None, BEFORE) else next((one for one in others if one.term.name == name), None)
