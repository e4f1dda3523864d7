"""Items that depend on each other: by a column, or because tasks share their items.

Two filters over the same generations, or nested subsets of one benchmark, are tasks with the same items: their scores
agree far beyond what items that merely bear the same numbers do. Such items are one cluster.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Ints = NDArray[np.int64]
# Two tasks share their items if as many ids are common, and if their scores agree so surely beyond those of a task
# with itself shuffled; a false alarm only widens intervals.
LEAST_SHARED = 0.5
LEAST_IDS = 5
LEAST_CORRELATION = 0.3
ALARM = 4.0
MOST_TASKS = 60


@dataclass(frozen=True)
class Clusters:
    """The cluster of each answer ``(row,)``; ``by``: what they follow from; ``alike``: tasks that share their items."""

    codes: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    by: str = "item"
    alike: tuple[tuple[str, ...], ...] = ()


def clusters(outcomes: pd.DataFrame) -> Clusters:
    """The clusters of validated answers: their column where there is one, else items, which tasks may share."""
    item = pd.factorize(outcomes["item_id"], sort=True)[0].astype(np.int64)
    task, tasks = pd.factorize(outcomes["task"], sort=True)
    alike = _alike(outcomes)
    group = np.arange(len(tasks))
    for together in alike:
        members = np.flatnonzero(np.isin(np.asarray(tasks, dtype=str), together))
        group[members] = members.min()
    own = group[task] * (int(item.max()) + 1) + item
    if outcomes["cluster"].isna().all():
        return Clusters(_coded(own), "item", alike)
    # an item without a cluster is one of its own
    named, names = pd.factorize(outcomes["cluster"], sort=True)
    codes = np.where(named >= 0, named, len(names) + own)
    return Clusters(_coded(codes), "cluster", alike)


def _coded(keys: Ints) -> Ints:
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)


def _alike(outcomes: pd.DataFrame) -> tuple[tuple[str, ...], ...]:
    """Groups of tasks that share their items."""
    ids = {str(name): set(group) for name, group in outcomes.groupby("task")["item_id"].unique().items()}
    centred: dict[str, pd.DataFrame] = {}

    def alike(a: str, b: str) -> bool:
        if not centred:
            centred.update(_centred(outcomes))
        return agree(centred[a], centred[b])

    return groups_alike(ids, lambda a, b: in_common(len(ids[a] & ids[b]), len(ids[a]), len(ids[b])), alike)


Related = Callable[[str, str], bool]


def groups_alike(names: Iterable[str], common: Related, alike: Related) -> tuple[tuple[str, ...], ...]:
    """Groups of tasks that have items in common whose scores go together."""
    names = sorted(names)
    if not 1 < len(names) <= MOST_TASKS:
        return ()
    together = {name: {name} for name in names}
    for a, b in combinations(names, 2):
        if common(a, b) and alike(a, b):
            whole = together[a] | together[b]
            together |= dict.fromkeys(whole, whole)
    found = {tuple(sorted(group)) for group in together.values() if len(group) > 1}
    return tuple(sorted(found))


def in_common(both: int, n_a: int, n_b: int) -> bool:
    """Whether so many common ids are what tasks of ``n_a`` and ``n_b`` items share."""
    return both >= LEAST_IDS and both >= LEAST_SHARED * min(n_a, n_b)


def _centred(outcomes: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By task: items x conditions of mean scores, less the mean of each condition."""
    keys = ["model", "context_length", "sparsifier", "sparsity_requested"]
    condition = outcomes.groupby(keys, dropna=False, sort=False).ngroup()
    rows = outcomes[["task", "item_id", "score"]].assign(at=condition)
    means = rows.groupby(["task", "item_id", "at"], sort=False)["score"].mean()
    found = {}
    for task, group in means.groupby(level="task", sort=False):
        wide = group.droplevel("task").unstack("at")
        found[str(task)] = wide - wide.mean()
    return found


def agree(a: pd.DataFrame, b: pd.DataFrame) -> bool:
    """Whether scores of items of one id go together: item means over common conditions, against chance (Fisher's z)."""
    at = a.columns.intersection(b.columns)
    items = a.index.intersection(b.index)
    if len(at) == 0 or len(items) < LEAST_IDS:
        return False
    one, other = (wide.loc[items, at].mean(axis=1).to_numpy() for wide in (a, b))
    known = ~(np.isnan(one) | np.isnan(other))
    if known.sum() < LEAST_IDS or np.ptp(one[known]) == 0 or np.ptp(other[known]) == 0:
        return False
    r = float(np.corrcoef(one[known], other[known])[0, 1])
    return r > LEAST_CORRELATION and float(np.arctanh(min(r, 0.999999))) * float(known.sum() - 3) ** 0.5 > ALARM
