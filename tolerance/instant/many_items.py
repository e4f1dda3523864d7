"""Tasks of very many items: what is drawn and summed item by item elsewhere, at a cost that does not follow them.

Means over so many items are normal beyond what an interval shows, with the variance that the bootstrap of clusters has;
what is no mean (retention, a tolerated level) follows from the same draws. Items that were answered alike are one item
that counts as often.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from tolerance.data.item_table import Floats, Ints, TaskItems
from tolerance.instant.resamples import Drawn

# A task of more clusters than this is one of very many.
MANY = 20_000
# Alike items are looked for where this many stand for one.
_FEW = 4
_MOST = 2**62
# Items whose products are summed at a time.
_CHUNK = 100_000

Sides = tuple[Ints, Ints, Ints]


class OfTask(NamedTuple):
    """A task, the items, first and second columns of the pairs of each of its blocks, and what is drawn of it."""

    task: TaskItems
    blocks: Sequence[Sides]
    made_up: float
    drawn: Drawn


def normal_means(together: Sequence[OfTask], n_conditions: int, n: int) -> Iterator[list[Floats]]:
    """For each of the tasks that share clusters: by block, paired means ``(side, pair, 1 + n)``.

    The first is of the items as they came, the others normal, with the covariance over all tasks and blocks and the
    made-up item of `resamples.Resamples`.
    """
    parts = [[_Part(one.task, *block) for block in one.blocks] for one in together]
    width = sum(part.width for mine in parts for part in mine)
    which = np.random.default_rng(together[0].drawn.which)
    draws = which.standard_normal((n, width)) @ _root(_covariance(together, parts, width)).T
    start = 0
    for one, mine in zip(together, parts, strict=True):
        rest = np.random.default_rng(one.drawn.else_)
        weight = rest.standard_gamma(one.made_up, n) * len(one.task.mean) / len(np.unique(one.task.cluster))
        coins = rest.integers(0, 2, size=(n, n_conditions)).astype(np.float64)
        found = []
        for part in mine:
            means = part.means + draws[:, start : start + part.width]
            start += part.width
            means = (means * part.n + weight[:, None] * coins[:, part.condition]) / (part.n + weight[:, None])
            found.append(np.concatenate([part.means[None], means])[:, part.place].transpose(1, 2, 0))
        yield found


class _Part:
    """Means of one block: of each column where all was asked, else of each side of each pair over what both have."""

    def __init__(self, task: TaskItems, items: Ints, first: Ints, second: Ints) -> None:
        self.has = np.zeros(len(task.mean), dtype=bool)
        self.has[items] = True
        columns, place = np.unique(np.concatenate([first, second]), return_inverse=True)
        whole = bool(task.asked[np.ix_(items, columns)].all())
        self.columns = columns if whole else np.concatenate([first, second])
        self.others = None if whole else np.concatenate([second, first])
        self.place = (place if whole else np.arange(2 * len(first))).reshape(2, -1)
        self.condition = task.condition[self.columns]
        self.width = len(self.columns)
        sums = [(self._there(task, rows), self._mean(task, rows)) for rows in _chunks(items)]
        self.n = np.sum([there.sum(axis=0) for there, _ in sums], axis=0, dtype=np.float64)
        self.means = np.sum([(there * mean).sum(axis=0) for there, mean in sums], axis=0) / self.n

    def _there(self, task: TaskItems, rows: Ints) -> Floats:
        there = task.asked[np.ix_(rows, self.columns)]
        return np.asarray(there if self.others is None else there & task.asked[np.ix_(rows, self.others)], dtype=float)

    def _mean(self, task: TaskItems, rows: Ints) -> Floats:
        return task.mean[np.ix_(rows, self.columns)]

    def residuals(self, task: TaskItems, rows: Ints) -> Floats:
        """What each item moves the means by ``(item, mean)``."""
        return np.asarray(self._there(task, rows) * (self._mean(task, rows) - self.means) / self.n)


def _covariance(together: Sequence[OfTask], parts: Sequence[Sequence[_Part]], width: int) -> Floats:
    """Of all means: sums of products of what each cluster moves them by, as the bootstrap of clusters has them."""
    clusters = together[0].drawn.clusters
    places = [np.searchsorted(clusters, one.task.cluster) for one in together]
    orders = [np.argsort(place, kind="stable") for place in places]
    products = np.zeros((width, width))
    for low in range(0, len(clusters), _CHUNK):
        sums, start = np.zeros((min(_CHUNK, len(clusters) - low), width)), 0
        for one, mine, place, order in zip(together, parts, places, orders, strict=True):
            ends = np.searchsorted(place, (low, low + _CHUNK), sorter=order)
            rows = order[ends[0] : ends[1]]
            for part in mine:
                here = rows[part.has[rows]]
                columns = slice(start, start + part.width)
                start += part.width
                if one.task.clustered:
                    np.add.at(sums[:, columns], place[here] - low, part.residuals(one.task, here))
                else:
                    sums[place[here] - low, columns] = part.residuals(one.task, here)
        products += sums.T @ sums
    return np.asarray(products * len(clusters) / max(len(clusters) - 1, 1))


def _chunks(items: Ints) -> Iterator[Ints]:
    for start in range(0, len(items), _CHUNK):
        yield items[start : start + _CHUNK]


def _root(covariance: Floats) -> Floats:
    """A root of a covariance, which may be singular: a column may be all right."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def each_item(task: TaskItems) -> tuple[Ints, Floats]:
    """Every item for itself."""
    return np.arange(len(task.mean)), np.ones(len(task.mean))


def alike(task: TaskItems, columns: Ints) -> tuple[Ints, Floats]:
    """Items that stand for all with the same mean scores in some columns, and how many each stands for."""
    if len(task.mean) <= MANY:
        return each_item(task)
    key, size = np.zeros(len(task.mean), dtype=np.int64), 1
    for column in columns:
        codes, distinct = pd.factorize(np.where(task.asked[:, column], task.mean[:, column], -1.0))
        if size * len(distinct) >= _MOST:
            return each_item(task)
        key, size = key * len(distinct) + codes, size * len(distinct)
    _, first, often = np.unique(key, return_index=True, return_counts=True)
    return (first, often.astype(np.float64)) if _FEW * len(first) <= len(key) else each_item(task)
