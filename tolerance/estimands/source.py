"""What the curves of a fit are made from, looked up once: thinned draws, and which cells are where."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tolerance.estimands.type_curve import Floats, Ints, Place
from tolerance.inference.saved import Fit
from tolerance.model.knots import Knots, knots_of

GRID = 81
# Draws are thinned to what the numbers of all curves leave room for, within these limits; at most all of a usual fit,
# for R-hat of fewer is further from 1 by chance.
MOST_DRAWS, LEAST_DRAWS, MOST_NUMBERS = 2800, 800, 500_000_000
# Halvings of one level differ by so much where they were summed in another order.
ROUNDING = 1e-9


@dataclass(frozen=True)
class _Draws:
    """Draws, thinned alike, that curves are made of."""

    dense: Floats
    floor: Floats
    loc: Floats
    shape: Floats
    tail: Floats
    departure: Floats
    sd_departure: Floats
    departure_type: Floats
    sd_departure_type: Floats
    sd_departure_config: Floats

    @classmethod
    def of(cls, fit: Fit, at_most: int) -> "_Draws":
        there = fit.draws["posterior"]
        found = {one: fit.variable(one, at_most=at_most) for one in cls.__dataclass_fields__ if one in there}
        # of one configuration there are no departures beside those of the type
        return cls(**{"sd_departure_config": np.zeros_like(found["tail"]), **found})


@dataclass(frozen=True)
class Source:
    """What the curves of a fit are made from, looked up once: thinned draws, and which cells are where."""

    fit: Fit

    @cached_property
    def at_most(self) -> int:
        """How many draws curves are made of at most: fewer where there are very many curves."""
        n_curves = len({(method, self.kinds[task]) for method, task, _ in self.measured})
        return int(np.clip(MOST_NUMBERS // (n_curves * GRID), LEAST_DRAWS, MOST_DRAWS))

    @cached_property
    def draws(self) -> _Draws:
        """Draws, thinned."""
        return _Draws.of(self.fit, at_most=self.at_most)

    @cached_property
    def kinds(self) -> tuple[int, ...]:
        """Task type of each task, by index."""
        return self.fit.cells.type_of_task

    @cached_property
    def knots(self) -> Knots:
        """Knots of the departures that curves share."""
        return knots_of(self.fit.cells)

    @cached_property
    def told(self) -> dict[tuple[int, int], Floats]:
        """Halvings at which some curve of a sparsifier and type was measured, or has a knot, by both."""
        found: dict[tuple[int, int], set[float]] = {}
        halvings = self.fit.cells.halvings
        for (method, task, _), cells in self.measured.items():
            found.setdefault((method, self.kinds[task]), set()).update(halvings[cells].tolist())
        knots = self.knots
        for (method, kind), points in found.items():
            start = knots.start[method, kind]
            points.update(knots.halvings[start : start + knots.count(method, kind)].tolist())
        return {key: _apart(np.array(sorted(points))) for key, points in found.items()}

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


def _apart(points: Floats) -> Floats:
    """Ascending points without those that differ from the one before by rounding alone."""
    return points[np.r_[True, np.diff(points) > ROUNDING]]
