"""The same items on both sides: what some conditions of a task were never asked is counted, named and left out.

Of each task under one model and context the items stay that every condition answered. A condition that answered next
to none of them is left out instead of the items. Where no such set exists (every level asked items of its own) all
answers stay, and the task is named as one of different items: nothing in it is paired. Models that share nearly all of
those items keep what they share; others keep their own, and are named as unlike.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance.data.conditions import CELL, known_context
from tolerance.data.item_table import Config, Flags, ItemTable, MethodLevel, TaskItems

# A condition with fewer items than this share of what is usual in its task does not make others lose theirs.
FEW = 0.1
# Shared items are a set worth having if they are so many of those of the condition with the fewest.
WORTH = 0.5
# Models that share at least so much of the items of each are held to what they share.
NEARLY_ALL = 0.9
# Two-sided, by chance alone once in a thousand.
SURE = 3.3


@dataclass(frozen=True)
class LeftOut:
    """Items of one condition that were left out, because others were not asked them.

    ``sparsifier`` and ``level`` name the condition, ``n_items`` are left out and ``n_kept`` stay. ``selection`` is how
    much harder (negative) or easier the items that stay are than those left out, in mean score of the condition; null
    where chance explains it. ``whole``: the condition is left out, not the items.
    """

    task: str
    model: str
    context: int | None
    sparsifier: str
    level: float
    n_items: int
    n_kept: int
    selection: float | None
    whole: bool = False


@dataclass(frozen=True)
class SameItems:
    """The table of shared items and what was left out of it.

    ``different``: tasks, by model and context, whose conditions asked different items; ``unlike``: tasks, by context,
    of which models answered different items.
    """

    table: ItemTable
    left_out: tuple[LeftOut, ...]
    different: tuple[tuple[str, Config], ...]
    unlike: tuple[tuple[str, int | None], ...]


def same_items(table: ItemTable) -> SameItems:
    """The items that all conditions of a task, model and context share, with what was left out."""
    found = [_of_task(task, table) for task in table.tasks]
    return SameItems(
        replace(table, tasks=tuple(one.task for one in found)),
        tuple(left for one in found for left in one.left_out),
        tuple((one.task.name, table.configs[config]) for one in found for config in one.different),
        tuple((one.task.name, context) for one in found for context in one.unlike),
    )


def shared_rows(outcomes: pd.DataFrame, same: SameItems) -> pd.DataFrame:
    """The rows of outcomes that are of shared items; those that were not graded are not among them."""
    if not same.left_out and outcomes["score"].notna().all():
        return outcomes
    table = same.table
    tasks = {task.name: task for task in table.tasks}
    conditions = {condition: c for c, condition in enumerate(table.conditions)}
    configs = {config: c for c, config in enumerate(table.configs)}
    keep = np.zeros(len(outcomes), dtype=bool)
    groups = outcomes.reset_index(drop=True).groupby(CELL, dropna=False, sort=False)
    for (name, model, context, method, level), rows in groups:
        task = tasks[str(name)]
        at = (
            configs[Config(str(model), known_context(context))],
            conditions[MethodLevel(str(method), float(str(level)))],
        )
        column = np.flatnonzero((task.config == at[0]) & (task.condition == at[1]))
        if len(column):
            there = table.items[task.item[task.asked[:, column[0]]]]
            keep[rows.index] = rows["item_id"].isin(there) & rows["score"].notna()
    return outcomes[keep]


class _Kept(NamedTuple):
    """A task's shared items, what was left out, and configurations and contexts whose items differ."""

    task: TaskItems
    left_out: list[LeftOut]
    different: list[int]
    unlike: list[int | None]


