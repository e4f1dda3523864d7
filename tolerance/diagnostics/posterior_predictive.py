"""Do the answers look like the fitted curves? Checks in every group that is reported, cell by cell.

Predicted: new data would have the items' noise and departures of their own, so that a departure which a whole type
shares, or one of a single cell, is not explained away by the departures that were fitted to it.

Reported: accuracies with the departures that were fitted are what a report states. Where answers are many those that
were observed must not lie further from them than the items' noise reaches.
"""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from tolerance.findings import Scale
from tolerance.inference.saved import Fit
from tolerance.model.log_likelihood import residuals

Floats = NDArray[np.float64]
REPLICATES = 1000
PROB = 0.9
LIMIT = 0.05
# What the cells of a group share: all tasks of a type, or all configurations of a task.
BY_TYPE = ("task_type", "sparsifier", "sparsity_requested")
BY_TASK = ("task", "sparsifier", "sparsity_requested")
BY_CONFIG = ("model", "context_length", "task_type", "sparsifier", "sparsity_requested")
# Groups of fewer answers say little about what is reported of them.
MANY = 200


@dataclass(frozen=True)
class Groups:
    """One way to group the cells, and each group's p. ``table`` has a row a group: its keys, ``right``, ``n``, ``p``.

    ``corrected`` is p times the number of groups, and times the number of ways to group (Bonferroni).
    """

    table: pd.DataFrame

    @property
    def smallest(self) -> float:
        """The smallest corrected p."""
        return float(self.table["corrected"].min()) if len(self.table) else 1.0

    @property
    def unlike(self) -> pd.DataFrame:
        """Groups whose answers are unlike what is predicted, the most unlike first."""
        return self.table[self.table["corrected"] < LIMIT].sort_values("p", kind="stable")


