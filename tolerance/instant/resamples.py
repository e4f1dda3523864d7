"""Paired resamples of a task's items: clusters of items are drawn, with all that they were asked."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tolerance.data.item_table import Floats, Ints, ItemTable, TaskItems

# The items as they came are averaged in double precision, resamples in single.
Weights = NDArray[Any]
# Weights of resamples are made for about this many items at a time.
CHUNK = 4_000_000


@dataclass(frozen=True)
class Resamples:
    """Weights of a task's items ``(resample, item)``; the first row is the items as they came.

    Each resample draws one cluster fewer than there are, which makes the variance of a mean the unbiased one (Rao & Wu
    1988, doi:10.1080/01621459.1988.10478591). ``made_up`` ``(resample,)`` is the weight of an item that was never
    asked, right or wrong at random ``coins`` ``(resample, condition)``: it keeps a cell in which every answer is right
    from having an interval of no width, as Jeffreys' prior would.
    """

    weights: Weights
    made_up: Weights
    coins: Weights


@dataclass(frozen=True)
class Drawn:
    """What is resampled together: the clusters of tasks that share some, and the two random streams of each task.

    Tasks that share clusters, the ``members``, draw the same ones, so many resamples at a time.
    """

    clusters: Ints
    step: int
    which: np.random.SeedSequence
    else_: np.random.SeedSequence
    members: tuple[int, ...]


def drawn_together(answers: ItemTable, seed: int) -> list[Drawn]:
    """For each task, in their order, what is resampled."""
    sequences = np.random.SeedSequence(seed).spawn(len(answers.tasks))
    groups = _components(answers)
    found: list[Drawn] = []
    for t, own in enumerate(sequences):
        first, members = groups[t]
        clusters = np.unique(np.concatenate([answers.tasks[m].cluster for m in members]))
        which, rest = own.spawn(2)
        if first != t:
            which = found[first].which
        step = max(1, CHUNK // max(len(clusters), *(len(answers.tasks[m].mean) for m in members)))
        found.append(Drawn(clusters, step, which, rest, tuple(members)))
    return found


def _components(answers: ItemTable) -> list[tuple[int, list[int]]]:
    """The first task, and all tasks, of those that share clusters with each."""
    if not answers.spanning:
        return [(t, [t]) for t in range(len(answers.tasks))]
    owner: dict[int, int] = {}
    group = list(range(len(answers.tasks)))
    for t, task in enumerate(answers.tasks):
        others = {group[owner.setdefault(int(c), t)] for c in np.unique(task.cluster)} | {group[t]}
        first = min(others)
        group = [first if g in others else g for g in group]
    members: dict[int, list[int]] = {}
    for t, g in enumerate(group):
        members.setdefault(g, []).append(t)
    return [(g, members[g]) for g in group]


def resample(task: TaskItems, n: int, n_conditions: int, made_up: float, drawn: Drawn) -> Iterator[Resamples]:
    """``n`` paired resamples of a task's items, a chunk at a time; ``made_up`` is the mean weight of the made-up item.

    The weight is gamma with that shape, so that over the tasks of a type the weights add up to an exponential one. It
    counts as many items as a cluster has.
    """
    n_items, n_clusters = len(task.mean), len(drawn.clusters)
    place = np.searchsorted(drawn.clusters, task.cluster)
    size_of_one = n_items / len(np.unique(task.cluster))
    which, rest = np.random.default_rng(drawn.which), np.random.default_rng(drawn.else_)
    yield Resamples(np.ones((1, n_items)), np.zeros(1), np.zeros((1, n_conditions)))
    for start in range(0, n, drawn.step):
        size = min(drawn.step, n - start)
        picked = which.integers(0, n_clusters, size=(size, max(n_clusters - 1, 1)), dtype=np.int32)
        picked += (np.arange(size, dtype=np.int32) * n_clusters)[:, None]
        weights = np.bincount(picked.ravel(), minlength=size * n_clusters).reshape(size, n_clusters)
        gamma = rest.standard_gamma(made_up, size) * size_of_one if made_up else np.zeros(size)
        yield Resamples(
            weights[:, place].astype(np.float32),
            gamma.astype(np.float32),
            rest.integers(0, 2, size=(size, n_conditions)).astype(np.float32),
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
