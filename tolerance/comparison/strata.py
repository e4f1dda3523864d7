"""Strata: conditions of both arms that share all but what differs and what moves along the axis.

What moves along an axis depends on the arms. Where both leave the level open, levels do; where levels are fixed, model
sizes do; along the context length, contexts do. All else that both arms have is matched, and each stratum has one mix
of tasks, the same on both arms and everywhere on the axis, so that no regression has to tell size from compute.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import NamedTuple

import numpy as np

from tolerance import findings
from tolerance.axes.table import SAME, Accounted, Axis, Mover
from tolerance.comparison.both_arms import BothArms, Place, place_of
from tolerance.comparison.conditions import CONDITION, Condition
from tolerance.comparison.posterior import Floats, Posterior
from tolerance.comparison.verdicts import AxisPath, Stratum
from tolerance.data import weights
from tolerance.data.cells import SAME_LEVEL
from tolerance.model.curve import LEAST_ABOVE_FLOOR

# Points of a path over levels, between the lowest and the highest that was measured.
FINE = 33
# Beyond so many strata of unlike models nobody could say what was matched.
MOST_STRATA = 200
# Model, context and level of a stratum; what moves is None.
_Key = tuple[str | None, int | None, float | None]


class Group(NamedTuple):
    """Arms of both arms that make up a stratum, and the tasks that all of them answered."""

    treatment: list[Condition]
    reference: list[Condition]
    tasks: list[str]


class UnanswerableError(Exception):
    """Why no number can be given."""


@dataclass(frozen=True)
class Strata:
    """Strata of one axis and task type."""

    arms: BothArms
    kind: str
    axis: Axis
    accounted: Accounted
    posterior: Posterior
    quantity: findings.Quantity

    def strata(self) -> tuple[list[Group], list[Stratum]]:
        """Along what moves first of all that may; what does not move along an axis makes place for the next."""
        movers: list[Mover | None] = [one for one in self.axis.moved_by if one != "level" or self.arms.open]
        for mover in [*movers, None]:
            groups = self._groups(mover)
            strata = [self._stratum(group, mover) for group in groups]
            if mover != "level" or None not in strata:
                return groups, [stratum for stratum in strata if stratum is not None]
        raise AssertionError

    def _groups(self, mover: Mover | None) -> list[Group]:
        """Arms grouped by all that does not move; what both arms have is matched, the rest is crossed."""
        if self.arms.open and mover != "level" and not self.arms.one_unit:
            raise UnanswerableError("levels are fractions of different things: name one level for each arm")
        a: dict[_Key, list[Condition]] = {}
        b: dict[_Key, list[Condition]] = {}
        for found, mine in zip((a, b), self.arms.conditions, strict=True):
            for condition in mine:
                found.setdefault(self._key(condition, mover), []).append(condition)
        pairs = [(one, other) for one, other in product(a, b) if self._alike(one, other)]
        wanted = self.arms.tasks(self.kind)
        groups = []
        for one, other in pairs:
            common = frozenset.intersection(*(condition.tasks for condition in (*a[one], *b[other])))
            if tasks := [task for task in wanted if task in common]:
                groups.append(Group(a[one], b[other], tasks))
        alike = [group for group in map(self._alike_items, groups) if group.tasks]
        if groups and not alike:
            raise UnanswerableError("models answered different items of every task that they have in common")
        groups = alike
        if not groups:
            raise UnanswerableError("no task, context and model or level in common")
        if len(groups) > MOST_STRATA:
            raise UnanswerableError(f"{len(groups)} strata of unlike models: name fewer on each arm")
        return groups

    def _alike_items(self, group: Group) -> Group:
        """The group without tasks of which its models answered different items."""
        both = [*group.treatment, *group.reference]
        if len({condition.model for condition in both}) < 2:
            return group
        contexts = {condition.context for condition in both}
        tasks = [task for task in group.tasks if not any((task, c) in self.arms.unlike for c in contexts)]
        return group._replace(tasks=tasks)

    def _key(self, condition: Condition, mover: Mover | None) -> _Key:
        return (
            None if mover == "model" else condition.model,
            None if mover == "context" else condition.context,
            condition.requested if self.arms.open and mover != "level" else None,
        )

    def _alike(self, a: _Key, b: _Key) -> bool:
        models, contexts = self._shared
        if a[0] is not None and models and a[0] != b[0]:
            return False
        if a[1] is not None and contexts and a[1] != b[1]:
            return False
        if a[2] is None or b[2] is None:
            return True
        return abs(float(np.log2((1 - a[2]) / (1 - b[2])))) < SAME_LEVEL

    @cached_property
    def _shared(self) -> tuple[bool, bool]:
        """Whether the arms have models, and contexts, in common."""
        a, b = self.arms.conditions
        return (
            bool({condition.model for condition in a} & {condition.model for condition in b}),
            bool({condition.context for condition in a} & {condition.context for condition in b}),
        )

    def _stratum(self, group: Group, mover: Mover | None) -> Stratum | None:
        a, b = (self._path(mine, group.tasks, mover) for mine in (group.treatment, group.reference))
        return None if a is None or b is None else Stratum(a, b)

    def _path(self, mine: list[Condition], tasks: list[str], mover: Mover | None) -> AxisPath | None:
        if mover == "level":
            return self._over_levels(mine, tasks)
        x = np.array([self.at(condition, tasks) for condition in mine])
        draws = np.column_stack([self._quantity(condition, tasks, [condition.level])[:, 0] for condition in mine])
        return _merged(x, draws)

    def _over_levels(self, mine: list[Condition], tasks: list[str]) -> AxisPath | None:
        """Along the fitted curve; none where levels do not move along this axis, or not one way."""
        mine = sorted(mine, key=lambda condition: condition.level)
        x = np.array([self.at(condition, tasks) for condition in mine])
        halved = np.array([condition.halvings for condition in mine])
        steps = np.diff(x)
        if len(mine) > 1 and not (np.all(steps > SAME) or np.all(steps < -SAME)):
            return None
        fine = np.union1d(np.linspace(halved[0], halved[-1], FINE), halved)
        along = np.interp(fine, halved, x)
        order = np.argsort(along, kind="stable")
        draws = self._quantity(mine[0], tasks, (1 - 2.0 ** -fine[order]).tolist())
        return AxisPath(along[order], draws, "curve", np.flatnonzero(np.isin(fine[order], halved)))

    def at(self, condition: Condition, tasks: list[str]) -> float:
        """Where a condition lies on the axis: the mean over its task mix, on the scale of the axis."""
        values = [
            self._means[condition.model, condition.context, condition.sparsifier, condition.requested, task]
            for task in tasks
        ]
        return float(self.axis.forward(np.array(np.average(values, weights=self.weights(tasks)))))

    @cached_property
    def _means(self) -> dict[Place, float]:
        assert self.accounted.values is not None
        names = [*CONDITION, "task"]
        table = self.arms.both[names].assign(value=self.accounted.values.to_numpy())
        means = weights.means(table, table["value"], names, dropna=False).reset_index()
        return {place_of(*key): float(value) for *key, value in means.itertuples(index=False)}

    def weights(self, tasks: list[str]) -> Floats:
        """Of tasks: each type counts alike, and each task in it ``(task,)``."""
        kinds = [self.arms.types[task] for task in tasks]
        each = np.array([1 / kinds.count(kind) for kind in kinds])
        return np.asarray(each / each.sum())

    def _quantity(self, condition: Condition, tasks: list[str], sparsities: Sequence[float]) -> Floats:
        """Accuracy, or the share of dense accuracy above the floor, over the task mix ``(draw, sparsity)``."""
        weights = self.weights(tasks)
        parts = zip(tasks, weights, strict=True)
        accuracy = np.sum([w * self.posterior.accuracy(condition, task, sparsities) for task, w in parts], axis=0)
        if self.quantity == "accuracy":
            return np.asarray(accuracy)
        dense = [self.posterior.dense(condition, task) for task in tasks]
        if any(one is None for one in dense):
            raise UnanswerableError("no dense baseline")
        floor = np.sum([w * self.posterior.floor(task) for task, w in zip(tasks, weights, strict=True)], axis=0)
        whole = np.sum([w * one for one, w in zip(dense, weights, strict=True) if one is not None], axis=0)
        if np.mean(whole - floor < LEAST_ABOVE_FLOOR) > 0.05:
            raise UnanswerableError("dense accuracy is at the guessing floor")
        return np.asarray((accuracy - floor[:, None]) / np.maximum(whole - floor, 1e-9)[:, None])


def _merged(x: Floats, draws: Floats) -> AxisPath:
    """Points in ascending order; those at one value of the axis become their mean."""
    order = np.argsort(x, kind="stable")
    x, draws = x[order], draws[:, order]
    group = np.r_[0, np.cumsum(np.diff(x) > SAME)]
    return AxisPath(
        np.array([x[group == g].mean() for g in np.unique(group)]),
        np.column_stack([draws[:, group == g].mean(axis=1) for g in np.unique(group)]),
    )
