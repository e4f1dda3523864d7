"""What was observed in each cell, and whether a share of dense accuracy can be given."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, stdtrit

from tolerance import findings
from tolerance.data.item_table import ItemTable, TaskItems
from tolerance.stats.intervals import Interval
from tolerance.stats.paired_proportions import wilson_limits

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
# Task type, first, second and the level that was asked for.
Key = tuple[str, str, str, float]


@dataclass(frozen=True)
class Asked:
    """How intervals are asked for."""

    retention: float
    prob: float
    resamples: int
    seed: int

    @property
    def tails(self) -> tuple[float, float]:
        """Probabilities left and right of the interval."""
        return (1 - self.prob) / 2, (1 + self.prob) / 2


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


def observed_cells(answers: ItemTable, asked: Asked) -> Iterator[findings.ObservedCell]:
    """Task types first, then tasks, each by sparsifier and level."""
    found: dict[tuple[str, str | None, int], _Cell] = {}
    for task in answers.tasks:
        for condition in np.unique(task.condition):
            cell = _cell(task, np.flatnonzero(task.condition == condition))
            found[task.task_type, task.name, int(condition)] = cell
            found.setdefault((task.task_type, None, int(condition)), _Cell()).add(cell)
    if answers.spanning:
        _share(found, answers)
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


def _cell(task: TaskItems, columns: Ints) -> _Cell:
    """One condition of a task: the linearised variance of its mean over configurations, by cluster."""
    there = task.asked[:, columns]
    n = there.sum(axis=0)
    spread = _spread(task, columns)
    asked = there.any(axis=1)
    clusters = len(np.unique(task.cluster[asked])) if task.clustered else int(asked.sum())
    return _Cell(
        binary=task.binary and bool(task.count[:, columns].max() == 1) and not task.clustered,
        means=float((task.mean[:, columns].sum(axis=0) / n).sum()),
        squares=float((spread**2).sum()) * clusters / max(clusters - 1, 1),
        inverse=float((1 / n).sum()),
        sparsity=float(task.sparsity[columns].sum()),
        blocks=len(columns),
        items=int(asked.sum()),
        answers=int(task.count[:, columns].sum()),
        freedom=clusters - 1,
        lonely=clusters < 2,
    )


def _spread(task: TaskItems, columns: Ints) -> Floats:
    """What each cluster moves the sum of a condition's means by ``(cluster,)``, coded from 0 over all tasks."""
    there = task.asked[:, columns]
    n = there.sum(axis=0)
    mean = task.mean[:, columns].sum(axis=0) / n
    by_item = np.where(there, (task.mean[:, columns] - mean) / n, 0.0).sum(axis=1)
    return np.bincount(task.cluster, by_item) if task.clustered else by_item


def _share(found: dict[tuple[str, str | None, int], _Cell], answers: ItemTable) -> None:
    """Variances and items of task types whose tasks share clusters: each cluster moves several tasks at once."""
    size = int(max(task.cluster.max() for task in answers.tasks)) + 1
    kinds = {key[0] for key in found}
    for kind in kinds:
        tasks = [task for task in answers.tasks if task.task_type == kind]
        for condition in {key[2] for key in found if key[:2] == (kind, None)}:
            whole, seen = np.zeros(size), np.zeros(size, dtype=bool)
            for task in tasks:
                columns = np.flatnonzero(task.condition == condition)
                if len(columns):
                    by_item = _spread(task, columns)
                    codes = np.arange(len(by_item)) if task.clustered else task.cluster
                    np.add.at(whole, codes, by_item)
                    seen[task.cluster[task.asked[:, columns].any(axis=1)]] = True
            cell, clusters = found[kind, None, condition], int(seen.sum())
            cell.squares = float((whole**2).sum()) * clusters / max(clusters - 1, 1)
            cell.freedom, cell.lonely, cell.binary = clusters - 1, clusters < 2, False
            cell.items = min(cell.items, clusters) if not any(task.clustered for task in tasks) else cell.items


def _robust(cell: _Cell, asked: Asked) -> Interval | None:
    """On the logit scale, so that it stays inside 0 and 1; none where nothing varies or a task has one item."""
    mean = cell.means / cell.blocks
    if cell.lonely or cell.squares <= 0 or not 0 < mean < 1:
        return None
    half = stdtrit(cell.freedom, asked.tails[1]) * np.sqrt(cell.squares) / cell.blocks / (mean * (1 - mean))
    low, high = expit(logit(mean) + np.array([-half, half]))
    return Interval(kind="robust", prob=asked.prob, lower=float(low), upper=float(high))


def inside(value: float, at: Floats) -> float | None:
    """A level, if it lies in the measured range."""
    return value if at[0] - 1e-9 <= value <= at[-1] + 1e-9 else None