def _of_task(task: TaskItems, table: ItemTable) -> _Kept:
    unlike_anywhere = _unlike_models(task)
    if task.asked.all() or not (unlike_anywhere or _uneven(task)):
        return _Kept(task, [], [], [])
    keep, use = np.zeros_like(task.asked), np.zeros(len(task.config), dtype=bool)
    different: list[int] = []
    for columns, items in task.blocks():
        asked = task.asked[np.ix_(items, columns)]
        chosen, shared = _largest(asked, task.sparsity[columns] == 0)
        if shared is None:
            different.append(int(task.config[columns[0]]))
            keep[np.ix_(items, columns)], use[columns] = asked, True
            continue
        use[columns[chosen]] = True
        keep[np.ix_(items[shared], columns[chosen])] = True
    unlike = _held_to_common(task, keep, different, table)
    left = list(_named(task, keep, use, table))
    if not left:
        return _Kept(task, [], different, unlike)
    mean, count = np.where(keep, task.mean, 0.0), np.where(keep, task.count, 0)
    items, columns = np.flatnonzero((count > 0).any(axis=1)), np.flatnonzero(use)
    return _Kept(replace(task, mean=mean, count=count).only(items, columns), left, different, unlike)


def _uneven(task: TaskItems) -> bool:
    """Whether some configuration asked an item under some of its conditions alone."""
    return any(not task.asked[np.ix_(items, columns)].all() for columns, items in task.blocks())


def _unlike_models(task: TaskItems) -> bool:
    """Whether configurations asked different items."""
    seen = {task.asked[:, columns].any(axis=1).tobytes() for columns, _ in task.blocks()}
    return len(seen) > 1


def _held_to_common(task: TaskItems, keep: Flags, different: list[int], table: ItemTable) -> list[int | None]:
    """Take out of ``keep`` what models at one context do not share; contexts at which they share too little."""
    unlike: list[int | None] = []
    by_context: dict[int | None, list[int]] = {}
    for config in sorted(set(task.config.tolist()) - set(different)):
        by_context.setdefault(table.configs[config].context, []).append(config)
    for context, configs in by_context.items():
        sets = [keep[:, task.config == config].any(axis=1) for config in configs]
        common = np.logical_and.reduce(sets)
        if all(common.sum() == one.sum() for one in sets):
            continue
        if all(common.sum() >= NEARLY_ALL * one.sum() for one in sets):
            keep[np.ix_(~common, np.isin(task.config, configs))] = False
        else:
            unlike.append(context)
    return unlike


def _largest(asked: Flags, dense: Flags) -> tuple[Flags, Flags | None]:
    """Columns of a block that share items, and those items; None where no set is worth having."""
    counts = asked.sum(axis=0)
    usual = np.median(counts[~dense]) if (~dense).any() else np.median(counts)
    chosen = np.asarray((counts >= FEW * usual) | dense)
    while True:
        shared = np.asarray(asked[:, chosen].all(axis=1))
        if shared.sum() >= WORTH * counts[chosen].min():
            return chosen, shared
        # the condition without which most items are shared goes next; dense, which all are compared with, never
        may_go = np.flatnonzero(chosen & ~dense)
        if len(may_go) < 2 or chosen.sum() <= WORTH * len(chosen) + 1:
            return chosen, None
        gains = [asked[:, chosen & (np.arange(len(chosen)) != c)].all(axis=1).sum() for c in may_go]
        chosen = chosen.copy()
        chosen[may_go[int(np.argmax(gains))]] = False


def _named(task: TaskItems, keep: Flags, use: Flags, table: ItemTable) -> Iterator[LeftOut]:
    for c in range(len(task.config)):
        there = task.asked[:, c]
        left = there & ~keep[:, c]
        if not left.any():
            continue
        model, context = table.configs[task.config[c]]
        method, level = table.conditions[task.condition[c]]
        kept = there & keep[:, c]
        yield LeftOut(
            task=task.name,
            model=model,
            context=context,
            sparsifier=method,
            level=level,
            n_items=int(left.sum()),
            n_kept=int(kept.sum()),
            selection=_selection(task.mean[kept, c], task.mean[left, c]),
            whole=not bool(use[c]),
        )


def _selection(kept: NDArray[np.float64], left: NDArray[np.float64]) -> float | None:
    """How much more the items that stay score than those left out, where that is no chance."""
    if min(len(kept), len(left)) < 2:
        return None
    # the variance of both together: of a few that are all right it would be 0
    error = np.std(np.r_[kept, left], ddof=1) * np.sqrt(1 / len(kept) + 1 / len(left))
    found = float(kept.mean() - left.mean())
    return found if error > 0 and abs(found) > SURE * error else None
