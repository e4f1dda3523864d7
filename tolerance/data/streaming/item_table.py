"""Answers by item of a table that was read in batches: what `tolerance.data.item_table.by_item` makes of rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance.data import weights
from tolerance.data.clusters import Clusters, agree, groups_alike, in_common
from tolerance.data.item_table import (
    DIGITS,
    ItemTable,
    MethodLevel,
    TaskItems,
    configs_of,
    dense_columns,
    refuse_useless,
)
from tolerance.data.outcomes import level
from tolerance.data.streaming.coded import Ints
from tolerance.data.streaming.facts import Batch
from tolerance.data.streaming.items import TaskArrays
from tolerance.data.streaming.scan import Scan
from tolerance.errors import DesignError

# So many common items show whether scores go together.
_ENOUGH = 50_000


@dataclass(frozen=True)
class Keyed:
    """What rows of a later pass are in the item table: ``key`` of a place, ``rank`` of an item's code.

    ``scan`` is empty at the start of that pass, and codes as the first one did.
    """

    scan: Scan
    key: Ints
    rank: Ints

    def of(self, batch: Batch) -> tuple[Ints, Ints]:
        """Key and rank of each row of the next batch; -1 where none was graded."""
        fact = self.scan.facts.add(batch)
        key = np.append(self.key, np.full(len(self.scan.place_of_fact), -1))
        return key[self.scan.place_of_fact[fact]], self.rank[self.scan.ids.codes(batch.coded["item_id"])]


def item_table(scan: Scan, facts: pd.DataFrame) -> tuple[ItemTable, Keyed]:
    """The items of a scan, whose arrays are taken over; ``facts``: its table, levels placed, in its own order.

    Raises:
        DesignError: see `by_item`.
    """
    refuse_useless(facts.assign(sparsity=level(facts)))
    graded = facts["score"].notna() if not scan.as_wrong else pd.Series(data=True, index=facts.index)
    if not graded.any():
        raise DesignError("no answer was graded, so there is nothing to analyse. Grade answers, or import other ones.")
    rows, place = facts[graded], scan.place_of_fact[graded.to_numpy()]
    sparsifier, sparsifiers = pd.factorize(rows["sparsifier"], sort=True)
    asked_for, at = pd.factorize(rows["sparsity_requested"], sort=True)
    both, condition = np.unique(sparsifier * len(at) + asked_for, return_inverse=True)
    conditions = tuple(MethodLevel(str(sparsifiers[c // len(at)]), float(at[c % len(at)])) for c in both)
    config, configs = configs_of(rows)
    key = np.full(int(place.max()) + 1, -1, dtype=np.int64)
    key[place] = config * len(conditions) + condition
    rows = rows.assign(key=key[place], at=level(rows))
    ids, ranks = _ranked(scan)
    books, tasks = scan.facts.keys.books, []
    codes = {str(name): code for code, name in enumerate(books["task"].values)}
    for name, mine in rows.groupby("task", sort=True):
        arrays = scan.items.tasks.pop(codes[str(name)])
        tasks.append(_task(str(name), mine, arrays, key, conditions, ranks, binary=codes[str(name)] not in scan.many))
    made = tuple(task for task, _ in tasks)
    found, each = _clusters(made, [named for _, named in tasks], scan)
    params = rows.groupby("model")["params"].first()
    units = rows.groupby("sparsifier")["unit"].first()
    table = ItemTable(
        tasks=tuple(task.of_clusters(codes) for task, codes in zip(made, each, strict=True)),
        conditions=conditions,
        configs=configs,
        items=pd.Index(ids),
        units={str(method): str(unit) for method, unit in units.items()},
        params={str(model): float(n) for model, n in params.items() if pd.notna(n)},
        shared_items=found,
    )
    return table, Keyed(Scan(), key, ranks)


def _ranked(scan: Scan) -> tuple[Ints, Ints]:
    """Ids of items with an answer, sorted, and the place of each code among them ``(code,)``."""
    seen = np.zeros(len(scan.ids.values), dtype=bool)
    for arrays in scan.items.tasks.values():
        seen[arrays.items] = True
    names = pd.Index(np.array(scan.ids.values, dtype=object)[seen], dtype="str")
    order = np.argsort(pd.factorize(names, sort=True)[0], kind="stable")
    ranks = np.full(len(seen), -1, dtype=np.int64)
    ranks[np.flatnonzero(seen)[order]] = np.arange(len(order))
    return names[order], ranks


def _task(
    name: str,
    rows: pd.DataFrame,
    arrays: TaskArrays,
    key: Ints,
    conditions: Sequence[MethodLevel],
    ranks: Ints,
    *,
    binary: bool,
) -> tuple[TaskItems, Ints | None]:
    """A task, items by their ids and columns by configuration and condition, and the clusters that were given."""
    columns, column = np.unique(key[arrays.columns], return_inverse=True)
    order = np.argsort(ranks[arrays.items], kind="stable")
    count: NDArray[Any] = arrays.count()
    total = arrays.total()
    if len(columns) == len(column):
        at = np.ix_(order, np.argsort(column))
        count, total = count[at], total[at]
    else:
        merged = np.zeros((len(column), len(columns)))
        merged[np.arange(len(column)), column] = 1
        count, total = (count[order] @ merged).astype(np.int64), total[order] @ merged
    config, condition = np.divmod(columns, len(conditions))
    means = {one: weights.means(rows, rows[one], ["key"]).reindex(columns) for one in ("at", "sparsity_realised")}
    sparsity = means["at"].to_numpy(dtype=np.float64)
    named = arrays.clusters()
    np.round(total, DIGITS, out=total)
    total /= np.maximum(count, 1)
    task = TaskItems(
        name=name,
        task_type=str(rows["task_type"].iloc[0]),
        chance=weights.mean(rows, "chance"),
        binary=binary,
        config=config,
        condition=condition,
        sparsity=sparsity,
        realised=means["sparsity_realised"].to_numpy(dtype=np.float64),
        # of k of n only scores are kept, so that parts are not known
        parts=count.sum(axis=0, dtype=np.float64) if binary else np.full(len(columns), np.inf),
        dense=dense_columns(config, [conditions[c].sparsifier for c in condition], sparsity),
        mean=total,
        count=count,
        item=ranks[arrays.items][order],
        cluster=np.empty(0, dtype=np.int64),
    )
    return task, None if named is None else named[order]


def _clusters(tasks: Sequence[TaskItems], named: Sequence[Ints | None], scan: Scan) -> tuple[Clusters, list[Ints]]:
    """Clusters of items, as `tolerance.data.clusters.clusters` finds them, and their codes by task."""
    most = max(int(task.item.max()) for task in tasks) + 1
    alike = _alike(tasks, most)
    first = {name: min(group) for group in alike for name in group}
    place = {task.name: at for at, task in enumerate(tasks)}
    own = [place[first.get(task.name, task.name)] * most + task.item for task in tasks]
    values, by = np.array(scan.clusters.values, dtype=object), "item"
    if len(values):
        rank, by = np.argsort(np.argsort(values, kind="stable"), kind="stable"), "cluster"
        own = [
            mine if codes is None else np.where(codes >= 0, np.append(rank, -1)[codes], len(values) + mine)
            for mine, codes in zip(own, named, strict=True)
        ]
    if not len(values) and not alike:
        # every item of every task for itself, in the order of both
        starts = np.cumsum([0, *(len(one) for one in own)])
        return Clusters(by=by), [start + np.arange(len(one)) for start, one in zip(starts, own, strict=False)]
    _, codes = np.unique(np.concatenate(own), return_inverse=True)
    ends = np.cumsum([len(one) for one in own])
    return Clusters(by=by, alike=alike), np.split(codes.astype(np.int64), ends[:-1])


def _alike(tasks: Sequence[TaskItems], n_items: int) -> tuple[tuple[str, ...], ...]:
    """Groups of tasks that share their items; whether scores go together is asked of some of very many."""
    there, means, by_name = {}, {}, {task.name: task for task in tasks}
    for task in tasks:
        means[task.name] = task.mean.sum(axis=0) / task.asked.sum(axis=0)
        there[task.name] = np.zeros(n_items, dtype=bool)
        there[task.name][task.item] = True

    def common(a: str, b: str) -> bool:
        both = int((there[a] & there[b]).sum())
        return in_common(both, len(by_name[a].item), len(by_name[b].item))

    def alike(a: str, b: str) -> bool:
        both = np.flatnonzero(there[a] & there[b])
        some = both[:: -(-len(both) // _ENOUGH)]
        return agree(*(_scores(by_name[name], some) - means[name] for name in (a, b)))

    return groups_alike(by_name, common, alike)


def _scores(task: TaskItems, items: Ints) -> pd.DataFrame:
    """Some items x conditions of mean scores."""
    keys = pd.MultiIndex.from_arrays([task.config, task.condition])
    rows = np.searchsorted(task.item, items)
    wide = np.where(task.asked[rows], task.mean[rows], np.nan)
    return pd.DataFrame(wide, index=items, columns=keys)
