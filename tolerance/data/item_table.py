"""Answers by item: for each task a table of items x conditions, and paired resamples of its items.

What needs no model still needs the items: contrasts are taken on the items that both conditions were asked, and items,
with all their answers under every condition, model and context, are what is resampled.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance.data.cells import refuse_useless
from tolerance.data.outcomes import DENSE, level

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
# The items as they came are averaged in double precision, resamples in single.
Weights = NDArray[Any]
# Weights of resamples are made for about this many items at a time.
CHUNK = 4_000_000
NOWHERE = -1


class MethodLevel(NamedTuple):
    """A sparsifier at the level it was asked for."""

    sparsifier: str
    level: float


@dataclass(frozen=True)
class TaskItems:
    """Answers to one task ``(item, column)``; a column is a condition under one configuration (model, context).

    ``mean`` is an item's mean score (0 where it was not asked), ``count`` how many answers it has. ``dense`` is the
    column that each column is compared with, `NOWHERE` where there is none. ``binary``: all answers right or wrong.
    """

    name: str
    task_type: str
    chance: float
    binary: bool
    config: Ints
    condition: Ints
    sparsity: Floats
    dense: Ints
    mean: Floats
    count: Ints

    @cached_property
    def asked(self) -> Flags:
        """Whether an item was answered ``(item, column)``."""
        return np.asarray(self.count > 0)

    def blocks(self) -> Iterator[tuple[Ints, Ints]]:
        """Columns and items of each configuration."""
        for config in np.unique(self.config):
            columns = np.flatnonzero(self.config == config)
            yield columns, np.flatnonzero(self.asked[:, columns].any(axis=1))


@dataclass(frozen=True)
class ItemTable:
    """All tasks, in order of their names, and the conditions that their columns refer to."""

    tasks: tuple[TaskItems, ...]
    conditions: tuple[MethodLevel, ...]
    units: dict[str, str]

    @property
    def sparsifiers(self) -> list[str]:
        """Every sparsifier, dense included."""
        return sorted({condition.sparsifier for condition in self.conditions})


def by_item(outcomes: pd.DataFrame) -> ItemTable:
    """Answers of validated outcomes by task and item, in an order that does not depend on that of the rows.

    Raises:
        DesignError: one task under two task types, a sparsifier with two units, or nothing but dense answers.
    """
    table = pd.DataFrame(
        {
            "sparsity": level(outcomes).to_numpy(),
            "score": outcomes["score"].to_numpy(),
            "binary": (outcomes["n"] == 1).fillna(value=False).to_numpy(dtype=bool),
            "chance": outcomes["chance"].to_numpy(),
        }
    )
    refuse_useless(outcomes.assign(sparsity=table["sparsity"]))
    task_codes, tasks = pd.factorize(outcomes["task"], sort=True)
    item = pd.factorize(outcomes["item_id"], sort=True)[0].astype(np.int64)
    sparsifier, sparsifiers = pd.factorize(outcomes["sparsifier"], sort=True)
    asked_for, levels = pd.factorize(outcomes["sparsity_requested"], sort=True)
    both, condition = np.unique(sparsifier * len(levels) + asked_for, return_inverse=True)
    model, _ = pd.factorize(outcomes["model"], sort=True)
    context, contexts = pd.factorize(outcomes["context_length"].fillna(0), sort=True)
    table = table.assign(item=item, condition=condition, config=model * len(contexts) + context)
    conditions = tuple(MethodLevel(str(sparsifiers[c // len(levels)]), float(levels[c % len(levels)])) for c in both)
    kinds = outcomes.groupby("task")["task_type"].first()
    order = np.argsort(task_codes, kind="stable")
    ends = np.cumsum(np.bincount(task_codes, minlength=len(tasks)))
    return ItemTable(
        tasks=tuple(
            _task(str(name), str(kinds[name]), table.iloc[rows], conditions)
            for name, rows in zip(tasks, np.split(order, ends[:-1]), strict=True)
        ),
        conditions=conditions,
        units={str(name): str(unit) for name, unit in outcomes.groupby("sparsifier")["unit"].first().items()},
    )


def _task(name: str, task_type: str, rows: pd.DataFrame, conditions: tuple[MethodLevel, ...]) -> TaskItems:
    items, item = np.unique(rows["item"].to_numpy(), return_inverse=True)
    keys = rows["config"].to_numpy() * len(conditions) + rows["condition"].to_numpy()
    columns, column = np.unique(keys, return_inverse=True)
    flat, size = item * len(columns) + column, len(items) * len(columns)
    count = np.bincount(flat, minlength=size).reshape(len(items), -1)
    total = np.bincount(flat, rows["score"].to_numpy(), minlength=size).reshape(len(items), -1)
    config, condition = np.divmod(columns, len(conditions))
    sparsity = np.bincount(column, rows["sparsity"].to_numpy()) / np.bincount(column)
    chance = rows["chance"].mean()
    return TaskItems(
        name=name,
        task_type=task_type,
        chance=0.0 if pd.isna(chance) else float(chance),
        binary=bool(rows["binary"].all()),
        config=config,
        condition=condition,
        sparsity=sparsity,
        dense=_dense_columns(config, [conditions[c].sparsifier for c in condition], sparsity),
        mean=total / np.maximum(count, 1),
        count=count,
    )


def _dense_columns(config: Ints, sparsifier: list[str], sparsity: Floats) -> Ints:
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


@dataclass(frozen=True)
class Resamples:
    """Weights of a task's items ``(resample, item)``; the first row is the items as they came.

    Each resample draws one item fewer than there are, which makes the variance of a mean the unbiased one (Rao & Wu
    1988, doi:10.1080/01621459.1988.10478591). ``made_up`` ``(resample,)`` is the weight of an item that was never
    asked, right or wrong at random ``coins`` ``(resample, condition)``: it keeps a cell in which every answer is right
    from having an interval of no width, as Jeffreys' prior would.
    """

    weights: Weights
    made_up: Weights
    coins: Weights


def resample(
    task: TaskItems, n: int, n_conditions: int, made_up: float, rng: np.random.Generator
) -> Iterator[Resamples]:
    """``n`` paired resamples of a task's items, a chunk at a time; ``made_up`` is the mean weight of the made-up item.

    The weight is gamma with that shape, so that over the tasks of a type the weights add up to an exponential one.
    """
    n_items = len(task.mean)
    yield Resamples(np.ones((1, n_items)), np.zeros(1), np.zeros((1, n_conditions)))
    step = max(1, CHUNK // n_items)
    for start in range(0, n, step):
        size = min(step, n - start)
        drawn = rng.integers(0, n_items, size=(size, max(n_items - 1, 1)), dtype=np.int32)
        drawn += (np.arange(size, dtype=np.int32) * n_items)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=size * n_items).reshape(size, n_items)
        yield Resamples(
            weights.astype(np.float32),
            (rng.standard_gamma(made_up, size) if made_up else np.zeros(size)).astype(np.float32),
            rng.integers(0, 2, size=(size, n_conditions)).astype(np.float32),
        )


def paired_means(task: TaskItems, items: Ints, first: Ints, second: Ints, drawn: Resamples) -> tuple[Floats, Floats]:
    """Mean of the first and of the second column of each pair over the items that have both ``(pair, resample)``."""
    weights = drawn.weights if len(items) == len(task.mean) else drawn.weights[:, items]
    asked, mean = (values[items].astype(weights.dtype) for values in (task.asked, task.mean))
    columns, place = np.unique(np.concatenate([first, second]), return_inverse=True)
    extra = drawn.made_up * drawn.coins[:, task.condition[columns]].T
    at_first, at_second = place[: len(first)], place[len(first) :]
    if asked[:, columns].all():
        # everything was asked: one product, whatever the number of pairs
        sums = mean[:, columns].T @ weights.T + extra
        means = (sums / (weights.sum(axis=1) + drawn.made_up)).astype(np.float64)
        return means[at_first], means[at_second]
    common = (asked[:, first] * asked[:, second]).T
    count = common @ weights.T + drawn.made_up
    with np.errstate(invalid="ignore"):  # a resample without a common item has no mean
        one = ((mean[:, first].T * common) @ weights.T + extra[at_first]) / count
        other = ((mean[:, second].T * common) @ weights.T + extra[at_second]) / count
    return one.astype(np.float64), other.astype(np.float64)
