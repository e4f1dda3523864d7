"""Paired contrasts of one task type: bootstrap intervals and exact tests of discordant items."""

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tolerance import findings
from tolerance.data.item_table import NOWHERE, ItemTable, TaskItems, paired_means, resample
from tolerance.data.manifest import digest
from tolerance.data.outcomes import DENSE
from tolerance.instant.cells import Asked, Floats, Ints, Key
from tolerance.model.curve import LEAST_ABOVE_FLOOR
from tolerance.stats.intervals import Interval
from tolerance.stats.paired_proportions import mcnemar, newcombe

RESAMPLES = 2000
# Mean weight of the made-up item of a task type: that of Jeffreys' prior.
MADE_UP = 1.0
# Beyond this many methods the pairs of methods are left out: they would be most of the work, and nobody reads them.
MOST_METHODS = 12


@dataclass
class ItemPair:
    """Two conditions of a task type: sums over blocks of their paired means ``(side, resample)``, first undrawn.

    ``table`` counts 0/1 items right under both, the first alone, the second alone, neither.
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
    repeated: bool = False
    lonely: bool = False

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


@dataclass(frozen=True)
class _Columns:
    """Pairs of columns of one block of a task, and the contrast that each belongs to."""

    keys: list[Key]
    first: Ints
    second: Ints


def task_pairs(answers: ItemTable, asked: Asked) -> list[ItemPair]:
    """Every contrast with dense, then of two methods, by task type; all its resamples drawn together."""
    found: dict[Key, ItemPair] = {}
    n_tasks = pd.Series([task.task_type for task in answers.tasks]).value_counts()
    streams = np.random.default_rng(asked.seed).spawn(len(answers.tasks))
    for task, rng in zip(answers.tasks, streams, strict=True):
        blocks = [(items, _columns(task, columns, answers)) for columns, items in task.blocks()]
        _count(found, task, blocks, asked)
        start = 0
        for drawn in resample(task, asked.resamples, len(answers.conditions), MADE_UP / n_tasks[task.task_type], rng):
            rows = slice(start, start + len(drawn.weights))
            for items, columns in blocks:
                if columns.keys:
                    means = paired_means(task, items, columns.first, columns.second, drawn)
                    for i, key in enumerate(columns.keys):
                        found[key].means[0, rows] += means[0][i]
                        found[key].means[1, rows] += means[1][i]
            start = rows.stop
    return sorted(found.values(), key=lambda p: (p.second != DENSE, p.task_type, p.first, p.second, p.level))


def _columns(task: TaskItems, block: Ints, answers: ItemTable) -> _Columns:
    """The pairs of a block that share an item: each sparse column with dense, and methods asked for one level."""
    sparse = [(int(c), answers.conditions[task.condition[c]]) for c in block if task.sparsity[c] > 0]
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


def _count(found: dict[Key, ItemPair], task: TaskItems, blocks: list[tuple[Ints, _Columns]], asked: Asked) -> None:
    """Add the pairs of a task's blocks to the contrasts that they belong to."""
    local = {key: i for i, key in enumerate(dict.fromkeys(key for _, columns in blocks for key in columns.keys))}
    seen = np.zeros((len(local), len(task.mean)), dtype=bool)
    for items, columns in blocks:
        first, second = (task.asked[items][:, side] for side in (columns.first, columns.second))
        common = first & second
        rows = np.ix_([local[key] for key in columns.keys], items)
        repeated = (seen[rows] & common.T).any(axis=1)
        seen[rows] |= common.T
        pairs, only_first, only_second = (x.sum(axis=0) for x in (common, first & ~common, second & ~common))
        tables = _tables(task, items, columns, common)
        for i, key in enumerate(columns.keys):
            pair = found.setdefault(key, ItemPair(*key, means=np.zeros((2, 1 + asked.resamples))))
            pair.blocks += 1
            pair.floor += task.chance
            pair.sparsity += float(task.sparsity[columns.first[i]])
            pair.pairs += int(pairs[i])
            pair.lonely |= bool(pairs[i] < 2)
            pair.unpaired = pair.unpaired[0] + int(only_first[i]), pair.unpaired[1] + int(only_second[i])
            pair.repeated |= bool(repeated[i])
            pair.table = pair.table + tables[i]


def _tables(task: TaskItems, items: Ints, columns: _Columns, common: NDArray[np.bool_]) -> Ints:
    """0/1 items with one answer under each of two conditions, by which of them was right ``(pair, 4)``."""
    if not task.binary:
        return np.zeros((len(columns.keys), 4), dtype=np.int64)
    count, right = task.count[items], task.mean[items] == 1
    single = common & (count[:, columns.first] == 1) & (count[:, columns.second] == 1)
    x, y = right[:, columns.first], right[:, columns.second]
    return np.stack([(single & at).sum(axis=0) for at in (x & y, x & ~y, ~x & y, ~x & ~y)], axis=1)


def paired(pairs: list[ItemPair], asked: Asked) -> list[findings.Paired]:
    """Contrasts as findings."""
    tables = np.array([pair.table for pair in pairs], dtype=np.int64).reshape(-1, 4)
    discordance = _discordance(tables, [pair.repeated for pair in pairs], asked)
    return [_contrast(pair, table, asked) for pair, table in zip(pairs, discordance, strict=True)]


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
        difference=_measured(pair.of_first - pair.of_second, pair.lonely, asked),
        retention=_measured(pair.kept, pair.lonely, asked) if with_dense and not at_floor else None,
        reason="dense accuracy is at the guessing floor" if at_floor else None,
        mcnemar=table,
    )


def _measured(values: Floats, lonely: bool, asked: Asked) -> findings.Measured:
    """The items as they came, with the interval of their resamples; none where a task has a single item."""
    if lonely:
        return findings.Measured(value=float(values[0]), interval=None)
    low, high = np.nanquantile(values[1:], asked.tails)
    interval = Interval(kind="bootstrap", prob=asked.prob, lower=float(low), upper=float(high))
    return findings.Measured(value=float(values[0]), interval=interval)


def _discordance(tables: Ints, repeated: list[bool], asked: Asked) -> list[findings.Discordance | None]:
    """McNemar's test and Newcombe's interval of each table; none where no 0/1 item was asked under both."""
    some = tables.sum(axis=1) > 0
    found: list[findings.Discordance | None] = [None] * len(tables)
    if not some.any():
        return found
    low, high = newcombe(tables[some], asked.prob)
    p = mcnemar(tables[some, 1], tables[some, 2])
    for row, at in enumerate(np.flatnonzero(some)):
        _, only_first, only_second, _ = tables[at]
        n = int(tables[at].sum())
        found[at] = findings.Discordance(
            n_pairs=n,
            only_first=int(only_first),
            only_second=int(only_second),
            p=float(p[row]),
            difference=float(only_first - only_second) / n,
            interval=Interval(kind="newcombe", prob=asked.prob, lower=float(low[row]), upper=float(high[row])),
            repeated=repeated[at],
        )
    return found
