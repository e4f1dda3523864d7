"""Answers by item: for each task a table of items x conditions, from which cells and everything else are made.

Contrasts rest on the items that both conditions were asked: see `tolerance.data.same_items`. Items that depend on each
other (a passage, one question graded by two filters) are one cluster, and clusters, with all their answers under every
condition, model and context, are what is resampled.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance.data.clusters import Clusters, clusters
from tolerance.data.conditions import DENSE, known_context
from tolerance.data.levels import placed, scales
from tolerance.data.outcomes import level
from tolerance.errors import DesignError
from tolerance.findings import Scale

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
NOWHERE = -1
# Sums of scores are rounded to this many digits, so that they do not depend on the order of rows.
DIGITS = 9


class MethodLevel(NamedTuple):
    """A sparsifier at the level it was asked for."""

    sparsifier: str
    level: float


class Config(NamedTuple):
    """A model at a context length; None where no context was recorded."""

    model: str
    context: int | None


@dataclass(frozen=True)
class TaskItems:
    """Answers to one task ``(item, column)``; a column is a condition under one configuration (model, context).

    ``mean`` is an item's mean score (0 where it was not asked), ``count`` how many graded answers it has. ``dense`` is
    the column that each column is compared with, `NOWHERE` where there is none. ``binary``: all answers right or wrong.
    ``item`` ``(item,)`` are the places of items among `ItemTable.items`; ``cluster`` ``(item,)`` codes items that
    depend on each other, also across tasks. ``chance`` is null where unknown, ``realised`` ``(column,)`` where it was
    not measured. ``parts`` ``(column,)`` counts the right-or-wrong parts of answers; infinite where they are unknown.
    """

    name: str
    task_type: str
    chance: float
    binary: bool
    config: Ints
    condition: Ints
    sparsity: Floats
    realised: Floats
    parts: Floats
    dense: Ints
    mean: Floats
    count: Ints
    item: Ints
    cluster: Ints

    @property
    def floor(self) -> float:
        """The guessing floor; 0 where it is unknown, which everybody who uses it says."""
        return 0.0 if np.isnan(self.chance) else self.chance

    @cached_property
    def asked(self) -> Flags:
        """Whether an item was answered ``(item, column)``."""
        return np.asarray(self.count > 0)

    @cached_property
    def clustered(self) -> bool:
        """Whether some items depend on each other."""
        ascending = bool((np.diff(self.cluster) > 0).all())
        return not ascending and len(np.unique(self.cluster)) < len(self.cluster)

    def blocks(self) -> Iterator[tuple[Ints, Ints]]:
        """Columns and items of each configuration."""
        for config in np.unique(self.config):
            columns = np.flatnonzero(self.config == config)
            yield columns, np.flatnonzero(self.asked[:, columns].any(axis=1))

    def of_clusters(self, codes: Ints) -> "TaskItems":
        """The same task with other clusters ``(item,)``."""
        return replace(self, cluster=codes)

    def only(self, items: Ints, columns: Ints) -> "TaskItems":
        """The same task with fewer items and columns."""
        places = np.full(len(self.config) + 1, NOWHERE)
        places[columns] = np.arange(len(columns))
        block = np.ix_(items, columns)
        return TaskItems(
            name=self.name,
            task_type=self.task_type,
            chance=self.chance,
            binary=self.binary,
            config=self.config[columns],
            condition=self.condition[columns],
            sparsity=self.sparsity[columns],
            realised=self.realised[columns],
            parts=self.parts[columns],
            dense=places[self.dense[columns]],
            mean=self.mean[block],
            count=self.count[block],
            item=self.item[items],
            cluster=self.cluster[items],
        )


@dataclass(frozen=True)
class ItemTable:
    """All tasks, in order of their names, and the conditions, configurations and ids of items that they refer to."""

    tasks: tuple[TaskItems, ...]
    conditions: tuple[MethodLevel, ...]
    configs: tuple[Config, ...]
    items: pd.Index
    units: dict[str, str]
    params: dict[str, float] = field(default_factory=dict)
    scales: dict[str, Scale] = field(default_factory=dict)
    shared_items: Clusters = field(default_factory=Clusters)

    @property
    def sparsifiers(self) -> list[str]:
        """Every sparsifier, dense included."""
        return sorted({condition.sparsifier for condition in self.conditions})

    @cached_property
    def spanning(self) -> bool:
        """Whether a cluster has items of several tasks."""
        ends = [(task.cluster.min(), task.cluster.max()) for task in self.tasks]
        if all(high < low for (_, high), (low, _) in pairwise(ends)):
            return False
        seen = [np.unique(task.cluster) for task in self.tasks]
        return bool(seen) and len(np.unique(np.concatenate(seen))) < sum(map(len, seen))


def by_item(outcomes: pd.DataFrame) -> ItemTable:
    """Graded answers of validated outcomes by task and item, in an order that does not depend on that of the rows.

    Raises:
        DesignError: one task under two task types, a sparsifier with two units, or nothing but dense answers.
    """
    outcomes = placed(outcomes)
    refuse_useless(outcomes.assign(sparsity=level(outcomes)))
    outcomes = outcomes[outcomes["score"].notna()]
    if outcomes.empty:
        raise DesignError("no answer was graded, so there is nothing to analyse. Grade answers, or import other ones.")
    found = clusters(outcomes)
    item, items = pd.factorize(outcomes["item_id"], sort=True)
    sparsifier, sparsifiers = pd.factorize(outcomes["sparsifier"], sort=True)
    asked_for, levels = pd.factorize(outcomes["sparsity_requested"], sort=True)
    both, condition = np.unique(sparsifier * len(levels) + asked_for, return_inverse=True)
    config, configs = configs_of(outcomes)
    table = pd.DataFrame(
        {
            "sparsity": level(outcomes).to_numpy(),
            "realised": outcomes["sparsity_realised"].to_numpy(),
            "score": outcomes["score"].to_numpy(),
            "parts": outcomes["n"].to_numpy(dtype=np.float64, na_value=np.inf),
            "binary": (outcomes["n"] == 1).fillna(value=False).to_numpy(dtype=bool),
            "chance": outcomes["chance"].to_numpy(),
            "item": item.astype(np.int64),
            "cluster": found.codes,
            "condition": condition,
            "config": config,
        }
    )
    task_codes, tasks = pd.factorize(outcomes["task"], sort=True)
    conditions = tuple(MethodLevel(str(sparsifiers[c // len(levels)]), float(levels[c % len(levels)])) for c in both)
    kinds = outcomes.groupby("task")["task_type"].first()
    order = np.argsort(task_codes, kind="stable")
    ends = np.cumsum(np.bincount(task_codes, minlength=len(tasks)))
    params = outcomes.groupby("model")["params"].first()
    return ItemTable(
        tasks=tuple(
            _task(str(name), str(kinds[name]), table.iloc[rows], conditions)
            for name, rows in zip(tasks, np.split(order, ends[:-1]), strict=True)
        ),
        conditions=conditions,
        configs=configs,
        items=pd.Index(items),
        units={str(name): str(unit) for name, unit in outcomes.groupby("sparsifier")["unit"].first().items()},
        params={str(model): float(n) for model, n in params.items() if pd.notna(n)},
        scales=scales(outcomes),
        shared_items=found,
    )


def configs_of(outcomes: pd.DataFrame) -> tuple[Ints, tuple[Config, ...]]:
    """The configuration of each row, and all of them in order; an unknown context comes first."""
    model, models = pd.factorize(outcomes["model"], sort=True)
    context, contexts = pd.factorize(outcomes["context_length"], sort=True)  # an unknown one is -1
    keys, config = np.unique(model * (len(contexts) + 1) + context + 1, return_inverse=True)
    place = np.divmod(keys, len(contexts) + 1)
    named = (Config(str(models[m]), known_context(contexts[c - 1]) if c else None) for m, c in zip(*place, strict=True))
    return config.astype(np.int64), tuple(named)


def _task(name: str, task_type: str, rows: pd.DataFrame, conditions: tuple[MethodLevel, ...]) -> TaskItems:
    items, first, item = np.unique(rows["item"].to_numpy(), return_index=True, return_inverse=True)
    keys = rows["config"].to_numpy() * len(conditions) + rows["condition"].to_numpy()
    columns, column = np.unique(keys, return_inverse=True)
    flat, size = item * len(columns) + column, len(items) * len(columns)
    count = np.bincount(flat, minlength=size).reshape(len(items), -1)
    total = np.bincount(flat, rows["score"].to_numpy(), minlength=size).reshape(len(items), -1)
    config, condition = np.divmod(columns, len(conditions))
    sparsity = _means(column, rows["sparsity"].to_numpy(), len(columns))
    return TaskItems(
        name=name,
        task_type=task_type,
        chance=float(rows["chance"].mean()),
        binary=bool(rows["binary"].all()),
        config=config,
        condition=condition,
        sparsity=sparsity,
        parts=np.bincount(column, rows["parts"].to_numpy(), minlength=len(columns)),
        realised=_means(column, rows["realised"].to_numpy(), len(columns)),
        dense=dense_columns(config, [conditions[c].sparsifier for c in condition], sparsity),
        mean=np.round(total, DIGITS) / np.maximum(count, 1),
        count=count,
        item=items.astype(np.int64),
        cluster=rows["cluster"].to_numpy()[first],
    )


def _means(column: Ints, values: Floats, size: int) -> Floats:
    """The mean of each column's known values, in order of size so that the order of rows makes no difference."""
    known = ~np.isnan(values)
    order = np.argsort(values[known], kind="stable")
    column, values = column[known][order], values[known][order]
    n = np.bincount(column, minlength=size)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.bincount(column, values, minlength=size) / n)


