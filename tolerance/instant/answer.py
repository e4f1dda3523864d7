"""The instant answer: what the answers show by themselves, without a model and in under a second.

Cells with Wilson and cluster-robust intervals, contrasts on the same items (exact McNemar, paired bootstrap), a trend
by estimating equations, and the tolerated level between measured levels. The estimand is that of the posterior: the
mean over the tasks (by model and context) of a type, with the rule's guessing floor subtracted where a share of dense
accuracy is meant. Every item counts once, however often it was asked. docs/instant.md has the formulas' sources.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtr, ndtri, stdtrit

from tolerance import findings
from tolerance.data.cells import halvings, sparsity
from tolerance.data.item_table import NOWHERE, Answers, Task, by_item, paired_means, resample
from tolerance.data.manifest import digest
from tolerance.data.outcomes import DENSE
from tolerance.model.curve import LEAST_ABOVE_FLOOR, crossing
from tolerance.stats import gee
from tolerance.stats.intervals import Interval
from tolerance.stats.paired_proportions import mcnemar, newcombe, wilson_limits

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Task type, first, second and the level that was asked for.
_Key = tuple[str, str, str, float]
RESAMPLES = 2000
# Mean weight of the made-up item of a task type: that of Jeffreys' prior.
MADE_UP = 1.0
# Beyond this many methods the pairs of methods are left out: they would be most of the work, and nobody reads them.
MOST_METHODS = 12


@dataclass(frozen=True)
class _Asked:
    """How intervals are asked for."""

    retention: float
    prob: float
    resamples: int
    seed: int

    @property
    def tails(self) -> tuple[float, float]:
        return (1 - self.prob) / 2, (1 + self.prob) / 2


def instant_answer(
    outcomes: pd.DataFrame, *, retention: float = 0.95, prob: float = 0.90, resamples: int = RESAMPLES, seed: int = 0
) -> findings.Instant:
    """What validated outcomes show without a model; the order of their rows does not matter.

    Raises:
        DesignError: every answer is dense, one task has two types, or one sparsifier two units.
    """
    asked = _Asked(retention, prob, resamples, seed)
    answers = by_item(outcomes)
    pairs = list(_contrasts(answers, asked))
    against_dense = [pair for pair in pairs if pair.second == DENSE]
    contrasts = _paired(pairs, asked)
    without = sum(int(task.asked[:, (task.sparsity > 0) & (task.dense == NOWHERE)].sum()) for task in answers.tasks)
    return findings.Instant(
        retention=retention,
        interval_prob=prob,
        resamples=resamples,
        seed=seed,
        n_answers=len(outcomes),
        n_unpaired=without + sum(pair.unpaired[0] for pair in against_dense),
        cells=list(_cells(answers, asked)),
        contrasts=contrasts,
        trends=list(_trends(answers, asked)),
        tolerated=list(_tolerated(answers, against_dense, asked)),
    )


# Cells


@dataclass
class _Cell:
    """Sums over the blocks of a cell; ``squares`` adds up to the variance of the mean times the square of blocks."""

    binary: bool = True
    means: float = 0.0
    squares: float = 0.0
    inverse: float = 0.0
    sparsity: float = 0.0
    blocks: int = 0
    items: int = 0
    answers: int = 0
    freedom: int = 0
    lonely: bool = False

    def add(self, other: "_Cell") -> None:
        self.binary &= other.binary
        self.lonely |= other.lonely
        for name in ("means", "squares", "inverse", "sparsity", "blocks", "items", "answers", "freedom"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def _cells(answers: Answers, asked: _Asked) -> Iterator[findings.ObservedCell]:
    """Task types first, then tasks, each by sparsifier and level."""
    found: dict[tuple[str, str | None, int], _Cell] = {}
    for task in answers.tasks:
        for condition in np.unique(task.condition):
            cell = _cell(task, np.flatnonzero(task.condition == condition))
            found[task.task_type, task.name, int(condition)] = cell
            found.setdefault((task.task_type, None, int(condition)), _Cell()).add(cell)
    keys = sorted(found, key=lambda key: (key[1] is not None, key[0], key[1] or "", key[2]))
    cells = [found[key] for key in keys]
    shares = np.array([cell.means / cell.blocks for cell in cells])
    # the number of answers that would give the variance of a mean over blocks (Kish 1965): all, where blocks are equal
    sizes = np.array([cell.blocks**2 / cell.inverse for cell in cells])
    lows, highs = (ends.tolist() for ends in wilson_limits(shares, sizes, asked.prob))
    for (task_type, name, condition), cell, low, high in zip(keys, cells, lows, highs, strict=True):
        sparsifier, level = answers.conditions[condition]
        yield findings.ObservedCell(
            task_type=task_type,
            task=name,
            sparsifier=sparsifier,
            level=level,
            sparsity=cell.sparsity / cell.blocks,
            n_items=cell.items,
            n_answers=cell.answers,
            n_blocks=cell.blocks,
            accuracy=cell.means / cell.blocks,
            wilson=Interval(kind="wilson", prob=asked.prob, lower=low, upper=high) if cell.binary else None,
            robust=_robust(cell, asked),
        )


def _cell(task: Task, columns: Ints) -> _Cell:
    """One condition of a task: the linearised variance of its mean over configurations, items as clusters."""
    there = task.asked[:, columns]
    n = there.sum(axis=0)
    mean = task.mean[:, columns].sum(axis=0) / n
    spread = np.where(there, (task.mean[:, columns] - mean) / n, 0.0).sum(axis=1)
    items = int(there.any(axis=1).sum())
    return _Cell(
        binary=task.binary and bool(task.count[:, columns].max() == 1),
        means=float(mean.sum()),
        squares=float((spread**2).sum()) * items / max(items - 1, 1),
        inverse=float((1 / n).sum()),
        sparsity=float(task.sparsity[columns].sum()),
        blocks=len(columns),
        items=items,
        answers=int(task.count[:, columns].sum()),
        freedom=items - 1,
        lonely=items < 2,
    )


def _robust(cell: _Cell, asked: _Asked) -> Interval | None:
    """On the logit scale, so that it stays inside 0 and 1; none where nothing varies or a task has one item."""
    mean = cell.means / cell.blocks
    if cell.lonely or cell.squares <= 0 or not 0 < mean < 1:
        return None
    half = stdtrit(cell.freedom, asked.tails[1]) * np.sqrt(cell.squares) / cell.blocks / (mean * (1 - mean))
    low, high = expit(logit(mean) + np.array([-half, half]))
    return Interval(kind="robust", prob=asked.prob, lower=float(low), upper=float(high))


# Contrasts on the same items


@dataclass
class _Pair:
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

    keys: list[_Key]
    first: Ints
    second: Ints


def _contrasts(answers: Answers, asked: _Asked) -> list[_Pair]:
    """Every contrast with dense, then of two methods, by task type; all its resamples drawn together."""
    found: dict[_Key, _Pair] = {}
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


def _columns(task: Task, block: Ints, answers: Answers) -> _Columns:
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


def _count(found: dict[_Key, _Pair], task: Task, blocks: list[tuple[Ints, _Columns]], asked: _Asked) -> None:
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
            pair = found.setdefault(key, _Pair(*key, means=np.zeros((2, 1 + asked.resamples))))
            pair.blocks += 1
            pair.floor += task.chance
            pair.sparsity += float(task.sparsity[columns.first[i]])
            pair.pairs += int(pairs[i])
            pair.lonely |= bool(pairs[i] < 2)
            pair.unpaired = pair.unpaired[0] + int(only_first[i]), pair.unpaired[1] + int(only_second[i])
            pair.repeated |= bool(repeated[i])
            pair.table = pair.table + tables[i]


def _tables(task: Task, items: Ints, columns: _Columns, common: NDArray[np.bool_]) -> Ints:
    """0/1 items with one answer under each of two conditions, by which of them was right ``(pair, 4)``."""
    if not task.binary:
        return np.zeros((len(columns.keys), 4), dtype=np.int64)
    count, right = task.count[items], task.mean[items] == 1
    single = common & (count[:, columns.first] == 1) & (count[:, columns.second] == 1)
    x, y = right[:, columns.first], right[:, columns.second]
    return np.stack([(single & at).sum(axis=0) for at in (x & y, x & ~y, ~x & y, ~x & ~y)], axis=1)


def _paired(pairs: list[_Pair], asked: _Asked) -> list[findings.Paired]:
    """Contrasts as findings."""
    tables = np.array([pair.table for pair in pairs], dtype=np.int64).reshape(-1, 4)
    discordance = _discordance(tables, [pair.repeated for pair in pairs], asked)
    return [_contrast(pair, table, asked) for pair, table in zip(pairs, discordance, strict=True)]


def _contrast(pair: _Pair, table: findings.Discordance | None, asked: _Asked) -> findings.Paired:
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


def _measured(values: Floats, lonely: bool, asked: _Asked) -> findings.Measured:
    """The items as they came, with the interval of their resamples; none where a task has a single item."""
    if lonely:
        return findings.Measured(value=float(values[0]), interval=None)
    low, high = np.nanquantile(values[1:], asked.tails)
    interval = Interval(kind="bootstrap", prob=asked.prob, lower=float(low), upper=float(high))
    return findings.Measured(value=float(values[0]), interval=interval)


def _discordance(tables: Ints, repeated: list[bool], asked: _Asked) -> list[findings.Discordance | None]:
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


# Trends


def _trends(answers: Answers, asked: _Asked) -> Iterator[findings.Trend]:
    """Scores against halvings of the density, dense included, for each task type and sparsifier."""
    for task_type in sorted({task.task_type for task in answers.tasks}):
        tasks = [task for task in answers.tasks if task.task_type == task_type]
        for sparsifier in answers.sparsifiers:
            parts = [_trend_rows(task, sparsifier, answers) for task in tasks]
            parts = [part for part in parts if len(part)]
            if parts:
                yield _trend(task_type, sparsifier, parts, asked)


def _trend_rows(task: Task, sparsifier: str, answers: Answers) -> Floats:
    """Score, halvings, configuration and item of a task's answers under a sparsifier and dense ``(answer, 4)``."""
    mine = [
        c
        for c, condition in enumerate(task.condition)
        if answers.conditions[condition].sparsifier == sparsifier and task.sparsity[c] > 0
    ]
    if not mine:
        return np.empty((0, 4))
    dense = task.dense[mine]
    columns = np.unique([*mine, *dense[dense != NOWHERE]]).astype(np.int64)
    item, place = np.nonzero(task.asked[:, columns])
    column = columns[place]
    along = halvings(task.sparsity)[column]
    return np.column_stack([task.mean[item, column], along, task.config[column], item])


