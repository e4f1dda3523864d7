"""Paired contrasts of one task type: bootstrap intervals and exact tests of discordant items."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from tolerance import findings
from tolerance.data.item_table import NOWHERE, Flags, ItemTable, TaskItems
from tolerance.data.manifest import digest
from tolerance.data.outcomes import DENSE
from tolerance.data.task_sets import Place, TaskSet
from tolerance.instant.cells import Asked, Floats, Ints, Key
from tolerance.instant.many_items import MANY, OfTask, normal_means
from tolerance.instant.resamples import Drawn, drawn_together, paired_means, resample
from tolerance.model.curve import LEAST_ABOVE_FLOOR
from tolerance.stats.intervals import Interval
from tolerance.stats.paired_proportions import clustered_mcnemar, mcnemar, newcombe

RESAMPLES = 2000
# Mean weight of the made-up item of a task type: that of Jeffreys' prior.
MADE_UP = 1.0
# Beyond this many methods the pairs of methods are left out: they would be most of the work, and nobody reads them.
MOST_METHODS = 12


@dataclass
class ItemPair:
    """Two conditions of a task type: sums over blocks of their paired means ``(side, resample)``, first undrawn.

    ``table`` counts 0/1 items right under both, the first alone, the second alone, neither; ``changes`` by cluster, of
    items that depend on each other or come several times, how many more were right under the first, of ``clusters``
    that have 0/1 items at all. ``normal``: resamples are of the normal distribution of means.
    """

    task_type: str
    first: str
    second: str
    level: float
    means: Floats
    floor: float = 0.0
    sparsity: float = 0.0
    blocks: int = 0
    pairs: int = 0
    unpaired: tuple[int, int] = (0, 0)
    table: Ints = field(default_factory=lambda: np.zeros(4, dtype=np.int64))
    changes: Floats | None = None
    clusters: Flags | None = None
    repeated: bool = False
    lonely: bool = False
    normal: bool = False

    @property
    def of_first(self) -> Floats:
        """Mean of the first over blocks ``(resample,)``."""
        return np.asarray(self.means[0] / self.blocks)

    @property
    def of_second(self) -> Floats:
        """Mean of the second over blocks ``(resample,)``."""
        return np.asarray(self.means[1] / self.blocks)

    @property
    def kept(self) -> Floats:
        """Share of the second's accuracy above the floor that the first keeps ``(resample,)``."""
        floor = self.floor / self.blocks
        return np.asarray((self.of_first - floor) / np.maximum(self.of_second - floor, 1e-9))

    @property
    def at_floor(self) -> bool:
        """Whether there may be too little above the floor for a share of it to mean anything, as for the posterior."""
        above = self.of_second - self.floor / self.blocks
        return bool(above[0] < LEAST_ABOVE_FLOOR or np.mean(above[1:] < LEAST_ABOVE_FLOOR) > 0.05)


# Places and levels of each task type and method.
_Among = Mapping[tuple[str, str], tuple[frozenset[Place], frozenset[float]]]


@dataclass(frozen=True)
class _Columns:
    """Pairs of columns of one block of a task, and the contrast that each belongs to."""

    keys: list[Key]
    first: Ints
    second: Ints


def task_pairs(answers: ItemTable, sets: list[TaskSet], asked: Asked) -> list[ItemPair]:
    """Every contrast with dense, then of two methods, by task type; all its resamples drawn together.

    A task type's contrasts under a method are over the places that ``sets`` have for it.
    """
    found: dict[Key, ItemPair] = {}
    n_tasks = pd.Series([task.task_type for task in answers.tasks]).value_counts()
    together = drawn_together(answers, asked.seed)
    among = {(one.task_type, one.sparsifier): (one.places, one.levels) for one in sets}
    weights = [MADE_UP / n_tasks[task.task_type] for task in answers.tasks]
    n_clusters = max((int(task.cluster.max()) + 1 for task in answers.tasks), default=0)
    blocks = [[(items, _columns(task, at, answers, among)) for at, items in task.blocks()] for task in answers.tasks]
    for task, mine in zip(answers.tasks, blocks, strict=True):
        _count(found, task, mine, asked, n_clusters if answers.spanning else None)
    for t, drawn in enumerate(together):
        if drawn.members[0] != t:
            continue
        each = [_OfTask(answers.tasks[m], blocks[m], weights[m], together[m]) for m in drawn.members]
        if len(drawn.clusters) > MANY:
            _draw(found, each, asked, len(answers.conditions))
        else:
            for one in each:
                _resample(found, one, asked, len(answers.conditions))
    return sorted(found.values(), key=lambda p: (p.second != DENSE, p.task_type, p.first, p.second, p.level))