def dense_columns(config: Ints, sparsifier: list[str], sparsity: Floats) -> Ints:
    """The dense column for each: the dense model's own, else the method's at level 0, else another method's."""
    found = np.full(len(config), NOWHERE, dtype=np.int64)
    for column, name in enumerate(sparsifier):
        ranks = [
            ((sparsifier[c] != DENSE, sparsifier[c] != name), c)
            for c in np.flatnonzero((config == config[column]) & (sparsity == 0))
        ]
        if ranks:
            found[column] = min(ranks)[1]
    return found


def refuse_useless(table: pd.DataFrame) -> None:
    """Refuse outcomes with a column ``sparsity`` that nothing can be estimated from.

    Raises:
        DesignError: nothing but dense answers, one task under two task types, or a sparsifier with two units.
    """
    dense = table["sparsifier"] == DENSE
    if dense.all() or not (table["sparsity"] > 0).any():
        raise DesignError(
            "every answer is dense, so there is no tolerance to estimate. Collect at least one sparse level."
        )
    kinds = table.groupby("task")["task_type"].nunique()
    if (kinds > 1).any():
        task = str(kinds.index[kinds > 1][0])
        seen = ", ".join(sorted(set(table.loc[table["task"] == task, "task_type"])))
        raise DesignError(f"task {task!r} appears under several task types ({seen}). Give each task one type.")
    units = table.loc[~dense, ["sparsifier", "unit"]].groupby("sparsifier")["unit"].nunique()
    if (units > 1).any():
        raise DesignError(
            f"sparsifier {units.index[units > 1][0]!r} mixes units of sparsity. Give each unit its own sparsifier name."
        )