def _trend(task_type: str, sparsifier: str, parts: list[Floats], asked: _Asked) -> findings.Trend:
    rows = np.concatenate(parts)
    task = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    block, item = (task * (int(rows[:, c].max()) + 1) + rows[:, c].astype(np.int64) for c in (2, 3))
    found = gee.slope(rows[:, 0], rows[:, 1], block, item)
    if not isinstance(found, gee.Slope):
        n_items = len(np.unique(item))
        nothing = {"slope": None, "p": None, "correlation": None, "left_out": len(np.unique(block))}
        return findings.Trend(
            task_type=task_type, sparsifier=sparsifier, n_items=n_items, n_answers=len(rows), reason=found, **nothing
        )
    half = ndtri(asked.tails[1]) * found.se
    interval = Interval(kind="robust", prob=asked.prob, lower=found.slope - half, upper=found.slope + half)
    return findings.Trend(
        task_type=task_type,
        sparsifier=sparsifier,
        slope=findings.Measured(value=found.slope, interval=interval),
        p=float(2 * ndtr(-abs(found.slope) / found.se)),
        correlation=found.correlation,
        n_items=found.n_items,
        n_answers=found.n_answers,
        left_out=found.left_out,
        reason=None,
    )


# Tolerated levels


def _tolerated(answers: Answers, against_dense: list[_Pair], asked: _Asked) -> Iterator[findings.ObservedLevel]:
    """One for each task type and sparsifier, in the order of their names."""
    measured = {
        (task.task_type, answers.conditions[condition].sparsifier)
        for task in answers.tasks
        for condition in task.condition[task.sparsity > 0]
    }
    for task_type, sparsifier in sorted(measured):
        mine = [pair for pair in against_dense if (pair.task_type, pair.first) == (task_type, sparsifier)]
        yield _observed_level(task_type, sparsifier, mine, asked)