@dataclass(frozen=True)
class _OfTask:
    """A task with its blocks, the mean weight of its made-up item, and what is drawn of it."""

    task: TaskItems
    blocks: list[tuple[Ints, "_Columns"]]
    made_up: float
    drawn: Drawn


def _resample(found: dict[Key, ItemPair], one: _OfTask, asked: Asked, n_conditions: int) -> None:
    """Add the means of a task's resamples to the contrasts that they belong to."""
    start = 0
    for drawn in resample(one.task, asked.resamples, n_conditions, one.made_up, one.drawn):
        rows = slice(start, start + len(drawn.weights))
        for items, columns in one.blocks:
            if columns.keys:
                means = paired_means(one.task, items, columns.first, columns.second, drawn)
                for i, key in enumerate(columns.keys):
                    found[key].means[0, rows] += means[0][i]
                    found[key].means[1, rows] += means[1][i]
        start = rows.stop


def _draw(found: dict[Key, ItemPair], together: list[_OfTask], asked: Asked, n_conditions: int) -> None:
    """The same of tasks of very many clusters, which may share them."""
    sides = [
        OfTask(one.task, [(items, at.first, at.second) for items, at in one.blocks if at.keys], one.made_up, one.drawn)
        for one in together
    ]
    for one, drawn in zip(together, normal_means(sides, n_conditions, asked.resamples), strict=True):
        columns = [at for _, at in one.blocks if at.keys]
        for at, each in zip(columns, drawn, strict=True):
            for i, key in enumerate(at.keys):
                found[key].means += each[:, i]
                found[key].normal = True


def _columns(task: TaskItems, block: Ints, answers: ItemTable, among: _Among) -> _Columns:
    """The pairs of a block that share an item: each sparse column with dense, and methods asked for one level."""
    place = (task.name, *answers.configs[task.config[block[0]]])
    sparse = []
    for c in block[task.sparsity[block] > 0]:
        at = answers.conditions[task.condition[c]]
        places, levels = among[task.task_type, at.sparsifier]
        if place in places and at.level in levels:
            sparse.append((int(c), at))
    pairs = [(c, int(task.dense[c]), (task.task_type, at.sparsifier, DENSE, at.level)) for c, at in sparse]
    if len({at.sparsifier for _, at in sparse}) <= MOST_METHODS:
        pairs += [
            (a, b, (task.task_type, one.sparsifier, other.sparsifier, one.level))
            for (a, one), (b, other) in combinations(sparse, 2)
            # fractions of different things are not compared
            if one.level == other.level and answers.units.get(one.sparsifier) == answers.units.get(other.sparsifier)
        ]
    use = [(a, b, key) for a, b, key in pairs if b != NOWHERE and (task.asked[:, a] & task.asked[:, b]).any()]
    return _Columns(
        [key for _, _, key in use],
        np.array([a for a, _, _ in use], dtype=np.int64),
        np.array([b for _, b, _ in use], dtype=np.int64),
    )


