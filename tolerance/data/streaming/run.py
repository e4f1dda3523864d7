"""A large run: its shards are read a batch at a time into facts and items, which is all that analyses start from."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance.data import levels
from tolerance.data.item_table import ItemTable, TaskItems
from tolerance.data.run_folder import PARTS, RunFolder
from tolerance.data.streaming.coded import Coded, Ints
from tolerance.data.streaming.facts import Batch
from tolerance.data.streaming.item_table import Keyed, item_table
from tolerance.data.streaming.scan import Scan
from tolerance.data.streaming.shards import batches

if TYPE_CHECKING:
    from tolerance.data.same_items import SameItems

Flags = NDArray[np.bool_]


def is_large(folder: RunFolder) -> bool:
    """Whether a run was imported in batches, and is read so."""
    return folder.manifest.notes.get(PARTS) is not None


def facts(folder: RunFolder) -> pd.DataFrame:
    """The answers of a large run as `tolerance.data.weights` has them.

    Raises:
        StoreError: see `RunFolder.read`.
    """
    scan = Scan()
    for batch in _batches(folder):
        scan.facts.add(batch)
    return _in_order(levels.placed(scan.table()))


@dataclass(frozen=True)
class LargeRun:
    """``facts`` are its answers as `tolerance.data.weights` has them, ``items`` as `ItemTable` does.

    ``n_items`` by task count those that were asked, graded or not.
    """

    folder: RunFolder
    facts: pd.DataFrame
    items: ItemTable
    n_items: Mapping[str, int]
    keyed: Keyed

    @classmethod
    def read(cls, folder: RunFolder, *, as_wrong: bool = False) -> "LargeRun":
        """One pass over the shards; ``as_wrong``: answers that were not graded count as wrong ones.

        Raises:
            StoreError: see `RunFolder.read`.
            DesignError: nothing can be estimated from its answers.
        """
        scan = Scan(as_wrong=as_wrong)
        for batch in _batches(folder):
            scan.add(batch)
        facts = levels.placed(scan.table())
        if as_wrong:
            facts["score"] = facts["score"].fillna(0.0)
        n_items = _items_asked(scan)
        items, keyed = item_table(scan, facts)
        return cls(folder, _in_order(facts), items, n_items, keyed)

    @cached_property
    def as_wrong(self) -> "LargeRun":
        """The same answers, those that were not graded as wrong ones."""
        return LargeRun.read(self.folder, as_wrong=True)

    @cached_property
    def content(self) -> str:
        """SHA-256 of facts and items, the same for any order of rows."""
        digest = hashlib.sha256(self.facts.to_csv(index=False).encode())
        for task in self.items.tasks:
            digest.update("\n".join([task.name, *self.items.items[task.item]]).encode())
            for array in (task.mean, task.count.astype(np.int64), task.cluster):
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def shared(self, same: "SameItems") -> pd.DataFrame:
        """The facts of graded answers to shared items, by a second pass where some items were left out."""
        if not same.left_out:
            return self.facts[self.facts["score"].notna()]
        kept = {task.name: task for task in same.table.tasks}
        scan = Scan()
        numbering = replace(self.keyed, scan=Scan())  # codes anew, as in the first pass
        for batch in _batches(self.folder):
            scan.facts.add(_only(batch, self._among(batch, kept, numbering)))
        return _in_order(levels.placed(scan.table()))

    def _among(self, batch: Batch, kept: Mapping[str, TaskItems], numbering: Keyed) -> Flags:
        """Rows of shared items."""
        key, rank = numbering.of(batch)
        task = batch.coded["task"]
        score = batch.numbers("score")
        assert score is not None
        found = np.zeros(batch.n, dtype=bool)
        for code, name in enumerate(task.values):
            mine = np.flatnonzero((task.codes == code) & ~np.isnan(score))
            if len(mine) and name in kept:
                found[mine] = _has(kept[name], rank[mine], key[mine], self.items)
        return found


def _has(task: TaskItems, item: Ints, key: Ints, table: ItemTable) -> Flags:
    """Whether a task has answers of items under conditions ``(row,)``."""
    keys = task.config * len(table.conditions) + task.condition
    order = np.argsort(keys)
    row = np.minimum(np.searchsorted(task.item, item), len(task.item) - 1)
    column = order[np.minimum(np.searchsorted(keys, key, sorter=order), len(keys) - 1)]
    return np.asarray((task.item[row] == item) & (keys[column] == key) & task.asked[row, column])


def _only(batch: Batch, rows: Flags) -> Batch:
    coded = {name: Coded(one.codes[rows], one.values).compact() for name, one in batch.coded.items()}
    return Batch(batch.start, int(rows.sum()), coded, {name: one[rows] for name, one in batch.plain.items()})


def _batches(folder: RunFolder) -> Iterator[Batch]:
    """Rows that were checked as a whole before they were sealed, once their shards are seen to be of this run."""
    folder.refuse_unplanned(folder.shards())
    for shard in folder.shards():
        for batch in batches([shard]):
            folder.refuse_strange(shard, batch.coded["run_id"].values.tolist() if "run_id" in batch.coded else [])
            yield batch


def _items_asked(scan: Scan) -> dict[str, int]:
    """How many items of each task were asked, graded or not."""
    found = {}
    for code, name in enumerate(scan.facts.keys.books["task"].values):
        seen = [arrays.tasks[code].items for arrays in (scan.items, scan.ungraded) if code in arrays.tasks]
        found[str(name)] = len(np.unique(np.concatenate(seen)))
    return found


def _in_order(facts: pd.DataFrame) -> pd.DataFrame:
    """Facts in the order of what they hold, numbered anew."""
    ranks = [pd.factorize(facts[name], sort=True)[0] for name in facts.columns[::-1]]
    return facts.take(np.lexsort(ranks)).reset_index(drop=True)