@dataclass(frozen=True)
class Predictive:
    """Predictive checks of one fit, thinned to `REPLICATES` draws."""

    fit: Fit

    @cached_property
    def by_type(self) -> Groups:
        """Task type x sparsifier x level."""
        return self._groups(BY_TYPE)

    @cached_property
    def by_task(self) -> Groups:
        """Task x sparsifier x level."""
        return self._groups(BY_TASK)

    @cached_property
    def by_config(self) -> Groups:
        """Model x context length x task type x sparsifier x level: no group's errors cancel over models."""
        return self._groups(BY_CONFIG)

    @property
    def smallest(self) -> float:
        """The smallest corrected p of all ways to group: the gate."""
        return float(min(1.0, *(getattr(self, f"by_{way}").smallest for way in self._ways)))

    def unlike(self) -> Iterator[str]:
        """The groups that defeat the family, in words, tasks first."""
        for way in self._ways:
            for group in getattr(self, f"by_{way}").unlike.to_dict("records"):
                yield named(group, self.fit.cells.scales)

    @cached_property
    def reported(self) -> Groups:
        """Observed accuracies against those reported of the same cells, by configuration, in groups of many answers.

        Fitted to the answers, residuals vary less than their noise, so that p is conservative: one of 20 groups is
        found with probability 0.8 where it is reported 3.9 standard errors of its answers away, or more.
        """
        residual = residuals(self.fit.cells, self.fit.variable("accuracy", at_most=REPLICATES)).mean(0)
        order, starts = self._places(BY_CONFIG)
        z = np.add.reduceat(residual[order], starts) / np.sqrt(self._spread(BY_CONFIG, np.zeros(1))[0])
        table = self._table(BY_CONFIG).assign(p=2 * ndtr(-np.abs(z)))
        table = table[table["n"] >= MANY].reset_index(drop=True)
        return Groups(table.assign(corrected=np.minimum(1.0, table["p"] * len(table))))

    @cached_property
    def table(self) -> pd.DataFrame:
        """`by_task` with the observed share and the ends of the interval for new answers, the most unlike first."""
        frame = self.by_task.table
        lower, upper = np.quantile(self._replicates(), [(1 - PROB) / 2, (1 + PROB) / 2], axis=0)
        told = frame.assign(
            observed=frame["right"] / frame["n"], lower=lower, upper=upper, unlike=frame["corrected"] < LIMIT
        )
        return told.sort_values("p", kind="stable", ignore_index=True)

    def accuracies(self) -> tuple[Floats, Floats]:
        """Accuracy of each group of `by_task` as observed ``(group,)`` and of new answers ``(draw, group)``."""
        table = self.by_task.table
        return np.asarray(table["right"] / table["n"], dtype=np.float64), self._replicates()

    def _groups(self, by: tuple[str, ...]) -> Groups:
        """Two-sided p of the mean residual of each group's cells, averaged over draws."""
        order, starts = self._places(by)
        residual = residuals(self.fit.cells, self._fitted)[:, order]
        z = np.add.reduceat(residual, starts, axis=1) / np.sqrt(self._spread(by, self._sigma))
        p = (2 * ndtr(-np.abs(z))).mean(0)
        return Groups(self._table(by).assign(p=p, corrected=np.minimum(1.0, p * len(p) * len(self._ways))))

    def _spread(self, by: tuple[str, ...], sigma: Floats) -> Floats:
        """Variance of the sum of a group's new residuals ``(draw, group)``, whose cells may ask the same items."""
        keys = self._keys(by)
        out = np.zeros((len(sigma), keys.max() + 1))
        blocks = self.fit.blocks
        for (group, _, spread), unwhitening in zip(blocks.matrices, blocks.inverses, strict=True):
            mine, member = np.unique(keys[group], return_inverse=True)
            sums = np.zeros((len(mine), len(group)))
            np.add.at(sums, member, unwhitening)
            out[:, mine] += (1 + np.square(sigma)[:, None] * spread) @ np.square(sums).T
        return out

    def _table(self, by: tuple[str, ...]) -> pd.DataFrame:
        """Answers of each group."""
        frame = self.fit.cells.frame.groupby(list(by), sort=True, dropna=False)
        return frame.agg(right=("right", "sum"), n=("n", "sum")).reset_index()

    def _replicates(self) -> Floats:
        """Accuracy of new answers to the groups of `by_task` ``(draw, group)``.

        A residual is near twice the root of n times the difference in arcsin(sqrt(accuracy)).
        """
        order, starts = self._places(BY_TASK)
        cells, noise = self.fit.cells, np.random.default_rng(self.fit.seed).standard_normal(self._fitted.shape)
        moved = np.sqrt(self._variance) * noise
        angle = np.arcsin(np.sqrt(np.clip(self._fitted, 0, 1))) + moved / (2 * np.sqrt(cells.weight))
        right = np.sin(np.clip(angle, 0.0, np.pi / 2)) ** 2 * cells.n
        return np.asarray(np.add.reduceat(right[:, order], starts, axis=1) / np.add.reduceat(cells.n[order], starts))

    def _places(self, by: tuple[str, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Cells in the order of their groups, and where each group starts."""
        keys = self._keys(by)
        order = np.argsort(keys, kind="stable")
        return order, np.flatnonzero(np.r_[True, np.diff(keys[order]) > 0])

    def _keys(self, by: tuple[str, ...]) -> NDArray[np.int64]:
        """Group of each cell."""
        return np.asarray(self.fit.cells.frame.groupby(list(by), sort=True, dropna=False).ngroup(), dtype=np.int64)

    @cached_property
    def _ways(self) -> tuple[str, ...]:
        """Ways to group that differ: by type only where one has several tasks, by configuration where there are two."""
        cells = self.fit.cells
        several = {"type": len(cells.tasks) > len(cells.task_types), "config": len(cells.configs) > 1}
        return "task", *(way for way, there in several.items() if there)

    @cached_property
    def _fitted(self) -> Floats:
        return self.fit.variable("fitted", at_most=REPLICATES)

    @cached_property
    def _variance(self) -> Floats:
        """Variance of new residuals ``(draw, cell)``: the items' noise, and departures drawn anew."""
        return np.asarray(1 + self._sigma[:, None] ** 2 * self.fit.blocks.departure)

    @cached_property
    def _sigma(self) -> Floats:
        return self.fit.variable("sd_departure", at_most=REPLICATES)


def named(group: Mapping[Hashable, Any], scales: Mapping[str, Scale]) -> str:
    """A group in words, by its keys; its level as it was set."""
    scale, place = scales.get(str(group["sparsifier"])), float(group["sparsity_requested"])
    where = f"under {group['sparsifier']} at {f'sparsity {place:g}' if scale is None else scale.level(place)}"
    of = str(group["task"]) if "task" in group else f"all tasks of {group['task_type']}"
    if "model" not in group:
        return f"{of} {where}"
    length = "" if pd.isna(group["context_length"]) else f" at {group['context_length']} tokens"
    return f"{of} of {group['model']}{length} {where}"