def _count(
    found: dict[Key, ItemPair],
    task: TaskItems,
    blocks: list[tuple[Ints, _Columns]],
    asked: Asked,
    n_clusters: int | None,
) -> None:
    """Add the pairs of a task's blocks to the contrasts that they belong to.

    ``n_clusters`` of all tasks, where tasks share some; None where clusters are of one task each.
    """
    by_cluster = _ByCluster.of(task, n_clusters) if n_clusters or task.clustered or len(blocks) > 1 else None
    local = {key: i for i, key in enumerate(dict.fromkeys(key for _, columns in blocks for key in columns.keys))}
    seen = np.zeros((len(local), len(task.mean)), dtype=bool)
    for items, columns in blocks:
        first, second = (task.asked[items][:, side] for side in (columns.first, columns.second))
        common = first & second
        rows = np.ix_([local[key] for key in columns.keys], items)
        repeated = (seen[rows] & common.T).any(axis=1)
        seen[rows] |= common.T
        pairs, only_first, only_second = (x.sum(axis=0) for x in (common, first & ~common, second & ~common))
        tables, lonely = _tables(task, items, columns, common), _lonely(task.cluster[items], common)
        for i, key in enumerate(columns.keys):
            pair = found.setdefault(key, ItemPair(*key, means=np.zeros((2, 1 + asked.resamples))))
            pair.blocks += 1
            pair.floor += task.floor
            pair.sparsity += float(task.sparsity[columns.first[i]])
            pair.pairs += int(pairs[i])
            pair.lonely |= bool(lonely[i])
            pair.unpaired = pair.unpaired[0] + int(only_first[i]), pair.unpaired[1] + int(only_second[i])
            pair.repeated |= bool(repeated[i])
            pair.table = pair.table + tables[i]
            if by_cluster is not None:
                by_cluster.add(key, items, (int(columns.first[i]), int(columns.second[i])), common[:, i])
    if by_cluster is not None:
        by_cluster.give(found)


@dataclass
class _ByCluster:
    """By contrast: changes of a task's clusters ``(cluster,)`` and whether they have 0/1 items.

    Clusters are coded over all tasks where tasks ``share`` some; else a contrast gets those of one task after another.
    """

    task: TaskItems
    share: bool
    codes: Ints
    size: int
    sums: dict[Key, tuple[Floats, Flags]] = field(default_factory=dict)

    @classmethod
    def of(cls, task: TaskItems, n_clusters: int | None) -> "_ByCluster":
        if n_clusters is not None:
            return cls(task, True, task.cluster, n_clusters)
        distinct, codes = np.unique(task.cluster, return_inverse=True)
        return cls(task, False, codes.astype(np.int64), len(distinct))

    def add(self, key: Key, items: Ints, sides: tuple[int, int], common: Flags) -> None:
        changes, there = _changes(self.task, self.codes, items, sides, common, self.size)
        before = self.sums.get(key)
        self.sums[key] = (changes, there) if before is None else (before[0] + changes, before[1] | there)

    def give(self, found: dict[Key, ItemPair]) -> None:
        for key, (changes, there) in self.sums.items():
            pair = found[key]
            if pair.changes is None or pair.clusters is None:
                pair.changes, pair.clusters = changes, there
            elif self.share:
                pair.changes, pair.clusters = pair.changes + changes, pair.clusters | there
            else:
                pair.changes = np.concatenate([pair.changes, changes])
                pair.clusters = np.concatenate([pair.clusters, there])


def _lonely(cluster: Ints, common: Flags) -> Flags:
    """Whether the items of a pair are of fewer than two clusters ``(pair,)``."""
    if len(np.unique(cluster)) == len(cluster):
        return np.asarray(common.sum(axis=0) < 2)
    return np.array([len(np.unique(cluster[both])) < 2 for both in common.T], dtype=bool)


def _changes(
    task: TaskItems, codes: Ints, items: Ints, pair: tuple[int, int], common: Flags, n_clusters: int
) -> tuple[Floats, Flags]:
    """By cluster: 0/1 items right under the first alone less those under the second alone, and whether it has any."""
    if not task.binary:
        return np.zeros(n_clusters), np.zeros(n_clusters, dtype=bool)
    one, other = pair
    single = common & (task.count[items, one] == 1) & (task.count[items, other] == 1)
    at = items[single]
    changes = np.bincount(codes[at], task.mean[at, one] - task.mean[at, other], minlength=n_clusters)
    return changes, np.bincount(codes[at], minlength=n_clusters) > 0


def _tables(task: TaskItems, items: Ints, columns: _Columns, common: NDArray[np.bool_]) -> Ints:
    """0/1 items with one answer under each of two conditions, by which of them was right ``(pair, 4)``."""
    if not task.binary:
        return np.zeros((len(columns.keys), 4), dtype=np.int64)
    count, right = task.count[items], task.mean[items] == 1
    single = common & (count[:, columns.first] == 1) & (count[:, columns.second] == 1)
    x, y = right[:, columns.first], right[:, columns.second]
    return np.stack([(single & at).sum(axis=0) for at in (x & y, x & ~y, ~x & y, ~x & ~y)], axis=1)