def _observed_level(task_type: str, sparsifier: str, mine: list[_Pair], asked: _Asked) -> findings.ObservedLevel:
    """Where retention first falls below what is asked, straight in halvings from 1 at dense to each measured level."""
    reason = _unanswerable(mine)
    named = {"id": f"observed-{digest([task_type, sparsifier])[:8]}", "task_type": task_type, "sparsifier": sparsifier}
    if reason is not None:
        return findings.ObservedLevel(**named, reason=reason, level=None)
    mine = sorted(mine, key=lambda pair: pair.sparsity / pair.blocks)
    at = np.array([pair.sparsity / pair.blocks for pair in mine])
    kept = np.stack([np.ones(1 + asked.resamples), *(pair.kept for pair in mine)], axis=1)
    crossed = crossing(kept, np.append(0.0, halvings(at)), asked.retention)
    # infinite crossings have no interpolated quantile: take an order statistic
    low, high = np.quantile(crossed[1:], asked.tails, method="inverted_cdf")
    value, lower, upper = (_inside(float(sparsity(end)), at) for end in (crossed[0], low, high))
    level = findings.Level(
        median=value,
        lower=lower,
        upper=upper,
        prob=asked.prob,
        first=float(at[0]),
        last=float(at[-1]),
        prob_below=float(np.mean(sparsity(crossed[1:]) < at[0])),
        prob_beyond=float(np.mean(~np.isfinite(crossed[1:]))),
    )
    return findings.ObservedLevel(**named, reason=None, level=level)


def _unanswerable(mine: list[_Pair]) -> "findings.Reason | Literal['a task with a single item'] | None":
    if not mine:
        return "no dense baseline"
    if any(pair.at_floor for pair in mine):
        return "dense accuracy is at the guessing floor"
    return "a task with a single item" if any(pair.lonely for pair in mine) else None


def _inside(value: float, at: Floats) -> float | None:
    return value if at[0] - 1e-9 <= value <= at[-1] + 1e-9 else None
