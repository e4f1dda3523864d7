"""Size against chance: several trainings of two sizes, and what else their answers say beside the first one's.

Seeds with all tasks at 512 tokens in both sizes are compared; a seed decides the batches, for both sizes the same.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pandas as pd

from benchmarks.reference.curves import DATA, LEAST, METHODS, TASKS, Curve, curves, halves, row, said

SIZES, LENGTH = (30, 20), 512
RELEASED = DATA.parent.parent / "devices" / "two-gpus.parquet"


@cache
def whole() -> tuple[int, ...]:
    """Seeds that have every task and method in both sizes."""
    found = {key[1] for key in curves()}
    wanted = [(layers, task, method) for layers in SIZES for task in TASKS for method in METHODS]
    return tuple(
        seed
        for seed in sorted(found)
        if all((layers, seed, LENGTH, task, method) in curves() for layers, task, method in wanted)
    )


@cache
def table() -> pd.DataFrame:
    """Level at half of dense by task and method, a column for each size and seed; beyond the last is the last.

    Tasks that all of them answer at LEAST or more when dense.
    """
    found: dict[tuple[int, int], dict[tuple[str, str], float]] = {}
    for layers in SIZES:
        for seed in whole():
            mine = {(t, m): curves()[layers, seed, LENGTH, t, m] for t in TASKS for m in METHODS}
            found[layers, seed] = {
                key: min(float(halves(c.levels, c.means())[0]), c.levels[-1])
                for key, c in mine.items()
                if c.scores[:, 0].mean() >= LEAST
            }
    return pd.DataFrame(found).dropna()


def paired(differences: np.ndarray, at_once: int = 1) -> tuple[float, float, float]:
    """Mean of differences that stand in pairs, and Student's 95% interval; for so many of them at once (Bonferroni)."""
    from scipy import stats

    n = len(differences)
    half = stats.t.ppf(1 - 0.025 / at_once, n - 1) * differences.std(ddof=1) / np.sqrt(n)
    mean = float(differences.mean())
    return mean, mean - half, mean + half


def by_training() -> Iterator[str]:
    """Mean level at half of dense over tasks: every training, and 30 minus 20 layers over pairs of one seed."""
    names = [f"{layers} layers, seed {seed}" for layers, seed in table().columns]
    yield row("method", "tasks", *names, "30 minus 20 layers", "for six methods at once")
    yield row(*["---"] * (4 + len(names)))
    for method in (*METHODS, "all"):
        some = table() if method == "all" else table().xs(method, level=1)
        means = some.mean()
        apart = (means[SIZES[0]] - means[SIZES[1]]).to_numpy()
        tasks = len(some.index.unique(level=0)) if method == "all" else len(some)
        mean, *one = paired(apart)
        _, *six = paired(apart, len(METHODS))
        said_one, said_six = (f"[{low:+.3f}, {high:+.3f}]" for low, high in (one, six))
        each = [f"{means[key]:.3f}" for key in table().columns]
        yield row(method, str(tasks), *each, f"{mean:+.3f} {said_one}", "" if method == "all" else said_six)


def by_cell() -> Iterator[str]:
    """Single tasks and methods: how far trainings of one size lie apart, and sizes; and how often sizes part wholly."""
    parted = "30 above 20 in every pair", "below in every pair", "by chance, each"
    yield row("method", "cells", "between seeds of a size", "between the sizes' means", *parted)
    yield row(*["---"] * 7)
    # so often are the first of 3 + 3 drawn alike all of one kind
    chance = 1 / math.comb(2 * len(whole()), len(whole()))
    for method in (*METHODS, "all"):
        some = table() if method == "all" else table().xs(method, level=1)
        big, small = some[SIZES[0]], some[SIZES[1]]
        seeds = np.sqrt((big.var(axis=1, ddof=1) + small.var(axis=1, ddof=1)) / 2)
        apart = (big.mean(axis=1) - small.mean(axis=1)).abs()
        above = int((big.min(axis=1) > small.max(axis=1)).sum())
        below = int((big.max(axis=1) < small.min(axis=1)).sum())
        expected = f"{chance * len(some):.1f}"
        yield row(
            method, str(len(some)), f"{seeds.median():.3f}", f"{apart.median():.3f}", str(above), str(below), expected
        )


def parted() -> Iterator[str]:
    """The cells in which the sizes part wholly, by how far their means do."""
    big, small = table()[SIZES[0]], table()[SIZES[1]]
    wholly = (big.min(axis=1) > small.max(axis=1)) | (big.max(axis=1) < small.min(axis=1))
    apart = (big.mean(axis=1) - small.mean(axis=1))[wholly]
    yield row("task", "method", *(f"{layers} layers" for layers in SIZES), "difference")
    yield row(*["---"] * 5)
    for key in apart.abs().sort_values(ascending=False).index[:12]:
        cells = [", ".join(f"{value:.2f}".removeprefix("0") for value in side.loc[key]) for side in (big, small)]
        yield row(*key, *cells, f"{apart[key]:+.2f}")


def released() -> Iterator[str]:
    """The model as it was released and after training, on the same items: level at half of dense for one needle."""
    rows = pd.read_parquet(RELEASED)
    task = "niah-single"
    mine = rows[(rows["task"] == task) & rows["model"].str.contains("dequantised")]
    dense = mine[mine["sparsifier"] == "dense"]
    trained = [seed for seed in whole() if (30, seed, LENGTH, task, METHODS[0]) in curves()]
    yield row("method", "as released", *(f"trained, seed {seed}" for seed in trained))
    yield row(*["---"] * (2 + len(trained)))
    for method in METHODS:
        both = pd.concat([dense, mine[mine["sparsifier"] == method]])
        wide = both.pivot_table(index="item_id", columns="sparsity_requested", values="score").dropna()
        before = Curve(tuple(wide.index), wide.columns.to_numpy(float), wide.to_numpy(float))
        after = [_only(curves()[30, seed, LENGTH, task, method], before.items) for seed in trained]
        yield row(method, said(before), *map(said, after))


def _only(curve: Curve, items: tuple[str, ...]) -> Curve:
    """A curve of some of its items."""
    at = [curve.items.index(item) for item in items]
    return Curve(items, curve.levels, curve.scores[at])


TABLES: dict[str, Callable[[], Iterator[str]]] = {
    "by-training": by_training,
    "by-cell": by_cell,
    "parted": parted,
    "released": released,
}