def paired(pairs: list[ItemPair], answers: ItemTable, asked: Asked) -> list[findings.Paired]:
    """Contrasts as findings."""
    dependent = answers.spanning or any(task.clustered for task in answers.tasks)
    tests = _discordance(pairs, asked, dependent=dependent)
    return [_contrast(pair, test, asked) for pair, test in zip(pairs, tests, strict=True)]


def _contrast(pair: ItemPair, table: findings.Discordance | None, asked: Asked) -> findings.Paired:
    with_dense = pair.second == DENSE
    at_floor = with_dense and pair.at_floor
    return findings.Paired(
        id=f"paired-{digest([pair.task_type, pair.first, pair.second, pair.level])[:8]}",
        task_type=pair.task_type,
        first=pair.first,
        second=pair.second,
        level=pair.level,
        sparsity=pair.sparsity / pair.blocks,
        n_pairs=pair.pairs,
        unpaired_first=pair.unpaired[0],
        unpaired_second=pair.unpaired[1],
        n_blocks=pair.blocks,
        accuracy_first=float(pair.of_first[0]),
        accuracy_second=float(pair.of_second[0]),
        difference=_measured(pair.of_first - pair.of_second, pair, asked),
        retention=_measured(pair.kept, pair, asked) if with_dense and not at_floor else None,
        reason="dense accuracy is at the guessing floor" if at_floor else None,
        mcnemar=table,
    )


def _measured(values: Floats, pair: ItemPair, asked: Asked) -> findings.Measured:
    """The items as they came, with the interval of their resamples; none where a task has a single item."""
    if pair.lonely:
        return findings.Measured(value=float(values[0]), interval=None)
    low, high = np.nanquantile(values[1:], asked.tails)
    kind: Literal["normal", "bootstrap"] = "normal" if pair.normal else "bootstrap"
    interval = Interval(kind=kind, prob=asked.prob, lower=float(low), upper=float(high))
    return findings.Measured(value=float(values[0]), interval=interval)


def _discordance(pairs: list[ItemPair], asked: Asked, *, dependent: bool) -> list[findings.Discordance | None]:
    """McNemar's test and Newcombe's interval of each pair; none where no 0/1 item was asked under both.

    Where items depend on each other, or come several times, both are by cluster.
    """
    tables = np.array([pair.table for pair in pairs], dtype=np.int64).reshape(-1, 4)
    some = tables.sum(axis=1) > 0
    found: list[findings.Discordance | None] = [None] * len(tables)
    if not some.any():
        return found
    low, high = newcombe(tables[some], asked.prob)
    p = mcnemar(tables[some, 1], tables[some, 2])
    for row, at in enumerate(np.flatnonzero(some)):
        _, only_first, only_second, _ = tables[at]
        n, pair = int(tables[at].sum()), pairs[at]
        interval = Interval(kind="newcombe", prob=asked.prob, lower=float(low[row]), upper=float(high[row]))
        by_cluster = dependent or pair.repeated
        difference, probability = float(only_first - only_second) / n, float(p[row])
        if by_cluster and pair.changes is not None and pair.clusters is not None:
            interval, probability = _by_cluster(pair.changes, n, asked), clustered_mcnemar(pair.changes)
            n, only_first, only_second = (int(x.sum()) for x in (pair.clusters, pair.changes > 0, pair.changes < 0))
        found[at] = findings.Discordance(
            n_pairs=n,
            only_first=int(only_first),
            only_second=int(only_second),
            p=probability,
            difference=difference,
            interval=interval,
            repeated=pair.repeated,
            by_cluster=by_cluster,
        )
    return found


def _by_cluster(changes: Floats, n: int, asked: Asked) -> Interval:
    """Of the difference of shares, from the spread of clusters' sums; clusters without a change count as well."""
    half = ndtri(asked.tails[1]) * float(np.sqrt((changes**2).sum())) / n
    middle = float(changes.sum()) / n
    return Interval(kind="robust", prob=asked.prob, lower=max(middle - half, -1.0), upper=min(middle + half, 1.0))
